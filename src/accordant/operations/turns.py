"""When it is decided again although no event came: a new day began, a charter came into force, what flows may do was
granted anew, or a person's word was kept and whoever took it died before it was followed.

One worker does it under a lease; a crash in between begins it anew. Next: `replan_all.py`.
"""

from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta
from typing import Protocol

import structlog

from accordant.canonical.charter import Charter
from accordant.kernel.clock import Clock
from accordant.pipeline.plan import Rulebook
from accordant.ports.owed import OwedBook

_DAY_TURN = "the day's turn"
_GRANTS_TURN = "the grants' turn"
_CHARTER_TURN = "the charter's turn"
#: After so long another worker begins anew. Two that do it at once only do it twice: commits compare and set.
_TURN_LEASE = timedelta(minutes=2)

_OWED_TURN = "the owed decisions"
#: How often somebody looks for decisions that are owed, and how long whoever took the word has for them himself.
_OWED_PAUSE = timedelta(seconds=5)
#: After a failure the next look waits longer: the error is in the log already.
_OWED_REST = timedelta(minutes=1)
_OWED_AT_ONCE = 500

_log = structlog.get_logger("hub")


class Replan(Protocol):
    """Decides for all accounts again."""

    def __call__(self, repair: frozenset[str], *, whole: bool) -> int:
        """How many accounts. Records in ``repair`` are planned anew even if they should hold the same; with ``whole``
        those of subscriptions that ended long ago are decided too.
        """
        ...


#: Decides again for these accounts; how many.
ReplanSome = Callable[[tuple[str, ...]], int]

#: Runs a step and returns what went wrong in words: only the runtime may catch what nobody expected.
Shield = Callable[[Callable[[], int]], int | str]


class Calendar(Protocol):
    """Remembers for which day everything was decided."""

    def planned_on(self) -> date | None:
        """The day, or None before the first."""
        ...

    def open(self, *, now: datetime) -> None:
        """Deciding begins: whoever comes after a crash in the middle of it finds no day."""
        ...

    def mark(self, day: date, *, now: datetime) -> None:
        """Everything is decided for ``day``."""
        ...


class Grants(Protocol):
    """Knows what was granted, and what of it is followed."""

    def newest(self) -> int:
        """The number of the newest grant."""
        ...

    def planned_for(self) -> int:
        """The number of the grant that everything was decided for."""
        ...

    def given_up(self, flows: Iterable[str]) -> frozenset[str]:
        """Records whose writes were given up when these flows were narrowed."""
        ...

    def mark_planned(self, grant: int, *, now: datetime) -> None:
        """Everything is decided for this grant."""
        ...


class Charters(Protocol):
    """Knows which charter is in force, and for which everything was decided."""

    def in_force(self) -> str | None:
        """The version that was put in force last, or None before the first."""
        ...

    def decided_for(self) -> str | None:
        """The version that everything was decided for last, or None before the first."""
        ...

    def mark_decided(self, version: str, *, now: datetime) -> None:
        """Everything is decided for this version."""
        ...


class Rights(Protocol):
    """Gives the right to do something alone."""

    def try_acquire(self, name: str, *, ttl: timedelta, now: datetime) -> int | None:
        """The token of the right, or None while another has it."""
        ...

    def release(self, name: str, *, token: int) -> None:
        """Give it back."""
        ...


class Turns:
    """Watches the calendar, the grants and what is owed for one hub."""

    def __init__(
        self,
        *,
        calendar: Calendar,
        grants: Grants,
        charters: Charters,
        owed: OwedBook,
        rights: Rights,
        replan: Replan,
        replan_some: ReplanSome,
        shield: Shield,
        clock: Clock,
    ) -> None:
        self._calendar = calendar
        self._grants = grants
        self._charters = charters
        self._chartered: str | None = None
        self._owed = owed
        self._replan_some = replan_some
        self._rights = rights
        self._replan = replan
        self._shield = shield
        self._clock = clock
        self._day: date | None = None
        self._granted = 0
        self._look_again: datetime | None = None

    def look(self, charter: Charter, rulebook: Rulebook) -> None:
        """Decide again where it is time to."""
        self.follow_charter(rulebook)
        self._turn_day(rulebook)
        self._follow_grants(charter)
        self._pay_owed()

    def follow_charter(self, rulebook: Rulebook) -> None:
        """A charter came into force: everything is decided again, also where whoever put it in force died at that."""
        version = rulebook.version
        if version == self._chartered or version != self._charters.in_force():
            return
        if self._charters.decided_for() == version or self._decide_alone(
            _CHARTER_TURN,
            frozenset,
            lambda: self._charters.mark_decided(version, now=self._clock()),
            whole=True,
        ):
            self._chartered = version

    def _turn_day(self, rulebook: Rulebook) -> None:
        """Some facts change with the calendar alone: an invoice falls due, a card expires, a discount ends.

        Once a day of the company's zone.
        """
        today = self._clock().astimezone(rulebook.zone).date()
        if self._day == today:
            return
        if self._calendar.planned_on() == today or self._decide_alone(
            _DAY_TURN, self._open_day, lambda: self._calendar.mark(today, now=self._clock()), whole=False
        ):
            self._day = today

    def _open_day(self) -> frozenset[str]:
        """From here on no day is decided until all is: a crash in between must not leave half of it to the old day."""
        self._calendar.open(now=self._clock())
        return frozenset()

    def _follow_grants(self, charter: Charter) -> None:
        """What was granted or taken back since changes what may be written.

        Writes given up when a flow was narrowed are planned anew, even if they should hold the same.
        """
        newest = self._grants.newest()
        if newest == self._granted:
            return
        if self._grants.planned_for() >= newest or self._decide_alone(
            _GRANTS_TURN,
            lambda: self._grants.given_up(flow.name for flow in charter.flows),
            lambda: self._grants.mark_planned(newest, now=self._clock()),
            whole=True,
        ):
            self._granted = newest

    def _pay_owed(self) -> None:
        """A clearance or a word on a case was kept, and nobody has decided its customer again since."""
        now = self._clock()
        if self._look_again is not None and now < self._look_again:
            return
        self._look_again = now + _OWED_PAUSE
        due = tuple(one.account_id for one in self._owed.waiting(before=now - _OWED_PAUSE, limit=_OWED_AT_ONCE))
        if not due:
            return
        token = self._rights.try_acquire(_OWED_TURN, ttl=_OWED_REST, now=now)
        if token is None:
            return
        outcome = self._shield(lambda: self._replan_some(due))
        if isinstance(outcome, str):
            self._look_again = now + _OWED_REST
            _log.error("what is owed to some customers could not be decided", accounts=len(due), problem=outcome)
        self._rights.release(_OWED_TURN, token=token)

    def _decide_alone(
        self, turn: str, repair: Callable[[], frozenset[str]], mark: Callable[[], None], *, whole: bool
    ) -> bool:
        """Let one worker decide again for all accounts; False while another one does."""
        token = self._rights.try_acquire(turn, ttl=_TURN_LEASE, now=self._clock())
        if token is None:
            return False
        outcome = self._shield(lambda: self._replan(repair(), whole=whole))
        if isinstance(outcome, str):
            # Events must go on all the same; the next start of the process tries again.
            _log.error("not everything could be decided again", turn=turn, problem=outcome)
        else:
            mark()
        self._rights.release(turn, token=token)
        return True
