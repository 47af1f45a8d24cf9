"""What one call to a target may rest on: what it shows of each record, and which of them may be written now.

A target of class A or C shows everything at once, and nothing is remembered of it. Of the others a request is on disk
before it goes out, and what came of it after. Next: `write_protocol.py` for the rules, `deliver.py`, which asks.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import msgspec

from accordant.canonical.intents import (
    KEY_SPENT,
    AlreadyApplied,
    Applied,
    RefusalClass,
    Refused,
    Uncertain,
    WireValue,
    WriteOutcome,
    Yielded,
)
from accordant.canonical.refs import EntityKind
from accordant.canonical.targets import CurrentRecord, ObjectSpec, Whereabouts
from accordant.kernel.clock import Clock
from accordant.pipeline.handed_jobs import JobKeeper
from accordant.pipeline.write_protocol import Go, Step, key_of, next_step, request_for
from accordant.ports.connector import DestinationClass, Outbound, RecordWrite, WriteProtocol
from accordant.ports.epochs import NEVER_RESTORED, Epoch
from accordant.ports.outbox import LeasedIntent, Remembering, RequestBook, SentRequest


class Requests:
    """The memory of requests, as one process uses it for all its rounds. ``clock`` is the clock of leases.

    How long ago a request went out is counted from when this process first met it, on a clock that nobody steers: the
    moment that was kept may be of another machine, whose watch was wrong.
    """

    def __init__(self, book: RequestBook, clock: Clock) -> None:
        self.epoch = NEVER_RESTORED
        self._book = book
        self._clock = clock
        self._met: dict[str, tuple[SentRequest, datetime]] = {}
        #: Requests that go on at their target, and may outlive us.
        self.jobs = JobKeeper(book.jobs, clock)

    async def recall(self, batch: Sequence[LeasedIntent]) -> dict[str, SentRequest]:
        """The last request for the record of each intent, by record. Raises TransientError."""
        return await asyncio.to_thread(self._book.sent, {record_of(one) for one in batch})

    async def note(self, requests: Mapping[str, SentRequest], batch: Sequence[LeasedIntent]) -> frozenset[str]:
        """Remember requests, by intent id, before they go out; which of the intents are still ours to send.

        Raises TransientError: then nothing may go out.
        """
        if not requests:
            return frozenset(one.intent.id for one in batch)
        return await asyncio.to_thread(self._book.note_sent, requests, batch)

    def waited(self, sent: SentRequest | None) -> timedelta:
        """For how long this process has known the request."""
        if sent is None:
            return timedelta()
        now = self._clock()
        met = self._met.get(sent.record)
        if met is None or met[0] != sent or now < met[1]:
            self._met[sent.record] = met = sent, now
        return now - met[1]

    def forget(self, record: str) -> None:
        """The record was found, or is written anew."""
        self._met.pop(record, None)


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """What an outcome means by the class of its target, and what is to be remembered of the request."""

    outcome: WriteOutcome | None
    remember: Remembering | None = None
    is_final: bool = False


class View:
    """What is known of the records of one call. ``held`` is what each key holds now; ``steps`` are by intent id."""

    def __init__(
        self,
        protocol: WriteProtocol,
        *,
        held: Mapping[str, CurrentRecord],
        sent: Mapping[str, SentRequest],
        steps: Mapping[str, Step],
        epoch: Epoch,
        now: datetime,
    ) -> None:
        self.held = held
        self.steps = steps
        self.now = now
        self._protocol = protocol
        self._sent = sent
        self._epoch = epoch
        #: What has to be remembered before the writes go out, by intent id.
        self.requests: dict[str, SentRequest] = {}

    @property
    def going(self) -> frozenset[str]:
        """The intents that may be written now."""
        return frozenset(name for name, step in self.steps.items() if isinstance(step, Go))

    def write_of(self, leased: LeasedIntent, fields: dict[str, WireValue], address: str | None) -> RecordWrite:
        """The write of one record. Only a target with an upsert finds it by its key."""
        intent, known = leased.intent, self.held.get(leased.intent.key)
        if self._protocol.destination_class is not DestinationClass.NATIVE_UPSERT and known is not None:
            address = address or known.target_id
        key = key_of(leased, epoch=self._epoch)
        if self._protocol.is_remembered:
            record = record_of(leased)
            request = request_for(
                self._protocol,
                self._sent.get(record),
                leased,
                record=record,
                fields=fields,
                target_id=address,
                epoch=self._epoch,
                now=self.now,
            )
            self.requests[intent.id] = request
            key = request.idempotency_key
        return RecordWrite(key=intent.key, fields=fields, idempotency_key=key, target_id=address)

    def settled(self, leased: LeasedIntent, outcome: WriteOutcome | None) -> Settled:
        """What came of one intent: a passing failure of a target that cannot be asked may have been a success."""
        if not self._protocol.is_remembered:
            return Settled(outcome=outcome)
        record = record_of(leased)
        before, request = self._sent.get(record), self.requests.get(leased.intent.id)
        kept: SentRequest | None
        match outcome:
            case Applied(target_id=target_id) | AlreadyApplied(target_id=target_id) | Yielded(target_id=target_id):
                last = request or before
                if last is None:
                    return Settled(outcome=outcome)
                kept = msgspec.structs.replace(last, answered_at=self.now, target_id=target_id)
            case Refused(cause=RefusalClass.TRANSIENT, message=message) if self._is_at_most_once:
                return Settled(outcome=Uncertain(message), is_final=True)
            case Uncertain() if request is not None:
                return Settled(outcome=outcome, is_final=self._is_at_most_once)
            case Refused(code=code) if code == KEY_SPENT and request is not None:
                kept = msgspec.structs.replace(request, idempotency_key="")
            case Refused(cause=RefusalClass.TRANSIENT):
                return Settled(outcome=outcome)
            case Refused() if request is not None and self._protocol.key_life is not None:
                # Its key stands for this refusal from now on: what a person has put right goes out under another.
                kept = msgspec.structs.replace(request, answered_at=self.now)
            case Refused():
                kept = before if before is not None and before.answered_at is not None else None
            case None if request is not None:
                kept = before
            case _:
                return Settled(outcome=outcome)
        return Settled(outcome=outcome, remember=Remembering(record=record, request=kept))

    @property
    def _is_at_most_once(self) -> bool:
        return self._protocol.destination_class is DestinationClass.NOTHING


async def look(
    batch: Sequence[LeasedIntent],
    *,
    outbound: Outbound,
    spec: ObjectSpec,
    protocol: WriteProtocol,
    requests: Requests,
    now: datetime,
) -> View:
    """Read what a target holds of these records, and decide which may be written. Raises as ``Outbound.read``."""
    is_asked = protocol.destination_class is not DestinationClass.NOTHING
    held = await outbound.read(spec, [one.intent.key for one in batch]) if is_asked else {}
    sent = await requests.recall(batch) if protocol.is_remembered else {}
    known = {
        one.intent.key: (one, target_id)
        for one in batch
        if one.intent.key not in held and (target_id := _told_id(sent.get(record_of(one)))) is not None
    }
    if known and is_asked:
        # A search may not show it yet; by its own id it is there at once.
        places = await outbound.whereabouts(spec, sorted({target_id for _, target_id in known.values()}))
        held = held | {
            key: place.record
            for key, (one, target_id) in known.items()
            if (place := places.get(target_id)) is not None and not place.deleted and not _is_stripped(one, place)
        }
    elif known:
        held = {key: _as_written(one, target_id) for key, (one, target_id) in known.items()}
    steps: dict[str, Step] = {}
    for one in batch:
        request = sent.get(record_of(one))
        is_found = one.intent.key in held
        steps[one.intent.id] = (
            Go()
            if one.shadow
            else next_step(
                protocol,
                request,
                one,
                found=is_found,
                waited=timedelta() if is_found else requests.waited(request),
                epoch=requests.epoch,
                now=now,
            )
        )
        if isinstance(steps[one.intent.id], Go):
            requests.forget(record_of(one))
    return View(protocol, held=held, sent=sent, steps=steps, epoch=requests.epoch, now=now)


def record_of(leased: LeasedIntent) -> str:
    """The name of the record an intent writes."""
    intent = leased.intent
    return f"{intent.target}:{intent.object}/{intent.key}"


def _is_stripped(leased: LeasedIntent, place: Whereabouts) -> bool:
    """Whether it is a posted document whose key somebody took off: it is there, and is never written under that key."""
    return place.key is None and leased.intent.entity.kind is EntityKind.LEDGER_DOCUMENT


def _told_id(sent: SentRequest | None) -> str | None:
    return None if sent is None else sent.target_id


def _as_written(leased: LeasedIntent, target_id: str) -> CurrentRecord:
    """A record that nobody can read: what we wrote into it last."""
    return CurrentRecord(target_id=target_id, fields={name: mark.value for name, mark in leased.known.marks.items()})
