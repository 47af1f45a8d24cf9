"""Before room 7 creates a record: is it there already, under another key, merged, moved or thrown away?

True when you leave: a write is addressed to the record that stands today, or it is withheld with a question that a
person can answer; nothing is created beside a record that we knew. Next: `pipeline/deliver.py`, which asks.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Protocol, assert_never

import msgspec

from accordant.canonical.intents import WriteIntent
from accordant.canonical.matching import Candidate, Considered, Evidence, ReviewCase, Rung, Subject, review_case_id
from accordant.canonical.refs import EntityKind, ExternalRef
from accordant.canonical.review import Relink
from accordant.canonical.targets import CurrentRecord, ObjectSpec, Whereabouts
from accordant.identity.relink import HOPS_MAX, Circular, Followed, Gone, Stands, Unasked, follow
from accordant.kernel.clock import Clock
from accordant.kernel.errors import InvariantBroken
from accordant.ports.connector import Outbound


class LinkMemory(Protocol):
    """What the recognizer must remember of accounts. All answers are by account id."""

    def known_records(self, system: str, object_name: str, account_ids: Collection[str]) -> dict[str, str]:
        """The target's id of the record that an account was last known to be."""
        ...

    def subjects(self, account_ids: Collection[str]) -> dict[str, Subject]:
        """What a person must see of a customer to answer a question about it."""
        ...

    def candidates(self, system: str, object_name: str, target_ids: Collection[str]) -> dict[str, Candidate]:
        """What is known of records of the target, by their id."""
        ...


class Recognized(msgspec.Struct, frozen=True, kw_only=True):
    """What was found out about one record.

    ``address`` is set where it must be written by its id, since it does not carry our key; ``before`` is then what it
    holds. ``case`` is the question that withholds the write. ``relink`` is what the crosswalk has to learn.
    """

    address: str | None = None
    before: CurrentRecord | None = None
    relink: Relink | None = None
    case: ReviewCase | None = None


class Recognizer:
    """Follows the records of one round. ``charter`` is the version in force, for the questions it puts."""

    def __init__(self, *, memory: LinkMemory, charter: str, clock: Clock) -> None:
        self._memory = memory
        self._charter = charter
        self._clock = clock

    async def recognize(
        self,
        intents: Sequence[WriteIntent],
        *,
        spec: ObjectSpec,
        held: Mapping[str, CurrentRecord],
        outbound: Outbound,
    ) -> dict[str, Recognized]:
        """What must be known before these are written, by intent id; one that is just as expected is absent.

        ``held`` is what the target answered by key. Only accounts are followed: what hangs below them goes where they
        go. Raises as ``Outbound.read``.
        """
        accounts = [intent for intent in intents if intent.entity.kind is EntityKind.ACCOUNT]
        if not accounts:
            return {}
        target = accounts[0].target
        ids = {intent.entity.id for intent in accounts}
        known = await asyncio.to_thread(partial(self._memory.known_records, target, spec.name, ids))
        found: dict[str, Recognized] = {}
        lost: list[tuple[WriteIntent, str]] = []
        for intent in accounts:
            record, was = held.get(intent.key), known.get(intent.entity.id)
            if was is None:
                continue
            if record is None:
                lost.append((intent, was))
            elif record.target_id != was:
                found[intent.id] = Recognized(relink=_moved(intent, was, record.target_id))
        if lost:
            told = await _ask(outbound, spec, {was for _, was in lost})
            found |= await asyncio.to_thread(self._judge_all, target, spec, lost, told)
        return found

    def _judge_all(
        self,
        target: str,
        spec: ObjectSpec,
        lost: Sequence[tuple[WriteIntent, str]],
        told: Mapping[str, Whereabouts | None],
    ) -> dict[str, Recognized]:
        subjects = self._memory.subjects({intent.entity.id for intent, _ in lost})
        trails = [(intent, follow(was, told)) for intent, was in lost]
        standing = {trail.record.target_id for _, trail in trails if isinstance(trail, Stands)}
        candidates = self._memory.candidates(target, spec.name, standing)
        now = self._clock()
        claimed: dict[str, str] = {}
        found: dict[str, Recognized] = {}
        for intent, trail in trails:
            case = partial(_case, intent, subjects[intent.entity.id], charter=self._charter, now=now)
            # Of several customers whose records became one, the first is written; then its key is on the record.
            found[intent.id] = one = _judge(intent, _claimed(trail, claimed), case, candidates)
            if one.address is not None:
                claimed[one.address] = intent.key
        return found


def _claimed(trail: Followed, claimed: Mapping[str, str]) -> Followed:
    """A record that is about to get a key is seen as having it."""
    if not isinstance(trail, Stands) or trail.record.key is not None:
        return trail
    key = claimed.get(trail.record.target_id)
    return Stands(msgspec.structs.replace(trail.record, key=key), trail.path)


def _judge(
    intent: WriteIntent,
    followed: Followed,
    case: Callable[[str, tuple[Considered, ...]], ReviewCase],
    candidates: Mapping[str, Candidate],
) -> Recognized:
    """The record is not under its key: where is it?"""
    match followed:
        case Stands(record=record) if record.key in (None, intent.key):
            relink = _merged(intent, followed.path) if followed.was_merged else None
            return Recognized(address=record.target_id, before=record.record, relink=relink)
        case Stands(record=record, path=path):
            known = candidates.get(record.target_id) or _bare(intent, record)
            return Recognized(case=case(_taken(intent, path, record), (_survivor(intent, known, record.key or ""),)))
        case Gone(path=path, forgotten=forgotten):
            where = "which no longer knows it" if forgotten else "where it is in the recycle bin"
            return Recognized(
                case=case(
                    f"Somebody deleted the {intent.object} {path[-1]} of this customer in {intent.target}, {where}. "
                    "Nothing was written. Say which record it is now, or that a new one is to be made.",
                    (),
                )
            )
        case Circular(path=path):
            return Recognized(
                case=case(
                    f"In {intent.target} the records {', '.join(path)} name one another as the one they were merged "
                    "into, so nobody can say which of them stands. Say which record it is, or that a new one is to be "
                    "made.",
                    (),
                )
            )
        case Unasked(next_id=next_id):
            raise InvariantBroken(f"{next_id} was to be asked for and was not.")
        case _:
            assert_never(followed)


def _case(
    intent: WriteIntent, subject: Subject, why: str, candidates: tuple[Considered, ...], *, charter: str, now: datetime
) -> ReviewCase:
    return ReviewCase(
        id=review_case_id(intent.entity.id, intent.target, intent.object),
        account_id=intent.entity.id,
        system=intent.target,
        object=intent.object,
        subject=subject,
        why=why,
        candidates=candidates,
        waits=True,
        charter=charter,
        opened_at=now,
    )


async def _ask(outbound: Outbound, spec: ObjectSpec, target_ids: Collection[str]) -> dict[str, Whereabouts | None]:
    """What became of records, and of those they were merged into, until every trail has its end."""
    told: dict[str, Whereabouts | None] = {}
    wanted = set(target_ids)
    for _ in range(HOPS_MAX + 1):
        if not wanted:
            break
        answer = await outbound.whereabouts(spec, sorted(wanted))
        told.update({target_id: answer.get(target_id) for target_id in wanted})
        further = (follow(target_id, told) for target_id in target_ids)
        wanted = {hop.next_id for hop in further if isinstance(hop, Unasked)}
    return told


def _ref(intent: WriteIntent, target_id: str) -> ExternalRef:
    return ExternalRef(intent.target, intent.object, target_id)


def _moved(intent: WriteIntent, was: str, now_at: str) -> Relink:
    why = f"{intent.key} is the key of {now_at} now. It was the key of {was}."
    return Relink(entity=intent.entity, old=_ref(intent, was), new=_ref(intent, now_at), path=(), why=why)


def _merged(intent: WriteIntent, path: tuple[str, ...]) -> Relink:
    why = f"{path[0]} was merged into {path[-1]} in {intent.target}."
    old, new = _ref(intent, path[0]), _ref(intent, path[-1])
    return Relink(entity=intent.entity, old=old, new=new, path=path[1:-1], why=why)


def _taken(intent: WriteIntent, path: tuple[str, ...], record: Whereabouts) -> str:
    told = f"was merged into {record.target_id}, which" if len(path) > 1 else "is still there, but"
    return (
        f"The {intent.object} {path[0]} of {intent.key} {told} carries the key of another customer, {record.key}. "
        f"Accept it if both customers are one in {intent.target}, or have a record of its own made for this one."
    )


def _bare(intent: WriteIntent, record: Whereabouts) -> Candidate:
    """All that can be said of a record the directory has not met."""
    key = () if record.key is None else (record.key,)
    return Candidate(system=intent.target, object=intent.object, id=record.target_id, cross_references=key)


def _survivor(intent: WriteIntent, candidate: Candidate, key: str) -> Considered:
    against = Evidence(
        rung=Rung.CROSS_REFERENCE, what="stored id", ours=intent.key, theirs=key, strength=100, against=True
    )
    return Considered(candidate=candidate, rung=Rung.CROSS_REFERENCE, evidence=(against,))
