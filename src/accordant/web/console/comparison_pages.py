"""What comparing found: the latest comparison of each flow, owner and hierarchy, and each finding with what to do."""

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromQuery

from accordant.views.comparisons import FINDINGS_MAX, comparisons, findings
from accordant.views.masked import masked
from accordant.web.console.frame import Answer, Console, Problem, Visitor, as_file, form_of
from accordant.web.console.threads import in_thread


@get(["/comparisons", "/comparisons.json", "/comparisons.csv"])
@in_thread
def comparisons_page(request: Visitor, console: NamedDependency[Console], run: FromQuery[str] = "") -> Answer:
    """Do the systems agree, and where do they not?"""
    if run:
        return _one(request, console, run)
    found = comparisons(console.hub.database)
    header = ("run", "of", "finished_at", "records", "findings")
    rows = ((one.run_id, one.of, one.finished_at.isoformat(), one.records, one.findings) for one in found)
    file = as_file(request, {"comparisons": found}, name="comparisons", header=header, rows=rows)
    return file or console.page(request, "comparisons.html", rows=found, found=None)


def _one(request: Visitor, console: Console, run: str) -> Answer:
    limit = FINDINGS_MAX if form_of(request) == "html" else None
    found = masked(findings(console.hub.database, run, limit=limit), console.lens)
    if found is None:
        text = "No comparison of this name came to its end."
        raise Problem(404, "No such comparison", text, "Choose one of the latest on the page Comparisons.")
    header = ("record", "kind", "cause", "field", "expected", "actual", "account", "explanation")
    rows = (
        (one.record, one.kind, one.cause, one.field, one.expected, one.actual, one.account_id, one.explanation)
        for one in found.lines
    )
    file = as_file(request, found, name="findings", header=header, rows=rows)
    return file or console.page(request, "comparisons.html", rows=(), found=found)


PAGES = (comparisons_page,)
