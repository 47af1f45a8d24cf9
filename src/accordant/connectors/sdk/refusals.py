"""A vendor's no to a call, and an answer that cannot be read: what a person reads, and what is tried again.
Guarantees that a lost answer to a write is told apart from a refusal, and that each class of refusal names a next step.
Next: a connector's ``errors.py``, which knows the vendor's codes and words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from accordant.canonical.intents import RefusalClass, Refused
from accordant.connectors.sdk.http import HttpAnswer
from accordant.connectors.sdk.plain_json import Row, decode
from accordant.kernel.errors import RejectedError
from accordant.ports.connector import AnswerLost, AuthorizationExpired, TargetUnavailable

MESSAGE_CHARS_MAX = 500


class Fault(msgspec.Struct, frozen=True):
    """One refusal in the vendor's words, by its code; ``HTTP_400`` and the like where the body says none."""

    code: str
    message: str


class CallRefused(RejectedError):
    """The vendor said no to a call, and carried nothing of it out."""

    def __init__(self, message: str, fault: Fault) -> None:
        super().__init__(message)
        self.fault = fault


def unreasoned(status: int, body: bytes) -> Fault:
    """The refusal of a call whose body names no reason."""
    said = one_line(body[:200].decode("utf-8", "replace"))
    return Fault(f"HTTP_{status}", f"status {status} without a reason" + (f": {said}" if said else ""))


def one_line(text: str) -> str:
    """A text of the vendor's without line breaks, and not without end."""
    return " ".join(text.split())[:MESSAGE_CHARS_MAX]


def next_steps(title: str, books: str, authorization: str) -> dict[RefusalClass, str]:
    """What a person does about a refusal of each class; ``books`` is the vendor's word for whose they are."""
    return {
        RefusalClass.TRANSIENT: "It is tried again by itself.",
        RefusalClass.DATA_QUALITY: f"Correct the value at its source, its mapping or the row it needs in {title}, then "
        "redrive it.",
        RefusalClass.BUSINESS_RULE: f"A rule of this {books} stands against it: ask its accountant, then redrive it.",
        RefusalClass.AUTHORIZATION: authorization,
    }


def refused_record(
    said: str, verdict: tuple[RefusalClass, str], steps: Mapping[RefusalClass, str], fields: tuple[str, ...]
) -> Refused:
    """The refusal of one record; ``said`` is who refused what and why, ``verdict`` its class and code."""
    cause, code = verdict
    return Refused(cause=cause, code=code, message=f"{said}. {steps[cause]}", fields=fields)


def told_by(
    answer: HttpAnswer,
    what: str,
    *,
    title: str,
    writes: bool,
    read_fault: Callable[[int, bytes], Fault],
    refusal: Callable[[Fault], CallRefused],
    consent_remedy: str,
) -> Row:
    """The object of an answer. Raises the refusal, AuthorizationExpired, and for one that cannot be read AnswerLost of
    a write, TargetUnavailable of a question.
    """
    if answer.status == 403:
        raise AuthorizationExpired(
            f"{title} does not let this connection in ({read_fault(403, answer.body).message}).", remedy=consent_remedy
        )
    if answer.status >= 400:
        raise refusal(read_fault(answer.status, answer.body))
    try:
        told = decode(answer.body)
    except msgspec.DecodeError:
        told = None
    if not isinstance(told, dict):
        said = f"{title} answered {what} with something that cannot be read ({len(answer.body)} bytes)."
        raise AnswerLost(said) if writes else TargetUnavailable(said)
    return told
