"""When a batch flow is sent: what was planned until its last tick is due, what came later waits for the next.

No state: a tick that passed while the hub was down is simply the last one when it is back, and counts once.
"""

from datetime import datetime

from accordant.canonical.charter import SyncMode
from accordant.kernel.ticks import last_tick
from accordant.pipeline.plan import Rulebook


def sent_until(rulebook: Rulebook, now: datetime) -> dict[str, datetime]:
    """Of each batch flow the moment until which its writes have to be planned to be sent now."""
    return {
        flow.name: last_tick(flow.schedule, at=now, zone=rulebook.zone)
        for flow in rulebook.charter.flows
        if flow.sync is SyncMode.BATCH and flow.schedule is not None
    }
