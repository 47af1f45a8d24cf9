"""The review queue as a person reads it: what waits, what it is worth, and each record offered beside the customer.

Next: `operations/review_room.py`, where the answers go.
"""

from collections.abc import Iterable
from datetime import datetime, tzinfo

import msgspec
from sqlalchemy import func, select

from accordant.canonical.matching import Candidate, Considered, ReviewState, Subject
from accordant.canonical.review import ReviewDecision
from accordant.ports.matching import DecidedCase
from accordant.store.engine import Database
from accordant.store.review import SqlReviews
from accordant.store.review_desk import SqlReviewDesk
from accordant.store.schema import review_case
from accordant.views.worth import Party, parties

#: Cases listed at once; the count covers all of them.
CASES_MAX = 200


class QueuedCase(msgspec.Struct, frozen=True, kw_only=True):
    """One question that waits. ``party`` is None for a customer nobody described."""

    id: str
    system: str
    object: str
    why: str
    waits: bool
    records: int
    opened_at: datetime
    customer: str
    party: Party | None


class ReviewQueue(msgspec.Struct, frozen=True, kw_only=True):
    """What waits, the most recurring revenue first. ``open`` counts all, also those not listed."""

    open: int
    cases: tuple[QueuedCase, ...]


class ComparedLine(msgspec.Struct, frozen=True, kw_only=True):
    """One attribute of the customer beside the same of a record. ``verdict``: same, differs, or unknown on a side."""

    attribute: str
    ours: str
    theirs: str
    verdict: str


class ComparedRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A record that is offered: all its attributes beside ours, and what speaks for it or against it."""

    candidate: Candidate
    rung: str
    lines: tuple[ComparedLine, ...]
    considered: Considered


class CaseView(msgspec.Struct, frozen=True, kw_only=True):
    """One case, whole: the question, what is offered, who is asked about, and everything decided so far."""

    decided: DecidedCase
    party: Party | None
    records: tuple[ComparedRecord, ...]
    history: tuple[ReviewDecision, ...]

    @property
    def is_open(self) -> bool:
        """Whether it waits for an answer."""
        return self.decided.state is ReviewState.OPEN


def review_queue(database: Database, *, now: datetime, zone: tzinfo) -> ReviewQueue:
    """Every question that waits for a person, as far as a list holds."""
    cases = SqlReviews(database).open_cases(limit=CASES_MAX)
    with database.read() as connection:
        count = connection.execute(
            select(func.count()).where(review_case.c.state == ReviewState.OPEN.value)
        ).scalar_one()
        known = parties(connection, {one.case.account_id for one in cases}, as_of=now, zone=zone)
    queued = [
        QueuedCase(
            id=one.case.id,
            system=one.case.system,
            object=one.case.object,
            why=one.case.why,
            waits=one.case.waits,
            records=len(one.case.candidates),
            opened_at=one.case.opened_at,
            customer=one.case.subject.external_id,
            party=known.get(one.case.account_id),
        )
        for one in cases
    ]
    queued.sort(key=lambda one: (-_worth(one.party), one.opened_at, one.id))
    return ReviewQueue(open=count, cases=tuple(queued))


def _worth(party: Party | None) -> int:
    """A rough order: amounts of different currencies have none."""
    return max((one.amount_minor for one in party.mrr), default=0) if party is not None else 0


def case_view(database: Database, case_id: str, *, now: datetime, zone: tzinfo) -> CaseView | None:
    """One case; None when there is none of that id."""
    decided = SqlReviews(database).case(case_id)
    if decided is None:
        return None
    with database.read() as connection:
        known = parties(connection, {decided.case.account_id}, as_of=now, zone=zone)
    return CaseView(
        decided=decided,
        party=known.get(decided.case.account_id),
        records=tuple(_compared(decided.case.subject, one) for one in decided.case.candidates),
        history=SqlReviewDesk(database).history(case_id),
    )


def _compared(subject: Subject, considered: Considered) -> ComparedRecord:
    record = considered.candidate
    pairs = (
        ("Name", _text(subject.name), _text(record.name)),
        ("E-mail", _list(subject.emails), _list(record.emails)),
        ("Website", "", _list(record.domains)),
        ("Tax id", _list(subject.tax_ids), _list(record.tax_ids)),
        ("Phone", _list(subject.phones), _list(record.phones)),
        ("Postcode", _text(subject.postcode), _text(record.postcode)),
        ("Country", _text(subject.country), _text(record.country)),
        ("Billing customer", subject.external_id, _list(record.cross_references)),
        ("Parent record", "", _text(record.parent_id)),
    )
    lines = tuple(
        ComparedLine(attribute=name, ours=ours, theirs=theirs, verdict=_verdict(ours, theirs))
        for name, ours, theirs in pairs
        if ours or theirs
    )
    return ComparedRecord(
        candidate=record, rung=considered.rung.value.replace("_", " "), lines=lines, considered=considered
    )


def _verdict(ours: str, theirs: str) -> str:
    if not ours or not theirs:
        return "unknown"
    return "same" if ours.casefold() == theirs.casefold() else "differs"


def _text(value: str | None) -> str:
    return value or ""


def _list(values: Iterable[str]) -> str:
    return ", ".join(values)
