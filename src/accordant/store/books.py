"""The books on SQL: read for a batch, written in its commit; an entry goes in whole and is never touched again.

The database refuses an entry that does not balance and a line for one that is there (`migrations/book_tables.py`).
"""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import Connection, select

from accordant.canonical.books import Grain
from accordant.canonical.events import BusinessEvent
from accordant.canonical.refs import ExternalRef
from accordant.canonical.upcasters import read_business_event
from accordant.kernel.clock import from_micros, to_micros
from accordant.ledger.compose import Refusal
from accordant.ledger.entries import JournalEntry, encode_entry
from accordant.ledger.exchange import Rate
from accordant.ledger.meanings.reading import NAMES_BILL
from accordant.ledger.periods import Period, PeriodState
from accordant.ledger.post import event_of
from accordant.ledger.schedule import RevenueSchedule, Span, first_and_last
from accordant.ports.books import (
    BillState,
    BookChanges,
    Dossiers,
    KeptBill,
    KeptEntry,
    KeptPosting,
    KeptRecognition,
    KeptSchedule,
    PostingState,
    ScheduleAdvance,
)
from accordant.ports.state import ConcurrentChange
from accordant.store import bulk, rates
from accordant.store.book_sums import count_on
from accordant.store.commissions import SqlCommissionDesk, commit_commissions
from accordant.store.engine import Database
from accordant.store.packed import pack
from accordant.store.schema import (
    accounting_period,
    business_event,
    journal_entry,
    journal_line,
    ledger_bill,
    posting,
    recognition,
    revenue_schedule,
)

ENTRY = (
    "id", "legal_entity", "currency", "posted_on", "effective_on", "rule", "event", "subject", "bill", "root_id",
    "reverses", "charter", "cause", "body", "recorded_at",
)  # fmt: skip
_LINE = (
    "entry_id", "line", "legal_entity", "account", "posted_on", "currency", "amount_minor", "original_currency",
    "original_minor", "role", "party", "product",
)  # fmt: skip
POSTING = (
    "event", "version", "state", "type", "subject", "root_id", "bill", "happened_on", "entry_id", "asked", "reasons",
    "charter", "cause", "updated_at", "waits_for",
)  # fmt: skip
_BILL = (
    "ref", "version", "state", "legal_entity", "root_id", "party", "number", "currency", "books_currency",
    "total_minor", "open_minor", "open_books_minor", "booked_on", "due_on", "entry_id", "updated_at",
)  # fmt: skip
SCHEDULE = (
    "id", "version", "legal_entity", "bill", "product", "currency", "books_currency", "booked_on", "starts_on",
    "ends_on", "minor", "billed_minor", "booked_minor", "grain", "zone", "spans", "recognised_minor",
    "recognised_books_minor", "next_on", "updated_at", "contract", "caught_up_on",
)  # fmt: skip
_RECOGNITION = ("schedule_id", "version", "month_on", "minor", "books_minor", "entry_id")
#: Types of what moves with a schedule: amount, amount in the books, the day, version, moment, id.
_ADVANCED = ("bigint", "bigint", "text", "integer", "bigint", "text")
_ENCODER = msgspec.json.Encoder(order="sorted")
_ENTRIES = msgspec.json.Decoder(JournalEntry)
_REFUSALS = msgspec.json.Decoder(tuple[Refusal, ...])
_SPANS = msgspec.json.Decoder(tuple[tuple[int, int, int], ...])


class SqlBookshelf:
    """`ports.books.Bookshelf` on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._commissions = SqlCommissionDesk(database)

    @property
    def commissions(self) -> SqlCommissionDesk:
        """See the port."""
        return self._commissions

    def dossiers(self, bills: Iterable[str], events: Iterable[str]) -> Dossiers:
        """See the port."""
        names = list(bills)
        with self._database.read() as connection:
            rows = bulk.select_by_keys(connection, posting, POSTING, "bill", names)
            known = {row[0] for row in rows}
            rows += bulk.select_by_keys(connection, posting, POSTING, "event", set(events) - known)
            postings = {row[0]: read_posting(row) for row in rows}
            told = _events(connection, postings)
            entries = read_entries(connection, [one.entry_id for one in postings.values() if one.entry_id is not None])
            kept = bulk.select_by_keys(connection, ledger_bill, _BILL, "ref", names)
            schedules = bulk.select_by_keys(connection, revenue_schedule, SCHEDULE, "bill", names)
        return Dossiers(
            postings=postings,
            events=told,
            entries=entries,
            bills={row[0]: read_bill(row) for row in kept},
            schedules={row[0]: read_schedule(row) for row in schedules},
        )

    def held(
        self, root_ids: Iterable[str], arrived: Iterable[ExternalRef]
    ) -> tuple[tuple[KeptPosting, BusinessEvent], ...]:
        """See the port."""
        place, names = ("state", PostingState.HELD.value), {_arrival(one) for one in arrived}
        with self._database.read() as connection:
            rows = bulk.select_by_keys(connection, posting, POSTING, "root_id", root_ids, where=place)
            known = {row[0] for row in rows}
            waiting = bulk.select_by_keys(connection, posting, POSTING, "waits_for", names)
            rows += [row for row in waiting if row[0] not in known]
            told = _events(connection, (row[0] for row in rows))
        return tuple((read_posting(row), told[event_of(row[0])]) for row in rows)

    def allocations(self, names: Iterable[ExternalRef]) -> tuple[BusinessEvent, ...]:
        """See the port."""
        wanted = {_arrival(one) for one in names}
        with self._database.read() as connection:
            rows = [
                row
                for kind in NAMES_BILL
                for row in bulk.select_by_keys(
                    connection, posting, POSTING, "waits_for", wanted, where=("type", kind.value)
                )
            ]
            return tuple(_events(connection, (row[0] for row in rows)).values())

    def kept_entries(self, ids: Iterable[str]) -> tuple[KeptEntry, ...]:
        """See the port."""
        with self._database.read() as connection:
            return tuple(
                read_kept_entry(row) for row in bulk.select_by_keys(connection, journal_entry, ENTRY, "id", ids)
            )

    def entries_of(self, root_ids: Iterable[str]) -> tuple[KeptEntry, ...]:
        """See the port."""
        with self._database.read() as connection:
            rows = bulk.select_by_keys(connection, journal_entry, ("recorded_at", *ENTRY), "root_id", root_ids)
            return tuple(read_kept_entry(row[1:]) for row in sorted(tuple(row) for row in rows))

    def periods(self) -> tuple[Period, ...]:
        """See the port."""
        with self._database.read() as connection:
            return read_periods(connection)

    def rate_of(self, of: str, in_: str, day: date) -> Rate | None:
        """See the port."""
        return rates.newest_rate_of(self._database, of, in_, day)


def commit_books(connection: Connection, changes: BookChanges, *, now: datetime) -> None:
    """Store what a batch adds. Raises ConcurrentChange where somebody was quicker, or closed a period meanwhile."""
    micros = to_micros(now)
    if changes.entries:
        _guard_periods(connection, changes.entries)
    for table, columns, rows in (
        (posting, POSTING, [_posting_row(one, micros) for one in changes.postings]),
        (ledger_bill, _BILL, [_bill_row(one, micros) for one in changes.bills]),
        (revenue_schedule, SCHEDULE, [_schedule_row(one, micros) for one in changes.schedules]),
    ):
        bulk.upsert(connection, table, columns, rows, only_if_version_follows=True)
    # Before their entry: who comes second with a payment is told so by its row, not by the entry that is there.
    commit_commissions(connection, changes.commissions, now=now)
    # Lines first: with its entry a line can no longer be added, and the entry is weighed against them.
    bulk.insert(connection, journal_line, _LINE, [row for one in changes.entries for row in _line_rows(one.entry)])
    entries = [_entry_row(one, micros) for one in changes.entries]
    if bulk.insert_new(connection, journal_entry, ENTRY, entries) != len(entries):
        raise ConcurrentChange("Another worker posted one of these entries meanwhile.")
    bulk.insert(connection, recognition, _RECOGNITION, [_recognition_row(one) for one in changes.recognitions])
    count_on(connection, changes)
    _advance_schedules(connection, changes.advances, micros)


#: Each array is a question of its own: PostgreSQL takes it for a short one then and looks the rows up one by one. Told
#: how long they are, it read the whole table for each batch, as nobody has counted a table that grows.
ADVANCE_POSTGRES = (
    "UPDATE revenue_schedule SET recognised_minor = s.minor, recognised_books_minor = s.books, next_on = s.next_on, "
    "version = s.version, updated_at = s.at FROM unnest((SELECT %b::bigint[]), (SELECT %b::bigint[]), "
    "(SELECT %b::text[]), (SELECT %b::integer[]), (SELECT %b::bigint[]), (SELECT %b::text[])) "
    "AS s(minor, books, next_on, version, at, id) "
    "WHERE revenue_schedule.id = s.id AND revenue_schedule.version = s.version - 1"
)


def _advance_schedules(connection: Connection, advances: Sequence[ScheduleAdvance], micros: int) -> None:
    """Say how far schedules are recognised; the rest of them stays as it is."""
    rows = [
        (
            one.recognised_minor,
            one.recognised_books_minor,
            None if one.next_on is None else one.next_on.isoformat(),
            one.version,
            micros,
            one.id,
        )
        for one in advances
    ]
    if not rows:
        return
    if connection.dialect.name == "sqlite":
        sql = (
            "UPDATE revenue_schedule SET recognised_minor = ?1, recognised_books_minor = ?2, next_on = ?3, "
            "version = ?4, updated_at = ?5 WHERE id = ?6 AND version = ?4 - 1"
        )
        done = connection.exec_driver_sql(sql, rows).rowcount
    else:
        arrays = tuple(map(pack, _ADVANCED, zip(*rows, strict=True)))
        done = connection.exec_driver_sql(ADVANCE_POSTGRES, arrays).rowcount
    if done != len(rows):
        raise ConcurrentChange(f"{len(rows) - done} of {len(rows)} schedules changed meanwhile.")


#: Who posts takes it for reading, who closes for writing: nothing is posted into a period that is being closed.
PERIOD_LOCK = int.from_bytes(b"periods", "big")


def _guard_periods(connection: Connection, entries: Sequence[KeptEntry]) -> None:
    if connection.dialect.name != "sqlite":
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock_shared(%s)", (PERIOD_LOCK,))
    closed = [one for one in read_periods(connection) if one.state is PeriodState.CLOSED]
    for kept in entries if closed else ():
        entry = kept.entry
        if any(one.legal_entity == entry.legal_entity and one.holds(entry.posted_on) for one in closed):
            raise ConcurrentChange(f"The period of {entry.posted_on} was closed meanwhile.")


def read_periods(connection: Connection) -> tuple[Period, ...]:
    """The periods that people decided about, in order."""
    query = select(accounting_period).order_by(accounting_period.c.legal_entity, accounting_period.c.starts_on)
    return tuple(
        Period(
            legal_entity=row.legal_entity,
            starts_on=date.fromisoformat(row.starts_on),
            ends_on=date.fromisoformat(row.ends_on),
            state=PeriodState(row.state),
            closed_by=row.closed_by,
            reopened_by=tuple(row.reopened_by.split("\n")) if row.reopened_by else (),
        )
        for row in connection.execute(query)
    )


def read_entries(connection: Connection, ids: Iterable[str]) -> dict[str, JournalEntry]:
    """Entries by id. Raises InvariantBroken for one that no longer balances: it was altered behind our back."""
    rows = bulk.select_by_keys(connection, journal_entry, ("id", "body"), "id", ids)
    return {name: read_entry(body) for name, body in rows}


def read_entry(body: bytes) -> JournalEntry:
    """The entry stored as ``body``. Raises InvariantBroken as ``read_entries``."""
    return _ENTRIES.decode(body)


def read_refusals(reasons: bytes) -> tuple[Refusal, ...]:
    """The reasons stored with a posting."""
    return _REFUSALS.decode(reasons)


def read_kept_entry(row: bulk.Row) -> KeptEntry:
    """The entry in a row of the columns ``id`` to ``recorded_at``."""
    fields = dict(zip(ENTRY, row, strict=True))
    return KeptEntry(
        entry=read_entry(fields["body"]),
        root_id=fields["root_id"],
        bill=fields["bill"],
        charter=fields["charter"],
        cause=fields["cause"],
    )


def _events(connection: Connection, ids: Iterable[str]) -> dict[str, BusinessEvent]:
    rows = bulk.select_by_keys(connection, business_event, ("id", "body"), "id", {event_of(key) for key in ids})
    return {name: read_business_event(body) for name, body in rows}


def read_posting(row: bulk.Row) -> KeptPosting:
    """What an event came to, in a row of the columns ``event`` to ``updated_at``."""
    (
        event,
        version,
        state,
        kind,
        subject,
        root_id,
        bill,
        happened_on,
        entry_id,
        asked,
        reasons,
        charter,
        cause,
        _,
        waits_for,
    ) = row
    return KeptPosting(
        event=event,
        version=version,
        state=PostingState(state),
        type=kind,
        subject=subject,
        root_id=root_id,
        bill=bill,
        happened_on=date.fromisoformat(happened_on),
        entry_id=entry_id,
        asked=asked,
        refusals=read_refusals(reasons),
        charter=charter,
        cause=cause,
        waits_for=None if waits_for is None else _named_arrival(waits_for),
    )


def _posting_row(kept: KeptPosting, micros: int) -> bulk.Row:
    return (
        kept.event,
        kept.version,
        kept.state.value,
        kept.type,
        kept.subject,
        kept.root_id,
        kept.bill,
        kept.happened_on.isoformat(),
        kept.entry_id,
        kept.asked,
        _ENCODER.encode(kept.refusals),
        kept.charter,
        kept.cause,
        micros,
        None if kept.waits_for is None else _arrival(kept.waits_for),
    )


def _arrival(ref: ExternalRef) -> str:
    """A thing by its system and id alone: each system has a word of its own for what moved money."""
    return f"{ref.system}/{ref.id}"


def _named_arrival(text: str) -> ExternalRef:
    system, _, name = text.partition("/")
    return ExternalRef(system, "", name)


def _entry_row(kept: KeptEntry, micros: int) -> bulk.Row:
    entry = kept.entry
    return (
        entry.id,
        entry.legal_entity,
        entry.currency,
        entry.posted_on.isoformat(),
        entry.effective_on.isoformat(),
        entry.cause.rule,
        entry.cause.event,
        entry.cause.subject,
        kept.bill,
        kept.root_id,
        entry.reverses,
        kept.charter,
        kept.cause,
        encode_entry(entry),
        micros,
    )


def _line_rows(entry: JournalEntry) -> list[bulk.Row]:
    posted_on = entry.posted_on.isoformat()
    return [
        (
            entry.id,
            line,
            entry.legal_entity,
            one.account,
            posted_on,
            one.amount.currency,
            one.amount.amount_minor,
            None if one.original is None else one.original.currency,
            None if one.original is None else one.original.amount_minor,
            None if one.role is None else one.role.value,
            one.party,
            one.dimensions.get("product"),
        )
        for line, one in enumerate(entry.postings, 1)
    ]


def read_bill(row: bulk.Row) -> KeptBill:
    """The bill in a row of the columns ``ref`` to ``updated_at``."""
    fields = dict(zip(_BILL, row, strict=True))
    fields.pop("updated_at")
    fields["state"] = BillState(fields["state"])
    fields["booked_on"], fields["due_on"] = (date.fromisoformat(fields[name]) for name in ("booked_on", "due_on"))
    return KeptBill(**fields)


def _bill_row(kept: KeptBill, micros: int) -> bulk.Row:
    found = {name: getattr(kept, name) for name in _BILL[:-1]}
    found |= {"booked_on": kept.booked_on.isoformat(), "due_on": kept.due_on.isoformat(), "state": kept.state.value}
    return (*found.values(), micros)


def read_schedule(row: bulk.Row) -> KeptSchedule:
    """The schedule in a row of the columns ``id`` to ``updated_at``."""
    (
        name, version, legal_entity, bill, product, currency, books_currency, booked_on, _, _, minor, billed, booked,
        grain, zone, spelled, recognised, recognised_books, next_on, _, contract, caught_up_on,
    ) = row  # fmt: skip
    spans = tuple(
        Span(starts_at=from_micros(starts), ends_at=from_micros(ends), minor=part)
        for starts, ends, part in _SPANS.decode(spelled)
    )
    undated = minor - sum(span.minor for span in spans)
    schedule = RevenueSchedule(
        line=name,
        currency=currency,
        spans=spans,
        grain=Grain(grain),
        zone=ZoneInfo(zone),
        product=product,
        billed_minor=billed,
        booked_minor=booked,
        contract=contract,
        by_progress=bool(undated),
        undated_minor=undated,
        caught_up_on=tuple(map(date.fromisoformat, (caught_up_on or "").split())),
    )
    return KeptSchedule(
        id=name,
        version=version,
        legal_entity=legal_entity,
        bill=bill,
        books_currency=books_currency,
        booked_on=date.fromisoformat(booked_on),
        schedule=schedule,
        recognised_minor=recognised,
        recognised_books_minor=recognised_books,
        next_on=None if next_on is None else date.fromisoformat(next_on),
    )


def _schedule_row(kept: KeptSchedule, micros: int) -> bulk.Row:
    one = kept.schedule
    starts_on, ends_on = first_and_last(one) or (kept.booked_on, kept.booked_on)
    return (
        kept.id,
        kept.version,
        kept.legal_entity,
        kept.bill,
        one.product,
        one.currency,
        kept.books_currency,
        kept.booked_on.isoformat(),
        starts_on.isoformat(),
        ends_on.isoformat(),
        one.minor,
        one.billed_minor,
        one.booked_minor,
        one.grain.value,
        str(one.zone),
        spell_spans(one),
        kept.recognised_minor,
        kept.recognised_books_minor,
        None if kept.next_on is None else kept.next_on.isoformat(),
        micros,
        one.contract,
        " ".join(day.isoformat() for day in one.caught_up_on) or None,
    )


def spell_spans(schedule: RevenueSchedule) -> bytes:
    """The spans of a schedule as they are kept: begin and end in microseconds, with the amount."""
    return _ENCODER.encode(
        [(to_micros(span.starts_at), to_micros(span.ends_at), span.minor) for span in schedule.spans]
    )


def _recognition_row(kept: KeptRecognition) -> bulk.Row:
    return (
        kept.schedule_id,
        kept.version,
        kept.month_on.isoformat(),
        kept.minor,
        kept.books_minor,
        kept.entry_id,
    )
