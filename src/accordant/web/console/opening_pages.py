"""What waits to be opened in billing: every field that would be written, what is in the way, and a person's word."""

import asyncio
from collections.abc import Mapping

from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromQuery
from litestar.response import Redirect

from accordant.canonical.openings import REASON_LENGTH_MAX
from accordant.kernel.errors import RejectedError
from accordant.operations.release import ReleaseOrder
from accordant.views.masked import masked
from accordant.views.openings import waiting_openings
from accordant.web.console.frame import Answer, Console, Visitor, address, as_file
from accordant.web.console.threads import in_thread
from accordant.web.opener import release_opening

_NOTHING_SAID: Mapping[str, str] = {"record": "", "reason": ""}


@get(["/openings", "/openings.json", "/openings.csv"])
@in_thread
def openings_page(
    request: Visitor, console: NamedDependency[Console], record: FromQuery[str] = "", released: FromQuery[str] = ""
) -> Answer:
    """What would be opened, and does it wait for me?"""
    return _page(request, console, record=record, released=released)


def _page(
    request: Visitor,
    console: Console,
    *,
    record: str = "",
    released: str = "",
    problem: str = "",
    given: Mapping[str, str] = _NOTHING_SAID,
    status_code: int = 200,
) -> Answer:
    found = masked(waiting_openings(console.hub.database, console.hub.charter, record=record), console.lens)
    header = ("record", "flow", "source", "since", "by_hand", "why", "content", "fields")
    rows = (
        (line.record, line.flow, line.source, line.since.isoformat(), line.by_hand, line.why, line.content,
         "; ".join(f"{one.field}={one.value}" for one in line.fields))
        for line in found.lines
    )  # fmt: skip
    file = as_file(request, found, name="openings", header=header, rows=rows)
    if file is not None:
        return file
    return console.page(
        request, "openings.html", found=found, record=record, released=released, problem=problem, given=given,
        reason_max=REASON_LENGTH_MAX, status_code=status_code,
    )  # fmt: skip


@post("/openings/release")
async def release_page(request: Visitor, console: NamedDependency[Console]) -> Answer | Redirect:
    """Keep the release, of the very content the page showed."""
    fields = await console.checked_form(request)
    given = {name: fields.get(name, "") for name in ("record", "content", "reason")}
    order = ReleaseOrder(
        record=given["record"], content=given["content"], actor=console.actor(request), reason=given["reason"]
    )
    try:
        await asyncio.to_thread(release_opening, console.hub, order)
    except RejectedError as error:
        return await asyncio.to_thread(_page, request, console, problem=str(error), given=given, status_code=409)
    return Redirect(address("/openings", released=order.record), status_code=303)


#: Every page of this module.
HANDLERS = (openings_page, release_page)
