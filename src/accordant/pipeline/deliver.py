"""Room 7, the courier: leased intents go to their target, a verdict on each comes back. Only it touches the world.

It reads before it writes, so it sends only what differs, notices hand edits, and learns what became of a try whose
answer was lost. Policy is asked again here, after the lease and before the first byte. Next: `pipeline/settle.py`.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby

import msgspec

from accordant.canonical.charter import MappingPart
from accordant.canonical.intents import (
    AlreadyApplied,
    Compared,
    IntentState,
    RefusalClass,
    Refused,
    Uncertain,
    WireValue,
    WriteOutcome,
)
from accordant.canonical.targets import CurrentRecord, ObjectSpec, object_spec
from accordant.kernel.errors import AccordantError, RejectedError, TransientError
from accordant.pipeline.dispatch import Stop
from accordant.ports.connector import AnswerLost, Outbound, RecordWrite
from accordant.ports.outbox import LeasedIntent

#: Asked for each intent right before its write, with the fields that would change: None lets it pass.
Gate = Callable[[LeasedIntent, frozenset[str]], Stop | None]
#: Opens a gate with the policy of this very moment; called once for each call to the target.
OpenGate = Callable[[], Gate]


class Delivered(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one intent.

    ``outcome`` is None when the record itself was not tried: the gate stopped it, an earlier step of its lane failed,
    or the
    whole call failed (``outage``: the target is not working, does not know us, or no longer knows an object or field).
    ``stopped`` says which, ``cancelled`` that the rules changed for good; ``wait_s`` is the pause the target asked
    for, in seconds. None of these counts as an attempt.
    """

    leased: LeasedIntent
    outcome: WriteOutcome | None
    before: CurrentRecord | None = None
    request_id: str | None = None
    stopped: str | None = None
    cancelled: bool = False
    outage: bool = False
    wait_s: float | None = None


async def deliver(
    batch: Sequence[LeasedIntent], *, outbound: Outbound, mappings: Mapping[str, MappingPart], open_gate: OpenGate
) -> tuple[Delivered, ...]:
    """Deliver intents of one target, at most one of each lane and step at a time.

    Lower steps go first; where one fails, the later steps of its lane are not tried now. ``mappings`` holds the
    mapping of each flow.
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
        for start in range(0, len(ready), outbound.batch_max):
            results = await _deliver_records(ready[start : start + outbound.batch_max], spec, outbound, open_gate)
            failed |= {
                one.leased.intent.lane
                for one in results
                if one.outcome is None or isinstance(one.outcome, Refused | Uncertain)
            }
            done += results
    return tuple(done)


async def _deliver_records(
    batch: list[LeasedIntent], spec: ObjectSpec, outbound: Outbound, open_gate: OpenGate
) -> list[Delivered]:
    try:
        held = await outbound.read(spec, [leased.intent.key for leased in batch])
    except AccordantError as error:
        return [_not_tried(leased, error, None) for leased in batch]
    gate = open_gate()
    done: list[Delivered] = []
    to_write: list[tuple[LeasedIntent, RecordWrite]] = []
    for leased in batch:
        before = held.get(leased.intent.key)
        try:
            differing = _differing(outbound.canonical(spec, leased.intent.fields), before)
        except RejectedError as error:
            refusal = Refused(cause=RefusalClass.DATA_QUALITY, code=type(error).__name__, message=error.message)
            done.append(Delivered(leased=leased, outcome=refusal, before=before))
            continue
        if leased.shadow:
            done.append(Delivered(leased=leased, outcome=Compared(tuple(sorted(differing))), before=before))
        elif before is not None and not differing:
            probed = leased.was in {IntentState.LEASED, IntentState.UNCERTAIN}
            done.append(
                Delivered(leased=leased, outcome=AlreadyApplied(before.target_id, probed=probed), before=before)
            )
        elif (stop := gate(leased, frozenset(differing))) is not None:
            done.append(
                Delivered(
                    leased=leased,
                    outcome=None,
                    before=before,
                    stopped=stop.sentence,
                    cancelled=stop.final,
                    wait_s=stop.wait_s,
                )
            )
        else:
            write = RecordWrite(key=leased.intent.key, fields=differing, idempotency_key=leased.intent.idempotency_key)
            to_write.append((leased, write))
    return done + await _write(to_write, spec, outbound, held)


async def _write(
    to_write: list[tuple[LeasedIntent, RecordWrite]],
    spec: ObjectSpec,
    outbound: Outbound,
    held: Mapping[str, CurrentRecord],
) -> list[Delivered]:
    if not to_write:
        return []
    try:
        results = await outbound.write(spec, [write for _, write in to_write])
    except AnswerLost as error:
        unknown = Uncertain(error.message)
        return [Delivered(leased=leased, outcome=unknown, before=held.get(leased.intent.key)) for leased, _ in to_write]
    except AccordantError as error:
        return [_not_tried(leased, error, held.get(leased.intent.key)) for leased, _ in to_write]
    return [
        Delivered(
            leased=leased, outcome=result.outcome, before=held.get(leased.intent.key), request_id=result.request_id
        )
        for (leased, _), result in zip(to_write, results, strict=True)
    ]


def _not_tried(leased: LeasedIntent, error: AccordantError, before: CurrentRecord | None) -> Delivered:
    """A whole call that did not go through says nothing about a single record: it waits, without losing an attempt."""
    wait_s = error.retry_after_s if isinstance(error, TransientError) else None
    return Delivered(leased=leased, outcome=None, before=before, stopped=str(error), outage=True, wait_s=wait_s)


def _differing(desired: Mapping[str, WireValue], before: CurrentRecord | None) -> dict[str, WireValue]:
    """The part of the desired record that the target does not hold. A new record needs no empty fields spelled out."""
    if before is None:
        return {name: value for name, value in desired.items() if value is not None}
    return {name: value for name, value in desired.items() if before.fields.get(name) != value}
