"""Conflicts: both values side by side, the rule that decided, and a person's word. Says first what would happen."""

import asyncio
from datetime import datetime

from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from litestar.response import Redirect

from accordant.canonical.conflicts import Choice
from accordant.kernel.errors import RejectedError
from accordant.operations.restore import REASON_LENGTH_MAX, Prospect, RestoreOrder
from accordant.views.conflicts import ConflictLine, conflict_line, conflicts
from accordant.views.masked import masked
from accordant.web.console.frame import Answer, Console, Problem, Visitor, address, as_file
from accordant.web.console.threads import in_thread


@get(["/conflicts", "/conflicts.json", "/conflicts.csv"])
@in_thread
def conflicts_page(
    request: Visitor,
    console: NamedDependency[Console],
    show: FromQuery[str] = "",
    record: FromQuery[str] = "",
    before: FromQuery[str] = "",
) -> Answer:
    """Where did two systems disagree, and who won?"""
    found = conflicts(
        console.hub.database,
        now=console.hub.clock(),
        only_open=show == "open",
        record=record,
        before=_instant(before),
        zone=console.zone,
    )
    found = masked(found, console.lens)
    header = ("conflict", "state", "record", "field", "owner", "target", "confirmed", "rule", "winner", "found_at")
    rows = (_row(line) for line in found.lines)
    file = as_file(request, found, name="conflicts", header=header, rows=rows)
    if file is not None:
        return file
    return console.page(request, "conflicts.html", found=found, show=show, record=record, before=before)


def _instant(text: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
    return at if at is not None and at.tzinfo is not None else None


def _row(line: ConflictLine) -> tuple[object, ...]:
    one = line.conflict.contested
    winner = one.ruling.winner.value if one.ruling.winner is not None else None
    return (line.conflict.id, line.state.value, line.conflict.record, one.field, one.owner.value, one.target.value,
            one.confirmed, one.ruling.rule.value, winner, line.conflict.found_at.isoformat())  # fmt: skip


@get("/conflicts/{conflict_id:str}")
@in_thread
def conflict_page(
    request: Visitor, console: NamedDependency[Console], conflict_id: FromPath[str], told: FromQuery[str] = ""
) -> Answer:
    """Which two values, from where, and what can I do?"""
    return _one(request, console, conflict_id, told=told)


def _one(
    request: Visitor,
    console: Console,
    conflict_id: str,
    *,
    told: str = "",
    problem: str = "",
    status_code: int = 200,
) -> Answer:
    name = conflict_id.removesuffix(".json").removesuffix(".csv")
    line = conflict_line(console.hub.database, name, now=console.hub.clock(), zone=console.zone)
    line = masked(line, console.lens)
    if line is None:
        text = "There is no conflict of this id."
        raise Problem(404, "No such conflict", text, "Choose it on the list of conflicts.")
    offered: tuple[Prospect, ...] = ()
    closed = ""
    try:
        offered = console.hub.prospects(name)
    except RejectedError as error:
        closed = str(error)
    header = ("side", "system", "value", "since", "by", "event")
    sides = (("owner", line.conflict.contested.owner), ("target", line.conflict.contested.target))
    rows = (
        (side, one.system, one.value, one.at.isoformat() if one.at is not None else None, one.by, one.seq)
        for side, one in sides
    )
    file = as_file(request, {"conflict": line, "choices": offered}, name="conflict", header=header, rows=rows)
    if file is not None:
        return file
    return console.page(
        request,
        "conflict.html",
        line=line,
        offered=offered,
        closed=closed,
        problem=problem,
        told=told == "decided",
        reason_max=REASON_LENGTH_MAX,
        status_code=status_code,
    )


@post("/conflicts/{conflict_id:str}/decide")
async def decide_conflict(
    request: Visitor, console: NamedDependency[Console], conflict_id: FromPath[str]
) -> Answer | Redirect:
    """Carry out the choice; a reason is asked of everybody, and the court may still refuse."""
    fields = await console.checked_form(request)
    chosen = next((choice for choice in Choice if choice.value == fields.get("choice", "")), None)
    if chosen is None:
        show = asyncio.to_thread(
            _one, request, console, conflict_id, problem="Choose whose value the field shall have.", status_code=422
        )
        return await show
    actor, reason = console.actor(request), fields.get("reason", "")
    order = RestoreOrder(conflict_id=conflict_id, choice=chosen, actor=actor, reason=reason)
    try:
        await asyncio.to_thread(console.hub.restore, order)
    except RejectedError as error:
        return await asyncio.to_thread(_one, request, console, conflict_id, problem=str(error), status_code=409)
    return Redirect(address(f"/conflicts/{conflict_id}", told="decided"), status_code=303)
