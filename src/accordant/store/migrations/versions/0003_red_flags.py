"""The tables of red flags. There is no way down: the backup made before an upgrade is the way back."""

from alembic import op
from sqlalchemy import MetaData

from accordant.store.migrations.append_only import close_to_change
from accordant.store.migrations.flag_tables import add_flag_tables

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_metadata = MetaData()
add_flag_tables(_metadata)


def upgrade() -> None:
    """Create the tables, then close what people said to change."""
    _metadata.create_all(op.get_bind(), checkfirst=False)
    close_to_change(("flag_decision",))
