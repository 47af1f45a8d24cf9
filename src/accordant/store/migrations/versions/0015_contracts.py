"""Schedules may be parts of a contract that is earned otherwise than it is billed: a month's end takes all of them."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns and the index; nothing that is kept already is part of a contract."""
    op.add_column("revenue_schedule", sa.Column("contract", sa.Text))
    op.add_column("revenue_schedule", sa.Column("caught_up_on", sa.Text))
    is_part = sa.text("contract IS NOT NULL")
    op.create_index(
        "ix_revenue_schedule_contract",
        "revenue_schedule",
        ["contract"],
        postgresql_where=is_part,
        sqlite_where=is_part,
    )
