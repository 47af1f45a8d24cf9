"""Where are we in the recovery? The steps as a rail, the exit of the one we are at, and the words that move it on."""

import asyncio
from datetime import UTC, datetime

from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from litestar.response import Redirect

from accordant.kernel.errors import AccordantError, RejectedError
from accordant.operations.incident_board import TITLE_LENGTH_MAX, IncidentBoard
from accordant.store.incidents import SqlIncidentBook
from accordant.store.lease_time import LeaseTime
from accordant.store.state import SqlState
from accordant.store.switches import SqlSwitchboard
from accordant.views.incident import IncidentReport, past_incidents, report
from accordant.web.console.frame import Answer, Console, Problem, Visitor, address, as_file
from accordant.web.console.threads import in_thread

_TOLD = {
    "opened": "Opened. Every automation stands still; intake goes on.",
    "cancelled": "Cancelled. What it had stopped goes on.",
    "asked": "Asked. A running hub does the work now; load the page again to see what it found.",
}
_HEADER = ("at", "actor", "step", "kind", "text")


def _board(console: Console) -> IncidentBoard:
    hub = console.hub
    return IncidentBoard(
        SqlIncidentBook(hub.database),
        SqlState(hub.database),
        switchboard=SqlSwitchboard(hub.database),
        rulebook=lambda: hub.rulebook,
        clock=hub.clock,
        lease_clock=LeaseTime(hub.database),
    )


@get(["/incident", "/incident.json", "/incident.csv"])
@in_thread
def incident_page(request: Visitor, console: NamedDependency[Console], told: FromQuery[str] = "") -> Answer:
    """Where are we in the recovery?"""
    return _page(request, console, told=_TOLD.get(told, ""))


@get("/incident/{incident_id:str}")
@in_thread
def past_incident_page(request: Visitor, console: NamedDependency[Console], incident_id: FromPath[str]) -> Answer:
    """What was done in that incident?"""
    name = incident_id.removesuffix(".json").removesuffix(".csv")
    found = report(console.hub.database, name)
    if found is None:
        raise Problem(404, "No such incident", "No incident has this id.", "Choose one of the list at /incident.")
    return _file(request, found) or console.page(
        request, "incident.html", found=found, past=(), told="", problem="", title_max=TITLE_LENGTH_MAX
    )


def _page(request: Visitor, console: Console, *, told: str = "", problem: str = "", status_code: int = 200) -> Answer:
    standing = _board(console).standing()
    database = console.hub.database
    found = None if standing is None else report(database, standing.incident.id, standing.exit)
    file = _file(request, found)
    if file is not None:
        return file
    return console.page(
        request,
        "incident.html",
        found=found,
        past=past_incidents(database),
        told=told,
        problem=problem,
        title_max=TITLE_LENGTH_MAX,
        status_code=status_code,
    )


def _file(request: Visitor, found: IncidentReport | None) -> Answer | None:
    rows = (
        (one.at.isoformat(), one.actor, one.step.value if one.step is not None else None, one.kind, one.text)
        for one in (found.timeline if found is not None else ())
    )
    return as_file(request, {"incident": found}, name="incident", header=_HEADER, rows=rows)


@post("/incident/{act:str}")
async def act_on_incident(request: Visitor, console: NamedDependency[Console], act: FromPath[str]) -> Answer | Redirect:
    """Open one, have its step worked on, have it closed, or end one that was opened by mistake."""
    fields = await console.checked_form(request)
    try:
        told = await asyncio.to_thread(_carry_out, console, act, fields, console.actor(request))
    except AccordantError as error:
        return await asyncio.to_thread(_page, request, console, problem=str(error), status_code=409)
    return Redirect(address("/incident", told=told), status_code=303)


def _carry_out(console: Console, act: str, fields: dict[str, str], actor: str) -> str:
    incidents = _board(console)
    match act:
        case "open":
            incidents.open(title=fields.get("title", ""), actor=actor, since=_since(fields.get("since", "")))
            return "opened"
        case "advance" | "close":
            incidents.ask(actor=actor, closing=act == "close")
            return "asked"
        case "cancel":
            incidents.cancel(actor=actor, because=fields.get("because", ""))
            return "cancelled"
        case _:
            raise Problem(404, "No such step", "An incident is opened, worked on or ended.", "Go back to its page.")


def _since(text: str) -> datetime | None:
    """The instant of a form's field, in UTC; None where it was left empty. Raises RejectedError."""
    if not text.strip():
        return None
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise RejectedError(f"{text[:40]!r} is no instant.", remedy="Write it as 2026-03-01T12:00, in UTC.") from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
