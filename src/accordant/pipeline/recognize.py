"""Before room 7 creates a record: is it there already, under another key, merged, moved or thrown away?

True when you leave: a write is addressed to the record that stands today, or it is withheld with a question that a
person can answer; nothing is created beside a record that we knew. Next: `pipeline/deliver.py`, which asks.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import assert_never

import msgspec

from accordant.canonical.charter import IdentityPart, RecordAttribute
from accordant.canonical.intents import RefusalClass, Refused, WireValue, WriteIntent
from accordant.canonical.matching import (
    Candidate,
    Considered,
    Evidence,
    Matched,
    MatchVerdict,
    NeedsReview,
    ReviewCase,
    Rung,
    Subject,
    Unmatched,
    review_case_id,
)
from accordant.canonical.refs import EntityKind, ExternalRef
from accordant.canonical.review import Relink
from accordant.canonical.targets import CurrentRecord, IdentitySpec, ObjectSpec, Whereabouts
from accordant.identity.ladder import Ladder
from accordant.identity.relink import HOPS_MAX, Circular, Followed, Gone, Stands, Unasked, follow
from accordant.kernel.clock import Clock
from accordant.kernel.errors import InvariantBroken
from accordant.ports.connector import Outbound
from accordant.ports.review import LinkMemory, Remembered

_NOTHING = Remembered()


class Recognized(msgspec.Struct, frozen=True, kw_only=True):
    """What was found out about one record.

    ``address`` is set where it must be written by its id, since it does not carry our key; ``before`` is then what it
    holds. ``withheld`` says why nothing may be written, ``case`` is the new question behind that, where there is one.
    ``relink`` is what the crosswalk has to learn. ``frees`` is a record that carries our key although a person said
    that it is another's: the key is taken off it first. ``given_back`` is what it held before we ever wrote into it.
    ``refusal`` says why it must not be made a second time.
    """

    address: str | None = None
    before: CurrentRecord | None = None
    relink: Relink | None = None
    withheld: str | None = None
    case: ReviewCase | None = None
    frees: str | None = None
    given_back: dict[str, WireValue] = {}
    refusal: Refused | None = None


AS_EXPECTED = Recognized()


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """How a target is searched before a record is created in it: the charter's ladder and fields for it."""

    ladder: Ladder
    fields: dict[RecordAttribute, str]
    reference_key: str | None

    @classmethod
    def of(cls, part: IdentityPart, target: str) -> "Search":
        """The search of a charter's identity part at one target."""
        return cls(
            ladder=Ladder.of(part), fields=part.fields.get(target, {}), reference_key=part.references.get(target)
        )


class Recognizer:
    """Recognizes the records of one round at one target.

    ``charter`` is the version in force, for the questions that are put; without ``search`` nothing is searched for.
    """

    def __init__(self, *, memory: LinkMemory, search: Search | None, charter: str, clock: Clock) -> None:
        self._memory = memory
        self._search = search
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
        go, and waits where they wait. A ledger document that was made is looked for by its id before it is made again.
        Raises as ``Outbound.read``.
        """
        led = [intent for intent in intents if intent.address is not None and intent.key not in held]
        found = await _follow_address(led, spec, outbound) if led else {}
        intents = [intent for intent in intents if intent.id not in found]
        if not intents:
            return found
        found |= await self._made_before([one for one in intents if one.key not in held], spec, outbound)
        target = intents[0].target
        accounts = {intent.id: _account_of(intent) for intent in intents}
        recall = partial(self._memory.remember, target, spec.name, frozenset(accounts.values()))
        memory = await asyncio.to_thread(recall)
        lost: list[tuple[WriteIntent, str]] = []
        fresh: list[tuple[WriteIntent, Remembered]] = []
        for intent in intents:
            kept, record = memory.get(accounts[intent.id], _NOTHING), held.get(intent.key)
            if kept.waiting is not None:
                found[intent.id] = Recognized(withheld=kept.waiting)
            elif intent.entity.kind is not EntityKind.ACCOUNT:
                continue
            elif record is None and kept.target_id is not None:
                lost.append((intent, kept.target_id))
            elif record is None:
                fresh.append((intent, kept))
            elif record.target_id in kept.rejected:
                found[intent.id] = await self._another_s(intent, record.target_id, outbound)
            elif kept.target_id not in (None, record.target_id):
                found[intent.id] = await asyncio.to_thread(self._elsewhere, intent, kept, record.target_id)
        if lost:
            told = await _ask(outbound, spec, {was for _, was in lost})
            found |= await asyncio.to_thread(self._judge_all, target, spec, lost, told)
        if fresh and self._search is not None:
            found |= await self._look_around(fresh, self._search, spec, outbound)
        return found

    async def _made_before(
        self, missing: Sequence[WriteIntent], spec: ObjectSpec, outbound: Outbound
    ) -> dict[str, Recognized]:
        """Documents that are under their key no more and were made: one that stands there is not made a second time.

        What was deleted there is absent from the answer, and an id that stands for another of our documents by now (a
        target that was set back gives its ids out again) is not this one's: both are made anew.
        """
        documents = [one for one in missing if one.entity.kind is EntityKind.LEDGER_DOCUMENT]
        if not documents:
            return {}
        recall = partial(
            self._memory.confirmed, documents[0].target, spec.name, frozenset(one.key for one in documents)
        )
        made = await asyncio.to_thread(recall)
        if not made:
            return {}
        told = await outbound.whereabouts(spec, sorted(set(made.values())))
        found: dict[str, Recognized] = {}
        for intent in documents:
            there = told.get(made.get(intent.key, ""))
            if there is None or there.key not in (None, intent.key):
                continue
            found[intent.id] = (
                Recognized(refusal=_key_taken_off(intent, there.target_id))
                if there.key is None
                else Recognized(address=there.target_id, before=there.record)
            )
        return found

    def _put(self, intent: WriteIntent, why: str, candidates: tuple[Considered, ...]) -> Recognized:
        """A question about one customer, with what the write waits for."""
        subject = self._memory.subjects({intent.entity.id}, reference_key=None)[intent.entity.id]
        return _asked(_case(intent, subject, why, candidates, charter=self._charter, now=self._clock()))

    async def _another_s(self, intent: WriteIntent, record_id: str, outbound: Outbound) -> Recognized:
        """A person said that the record which carries our key is another's: give it back, and then go on without it.

        Where the target cannot be asked at once what became of a write, a person does it: nobody could tell that one
        from the write of the record itself.
        """
        if outbound.protocol(intent.object).is_remembered:
            return await asyncio.to_thread(self._refused, intent, record_id)
        recall = partial(self._memory.found_there, intent.target, intent.object, intent.key, record_id)
        return Recognized(frees=record_id, given_back=await asyncio.to_thread(recall))

    def _refused(self, intent: WriteIntent, record_id: str) -> Recognized:
        why = (
            f"{intent.target} holds the key {intent.key} on {record_id}, of which a person said that it is another's. "
            f"Empty {intent.key_field} of that record there, then undo or decide: a {intent.object} of its own, or "
            "another record."
        )
        return self._put(intent, why, ())

    def _elsewhere(self, intent: WriteIntent, kept: Remembered, now_at: str) -> Recognized:
        """The key is on another record than the one we know: it was moved there, or never came to ours."""
        was = kept.target_id or now_at
        if not kept.by_person or self._memory.was_written(intent.target, {was}):
            return Recognized(relink=_moved(intent, was, now_at))
        why = (
            f"A person chose {was} for {intent.key}, and {intent.target} holds that key on {now_at}. Merge {now_at} "
            f"into {was} there or take the key off it, then accept {was} again; or accept {now_at}."
        )
        known = self._memory.candidates(intent.target, intent.object, {was, now_at})
        offered = (known.get(one) or _bare(intent, one, None) for one in (was, now_at))
        return self._put(
            intent, why, tuple(Considered(candidate=one, rung=Rung.CROSS_REFERENCE, evidence=()) for one in offered)
        )

    async def _look_around(
        self, fresh: Sequence[tuple[WriteIntent, Remembered]], search: Search, spec: ObjectSpec, outbound: Outbound
    ) -> dict[str, Recognized]:
        """Is somebody there that the directory did not know of? A person who wanted a new record has said no."""
        open_ones = [(intent, kept) for intent, kept in fresh if not kept.by_person]
        ids = frozenset(intent.entity.id for intent, _ in open_ones)
        if not ids:
            return {}
        recall = partial(self._memory.subjects, ids, reference_key=search.reference_key)
        subjects = await asyncio.to_thread(recall)
        keys = {name: search.ladder.keys_of(subject) for name, subject in subjects.items()}
        where = IdentitySpec(
            system=open_ones[0][0].target, object=spec.name, key_field=spec.key_field, fields=search.fields
        )
        records = await outbound.search(where, frozenset().union(*keys.values()))
        there = [(record, search.ladder.reader.record(record).keys()) for record in records]
        found: dict[str, Recognized] = {}
        for intent, kept in open_ones:
            subject = subjects[intent.entity.id]
            alike = {
                record.id: record
                for record, theirs in there
                if not keys[intent.entity.id].isdisjoint(theirs) and record.id not in kept.rejected | kept.kin
            }
            question = _doubt(search.ladder.climb(subject, alike), intent)
            if question is not None:
                why, candidates = question
                found[intent.id] = _asked(
                    _case(intent, subject, why, candidates, charter=self._charter, now=self._clock())
                )
        return found

    def _judge_all(
        self,
        target: str,
        spec: ObjectSpec,
        lost: Sequence[tuple[WriteIntent, str]],
        told: Mapping[str, Whereabouts | None],
    ) -> dict[str, Recognized]:
        subjects = self._memory.subjects({intent.entity.id for intent, _ in lost}, reference_key=None)
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


async def _follow_address(led: Sequence[WriteIntent], spec: ObjectSpec, outbound: Outbound) -> dict[str, Recognized]:
    """Records that are known by the target's own id and do not carry our key yet. Raises as ``Outbound.read``."""
    told = await outbound.whereabouts(spec, sorted({str(intent.address) for intent in led}))
    found: dict[str, Recognized] = {}
    for intent in led:
        there = told.get(str(intent.address))
        name = f"{intent.target}:{intent.object}/{intent.address}"
        if there is None or there.deleted:
            why = (
                f"{name} is this company's and is gone there. Nothing was written; say in the CRM which one it is now."
            )
            found[intent.id] = Recognized(withheld=why)
        elif there.key not in (None, intent.key):
            why = f"{name} carries the key of another company, {there.key}. Nothing was written: free it there."
            found[intent.id] = Recognized(withheld=why)
        else:
            found[intent.id] = Recognized(address=there.target_id, before=there.record)
    return found


def _key_taken_off(intent: WriteIntent, target_id: str) -> Refused:
    why = (
        f"{target_id} of {intent.target} is the document {intent.key}, and somebody took that key off it there. It was "
        f"not made a second time. Put {intent.key} back where it was, then redrive this write."
    )
    return Refused(cause=RefusalClass.BUSINESS_RULE, code="KEY_TAKEN_OFF", message=why)


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
            known = candidates.get(record.target_id) or _bare(intent, record.target_id, record.key)
            return _asked(case(_taken(intent, path, record), (_survivor(intent, known, record.key or ""),)))
        case Gone(path=path, forgotten=forgotten):
            where = "which no longer knows it" if forgotten else "where it is in the recycle bin"
            return _gone(
                case(
                    f"Somebody deleted the {intent.object} {path[-1]} of this customer in {intent.target}, {where}. "
                    "Nothing was written. Say which record it is now, or that a new one is to be made.",
                    (),
                )
            )
        case Circular(path=path):
            return _asked(
                case(
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


def _bare(intent: WriteIntent, target_id: str, key: str | None) -> Candidate:
    """All that can be said of a record the directory has not met."""
    keys = () if key is None else (key,)
    return Candidate(system=intent.target, object=intent.object, id=target_id, cross_references=keys)


def _survivor(intent: WriteIntent, candidate: Candidate, key: str) -> Considered:
    against = Evidence(
        rung=Rung.CROSS_REFERENCE, what="stored id", ours=intent.key, theirs=key, strength=100, against=True
    )
    return Considered(candidate=candidate, rung=Rung.CROSS_REFERENCE, evidence=(against,))


def _account_of(intent: WriteIntent) -> str:
    """The account whose lane a write is in."""
    return intent.lane.partition(":")[2]


def _gone(case: ReviewCase) -> Recognized:
    return _asked(msgspec.structs.replace(case, record_gone=True))


def _asked(case: ReviewCase) -> Recognized:
    return Recognized(withheld=case.why, case=case)


def _doubt(verdict: MatchVerdict, intent: WriteIntent) -> tuple[str, tuple[Considered, ...]] | None:
    """Why a person has to look before a record is created, or None where nobody is like this customer."""
    match verdict:
        case Unmatched():
            return None
        case NeedsReview(candidates=candidates, why=why):
            return (
                (f"{intent.target} was searched before a record was created: {why}", candidates) if candidates else None
            )
        case Matched(candidate=candidate, rung=rung, evidence=evidence):
            why = (
                f"{intent.target} was searched before a record was created, and {candidate.id} was found by its "
                f"{rung.value.replace('_', ' ')}. The last scan did not know of it."
            )
            return why, (Considered(candidate=candidate, rung=rung, evidence=evidence),)
        case _:
            assert_never(verdict)
