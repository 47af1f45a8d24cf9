"""`accordant books rebuild`: whether the books follow from the inbox. Nothing is changed and nothing is sent."""

import asyncio
from typing import TYPE_CHECKING

from accordant.cli.ledger_orders import books_app as books_app  # noqa: PLC0414  given on with what is added here
from accordant.cli.options import COMMON, Common, opened_hub
from accordant.cli.render import Meter, counted, emit, say, shown, table

if TYPE_CHECKING:
    from accordant.operations.rebuild import Progress, Rebuilt


@books_app.command
def rebuild(*, common: Common = COMMON) -> int:
    """Build the books again from the inbox on a store of its own and hold them against those that are kept. Exit code 1
    when anything differs.
    """
    return asyncio.run(_rebuild(common))


async def _rebuild(common: Common) -> int:
    with Meter("Walking the inbox") as meter:
        found = await _built(common, meter)
    if common.json:
        emit(found)
        return 0 if found.is_same else 1
    erased = f", {shown(found.erased)} can be read no more" if found.erased else ""
    say(
        f"{counted(found.deliveries, 'delivery', 'deliveries')} walked{erased}, and "
        f"{counted(found.decisions, 'decision')} about months and periods made again."
    )
    for one in found.stopped:
        say(one)
    table("What differs", ("Name", "How"), ((one.name, one.how) for one in found.unlike), whole=("Name",))
    is_same = f"{counted(found.entries, 'entry', 'entries')} and {counted(found.bills, 'bill')} are the same."
    say(is_same if found.is_same else f"{shown(found.differing)} of them differ.")
    return 0 if found.is_same else 1


async def _built(common: Common, progress: "Progress") -> "Rebuilt":
    from accordant.operations.rebuild import Stage, rebuild
    from accordant.runtime.worker import shielded
    from accordant.store.cursors import Cursors
    from accordant.store.history import SqlHistory
    from accordant.store.ledger_desk import SqlLedgerDesk
    from accordant.store.rebuild import SqlBooksPast
    from accordant.store.scratch import scratch_database
    from accordant.store.state import SqlState

    async with opened_hub(common) as hub:
        with scratch_database(hub.settings.home) as database:
            stage = Stage(
                live=hub.state,
                live_desk=SqlLedgerDesk(hub.database),
                past=SqlBooksPast(hub.database, SqlHistory(hub.database, hub.inbox)),
                empty=SqlState(database),
                desk=SqlLedgerDesk(database),
                marks=Cursors(database),
                rulebook=hub.rulebook,
                connectors=hub.inbounds,
                shield=shielded,
            )
            return await asyncio.to_thread(rebuild, stage, now=hub.clock(), progress=progress)
