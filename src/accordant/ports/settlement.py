"""Payouts whose settlement is not known yet: where their movements are asked for."""

from collections.abc import Collection
from datetime import datetime
from typing import Protocol

from accordant.canonical.entities import Payout


class PayoutBook(Protocol):
    """What has to be known of the store to ask for settlements."""

    def paid(self, system: str, *, changed_since: datetime) -> tuple[Payout, ...]:
        """The payouts of a system that its bank has taken, as far as they changed since; the oldest first."""
        ...

    def unsettled(self, system: str, payout_ids: Collection[str]) -> frozenset[str]:
        """Those of these payouts of which no movement is known."""
        ...
