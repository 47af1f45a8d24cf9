"""No change of governed state without its line in the trail: counted in every write transaction, refused at its end.

Every statement passes `watch`, whoever wrote it; `audit.append` counts the lines. A table that is named neither in
``GOVERNED`` nor in ``FREE`` may not be written at all, so a new one has to be thought of. Next: `engine.py`.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Protocol

import msgspec
from sqlalchemy import Connection, Engine, event

from accordant.canonical.refs import EntityKind
from accordant.kernel.errors import InvariantBroken


class UnauditedChange(InvariantBroken):
    """Governed state was about to change without its line in the audit trail; nothing was stored."""


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """Which lines of the trail answer for the changed rows of a table, by the beginnings of their kinds.

    A line of ``each`` answers for one row, or for as many as its body names under "intents"; one of ``act`` is what a
    person or a discovery set going, and answers for all that belongs to it. ``by_subject``: several lines of one
    subject answer for one row, since several states of a thing in one transaction are one row.
    """

    each: tuple[str, ...] = ()
    act: tuple[str, ...] = ()
    by_subject: bool = False


_STATES = tuple(f"registry.{kind.value}." for kind in EntityKind)
_REVIEWED = ("review.", "registry.review.", "registry.record.")

#: What a decision rests on, what was decided, and what came of it.
GOVERNED: dict[str, Rule] = {
    "entity": Rule(each=_STATES, by_subject=True),
    "standing": Rule(each=_STATES),
    "crosswalk": Rule(each=(*_STATES, "registry.link.", "archive.write."), act=_REVIEWED),
    "desired_record": Rule(each=("desk.",), act=("review.",), by_subject=True),
    "write_intent": Rule(each=("desk.intent.", "archive.write."), act=("review.", "operations.letter.")),
    "write_receipt": Rule(each=("archive.write.",)),
    "confirmed_record": Rule(each=("archive.write.",)),
    "conflict": Rule(each=("archive.conflict.",)),
    "conflict_decision": Rule(each=("operations.conflict.",)),
    "field_stand": Rule(each=("archive.conflict.", "court.stand.", "operations.conflict.")),
    "parked_lane": Rule(
        each=("archive.write.", "interpreter.event."), act=("review.", "registry.review.", "operations.letter.")
    ),
    "record_link": Rule(
        each=("registry.record.linked",), act=("review.", "registry.record.relinked", "archive.write.")
    ),
    "match_rejection": Rule(act=_REVIEWED),
    "review_case": Rule(act=_REVIEWED),
    "review_decision": Rule(act=("review.",)),
    "redrive_waiver": Rule(act=("operations.letter.",)),
    "error_pattern": Rule(each=("operations.pattern.",)),
    "restore_epoch": Rule(each=("operations.restore.",)),
    "switch": Rule(each=("operations.switch.",)),
    "red_flag": Rule(each=("court.flag.",), act=("operations.flag.",)),
    "flag_decision": Rule(each=("operations.flag.",)),
    "incident": Rule(each=("operations.incident.",)),
    "incident_moment": Rule(act=("operations.incident.",)),
    "saga": Rule(each=("operations.saga.",)),
    "clearance": Rule(each=("compliance.clearance.",)),
    "vat_consultation": Rule(each=("compliance.vat.",)),
    "opening_release": Rule(each=("operations.opening.",)),
    "evidence_pack": Rule(each=("phases.widening.",)),
    "phase_proposal": Rule(each=("phases.widening.",)),
    "phase_grant": Rule(each=("phases.flow.",)),
    "journal_entry": Rule(each=("books.entry.",)),
    "journal_line": Rule(act=("books.entry.",)),
    "posting": Rule(each=("books.",)),
    "ledger_bill": Rule(act=("books.",)),
    "revenue_schedule": Rule(act=("books.",)),
    "recognition": Rule(act=("books.entry.",)),
    "period_balance": Rule(act=("books.entry.",)),
    "recognised_month": Rule(act=("books.entry.",)),
    "commission_cash": Rule(each=("commissions.cash.",)),
    "commission_line": Rule(act=("commissions.cash.",)),
    "commission_total": Rule(act=("commissions.cash.",)),
    "commission_deferral": Rule(act=("commissions.cash.", "books.entry.", "commissions.expense.")),
    "commission_expense": Rule(act=("books.entry.",)),
    "accounting_period": Rule(each=("books.period.",)),
    "reference_rate": Rule(act=("books.rates.",)),
    "person": Rule(each=("people.",)),
    "person_second": Rule(act=("people.",)),
    "charter_version": Rule(each=("charter.version.",)),
    "hub_fact": Rule(each=("charter.version.",)),
}

#: Why nothing has to be told of the others.
FREE: dict[str, str] = {
    "alembic_version": "The version of the tables.",
    "audit_head": "The trail itself.",
    "audit_batch": "The trail itself.",
    "audit_entry": "The trail itself.",
    "inbox_event": "Insert-only: what somebody sent, as it came.",
    "inbox_reading": "Insert-only: what an owner answered, as it came.",
    "inbox_twin": "Insert-only: what somebody sent, as it came.",
    "delivery": "Insert-only: that something came again.",
    "observation": "Insert-only: what an event said of an object; what that changed is a line.",
    "business_event": "Insert-only: what happened, as an event told it.",
    "inbox_work": "Where an event stands in the queue; one that is set aside parks its lane or has its own line.",
    "directory_record": "A copy of what a target holds.",
    "directory_key": "A copy of what a target holds.",
    "directory_draft": "A copy of what a target holds, while it is made.",
    "directory_scan": "How far the copy of a target has come.",
    "target_shape": "A copy of what a target says of its fields; that it differs is a line.",
    "sent_request": "That a request goes out, kept before it does; what came of it is a line.",
    "product_use": "Which accounts a product's name is written for; the records are lines.",
    "data_key": "A key seals bytes and decides nothing.",
    "event_rhythm": "How often a type of event is heard.",
    "adopted_endpoint": "Which of a provider's endpoints sends here; the provider's own list says it too.",
    "replay_job": "How far a replay has come; that it was ordered and that it ended are lines.",
    "alert": "Mail that waits to be sent.",
    "lease": "Who works on what just now.",
    "deal_owner": "Insert-only: whose a deal is since when, as the CRM's states say, which are lines themselves.",
    "moved_revenue": "A figure counted out of stored events; what it changes at a target is a line.",
    "owed_decision": "Who is to be decided again; what for is a line, and so is what comes of it.",
    "scheduled_job": "When a job ran last.",
    "lag_incident": "A measurement that is late just now.",
    "reconcile_run": "A comparison; that it ended is a line.",
    "discrepancy": "Insert-only: what a comparison found.",
    "rehearsal_run": "A rehearsal changes nothing.",
    "rehearsal_difference": "A rehearsal changes nothing.",
}

_WRITES = re.compile(r"\s*(?:INSERT|UPDATE|DELETE|REPLACE|MERGE|TRUNCATE|WITH)\b", re.IGNORECASE)
_TABLE = re.compile(
    r"\b(?:(?:INSERT|REPLACE|MERGE)\s+(?:OR\s+\w+\s+)?INTO|(?<!FOR )(?<!DO )UPDATE(?:\s+OR\s+\w+)?"
    r"|DELETE\s+FROM|TRUNCATE(?:\s+TABLE)?)\s+(?:ONLY\s+)?\"?(\w+)\"?",
    re.IGNORECASE,
)
_TALLY = "accordant_tally"


class Line(Protocol):
    """A line of the audit trail, as far as it is counted here."""

    @property
    def kind(self) -> str:
        """What happened."""
        ...

    @property
    def subject(self) -> str:
        """To what."""
        ...

    @property
    def body(self) -> dict[str, Any]:
        """What is told of it."""
        ...


class Tally:
    """What one transaction has changed, and what it has told."""

    def __init__(self) -> None:
        self.rows: dict[str, int] = {}
        self.kinds: dict[str, int] = {}
        self.subjects: dict[str, set[str]] = {}
        self.silent = 0
        #: SQLite counts the changed rows of a connection, never back, and those of a statement when it is completed.
        self.changes = 0
        self._open: tuple[str, ...] = ()

    def told(self, entries: Sequence[Line]) -> None:
        """Count lines of the trail."""
        for entry in entries:
            named = entry.body.get("intents")
            self.kinds[entry.kind] = self.kinds.get(entry.kind, 0) + (len(named) if isinstance(named, list) else 1)
            self.subjects.setdefault(entry.kind, set()).add(entry.subject)

    def changed(self, tables: Iterable[str], rows: int) -> None:
        """Count changed rows."""
        if not self.silent:
            self._add(tables, rows)

    def _add(self, tables: Iterable[str], rows: int) -> None:
        for table in tables if rows > 0 else ():
            self.rows[table] = self.rows.get(table, 0) + rows

    def completed(self, changes: int, tables: tuple[str, ...], *, rows: int) -> None:
        """Count by SQLite's own counter, which stands at ``changes`` after a statement that writes ``tables``.

        ``rows`` is what the driver says of it: nothing of one that gives rows back or begins with WITH. The rows of one
        that gives rows back are counted when the next statement is carried out, or at the end.
        """
        fresh, self.changes = changes - self.changes, changes
        if not self._open:
            self.changed(tables, fresh)
        else:
            self._add(self._open, fresh - max(rows, 0))
            self.changed(tables, rows if rows >= 0 else fresh)
        self._open = tables if rows == 0 and not self.silent else ()

    def check(self) -> None:
        """Raises: UnauditedChange where more rows changed than there are lines that answer for them."""
        for table, rows in self.rows.items():
            rule = GOVERNED.get(table)
            if rule is None:
                raise UnauditedChange(f"Nobody said whether a change of {table} has to be told in the audit trail.")
            kinds = [kind for kind in self.kinds if kind.startswith(rule.each)]
            lines = (
                len(set().union(*(self.subjects[kind] for kind in kinds)))
                if rule.by_subject
                else sum(self.kinds[kind] for kind in kinds)
            )
            if lines < rows and not any(kind.startswith(rule.act) for kind in self.kinds):
                told = ", ".join(sorted(self.kinds)) or "nothing"
                raise UnauditedChange(f"{rows} rows of {table} changed, the audit trail was told: {told}.")


def watch(engine: Engine) -> None:
    """Let every statement of ``engine`` be counted in the transaction it belongs to."""

    @event.listens_for(engine, "after_cursor_execute")
    def _count(connection: Connection, cursor: Any, statement: str, *_: object) -> None:  # noqa: ANN401  the driver's
        count(connection, cursor, statement)


def count(connection: Connection, cursor: Any, statement: str) -> None:  # noqa: ANN401  the driver's own class
    """Count a statement that was carried out in the transaction of ``connection``."""
    tally: Tally | None = connection.info.get(_TALLY)
    if tally is None:
        return
    tables = written_tables(statement)
    if connection.dialect.name == "sqlite":
        tally.completed(cursor.connection.total_changes, tables, rows=cursor.rowcount)
    elif tables:
        # A driver that does not know how many rows it changed says -1.
        tally.changed(tables, cursor.rowcount if cursor.rowcount >= 0 else 1)


@lru_cache(maxsize=4096)
def written_tables(statement: str) -> tuple[str, ...]:
    """The tables a statement writes that are not free."""
    if _WRITES.match(statement) is None:
        return ()
    return tuple(name for name in _TABLE.findall(statement) if name not in FREE)


@contextmanager
def guarded(connection: Connection) -> Iterator[None]:
    """A transaction at whose end every governed row has its line. Raises: UnauditedChange, which rolls it back."""
    # Held, not asked for again at the end: a connection that broke meanwhile no longer says what it knew.
    kept = connection.info
    tally = kept[_TALLY] = Tally()
    if connection.dialect.name == "sqlite":
        tally.changes = _sqlite_changes(connection)
    try:
        yield
        if connection.dialect.name == "sqlite":
            tally.completed(_sqlite_changes(connection), (), rows=-1)
        tally.check()
    finally:
        kept.pop(_TALLY, None)


def _sqlite_changes(connection: Connection) -> int:
    driver: Any = connection.connection.driver_connection
    return int(driver.total_changes)


def tell(connection: Connection, entries: Sequence[Line]) -> None:
    """Lines that were appended in the transaction of ``connection``."""
    tally: Tally | None = connection.info.get(_TALLY)
    if tally is not None:
        tally.told(entries)


@contextmanager
def bookkeeping(connection: Connection) -> Iterator[None]:
    """Rows that move without anything being decided: a lease, its return, a later stamp of the same state."""
    tally: Tally | None = connection.info.get(_TALLY)
    if tally is None:
        yield
        return
    tally.silent += 1
    try:
        yield
    finally:
        tally.silent -= 1
