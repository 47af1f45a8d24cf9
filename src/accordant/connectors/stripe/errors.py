"""Stripe's refusals in the hub's words, translated in this one place: of reads by one decorator, of writes by one call.
Guarantees that nothing above the connector meets a Stripe error; what HTTP alone says is judged in sdk/http.py.
Source of the codes: https://docs.stripe.com/error-codes and https://docs.stripe.com/error-low-level.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Awaitable, Callable, Collection
from typing import ParamSpec, TypeVar

import msgspec

from accordant.canonical.intents import KEY_REUSED, KEY_SPENT, RefusalClass, Refused
from accordant.connectors.sdk.http import HttpAnswer
from accordant.kernel.errors import AccordantError, RejectedError
from accordant.ports.connector import AnswerLost, AuthorizationExpired, RateLimited, TargetUnavailable

_Given = ParamSpec("_Given")
_Returned = TypeVar("_Returned")
_MESSAGE_LENGTH_MAX = 300


class StripeRefusal(Exception):
    """Stripe answered with an error of its own; only raised below ``translated``."""

    def __init__(
        self,
        *,
        status: int,
        code: str,
        message: str,
        request_id: str,
        kind: str = "",
        param: str = "",
        decline: str = "",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.request_id = request_id
        self.kind = kind
        self.param = param
        self.decline = decline

    @property
    def is_absence(self) -> bool:
        """Whether Stripe has no such object. A bare 404 may be a wrong address, and the other mode's key finds nothing:
        taking those for deletions would empty every record.
        """
        other_mode = "exists in live mode" in self.message or "exists in test mode" in self.message
        return self.status == 404 and self.code == "resource_missing" and not other_mode


class ReadRefused(RejectedError):
    """Stripe refuses this request as it is."""

    remedy = "The request is wrong for this version of Stripe's API; compare the connection's api_version."


class _Body(msgspec.Struct):
    code: str | None = None
    type: str | None = None
    message: str | None = None
    param: str | None = None
    decline_code: str | None = None


class _Wrapped(msgspec.Struct):
    error: _Body


_DECODER = msgspec.json.Decoder(_Wrapped)


def refusal(answer: HttpAnswer) -> StripeRefusal:
    """Read Stripe's error object; an answer without one keeps its status only."""
    try:
        said = _DECODER.decode(answer.body).error
    except (msgspec.DecodeError, UnicodeDecodeError):
        said = _Body()
    return StripeRefusal(
        status=answer.status,
        code=said.code or said.type or "",
        message=(said.message or "no reason was given")[:_MESSAGE_LENGTH_MAX],
        request_id=answer.headers.get("request-id", ""),
        kind=said.type or "",
        param=said.param or "",
        decline=said.decline_code or "",
    )


def translate(refused: StripeRefusal) -> AccordantError:
    """What a refusal means for the hub: wait, renew the credentials, or correct the request."""
    named = f" (request {refused.request_id})" if refused.request_id else ""
    said = f"Stripe answered {refused.status} {refused.code}: {refused.message}{named}."
    if refused.code in {"rate_limit", "lock_timeout"}:
        return RateLimited(said)
    # 403: the key is right and lacks a permission; a person has to widen it, as with an expired key.
    if refused.status == 403 or refused.code in {"api_key_expired", "platform_api_key_expired"}:
        return AuthorizationExpired(said)
    if refused.status in {408, 409, 424, 425}:
        return TargetUnavailable(said)
    return ReadRefused(said)


def translated(
    function: Callable[_Given, Awaitable[_Returned]],
) -> Callable[_Given, Awaitable[_Returned]]:
    """Let no StripeRefusal out of ``function``."""

    @functools.wraps(function)
    async def wrapper(*args: _Given.args, **kwargs: _Given.kwargs) -> _Returned:
        try:
            return await function(*args, **kwargs)
        except StripeRefusal as refused:
            raise translate(refused) from None

    return wrapper


def refused(object_name: str, answer: HttpAnswer, *, fields: Collection[str]) -> Refused:
    """What an answer that is no success means for the one record that was sent.

    Raises AnswerLost where the write may have been carried out, or is still under way under the same key; RateLimited,
    TargetUnavailable and AuthorizationExpired where Stripe took no write at all.
    """
    said = refusal(answer)
    named = f" (request {said.request_id})" if said.request_id else ""
    told = f"Stripe answered {said.status} {said.code}: {said.message}{named}"
    may_repeat = answer.headers.get("stripe-should-retry", "").lower()
    if said.kind == "idempotency_error" and said.status == 400:
        message = f"{told}. The key of this write was used for another one: report it, and look at the record."
        return Refused(cause=RefusalClass.BUSINESS_RULE, code=KEY_REUSED, message=message)
    if said.status >= 500:
        if answer.headers.get("idempotent-replayed", "").lower() == "true":
            message = f"{told}. It is what Stripe keeps of the first try; it is tried under another key."
            return Refused(cause=RefusalClass.TRANSIENT, code=KEY_SPENT, message=message)
        raise AnswerLost(f"{told}. The write may have been carried out.")
    if said.code == "idempotency_key_in_use" or (said.kind == "idempotency_error" and said.status == 409):
        raise AnswerLost(f"{told}. The first try of this write is still under way.")
    if said.code in {"rate_limit", "lock_timeout"}:
        raise RateLimited(f"{told}.")
    if said.status == 403 or said.code in {"api_key_expired", "platform_api_key_expired"}:
        raise AuthorizationExpired(f"{told}. Give the key of this connection the right to write {object_name}s.")
    if may_repeat == "true" or (said.status in {408, 409, 424, 425} and may_repeat != "false"):
        raise TargetUnavailable(f"{told}.")
    return _final(said, told, fields)


_BUSINESS_RULES = frozenset({"resource_missing", "customer_max_subscriptions", "resource_already_exists"})


def _final(said: StripeRefusal, told: str, fields: Collection[str]) -> Refused:
    """A refusal that trying again does not change: whose it is to put right."""
    if said.status == 402 or said.kind == "card_error":
        reason = f" ({said.decline})" if said.decline else ""
        message = f"{told}{reason}. The customer has to pay in another way; then redrive it."
        return Refused(cause=RefusalClass.BUSINESS_RULE, code=said.code or "card_error", message=message)
    # address[country], items[0][price]: a mapping calls them address.country and items.
    head, *rest = re.findall(r"[^\[\]]+", said.param) or [""]
    dotted = ".".join((head, *rest))
    accused = tuple(name for name in sorted(fields) if name in {head, dotted})
    is_rule = said.code in _BUSINESS_RULES or not said.param
    return Refused(
        cause=RefusalClass.BUSINESS_RULE if is_rule else RefusalClass.DATA_QUALITY,
        code=said.code or f"HTTP_{said.status}",
        message=f"{told}. Correct it in Stripe, at its source or in the mapping, then redrive it.",
        fields=accused,
    )
