"""A store for the length of a rehearsal: empty, in a folder of its own that is gone afterwards.

One that was ordered keeps its folder when it is interrupted, so that whoever takes it up again goes on where it was.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from accordant.kernel.errors import RejectedError
from accordant.store.engine import Database
from accordant.store.migrate import migrate
from accordant.store.state import SqlState

_FILE = "scratch.db"


@contextmanager
def scratch_state(home: Path, run_id: str | None = None) -> Iterator[tuple[SqlState, bool]]:
    """A state in the installation's own folder, which is as well guarded as its store; and whether it holds something.

    It begins empty, but for that of an ordered run that was interrupted; it is gone when the run ends or is refused.
    """
    if run_id is None:
        with scratch_database(home) as database:
            yield SqlState(database), False
        return
    folder = home / f"rehearsal-{run_id}"
    was_there = (folder / _FILE).is_file()
    folder.mkdir(mode=0o700, exist_ok=True)
    try:
        with _opened(folder) as database:
            yield SqlState(database), was_there
    except RejectedError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def scratch_database(home: Path) -> Iterator[Database]:
    """An empty store in the installation's own folder, gone afterwards."""
    made = TemporaryDirectory(prefix="rehearsal-", dir=home, ignore_cleanup_errors=True)
    with made as name, _opened(Path(name)) as database:
        yield database


@contextmanager
def _opened(folder: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{folder / _FILE}", is_scratch=True)
    try:
        migrate(database)
        yield database
    finally:
        database.close()
