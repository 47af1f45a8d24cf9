"""Sends the alerts that wait to the company's webhook, personal values covered; one that fails waits ever longer.

A chat takes about one message a second: what is of one kind and waits together is one message, so that ten flows that
are late do not stand before the one record that needs a person.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Protocol

from accordant.kernel.errors import AccordantError
from accordant.kernel.masking import cover_text

_ALERTS_MAX = 20
_PAUSE = timedelta(seconds=30)
_PAUSES_MAX = 120


class Queue(Protocol):
    """The alerts that wait. A waiting one is (id, kind, subject, body, attempts)."""

    def due(self, *, now: datetime, limit: int) -> Sequence[tuple[int, str, str, str, int]]:
        """Those whose time has come, oldest first."""
        ...

    def postpone(self, alert_id: int, *, until: datetime) -> None:
        """Try again later."""
        ...

    def mark_sent(self, alert_id: int, *, now: datetime) -> None:
        """It arrived."""
        ...


class Webhook(Protocol):
    """Where alerts go."""

    async def send(self, text: str) -> None:
        """Send one. Raises AccordantError when it did not arrive."""
        ...


async def send_alerts(
    queue: Queue, webhook: Webhook, *, company: str, at_stake: Callable[[], Awaitable[str]], now: datetime
) -> int:
    """Send what is due; how many alerts there were.

    Each message ends with what is at stake just now, in customers and money, so that who is woken sees how much hangs
    on it. ``at_stake`` is asked only when there is something to send.
    """
    due = sorted(queue.due(now=now, limit=_ALERTS_MAX), key=lambda one: one[1])
    stake = await at_stake() if due else ""
    for _, alike in groupby(due, key=lambda one: one[1]):
        told = sorted(alike)
        try:
            said = [f"{company}: {one[2]}\n{one[3]}" for one in told]
            await webhook.send(cover_text("\n".join([*said, stake] if stake else said)))
        except AccordantError:
            for alert_id, *_, attempts in told:
                queue.postpone(alert_id, until=now + _PAUSE * min(2**attempts, _PAUSES_MAX))
        else:
            for one in told:
                queue.mark_sent(one[0], now=now)
    return len(due)
