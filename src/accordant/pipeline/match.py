"""Between rooms 4 and 5: which record of a target is this account's? Nothing is created before that is known.

True when you leave: each account has a seat at each searched target: the record its facts go to, or why they wait.
Next: `pipeline/plan.py`, which writes for seats; the ladder is `identity/ladder.py`.
"""

from collections.abc import Iterable, Mapping
from typing import assert_never

import msgspec

from accordant.canonical.charter import Charter, FlowPart, IdentityPart, MappingPart, Phase, identity_systems
from accordant.canonical.entities import Account
from accordant.canonical.matching import (
    PENDING_PREFIX,
    Candidate,
    Considered,
    Matched,
    MatchKey,
    MatchVerdict,
    NeedsReview,
    RecordLink,
    ReviewCase,
    Rung,
    Subject,
    Unmatched,
    UnmatchedPolicy,
    review_case_id,
)
from accordant.canonical.refs import EntityKind, ExternalRef
from accordant.canonical.targets import IdentitySpec
from accordant.identity.ladder import Ladder
from accordant.identity.subject import own_record, own_way, subject_of
from accordant.pipeline.workbench import ACTOR, Workbench
from accordant.ports.directory import DirectoryEntry
from accordant.ports.matching import Pair
from accordant.ports.state import StoredEntity


class Matcher(msgspec.Struct, frozen=True, kw_only=True):
    """How accounts are matched with the records ``spec`` names. ``sources`` are the systems whose accounts go there."""

    spec: IdentitySpec
    sources: frozenset[str]
    ladder: Ladder
    reference_key: str | None
    charter: str

    @classmethod
    def of(
        cls, part: IdentityPart, mapping: MappingPart, *, system: str, sources: Iterable[str], charter: str
    ) -> "Matcher":
        """The matcher of a charter's identity part for one target."""
        fields = part.fields.get(system, {})
        return cls(
            spec=IdentitySpec(system=system, object=mapping.object, key_field=mapping.key_field, fields=fields),
            sources=frozenset(sources),
            ladder=Ladder.of(part),
            reference_key=part.references.get(system),
            charter=charter,
        )

    @property
    def system(self) -> str:
        """The target."""
        return self.spec.system

    @property
    def object(self) -> str:
        """The target's object."""
        return self.spec.object


def matchers_of(charter: Charter, flows: Iterable[tuple[FlowPart, MappingPart]]) -> dict[str, Matcher]:
    """One for each target in which the charter has the records of accounts looked for."""
    if charter.identity is None:
        return {}
    mappings: dict[str, MappingPart] = {}
    sources: dict[str, set[str]] = {}
    for flow, mapping in flows:
        is_looked_for = flow.entity is EntityKind.ACCOUNT and flow.target in identity_systems(charter)
        if is_looked_for and flow.phase is not Phase.DRAFT:
            mappings[flow.target] = mapping
            sources.setdefault(flow.target, set()).add(flow.source)
    return {
        target: Matcher.of(charter.identity, mapping, system=target, sources=sources[target], charter=charter.version)
        for target, mapping in sorted(mappings.items())
    }


class Seated(msgspec.Struct, frozen=True, kw_only=True):
    """The record an account's facts go to. ``members`` are the accounts it stands for, the one that names it first.

    ``parent`` is the key of the record it stands below.
    """

    key: str
    members: tuple[str, ...]
    parent: str | None = None


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """The account's facts go nowhere at this target, for now; ``why`` is a sentence."""

    why: str


Seat = Seated | Waiting
#: By account and target. An account that is not there has no need of a seat: its target is not searched.
Seats = dict[tuple[str, str], Seat]


def seat_accounts(accounts: Iterable[StoredEntity], bench: Workbench, matchers: Mapping[str, Matcher]) -> Seats:
    """Find the record of each account at each target, and lay down what was found out."""
    waiting = [
        (stored, matcher)
        for stored in accounts
        for matcher in matchers.values()
        if stored.source.system in matcher.sources
    ]
    if not waiting:
        return {}
    bench.matching.load({stored.ref.id for stored, _ in waiting})
    matchings = [
        _Matching(stored, matcher, bench)
        for stored, matcher in sorted(waiting, key=lambda pair: (pair[1].system, pair[0].ref.id))
    ]
    for matcher in matchers.values():
        asked = dict(one.question() for one in matchings if one.matcher is matcher)
        bench.matching.foresee(matcher.system, matcher.object, asked)
    seats = {(one.account_id, one.matcher.system): one.settle() for one in matchings}
    taken = {place: _seated(link, bench) if isinstance(link, RecordLink) else link for place, link in seats.items()}
    shared = [seat for seat in taken.values() if isinstance(seat, Seated) and len(seat.members) > 1]
    if shared:
        bench.load_shared({name for seat in shared for name in seat.members})
        bench.matching.changes.groups.update(seat.key for seat in shared)
    return taken


def seat_of(account_id: str, matcher: Matcher, bench: Workbench) -> Seated | None:
    """The record an account is linked to at a target, if the bench knows of any."""
    link = bench.matching.link_of(account_id, matcher.system, matcher.object)
    return None if link is None else _seated(link, bench)


def _seated(link: RecordLink, bench: Workbench) -> Seated:
    """The account whose own id is the record's key comes first; without it, the one that came first."""
    members = sorted(
        bench.matching.sharers(link), key=lambda one: (_own_key(one, bench) != link.key, one.linked_at, one.account_id)
    )
    return Seated(key=link.key, members=tuple(one.account_id for one in members), parent=link.parent)


def _own_key(link: RecordLink, bench: Workbench) -> str | None:
    bench.load_entities([link.account_id])
    account = bench.account(link.account_id)
    return None if account is None else account.external_id


class _Matching:
    """One account at one target."""

    def __init__(self, stored: StoredEntity, matcher: Matcher, bench: Workbench) -> None:
        account = stored.entity
        assert isinstance(account, Account)  # noqa: S101  the caller has looked; said for the type checker
        self._stored = stored
        self.matcher = matcher
        self._bench = bench
        self._subject = subject_of(stored.ref.id, account, reference_key=matcher.reference_key)
        self._table = bench.matching

    @property
    def account_id(self) -> str:
        """The account."""
        return self._stored.ref.id

    def question(self) -> tuple[str, frozenset[MatchKey]]:
        """The account's own way into the directory, and under which keys its record is to be looked for, if at all."""
        is_sought = self._decided() is None and (self.matcher.system, self.matcher.object) in self._table.known.scanned
        return own_way(self._subject), self.matcher.ladder.keys_of(self._subject) if is_sought else frozenset()

    def settle(self) -> RecordLink | Waiting:
        """Find the record, and see to it that what billing knows of the customer now leads others to it, or nowhere."""
        seat = self._decided() or self._search()
        if isinstance(seat, RecordLink):
            self._show(seat, self._subject)
        elif self._table.way(self.matcher.system, self.matcher.object, own_way(self._subject)) is not None:
            self._table.drop_way(self.matcher.system, self.matcher.object, own_way(self._subject))
        return seat

    def _decided(self) -> RecordLink | None:
        """What was decided before stands; what is only planned is looked at again, since a record may have come."""
        link = self._table.link_of(self._stored.ref.id, self.matcher.system, self.matcher.object)
        if link is not None and link.actor == ACTOR and self._is_rolled_up(link):
            return None  # the charter keeps customers apart now
        is_firm = link is not None and (link.target_id is not None or link.actor != ACTOR)
        return link if is_firm or self._written() is not None else None

    def _is_rolled_up(self, link: RecordLink) -> bool:
        return self.matcher.ladder.keeps_apart and link.key != self._subject.external_id

    def _search(self) -> RecordLink | Waiting:
        matcher = self.matcher
        link = self._table.link_of(self._stored.ref.id, matcher.system, matcher.object)
        written = self._written()
        if link is None and written is not None:
            return self._keep(self._link(target_id=written, rung=Rung.CROSS_REFERENCE))
        if (matcher.system, matcher.object) not in self._table.known.scanned:
            return Waiting(
                why=f"The records of {matcher.system} were not read yet, so nobody knows which is this customer's. "
                f"`accordant identity scan {matcher.system}` reads them."
            )
        return self._act(self._climb(), link)

    def _written(self) -> str | None:
        """The record the crosswalk has for this account: it was written before anybody matched."""
        refs = self._table.known.written.get(self._stored.ref.id, ())
        mine = (ref.id for ref in refs if (ref.system, ref.object_type) == (self.matcher.system, self.matcher.object))
        return next(mine, None)

    def _climb(self) -> MatchVerdict:
        matcher = self.matcher
        keys = matcher.ladder.keys_of(self._subject)
        found = self._table.lookup(matcher.system, matcher.object, keys)
        own = own_way(self._subject)
        # Whose record is planned already may have others below it: none of them is its own.
        below = own if self._table.link_of(self._stored.ref.id, matcher.system, matcher.object) else None
        records = {
            name: record
            for name, record in found.records.items()
            if name != own
            and (below is None or record.parent_id != below)
            and not self._is_rejected(name)
            and not self._is_rejected(record.merged_into)
        }
        return matcher.ladder.climb(self._subject, records, crowded=found.crowded)

    def _is_rejected(self, target_id: str | None) -> bool:
        """Whether a person said of a record that it is not this customer's: another's way to it leads there no less."""
        return target_id is not None and self._pair(target_id) in self._table.known.rejected

    def _pair(self, target_id: str) -> Pair:
        return Pair(
            account_id=self._stored.ref.id,
            system=self.matcher.system,
            object=self.matcher.object,
            target_id=target_id,
        )

    def _act(self, verdict: MatchVerdict, before: RecordLink | None) -> RecordLink | Waiting:
        match verdict:
            case Matched():
                return self._take(verdict)
            case NeedsReview(candidates=candidates, why=why):
                return self._ask(candidates, why, waits=True)
            case Unmatched(policy=UnmatchedPolicy.LEAVE):
                return Waiting(
                    why=f"No {self.matcher.object} of {self.matcher.system} is this customer's, and the charter "
                    "leaves such customers out."
                )
            case Unmatched():
                return before if before is not None else self._create(verdict)
            case _:
                assert_never(verdict)

    def _take(self, verdict: Matched) -> RecordLink | Waiting:
        """A record was found. One that holds the id of another customer known here is shared with that one."""
        record = verdict.candidate
        holder = self._holder(record)
        if holder is not None and self.matcher.ladder.keeps_apart:
            return self._stand_below(holder, verdict)
        if holder is not None:
            flags = (*verdict.flags, f"The record is {holder.key}'s too: their figures are added up in it.")
            link = self._link(target_id=holder.target_id, rung=verdict.rung)
            return self._keep(msgspec.structs.replace(link, key=holder.key, evidence=verdict.evidence, flags=flags))
        strange = [ref for ref in record.cross_references if ref != self._subject.external_id]
        if strange:
            considered = Considered(candidate=record, rung=verdict.rung, evidence=verdict.evidence)
            why = f"{record.id} holds the id of another customer, {strange[0]}, that is not known here."
            return self._ask((considered,), why, waits=True)
        ref = ExternalRef(self.matcher.system, self.matcher.object, record.id)
        if ref not in self._bench.links:
            self._bench.link(ref, self._stored.ref)
        link = self._link(target_id=record.id, rung=verdict.rung)
        return self._keep(msgspec.structs.replace(link, evidence=verdict.evidence, flags=verdict.flags))

    def _stand_below(self, holder: RecordLink, verdict: Matched) -> RecordLink | Waiting:
        """Another customer of the company has the record: this one gets its own below the company's first."""
        line = self._line_above(holder)
        if self._subject.external_id in line:
            considered = Considered(candidate=verdict.candidate, rung=verdict.rung, evidence=verdict.evidence)
            why = (
                f"{verdict.candidate.id} stands below this customer's own record, so it cannot stand above it as well."
            )
            return self._ask((considered,), why, waits=True)
        flags = (*verdict.flags, f"The record is {holder.key}'s: this customer gets one of its own below {line[-1]}'s.")
        link = self._link(target_id=None, rung=verdict.rung)
        return self._keep(msgspec.structs.replace(link, parent=line[-1], evidence=verdict.evidence, flags=flags))

    def _line_above(self, link: RecordLink) -> list[str]:
        """The keys from a record up to the one that stands below no other."""
        line = [link.key]
        above = link.parent
        while above is not None and above not in line:
            line.append(above)
            found = self._table.holders(link.system, link.object, f"{PENDING_PREFIX}{above}")
            above = next((one.parent for one in found), None)
        return line

    def _holder(self, record: Candidate) -> RecordLink | None:
        """The link of another customer to this record, kept or implied by what was written before."""
        matcher, own = self.matcher, self._stored.ref.id
        for link in self._table.holders(matcher.system, matcher.object, record.id):
            if link.account_id != own:
                return link
        ref = ExternalRef(matcher.system, matcher.object, record.id)
        self._bench.load_links([ref])
        owner = self._bench.links.get(ref)
        if owner is None or owner.id == own or owner.kind is not EntityKind.ACCOUNT:
            return None
        self._bench.load_entities([owner.id])
        account = self._bench.account(owner.id)
        if account is None:
            return None
        link = self._link(target_id=record.id, rung=Rung.CROSS_REFERENCE)
        kept = msgspec.structs.replace(link, account_id=owner.id, key=account.external_id)
        return self._keep(kept, subject_of(owner.id, account, reference_key=matcher.reference_key))

    def _create(self, verdict: Unmatched) -> RecordLink:
        """Nobody's yet: a new record, which whoever comes next is to find before it is there."""
        link = self._keep(self._link(target_id=None, rung=None))
        if verdict.policy is UnmatchedPolicy.HYBRID:
            self._ask(verdict.hints, "No record was known to be this customer's, so one was created.", waits=False)
        return link

    def _link(self, *, target_id: str | None, rung: Rung | None) -> RecordLink:
        return RecordLink(
            account_id=self._stored.ref.id,
            system=self.matcher.system,
            object=self.matcher.object,
            key=self._subject.external_id,
            target_id=target_id,
            rung=rung,
            evidence=(),
            charter=self.matcher.charter,
            actor=ACTOR,
            linked_at=self._bench.now,
        )

    def _keep(self, link: RecordLink, subject: Subject | None = None) -> RecordLink:
        """Keep a link (of another customer where ``subject`` says so), tell the trail, close a question it answers."""
        before = self._table.link_of(link.account_id, link.system, link.object)
        if before is not None and _says(before) == _says(link):
            return before
        self._table.put_link(link)
        if before is not None and before.key != link.key:
            self._table.leave(before)
        if subject is not None:
            self._show(link, subject)
        self._bench.note(
            "registry.record.linked",
            f"account/{link.account_id}",
            None,
            {
                "target": link.system,
                "object": link.object,
                "record": link.target_id,
                "key": link.key,
                "parent": link.parent,
                "rung": None if link.rung is None else link.rung.value,
                "flags": list(link.flags),
                "charter": link.charter,
            },
        )
        case_id = review_case_id(link.account_id, link.system, link.object)
        if case_id in self._table.known.cases:
            self._table.lapse_case(
                case_id, f"It answered itself: {link.target_id or 'a new record'} is this customer's."
            )
        return link

    def _show(self, link: RecordLink, subject: Subject) -> None:
        """Make a customer a way to its record. Where it already is one, nothing is written."""
        way = own_record(
            subject,
            system=link.system,
            object_name=link.object,
            key=link.key,
            record_id=link.target_id,
            parent=link.parent,
        )
        if self._table.way(link.system, link.object, way.id) != way:
            keys = self.matcher.ladder.reader.record(way).keys()
            self._table.put_way(DirectoryEntry(record=way, keys=keys))

    def _ask(self, candidates: tuple[Considered, ...], why: str, *, waits: bool) -> Waiting:
        """Put the question to a person, once; while nothing about it changes it is not put again."""
        matcher = self.matcher
        case_id = review_case_id(self._stored.ref.id, matcher.system, matcher.object)
        asked = self._table.known.cases.get(case_id)
        case = ReviewCase(
            id=case_id,
            account_id=self._stored.ref.id,
            system=matcher.system,
            object=matcher.object,
            subject=self._subject,
            why=why,
            candidates=candidates,
            waits=waits,
            charter=matcher.charter,
            opened_at=self._bench.now if asked is None else asked.opened_at,
        )
        if asked is None or _asks(asked) != _asks(case):
            self._table.put_case(case)
            self._bench.note(
                "registry.review.opened" if asked is None else "registry.review.renewed",
                f"account/{case.account_id}",
                None,
                {"case": case.id, "why": why, "records": [one.candidate.id for one in candidates]},
            )
        return Waiting(why=f"A person has to say whose record it is ({case_id}): {why}")


def _says(link: RecordLink) -> tuple[str, str | None, str | None, Rung | None]:
    return link.key, link.target_id, link.parent, link.rung


def _asks(case: ReviewCase) -> tuple[Subject, str, tuple[Considered, ...], bool]:
    return case.subject, case.why, case.candidates, case.waits
