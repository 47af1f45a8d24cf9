"""`accordant restored`: the store was put back from a backup; nothing is written until its targets were compared."""

import asyncio

from accordant.cli.operate import Because, Who
from accordant.cli.options import COMMON, Common, opened_hub, person
from accordant.cli.render import emit, say


def restored(*, because: Because = "", who: Who = None, common: Common = COMMON) -> int:
    """Say that the store was put back from a backup. The hub notices by itself where its home was left as it was."""
    return asyncio.run(_declare(common, actor=person(who, common=common), reason=because))


async def _declare(common: Common, *, actor: str, reason: str) -> int:
    async with opened_hub(common) as hub:
        epoch = await asyncio.to_thread(lambda: hub.epochs.declare(actor=actor, reason=reason))
        if common.json:
            emit({"restore": epoch.number, "noticed_at": epoch.noticed_at})
        else:
            say(
                f"Restore {epoch.number} is noted. Nothing is written from now on.",
                "The hub compares what is open with its targets by itself, and goes on writing when that is done.",
            )
    return 0
