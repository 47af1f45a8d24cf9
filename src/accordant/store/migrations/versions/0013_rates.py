"""The table of reference rates. There is no way down: the backup before an upgrade is it."""

from alembic import op
from sqlalchemy import MetaData

from accordant.store.migrations.append_only import close_to_change
from accordant.store.migrations.rate_tables import APPEND_ONLY, add_rate_tables

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_metadata = MetaData()
add_rate_tables(_metadata)


def upgrade() -> None:
    """Create the table, and close its past to change."""
    _metadata.create_all(op.get_bind(), checkfirst=False)
    close_to_change(APPEND_ONLY)
