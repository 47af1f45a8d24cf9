"""The tables of dispatch. There is no way down: the backup made before an upgrade is the way back."""

from alembic import op
from sqlalchemy import MetaData

from accordant.store.migrations.dispatch_tables import add_dispatch_tables

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_metadata = MetaData()
add_dispatch_tables(_metadata)


def upgrade() -> None:
    """Create the tables."""
    _metadata.create_all(op.get_bind(), checkfirst=False)
