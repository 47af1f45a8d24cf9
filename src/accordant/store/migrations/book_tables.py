"""The tables of the books as their version makes them, and what the database itself holds of their rules.

A copy on purpose: what a version makes never changes with `store/schema.py`. Next: `versions`.
"""

from alembic import op
from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)


def add_book_tables(metadata: MetaData) -> None:
    """Add the tables."""
    journal_entry = Table(
        "journal_entry",
        metadata,
        Column("id", Text, primary_key=True),
        Column("legal_entity", Text, nullable=False),
        Column("currency", Text, nullable=False),
        Column("posted_on", Text, nullable=False),
        Column("effective_on", Text, nullable=False),
        Column("rule", Text, nullable=False),
        Column("event", Text, nullable=False),
        Column("subject", Text, nullable=False),
        Column("bill", Text),
        Column("root_id", Text, nullable=False),
        Column("reverses", Text),
        Column("charter", Text, nullable=False),
        Column("cause", BigInteger),
        Column("body", LargeBinary, nullable=False),
        Column("recorded_at", BigInteger, nullable=False),
    )
    Index("ix_journal_entry_posted", journal_entry.c.legal_entity, journal_entry.c.posted_on, journal_entry.c.id)
    Index("ix_journal_entry_event", journal_entry.c.event)
    Index("ix_journal_entry_root", journal_entry.c.root_id)

    journal_line = Table(
        "journal_line",
        metadata,
        Column("entry_id", Text, nullable=False),
        Column("line", Integer, nullable=False),
        Column("legal_entity", Text, nullable=False),
        Column("account", Text, nullable=False),
        Column("posted_on", Text, nullable=False),
        Column("currency", Text, nullable=False),
        Column("amount_minor", BigInteger, nullable=False),
        Column("original_currency", Text),
        Column("original_minor", BigInteger),
        Column("role", Text),
        Column("party", Text),
        Column("product", Text),
        PrimaryKeyConstraint("entry_id", "line"),
    )
    Index("ix_journal_line_account", journal_line.c.legal_entity, journal_line.c.account, journal_line.c.posted_on)

    _add_posting_tables(metadata)
    _add_revenue_tables(metadata)
    _add_period_table(metadata)


def _add_posting_tables(metadata: MetaData) -> None:
    posting = Table(
        "posting",
        metadata,
        Column("event", Text, primary_key=True),
        Column("version", Integer, nullable=False),
        Column("state", Text, nullable=False),
        Column("type", Text, nullable=False),
        Column("subject", Text, nullable=False),
        Column("root_id", Text, nullable=False),
        Column("bill", Text),
        Column("happened_on", Text, nullable=False),
        Column("entry_id", Text),
        Column("asked", Text, nullable=False),
        Column("reasons", LargeBinary, nullable=False),
        Column("charter", Text, nullable=False),
        Column("cause", BigInteger),
        Column("updated_at", BigInteger, nullable=False),
    )
    Index("ix_posting_bill", posting.c.bill)
    held = "state = 'held'"
    Index("ix_posting_held", posting.c.root_id, postgresql_where=text(held), sqlite_where=text(held))

    ledger_bill = Table(
        "ledger_bill",
        metadata,
        Column("ref", Text, primary_key=True),
        Column("version", Integer, nullable=False),
        Column("state", Text, nullable=False),
        Column("legal_entity", Text, nullable=False),
        Column("root_id", Text, nullable=False),
        Column("party", Text),
        Column("number", Text),
        Column("currency", Text, nullable=False),
        Column("books_currency", Text, nullable=False),
        Column("total_minor", BigInteger, nullable=False),
        Column("open_minor", BigInteger, nullable=False),
        Column("open_books_minor", BigInteger, nullable=False),
        Column("booked_on", Text, nullable=False),
        Column("due_on", Text, nullable=False),
        Column("entry_id", Text, nullable=False),
        Column("updated_at", BigInteger, nullable=False),
    )
    is_open = "state = 'open'"
    Index(
        "ix_ledger_bill_open",
        ledger_bill.c.legal_entity,
        ledger_bill.c.due_on,
        postgresql_where=text(is_open),
        sqlite_where=text(is_open),
    )
    Index("ix_ledger_bill_root", ledger_bill.c.root_id)


def _add_revenue_tables(metadata: MetaData) -> None:
    revenue_schedule = Table(
        "revenue_schedule",
        metadata,
        Column("id", Text, primary_key=True),
        Column("version", Integer, nullable=False),
        Column("legal_entity", Text, nullable=False),
        Column("bill", Text, nullable=False),
        Column("product", Text),
        Column("currency", Text, nullable=False),
        Column("books_currency", Text, nullable=False),
        Column("booked_on", Text, nullable=False),
        Column("starts_on", Text, nullable=False),
        Column("ends_on", Text, nullable=False),
        Column("minor", BigInteger, nullable=False),
        Column("billed_minor", BigInteger, nullable=False),
        Column("booked_minor", BigInteger, nullable=False),
        Column("grain", Text, nullable=False),
        Column("zone", Text, nullable=False),
        Column("spans", LargeBinary, nullable=False),
        Column("recognised_minor", BigInteger, nullable=False),
        Column("recognised_books_minor", BigInteger, nullable=False),
        Column("next_on", Text),
        Column("updated_at", BigInteger, nullable=False),
    )
    Index("ix_revenue_schedule_bill", revenue_schedule.c.bill)
    due = "next_on IS NOT NULL"
    Index(
        "ix_revenue_schedule_next",
        revenue_schedule.c.legal_entity,
        revenue_schedule.c.next_on,
        postgresql_where=text(due),
        sqlite_where=text(due),
    )

    recognition = Table(
        "recognition",
        metadata,
        Column("schedule_id", Text, nullable=False),
        Column("version", Integer, nullable=False),
        Column("month_on", Text, nullable=False),
        Column("minor", BigInteger, nullable=False),
        Column("books_minor", BigInteger, nullable=False),
        Column("entry_id", Text, nullable=False),
        PrimaryKeyConstraint("schedule_id", "version"),
    )
    Index("ix_recognition_entry", recognition.c.entry_id)


def _add_period_table(metadata: MetaData) -> None:
    Table(
        "accounting_period",
        metadata,
        Column("legal_entity", Text, nullable=False),
        Column("starts_on", Text, nullable=False),
        Column("ends_on", Text, nullable=False),
        Column("state", Text, nullable=False),
        Column("closed_by", Text),
        Column("reopen_asked_by", Text),
        Column("reopened_by", Text),
        Column("updated_at", BigInteger, nullable=False),
        PrimaryKeyConstraint("legal_entity", "starts_on"),
    )


#: Nobody takes an entry that does not balance, and nobody adds a line to one that is there: on each database.
_SQLITE = (
    """
    CREATE TRIGGER journal_line_closed BEFORE INSERT ON journal_line
    WHEN EXISTS (SELECT 1 FROM journal_entry WHERE id = NEW.entry_id)
    BEGIN SELECT RAISE(ABORT, 'The entry is in the books already: it takes no further line.'); END
    """,
    """
    CREATE TRIGGER journal_entry_balanced BEFORE INSERT ON journal_entry
    WHEN (SELECT count(*) < 2 OR sum(amount_minor) <> 0 FROM journal_line WHERE entry_id = NEW.id)
    BEGIN SELECT RAISE(ABORT, 'An entry has two lines or more, which sum to zero.'); END
    """,
)
_POSTGRESQL = (
    """
    CREATE FUNCTION accordant_line_closed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        -- Looked up one by one: a join would read the whole journal, which nobody has counted yet.
        IF EXISTS (
            SELECT FROM (SELECT DISTINCT entry_id FROM fresh) AS named
            WHERE (SELECT count(*) FROM journal_entry WHERE journal_entry.id = named.entry_id) > 0
        ) THEN
            RAISE EXCEPTION 'The entry is in the books already: it takes no further line.'
                USING ERRCODE = 'check_violation';
        END IF;
        RETURN NULL;
    END $$
    """,
    """
    CREATE FUNCTION accordant_entry_balanced() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF EXISTS (
            SELECT FROM fresh
            WHERE (
                SELECT count(*) < 2 OR sum(amount_minor) <> 0 FROM journal_line WHERE journal_line.entry_id = fresh.id
            )
        ) THEN
            RAISE EXCEPTION 'An entry has two lines or more, which sum to zero.' USING ERRCODE = 'check_violation';
        END IF;
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER journal_line_closed AFTER INSERT ON journal_line REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION accordant_line_closed()
    """,
    """
    CREATE TRIGGER journal_entry_balanced AFTER INSERT ON journal_entry REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION accordant_entry_balanced()
    """,
)


def hold_balance() -> None:
    """Let the database itself refuse an entry that does not balance, and a line for one that is there already."""
    for statement in _SQLITE if op.get_bind().dialect.name == "sqlite" else _POSTGRESQL:
        op.execute(statement)
