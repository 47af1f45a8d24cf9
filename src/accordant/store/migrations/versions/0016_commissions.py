"""The tables of commissions on collected money. There is no way down: the backup before an upgrade is it."""

from alembic import op
from sqlalchemy import MetaData

from accordant.store.migrations.append_only import close_to_change
from accordant.store.migrations.commission_tables import APPEND_ONLY, add_commission_tables

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_metadata = MetaData()
add_commission_tables(_metadata)


def upgrade() -> None:
    """Create the tables, and close their past to change."""
    _metadata.create_all(op.get_bind(), checkfirst=False)
    close_to_change(APPEND_ONLY)
