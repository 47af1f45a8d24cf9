"""Where an incident is worked on, moved and closed; `orchestration/incident.py` says whether it may.

A state is kept before what it asks for is done, and what it asks for may be done twice: a crash in any state is gone on
from by asking again. Next: `incident_work.py`, what is done at each step.
"""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

import msgspec

from accordant.kernel.clock import Clock
from accordant.kernel.errors import AccordantError, TransientError
from accordant.operations.incident_board import IncidentBoard, Standing, entry_of, moment_of, named, summary_of
from accordant.operations.incident_work import RecoveryHub, SweepOne, Tell, Worker, tell_nobody
from accordant.operations.reconcile import off_loop
from accordant.orchestration.incident import (
    Incident,
    Measured,
    NotYet,
    close,
    step_forward,
    with_measured,
    without_asked,
)
from accordant.ports.incident import IncidentBook, IncidentMoved
from accordant.ports.switches import Switchboard

_RIGHT = "incident"
#: How long after its last sign of life a process that works on a step is taken for gone, and another begins it anew;
#: nothing is done twice by that.
WORK_LEASE = timedelta(minutes=5)

#: Says whether a step may be left: to the next one, or to the end.
Leave = Callable[..., Incident | NotYet]


class IncidentBusy(TransientError):
    """Another process works on this step just now."""

    remedy = "Wait until it is done: `accordant incident status` shows what it finds."


class Rights(Protocol):
    """Gives the right to do something alone."""

    def try_acquire(self, name: str, *, ttl: timedelta, now: datetime) -> int | None:
        """The token of the right, or None while another has it."""
        ...

    def release(self, name: str, *, token: int) -> None:
        """Give it back."""
        ...


class Renewed(Protocol):
    """Renews a right, again and again, while something is done under it."""

    def __call__(self, renew: Callable[[], object], /, *, ttl: timedelta) -> AbstractAsyncContextManager[None]:
        """A block at whose end it is renewed no more."""
        ...


class IncidentHub(RecoveryHub, Protocol):
    """The hub, as far as an incident needs it beside the work on its steps."""

    @property
    def switchboard(self) -> Switchboard: ...
    @property
    def leases(self) -> Rights: ...
    @property
    def lease_clock(self) -> Clock: ...


class IncidentRoom(IncidentBoard):
    """The incidents of one hub, with the hands to work on them. ``sweep`` fetches missed events of a system, if any."""

    def __init__(
        self,
        hub: IncidentHub,
        book: IncidentBook,
        *,
        renewed: Renewed,
        sweep: SweepOne | None = None,
        lease: timedelta = WORK_LEASE,
    ) -> None:
        super().__init__(
            book,
            hub.state,
            switchboard=hub.switchboard,
            rulebook=lambda: hub.rulebook,
            clock=hub.clock,
            lease_clock=hub.lease_clock,
        )
        self._hub = hub
        self._sweep = sweep
        self._renewed = renewed
        self._lease = lease

    async def advance(self, *, actor: str, tell: Tell = tell_nobody) -> Standing:
        """Work on the step, then go on to the next where its exit holds.

        Raises NoIncident, IncidentBusy, IncidentMoved, and as the systems that are asked: the incident then stands
        where it stood.
        """
        return await self._alone(partial(self._advance, actor=actor, tell=tell, leave=step_forward))

    async def close(self, *, actor: str, tell: Tell = tell_nobody) -> Standing:
        """Work on the last step once more, then close where everything matches. Raises as ``advance``."""
        return await self._alone(partial(self._advance, actor=actor, tell=tell, leave=close))

    async def serve(self) -> Standing | None:
        """What a process that looks after the hub does for an incident: hold its stops, carry out what was asked."""
        incident = await off_loop(self.book.current)
        if incident is None:
            return None
        await off_loop(partial(self.move_switches, incident, incident.opened_by))
        if incident.asked is None:
            return None
        leave = close if incident.asked.closing else step_forward
        asked = incident.asked.by
        try:
            return await self._alone(partial(self._advance, actor=asked, tell=tell_nobody, leave=leave))
        except (IncidentBusy, IncidentMoved):
            return None  # somebody else is at it, and has the newer word
        except AccordantError as error:
            # Whoever asked reads why it did not go, and asks again once that is mended.
            return await off_loop(partial(self._give_up, incident, asked, str(error)))

    def _give_up(self, incident: Incident, actor: str, why: str) -> Standing:
        now = self._clock()
        kept = without_asked(incident)
        moment = moment_of(incident, actor, "stopped", f"The step could not be worked on. {why}", now)
        self.book.keep(kept, [moment], entry_of(kept, "stopped", actor, now))
        return self.standing_of(kept)

    async def _alone(self, act: Callable[[], Awaitable[Standing]]) -> Standing:
        leases = self._hub.leases

        def take() -> int | None:
            return leases.try_acquire(_RIGHT, ttl=self._lease, now=self._clock())

        token = await off_loop(take)
        if token is None:
            raise IncidentBusy
        try:
            # A step may take hours: a lease that ran out meanwhile would have another process begin it anew.
            async with self._renewed(take, ttl=self._lease):
                return await act()
        finally:
            await off_loop(partial(leases.release, _RIGHT, token=token))

    async def _advance(self, *, actor: str, tell: Tell, leave: Leave) -> Standing:
        incident = await off_loop(self.current)
        named(actor, "advanced")
        await off_loop(partial(self.move_switches, incident, actor))
        measured = await self._measure(incident, actor, tell)
        now = self._clock()
        outcome = leave(incident, measured, now=now)
        if isinstance(outcome, NotYet):
            kept = with_measured(incident, measured)
            told = f"Not left yet. {' '.join(outcome.exit.obstacles)}"
            await off_loop(
                partial(
                    self.book.keep,
                    kept,
                    [moment_of(incident, actor, "measured", told, now)],
                    entry_of(kept, "measured", actor, now, measured),
                )
            )
            return Standing(incident=kept, exit=outcome.exit)
        kind = "advanced" if outcome.closed_at is None else "closed"
        moments = [
            moment_of(incident, actor, "left", summary_of(measured), now),
            moment_of(outcome, actor, kind, "Closed: every record matches." if kind == "closed" else "Begun.", now),
        ]
        await off_loop(partial(self.book.keep, outcome, moments, entry_of(outcome, kind, actor, now, measured)))
        await off_loop(partial(self.move_switches, outcome, actor))
        return msgspec.structs.replace(await off_loop(partial(self.standing_of, outcome)), moved=True)

    async def _measure(self, incident: Incident, actor: str, tell: Tell) -> Measured:
        step = incident.step
        assert step is not None  # noqa: S101  a current incident has one; said for the type checker
        measured = Measured(step=step, taken_at=self._clock())
        if step.compares:
            worker = Worker(self._hub, incident, actor=actor, tell=tell, sweep=self._sweep)
            walked, expected, compared = await worker.work(step)
            measured = msgspec.structs.replace(
                measured,
                taken_at=self._clock(),
                expected=expected,
                compared=compared,
                walked=walked,
            )
        return await off_loop(partial(self.with_live, incident, measured))
