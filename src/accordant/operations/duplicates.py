"""Records of a target that are one and the same: found by the ladder of customers, proposed, never merged silently.

Next: `review_room.py`, where a person's approval takes their customers to the one that is kept.
"""

from collections.abc import Iterable, Mapping

import msgspec

from accordant.canonical.matching import Candidate, Matched, Subject
from accordant.identity.ladder import Ladder


class Duplicate(msgspec.Struct, frozen=True, kw_only=True):
    """A record that is the same as the one to keep. ``customers`` are linked to it; ``because`` is what they share."""

    record: Candidate
    customers: int
    because: str


class DuplicateGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Records that are one. ``survivor`` is proposed: the one with most customers, of several the oldest."""

    survivor: Candidate
    others: tuple[Duplicate, ...]


def find_duplicates(
    together: Iterable[tuple[Candidate, ...]], *, ladder: Ladder, customers: Mapping[str, int]
) -> tuple[DuplicateGroup, ...]:
    """Groups among records that have a key in common. ``customers`` counts those linked to a record, by its id.

    A chain of likenesses makes one group: what is the same as the same is the same.
    """
    reasons: dict[tuple[str, str], str] = {}
    records: dict[str, Candidate] = {}
    for sharers in together:
        living = [one for one in sharers if not (one.deleted or one.merged_into or one.is_pending)]
        records.update({one.id: one for one in living})
        for place, one in enumerate(living):
            for other in living[place + 1 :]:
                pair = (min(one.id, other.id), max(one.id, other.id))
                if pair not in reasons and (because := _same(records[pair[0]], records[pair[1]], ladder)):
                    reasons[pair] = because
    groups = (_group(ids, records, reasons, customers) for ids in _connected(reasons))
    return tuple(sorted(groups, key=lambda group: (-len(group.others), group.survivor.id)))


def _same(one: Candidate, other: Candidate, ladder: Ladder) -> str | None:
    """What makes two records one, in words; None where the ladder would not link them by itself."""
    verdict = ladder.climb(_as_subject(one), {other.id: other})
    if not isinstance(verdict, Matched):
        return None
    shared = [found for found in verdict.evidence if found.rung is verdict.rung and not found.against]
    return ", ".join(f"{found.what} {found.theirs}" for found in shared) or verdict.rung.value.replace("_", " ")


def _as_subject(record: Candidate) -> Subject:
    return Subject(
        account_id="",
        external_id="",
        name=record.name,
        emails=(*record.emails, *(f"info@{domain}" for domain in record.domains)),
        tax_ids=record.tax_ids,
        phones=record.phones,
        postcode=record.postcode,
        country=record.country,
    )


def _connected(pairs: Iterable[tuple[str, str]]) -> list[frozenset[str]]:
    above: dict[str, str] = {}

    def top(name: str) -> str:
        while above.setdefault(name, name) != name:
            name = above[name]
        return name

    for one, other in pairs:
        above[top(one)] = top(other)
    groups: dict[str, set[str]] = {}
    for name in above:
        groups.setdefault(top(name), set()).add(name)
    return [frozenset(group) for group in groups.values()]


def _group(
    ids: frozenset[str],
    records: Mapping[str, Candidate],
    reasons: Mapping[tuple[str, str], str],
    customers: Mapping[str, int],
) -> DuplicateGroup:
    # Ids are given out in order, so the smallest is the oldest.
    ordered = sorted(ids, key=lambda name: (-customers.get(name, 0), name))
    others = tuple(
        Duplicate(
            record=records[name],
            customers=customers.get(name, 0),
            because="; ".join(sorted({why for pair, why in reasons.items() if name in pair})),
        )
        for name in ordered[1:]
    )
    return DuplicateGroup(survivor=records[ordered[0]], others=others)
