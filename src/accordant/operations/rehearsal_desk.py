"""Rehearsals of one hub: held at once, or ordered and held by whichever process comes first.

An order names a folder beside the charter in force, never a path: nobody reads a file of this machine through the
console. Next: `rehearse.py`.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

from accordant.canonical.rehearsal import Rehearsal, RehearsalOrder, RehearsalTicket, Walked
from accordant.kernel.clock import Clock
from accordant.kernel.errors import RejectedError
from accordant.kernel.ids import derived_id
from accordant.operations import rehearse as rehearsing
from accordant.pipeline.plan import Rulebook
from accordant.pipeline.work import Shield
from accordant.ports.connector import Inbound
from accordant.ports.rehearsal import History, RehearsalBook
from accordant.ports.state import State

#: A state to walk on, for an order by its id, and whether an earlier try left something in it.
Scratch = Callable[[str | None], AbstractContextManager[tuple[State, bool]]]


class NoCharterYet(RejectedError):
    """There is nothing to compare with."""

    remedy = "Run `accordant serve` once."


class RehearsalDesk:
    """Takes and holds rehearsals. ``folders`` names the charters there are; ``version_of`` reads one and checks it."""

    def __init__(
        self,
        book: RehearsalBook,
        clock: Clock,
        *,
        live: State,
        history: History,
        scratch: Scratch,
        in_force: Callable[[], Rulebook | None],
        proposed: Callable[[], Rulebook],
        connectors: Mapping[str, Inbound],
        shield: Shield,
        folders: Callable[[], tuple[str, ...]],
        version_of: Callable[[str], str],
    ) -> None:
        self.book = book
        self.folders = folders
        self._clock = clock
        self._live = live
        self._history = history
        self._scratch = scratch
        self._in_force = in_force
        self._proposed = proposed
        self._connectors = connectors
        self._shield = shield
        self._version_of = version_of

    def rehearse(
        self,
        order: RehearsalOrder,
        *,
        actor: str,
        ticket: RehearsalTicket | None = None,
        progress: rehearsing.Progress | None = None,
        tell: rehearsing.Tell | None = None,
    ) -> Rehearsal:
        """What this hub's charter would change if it came into force now. Raises RejectedError before the first.

        With a ``ticket`` it goes on where an earlier try of the same rehearsal was interrupted on this machine.
        """
        in_force = self._known()
        with self._scratch(None if ticket is None else ticket.id) as (empty, was_there):
            stage = rehearsing.Stage(
                live=self._live,
                empty=empty,
                history=self._history,
                book=self.book,
                in_force=in_force,
                proposed=self._proposed(),
                connectors=self._connectors,
                shield=self._shield,
                walked=(self.book.walked(ticket.id) if ticket is not None and was_there else None) or Walked(),
            )
            return rehearsing.rehearse(
                stage, order, actor=actor, clock=self._clock, ticket=ticket, progress=progress, tell=tell
            )

    def hold(self, run_id: str, *, progress: rehearsing.Progress | None = None) -> Rehearsal:
        """Hold what was ordered, by this hub's charter. What is in the way is kept for whoever ordered it.

        Raises: RejectedError.
        """
        ticket = self.book.find_order(run_id)
        if ticket is None:
            raise RejectedError(f"No rehearsal {run_id[:80]!r} waits.", remedy="Order it in the console.")
        try:
            version = self._proposed().version
            if version != ticket.after:
                raise RejectedError(
                    f"The folder {ticket.folder} holds charter {version} by now, not {ticket.after}.",
                    remedy="Order it again.",
                )
            return self.rehearse(ticket.order, actor=ticket.actor, ticket=ticket, progress=progress)
        except RejectedError as error:
            self.book.end(run_id, problem=str(error), at=self._clock())
            raise

    def order(self, folder: str, order: RehearsalOrder, *, actor: str) -> str:
        """Order a rehearsal of the charter in ``folder``; its id.

        Raises: RejectedError, and CharterInvalid with every defect of the folder.
        """
        if folder not in self.folders():
            raise RejectedError(
                f"There is no charter {folder[:80]!r} beside the one in force.",
                remedy=f"Folders with a charter: {', '.join(self.folders()) or 'none'}.",
            )
        before, at, after = self._known().version, self._clock(), self._version_of(folder)
        ticket = RehearsalTicket(
            id=derived_id("reh", after, actor, at.isoformat()),
            folder=folder,
            before=before,
            after=after,
            actor=actor,
            ordered_at=at,
            order=order,
        )
        self.book.order(ticket)
        return ticket.id

    def stop(self, run_id: str, *, actor: str) -> bool:
        """End a rehearsal before its end; False when it had ended."""
        return self.book.end(run_id, problem=f"{actor} stopped it.", at=self._clock())

    def _known(self) -> Rulebook:
        found = self._in_force()
        if found is None:
            raise NoCharterYet("No charter was in force here yet.")
        return found
