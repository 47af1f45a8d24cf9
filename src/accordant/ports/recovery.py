"""What a recovery reads and keeps, as one: dead letters, described patterns, the past, replays."""

from typing import Protocol

from accordant.ports.patterns import PatternBook
from accordant.ports.redrive import DeadLetters
from accordant.ports.replay import ReplayBook, ReplayHistory


class RecoveryShelves(Protocol):
    """Where each of them is kept."""

    @property
    def letters(self) -> DeadLetters:
        """Dead letters."""
        ...

    @property
    def patterns(self) -> PatternBook:
        """Described error patterns."""
        ...

    @property
    def history(self) -> ReplayHistory:
        """Settled events."""
        ...

    @property
    def replays(self) -> ReplayBook:
        """Replays and how far they are."""
        ...
