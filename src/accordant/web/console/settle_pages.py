"""The page on which a person says what became of a write whose target cannot be asked. Next: `operations`."""

import asyncio
from collections.abc import Mapping
from functools import partial

from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromQuery
from litestar.response import Redirect

from accordant.kernel.errors import RejectedError
from accordant.operations.settle_letter import Finding
from accordant.views.trouble import TroubleGroup, TroubleItem, trouble
from accordant.web.console.frame import Answer, Console, Problem, Visitor, address
from accordant.web.console.threads import in_thread

_LENGTH_MAX = 300
_NOTHING_SAID = {"found": "", "found_as": "", "evidence": ""}


def is_unaskable(console: Console, group: TroubleGroup) -> bool:
    """Whether only a person can say what became of the writes of a group."""
    record = group.items[0].record
    if group.kind != "dead" or record is None:
        return False
    target, _, place = record.partition(":")
    return console.hub.recovery.is_unaskable(target, place.partition("/")[0])


def _letter(console: Console, intent: str) -> TroubleItem:
    seen = trouble(console.hub.database, now=console.hub.clock(), zone=console.zone)
    found = (item for group in seen.groups if is_unaskable(console, group) for item in group.items if item.id == intent)
    item = next(found, None)
    if item is None:
        text = "Somebody settled this write already, or its target can be asked and it can be put back."
        raise Problem(404, "Nothing to settle", text, "Look at the trouble list as it is now.")
    return item


@get("/trouble/settle")
@in_thread
def settle_page(request: Visitor, console: NamedDependency[Console], intent: FromQuery[str] = "") -> Answer:
    """What became of this write?"""
    return _page(request, console, intent)


def _page(
    request: Visitor, console: Console, intent: str, *, problem: str = "", given: Mapping[str, str] = _NOTHING_SAID
) -> Answer:
    item = _letter(console, intent)
    target = (item.record or "").partition(":")[0]
    return console.page(
        request, "settle.html", item=item, target=target, problem=problem, given=given,
        status_code=422 if problem else 200,
    )  # fmt: skip


@post("/trouble/settle")
async def settle_letter(request: Visitor, console: NamedDependency[Console]) -> Answer | Redirect:
    """Keep what was found, and let the lane go on."""
    fields = await console.checked_form(request)
    intent = fields.get("intent", "")
    given = {name: fields.get(name, "").strip()[:_LENGTH_MAX] for name in _NOTHING_SAID}
    await asyncio.to_thread(_letter, console, intent)
    show = partial(_page, request, console, intent, given=given)
    if given["found"] not in {"there", "absent"}:
        return await asyncio.to_thread(show, problem="Say what you found: the write is there, or it is not.")
    found_as = given["found_as"] if given["found"] == "there" else None
    finding = Finding(actor=console.actor(request), evidence=given["evidence"], found_as=found_as)
    try:
        done = await asyncio.to_thread(console.hub.recovery.settle, intent, finding)
    except RejectedError as error:
        return await asyncio.to_thread(show, problem=str(error))
    if done is not None and done.refused:
        problem = f"That it is absent is kept. It was not put back: {done.refused[0].reason}"
        return await asyncio.to_thread(show, problem=problem)
    return Redirect(address("/trouble", told=0 if done is None else len(done.intents), settled=1), status_code=303)


#: Every page of this module.
HANDLERS = (settle_page, settle_letter)
