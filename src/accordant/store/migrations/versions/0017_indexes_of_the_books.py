"""What is open by age, and the entries of an account by day, are answered from their indexes alone."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make both indexes anew."""
    is_open = sa.text("state = 'open'")
    op.drop_index("ix_ledger_bill_open", "ledger_bill")
    op.create_index(
        "ix_ledger_bill_open", "ledger_bill", ["legal_entity", "due_on", "open_books_minor"],
        postgresql_where=is_open, sqlite_where=is_open,
    )  # fmt: skip
    op.drop_index("ix_journal_line_account", "journal_line")
    op.create_index(
        "ix_journal_line_account", "journal_line", ["account", sa.text("posted_on DESC"), "entry_id", "legal_entity"]
    )
