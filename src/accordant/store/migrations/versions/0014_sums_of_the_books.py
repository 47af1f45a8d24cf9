"""What the lines of a month come to stands beside them; the journal is found by day and by bill.

Nobody adds up the whole ledger any more to show a trial balance. What is posted already is added up here, once.
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

BALANCES = """
INSERT INTO period_balance (legal_entity, month, account, currency, role, rule, part, debit_minor, credit_minor)
SELECT line.legal_entity, substr(line.posted_on, 1, 7), line.account, line.currency, coalesce(line.role, ''),
    coalesce(original.rule, entry.rule), 0,
    sum(CASE WHEN line.amount_minor > 0 THEN line.amount_minor ELSE 0 END),
    sum(CASE WHEN line.amount_minor < 0 THEN -line.amount_minor ELSE 0 END)
FROM journal_line AS line JOIN journal_entry AS entry ON entry.id = line.entry_id
LEFT JOIN journal_entry AS original ON original.id = entry.reverses
GROUP BY line.legal_entity, substr(line.posted_on, 1, 7), line.account, line.currency, coalesce(line.role, ''),
    coalesce(original.rule, entry.rule)
"""
RECOGNISED = """
INSERT INTO recognised_month (legal_entity, booked_month, month, part, books_minor)
SELECT planned.legal_entity, substr(planned.booked_on, 1, 7), substr(earned.month_on, 1, 7), 0, sum(earned.books_minor)
FROM recognition AS earned JOIN revenue_schedule AS planned ON planned.id = earned.schedule_id
GROUP BY planned.legal_entity, substr(planned.booked_on, 1, 7), substr(earned.month_on, 1, 7)
"""


def upgrade() -> None:
    """Create and fill the tables of sums, and the indexes."""
    balance = ("legal_entity", "month", "account", "currency", "role", "rule")
    op.create_table(
        "period_balance",
        *(sa.Column(name, sa.Text, nullable=False) for name in balance),
        sa.Column("part", sa.Integer, nullable=False),
        sa.Column("debit_minor", sa.BigInteger, nullable=False),
        sa.Column("credit_minor", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint(*balance, "part"),
    )
    earned = ("legal_entity", "booked_month", "month")
    op.create_table(
        "recognised_month",
        *(sa.Column(name, sa.Text, nullable=False) for name in earned),
        sa.Column("part", sa.Integer, nullable=False),
        sa.Column("books_minor", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint(*earned, "part"),
    )
    op.create_index("ix_journal_entry_day", "journal_entry", [sa.text("posted_on DESC"), "id", "subject"])
    op.create_index("ix_journal_entry_bill", "journal_entry", ["bill"])
    foreign = sa.text("original_currency IS NOT NULL")
    op.create_index(
        "ix_journal_line_foreign",
        "journal_line",
        ["legal_entity", "role", "original_currency", "party", "posted_on", "currency", "original_minor",
         "amount_minor"],
        postgresql_where=foreign, sqlite_where=foreign,
    )  # fmt: skip
    left = sa.text("open_books_minor <> 0")
    op.create_index(
        "ix_ledger_bill_left", "ledger_bill", ["legal_entity", "open_books_minor"],
        postgresql_where=left, sqlite_where=left,
    )  # fmt: skip
    op.execute(BALANCES)
    op.execute(RECOGNISED)
