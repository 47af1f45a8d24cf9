"""`accordant openings`: what waits to be opened in billing, with all that would be written; and letting it go."""

import asyncio
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from accordant.cli.options import COMMON, AudienceOption, Common, charter_in_force, opened_hub, opened_store, person
from accordant.cli.render import emit, field_text, say, table
from accordant.governance.sensitivity import LEAST, lens

if TYPE_CHECKING:
    from accordant.operations.release import ReleaseOrder
    from accordant.views.openings import WaitingOpening

openings_app = App(name="openings", help="What would be opened in billing, and your word that it may.")


@openings_app.command(name="list")
def list_openings(
    record: Annotated[str, Parameter(help="Only what waits of one record: system:object/key.")] = "",
    /,
    *,
    audience: AudienceOption = LEAST,
    common: Common = COMMON,
) -> int:
    """What waits, the longest first, with every field that would be written. Exit code 1 when anything waits."""
    from accordant.views.masked import masked
    from accordant.views.openings import WaitingOpenings, waiting_openings

    with opened_store(common) as database:
        charter = charter_in_force(database)
        empty = WaitingOpenings(lines=(), partial=False)
        found = empty if charter is None else waiting_openings(database, charter, record=record)
        found = masked(found, lens(charter, audience))
    if common.json:
        emit(found)
        return 1 if found.lines else 0
    if not found.lines:
        say("Nothing waits to be opened.")
        return 0
    for line in found.lines:
        _tell(line)
    if found.partial:
        say("There is more than one list holds; name a record to see what waits of it.")
    return 1


def _tell(line: "WaitingOpening") -> None:
    table(
        f"{line.record}, from {line.source}",
        ("Field", "Would be"),
        ((one.field, field_text(one.value)) for one in line.fields),
    )
    say(f"Waits since {line.since:%Y-%m-%d %H:%M} UTC. {line.why}")
    if line.is_due:
        say(f"To let exactly this go: accordant openings release {line.record} --content {line.content} --reason ...")


@openings_app.command
def release(
    record: Annotated[str, Parameter(help="The record: system:object/key, as the list names it.")],
    /,
    *,
    content: Annotated[str, Parameter(help="What you were shown, as the list names it: nothing else is let go.")],
    reason: Annotated[str, Parameter(help="Why, in a sentence for the trail.")],
    who: Annotated[str | None, Parameter(name="--as", help="Your name; else the operating system's user.")] = None,
    common: Common = COMMON,
) -> int:
    """Let one record be opened, exactly as it was listed. When it changes before it is sent, it waits again."""
    from accordant.operations.release import ReleaseOrder

    order = ReleaseOrder(record=record, content=content, actor=person(who, common=common), reason=reason)
    return asyncio.run(_release(common, order))


async def _release(common: Common, order: "ReleaseOrder") -> int:
    from accordant.web.opener import release_opening

    async with opened_hub(common) as hub:
        release_opening(hub, order)
    if common.json:
        emit({"record": order.record, "content": order.content, "released_by": order.actor})
    else:
        say(f"{order.record} is released. The courier opens it next, if nothing else holds it.")
    return 0
