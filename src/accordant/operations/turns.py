"""When everything is decided again although no event came: a new day began, or what flows may do was granted anew.

One worker does it under a lease; a crash in between begins it anew. Next: `replan_all.py`.
"""

from collections.abc import Callable
from datetime import date, timedelta

import structlog

from accordant.canonical.charter import Charter
from accordant.kernel.clock import Clock
from accordant.pipeline.plan import Rulebook
from accordant.runtime.worker import shielded
from accordant.store.calendar import Calendar
from accordant.store.leases import Leases, LeaseTaken
from accordant.store.phases import SqlPhaseBook

_DAY_TURN = "the day's turn"
_GRANTS_TURN = "the grants' turn"
#: How long one worker may take to decide everything again before another begins anew.
_TURN_LEASE = timedelta(minutes=30)

_log = structlog.get_logger("hub")

#: Decides for all accounts again, those records planned anew even if they should hold the same; how many accounts.
Replan = Callable[[frozenset[str]], int]


class Turns:
    """Watches the calendar and the grants for one hub."""

    def __init__(
        self, *, calendar: Calendar, phases: SqlPhaseBook, leases: Leases, replan: Replan, clock: Clock
    ) -> None:
        self._calendar = calendar
        self._phases = phases
        self._leases = leases
        self._replan = replan
        self._clock = clock
        self._day: date | None = None
        self._granted = 0

    def look(self, charter: Charter, rulebook: Rulebook) -> None:
        """Decide again where it is time to."""
        self._turn_day(rulebook)
        self._follow_grants(charter)

    def _turn_day(self, rulebook: Rulebook) -> None:
        """Some facts change with the calendar alone: an invoice falls due, a card expires, a discount ends.

        Once a day of the company's zone.
        """
        today = self._clock().astimezone(rulebook.zone).date()
        if self._day == today:
            return
        if self._calendar.planned_on() == today or self._decide_alone(
            _DAY_TURN, frozenset, lambda: self._calendar.mark(today, now=self._clock())
        ):
            self._day = today

    def _follow_grants(self, charter: Charter) -> None:
        """What was granted or taken back since changes what may be written.

        Writes given up when a flow was narrowed are planned anew, even if they should hold the same.
        """
        newest = self._phases.newest()
        if newest == self._granted:
            return
        if self._phases.planned_for() >= newest or self._decide_alone(
            _GRANTS_TURN,
            lambda: self._phases.given_up(flow.name for flow in charter.flows),
            lambda: self._phases.mark_planned(newest, now=self._clock()),
        ):
            self._granted = newest

    def _decide_alone(self, turn: str, repair: Callable[[], frozenset[str]], mark: Callable[[], None]) -> bool:
        """Let one worker decide again for all accounts; False while another one does."""
        try:
            token = self._leases.acquire(turn, ttl=_TURN_LEASE, now=self._clock())
        except LeaseTaken:
            return False
        outcome = shielded(lambda: self._replan(repair()))
        if isinstance(outcome, str):
            # Events must go on all the same; the next start of the process tries again.
            _log.error("not everything could be decided again", turn=turn, problem=outcome)
        else:
            mark()
        self._leases.release(turn, token=token)
        return True
