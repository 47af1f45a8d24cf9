"""What every command takes, and what it opens with that: settings, the charter, the store, or the whole hub.

A command that only looks opens the store alone, so it needs no secret and calls nobody.
"""

import getpass
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from accordant.canonical.charter import Audience, Charter
from accordant.kernel.errors import ConfigurationError
from accordant.settings import Settings, read_settings

if TYPE_CHECKING:  # the heavy rooms are loaded only for the command that needs them
    from accordant.bootstrap import Hub
    from accordant.store.engine import Database

_SQLITE = "sqlite:///"


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Common:
    """Options of every command."""

    json: Annotated[bool, Parameter(negative="", help="Print JSON instead of tables.")] = False
    home: Annotated[Path | None, Parameter(help="Folder of this installation (ACCORDANT_HOME).")] = None
    charter: Annotated[Path | None, Parameter(help="Folder of the charter (ACCORDANT_CHARTER).")] = None
    store: Annotated[str | None, Parameter(help="Address of the store (ACCORDANT_STORE).")] = None


COMMON = Common()
#: Who reads the answer of a command that shows what others sent.
AudienceOption = Annotated[
    Audience, Parameter(help="Who reads this, which decides what is covered.")
]


def settings_of(common: Common, *, host: str | None = None, port: int | None = None) -> Settings:
    """The settings. Raises ConfigurationError naming the variable."""
    return read_settings(os.environ, home=common.home, charter=common.charter, store=common.store, host=host, port=port)


def person(given: str | None) -> str:
    """Who is acting: the name that was given, else ACCORDANT_ACTOR, else the operating system's user."""
    return (given or "").strip() or os.environ.get("ACCORDANT_ACTOR", "").strip() or getpass.getuser()


@contextmanager
def opened_store(common: Common) -> Iterator["Database"]:
    """The store of this installation, up to date. Raises ConfigurationError when there is none yet."""
    from accordant.store.engine import Database
    from accordant.store.migrate import migrate

    settings = settings_of(common)
    path = Path(settings.store.removeprefix(_SQLITE))
    if settings.store.startswith(_SQLITE) and not path.is_file():
        raise ConfigurationError(
            f"There is no store at {path}.",
            remedy="Run `accordant serve` once, or name another with --home or ACCORDANT_STORE.",
        )
    database = Database(settings.store)
    try:
        migrate(database)
        yield database
    finally:
        database.close()


def charter_in_force(database: "Database") -> Charter | None:
    """The charter this store last worked under, or None before the first."""
    from accordant.store.charters import CharterShelf

    shelf = CharterShelf(database)
    version = shelf.in_force()
    return None if version is None else shelf.read(version)


@asynccontextmanager
async def opened_hub(common: Common, *, host: str | None = None, port: int | None = None) -> AsyncIterator["Hub"]:
    """The hub, wired as the server wires it. Raises ConfigurationError with the setting's name."""
    from accordant.bootstrap import Hub, checked_charter

    settings = settings_of(common, host=host, port=port)
    hub = Hub(settings, checked_charter(settings), environment=os.environ)
    try:
        yield hub
    finally:
        await hub.close()
