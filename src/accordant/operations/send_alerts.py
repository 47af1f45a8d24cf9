"""Sends the alerts that wait to the company's webhook, personal values covered; one that fails waits ever longer."""

from collections.abc import Sequence
from datetime import datetime, timedelta
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


async def send_alerts(queue: Queue, webhook: Webhook, *, company: str, now: datetime) -> int:
    """Send what is due; how many alerts there were."""
    due = queue.due(now=now, limit=_ALERTS_MAX)
    for alert_id, _, subject, body, attempts in due:
        try:
            await webhook.send(cover_text(f"{company}: {subject}\n{body}"))
        except AccordantError:
            queue.postpone(alert_id, until=now + _PAUSE * min(2**attempts, _PAUSES_MAX))
        else:
            queue.mark_sent(alert_id, now=now)
    return len(due)
