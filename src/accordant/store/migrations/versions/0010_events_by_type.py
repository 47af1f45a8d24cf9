"""Business events by their type: the books read what means something to them, and pass over all the rest."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the index."""
    op.create_index("ix_business_event_type", "business_event", ["type", "id"])
