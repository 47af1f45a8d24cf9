"""Brings a database to the tables this version of Accordant knows, by itself, at every start.

Processes that start together take turns; all steps are one transaction; a database of a newer version is left alone.
Next: `migrations/versions` for the steps, `schema.py` for their sum.
"""

import threading
from functools import lru_cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from accordant.kernel.errors import ConfigurationError
from accordant.store.engine import Database

_FOLDER = Path(__file__).parent / "migrations"
#: Any number will do, as long as nothing else of this database uses it: "accordan" in ASCII.
_ADVISORY_LOCK = int.from_bytes(b"accordan", "big")
# Alembic keeps the context of a migration in a global: two databases of one process take turns too.
_one_at_a_time = threading.Lock()


def migrate(database: Database) -> None:
    """Create or upgrade every table; does nothing on a database that is up to date.

    Safe to call from several processes at once: one works, the others wait and find it done.
    Raises: ConfigurationError when a newer version of Accordant made the database, StoreUnavailable.
    """
    head = _known_versions()[-1]
    if schema_version(database) == head:
        return
    with _one_at_a_time, database.write_unaudited() as connection:
        if not database.is_sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _ADVISORY_LOCK})
        # Read again: another process may have finished while this one waited for its turn.
        current = _current(connection)
        if current == head:
            return
        _refuse_newer(current, head)
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def schema_version(database: Database) -> str | None:
    """The version the database is at, for example ``0001``; None for an empty one. Raises StoreUnavailable."""
    with database.read() as connection:
        return _current(connection)


def _current(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _refuse_newer(current: str | None, head: str) -> None:
    if current is not None and current not in _known_versions():
        raise ConfigurationError(
            f"The store is at schema version {current}; this version of Accordant knows versions up to {head}.",
            remedy="Start the newer version of Accordant again, or restore the backup made before the upgrade.",
        )


@lru_cache(maxsize=1)
def _known_versions() -> tuple[str, ...]:
    """Every version, oldest first."""
    script = ScriptDirectory.from_config(_config())
    return tuple(reversed([step.revision for step in script.walk_revisions()]))


def _config() -> Config:
    config = Config()
    # Alembic reads "%" in a path as the start of a variable.
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    return config
