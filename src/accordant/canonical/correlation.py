"""One id that an event keeps from its source to the last receipt: derived, so every process and every replay names it
alike, in the form of a trace id of W3C Trace Context (32 hexadecimal digits, not all zero).
"""

from datetime import datetime

import msgspec

from accordant.kernel.hashing import digest

_TRACE_BYTES = 16
_SPAN_BYTES = 8


def correlation_id(connection: str, external_id: str) -> str:
    """The id of everything that came of one event of one connection."""
    return digest(f"{connection}/{external_id}".encode("utf-8", "surrogatepass"))[:_TRACE_BYTES].hex()


def step_id(correlation: str, step: str) -> str:
    """The id of one step within it (16 hexadecimal digits), as a span id."""
    return digest(f"{correlation}/{step}".encode())[:_SPAN_BYTES].hex()


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """One step of an event's life. Ids are hexadecimal; ``parent`` is None for the whole.

    ``problem`` names what went wrong, if anything; ``is_call`` says that another system was called.
    """

    correlation: str
    id: str
    parent: str | None
    name: str
    began_at: datetime
    ended_at: datetime
    attributes: dict[str, str | int | bool]
    problem: str | None = None
    is_call: bool = False
