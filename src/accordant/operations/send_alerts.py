"""Sends the alerts that wait to the company's webhook, personal values covered; one that fails waits ever longer."""

from datetime import datetime, timedelta
from typing import Protocol

from accordant.kernel.errors import AccordantError
from accordant.kernel.masking import cover_text
from accordant.store.alerts import AlertQueue

_ALERTS_MAX = 20
_PAUSE = timedelta(seconds=30)
_PAUSES_MAX = 120


class Webhook(Protocol):
    """Where alerts go."""

    async def send(self, text: str) -> None:
        """Send one. Raises AccordantError when it did not arrive."""
        ...


async def send_alerts(queue: AlertQueue, webhook: Webhook, *, company: str, now: datetime) -> int:
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
