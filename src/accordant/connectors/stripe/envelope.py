"""Envelopes of Stripe deliveries: the inbox needs a name and a lane for every body, and it needs them quickly.
Guarantees: never raises, and the lane is the root that inbound.py gives the same object: one customer, one order.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import msgspec

from accordant.connectors.stripe.shapes import ID_LENGTH_MAX, Unfit
from accordant.kernel.clock import from_unix_seconds
from accordant.kernel.errors import RejectedError
from accordant.ports.connector import Envelope

UNREADABLE = "unreadable"
#: The stamp of a body whose own cannot be read: older than everything, so it never wins against what is known.
UNSTAMPED_AT = datetime(1970, 1, 1, tzinfo=UTC)
#: Objects that name their charge, and its customer only in newer versions.
OF_CHARGE = frozenset(("refund", "dispute"))


def read_envelope(body: bytes) -> Envelope:
    """Identify a verified delivery in one quick pass; a body that cannot be read gets an envelope with its defect."""
    try:
        head = _HEAD.decode(body)
        return Envelope(
            external_id=_checked(head.id),
            event_type=_checked(head.type),
            lane=_lane(head),
            occurred_at=from_unix_seconds(head.created),
        )
    except (msgspec.DecodeError, UnicodeDecodeError, RejectedError, RecursionError):
        return _second_look(body)


class _Named(msgspec.Struct):
    id: str


class _Charge(msgspec.Struct):
    id: str
    customer: str | _Named | None = None


class _Part(msgspec.Struct):
    object: str
    id: str = ""
    customer: str | _Named | None = None
    charge: str | _Charge | None = None


class _Carried(msgspec.Struct):
    object: _Part


class _Head(msgspec.Struct):
    id: str
    type: str
    created: int
    data: _Carried


class _Loose(msgspec.Struct):
    id: str
    type: str
    created: int | str | None = None


_HEAD = msgspec.json.Decoder(_Head)
_LOOSE = msgspec.json.Decoder(_Loose)


def _lane(head: _Head) -> str:
    """The root of the object, spelled as ``_root`` would: both must agree, or one customer would have two orders."""
    part = head.data.object
    customer = part.customer
    charge = part.charge
    if part.object in OF_CHARGE and charge is not None:
        if customer is None and isinstance(charge, _Charge):
            customer = charge.customer
        if customer is None:
            return f"charge/{_checked(charge if isinstance(charge, str) else charge.id)}"
    if customer is not None:
        return f"customer/{_checked(customer if isinstance(customer, str) else customer.id)}"
    return f"{_checked(part.object)}/{_checked(part.id or head.id)}"


def _checked(name: str) -> str:
    if name and len(name) <= ID_LENGTH_MAX and name.isprintable():
        return name
    raise Unfit(f"A name of the event is empty, not printable, or longer than {ID_LENGTH_MAX} characters.", where="id")


def _second_look(body: bytes) -> Envelope:
    """A body that is not the usual event: one with a name keeps it, another is named by its bytes and has a defect."""
    try:
        head = _LOOSE.decode(body)
        name, kind = _checked(head.id), _checked(head.type)
    except (msgspec.DecodeError, UnicodeDecodeError, RejectedError, RecursionError):
        name = f"sha256:{hashlib.sha256(body).hexdigest()}"
        return Envelope(
            external_id=name,
            event_type=UNREADABLE,
            lane=name,
            occurred_at=UNSTAMPED_AT,
            defect="The body is not a Stripe event: it is no JSON object with a readable id and type.",
        )
    return Envelope(external_id=name, event_type=kind, lane=f"event/{name}", occurred_at=_stamp(head.created))


def _stamp(created: int | str | None) -> datetime:
    try:
        if isinstance(created, int):
            return from_unix_seconds(created)
        moment = datetime.fromisoformat(created) if created else UNSTAMPED_AT
    except (RejectedError, ValueError):
        return UNSTAMPED_AT
    return moment.astimezone(UTC) if moment.tzinfo else UNSTAMPED_AT
