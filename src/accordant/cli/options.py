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
from accordant.cli.render import err
from accordant.kernel.errors import ConfigurationError
from accordant.settings import Settings, read_settings

if TYPE_CHECKING:  # the heavy rooms are loaded only for the command that needs them
    from accordant.bootstrap import Hub
    from accordant.store.charter_folder import CharterInvalid
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
AudienceOption = Annotated[Audience, Parameter(help="Who reads this, which decides what is covered.")]


def settings_of(common: Common, **serving: str | int | None) -> Settings:
    """The settings; ``serving`` are those of a server (``host``, ``port``, ``roles``, ``metrics_port``).

    Raises ConfigurationError naming the variable.
    """
    return read_settings(os.environ, home=common.home, charter=common.charter, store=common.store, **serving)


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


def charter_to_run(settings: Settings) -> tuple[Charter, "CharterInvalid | None"]:
    """The charter of the folder; or, when that may not come into force, the one that is, with why.

    Raises CharterInvalid when the folder is wrong and no charter was in force before.
    """
    from accordant.bootstrap import connector_facts, read_charter
    from accordant.governance.charter import adoption_defects
    from accordant.governance.findings import Severity
    from accordant.store.charter_folder import CharterInvalid
    from accordant.store.charters import CharterShelf

    with _store_if_there(settings) as database:
        kept = charter_in_force(database) if database is not None else None
        try:
            folder = read_charter(settings)
            wrong = tuple(defect for defect in folder.check(connector_facts()) if defect.severity is Severity.ERROR)
            if not wrong and kept is not None and database is not None:
                approved_by = CharterShelf(database).approved_by(folder.charter.version)
                found = adoption_defects(kept, folder.charter, actor=person(None), approved_by=approved_by)
                wrong = folder.placed(found)
            if not wrong:
                return folder.charter, None
            raise CharterInvalid(wrong)
        except CharterInvalid as error:
            if kept is None:
                raise
            return kept, error


@contextmanager
def _store_if_there(settings: Settings) -> Iterator["Database | None"]:
    """The store, or None before the first start made one."""
    from accordant.store.engine import Database
    from accordant.store.migrate import migrate

    if settings.store.startswith(_SQLITE) and not Path(settings.store.removeprefix(_SQLITE)).is_file():
        yield None
        return
    database = Database(settings.store)
    try:
        migrate(database)
        yield database
    finally:
        database.close()


@asynccontextmanager
async def opened_hub(common: Common, *, alarm: bool = False, **serving: str | int | None) -> AsyncIterator["Hub"]:
    """The hub, wired as the server wires it. Raises ConfigurationError with the setting's name.

    A folder that may not come into force leaves the charter in force as it is and is told; ``alarm`` raises an alert.
    """
    from accordant.bootstrap import Hub

    settings = settings_of(common, **serving)
    charter, refused = charter_to_run(settings)
    hub = Hub(settings, charter, environment=os.environ)
    if refused is not None:
        told = f"Charter {charter.version} stays in force. {refused}"
        err().print(told, markup=False, soft_wrap=True)
        if alarm:
            hub.alerts.add(kind="charter.refused", subject="A charter was refused", body=told, now=hub.clock())
    try:
        yield hub
    finally:
        await hub.close()
