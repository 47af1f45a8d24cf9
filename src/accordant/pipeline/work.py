"""One round of rooms 3 to 6: claim, process, commit. What cannot be processed is isolated, never the batch.

A failure is a defect of ours. The batch is then taken lane by lane; the lane that fails is put aside and stopped, its
neighbours go on.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from itertools import groupby

import structlog

from accordant.pipeline.plan import Rulebook
from accordant.pipeline.process import process, set_aside
from accordant.ports.connector import Inbound
from accordant.ports.inbox import Inbox, InboxEvent
from accordant.ports.state import Changes, State

#: Events a round takes at most. More would delay the first of them, fewer would commit too often.
BATCH_MAX = 500

_log = structlog.get_logger("rooms")

#: Runs a step and returns what went wrong in words, or None: only the runtime may catch what nobody expected.
Shield = Callable[[Callable[[], Changes]], "Changes | str"]


def work(
    *,
    inbox: Inbox,
    state: State,
    connectors: Mapping[str, Inbound],
    rulebook: Rulebook,
    now: datetime,
    shield: Shield,
    partitions: frozenset[int] | None = None,
    limit: int = BATCH_MAX,
) -> int:
    """Claim and settle up to ``limit`` events; how many were claimed.

    Raises TransientError when the store cannot go on.
    """
    events = inbox.claim(limit=limit, now=now, partitions=partitions)
    if not events:
        return 0
    outcome = shield(partial(process, events, connectors=connectors, rulebook=rulebook, state=state, now=now))
    if isinstance(outcome, Changes):
        # When another worker was quicker, or the store is away, the events stay received and are claimed again.
        state.commit(outcome, now=now)
        return len(events)
    _log.error("a batch failed and is taken lane by lane", problem=outcome, events=len(events))
    for _, lane in groupby(sorted(events, key=lambda event: (event.lane, event.seq)), key=lambda event: event.lane):
        _work_lane(list(lane), state=state, connectors=connectors, rulebook=rulebook, now=now, shield=shield)
    return len(events)


def _work_lane(
    events: Sequence[InboxEvent],
    *,
    state: State,
    connectors: Mapping[str, Inbound],
    rulebook: Rulebook,
    now: datetime,
    shield: Shield,
) -> None:
    """Process the events of one lane one after another; stop at the first that fails. The rest wait behind it."""
    for event in events:
        step = partial(process, [event], connectors=connectors, rulebook=rulebook, state=state, now=now)
        outcome = shield(step)
        if isinstance(outcome, str):
            state.commit(set_aside(event, outcome, now=now), now=now)
            return
        state.commit(outcome, now=now)
