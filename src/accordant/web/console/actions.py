"""The pages that change something: redrive, pause, resume. Each says what will happen, to how many, before it does."""

import asyncio
from collections.abc import Mapping
from functools import partial

from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromQuery
from litestar.response import Redirect
from msgspec.structs import replace

from accordant.governance.access import Act
from accordant.kernel.errors import RejectedError
from accordant.kernel.hashing import fingerprint
from accordant.operations.redrive_checks import RedriveOrder
from accordant.views.trouble import LISTED_MAX, TroubleItem, lanes_behind, trouble
from accordant.web.console.frame import Answer, Console, Problem, Visitor, address, as_file
from accordant.web.console.settle_pages import is_unaskable
from accordant.web.console.threads import in_thread

REASON_LENGTH_MAX = 300


@get(["/trouble", "/trouble.json", "/trouble.csv"])
@in_thread
def trouble_page(
    request: Visitor,
    console: NamedDependency[Console],
    kind: FromQuery[str] = "",
    told: FromQuery[int] = 0,
    kept: FromQuery[int] = 0,
    *,
    settled: FromQuery[int] = 0,
) -> Answer:
    """What needs a person?"""
    seen = trouble(console.hub.database, now=console.hub.clock(), zone=console.zone)
    groups = tuple(group for group in seen.groups if not kind or group.kind == kind)
    header = ("cause", "pattern", "kind", "name", "where", "reason", "since", "attempts", "event", "record", "account")
    rows = (
        (group.key, group.pattern, one.kind, one.name, one.where, one.reason, one.since_at.isoformat(), one.attempts,
         one.seq, one.record, one.party.account_id if one.party is not None else None)
        for group in groups
        for one in group.items
    )  # fmt: skip
    value = {"counts": seen.counts, "groups": groups, "partial": seen.partial}
    file = as_file(request, value, name="trouble", header=header, rows=rows)
    if file is not None:
        return file
    unaskable = frozenset(group.key for group in groups if is_unaskable(console, group))
    # Every value of a page goes through the lens: what is not listed is not handed over, thousands of items are slow.
    shown = tuple(replace(group, items=group.items[:LISTED_MAX]) for group in groups)
    sizes = {group.key: len(group.items) for group in groups}
    return console.page(
        request, "trouble.html", counts=seen.counts, partial=seen.partial, is_calm=not seen.groups, groups=shown,
        sizes=sizes, kind=kind, told=told, kept=kept, settled=settled, unaskable=unaskable,
    )  # fmt: skip


#: What a redrive has to be told.
_SAID = ("reason", "defect", "fix")
#: What can be put back by a person; the other kinds of trouble end by themselves or are decided elsewhere.
_REDRIVABLE = frozenset({"dead", "dead_event", "quarantined", "parked"})


def _dead_letters(console: Console, cause: str, intent_id: str) -> tuple[TroubleItem, ...]:
    """The dead letters of one cause, or the one that was named."""
    seen = trouble(console.hub.database, now=console.hub.clock(), zone=console.zone)
    return tuple(
        item
        for group in seen.groups
        if group.kind in _REDRIVABLE and group.key == cause
        for item in group.items
        if not intent_id or item.id == intent_id
    )


def _seal_of(items: tuple[TroubleItem, ...]) -> str:
    """What was shown for confirmation: a list that changed meanwhile is shown again, never acted upon."""
    return fingerprint([item.id for item in items])[:24]


@get("/trouble/retry")
@in_thread
def confirm_retry(
    request: Visitor, console: NamedDependency[Console], cause: FromQuery[str] = "", intent: FromQuery[str] = ""
) -> Answer:
    """What a retry would do."""
    return _retry_page(request, console, cause, intent)


def _retry_page(
    request: Visitor,
    console: Console,
    cause: str,
    intent: str,
    *,
    changed: bool = False,
    problem: str = "",
    given: Mapping[str, str] | None = None,
) -> Answer:
    items = _dead_letters(console, cause, intent)
    if not items:
        text = "There is nothing left to retry here: somebody did it already, or it settled by itself."
        raise Problem(404, "Nothing to retry", text, "Look at the trouble list as it is now.")
    return console.page(
        request,
        "confirm_retry.html",
        items=items,
        targets=sorted({item.record.partition(":")[0] for item in items if item.record is not None}),
        behind=lanes_behind(console.hub.database, {item.lane for item in items}),
        cause=cause,
        intent=intent,
        expected=_seal_of(items),
        changed=changed,
        problem=problem,
        given=given or dict.fromkeys(_SAID, ""),
        status_code=409 if changed else 422 if problem else 200,
    )


@post("/trouble/retry")
async def retry(request: Visitor, console: NamedDependency[Console]) -> Answer | Redirect:
    """Redrive what was confirmed."""
    fields = await console.checked_form(request)
    cause, intent = fields.get("cause", ""), fields.get("intent", "")
    items = await asyncio.to_thread(_dead_letters, console, cause, intent)
    if not items or fields.get("expected") != _seal_of(items):
        return await asyncio.to_thread(_retry_page, request, console, cause, intent, changed=True)
    said = {name: fields.get(name, "").strip()[:REASON_LENGTH_MAX] for name in _SAID}
    try:
        order = RedriveOrder(actor=console.actor(request), **said)
        done = await asyncio.to_thread(console.hub.recovery.redrive, [_letter(item) for item in items], order)
    except RejectedError as error:
        show = partial(_retry_page, request, console, cause, intent, problem=str(error), given=said)
        return await asyncio.to_thread(show)
    told = len(done.intents) + len(done.events)
    if not told and done.refused:
        show = partial(_retry_page, request, console, cause, intent, problem=done.refused[0].reason, given=said)
        return await asyncio.to_thread(show)
    return Redirect(address("/trouble", told=told, kept=len(done.refused)), status_code=303)


def _letter(item: TroubleItem) -> str:
    """The dead letter's name: an intent's id, or ``event/NUMBER``."""
    return item.id if item.kind == "dead" else f"event/{item.id}"


def _flow_named(console: Console, name: str) -> str:
    if all(flow.name != name for flow in console.hub.charter.flows):
        raise Problem(404, "No such flow", "The charter has no flow of this name.", "Choose it on the overview.")
    return name


@get("/flows/pause")
@in_thread
def confirm_pause(request: Visitor, console: NamedDependency[Console], flow: FromQuery[str] = "") -> Answer:
    """What a pause would do."""
    return console.page(request, "confirm_pause.html", flow=_flow_named(console, flow), problem="")


@post("/flows/pause")
async def pause(request: Visitor, console: NamedDependency[Console]) -> Answer | Redirect:
    """Pause the flow; a reason is asked of everybody."""
    fields = await console.checked_form(request, Act.STOP)
    flow, reason = _flow_named(console, fields.get("flow", "")), fields.get("reason", "").strip()
    if not reason or len(reason) > REASON_LENGTH_MAX:
        problem = f"Write why, in at most {REASON_LENGTH_MAX} characters: whoever resumes the flow will read it."
        show = asyncio.to_thread(
            console.page, request, "confirm_pause.html", flow=flow, problem=problem, status_code=422
        )
        return await show
    await asyncio.to_thread(console.hub.pause, flow, console.actor(request), reason)
    return Redirect("/", status_code=303)


@get("/flows/resume")
@in_thread
def confirm_resume(request: Visitor, console: NamedDependency[Console], flow: FromQuery[str] = "") -> Answer:
    """What a resume would do."""
    return console.page(request, "confirm_resume.html", flow=_flow_named(console, flow))


@post("/flows/resume")
async def resume(request: Visitor, console: NamedDependency[Console]) -> Redirect:
    """Release the flow's switch."""
    fields = await console.checked_form(request)
    flow = _flow_named(console, fields.get("flow", ""))
    await asyncio.to_thread(console.hub.resume, flow, console.actor(request))
    return Redirect("/", status_code=303)
