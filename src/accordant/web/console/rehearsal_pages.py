"""Rehearsals of a changed charter: what would differ, counted first, then record by record. Nothing here acts."""

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery

from accordant.canonical.rehearsal import DifferenceKind
from accordant.views.rehearsal import RehearsalLine, rehearsal, rehearsal_differences, rehearsals
from accordant.web.console.frame import Answer, Console, Problem, Visitor, as_file
from accordant.web.console.threads import in_thread

_AFTER_MAX = 2**62
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
    return console.page(request, "rehearsals.html", lines=lines, in_force=console.hub.charter.version)


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
    header = ("flow", "record", "field", "kind", "before", "after", "is_sent", "is_there", "reason")
    rows = (
        (one.flow, one.record, one.field, one.kind.value, one.before, one.after, "yes" if one.is_sent else "no",
         "yes" if one.is_there else "no", one.reason)
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
    )
