"""`accordant incident`: open one, see where the recovery stands, work on its step and go on, close it, export it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from accordant.cli.operate import Who
from accordant.cli.options import COMMON, Common, opened_hub, opened_store, person
from accordant.cli.rehearse import instant
from accordant.cli.render import Meter, emit, say, shown, table
from accordant.kernel.errors import RejectedError

if TYPE_CHECKING:
    from accordant.operations.incident_board import Standing
    from accordant.operations.incident_room import IncidentRoom
    from accordant.store.engine import Database
    from accordant.views.incident import IncidentReport, RailStep

incident_app = App(
    name="incident", help="Recover step by step after an incident: open, status, advance, close, cancel, export."
)

_MARKS = {"done": "done", "here": "here", "ahead": ""}


@asynccontextmanager
async def _room(common: Common) -> "AsyncIterator[tuple[IncidentRoom, Database]]":
    from accordant.operations.incident_room import IncidentRoom
    from accordant.runtime.renewal import renewed
    from accordant.store.incidents import SqlIncidentBook
    from accordant.web.lookout import Lookout

    async with opened_hub(common) as hub:
        lookout = Lookout(hub)

        async def sweep(system: str) -> object:
            return await lookout.sweep(system, actor="incident") if system in lookout.systems else None

        yield IncidentRoom(hub, SqlIncidentBook(hub.database), sweep=sweep, renewed=renewed), hub.database


@incident_app.command(name="open")
def open_one(
    title: Annotated[str, Parameter(help="What happened, in a line.")],
    /,
    *,
    since: Annotated[
        str | None, Parameter(help="From when on something may be missed or lost; a day ago if it is left out.")
    ] = None,
    who: Who = None,
    common: Common = COMMON,
) -> int:
    """Open an incident: every automation is stopped at once. One is open at a time."""
    return asyncio.run(_open(common, title, since, person(who, common=common)))


async def _open(common: Common, title: str, since: str | None, actor: str) -> int:
    async with _room(common) as (room, database):
        room.open(title=title, actor=actor, since=instant(since, "--since"))
        standing = room.standing()
        return _tell(common, database, standing)


@incident_app.command
def status(*, common: Common = COMMON) -> int:
    """Where the recovery stands: its steps, and what has to become 0 before the next. Exit code 1 while it is open."""
    return asyncio.run(_status(common))


async def _status(common: Common) -> int:
    async with _room(common) as (room, database):
        standing = room.standing()
        if standing is None:
            _tell_none(common, database)
            return 0
        _tell(common, database, standing)
        return 1


@incident_app.command
def advance(*, who: Who = None, common: Common = COMMON) -> int:
    """Do the work of the step, then go on to the next if its exit holds. Exit code 1 where it does not yet."""
    return asyncio.run(_move(common, person(who, common=common), closing=False))


@incident_app.command
def close(*, who: Who = None, common: Common = COMMON) -> int:
    """Compare everything once more and end the incident. Only the last step is left like this."""
    return asyncio.run(_move(common, person(who, common=common), closing=True))


async def _move(common: Common, actor: str, *, closing: bool) -> int:
    async with _room(common) as (room, database):
        with Meter("Recovering") as meter:
            act = room.close if closing else room.advance
            standing = await act(actor=actor, tell=lambda _what, done, total: meter(done, total))
        _tell(common, database, standing)
        return 0 if standing.moved else 1


@incident_app.command
def cancel(
    *,
    because: Annotated[str, Parameter(help="Why it was a mistake.")],
    who: Who = None,
    common: Common = COMMON,
) -> int:
    """End an incident that was opened by mistake, and release what it stopped: only before records were worked on."""
    return asyncio.run(_cancel(common, because, person(who, common=common)))


async def _cancel(common: Common, because: str, actor: str) -> int:
    async with _room(common) as (room, _):
        ended = room.cancel(actor=actor, because=because)
    if common.json:
        emit({"incident": ended})
    else:
        say(f"{ended.title}: cancelled. What it had stopped goes on.")
    return 0


@incident_app.command
def export(
    incident: Annotated[str | None, Parameter(help="An incident (inc_...); the newest if it is left out.")] = None,
    /,
    *,
    out: Annotated[Path, Parameter(help="The file to write.")] = Path("incident.json"),
    common: Common = COMMON,
) -> int:
    """Write an incident as one file: its steps, what was compared at each, and who did what when."""
    import msgspec

    with opened_store(common) as database:
        found = _report(database, incident)
    out.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n")
    if common.json:
        emit({"file": str(out), "incident": found.incident.id, "moments": len(found.timeline)})
    else:
        say(f"{found.incident.title}: {shown(len(found.timeline))} lines of its timeline are in {out}.")
    return 0


def _report(database: "Database", wanted: str | None) -> "IncidentReport":
    from accordant.views.incident import past_incidents, report

    newest = next(iter(past_incidents(database)), None)
    name = wanted or (None if newest is None else newest.id)
    found = None if name is None else report(database, name)
    if found is None:
        raise RejectedError("There is no such incident here.", remedy="`accordant incident status` lists them.")
    return found


def _tell_none(common: Common, database: "Database") -> None:
    from accordant.views.incident import past_incidents

    past = past_incidents(database)
    if common.json:
        emit({"open": None, "past": past})
        return
    say("No incident is open.")
    table(
        "Past incidents",
        ("Incident", "What happened", "Led by", "Opened", "Closed"),
        ((one.id, one.title, one.opened_by, one.opened_at, one.closed_at) for one in past),
    )


def _tell(common: Common, database: "Database", standing: "Standing | None") -> int:
    from accordant.views.incident import report

    assert standing is not None  # noqa: S101  the caller has looked; said for the type checker
    found = report(database, standing.incident.id, standing.exit)
    assert found is not None  # noqa: S101  it was just kept
    if common.json:
        emit({"open": found if found.incident.closed_at is None else None, "incident": found, "moved": standing.moved})
        return 0
    is_closed = found.incident.closed_at is not None
    say(
        f"{found.incident.title}: opened by {found.incident.opened_by}, {found.incident.opened_at:%Y-%m-%d %H:%M} UTC"
        f"{', and closed.' if is_closed else '.'}"
    )
    table(
        "Recovery",
        ("", "Step", "", "What has to become 0, or what was found"),
        ((number, one.title, _MARKS[one.state], _figure(one)) for number, one in enumerate(found.rail, start=1)),
    )
    if not is_closed:
        for obstacle in standing.exit.obstacles:
            say(f"  {obstacle}")
        say("Its exit holds: go on." if standing.exit.is_met else "It is left once nothing of this stands in the way.")
    return 0


def _figure(one: "RailStep") -> str:
    if one.exit is not None:
        figure = "not counted yet" if one.exit.figure is None else shown(one.exit.figure)
        return f"{one.exit.of}: {figure}"
    return one.told or ""
