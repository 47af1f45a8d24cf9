"""The tables of the books. There is no way down: the backup made before an upgrade is the way back."""

from alembic import op
from sqlalchemy import MetaData

from accordant.store.migrations.append_only import close_to_change
from accordant.store.migrations.book_tables import add_book_tables, hold_balance

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_metadata = MetaData()
add_book_tables(_metadata)


def upgrade() -> None:
    """Create the tables, and close the journal to change."""
    _metadata.create_all(op.get_bind(), checkfirst=False)
    close_to_change(("journal_entry", "journal_line", "recognition"))
    hold_balance()
