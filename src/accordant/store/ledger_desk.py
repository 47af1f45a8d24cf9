"""What is unread, held, due and closed, on SQL: for those who keep the books by the clock or by hand."""

from collections.abc import Iterable
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, false, func, null, or_, select

from accordant.canonical.books import Role
from accordant.canonical.events import EVENT_ID_LENGTH, BusinessEvent, EventType
from accordant.canonical.upcasters import read_business_event
from accordant.kernel.clock import to_micros
from accordant.ledger.contract_month import Asset
from accordant.ledger.exchange import MONETARY
from accordant.ledger.post import MEANING
from accordant.ports.audit import AuditEntry
from accordant.ports.books import KeptEntry, KeptPosting, KeptSchedule
from accordant.ports.ledger_desk import ForeignBalance, KeptContract, OpenEnds, PeriodChange, contract_root
from accordant.ports.state import ConcurrentChange
from accordant.store import audit, bulk
from accordant.store.books import (
    ENTRY,
    PERIOD_LOCK,
    POSTING,
    SCHEDULE,
    read_kept_entry,
    read_periods,
    read_posting,
    read_schedule,
)
from accordant.store.engine import Database
from accordant.store.schema import (
    accounting_period,
    business_event,
    commission_deferral,
    journal_entry,
    journal_line,
    posting,
    revenue_schedule,
)

_PERIOD = ("legal_entity", "starts_on", "ends_on", "state", "closed_by", "reopen_asked_by", "reopened_by", "updated_at")


class SqlLedgerDesk:
    """`ports.ledger_desk.LedgerDesk` on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def unread(self, systems: Iterable[str], *, after: str, limit: int) -> tuple[tuple[BusinessEvent, int], ...]:
        """See the port."""
        wanted = set(systems)
        with self._database.read() as connection:
            while rows := _unread(connection, after, limit):
                after = rows[-1].id
                read = ((read_business_event(row.body), int(row.seq)) for row in rows)
                # A page of other systems' events is not the end of them.
                if found := tuple((event, seq) for event, seq in read if event.subject.system in wanted):
                    return found
        return ()

    def all_held(self, *, after: str, limit: int) -> tuple[tuple[KeptPosting, BusinessEvent], ...]:
        """See the port."""
        query = (
            select(*(posting.c[name] for name in POSTING), business_event.c.body)
            # A posting about one of several bills has its name after the event's, which are all of one length.
            .join(business_event, business_event.c.id == func.substr(posting.c.event, 1, EVENT_ID_LENGTH))
            .where(posting.c.state == "held", posting.c.event > after)
            .order_by(posting.c.event)
            .limit(limit)
        )
        with self._database.read() as connection:
            rows = [tuple(row) for row in connection.execute(query)]
        return tuple((read_posting(row[:-1]), read_business_event(row[-1])) for row in rows)

    def entries(self, *, after: str, limit: int) -> tuple[KeptEntry, ...]:
        """See the port."""
        columns = [journal_entry.c[name] for name in ENTRY]
        query = select(*columns).where(journal_entry.c.id > after).order_by(journal_entry.c.id).limit(limit)
        with self._database.read() as connection:
            return tuple(read_kept_entry(tuple(row)) for row in connection.execute(query))

    def due(self, legal_entity: str, *, before_on: date, limit: int) -> tuple[KeptSchedule, ...]:
        """See the port."""
        query = (
            select(*(revenue_schedule.c[name] for name in SCHEDULE))
            .where(revenue_schedule.c.legal_entity == legal_entity)
            .where(revenue_schedule.c.next_on.is_not(None), revenue_schedule.c.next_on < before_on.isoformat())
            .limit(limit)
        )
        with self._database.read() as connection:
            return tuple(read_schedule(tuple(row)) for row in connection.execute(query))

    def contracts(self, names: Iterable[str]) -> dict[str, KeptContract]:
        """See the port."""
        wanted = list(names)
        if not wanted:
            return {}
        entry, line = journal_entry.c, journal_line.c
        roots = [contract_root(name) for name in wanted]
        posted = select(entry.bill, func.count()).where(entry.root_id.in_(roots)).group_by(entry.bill)
        assets = (
            select(entry.bill, func.sum(line.original_minor), func.sum(line.amount_minor))
            .join(journal_line, line.entry_id == entry.id)
            .where(entry.root_id.in_(roots), line.role == Role.CONTRACT_ASSET.value)
            .group_by(entry.bill)
        )
        with self._database.read() as connection:
            rows = bulk.select_by_keys(connection, revenue_schedule, SCHEDULE, "contract", wanted)
            counts = {str(name): int(count) for name, count in connection.execute(posted)}
            stands = {
                str(name): Asset(
                    # What was agreed in the currency of the books has no other amount.
                    minor=int(books if own is None else own),
                    books_minor=int(books),
                    entries=counts[str(name)],
                )
                for name, own, books in connection.execute(assets)
            }
        found: dict[str, list[KeptSchedule]] = {}
        for one in map(read_schedule, rows):
            found.setdefault(str(one.schedule.contract), []).append(one)
        return {
            name: KeptContract(
                schedules=tuple(sorted(schedules, key=lambda one: (not one.is_billed, one.booked_on, one.id))),
                asset=stands.get(name, Asset(entries=counts.get(name, 0))),
            )
            for name, schedules in found.items()
        }

    def open_ends(self, legal_entity: str, systems: Iterable[str], *, before_on: date) -> OpenEnds:
        """See the port."""
        day = before_on.isoformat()
        of_systems = or_(false(), *(posting.c.subject.startswith(f"{name}:", autoescape=True) for name in systems))
        held = select(func.count()).where(and_(posting.c.state == "held", posting.c.happened_on < day, of_systems))
        due = select(func.count()).where(
            revenue_schedule.c.legal_entity == legal_entity,
            revenue_schedule.c.next_on.is_not(None),
            revenue_schedule.c.next_on < day,
        )
        deferred = select(func.count()).where(
            commission_deferral.c.legal_entity == legal_entity, commission_deferral.c.next_on < day
        )
        with self._database.read() as connection:
            return OpenEnds(
                held=connection.execute(held).scalar_one(),
                unrecognised=connection.execute(due).scalar_one() + connection.execute(deferred).scalar_one(),
            )

    def first_posted_on(self, legal_entity: str) -> date | None:
        """See the port."""
        entry = journal_entry.c
        query = select(func.min(entry.posted_on)).where(entry.legal_entity == legal_entity)
        with self._database.read() as connection:
            found = connection.execute(query).scalar()
        return None if found is None else date.fromisoformat(found)

    def foreign_balances(self, legal_entity: str, *, before_on: date) -> tuple[ForeignBalance, ...]:
        """See the port."""
        owed, others = {Role.RECEIVABLE}, MONETARY - {Role.RECEIVABLE}
        with self._database.read() as connection:
            # An ERP takes no amount on what customers owe without the customer.
            rows = list(connection.execute(_foreign(legal_entity, before_on, owed, by_party=True)))
            rows += connection.execute(_foreign(legal_entity, before_on, others, by_party=False))
        found = (
            ForeignBalance(
                role=Role(row.role),
                currency=row.original_currency,
                original_minor=int(row.original_minor),
                books_minor=int(row.books_minor),
                party=row.party,
            )
            for row in rows
        )
        return tuple(sorted(found, key=lambda one: (one.role, one.currency, one.party or "")))

    def reopen_asked_by(self, legal_entity: str, starts_on: date) -> str | None:
        """See the port."""
        query = select(accounting_period.c.reopen_asked_by).where(
            accounting_period.c.legal_entity == legal_entity, accounting_period.c.starts_on == starts_on.isoformat()
        )
        with self._database.read() as connection:
            return connection.execute(query).scalar()

    def keep_period(self, change: PeriodChange, told: AuditEntry, *, now: datetime) -> None:
        """See the port."""
        was, becomes = change.was, change.becomes
        row = (
            becomes.legal_entity,
            becomes.starts_on.isoformat(),
            becomes.ends_on.isoformat(),
            becomes.state.value,
            becomes.closed_by,
            change.asked_by,
            "\n".join(becomes.reopened_by) or None,
            to_micros(now),
        )
        with self._database.write() as connection:
            if not self._database.is_sqlite:
                connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (PERIOD_LOCK,))
            kept = {(one.legal_entity, one.starts_on): one for one in read_periods(connection)}
            held = kept.get((was.legal_entity, was.starts_on))
            # One that nobody decided about is as the charter says, which has not changed meanwhile.
            if held is not None and held.state is not was.state:
                raise ConcurrentChange(f"The period from {was.starts_on} was closed or opened meanwhile.")
            bulk.upsert(connection, accounting_period, _PERIOD, [row])
            audit.append(connection, [told], now=now)


def _foreign(legal_entity: str, before_on: date, roles: Iterable[Role], *, by_party: bool) -> Select[Any]:
    """What is not zero of some roles, by currency: answered from an index in the order of its columns."""
    line = journal_line.c
    keys = (line.role, line.original_currency, line.party if by_party else null().label("party"))
    original, stands_at = func.sum(line.original_minor), func.sum(line.amount_minor)
    return (
        select(*keys, original.label("original_minor"), stands_at.label("books_minor"))
        .where(line.legal_entity == legal_entity, line.role.in_(sorted(role.value for role in roles)))
        .where(line.posted_on < before_on.isoformat())
        .where(line.original_currency.is_not(None), line.original_currency != line.currency)
        .group_by(*keys[: 3 if by_party else 2])
        .having(or_(original != 0, stands_at != 0))
    )


def _unread(connection: Connection, after: str, limit: int) -> list[Row[tuple[str, bytes, int]]]:
    """The next events of any type that means something. A question for each type walks an index; one for all of them
    would walk every event there ever was.
    """
    found = [row for kind in sorted(MEANING) for row in connection.execute(unread_of(kind, after, limit))]
    return sorted(found, key=lambda row: str(row.id))[:limit]


def unread_of(kind: EventType, after: str, limit: int) -> Select[tuple[str, bytes, int]]:
    """Events of one type, behind an id and in the order of their ids, that came to nothing in the books yet."""
    return (
        select(business_event.c.id, business_event.c.body, business_event.c.seq)
        .outerjoin(posting, posting.c.event == business_event.c.id)
        .where(business_event.c.type == kind.value, business_event.c.id > after, posting.c.event.is_(None))
        .order_by(business_event.c.id)
        .limit(limit)
    )
