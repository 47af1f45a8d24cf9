"""The ladder: which record is this customer's? The strongest rung that any record stands on decides, or asks a person.

A name alone never links, two records on one rung are never chosen between, and every verdict carries its evidence.
"""

from collections.abc import Iterable, Mapping

import msgspec
from rapidfuzz.fuzz import token_sort_ratio

from accordant.canonical.charter import CustomerModel, IdentityPart, SeveralCustomers
from accordant.canonical.matching import (
    PENDING_PREFIX,
    Candidate,
    Considered,
    Evidence,
    KeyKind,
    Matched,
    MatchKey,
    MatchVerdict,
    NeedsReview,
    Rung,
    Subject,
    Unmatched,
    UnmatchedPolicy,
)
from accordant.identity.keys import Profile, Reader

#: From this likeness of names on a record is kept as a hint, which is no evidence.
HINT_NAME_MIN = 90
CERTAIN = 100

#: The rungs that may link by themselves, by who a customer is. A person shares a domain with strangers.
LINKING: dict[CustomerModel, tuple[Rung, ...]] = {
    CustomerModel.B2B: (Rung.CROSS_REFERENCE, Rung.TAX_ID, Rung.EMAIL, Rung.DOMAIN_AND_NAME),
    CustomerModel.B2C: (Rung.CROSS_REFERENCE, Rung.TAX_ID, Rung.EMAIL),
}
#: Keys shared by more records than can be looked at: of these nobody can say that only one record has it.
_DECISIVE = frozenset({KeyKind.CROSS_REFERENCE, KeyKind.TAX_ID, KeyKind.EMAIL, KeyKind.DOMAIN})


class Ladder(msgspec.Struct, frozen=True, kw_only=True):
    """The ladder of a charter, made ready for many customers."""

    reader: Reader
    linking: frozenset[Rung]
    link_name_min: int
    review_name_min: int
    flag_name_below: int
    policy: UnmatchedPolicy
    keeps_apart: bool = False

    @classmethod
    def of(cls, part: IdentityPart) -> "Ladder":
        """The ladder of a charter."""
        return cls(
            reader=Reader.of(part),
            linking=frozenset(part.rungs or LINKING[part.model]),
            link_name_min=part.link_name_min,
            review_name_min=part.review_name_min,
            flag_name_below=part.flag_name_below,
            policy=part.unmatched,
            keeps_apart=part.several_customers is SeveralCustomers.PARENT_CHILD,
        )

    def keys_of(self, subject: Subject) -> frozenset[MatchKey]:
        """Under which keys the directory is to be asked for a customer's record."""
        return self.reader.subject(subject).keys()

    def climb(
        self, subject: Subject, records: Mapping[str, Candidate], *, crowded: frozenset[MatchKey] = frozenset()
    ) -> MatchVerdict:
        """Whose record is it? ``records`` by id have a key in common with the customer; their order never counts.

        ``crowded`` are the keys that too many records share.
        """
        living, circle = survivors(records)
        own = self.reader.subject(subject)
        considered = [
            one for record in living if (one := self._consider(own, record, self.reader.record(record))) is not None
        ]
        considered.sort(key=lambda one: one.candidate.id)
        if circle is not None:
            return NeedsReview(candidates=tuple(considered), why=circle)
        standing = [one for one in considered if one.rung is not Rung.NAME]
        hints = tuple(one for one in considered if one.rung is Rung.NAME)
        if not standing:
            return self._none(hints)
        strongest = min(standing, key=lambda one: _height(one.rung)).rung
        on_top = self._on_rung(strongest, [one for one in standing if one.rung is strongest])
        why = self._doubt(strongest, on_top, standing, crowded)
        if why is not None:
            shown = standing if len(on_top) == 1 else on_top
            return NeedsReview(candidates=tuple(sorted(shown, key=lambda one: _height(one.rung))), why=why)
        return _matched(on_top[0], self.flag_name_below)

    def _on_rung(self, rung: Rung, on_top: list[Considered]) -> list[Considered]:
        """With a domain goes a name: where just one record of a domain has it, the others stand below."""
        if self.keeps_apart:
            on_top = _heads(on_top)
        if rung is not Rung.DOMAIN_AND_NAME:
            return on_top
        alike = [one for one in on_top if (_name_strength(one) or 0) >= self.link_name_min]
        return alike if len(alike) == 1 else on_top

    def _none(self, hints: tuple[Considered, ...]) -> MatchVerdict:
        if self.policy is UnmatchedPolicy.REVIEW:
            return NeedsReview(candidates=hints, why="No record is known to be this customer's: is one to be created?")
        return Unmatched(policy=self.policy, hints=hints)

    def _consider(self, own: Profile, record: Candidate, theirs: Profile) -> Considered | None:
        """Everything that speaks for or against one record; None where nothing but nothing is alike."""
        score = name_score(own.name, theirs.name)
        evidence = list(_exact(own, theirs))
        if own.name and theirs.name:
            evidence.append(Evidence(rung=Rung.NAME, what="name", ours=own.name, theirs=theirs.name, strength=score))
        found = {one.rung for one in evidence if not one.against} - {Rung.NAME}
        rung = min(found, key=_height, default=None)
        if rung is Rung.NAME_AND_PLACE and score < self.review_name_min:
            rung = None
        if rung is None:
            if score < HINT_NAME_MIN:
                return None
            rung = Rung.NAME
        return Considered(candidate=record, rung=rung, evidence=tuple(evidence))

    def _doubt(
        self,
        rung: Rung,
        on_top: list[Considered],
        standing: list[Considered],
        crowded: frozenset[MatchKey],
    ) -> str | None:
        """Why a person has to say, or None when the one record on top is this customer's."""
        if rung not in self.linking:
            return f"What speaks for it ({_WORDS[rung]}) is not allowed to link by itself."
        if len(on_top) > 1:
            return f"{len(on_top)} records have the same {_WORDS[rung]}{_family(on_top)}."
        one = on_top[0]
        against = next((found for found in one.evidence if found.against), None)
        if against is not None and rung is not Rung.CROSS_REFERENCE:
            return f"The tax ids differ: {against.ours} here, {against.theirs} there."
        if any(key.kind in _DECISIVE and _RUNG_OF_KEY[key.kind] is rung for key in crowded):
            return f"Too many records share its {_WORDS[rung]} to say that only this one is meant."
        rival = next((other for other in standing if other is not one and _is_strong(other)), None)
        if rival is not None and rung is not Rung.CROSS_REFERENCE:
            return f"Another record, {rival.candidate.id}, has the same {_WORDS[rival.rung]}."
        return self._weak(one, rung)

    def _weak(self, one: Considered, rung: Rung) -> str | None:
        score = _name_strength(one)
        if rung is Rung.DOMAIN_AND_NAME and (score is None or score < self.link_name_min):
            told = "one has no name" if score is None else f"the names are only {score} of 100 alike"
            return f"The domain is the same, but {told}."
        is_strangers = rung is Rung.EMAIL and self.reader.is_company and not _has_own_mailbox(one, self.reader)
        if is_strangers and score is not None and score < self.flag_name_below:
            # A mailbox at a public provider is a person's, and one person may look after many companies.
            return f"The e-mail is at a provider that everybody uses, and the names are only {score} of 100 alike."
        return None


def name_score(ours: str, theirs: str) -> int:
    """How alike two normalised names are, 0 to 100, whatever the order of their words; 0 where one is empty."""
    return int(token_sort_ratio(ours, theirs)) if ours and theirs else 0


def survivors(records: Mapping[str, Candidate]) -> tuple[tuple[Candidate, ...], str | None]:
    """The records that are still there, merged ones replaced by what they went into; and a sentence about a circle."""
    living: dict[str, Candidate] = {}
    circle = None
    for start in sorted(records):
        seen: list[str] = []
        record: Candidate | None = records[start]
        while record is not None and (survivor := record.merged_into) is not None:
            if record.id in seen:
                circle = circle or f"The merges {' into '.join([*seen, record.id])} go round in a circle."
                record = None
                break
            seen.append(record.id)
            # What billing knows of a customer stands for a record that the directory has not met yet.
            stands_in = msgspec.structs.replace(record, id=survivor, merged_into=None) if record.is_pending else None
            record = records.get(survivor, stands_in)
        if record is not None and not record.deleted:
            living[record.id] = _inherit(living.get(record.id, record), (records[one] for one in seen))
    return tuple(living.values()), circle


def _inherit(record: Candidate, merged: Iterable[Candidate]) -> Candidate:
    """What is left of a merge is known by everything that the records that went into it were known by."""
    gone = tuple(one for one in merged if one.id != record.id)
    if not gone:
        return record
    parts = (record, *gone)
    return msgspec.structs.replace(
        record,
        name=record.name or next((one.name for one in gone if one.name), None),
        emails=_union(one.emails for one in parts),
        domains=_union(one.domains for one in parts),
        tax_ids=_union(one.tax_ids for one in parts),
        phones=_union(one.phones for one in parts),
        cross_references=_union(one.cross_references for one in parts),
        merged_ids=_union((record.merged_ids, *((one.id, *one.merged_ids) for one in gone))),
    )


def _union(parts: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(sorted({value for part in parts for value in part}))


def _exact(own: Profile, theirs: Profile) -> Iterable[Evidence]:
    """What is the same on both sides, and the tax ids that prove two companies."""
    yield from _same(Rung.CROSS_REFERENCE, "reference", own.references & theirs.references)
    shared_ids = own.tax_ids & theirs.tax_ids
    yield from _same(Rung.TAX_ID, "tax id", map(str, shared_ids))
    if not shared_ids:
        for one in sorted(own.tax_ids):
            other = next((its for its in sorted(theirs.tax_ids) if its.scheme == one.scheme), None)
            if other is not None:
                yield Evidence(
                    rung=Rung.TAX_ID, what="tax id", ours=str(one), theirs=str(other), strength=CERTAIN, against=True
                )
    yield from _same(Rung.EMAIL, "e-mail", map(str, own.mailboxes & theirs.mailboxes))
    yield from _same(Rung.DOMAIN_AND_NAME, "domain", own.domains & theirs.domains)
    yield from _same(Rung.NAME_AND_PLACE, "phone", own.phones & theirs.phones)
    if own.place is not None and own.place == theirs.place:
        yield from _same(Rung.NAME_AND_PLACE, "place", (own.place,))


def _same(rung: Rung, what: str, values: Iterable[str]) -> Iterable[Evidence]:
    for value in sorted(values):
        yield Evidence(rung=rung, what=what, ours=value, theirs=value, strength=CERTAIN)


def _matched(one: Considered, flag_name_below: int) -> Matched:
    score = _name_strength(one)
    flags = []
    if score is not None and score < flag_name_below and one.rung is not Rung.DOMAIN_AND_NAME:
        flags.append(f"The names are only {score} of 100 alike.")
    return Matched(candidate=one.candidate, rung=one.rung, evidence=one.evidence, flags=tuple(flags))


def _name_strength(one: Considered) -> int | None:
    return next((found.strength for found in one.evidence if found.rung is Rung.NAME), None)


def _is_strong(one: Considered) -> bool:
    return one.rung in {Rung.TAX_ID, Rung.EMAIL}


def _has_own_mailbox(one: Considered, reader: Reader) -> bool:
    """Whether the mailbox both have is at a domain of one company."""
    hosts = (found.ours.rpartition("@")[2] for found in one.evidence if found.rung is Rung.EMAIL)
    return bool(reader.book.company_domains(hosts))


def _heads(considered: list[Considered]) -> list[Considered]:
    """Without the records of other customers that stand below another one of these: that one speaks for its company.

    A record that no customer has yet stays, whoever's child it is: it may be the one that is looked for.
    """
    names = {one.candidate.id for one in considered}
    names |= {f"{PENDING_PREFIX}{key}" for one in considered for key in one.candidate.cross_references}
    return [
        one
        for one in considered
        if not (one.candidate.parent_id in names - _names_of(one) and one.candidate.cross_references)
    ]


def _names_of(considered: Considered) -> set[str]:
    candidate = considered.candidate
    return {candidate.id, *(f"{PENDING_PREFIX}{key}" for key in candidate.cross_references)}


def _family(considered: list[Considered]) -> str:
    """Whether the records are relatives. Parents that go round in a circle are relatives all the same."""
    ids = {one.candidate.id for one in considered}
    for one in considered:
        if one.candidate.parent_id in ids:
            return f"; {one.candidate.parent_id} is the parent of {one.candidate.id}"
    return ""


_ORDER = tuple(Rung)
_WORDS = {
    Rung.CROSS_REFERENCE: "stored reference",
    Rung.TAX_ID: "tax id",
    Rung.EMAIL: "e-mail",
    Rung.DOMAIN_AND_NAME: "domain",
    Rung.NAME_AND_PLACE: "name and place or phone",
    Rung.NAME: "name",
}
_RUNG_OF_KEY = {
    KeyKind.CROSS_REFERENCE: Rung.CROSS_REFERENCE,
    KeyKind.TAX_ID: Rung.TAX_ID,
    KeyKind.EMAIL: Rung.EMAIL,
    KeyKind.DOMAIN: Rung.DOMAIN_AND_NAME,
}


def _height(rung: Rung) -> int:
    return _ORDER.index(rung)
