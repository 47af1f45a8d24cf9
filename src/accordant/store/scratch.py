"""A store for the length of a rehearsal: empty, in a folder of its own that is gone afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from accordant.store.engine import Database
from accordant.store.migrate import migrate
from accordant.store.state import SqlState


@contextmanager
def scratch_state(home: Path) -> Iterator[SqlState]:
    """An empty state in the installation's own folder, which is as well guarded as its store."""
    with TemporaryDirectory(prefix="rehearsal-", dir=home, ignore_cleanup_errors=True) as folder:
        database = Database(f"sqlite:///{folder}/scratch.db", is_scratch=True)
        try:
            migrate(database)
            yield SqlState(database)
        finally:
            database.close()
