"""The table of sagas. There is no way down: the backup made before an upgrade is the way back."""

from alembic import op
from sqlalchemy import MetaData, text

from accordant.store.migrations.saga_tables import add_saga_tables

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_metadata = MetaData()
add_saga_tables(_metadata)
_BEGINS = "type IN ('contract.amended', 'contract.won')"


def upgrade() -> None:
    """Create the table, and index the few events that begin a saga."""
    _metadata.create_all(op.get_bind(), checkfirst=False)
    op.create_index(
        "ix_business_event_begins",
        "business_event",
        ["occurred_at"],
        postgresql_where=text(_BEGINS),
        sqlite_where=text(_BEGINS),
    )
