"""A restore keeps how far sources had been heard. There is no way down: the backup made before is the way back."""

from alembic import op
from sqlalchemy import BigInteger, Column

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.add_column("restore_epoch", Column("said_to", BigInteger))
