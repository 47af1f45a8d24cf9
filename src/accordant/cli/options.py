"""What every command takes, and what it opens with that: settings, the charter, the store, or the whole hub.

A command that only looks opens the store alone, so it needs no secret and calls nobody.
"""

import getpass
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from accordant.canonical.charter import Audience, Charter
from accordant.canonical.people import Person, same_person, unverified
from accordant.cli.render import err
from accordant.governance.access import AccessRefused, Act, demand
from accordant.kernel.clock import Clock
from accordant.kernel.errors import ConfigurationError
from accordant.settings import Settings, read_settings

if TYPE_CHECKING:  # the heavy rooms are loaded only for the command that needs them
    from accordant.bootstrap import Hub
    from accordant.operations.people_office import PeopleOffice
    from accordant.store.charter_folder import CharterInvalid
    from accordant.store.engine import Database

_SQLITE = "sqlite:///"
#: What a command takes for now, where whoever carries it out says so.
GIVEN_CLOCK: ContextVar[Clock | None] = ContextVar("GIVEN_CLOCK", default=None)
#: The token of who works at this terminal.
TOKEN_VARIABLE = "ACCORDANT_TOKEN"  # noqa: S105  its name


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


def person(given: str | None, act: Act = Act.OPERATE, *, common: Common = COMMON) -> str:
    """Who is acting: whoever ACCORDANT_TOKEN proves, else a name, marked as typed.

    The name that was given, else ACCORDANT_ACTOR, else the operating system's user. Raises AccessRefused for a token
    that opens nothing, is somebody else's than the name, or whose roles do not allow ``act``.
    """
    typed = (given or "").strip() or os.environ.get("ACCORDANT_ACTOR", "").strip()
    holder = token_holder(common)
    if holder is None:
        return unverified(typed or getpass.getuser())
    if (given or "").strip() and not same_person(typed, holder.name):
        raise AccessRefused(f"The token is that of {holder.name}, not of {typed}.", remedy="Leave --as out.")
    demand(holder, act)
    return holder.name


def now() -> datetime:
    """The moment a command is carried out at, aware and in UTC."""
    clock = GIVEN_CLOCK.get()
    return datetime.now(UTC) if clock is None else clock()


def token_holder(common: Common) -> Person | None:
    """Who ACCORDANT_TOKEN belongs to; None where it is not set. Raises AccessRefused."""
    token = os.environ.get(TOKEN_VARIABLE, "").strip()
    if not token:
        return None
    with _store_if_there(settings_of(common)) as database:
        if database is None:
            raise AccessRefused("There is no store yet that could know this token.", remedy=f"Unset {TOKEN_VARIABLE}.")
        return people_office(database).identify(token)


def people_office(database: "Database") -> "PeopleOffice":
    """The people of a store, for a command that opens no more than that."""
    from accordant.bootstrap import system_clock
    from accordant.operations.people_office import PeopleOffice
    from accordant.store.alerts import AlertQueue
    from accordant.store.people import SqlPeople

    clock = GIVEN_CLOCK.get() or system_clock
    return PeopleOffice(SqlPeople(database), clock, alarm=AlertQueue(database).add, random_bytes=os.urandom)


@contextmanager
def opened_store(common: Common, *, make: bool = False) -> Iterator["Database"]:
    """The store of this installation, up to date. Raises ConfigurationError where there is none and not to ``make``."""
    from accordant.store.engine import Database
    from accordant.store.migrate import migrate

    settings = settings_of(common)
    path = Path(settings.store.removeprefix(_SQLITE))
    if make:
        settings.home.mkdir(parents=True, exist_ok=True)
    elif settings.store.startswith(_SQLITE) and not path.is_file():
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
    from accordant.bootstrap import read_charter
    from accordant.charters import connector_facts
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
                found = adoption_defects(kept, folder.charter, actor=_starter(database), approved_by=approved_by)
                wrong = folder.placed(found)
            if not wrong:
                return folder.charter, None
            raise CharterInvalid(wrong)
        except CharterInvalid as error:
            if kept is None:
                raise
            return kept, error


def _starter(database: "Database") -> str:
    """Who starts the hub: whoever the token proves, else the name that is typed or the operating system's."""
    token = os.environ.get(TOKEN_VARIABLE, "").strip()
    return people_office(database).identify(token).name if token else person(None)


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
async def opened_hub(
    common: Common, *, alarm: bool = False, proposed: bool = False, **serving: str | int | None
) -> AsyncIterator["Hub"]:
    """The hub, wired as the server wires it. Raises ConfigurationError with the setting's name.

    A folder that may not come into force leaves the charter in force as it is and is told; ``alarm`` raises an alert.
    With ``proposed`` the folder is taken as it is, approved or not, and refused where it is wrong (CharterInvalid).
    """
    from accordant.bootstrap import Hub, checked_charter, system_clock
    from accordant.runtime.event_loop import rarely_collected

    settings = settings_of(common, **serving)
    charter, refused = (checked_charter(settings), None) if proposed else charter_to_run(settings)
    hub = Hub(settings, charter, environment=os.environ, clock=GIVEN_CLOCK.get() or system_clock)
    if refused is not None:
        told = f"Charter {charter.version} stays in force. {refused}"
        err().print(told, markup=False, soft_wrap=True)
        if alarm:
            hub.alerts.add(kind="charter.refused", subject="A charter was refused", body=told, now=hub.clock())
    try:
        with rarely_collected():
            yield hub
    finally:
        await hub.close()
