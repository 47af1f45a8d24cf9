"""What a held posting waits for stands beside it, so that its arrival releases it and nobody has to come round."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column and its index; what is held already is found by the bookkeeper's next round."""
    op.add_column("posting", sa.Column("waits_for", sa.Text))
    is_there = sa.text("waits_for IS NOT NULL")
    op.create_index("ix_posting_waits_for", "posting", ["waits_for"], postgresql_where=is_there, sqlite_where=is_there)
