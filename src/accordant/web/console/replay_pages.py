"""Walk past events once more: chosen, counted, confirmed, then walked by a running hub while the page tells how far."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial

from litestar import get, post
from litestar.di import NamedDependency
from litestar.response import Redirect

from accordant.canonical.charter import Automation
from accordant.kernel.errors import RejectedError
from accordant.operations.replay import ReplayCount
from accordant.ports.replay import ReplayClass, ReplayOrder, ReplayScope
from accordant.views.replays import ReplayLine, replays
from accordant.web.console.frame import Answer, Console, Visitor, address, as_file
from accordant.web.console.threads import in_thread

REASON_LENGTH_MAX = 300
_ID_LENGTH_MAX = 200
_HEADER = (
    "replay",
    "actor",
    "started",
    "finished",
    "scope",
    "total",
    "done",
    "changed",
    "writes",
    "stopped",
    "doubtful",
)
_ASKABLE = tuple(one for one in Automation if one is not Automation.RECORD_SYNC)
_EMPTY = dict.fromkeys(("event", "entity", "event_type", "since", "until", "reason"), "")


@get(["/replay", "/replay.json", "/replay.csv"])
@in_thread
def replay_page(request: Visitor, console: NamedDependency[Console]) -> Answer:
    """Which past events were walked again, and which should be?"""
    lines = replays(console.hub.database)
    file = as_file(request, {"replays": lines}, name="replays", header=_HEADER, rows=map(_row, lines))
    return file or _page(request, console)


def _row(one: ReplayLine) -> tuple[object, ...]:
    finished = None if one.finished_at is None else one.finished_at.isoformat()
    return (
        one.id, one.actor, one.started_at.isoformat(), finished, " ".join(one.scope), one.total, one.done, one.changed,
        one.intents, one.stopped, one.doubtful,
    )  # fmt: skip


def _page(
    request: Visitor,
    console: Console,
    *,
    given: Mapping[str, str] | None = None,
    count: ReplayCount | None = None,
    problem: str = "",
) -> Answer:
    told = request.query_params.get("told") == "ordered"
    return console.page(
        request,
        "replay.html",
        lines=replays(console.hub.database),
        given={**_EMPTY, **(given or {})},
        count=count,
        classes=tuple(ReplayClass),
        automations=_ASKABLE,
        told="Ordered. A running hub walks them now, money first; load the page again to see how far." if told else "",
        problem=problem,
        reason_max=REASON_LENGTH_MAX,
        status_code=409 if problem else 200,
    )


@post("/replay")
async def order_replay(request: Visitor, console: NamedDependency[Console]) -> Answer | Redirect:
    """Count first; with the count confirmed, order it. A count that changed meanwhile is shown again."""
    fields = await console.checked_form(request)
    actor = console.actor(request)
    show = partial(_page, request, console, given=fields)
    try:
        order = _order(fields, actor)
        count = await asyncio.to_thread(console.hub.recovery.count_replay, order)
        if fields.get("counted") != str(count.total) or not count.total:
            return await asyncio.to_thread(partial(show, count=count))
        await asyncio.to_thread(console.hub.recovery.begin_replay, order)
    except RejectedError as error:
        return await asyncio.to_thread(partial(show, problem=str(error)))
    return Redirect(address("/replay", told="ordered"), status_code=303)


def _order(fields: Mapping[str, str], actor: str) -> ReplayOrder:
    """What a form asks for. Raises RejectedError naming the field."""
    event = fields.get("event", "").strip()
    if event and not event.isdecimal():
        raise RejectedError("An event is named by its number.", remedy="Its page shows it: Event 1234.")
    scope = ReplayScope(
        event=int(event) if event else None,
        entity=fields.get("entity", "").strip()[:_ID_LENGTH_MAX] or None,
        event_type=fields.get("event_type", "").strip()[:_ID_LENGTH_MAX] or None,
        since=_instant(fields, "since"),
        until=_instant(fields, "until"),
    )
    if scope == ReplayScope() and not fields.get("everything"):
        raise RejectedError("Nothing was chosen.", remedy="Narrow it, or say that every event is meant.")
    return ReplayOrder(
        scope=scope,
        actor=actor,
        reason=fields.get("reason", "").strip()[:REASON_LENGTH_MAX],
        classes=tuple(one for one in ReplayClass if fields.get(f"class_{one.value}")) or tuple(ReplayClass),
        automations=tuple(one for one in _ASKABLE if fields.get(f"automation_{one.value}")),
    )


def _instant(fields: Mapping[str, str], name: str) -> datetime | None:
    text = fields.get(name, "").strip()
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise RejectedError(f"{text[:40]!r} is no instant.", remedy="Write it as 2026-03-01T12:00, in UTC.") from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
