"""Carries alerts to a Slack-compatible incoming webhook: one POST of `{"text": ...}`, https://api.slack.com/messaging/webhooks.

The address is itself a secret: it never appears in a message or a log.
"""

from urllib.parse import urlsplit

import msgspec

from accordant.connectors.sdk.addresses import AddressPolicy
from accordant.connectors.sdk.http import HttpClient
from accordant.kernel.clock import Clock
from accordant.kernel.errors import ConfigurationError
from accordant.ports.connector import TargetUnavailable

_RATE_PER_S = 1  # Slack's own limit for incoming webhooks
_OK = 200


class AlertWebhook:
    """One webhook; ``send`` raises TransientError when the alert has to be tried again."""

    def __init__(self, url: str, *, clock: Clock, addresses: AddressPolicy) -> None:
        """Raises ConfigurationError when ``url`` is not an address the hub may call."""
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ConfigurationError(
                "alerts.slack_webhook is not a web address.", remedy="Copy the incoming webhook's address from Slack."
            )
        self._path = parts.path or "/"
        self._client = HttpClient(
            f"{parts.scheme}://{parts.netloc}", clock=clock, rate_per_s=_RATE_PER_S, burst=10, addresses=addresses
        )

    async def send(self, text: str) -> None:
        """Post one alert. Raises TransientError, or ConfigurationError when the webhook says it does not exist."""
        answer = await self._client.send(
            "POST", self._path, body=msgspec.json.encode({"text": text}), content_type="application/json"
        )
        if answer.status in {403, 404, 410}:
            raise ConfigurationError(
                "The alert webhook no longer exists.",
                remedy="Create a new incoming webhook and set alerts.slack_webhook.",
            )
        if answer.status != _OK:
            raise TargetUnavailable(f"The alert webhook answered {answer.status}.")

    async def close(self) -> None:
        """Release connections."""
        await self._client.close()
