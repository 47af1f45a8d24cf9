"""Rehearsals of a changed charter: ordered, followed, and what would differ, counted, then record by record."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from functools import partial

from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from litestar.response import Redirect

from accordant.canonical.rehearsal import DifferenceKind, RehearsalOrder
from accordant.kernel.errors import ConfigurationError, RejectedError
from accordant.views.rehearsal import RehearsalLine, rehearsal, rehearsal_differences, rehearsals
from accordant.web.console.frame import Answer, Console, Problem, Visitor, as_file
from accordant.web.console.threads import in_thread

_AFTER_MAX = 2**62
#: A page of one that is open loads itself again after this many seconds.
REFRESH_S = 3
#: How a difference is told, in the words of the how-to.
KINDS = {
    DifferenceKind.NEW: "new",
    DifferenceKind.GONE: "no longer kept",
    DifferenceKind.CHANGED: "changed",
    DifferenceKind.CLEARED: "cleared",
    DifferenceKind.RELEASED: "sent from now on",
    DifferenceKind.WITHHELD: "no longer sent",
    DifferenceKind.LEFT_OUT: "left out",
    DifferenceKind.HELD: "held",
    DifferenceKind.REFUSED: "refused",
}


@get(["/rehearsals", "/rehearsals.json", "/rehearsals.csv"])
@in_thread
def rehearsals_page(request: Visitor, console: NamedDependency[Console]) -> Answer:
    """Which changes of the charter were rehearsed, and what would they do?"""
    lines = rehearsals(console.hub.database)
    header = ("rehearsal", "before", "after", "actor", "started_at", "events", "records", "differing", "differences")
    file = as_file(request, lines, name="rehearsals", header=header, rows=map(_row, lines))
    if file is not None:
        return file
    return _list(request, console, lines=lines)


def _list(
    request: Visitor,
    console: Console,
    *,
    lines: tuple[RehearsalLine, ...] | None = None,
    given: Mapping[str, str] | None = None,
    problem: str = "",
) -> Answer:
    return console.page(
        request,
        "rehearsals.html",
        lines=rehearsals(console.hub.database) if lines is None else lines,
        folders=console.hub.rehearsals.folders(),
        flows=sorted(flow.name for flow in console.hub.charter.flows),
        given=given or {},
        problem=problem,
        in_force=console.hub.charter.version,
        status_code=422 if problem else 200,
    )


@post("/rehearsals")
async def order_rehearsal(request: Visitor, console: NamedDependency[Console]) -> Answer | Redirect:
    """Order a rehearsal; the hub holds it in the background."""
    fields = await console.checked_form(request)
    try:
        run_id = await asyncio.to_thread(_order, console, fields, console.actor(request))
    except (RejectedError, ConfigurationError) as error:
        return await asyncio.to_thread(partial(_list, request, console, given=fields, problem=str(error)))
    return Redirect(f"/rehearsals/{run_id}", status_code=303)


def _order(console: Console, fields: Mapping[str, str], actor: str) -> str:
    since = fields.get("since", "").strip()
    try:
        day = None if not since else datetime.combine(date.fromisoformat(since), time(), tzinfo=console.zone)
    except ValueError:
        raise RejectedError(f"{since[:40]!r} is no day.", remedy="Write it as 2026-03-01.") from None
    order = RehearsalOrder(
        flow=fields.get("flow") or None,
        since=None if day is None else day.astimezone(UTC),
        quick=fields.get("quick") == "yes",
    )
    return console.hub.rehearsals.order(fields.get("folder", ""), order, actor=actor)


@post("/rehearsals/{run_id:str}/stop")
async def stop_rehearsal(request: Visitor, console: NamedDependency[Console], run_id: FromPath[str]) -> Redirect:
    """Stop one that runs or waits; nothing has to be undone."""
    await console.checked_form(request)
    desk, actor = console.hub.rehearsals, console.actor(request)
    await asyncio.to_thread(partial(desk.stop, run_id, actor=actor))
    return Redirect(f"/rehearsals/{run_id}", status_code=303)


def _row(line: RehearsalLine) -> tuple[object, ...]:
    found = line.result
    counts = (found.events, found.records, found.differing, found.differences) if found is not None else (None,) * 4
    return (line.id, line.before, line.after, line.actor, line.started_at.isoformat(), *counts)


@get("/rehearsals/{run_id:str}")
@in_thread
def rehearsal_page(
    request: Visitor,
    console: NamedDependency[Console],
    run_id: FromPath[str],
    after: FromQuery[int] = 0,
) -> Answer:
    """What would this charter change?"""
    flow, field, kind = (request.query_params.get(name, "") for name in ("flow", "field", "kind"))
    line = rehearsal(console.hub.database, run_id.removesuffix(".json").removesuffix(".csv"))
    if line is None:
        text = "No rehearsal of this name is kept; the last fifty are."
        raise Problem(404, "No such rehearsal", text, "Choose one of the list at /rehearsals.")
    page = rehearsal_differences(
        console.hub.database, line.id, flow=flow, field=field, kind=kind, after=max(0, min(after, _AFTER_MAX))
    )
    header = ("flow", "record", "field", "kind", "before", "after", "is_sent", "is_there", "reason",
              "money_minor", "currency")  # fmt: skip
    rows = (
        (one.flow, one.record, one.field, one.kind.value, one.before, one.after, "yes" if one.is_sent else "no",
         "yes" if one.is_there else "no", one.reason,
         None if one.money is None else one.money.amount_minor, None if one.money is None else one.money.currency)
        for one in page.differences
    )  # fmt: skip
    file = as_file(request, {"rehearsal": line, "page": page}, name="rehearsal", header=header, rows=rows)
    if file is not None:
        return file
    return console.page(
        request,
        "rehearsal.html",
        line=line,
        found=line.result,
        differences=page,
        kinds=KINDS,
        flow=flow,
        field=field,
        kind=kind,
        after=after,
        in_force=console.hub.charter.version,
        refresh_s=REFRESH_S if line.is_open and line.ordered else None,
    )
