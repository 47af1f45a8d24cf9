"""The table of releases. There is no way down: the backup made before an upgrade is the way back."""

from alembic import op
from sqlalchemy import MetaData

from accordant.store.migrations.append_only import close_to_change
from accordant.store.migrations.opening_tables import APPEND_ONLY, add_opening_tables

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_metadata = MetaData()
add_opening_tables(_metadata)


def upgrade() -> None:
    """Create the table, and close its past to change."""
    _metadata.create_all(op.get_bind(), checkfirst=False)
    close_to_change(APPEND_ONLY)
