"""The tables of commissions as their version makes them.

A copy on purpose: what a version makes never changes with `store/schema.py`. Next: `versions`.
"""

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

#: What is only ever added to.
APPEND_ONLY = ("deal_owner", "commission_line", "commission_expense")


def add_commission_tables(metadata: MetaData) -> None:
    """Add the tables."""
    _add_cash(metadata)
    _add_lines(metadata)
    _add_deferrals(metadata)


def _add_cash(metadata: MetaData) -> None:
    Table(
        "deal_owner",
        metadata,
        Column("ref", Text, nullable=False),
        Column("since", BigInteger, nullable=False),
        Column("owner", Text, nullable=False),
        Column("is_won", Integer, nullable=False),
        PrimaryKeyConstraint("ref", "since"),
    )

    cash = Table(
        "commission_cash",
        metadata,
        Column("event", Text, primary_key=True),
        Column("version", Integer, nullable=False),
        Column("state", Text, nullable=False),
        Column("kind", Text, nullable=False),
        Column("payment", Text, nullable=False),
        Column("happened_on", Text, nullable=False),
        Column("gross_minor", BigInteger, nullable=False),
        Column("books_minor", BigInteger, nullable=False),
        Column("legal_entity", Text, nullable=False),
        Column("system", Text, nullable=False),
        Column("subject", Text, nullable=False),
        Column("root_id", Text, nullable=False),
        Column("bill", Text),
        Column("currency", Text, nullable=False),
        Column("total_minor", BigInteger, nullable=False),
        Column("tax_minor", BigInteger, nullable=False),
        Column("cause", BigInteger),
        Column("reason", Text),
        Column("updated_at", BigInteger, nullable=False),
    )
    Index("ix_commission_cash_bill", cash.c.bill)
    Index("ix_commission_cash_payment", cash.c.payment)
    Index("ix_commission_cash_day", cash.c.legal_entity, cash.c.happened_on)
    waits = "state IN ('due', 'held')"
    Index("ix_commission_cash_waits", cash.c.bill, postgresql_where=text(waits), sqlite_where=text(waits))


def _add_lines(metadata: MetaData) -> None:
    line = Table(
        "commission_line",
        metadata,
        Column("id", Text, primary_key=True),
        Column("event", Text, nullable=False),
        Column("payment", Text, nullable=False),
        Column("person", Text, nullable=False),
        Column("plan", Text, nullable=False),
        Column("terms", LargeBinary, nullable=False),
        Column("base_minor", BigInteger, nullable=False),
        Column("amount_minor", BigInteger, nullable=False),
        Column("happened_on", Text, nullable=False),
        Column("posted_on", Text, nullable=False),
        Column("legal_entity", Text, nullable=False),
        Column("currency", Text, nullable=False),
        Column("bill", Text, nullable=False),
        Column("entry_id", Text),
        Column("charter", Text, nullable=False),
        Column("recorded_at", BigInteger, nullable=False),
    )
    Index("ix_commission_line_bill", line.c.bill)
    Index("ix_commission_line_person", line.c.person, line.c.posted_on)

    Table(
        "commission_total",
        metadata,
        Column("person", Text, nullable=False),
        Column("plan", Text, nullable=False),
        Column("version", Integer, nullable=False),
        Column("base_minor", BigInteger, nullable=False),
        Column("amount_minor", BigInteger, nullable=False),
        PrimaryKeyConstraint("person", "plan"),
    )


def _add_deferrals(metadata: MetaData) -> None:
    deferral = Table(
        "commission_deferral",
        metadata,
        Column("line_id", Text, primary_key=True),
        Column("version", Integer, nullable=False),
        Column("legal_entity", Text, nullable=False),
        Column("expensed_minor", BigInteger, nullable=False),
        Column("next_on", Text),
    )
    due = "next_on IS NOT NULL"
    Index(
        "ix_commission_deferral_next",
        deferral.c.legal_entity,
        deferral.c.next_on,
        postgresql_where=text(due),
        sqlite_where=text(due),
    )

    expense = Table(
        "commission_expense",
        metadata,
        Column("line_id", Text, nullable=False),
        Column("version", Integer, nullable=False),
        Column("month_on", Text, nullable=False),
        Column("minor", BigInteger, nullable=False),
        Column("entry_id", Text, nullable=False),
        PrimaryKeyConstraint("line_id", "version"),
    )
    Index("ix_commission_expense_entry", expense.c.entry_id)
