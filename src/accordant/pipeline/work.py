"""One round of rooms 3 to 6: claim, process, commit. What cannot be processed is isolated, never the batch.

A failure is a defect of ours. The batch is then taken lane by lane; the lane that fails is put aside and stopped, its
neighbours go on.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from itertools import groupby

import structlog

from accordant.kernel.errors import TransientError
from accordant.pipeline.plan import Rulebook
from accordant.pipeline.process import process, set_aside
from accordant.ports.connector import Inbound
from accordant.ports.inbox import Inbox, InboxEvent
from accordant.ports.state import Changes, ConcurrentChange, State

#: Events a round takes at most. More would delay the first of them, fewer would commit too often.
BATCH_MAX = 500
#: How often a batch is decided anew because another worker stored something it had read.
TRIES = 5

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
    step = partial(process, events, connectors=connectors, rulebook=rulebook, state=state, now=now)
    try:
        outcome = _decide_and_commit(step, state, shield, now)
        if outcome is None:
            return len(events)
        _log.error("a batch failed and is taken lane by lane", problem=outcome, events=len(events))
        for _, lane in groupby(sorted(events, key=lambda event: (event.lane, event.seq)), key=lambda event: event.lane):
            _work_lane(list(lane), state=state, connectors=connectors, rulebook=rulebook, now=now, shield=shield)
    except TransientError:
        inbox.give_back([event.seq for event in events])
        raise
    return len(events)


def _decide_and_commit(step: Callable[[], Changes], state: State, shield: Shield, now: datetime) -> str | None:
    """Decide and commit; what went wrong with deciding, in words, or None.

    Lanes of two workers may meet in one object (a refund names its payment). Who comes second reads and decides again,
    with what the first has stored. Raises TransientError when the store cannot go on: the events stay received.
    """
    for _ in range(TRIES - 1):
        outcome = shield(step)
        if isinstance(outcome, str):
            return outcome
        with suppress(ConcurrentChange):
            state.commit(outcome, now=now)
            return None
    outcome = shield(step)
    if isinstance(outcome, str):
        return outcome
    state.commit(outcome, now=now)
    return None


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
        problem = _decide_and_commit(step, state, shield, now)
        if problem is not None:
            state.commit(set_aside(event, problem, now=now), now=now)
            return
