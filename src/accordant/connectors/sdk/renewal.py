"""A header that proves who we are until it is refused: kept, then made anew, once however many calls were refused.
Guarantees that one renewal is under way at a time. Next: a connector's own way in, which says how one is made.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping

from accordant.connectors.sdk.http import HttpClient


class RenewedHeader(ABC):
    """Gives the ``Authorization`` header; an ``accordant.connectors.sdk.http.Authorize``. ``login`` asks for a new one.

    For systems that do not say when a proof ends: it is used until it is refused.
    """

    def __init__(self, login: HttpClient) -> None:
        self._login = login
        self._proof: Mapping[str, str] | None = None
        self._renewing = asyncio.Lock()

    async def __call__(self, *, refused: Mapping[str, str] | None) -> Mapping[str, str]:
        """The header for the next call. ``refused`` is the one just refused, None on a first try.

        Raises: AuthorizationExpired, RateLimited, TargetUnavailable.
        """
        async with self._renewing:
            # Whoever waited here behind a renewal finds another header than the refused one, and takes it.
            if self._proof is None or self._proof == refused:
                self._proof = None
                self._proof = await self._renewed()
            return self._proof

    @property
    def proof(self) -> Mapping[str, str] | None:
        """The header in use, or None before the first call."""
        return self._proof

    async def close(self) -> None:
        """Release connections to the login service."""
        await self._login.close()

    @abstractmethod
    async def _renewed(self) -> Mapping[str, str]:
        """A new header. Raises as a call."""
