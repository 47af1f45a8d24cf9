"""Decides again for many accounts, batch by batch: each commits by itself, so it can be stopped and run again.

What was owed to an account (`ports/owed.py`) is settled only after the commit that gave it, and not at once.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial

from accordant.kernel.clock import Clock
from accordant.pipeline.plan import Rulebook
from accordant.pipeline.replan import replan
from accordant.ports.owed import OwedBook
from accordant.ports.state import Changes, ConcurrentChange, State

_BATCH = 500
#: A batch that had read an account before the word was given may still commit after it was followed; so long it is
#: decided once more.
_OVERTAKEN = timedelta(seconds=5)
_TRIES = 5


def replan_all(
    account_ids: Sequence[str],
    *,
    rulebook: Callable[[], Rulebook],
    state: State,
    clock: Clock,
    owed: OwedBook,
    repair: frozenset[str] = frozenset(),
    whole: bool = False,
) -> int:
    """Decide again for these accounts; how many. ``repair`` names records that are planned even if nothing changed.

    With ``whole`` everything that stands below an account is looked at: where the rules changed, no record may keep
    what the old ones said of it. Otherwise the subscriptions that a standing remembers.
    Raises ConcurrentChange when other workers keep changing the same accounts.
    """
    for start in range(0, len(account_ids), _BATCH):
        batch = tuple(account_ids[start : start + _BATCH])
        debts = owed.of(batch)
        # What is owed may be about an invoice of long ago: a standing remembers only some subscriptions.
        wholly = frozenset(batch) if whole else frozenset(debt.account_id for debt in debts)
        again = partial(replan, batch, state=state, repair=repair, whole=wholly)
        _replan_batch(again, rulebook, state, clock)
        owed.settle([one for one in debts if one.since <= clock() - _OVERTAKEN])
    return len(account_ids)


def _replan_batch(again: Callable[..., Changes], rulebook: Callable[[], Rulebook], state: State, clock: Clock) -> None:
    """Who comes second decides again; the last refusal is the caller's."""
    for attempt in range(_TRIES):
        changes = again(rulebook=rulebook(), now=clock())
        try:
            state.commit(changes, now=clock())
        except ConcurrentChange:
            if attempt == _TRIES - 1:
                raise
        else:
            return
