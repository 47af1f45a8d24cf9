"""Room 7, the courier: leased intents go to their target, a verdict on each comes back. Only it touches the world.

It reads before it writes: it sends only what differs, notices hand edits, and learns what became of a lost answer.
Policy is asked again here, after the lease and right before the first byte. Next: `pipeline/settle.py`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import datetime
from functools import partial
from itertools import groupby
from typing import TypeVar

import msgspec

from accordant.canonical.charter import MappingPart
from accordant.canonical.intents import (
    AlreadyApplied,
    Applied,
    Compared,
    IntentState,
    RefusalClass,
    Refused,
    Uncertain,
    WireValue,
    WriteOutcome,
    Yielded,
)
from accordant.canonical.targets import CurrentRecord, ObjectSpec, object_spec
from accordant.kernel.errors import AccordantError, InvariantBroken, RejectedError, TransientError
from accordant.pipeline.contest import NO_CONTEST, Contest, Parties, SetAside, Umpire, contest, found_of
from accordant.pipeline.dispatch import Stop
from accordant.pipeline.hold import WRITE_MAX
from accordant.pipeline.recognize import AS_EXPECTED, Recognized, Recognizer
from accordant.pipeline.requests import Requests, View, look
from accordant.pipeline.write_protocol import AskPerson, Wait
from accordant.ports.conflicts import Found
from accordant.ports.connector import (
    AnswerLost,
    Outbound,
    RecordTeller,
    RecordWrite,
    WriteProtocol,
    WriteResult,
    bulk_of,
)
from accordant.ports.last_word import WriteForbidden, last_word
from accordant.ports.outbox import LeasedIntent, Remembering

#: Asked for each intent right before its write, with the fields that would change: None lets it pass.
Gate = Callable[[LeasedIntent, frozenset[str]], Stop | None]
#: Opens a gate with the policy of this very moment; called when a call to the target is made up and when it is sent.
OpenGate = Callable[[], Gate]
#: Keeps conflicts before anything is written over.
Keep = Callable[[Sequence[Found]], Awaitable[None]]
#: The ids of those that stay ours for as long as a write may take.
StillOurs = Callable[[Sequence[LeasedIntent]], Awaitable[frozenset[str]]]


#: Keeps the leases of a round while one call lasts longer than they do.
Kept = Callable[[], AbstractAsyncContextManager[None]]

_Item = TypeVar("_Item")


class Delivered(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one intent.

    ``outcome`` is None when the record itself was not tried: the gate stopped it, an earlier step of its lane failed,
    or the
    whole call failed (``outage``: the target is not working, does not know us, or no longer knows an object or field).
    ``stopped`` says which, ``cancelled`` that the rules changed for good; ``wait_s`` is the pause the target asked
    for, in seconds. None of these counts as an attempt.

    ``aside`` are the fields that were not written although they differ. ``seen`` is what was found out about where the
    record is; a write that it withholds is held, not tried again. ``remember`` is what came of the request that went
    out, where the target's class asks for that. ``is_final``: what became of a request can never be known here, so that
    a person has to look. ``freed`` is a record that was another's and no longer carries this one's key.
    """

    leased: LeasedIntent
    outcome: WriteOutcome | None
    before: CurrentRecord | None = None
    request_id: str | None = None
    stopped: str | None = None
    cancelled: bool = False
    outage: bool = False
    wait_s: float | None = None
    aside: tuple[SetAside, ...] = ()
    seen: Recognized = AS_EXPECTED
    remember: Remembering | None = None
    is_final: bool = False
    freed: str | None = None


async def deliver(
    batch: Sequence[LeasedIntent],
    *,
    outbound: Outbound,
    mappings: Mapping[str, MappingPart],
    umpires: Mapping[str, Umpire],
    open_gate: OpenGate,
    recognizer: Recognizer,
    keep: Keep,
    still_ours: StillOurs,
    requests: Requests,
    now: datetime,
    kept: Kept = nullcontext,
) -> tuple[Delivered, ...]:
    """Deliver intents of one target, at most one of each lane and step at a time.

    Lower steps go first; where one fails, the later steps of its lane are not tried now. ``mappings`` holds the
    mapping of each flow, ``umpires`` what rules on its conflicts; ``recognizer`` follows records that have moved.
    What another courier took over meanwhile is left to it, and has no answer here.
    """
    done: list[Delivered] = []
    failed: set[str] = set()
    ordered = sorted(batch, key=lambda leased: (leased.intent.step, leased.intent.object, leased.intent.flow))
    for (_, _, flow), group in groupby(
        ordered, key=lambda leased: (leased.intent.step, leased.intent.object, leased.intent.flow)
    ):
        members = list(group)
        ready = [leased for leased in members if leased.intent.lane not in failed]
        done += [Delivered(leased=leased, outcome=None) for leased in members if leased.intent.lane in failed]
        spec = object_spec(mappings[flow])
        for part in _parts(ready, _part_max(outbound, len(ready))):
            trip = _Trip(
                target=part[0].intent.target,
                outbound=outbound,
                spec=spec,
                umpire=umpires[flow],
                recognizer=recognizer,
                open_gate=open_gate,
                keep=keep,
                still_ours=still_ours,
                requests=requests,
                protocol=outbound.protocol(spec.name),
                now=now,
                kept=kept,
            )
            results = await _deliver_records(part, trip)
            answered = {one.leased.intent.id for one in results}
            failed |= {leased.intent.lane for leased in part if leased.intent.id not in answered}
            failed |= {
                one.leased.intent.lane
                for one in results
                if one.outcome is None or isinstance(one.outcome, Refused | Uncertain)
            }
            done += results
    return tuple(done)


class _Trip(msgspec.Struct, frozen=True, kw_only=True):
    """All that one call to a target needs besides its records."""

    target: str
    outbound: Outbound
    spec: ObjectSpec
    umpire: Umpire
    recognizer: Recognizer
    open_gate: OpenGate
    keep: Keep
    still_ours: StillOurs
    requests: Requests
    protocol: WriteProtocol
    now: datetime
    kept: Kept


def _part_max(outbound: Outbound, count: int) -> int:
    """How many of ``count`` records of one object go in one call: as many as a job takes, where there are enough."""
    bulky = bulk_of(outbound)
    if bulky is not None and count > bulky.bulk.records_min:
        return bulky.bulk.records_max
    return outbound.batch_max


def _parts(items: list[_Item], size: int) -> Iterator[list[_Item]]:
    return (items[start : start + size] for start in range(0, len(items), size))


async def _deliver_records(batch: list[LeasedIntent], trip: _Trip) -> list[Delivered]:
    spec, outbound = trip.spec, trip.outbound
    try:
        view = await look(
            batch, outbound=outbound, spec=spec, protocol=trip.protocol, requests=trip.requests, now=trip.now
        )
        held = view.held
        intents = [leased.intent for leased in batch if leased.intent.id in view.going]
        found = await trip.recognizer.recognize(intents, spec=spec, held=held, outbound=outbound)
    except AccordantError as error:
        return [_not_tried(_Sifted(leased), error) for leased in batch]
    done = [_not_going(leased, view) for leased in batch if leased.intent.id not in view.going]
    batch = [leased for leased in batch if leased.intent.id in view.going]
    sifted = [
        _sift(leased, held.get(leased.intent.key), found.get(leased.intent.id, AS_EXPECTED), trip) for leased in batch
    ]
    # What is about to be overwritten is on disk before it is: no crash may lose the value that lost.
    await trip.keep([found for one in sifted for found in one.found(trip.now, trip.umpire)])
    done += [_unsent(one, view) for one in sifted if not one.goes_out]
    going = [one for one in sifted if one.goes_out]
    for part in _parts(going, _part_max(outbound, len(going))):
        done += await _dispatch(part, view, trip)
    return done


def _unsent(one: "_Sifted", view: View) -> Delivered:
    """What came of one without anything going out."""
    if one.outcome is not None:
        return _by_class(one.delivered(one.outcome), view)
    return Delivered(leased=one.leased, outcome=None, before=one.before, stopped=one.seen.withheld, seen=one.seen)


async def _dispatch(going: "list[_Sifted]", view: View, trip: _Trip) -> list[Delivered]:
    """Send records in one call; what came of each."""
    done: list[Delivered] = []
    writes = {one.leased.intent.id: _write_of(one, view) for one in going}
    ours = await _claimed([one.leased for one in going], view, trip)
    # Only now, since to prolong leases takes time: nothing is awaited between the policy's answer and the call.
    gate = trip.open_gate()
    to_write: list[tuple[_Sifted, RecordWrite]] = []
    for one in going:
        if one.leased.intent.id not in ours:
            continue
        if (stop := gate(one.leased, one.changing)) is not None:
            done.append(_by_class(one.stopped(stop), view))
        else:
            to_write.append((one, writes[one.leased.intent.id]))
    return done + [_by_class(one, view) for one in await _write(to_write, trip)]


def _write_of(one: "_Sifted", view: View) -> RecordWrite:
    write = view.write_of(one.leased, one.write, one.seen.frees or one.seen.address)
    return msgspec.structs.replace(write, frees=one.seen.frees is not None)


async def _claimed(going: list[LeasedIntent], view: View, trip: _Trip) -> frozenset[str]:
    """Those that stay ours for as long as a write may take.

    That they go out is on disk from here on, where the target could not be asked for it afterwards.
    """
    return await trip.requests.note(view.requests, going) & await trip.still_ours(going)


def _by_class(delivered: Delivered, view: View) -> Delivered:
    """What an outcome means where the target cannot be asked for it."""
    settled = view.settled(delivered.leased, delivered.outcome)
    return msgspec.structs.replace(
        delivered, outcome=settled.outcome, remember=settled.remember, is_final=settled.is_final
    )


def _not_going(leased: LeasedIntent, view: View) -> Delivered:
    """Nothing may be sent: what became of an earlier request is not known yet, or never will be."""
    match view.steps[leased.intent.id]:
        case AskPerson(why=why):
            return Delivered(leased=leased, outcome=Uncertain(why), is_final=True)
        case Wait(why=why) as wait:
            wait_s = max(1.0, (wait.until - view.now).total_seconds())
            return Delivered(leased=leased, outcome=None, stopped=why, wait_s=wait_s)
        case other:
            raise InvariantBroken(f"{leased.intent.id} was to be written: {other}")


class _Sifted(msgspec.Struct, frozen=True):
    """One intent after the read: the fields that go out, or what came of it without any going out."""

    leased: LeasedIntent
    before: CurrentRecord | None = None
    outcome: WriteOutcome | None = None
    write: dict[str, WireValue] = {}
    contest: Contest = NO_CONTEST
    seen: Recognized = AS_EXPECTED

    @property
    def goes_out(self) -> bool:
        """Whether it is to be written, if it may be."""
        return self.outcome is None and self.seen.withheld is None

    @property
    def changing(self) -> frozenset[str]:
        """The fields policy is asked about. What takes a record's key away may do so only if all may be written."""
        return frozenset(self.write if self.seen.frees is None else self.leased.intent.fields)

    def delivered(self, outcome: WriteOutcome, request_id: str | None = None) -> Delivered:
        """What came of it. That another's record was freed is no outcome of this one, which is written next."""
        freed = self.seen.frees
        if freed is not None and isinstance(outcome, Applied):
            said = f"{freed} is another's and no longer carries {self.leased.intent.key}; this record comes next."
            return Delivered(leased=self.leased, outcome=None, before=self.before, stopped=said, freed=freed)
        return Delivered(
            leased=self.leased,
            outcome=outcome,
            before=self.before,
            request_id=request_id,
            aside=self.contest.aside,
            seen=self.seen,
        )

    def stopped(self, stop: Stop) -> Delivered:
        """It may not go out now."""
        return Delivered(
            leased=self.leased,
            outcome=None,
            before=self.before,
            stopped=stop.sentence,
            cancelled=stop.final,
            wait_s=stop.wait_s,
            seen=self.seen,
        )

    def found(self, now: datetime, umpire: Umpire) -> tuple[Found, ...]:
        """The conflicts met on the way."""
        if self.before is None:
            return ()
        intent = self.leased.intent
        return found_of(
            self.contest.contested,
            record=f"{intent.target}:{intent.object}/{intent.key}",
            flow=intent.flow,
            target_id=self.before.target_id,
            account_id=intent.lane.partition(":")[2],
            raw=intent.fields,
            cause=intent.cause,
            found_at=now,
            found_by="courier",
            umpire=umpire,
            known=self.leased.known,
        )


def _sift(leased: LeasedIntent, held: CurrentRecord | None, seen: Recognized, trip: _Trip) -> _Sifted:
    """Compare what is desired with what is held, and settle whose value each differing field may have."""
    intent, spec, outbound, umpire = leased.intent, trip.spec, trip.outbound, trip.umpire
    before = held if seen.before is None else seen.before
    if before is not None:
        leased = _without_once(leased, spec)
        intent = leased.intent
    try:
        desired = outbound.canonical(spec, intent.fields)
    except RejectedError as error:
        refusal = Refused(cause=RefusalClass.DATA_QUALITY, code=type(error).__name__, message=error.message)
        return _Sifted(leased, before, refusal, seen=seen)
    differing = _differing(desired, before)
    if leased.shadow:
        return _Sifted(leased, before, Compared(tuple(sorted(differing))), seen=seen)
    if seen.refusal is not None:
        return _Sifted(leased, before, seen.refusal, seen=seen)
    if before is not None and seen.frees is not None:
        return _Sifted(leased, before, None, _given_back(leased, before, seen.given_back, trip), seen=seen)
    if before is None or seen.address is not None or seen.withheld is not None:
        # A record that we did not write last holds nothing of ours to contest; it lacks our key at least.
        return _Sifted(leased, before, None, differing, seen=seen)
    if not differing:
        probed = leased.was in {IntentState.LEASED, IntentState.UNCERTAIN}
        return _Sifted(leased, before, AlreadyApplied(before.target_id, probed=probed), seen=seen)
    contested = contest(
        desired=desired,
        raw=intent.fields,
        held=before,
        known=leased.known,
        respell=partial(respelled, spec, outbound),
        rule=umpire.rule,
        parties=Parties(
            source=umpire.source,
            target=intent.target,
            said_at=leased.said_at,
            seq=intent.cause,
            changed=frozenset(change.field for change in intent.changes),
        ),
        now=trip.now,
    )
    yielded = None if contested.write else Yielded(before.target_id, tuple(one.field for one in contested.aside))
    return _Sifted(leased, before, yielded, contested.write, contested, seen)


def _without_once(leased: LeasedIntent, spec: ObjectSpec) -> LeasedIntent:
    """The write of a record that is there: what is given once is the target's own by now."""
    once = {name for name, field in spec.fields.items() if field.once}
    if once.isdisjoint(leased.intent.fields):
        return leased
    fields = {name: value for name, value in leased.intent.fields.items() if name not in once}
    changes = tuple(change for change in leased.intent.changes if change.field not in once)
    return msgspec.structs.replace(
        leased, intent=msgspec.structs.replace(leased.intent, fields=fields, changes=changes)
    )


def _given_back(
    leased: LeasedIntent, held: CurrentRecord, first: Mapping[str, WireValue], trip: _Trip
) -> dict[str, WireValue]:
    """What the record held before us, of the fields that still hold what we last wrote and nobody has changed since."""
    ours = {name: mark.value for name, mark in leased.known.marks.items() if name in trip.spec.fields and name in first}
    spelled = respelled(trip.spec, trip.outbound, ours)
    return {
        name: first[name]
        for name in sorted(ours)
        if held.fields.get(name) in (ours[name], spelled.get(name)) and first[name] != held.fields.get(name)
    }


def respelled(spec: ObjectSpec, speller: RecordTeller, values: Mapping[str, WireValue]) -> Mapping[str, WireValue]:
    """Values as the target gives them back: 1200 and 1200.00 are one amount where the target says so."""
    mapped = {name: value for name, value in values.items() if name in spec.fields}
    try:
        return speller.canonical(spec, mapped)
    except RejectedError:
        return mapped  # a value of the wrong type can only differ, and does


async def _write(to_write: list[tuple[_Sifted, RecordWrite]], trip: _Trip) -> list[Delivered]:
    if not to_write:
        return []
    stops: dict[str, Stop] = {}

    def ask_again() -> None:
        """The call may have waited long for its turn: policy is asked once more, as it is when that has come."""
        gate = trip.open_gate()
        asked = ((one.leased, gate(one.leased, one.changing)) for one, _ in to_write)
        stops.update((leased.intent.id, stop) for leased, stop in asked if stop is not None)
        if stops:
            raise WriteForbidden(f"{len(stops)} of {len(to_write)} records of one call may no longer be written.")

    try:
        with last_word(ask_again):
            results = await _call(trip, [write for _, write in to_write])
    except WriteForbidden as error:
        # Those that may go out wait for the next round: their lease has been running while the call waited.
        return [one.stopped(stops.get(one.leased.intent.id, Stop(str(error), final=False))) for one, _ in to_write]
    except TimeoutError:
        lost = Uncertain("The target did not answer within the time a write may take.")
        return [one.delivered(lost) for one, _ in to_write]
    except AnswerLost as error:
        return [one.delivered(Uncertain(error.message)) for one, _ in to_write]
    except AccordantError as error:
        return [_not_tried(one, error) for one, _ in to_write]
    return [
        one.delivered(result.outcome, result.request_id) for (one, _), result in zip(to_write, results, strict=True)
    ]


async def _call(trip: _Trip, writes: list[RecordWrite]) -> tuple[WriteResult, ...]:
    """One call, or one job where there are enough of them. Raises TimeoutError, and as ``Outbound.write``."""
    outbound = trip.outbound
    bulky = bulk_of(outbound)
    if bulky is not None and len(writes) > bulky.bulk.records_min:
        longest = (bulky.bulk.lasts_max + WRITE_MAX).total_seconds()
        async with trip.kept(), trip.requests.jobs.waiting(trip.target) as note, asyncio.timeout(longest):
            return await bulky.write_bulk(trip.spec, writes, note=note)
    async with asyncio.timeout(WRITE_MAX.total_seconds()):
        return await outbound.write(trip.spec, writes)


def _not_tried(one: _Sifted, error: AccordantError) -> Delivered:
    """A whole call that did not go through says nothing about a single record: it waits, without losing an attempt."""
    wait_s = error.retry_after_s if isinstance(error, TransientError) else None
    return Delivered(leased=one.leased, outcome=None, before=one.before, stopped=str(error), outage=True, wait_s=wait_s)


def _differing(desired: Mapping[str, WireValue], before: CurrentRecord | None) -> dict[str, WireValue]:
    """The part of the desired record that the target does not hold. A new record needs no empty fields spelled out."""
    if before is None:
        return {name: value for name, value in desired.items() if value is not None}
    return {name: value for name, value in desired.items() if before.fields.get(name) != value}
