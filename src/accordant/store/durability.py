"""Whether a commit is on the disk when it returns. SQLite is told so by us; PostgreSQL is asked.

A 2xx is a promise that the event is there after a power cut, and so is a request that was noted before it went out. A
server, database or role with `fsync` or `synchronous_commit` off breaks both without a word. Next: `engine.py`.
"""

from typing import Final

import msgspec
from sqlalchemy import text

from accordant.kernel.errors import ConfigurationError
from accordant.store.engine import Database

#: Settings whose "off" lets a commit return before it is on the disk, or leaves pages that a power cut tore.
#: https://www.postgresql.org/docs/current/runtime-config-wal.html
_SETTINGS: Final = ("fsync", "synchronous_commit", "full_page_writes")
_ASKED = text(
    "SELECT name, setting, source, current_database(), current_user FROM pg_settings WHERE name = ANY(:names)"
)


class Forgetful(msgspec.Struct, frozen=True):
    """A setting by which a power cut may take what was committed, and the statement that sets it right."""

    setting: str
    where: str
    remedy: str

    def __str__(self) -> str:
        """A sentence for a person."""
        return f"PostgreSQL has {self.setting} = off ({self.where}): a power cut may take what was acknowledged."


def forgetful(database: Database) -> Forgetful | None:
    """The first setting of this store that breaks its word; None where every commit waits for the disk.

    Raises: StoreUnavailable.
    """
    if database.is_sqlite:
        return None
    with database.read() as connection:
        rows = connection.execute(_ASKED, {"names": list(_SETTINGS)}).all()
    for name, setting, source, base, role in rows:
        if setting == "off":
            return Forgetful(name, f"source: {source}", _remedy(name, source, base, role))
    return None


def refuse_forgetful(database: Database) -> None:
    """There is no setting of ours that accepts it: what was answered 2xx could be gone (IN1).

    Raises: ConfigurationError with the setting and its remedy, StoreUnavailable.
    """
    found = forgetful(database)
    if found is not None:
        raise ConfigurationError(str(found), remedy=found.remedy)


def _remedy(name: str, source: str, base: str, role: str) -> str:
    again = ", then start again."
    match source:
        case "database":
            return f'Run: ALTER DATABASE "{base}" RESET {name}{again}'
        case "user":
            return f'Run: ALTER ROLE "{role}" RESET {name}{again}'
        case "database user":
            return f'Run: ALTER ROLE "{role}" IN DATABASE "{base}" RESET {name}{again}'
        case "client" | "environment variable":
            return f"Take {name} out of the address of the store and out of PGOPTIONS{again}"
        case _:
            return f"Run: ALTER SYSTEM SET {name} = on; SELECT pg_reload_conf(){again}"
