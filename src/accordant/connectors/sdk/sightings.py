"""What an ERP says of records that were written there: how a reader spells one, and what it means to the hub.
Guarantees that one state of a record is one event, however often it is asked for, and that whose it is the hub decides.
Next: a connector's own ``changes.py``, which fetches.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from accordant.canonical.intents import WireValue
from accordant.canonical.observations import Fate, Interpreted, Sighting
from accordant.canonical.refs import ExternalRef
from accordant.connectors.sdk.receivables import named_by_content
from accordant.ports.connector import Envelope

RECORD_CHANGED = "record.changed"
_MARK = f'"{RECORD_CHANGED}"'.encode()


class ToldRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One state of one record, as it was read. ``id`` is the target id, ``objects`` those of a mapping it may be of.

    ``fields`` are in wire values of a mapping's fields, None of a record that is gone; ``at`` is when it last changed.
    """

    type: str = RECORD_CHANGED
    id: str
    objects: tuple[str, ...]
    at: datetime
    fields: dict[str, WireValue] | None = None
    fate: Fate = Fate.STANDS


_ENCODER = msgspec.json.Encoder(order="sorted")
_DECODER = msgspec.json.Decoder(ToldRecord)


def spell_record(told: ToldRecord) -> bytes:
    """As it is kept: the same state is the same bytes."""
    return _ENCODER.encode(told)


def is_record(body: bytes) -> bool:
    """Whether a body is the state of a record."""
    return _MARK in body


def record_envelope(body: bytes) -> Envelope:
    """The envelope of a state. Raises msgspec.DecodeError or UnicodeDecodeError."""
    told = _DECODER.decode(body)
    return Envelope(
        external_id=f"record/{told.id}/{told.at.isoformat()}/{named_by_content(body)}",
        event_type=RECORD_CHANGED,
        lane=f"record/{told.id}",
        occurred_at=told.at,
    )


def sighted(system: str, body: bytes) -> Interpreted:
    """What a state means, for each object it may be of. Raises msgspec.DecodeError or UnicodeDecodeError."""
    told = _DECODER.decode(body)
    return Interpreted(
        (),
        sightings=tuple(
            Sighting(ref=ExternalRef(system, name, told.id), seen_at=told.at, fields=told.fields, fate=told.fate)
            for name in told.objects
        ),
    )


def gone(ref: ExternalRef, *, at: datetime) -> Interpreted:
    """That a record which was asked for is not there."""
    return Interpreted((), sightings=(Sighting(ref=ref, seen_at=at, fate=Fate.DELETED),))
