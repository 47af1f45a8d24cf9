"""What the books say, summed where they are kept: journal, trial balance, what is held, receivables, deferred revenue.

Days are compared as text, which sorts; sums are minor units of the legal entity's currency.
"""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Select, and_, case, func, or_, select

from accordant.canonical.books import Role
from accordant.canonical.intents import IntentState
from accordant.ledger.balances import AccountBalance, OpenBill, RollForward, column_of
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
    posting,
    write_intent,
)

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
    query = select(journal_entry).order_by(entry.posted_on.desc(), entry.id).limit(limit + 1)
    for column, wanted in ((entry.legal_entity, asked.company), (entry.bill, asked.bill), (entry.id, asked.entry)):
        if wanted is not None:
            query = query.where(column == wanted)
    if asked.account is not None:
        touching = select(journal_line.c.entry_id).where(journal_line.c.account == asked.account)
        query = query.where(entry.id.in_(touching))
    if asked.customer is not None:
        named = asked.customer.rpartition("/")[2]
        known = select(crosswalk.c.entity_id).where(crosswalk.c.external_id == named)
        query = query.where(or_(entry.root_id == asked.customer, entry.root_id.in_(known)))
    if asked.system is not None:
        query = query.where(entry.subject.startswith(f"{asked.system}:", autoescape=True))
    if asked.month_on is not None:
        first_on = asked.month_on.replace(day=1)
        query = _within(query, entry.posted_on, first_on, (first_on + timedelta(days=31)).replace(day=1))
    if asked.after is not None:
        day, _, name = asked.after.partition("/")
        query = query.where(or_(entry.posted_on < day, and_(entry.posted_on == day, entry.id > name)))
    with database.read() as connection:
        rows = connection.execute(query).all()
        sent = _sent(connection, [row.id for row in rows[:limit]])
    found = tuple(
        JournalRow(
            entry=_ENTRY.decode(row.body),
            root_id=row.root_id,
            bill=row.bill,
            cause=row.cause,
            sent=sent.get(row.id, ()),
        )
        for row in rows[:limit]
    )
    last = rows[limit - 1] if len(rows) > limit else None
    return JournalPage(entries=found, further=None if last is None else f"{last.posted_on}/{last.id}")


def every_entry(database: Database, *, legal_entity: str | None = None) -> Iterator[JournalEntry]:
    """The whole ledger by day, read as it is asked for. Raises InvariantBroken for an altered entry."""
    query = select(journal_entry.c.body).order_by(journal_entry.c.posted_on, journal_entry.c.id)
    if legal_entity is not None:
        query = query.where(journal_entry.c.legal_entity == legal_entity)
    with database.read() as connection:
        for row in connection.execute(query.execution_options(yield_per=1000)):
            yield _ENTRY.decode(row.body)


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
    minor = journal_line.c.amount_minor
    keys = (journal_line.c.legal_entity, journal_line.c.currency, journal_line.c.account)
    query = select(
        *keys,
        func.sum(case((minor > 0, minor), else_=0)).label("debit"),
        func.sum(case((minor < 0, -minor), else_=0)).label("credit"),
    )
    if legal_entity is not None:
        query = query.where(journal_line.c.legal_entity == legal_entity)
    query = _within(query, journal_line.c.posted_on, None, before_on).group_by(*keys).order_by(*keys)
    with database.read() as connection:
        return tuple(
            AccountBalance(
                legal_entity=row.legal_entity,
                currency=row.currency,
                account=row.account,
                debit_minor=int(row.debit),
                credit_minor=int(row.credit),
            )
            for row in connection.execute(query)
        )


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


def roll_forward(
    database: Database, *, legal_entity: str, first_on: date, after_on: date, role: str = "deferred_revenue"
) -> RollForward:
    """How what is deferred moved from ``first_on`` until, not including, ``after_on``: every posting of the role is in
    one column.

    A reversal counts in the column of what it cancels, with the other sign; what no rule explains is ``fx``.
    """
    original = journal_entry.alias()
    rule = case((original.c.rule.is_not(None), original.c.rule), else_=journal_entry.c.rule)
    is_before = journal_line.c.posted_on < first_on.isoformat()
    query = (
        select(rule.label("rule"), is_before.label("is_before"), func.sum(journal_line.c.amount_minor).label("minor"))
        .join(journal_entry, journal_entry.c.id == journal_line.c.entry_id)
        .outerjoin(original, original.c.id == journal_entry.c.reverses)
        .where(journal_line.c.legal_entity == legal_entity, journal_line.c.role == role)
        .where(journal_line.c.posted_on < after_on.isoformat())
        .group_by(rule, is_before)
    )
    opening = 0
    columns = dict.fromkeys(("billings", "recognised", "credits", "write_offs", "fx"), 0)
    with database.read() as connection:
        for row in connection.execute(query):
            minor = -int(row.minor)
            if row.is_before:
                opening += minor
                continue
            column = column_of(row.rule)
            columns[column] += minor if column in {"billings", "fx"} else -minor
    return RollForward(opening=opening, **columns)


class Receivable(msgspec.Struct, frozen=True, kw_only=True):
    """What is left of one bill, with the name its account has in the crosswalk; minor units of both currencies."""

    bill: OpenBill
    number: str | None
    root_id: str
    currency: str
    original_minor: int
    original_currency: str


def open_bills(database: Database, *, legal_entity: str) -> tuple[Receivable, ...]:
    """Every open bill of a legal entity, the longest due first."""
    query = (
        select(ledger_bill)
        .where(ledger_bill.c.legal_entity == legal_entity, ledger_bill.c.state == "open")
        .order_by(ledger_bill.c.due_on, ledger_bill.c.ref)
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
        listed = connection.execute(bills.where(ledger_bill.c.legal_entity == legal_entity)).scalar_one()
        return Tie(listed=int(listed), ledger=_held_by(connection, legal_entity, Role.RECEIVABLE))


def tie_of_schedules(database: Database, *, legal_entity: str, remaining: int) -> Tie:
    """What the schedules still have to earn against deferred revenue, less what was earned before it is billed."""
    with database.read() as connection:
        held = _held_by(connection, legal_entity, Role.DEFERRED_REVENUE, Role.CONTRACT_ASSET)
    return Tie(listed=remaining, ledger=-held)


def _held_by(connection: Connection, legal_entity: str, *roles: Role) -> int:
    line = journal_line.c
    query = select(func.coalesce(func.sum(line.amount_minor), 0)).where(line.legal_entity == legal_entity)
    return int(connection.execute(query.where(line.role.in_([one.value for one in roles]))).scalar_one())


def _within(
    query: Select[Any], column: ColumnElement[str], first_on: date | None, after_on: date | None
) -> Select[Any]:
    if first_on is not None:
        query = query.where(column >= first_on.isoformat())
    if after_on is not None:
        query = query.where(column < after_on.isoformat())
    return query
