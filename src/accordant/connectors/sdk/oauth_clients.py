"""The two HTTP clients of a connection by OAuth 2.0: one that asks for tokens, and one that calls with them.
Guarantees that no token is asked for twice in a row, since a rotated one may be lost with its answer.
Next: a connector's ``connector.py``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from accordant.connectors.sdk.addresses import AddressPolicy
from accordant.connectors.sdk.http import DEFAULT_TIMEOUTS, PUBLIC_ONLY, HttpClient, Recorder, Timeouts
from accordant.connectors.sdk.oauth import OAuthHeader, TokenFile
from accordant.kernel.clock import Clock

LOGINS_PER_S = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Calling:
    """How a connection is called, besides its settings. Units: calls a second; ``sleep`` takes seconds."""

    clock: Clock
    rate_per_s: float
    timeouts: Timeouts = DEFAULT_TIMEOUTS
    addresses: AddressPolicy = PUBLIC_ONLY
    recorder: Recorder | None = None
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What one proves oneself with, and where. ``path`` is that of the token endpoint."""

    title: str
    login_url: str
    path: str
    client_id: str
    client_secret: str
    scopes: str = ""
    tokens: TokenFile | None = None


def oauth_clients(
    access: Access, calling: Calling, *, url: str, at_once_max: int, headers: Mapping[str, str] | None = None
) -> tuple[HttpClient, OAuthHeader]:
    """The client that calls ``url``, at most ``at_once_max`` calls at once, and the header that it shows."""
    login = HttpClient(
        access.login_url,
        clock=calling.clock,
        rate_per_s=LOGINS_PER_S,
        burst=3,
        timeouts=calling.timeouts,
        addresses=calling.addresses,
        read_attempts_max=1,
        sleep=calling.sleep,
    )
    session = OAuthHeader(
        login=login,
        title=access.title,
        path=access.path,
        client_id=access.client_id,
        client_secret=access.client_secret,
        clock=calling.clock,
        scopes=access.scopes,
        tokens=access.tokens,
    )
    http = HttpClient(
        url,
        clock=calling.clock,
        rate_per_s=calling.rate_per_s,
        timeouts=calling.timeouts,
        headers=headers,
        authorize=session,
        recorder=calling.recorder,
        addresses=calling.addresses,
        connections_max=at_once_max,
        sleep=calling.sleep,
    )
    return http, session
