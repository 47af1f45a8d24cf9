"""How far may each flow go, and what is missing for more? The board, a flow's page, and the three acts on it."""

import asyncio

from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from litestar.response import Redirect

from accordant.canonical.charter import Phase
from accordant.governance.access import Act
from accordant.governance.phases import next_phase
from accordant.kernel.errors import RejectedError
from accordant.views.overview import overview
from accordant.views.phases import FlowPhase, phase_board
from accordant.views.status import status
from accordant.web.console.frame import Answer, Console, Problem, Visitor, address, as_file
from accordant.web.console.threads import in_thread

REASON_LENGTH_MAX = 300
_TOLD = {
    "requested": "Requested. Another approver has seven days to agree.",
    "approved": "Approved. The hub plans again what it only compared so far.",
    "narrowed": "Narrowed. Nothing wider leaves from now on.",
}
_ACTS = {"narrow": Act.STOP, "request": Act.REQUEST, "approve": Act.APPROVE}
_HEADER = ("flow", "in_force", "charter", "class", "why_no_more", "proposals")


def _board(console: Console) -> tuple[FlowPhase, ...]:
    hub = console.hub
    return phase_board(hub.database, hub.charter, hub.phase_office.standing(), now=hub.clock())


@get(["/phases", "/phases.json", "/phases.csv"])
@in_thread
def phases_page(request: Visitor, console: NamedDependency[Console]) -> Answer:
    """How far may each flow go?"""
    board = _board(console)
    rows = ((one.flow, one.in_force, one.wished, one.automation, one.text, len(one.proposals)) for one in board)
    file = as_file(request, {"flows": board}, name="phases", header=_HEADER, rows=rows)
    if file is not None:
        return file
    return console.page(request, "phases.html", board=board, switches=status(console.hub.database))


@get("/phases/{flow:str}")
@in_thread
def flow_page(
    request: Visitor, console: NamedDependency[Console], flow: FromPath[str], told: FromQuery[str] = ""
) -> Answer:
    """May this flow write, and what is missing for more?"""
    return _one(request, console, flow, told=_TOLD.get(told, ""))


def _one(
    request: Visitor, console: Console, flow: str, *, told: str = "", problem: str = "", status_code: int = 200
) -> Answer:
    name, hub = flow.removesuffix(".json").removesuffix(".csv"), console.hub
    line = next((one for one in _board(console) if one.flow == name), None)
    if line is None:
        raise Problem(404, "No such flow", "The charter has no flow of this name.", "Choose it on the board.")
    pack = hub.phase_office.evidence(name) if name in hub.phase_office.standing() else None
    items = pack.items if pack is not None else ()
    rows = ((item.name, item.is_green, item.figure, item.text, item.query) for item in items)
    header = ("item", "holds", "figure", "text", "query")
    file = as_file(request, {"flow": line, "evidence": pack}, name="evidence", header=header, rows=rows)
    if file is not None:
        return file
    lags = overview(hub.database, hub.charter, now=hub.clock(), zone=console.zone, finished=console.finished).flows
    return console.page(
        request,
        "phase.html",
        line=line,
        pack=pack,
        lag=next((one for one in lags if one.flow == name), None),
        paused=status(hub.database).is_paused(name),
        narrower=tuple(Phase)[: tuple(Phase).index(line.in_force)],
        wider=next_phase(line.in_force),
        told=told,
        problem=problem,
        reason_max=REASON_LENGTH_MAX,
        status_code=status_code,
    )


@post("/phases/{flow:str}/{act:str}")
async def act(
    request: Visitor, console: NamedDependency[Console], flow: FromPath[str], act: FromPath[str]
) -> Answer | Redirect:
    """Request, approve or narrow. Going further takes two who signed in by name; going back takes anybody here."""
    fields = await console.checked_form(request, _ACTS.get(act, Act.OPERATE))
    try:
        told = await asyncio.to_thread(_carry_out, request, console, flow, act, fields)
    except RejectedError as error:
        return await asyncio.to_thread(_one, request, console, flow, problem=str(error), status_code=409)
    return Redirect(address(f"/phases/{flow}", told=told), status_code=303)


def _carry_out(request: Visitor, console: Console, flow: str, act: str, fields: dict[str, str]) -> str:
    office, person = console.hub.phase_office, console.person(request)
    reason = fields.get("reason", "")[:REASON_LENGTH_MAX]
    phase = next((one for one in Phase if one.value == fields.get("phase", "")), None)
    if act == "narrow" and phase is not None:
        office.narrow(flow, phase, actor=console.actor(request), reason=reason)
        return "narrowed"
    if person is None:
        raise RejectedError(
            "Widening takes two persons, and nobody is signed in by name.",
            remedy="Give each person a token (accordant people add), or use accordant phase --as NAME here.",
        )
    if act == "request" and phase is not None:
        office.request(flow, phase, actor=person, reason=reason)
        return "requested"
    if act == "approve":
        office.approve(fields.get("proposal", ""), actor=person, reason=reason)
        return "approved"
    raise Problem(404, "No such step", "A flow is requested, approved or narrowed.", "Go back to the flow.")
