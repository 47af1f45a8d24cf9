"""`accordant identity`: read a target's records so that customers are found there, and how well they are found."""

import asyncio
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from accordant.cli.options import COMMON, Common, opened_hub, opened_store
from accordant.cli.render import Meter, counted, emit, say, shown, table

if TYPE_CHECKING:
    from accordant.operations.scan_directory import ScanReport

identity_app = App(name="identity", help="Whose record a customer is: read a target's records, and see how many match.")


@identity_app.command
def scan(
    system: Annotated[str, Parameter(help="The target whose records are read, by its name in the charter.")],
    /,
    *,
    common: Common = COMMON,
) -> int:
    """Read the records of a target, then look for every customer there. One that broke off goes on where it was."""
    return asyncio.run(_scan(common, system))


async def _scan(common: Common, system: str) -> int:
    async with opened_hub(common) as hub:
        with Meter(f"Reading {system}") as meter:
            report = await hub.scan_directory(system, progress=meter)
    if common.json:
        emit(report)
    else:
        _tell(report)
    return 0


def _tell(report: "ScanReport") -> None:
    again = ", going on where the last reading broke off" if report.resumed else ""
    say(f"Read from {report.system}{again}: {counted(report.records, report.object + ' record')}.")
    if report.forgotten:
        say(f"No longer there, and forgotten: {counted(report.forgotten, 'record')}.")
    say("Every customer was looked for again. `accordant identity status` shows how many were found.")


@identity_app.command
def status(*, common: Common = COMMON) -> int:
    """How many customers have a record at each target, what they were found by, and how many wait for a person."""
    from accordant.views.identity import match_rates

    with opened_store(common) as database, database.read() as connection:
        rates = match_rates(connection)
    if common.json:
        emit({"targets": [{"rate_percent": one.rate_percent, "open": one.open, "counts": one} for one in rates]})
        return 0
    if not rates:
        say("No target was read yet. `accordant identity scan SYSTEM` reads its records.")
    table(
        "Customers and their records",
        ("Target", "Records", "Customers", "Found", "Created", "In review", "Open", "Share a record", "Rate"),
        (
            (
                f"{one.target} {one.object}",
                one.records,
                one.customers,
                one.matched,
                one.created,
                one.review,
                one.open,
                one.shared,
                "" if one.rate_percent is None else f"{one.rate_percent} %",
            )
            for one in rates
        ),
        right=("Records", "Customers", "Found", "Created", "In review", "Open", "Share a record", "Rate"),
    )
    for one in rates:
        table(
            f"Found in {one.target} by",
            ("Evidence", "Customers"),
            ((rung.replace("_", " "), shown(count)) for rung, count in one.by_rung.items()),
            right=("Customers",),
        )
    return 0
