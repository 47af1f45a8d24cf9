"""The review queue: the customer beside each record that is offered, and a person's answer, which can be undone."""

import asyncio

from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from litestar.response import Redirect

from accordant.canonical.review import ReviewAction
from accordant.kernel.errors import AccordantError
from accordant.operations.review import REASON_LENGTH_MAX, Declined
from accordant.views.review import case_view, review_queue
from accordant.web.console.frame import Answer, Console, Problem, Visitor, address, as_file
from accordant.web.console.threads import in_thread

#: What the pages offer; duplicates are merged from the command line.
_OFFERED = (ReviewAction.ACCEPT, ReviewAction.CREATE, ReviewAction.REJECT, ReviewAction.SPLIT, ReviewAction.UNDO)


@get(["/review", "/review.json", "/review.csv"])
@in_thread
def review_page(request: Visitor, console: NamedDependency[Console]) -> Answer:
    """Whose records are waiting for a person's word?"""
    queue = review_queue(console.hub.database, now=console.hub.clock(), zone=console.zone)
    header = ("case", "customer", "account", "system", "object", "records", "opened_at", "why")
    rows = (
        (one.id, one.customer, one.party.account_id if one.party is not None else None, one.system, one.object,
         one.records, one.opened_at.isoformat(), one.why)
        for one in queue.cases
    )  # fmt: skip
    file = as_file(request, queue, name="review", header=header, rows=rows)
    return file if file is not None else console.page(request, "review.html", queue=queue)


@get("/review/{case_id:str}")
@in_thread
def review_case_page(
    request: Visitor, console: NamedDependency[Console], case_id: FromPath[str], told: FromQuery[str] = ""
) -> Answer:
    """Which record is it, and what speaks for it?"""
    return _one(request, console, case_id, told=told == "decided")


def _one(
    request: Visitor,
    console: Console,
    case_id: str,
    *,
    told: bool = False,
    problem: str = "",
    status_code: int = 200,
) -> Answer:
    name = case_id.removesuffix(".json").removesuffix(".csv")
    seen = case_view(console.hub.database, name, now=console.hub.clock(), zone=console.zone)
    if seen is None:
        text = "There is no review case of this id."
        raise Problem(404, "No such case", text, "Choose it in the review queue.")
    header = ("record", "attribute", "customer", "theirs", "compared")
    rows = (
        (record.candidate.id, line.attribute, line.ours, line.theirs, line.verdict)
        for record in seen.records
        for line in record.lines
    )
    file = as_file(request, seen, name="review-case", header=header, rows=rows)
    if file is not None:
        return file
    return console.page(
        request,
        "review_case.html",
        seen=seen,
        told=told,
        problem=problem,
        reason_max=REASON_LENGTH_MAX,
        status_code=status_code,
    )


@post("/review/{case_id:str}/decide")
async def decide_review(
    request: Visitor, console: NamedDependency[Console], case_id: FromPath[str]
) -> Answer | Redirect:
    """Carry out the answer; a reason is asked of everybody, and a case that was decided meanwhile is shown again."""
    fields = await console.checked_form(request)
    action = next((one for one in _OFFERED if one.value == fields.get("action", "")), None)
    if action is None:
        problem = "Choose what is to be decided."
        return await asyncio.to_thread(_one, request, console, case_id, problem=problem, status_code=422)
    try:
        answer = await console.hub.review_room.decide(
            action,
            case_id,
            actor=console.actor(request),
            reason=fields.get("reason", ""),
            target_id=fields.get("record", "").strip() or None,
        )
    except AccordantError as error:
        return await asyncio.to_thread(_one, request, console, case_id, problem=str(error), status_code=409)
    if isinstance(answer, Declined):
        problem = f"{answer.sentence} {answer.remedy}"
        return await asyncio.to_thread(_one, request, console, case_id, problem=problem, status_code=409)
    return Redirect(address(f"/review/{case_id}", told="decided"), status_code=303)
