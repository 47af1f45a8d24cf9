"""What an ERP says a customer owes: how a reader spells it, and what it means to the hub.
Guarantees that one state of a customer is one event, however often it is asked for.
Next: a connector's own ``receivables.py``, which fetches.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal

import msgspec

from accordant.canonical.entities import Receivable
from accordant.canonical.observations import Interpretation, Interpreted, Observation, Parked, Quarantined, Standpoint
from accordant.canonical.refs import ExternalRef
from accordant.connectors.sdk.ledger_documents import plain
from accordant.kernel.errors import RejectedError
from accordant.kernel.money import Money
from accordant.ports.connector import Envelope, SignatureInvalid

RECEIVABLE = "receivable"
CHANGED = "receivable.changed"
UNREADABLE = "unreadable"
UNSTAMPED_AT = datetime(1970, 1, 1, tzinfo=UTC)


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What one customer owes one company, as it was read. Amounts are decimal text of ``currency``.

    ``party`` is the ERP's own id of the customer. ``at`` is when it last changed; ``overdue`` is the part of ``open``
    whose due day was over on that day.
    """

    type: str
    id: str
    party: str
    at: datetime
    currency: str
    open: str
    overdue: str
    oldest_due_on: date | None = None


_ENCODER = msgspec.json.Encoder(order="sorted")
_DECODER = msgspec.json.Decoder(Told)


def debts(
    own: str, party: str, *, at: datetime, currency: str, owed: Decimal, late: Sequence[tuple[Decimal, date | None]]
) -> Told:
    """What one customer owes: ``owed`` in all, ``late`` what is open of each bill whose due day is over, with that day.

    What was paid or credited and is not yet set against anything lowers what is overdue first.
    """
    overdue = max(Decimal(0), min(owed, sum((value for value, _ in late), Decimal(0))))
    due = [on for _, on in late if on is not None]
    return Told(
        type=CHANGED,
        id=own,
        party=party,
        at=at,
        currency=currency,
        open=plain(owed, currency),
        overdue=plain(overdue, currency),
        oldest_due_on=min(due, default=None) if overdue else None,
    )


def spell(told: Told) -> bytes:
    """As it is kept: the same state is the same bytes."""
    return _ENCODER.encode(told)


def named_by_content(body: bytes) -> str:
    """The name of a body that cannot say its own."""
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def unreadable(body: bytes, defect: str) -> Envelope:
    """The envelope of a body that cannot be understood, with the reason."""
    name = named_by_content(body)
    return Envelope(external_id=name, event_type=UNREADABLE, lane=name, occurred_at=UNSTAMPED_AT, defect=defect)


class FetchedReceivables:
    """Implements ``ports.connector.Inbound`` for what a reader fetched; what comes to the door is refused.

    ``title`` is the vendor's name for people, ``party_type`` the object its customers are.
    """

    def __init__(self, *, title: str, party_type: str) -> None:
        self._title = title
        self._party_type = party_type

    def verify(  # the port's arguments, of which none can help
        self,
        *,
        headers: Mapping[str, str],  # noqa: ARG002
        body: bytes,  # noqa: ARG002
        secrets: Sequence[bytes],  # noqa: ARG002
        now: datetime,  # noqa: ARG002
    ) -> None:
        """Nothing is sent by itself. Raises SignatureInvalid."""
        raise SignatureInvalid(f"{self._title} sends nothing by itself: whoever sent this is not {self._title}.")

    def read_envelope(self, body: bytes) -> Envelope:
        """See the port. The name of a change is the customer with the moment."""
        try:
            told = _DECODER.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return unreadable(body, f"The body is nothing that this connector fetched: {error}.")
        return Envelope(
            external_id=f"{RECEIVABLE}/{told.id}/{told.at.isoformat()}",
            event_type=told.type,
            lane=f"{self._party_type}/{told.party}",
            occurred_at=told.at,
        )

    def interpret(self, *, system: str, body: bytes) -> Interpretation:
        """See the port."""
        return self._interpreted(system, body, Standpoint.NOTICE, None)

    def interpret_object(self, *, ref: ExternalRef, body: bytes, read_at: datetime) -> Interpretation:
        """See the port. A customer of whom nothing was ever posted has nothing to be said of."""
        if not body:
            return Interpreted(())
        return self._interpreted(ref.system, body, Standpoint.READING, read_at)

    def _interpreted(
        self, system: str, body: bytes, standpoint: Standpoint, read_at: datetime | None
    ) -> Interpretation:
        try:
            told = _DECODER.decode(body)
            if told.type != CHANGED:
                return Parked(f"{told.type!r} is not understood yet.")
            owed = Receivable(
                external_id=told.id,
                open=Money.parse(told.open, told.currency),
                overdue=Money.parse(told.overdue, told.currency),
                oldest_due_on=told.oldest_due_on,
            )
        except (msgspec.DecodeError, UnicodeDecodeError, RejectedError) as error:
            return Quarantined(f"What {self._title} said of a customer's debts cannot be read: {error}.")
        observation = Observation(
            ref=ExternalRef(system, RECEIVABLE, told.id),
            root=ExternalRef(system, self._party_type, told.party),
            entity=owed,
            observed_at=told.at if read_at is None else read_at,
            standpoint=standpoint,
            is_copy=True,  # an ERP has customers of its own besides, and what they owe is nobody's of ours
        )
        return Interpreted((observation,))
