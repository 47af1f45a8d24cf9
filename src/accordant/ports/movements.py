"""What is kept of how recurring revenue moved, and whose may have moved since."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Protocol

from accordant.analytics.movements import MovedRevenue


class MovementBook(Protocol):
    """Obligations: what was counted is kept together with the note that its account is to be decided again."""

    def told_since(self, place: int) -> tuple[str, ...]:
        """Accounts of whose subscriptions something was observed behind this place, whether or not it was news."""
        ...

    def place_at(self, moment: datetime, *, after: int) -> int:
        """The last place that was recorded by a moment; ``after`` where there is none behind it."""
        ...

    def due(self, now: datetime) -> tuple[str, ...]:
        """Accounts whose revenue the calendar alone may have moved by now."""
        ...

    def of(self, account_ids: Iterable[str]) -> dict[str, MovedRevenue]:
        """What was counted of these accounts; those never counted are absent."""
        ...

    def keep(self, counted: Mapping[str, MovedRevenue], *, changed: Iterable[str], now: datetime) -> None:
        """Keep what was counted, and that those it ``changed`` for are to be decided again."""
        ...
