"""The tables of movements and of vouching. There is no way down: the backup made before an upgrade is the way back."""

from alembic import op
from sqlalchemy import MetaData

from accordant.store.migrations.movement_tables import add_movement_tables

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_metadata = MetaData()
add_movement_tables(_metadata)


def upgrade() -> None:
    """Create the tables."""
    _metadata.create_all(op.get_bind(), checkfirst=False)
