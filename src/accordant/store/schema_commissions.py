"""The tables of commissions: owners of deals, money that was collected, lines, totals, what is deferred.

Days are text as in 2027-01-31, amounts minor units of the books unless named otherwise. Next: `commissions.py`.
"""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, PrimaryKeyConstraint, Table, Text, text

from accordant.store.schema_base import metadata

deal_owner = Table(
    "deal_owner",
    metadata,
    Column("ref", Text, nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("owner", Text, nullable=False),
    Column("is_won", Integer, nullable=False),
    PrimaryKeyConstraint("ref", "since"),
)

commission_cash = Table(
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
Index("ix_commission_cash_bill", commission_cash.c.bill)
Index("ix_commission_cash_payment", commission_cash.c.payment)
Index("ix_commission_cash_day", commission_cash.c.legal_entity, commission_cash.c.happened_on)
_WAITS = "state IN ('due', 'held')"
Index("ix_commission_cash_waits", commission_cash.c.bill, postgresql_where=text(_WAITS), sqlite_where=text(_WAITS))

commission_line = Table(
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
Index("ix_commission_line_bill", commission_line.c.bill)
Index("ix_commission_line_person", commission_line.c.person, commission_line.c.posted_on)

commission_total = Table(
    "commission_total",
    metadata,
    Column("person", Text, nullable=False),
    Column("plan", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("base_minor", BigInteger, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    PrimaryKeyConstraint("person", "plan"),
)

commission_deferral = Table(
    "commission_deferral",
    metadata,
    Column("line_id", Text, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("legal_entity", Text, nullable=False),
    Column("expensed_minor", BigInteger, nullable=False),
    Column("next_on", Text),
)
_DUE = "next_on IS NOT NULL"
Index(
    "ix_commission_deferral_next",
    commission_deferral.c.legal_entity,
    commission_deferral.c.next_on,
    postgresql_where=text(_DUE),
    sqlite_where=text(_DUE),
)

commission_expense = Table(
    "commission_expense",
    metadata,
    Column("line_id", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("month_on", Text, nullable=False),
    Column("minor", BigInteger, nullable=False),
    Column("entry_id", Text, nullable=False),
    PrimaryKeyConstraint("line_id", "version"),
)
Index("ix_commission_expense_entry", commission_expense.c.entry_id)
