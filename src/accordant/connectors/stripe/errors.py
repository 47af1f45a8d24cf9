"""Stripe's refusals in the hub's words, translated in this one place by one decorator.
Guarantees that nothing above the connector meets a Stripe error; what HTTP alone says is judged in sdk/http.py.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

import msgspec

from accordant.connectors.sdk.http import HttpAnswer
from accordant.kernel.errors import AccordantError, RejectedError
from accordant.ports.connector import AuthorizationExpired, RateLimited, TargetUnavailable

_Given = ParamSpec("_Given")
_Returned = TypeVar("_Returned")
_MESSAGE_LENGTH_MAX = 300


class StripeRefusal(Exception):
    """Stripe answered with an error of its own; only raised below ``translated``."""

    def __init__(self, *, status: int, code: str, message: str, request_id: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.request_id = request_id

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
