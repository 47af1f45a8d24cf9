"""`accordant sweep`: fetch the events a provider lists and never delivered. They enter the inbox like any delivery."""

import asyncio
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

from cyclopts import Parameter

from accordant.cli.operate import Who
from accordant.cli.options import COMMON, Common, opened_hub, person
from accordant.cli.render import Meter, emit, say, table
from accordant.kernel.errors import RejectedError

if TYPE_CHECKING:
    from accordant.operations.sweep import SweepReport


def sweep(
    system: Annotated[str | None, Parameter(help="One system; every one that lists its events if left out.")] = None,
    /,
    *,
    since: Annotated[
        str | None,
        Parameter(help="A day of the company or an instant, as in 2026-11-01; else where the last ended."),
    ] = None,
    who: Who = None,
    common: Common = COMMON,
) -> int:
    """Fetch events that were never delivered, oldest first. Exit code 1 when any were missing.

    Where the provider no longer lists what is asked for, its objects are compared instead, and that is said.
    """
    reports = asyncio.run(_sweep(common, system, since, person(who, common=common)))
    if common.json:
        emit({"sweeps": [_as_json(one) for one in reports]})
    else:
        _tell(reports)
    return 1 if any(one.total or one.rescan is not None for one in reports) else 0


async def _sweep(common: Common, system: str | None, since: str | None, actor: str) -> "list[SweepReport]":
    from accordant.web.lookout import Lookout

    async with opened_hub(common) as hub:
        lookout = Lookout(hub)
        begin = None if since is None else _instant(since, ZoneInfo(hub.charter.timezone))
        reports = []
        for name in (system,) if system is not None else lookout.systems:
            with Meter(f"Sweeping {name}") as meter:
                reports.append(await lookout.sweep(name, actor=actor, since=begin, progress=meter))
        return reports


def _instant(text: str, zone: ZoneInfo) -> datetime:
    """A day begins at midnight of the company. Raises RejectedError for anything else."""
    try:
        if len(text) == len("2026-11-01"):
            return datetime.combine(date.fromisoformat(text), time(), zone).astimezone(UTC)
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise RejectedError(
            f"{text[:40]!r} is no day and no instant.", remedy="Write 2026-11-01, or 2026-11-01T08:30+01:00."
        ) from None
    return moment.replace(tzinfo=moment.tzinfo or zone).astimezone(UTC)


def _as_json(report: "SweepReport") -> dict[str, object]:
    rescan = report.rescan
    return {
        "system": report.system,
        "since": report.since,
        "until": report.until,
        "listed": report.listed,
        "found": report.found,
        "lost_from": report.lost_from,
        "rescan": None if rescan is None else {"run": rescan.reconciliation.run, "fed": rescan.fed},
    }


def _tell(reports: "list[SweepReport]") -> None:
    from accordant.operations.sweep import told_of_sweep

    for one in reports:
        say(told_of_sweep(one))
    table(
        "Fetched",
        ("System", "Type", "Events"),
        ((one.system, name, count) for one in reports for name, count in one.found.items()),
        right=("Events",),
    )
    if not reports:
        say("No system lists its events, or none has an API key.")
    elif any(one.total for one in reports):
        say("They wait in the inbox like any delivery; a running server works them off.")
