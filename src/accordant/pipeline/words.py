"""The hub's own inbound half: what a person says enters the inbox like a delivery and walks the same rooms.

A word names who said it and when, and everything its meaning needs that may be otherwise later: it is read from its
bytes alone, today and in every replay. Next: `operations/word_desk.py`, which takes words.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from accordant.canonical.events import CURRENT_VERSION, BusinessEvent, EventType, business_event
from accordant.canonical.observations import Interpretation, Interpreted, Quarantined
from accordant.canonical.refs import ExternalRef
from accordant.canonical.words import SOURCE, ContractTerms, Said, withdrawal_of
from accordant.kernel.errors import RejectedError
from accordant.kernel.hashing import canonical_json, digest
from accordant.kernel.ids import BusinessEventId
from accordant.kernel.money import Money
from accordant.ledger.orders import EntryOrder, TransactionOrder, entry_event, subject_of, transaction_event
from accordant.ports.connector import Envelope, Inbound, SignatureInvalid
from accordant.ports.inbox import Arrival, InboxEvent, Proof

#: The stamp of a body that cannot be read: older than everything.
_UNSTAMPED_AT = datetime(1970, 1, 1, tzinfo=UTC)


class BillSaid(msgspec.Struct, frozen=True, kw_only=True):
    """What was said of a bill, ``bill`` and ``root`` (its customer) by reference. ``amount`` None: all that is open.

    With ``terms`` it is said of a contract: ``bill`` is a bill of a project or the subscription of a ramp, and
    ``amount`` the price of all of it.
    """

    event: EventType
    bill: ExternalRef
    root: ExternalRef
    key: str
    reason: str
    amount: Money | None = None
    sister: str | None = None
    terms: ContractTerms | None = None


class Withdrawal(msgspec.Struct, frozen=True, kw_only=True):
    """What takes back a word: ``event`` is that of the word, ``subject`` and ``root`` are as there."""

    event: str
    subject: ExternalRef
    root: ExternalRef
    reason: str


class Word(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that a person says: exactly one of ``bill``, ``entry``, ``transaction`` and ``withdrawal``.

    ``by`` is who, ``at`` when; ``occurred_at`` is the moment it is of, fixed when it is said.
    """

    by: str
    at: datetime
    occurred_at: datetime
    bill: BillSaid | None = None
    entry: EntryOrder | None = None
    transaction: TransactionOrder | None = None
    withdrawal: Withdrawal | None = None

    @property
    def name(self) -> str:
        """What makes it one word, however often it is said: its key and what that is a key of."""
        if self.bill is not None:
            return f"{self.bill.event.value}/{self.bill.bill}/{self.bill.key}"
        if self.withdrawal is not None:
            return f"{EventType.WORD_WITHDRAWN.value}/{self.withdrawal.event}"
        return f"{EventType.ENTRY_ORDERED.value}/{self._subject}"

    @property
    def asked(self) -> bytes:
        """The digest of what is said, whoever says it and when: equal for a repeat, another for a key used again."""
        if self.withdrawal is not None:
            return digest(self.withdrawal.event.encode())
        what = self.bill or self.entry or self.transaction
        # Of what is said of one day the microseconds only tell which was said first.
        day = self.occurred_at.replace(microsecond=0).isoformat()
        return digest(canonical_json([day, msgspec.to_builtins(what)]))

    @property
    def _subject(self) -> ExternalRef:
        if self.bill is not None:
            return self.bill.bill
        if self.withdrawal is not None:
            return self.withdrawal.subject
        order = self.entry or self.transaction
        if order is None:
            raise RejectedError("The word says nothing.", remedy="Say it again with what it is about.")
        return subject_of(order)

    def event(self) -> BusinessEvent:
        """What it says, as the rooms read it. Raises RejectedError for what cannot be read."""
        if self.bill is not None:
            said = self.bill
            return business_event(
                said.event,
                subject=said.bill,
                root=said.root,
                occurred_at=self.occurred_at,
                change=f"said/{said.key}",
                amount=said.amount,
                note=said.reason,
                said=Said(by=self.by, sister=said.sister, terms=said.terms),
            )
        if self.withdrawal is not None:
            return self._withdrawn(self.withdrawal)
        if self.entry is not None:
            return entry_event(self.entry, by=self.by, occurred_at=self.occurred_at)
        if self.transaction is not None:
            return transaction_event(self.transaction, by=self.by, occurred_at=self.occurred_at)
        raise RejectedError("The word says nothing.", remedy="Say it again with what it is about.")

    def _withdrawn(self, said: Withdrawal) -> BusinessEvent:
        return BusinessEvent(
            id=BusinessEventId(withdrawal_of(said.event)),
            type=EventType.WORD_WITHDRAWN,
            version=CURRENT_VERSION[EventType.WORD_WITHDRAWN],
            subject=said.subject,
            root=said.root,
            occurred_at=self.occurred_at,
            note=said.reason,
            said=Said(by=self.by),
        )

    def arrival(self) -> Arrival:
        """The word as the inbox keeps it. Raises RejectedError as ``event``."""
        body = canonical_json(self)
        return Arrival(
            connection=SOURCE,
            envelope=self.envelope(),
            headers=msgspec.json.encode({"proof": f"said by {self.by}"}),
            body=body,
            digest=self.asked,
            received_at=self.at,
            proof=Proof.SAID,
        )

    def unstored(self) -> InboxEvent:
        """The word as the rooms would find it in the inbox, to see what it would come to; its number is none's."""
        envelope, arrival = self.envelope(), self.arrival()
        return InboxEvent(
            seq=0,
            connection=SOURCE,
            external_id=envelope.external_id,
            event_type=envelope.event_type,
            lane=f"{SOURCE}:{envelope.lane}",
            occurred_at=envelope.occurred_at,
            received_at=self.at,
            headers=arrival.headers,
            body=arrival.body,
        )

    def envelope(self) -> Envelope:
        """What the inbox must know of it. What is said of one bill is one lane. Raises RejectedError as ``event``."""
        return Envelope(
            external_id=self.name,
            event_type=self.event().type.value,
            lane=str(self._subject),
            occurred_at=self.occurred_at,
        )


_WORDS = msgspec.json.Decoder(Word)


class Words:
    """`ports.connector.Inbound` of the hub itself."""

    def verify(self, *, headers: Mapping[str, str], body: bytes, secrets: Sequence[bytes], now: datetime) -> None:
        """See the port. Nobody delivers a word from outside: who says one has proved who they are at a desk."""
        del headers, body, secrets, now
        raise SignatureInvalid("What persons say is taken at a desk, never at the door.")

    def read_envelope(self, body: bytes) -> Envelope:
        """See the port."""
        try:
            return _WORDS.decode(body).envelope()
        except (msgspec.DecodeError, RejectedError) as error:
            name = digest(body).hex()
            return Envelope(
                external_id=name, event_type="unreadable", lane=name, occurred_at=_UNSTAMPED_AT, defect=str(error)
            )

    def interpret(self, *, system: str, body: bytes) -> Interpretation:
        """See the port."""
        del system
        try:
            return Interpreted(observations=(), business_events=(_WORDS.decode(body).event(),))
        except msgspec.DecodeError as error:
            return Quarantined(f"The word cannot be read: {error}")
        except RejectedError as error:
            return Quarantined(f"The word cannot be read: {error.message}")

    def interpret_object(self, *, ref: ExternalRef, body: bytes, read_at: datetime) -> Interpretation:
        """See the port. Nobody is asked again what a person said."""
        del body, read_at
        return Quarantined(f"{ref} is what a person said, and is read from nowhere else.")


#: The connections that every hub has, whatever its charter says.
OWN: Mapping[str, Inbound] = {SOURCE: Words()}
