"""The pages of the charter: what rules are in force, since when and on whose behalf, and the four artifacts to read."""

from collections.abc import Iterable

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath

from accordant.charters import connector_facts
from accordant.governance.charter import FlowVerdict, go_no_go
from accordant.views.charter import Artifact, Table, artifacts
from accordant.views.charter_versions import adoptions
from accordant.views.clearances import GateStanding, clearances
from accordant.web.console.frame import Answer, Console, Problem, Visitor, as_file
from accordant.web.console.threads import in_thread


@get(["/charter", "/charter.json", "/charter.csv"])
@in_thread
def charter_page(request: Visitor, console: NamedDependency[Console]) -> Answer:
    """What rules are in force?"""
    hub = console.hub
    verdicts, pages = _pages(console)
    found = adoptions(hub.database)
    header = ("version", "in_force_since", "by", "where", "before", "after")
    rows = (
        (one.version, one.at.isoformat(), one.by, change.where, change.before, change.after)
        for one in found
        for change in one.changes or ()
    )
    value = {"version": hub.charter.version, "flows": verdicts, "adoptions": found}
    file = as_file(request, value, name="charter", header=header, rows=rows)
    if file is not None:
        return file
    return console.page(
        request,
        "charter.html",
        charter=hub.charter,
        verdicts=verdicts,
        phases={flow.name: flow.phase for flow in hub.charter.flows},
        found=found,
        pages=pages,
    )


@get("/charter/{slug:str}")
@in_thread
def artifact_page(request: Visitor, console: NamedDependency[Console], slug: FromPath[str]) -> Answer:
    """One artifact, with the same words as the files of `accordant charter render`."""
    name = slug.removesuffix(".json").removesuffix(".csv")
    _, pages = _pages(console)
    shown = next((page for page in pages if page.slug == name), None)
    if shown is None:
        text = f"The charter has no page named {name[:60]}."
        raise Problem(404, "No such page", text, "The pages of the charter are listed at /charter.")
    rows = ((table.title, *row) for table in shown.tables for row in table.rows)
    widest = max(len(table.header) for table in shown.tables)
    header = ("table", *(f"column_{number}" for number in range(1, widest + 1)))
    file = as_file(request, shown, name=name, header=header, rows=rows)
    if file is not None:
        return file
    return console.page(request, "charter_artifact.html", charter=console.hub.charter, shown=shown, pages=pages)


def _pages(console: Console) -> tuple[tuple[FlowVerdict, ...], tuple[Artifact, ...]]:
    """The check's verdicts and the artifacts; the gate list with how each gate stands today."""
    hub = console.hub
    connectors = connector_facts()
    verdicts = go_no_go(hub.charter, connectors=connectors)
    pages = artifacts(hub.charter, connectors=connectors, verdicts=verdicts)
    if not hub.charter.gates:
        return verdicts, pages
    standings = clearances(hub.database, hub.charter, now=hub.clock()).gates
    return verdicts, tuple(
        Artifact(slug=page.slug, title=page.title, lead=page.lead, tables=(*page.tables, _today(standings)))
        if page.slug == "gate-list"
        else page
        for page in pages
    )


def _today(standings: Iterable[GateStanding]) -> Table:
    return Table(
        title="Today",
        lead="How many customers each gate lets through now. Whoever has no finding is held.",
        header=("Gate", "Open", "Held", "Held without a finding"),
        rows=tuple((one.gate, f"{one.open:,}", f"{one.held:,}", f"{one.unknown:,}") for one in standings),
    )
