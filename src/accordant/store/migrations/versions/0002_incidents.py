"""The tables of incidents. There is no way down: the backup made before an upgrade is the way back."""

from alembic import op
from sqlalchemy import MetaData

from accordant.store.migrations.append_only import close_to_change
from accordant.store.migrations.incident_tables import add_incident_tables

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_metadata = MetaData()
add_incident_tables(_metadata)


def upgrade() -> None:
    """Create the tables, then close the timeline to change."""
    _metadata.create_all(op.get_bind(), checkfirst=False)
    close_to_change(("incident_moment",))
