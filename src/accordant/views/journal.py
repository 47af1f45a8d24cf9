"""What the books say, summed where they are kept: journal, trial balance, what is held, receivables, deferred revenue.

Days are compared as text, which sorts; sums are minor units of the legal entity's currency.
"""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Select, and_, case, func, or_, select

from accordant.canonical.books import Role
from accordant.canonical.intents import IntentState
from accordant.ledger.balances import AccountBalance, OpenBill, aging
from accordant.ledger.compose import Refusal
from accordant.ledger.entries import JournalEntry
from accordant.store.engine import Database
from accordant.store.schema import (
    confirmed_record,
    crosswalk,
    desired_record,
    journal_entry,
    journal_line,
    ledger_bill,
    period_balance,
    posting,
    write_intent,
)
from accordant.views.keyed import rows_by_key

PAGE = 100
_ENTRY = msgspec.json.Decoder(JournalEntry)
_REASONS = msgspec.json.Decoder(tuple[Refusal, ...])


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an entry's document at one ERP: the state of the newest write, its reason, the ERP's own id."""

    target: str
    object: str
    state: IntentState
    reason: str | None
    target_id: str | None


class JournalRow(msgspec.Struct, frozen=True, kw_only=True):
    """One entry, with what became of it at each ERP. ``cause`` is the inbox event behind it."""

    entry: JournalEntry
    root_id: str
    bill: str | None
    cause: int | None
    sent: tuple[Sent, ...]


class JournalAsked(msgspec.Struct, frozen=True, kw_only=True):
    """Which entries are asked for; what is left out does not matter. ``account`` is one they touch.

    ``customer`` is the hub's id of a customer, or any id that a system has for it; ``system`` whose events they follow,
    ``month_on`` any day of the month they are posted in. ``after`` is a place in the journal, as `JournalPage` has it.
    """

    company: str | None = None
    account: str | None = None
    bill: str | None = None
    entry: str | None = None
    customer: str | None = None
    system: str | None = None
    month_on: date | None = None
    after: str | None = None


class JournalPage(msgspec.Struct, frozen=True, kw_only=True):
    """Entries, the latest first; ``further`` is the place behind the last of them, None where there is nothing more."""

    entries: tuple[JournalRow, ...]
    further: str | None


def read_journal(database: Database, asked: JournalAsked, *, limit: int = PAGE) -> JournalPage:
    """The entries that fit, each with what became of it at the ERP."""
    entry = journal_entry.c
    with database.read() as connection:
        roots = None if asked.customer is None else _roots(connection, asked.customer)
        # The places first, from an index: whole entries are read of one page only.
        places = connection.execute(_places(asked, roots).limit(limit + 1)).all()
        columns = (entry.id, entry.body, entry.root_id, entry.bill, entry.cause)
        kept = {row.id: row for row in rows_by_key(connection, columns, entry.id, (row.id for row in places[:limit]))}
        sent = _sent(connection, list(kept))
    rows = [kept[place.id] for place in places[:limit]]
    found = tuple(
        JournalRow(
            entry=_ENTRY.decode(row.body),
            root_id=row.root_id,
            bill=row.bill,
            cause=row.cause,
            sent=sent.get(row.id, ()),
        )
        for row in rows
    )
    last = places[limit - 1] if len(places) > limit else None
    return JournalPage(entries=found, further=None if last is None else f"{last.posted_on}/{last.id}")


def _places(asked: JournalAsked, roots: Sequence[str] | None) -> Select[tuple[str, str]]:
    """The ids and days of the entries that fit, the latest first, by the index that leads to the fewest."""
    entry, line = journal_entry.c, journal_line.c
    named = (asked.bill, asked.entry, asked.customer, asked.system)
    if asked.account is not None and all(one is None for one in named):
        # Its lines by day: most accounts are in many entries, and a page is the first of them.
        place = (line.posted_on, line.entry_id)
        query = select(line.entry_id.label("id"), line.posted_on).where(line.account == asked.account).group_by(*place)
        company = line.legal_entity
    else:
        place, company = (entry.posted_on, entry.id), entry.legal_entity
        query = select(entry.id, entry.posted_on)
        for column, wanted in ((entry.bill, asked.bill), (entry.id, asked.entry)):
            if wanted is not None:
                query = query.where(column == wanted)
        if asked.account is not None:
            touching = select(line.line).where(line.entry_id == entry.id, line.account == asked.account)
            query = query.where(touching.exists())
        if roots is not None:
            query = query.where(entry.root_id.in_(roots))
        if asked.system is not None:
            query = query.where(entry.subject.startswith(f"{asked.system}:", autoescape=True))
    if asked.company is not None:
        query = query.where(company == asked.company)
    day, name = place
    if asked.month_on is not None:
        first_on = asked.month_on.replace(day=1)
        query = _within(query, day, first_on, (first_on + timedelta(days=31)).replace(day=1))
    if asked.after is not None:
        last_on, _, last = asked.after.partition("/")
        # The day alone is what an index leads to.
        query = query.where(day <= last_on, or_(day < last_on, name > last))
    return query.order_by(day.desc(), name)


def _roots(connection: Connection, customer: str) -> list[str]:
    """The hub's ids of a customer, which may be named by any id that a system has for it."""
    named = customer.rpartition("/")[2]
    known = select(crosswalk.c.entity_id).where(crosswalk.c.external_id == named)
    return [customer, *connection.execute(known).scalars()]


def every_entry(
    database: Database, *, legal_entity: str | None = None, until: date | None = None
) -> Iterator[JournalEntry]:
    """The whole ledger by day, or up to a day, as it was when the first was asked for; read as it is asked for.

    Raises InvariantBroken for an altered entry.
    """
    query = select(journal_entry.c.body).order_by(journal_entry.c.posted_on, journal_entry.c.id)
    if legal_entity is not None:
        query = query.where(journal_entry.c.legal_entity == legal_entity)
    if until is not None:
        query = query.where(journal_entry.c.posted_on <= until.isoformat())
    with database.snapshot() as connection:
        for row in connection.execute(query.execution_options(yield_per=1000)):
            yield _ENTRY.decode(row.body)


def first_posted_on(database: Database) -> date | None:
    """The day of the first entry of all companies; None for empty books."""
    with database.read() as connection:
        found = connection.execute(select(func.min(journal_entry.c.posted_on))).scalar()
    return None if found is None else date.fromisoformat(found)


def _sent(connection: Connection, ids: list[str]) -> dict[str, tuple[Sent, ...]]:
    if not ids:
        return {}
    # A document has one revision, unless a repair wrote it again: the newest is the last in this order.
    query = (
        select(
            desired_record.c.entity_id,
            write_intent.c.target,
            write_intent.c.object,
            write_intent.c.state,
            write_intent.c.reason,
            confirmed_record.c.target_id,
        )
        .join(write_intent, write_intent.c.record == desired_record.c.ref)
        .outerjoin(confirmed_record, confirmed_record.c.ref == desired_record.c.ref)
        .where(desired_record.c.entity_id.in_(ids))
        .order_by(write_intent.c.revision)
    )
    found: dict[str, dict[str, Sent]] = {}
    for row in connection.execute(query):
        found.setdefault(row.entity_id, {})[row.target] = Sent(
            target=row.target,
            object=row.object,
            state=IntentState(row.state),
            reason=row.reason,
            target_id=row.target_id,
        )
    return {name: tuple(rows.values()) for name, rows in found.items()}


def trial_balance(
    database: Database, *, legal_entity: str | None = None, before_on: date | None = None
) -> tuple[AccountBalance, ...]:
    """Debits and credits of each account, by legal entity and code; only what was posted before ``before_on``."""
    sums = period_balance.c
    keys = (sums.legal_entity, sums.currency, sums.account)
    months = select(*keys, func.sum(sums.debit_minor).label("debit"), func.sum(sums.credit_minor).label("credit"))
    if legal_entity is not None:
        months = months.where(sums.legal_entity == legal_entity)
    if before_on is not None:
        months = months.where(sums.month < f"{before_on:%Y-%m}")
    found: dict[tuple[str, str, str], tuple[int, int]] = {}
    with database.read() as connection:
        rows = list(connection.execute(months.group_by(*keys)))
        if before_on is not None and before_on.day > 1:
            rows += connection.execute(_begun_month(before_on, legal_entity))
    for row in rows:
        key = row.legal_entity, row.currency, row.account
        debit, credit = found.get(key, (0, 0))
        found[key] = debit + int(row.debit), credit + int(row.credit)
    return tuple(
        AccountBalance(legal_entity=company, currency=currency, account=account, debit_minor=debit, credit_minor=credit)
        for (company, currency, account), (debit, credit) in sorted(found.items())
    )


def _begun_month(before_on: date, legal_entity: str | None) -> Select[tuple[str, str, str, int, int]]:
    """What was posted in the month of a day before that day, line by line: by the accounts that have any in it."""
    line, sums, minor = journal_line.c, period_balance.c, journal_line.c.amount_minor
    keys = (line.legal_entity, line.currency, line.account)
    query = select(
        *keys,
        func.sum(case((minor > 0, minor), else_=0)).label("debit"),
        func.sum(case((minor < 0, -minor), else_=0)).label("credit"),
    )
    # An index leads from company and account to the days.
    used = select(sums.legal_entity, sums.account).where(sums.month == f"{before_on:%Y-%m}").distinct()
    if legal_entity is not None:
        used = used.where(sums.legal_entity == legal_entity)
    used_in = used.subquery()
    query = query.join(used_in, and_(used_in.c.legal_entity == line.legal_entity, used_in.c.account == line.account))
    return _within(query, line.posted_on, before_on.replace(day=1), before_on).group_by(*keys)


class HeldPosting(msgspec.Struct, frozen=True, kw_only=True):
    """An event that is not in the books, with every reason and what to do; ``cause`` is the inbox event behind it."""

    event: str
    type: str
    subject: str
    happened_on: date
    reasons: tuple[Refusal, ...]
    charter: str
    cause: int | None


def held_postings(database: Database, *, limit: int = PAGE) -> tuple[int, tuple[HeldPosting, ...]]:
    """How many events are held, and the oldest of them."""
    oldest = select(posting).where(posting.c.state == "held").order_by(posting.c.happened_on, posting.c.event)
    with database.read() as connection:
        count = connection.execute(select(func.count()).where(posting.c.state == "held")).scalar_one()
        rows = connection.execute(oldest.limit(limit)).all()
    return count, tuple(
        HeldPosting(
            event=row.event,
            type=row.type,
            subject=row.subject,
            happened_on=date.fromisoformat(row.happened_on),
            reasons=_REASONS.decode(row.reasons),
            charter=row.charter,
            cause=row.cause,
        )
        for row in rows
    )


class Receivable(msgspec.Struct, frozen=True, kw_only=True):
    """What is left of one bill, with the name its account has in the crosswalk; minor units of both currencies."""

    bill: OpenBill
    number: str | None
    root_id: str
    currency: str
    original_minor: int
    original_currency: str


def aged(database: Database, *, legal_entity: str, as_of_on: date) -> tuple[int, dict[str, int]]:
    """How many bills of a legal entity are open, and what is left of them by how long it is overdue."""
    bill = ledger_bill.c
    query = (
        select(bill.due_on, func.count().label("bills"), func.sum(bill.open_books_minor).label("minor"))
        .where(bill.legal_entity == legal_entity, bill.state == "open")
        .group_by(bill.due_on)
    )
    with database.read() as connection:
        rows = connection.execute(query).all()
    # What is due on one day is of one age.
    days = (
        OpenBill(party="", bill="", open_minor=int(row.minor), issued_on=due_on, due_on=due_on)
        for row in rows
        for due_on in (date.fromisoformat(row.due_on),)
    )
    return sum(row.bills for row in rows), aging(days, as_of_on=as_of_on)


def open_bills(database: Database, *, legal_entity: str, limit: int | None = None) -> tuple[Receivable, ...]:
    """The open bills of a legal entity, the longest due first: all of them, or the first."""
    query = (
        select(ledger_bill)
        .where(ledger_bill.c.legal_entity == legal_entity, ledger_bill.c.state == "open")
        .order_by(ledger_bill.c.due_on, ledger_bill.c.ref)
        .limit(limit)
    )
    with database.read() as connection:
        return tuple(
            Receivable(
                bill=OpenBill(
                    party=row.party or row.root_id,
                    bill=row.ref,
                    open_minor=row.open_books_minor,
                    issued_on=date.fromisoformat(row.booked_on),
                    due_on=date.fromisoformat(row.due_on),
                ),
                number=row.number,
                root_id=row.root_id,
                currency=row.books_currency,
                original_minor=row.open_minor,
                original_currency=row.currency,
            )
            for row in connection.execute(query)
        )


class Tie(msgspec.Struct, frozen=True, kw_only=True):
    """A subledger held against its accounts, in minor units of the books: ``listed`` is what its rows come to."""

    listed: int
    ledger: int

    @property
    def off(self) -> int:
        """What the accounts hold more than the rows."""
        return self.ledger - self.listed


def tie_of_bills(database: Database, *, legal_entity: str) -> Tie:
    """What is left of every bill, credits among them, against the accounts of receivables."""
    bills = select(func.coalesce(func.sum(ledger_bill.c.open_books_minor), 0))
    with database.read() as connection:
        left = bills.where(ledger_bill.c.legal_entity == legal_entity, ledger_bill.c.open_books_minor != 0)
        listed = connection.execute(left).scalar_one()
        return Tie(listed=int(listed), ledger=_held_by(connection, legal_entity, Role.RECEIVABLE))


def tie_of_schedules(database: Database, *, legal_entity: str, remaining: int) -> Tie:
    """What the schedules of bills still have to earn against deferred revenue, less what was earned before it is
    billed; ``remaining`` is without what was agreed and is on no bill.
    """
    with database.read() as connection:
        held = _held_by(connection, legal_entity, Role.DEFERRED_REVENUE, Role.CONTRACT_ASSET)
    return Tie(listed=remaining, ledger=-held)


def _held_by(connection: Connection, legal_entity: str, *roles: Role) -> int:
    sums = period_balance.c
    query = select(func.coalesce(func.sum(sums.debit_minor - sums.credit_minor), 0))
    query = query.where(sums.legal_entity == legal_entity, sums.role.in_([one.value for one in roles]))
    return int(connection.execute(query).scalar_one())


def _within(
    query: Select[Any], column: ColumnElement[str], first_on: date | None, after_on: date | None
) -> Select[Any]:
    if first_on is not None:
        query = query.where(column >= first_on.isoformat())
    if after_on is not None:
        query = query.where(column < after_on.isoformat())
    return query
