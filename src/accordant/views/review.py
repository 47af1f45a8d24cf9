"""The review queue as a person reads it: what waits, what it is worth, and each record offered beside the customer.

Next: `operations/review_room.py`, where the answers go.
"""

from collections.abc import Iterable
from datetime import datetime, tzinfo

import msgspec
from sqlalchemy import func, select

from accordant.canonical.matching import Candidate, Considered, ReviewCase, ReviewState, Subject
from accordant.canonical.review import ReviewDecision
from accordant.identity.countries import country_code
from accordant.identity.normalize import company_name, mailbox, phone
from accordant.kernel.clock import from_micros
from accordant.store.engine import Database
from accordant.store.schema import review_case, review_decision
from accordant.views.worth import Party, parties

#: Cases listed at once; the count covers all of them.
CASES_MAX = 200

_CASE = msgspec.json.Decoder(ReviewCase)
_DECISION = msgspec.json.Decoder(ReviewDecision)


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


class SeenCase(msgspec.Struct, frozen=True, kw_only=True):
    """A question with where it stands. ``decided_by`` and ``decided_at`` are None while it is open."""

    case: ReviewCase
    state: ReviewState
    decided_by: str | None
    decided_at: datetime | None


class CaseView(msgspec.Struct, frozen=True, kw_only=True):
    """One case, whole: the question, what is offered, who is asked about, and everything decided so far."""

    decided: SeenCase
    party: Party | None
    records: tuple[ComparedRecord, ...]
    history: tuple[ReviewDecision, ...]

    @property
    def is_open(self) -> bool:
        """Whether it waits for an answer."""
        return self.decided.state is ReviewState.OPEN


def review_queue(database: Database, *, now: datetime, zone: tzinfo) -> ReviewQueue:
    """Every question that waits for a person, as far as a list holds."""
    is_open = review_case.c.state == ReviewState.OPEN.value
    listed = select(review_case.c.body).where(is_open).order_by(review_case.c.opened_at, review_case.c.id)
    with database.read() as connection:
        count = connection.execute(select(func.count()).where(is_open)).scalar_one()
        cases = [_CASE.decode(body) for body in connection.execute(listed.limit(CASES_MAX)).scalars()]
        known = parties(connection, {one.account_id for one in cases}, as_of=now, zone=zone)
    queued = [
        QueuedCase(
            id=one.id,
            system=one.system,
            object=one.object,
            why=one.why,
            waits=one.waits,
            records=len(one.candidates),
            opened_at=one.opened_at,
            customer=one.subject.external_id,
            party=known.get(one.account_id),
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
    found = select(review_case).where(review_case.c.id == case_id)
    past = select(review_decision.c.body).where(review_decision.c.case_id == case_id).order_by(review_decision.c.number)
    with database.read() as connection:
        row = connection.execute(found).one_or_none()
        if row is None:
            return None
        history = tuple(_DECISION.decode(body) for body in connection.execute(past).scalars())
        known = parties(connection, {row.account_id}, as_of=now, zone=zone)
    case = _CASE.decode(row.body)
    return CaseView(
        decided=SeenCase(
            case=case,
            state=ReviewState(row.state),
            decided_by=row.decided_by,
            decided_at=None if row.decided_at is None else from_micros(row.decided_at),
        ),
        party=known.get(case.account_id),
        records=tuple(_compared(case.subject, one) for one in case.candidates),
        history=history,
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
        ComparedLine(attribute=name, ours=ours, theirs=theirs, verdict=_verdict(name, ours, theirs))
        for name, ours, theirs in pairs
        if ours or theirs
    )
    return ComparedRecord(
        candidate=record, rung=considered.rung.value.replace("_", " "), lines=lines, considered=considered
    )


def _verdict(attribute: str, ours: str, theirs: str) -> str:
    """By what is meant and not by its spelling, as the ladder compares: DE and Germany are the same."""
    if not ours or not theirs:
        return "unknown"
    return "same" if _meant(attribute, ours) == _meant(attribute, theirs) else "differs"


def _meant(attribute: str, text: str) -> object:
    plain = text.casefold().strip()
    match attribute:
        case "Name":
            return company_name(text) or plain
        case "Country":
            return country_code(text) or plain
        case "Phone":
            return frozenset(phone(one) or one.strip() for one in text.split(","))
        case "E-mail":
            return frozenset(str(mailbox(one) or one.strip().casefold()) for one in text.split(","))
        case "Postcode":
            return "".join(letter for letter in plain if letter.isalnum())
        case _:
            return plain


def _text(value: str | None) -> str:
    return value or ""


def _list(values: Iterable[str]) -> str:
    return ", ".join(values)
