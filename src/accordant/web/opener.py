"""How people open records: wires `operations/release.py` to one hub, for the console and the command line."""

from typing import Protocol

from accordant.kernel.clock import Clock
from accordant.operations.release import ReleaseOrder, release
from accordant.pipeline.dispatch import opening_asker
from accordant.pipeline.plan import Rulebook
from accordant.store.engine import Database
from accordant.store.openings import SqlOpeningBook
from accordant.store.state import SqlState
from accordant.views.openings import waiting_write


class OpeningHub(Protocol):
    """What is needed of a hub."""

    @property
    def database(self) -> Database:
        """The store."""

    @property
    def state(self) -> SqlState:
        """What is known."""

    @property
    def rulebook(self) -> Rulebook:
        """The charter in force, made ready."""

    @property
    def clock(self) -> Clock:
        """The time."""

    def replan_accounts(self, *, account_ids: tuple[str, ...] | None) -> int:
        """Decide again for these; how many."""


def release_opening(hub: OpeningHub, order: ReleaseOrder) -> None:
    """Keep a person's release, and decide again at once what it lets go. Raises ReleaseRefused."""
    release(
        order,
        waiting=waiting_write(hub.database, order.record),
        rulebook=hub.rulebook,
        ask=opening_asker(hub.state, hub.rulebook, hub.clock),
        book=SqlOpeningBook(hub.database),
        replan=lambda root_id: hub.replan_accounts(account_ids=(root_id,)),
        now=hub.clock(),
    )
