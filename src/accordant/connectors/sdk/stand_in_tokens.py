"""Tokens of a stand-in: access tokens that end, refresh tokens that rotate, and a client who says who he is.
Guarantees that a token which was used up is refused in the words of RFC 6749. Next: a connector's ``simulator.py``.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

from accordant.connectors.sdk.stand_in import Answer, Call

_NEVER = datetime.min.replace(tzinfo=UTC)


class TokenDesk:
    """Grants tokens to one client. ``grace`` is how long the former refresh token is still taken, ``says`` what the
    vendor tells beside every token.
    """

    def __init__(
        self,
        now: Callable[[], datetime],
        *,
        client: tuple[str, str],
        life: timedelta,
        grace: timedelta,
        says: Mapping[str, Any],
    ) -> None:
        self.refresh_token = "refresh-0"  # noqa: S105  a stand-in's
        self.granted = 0
        self._now = now
        self._client = client
        self._says = says
        self._life = life
        self._grace = grace
        self._former: tuple[str, datetime] | None = None
        self._tokens: dict[str, datetime] = {}

    def knows(self, call: Call) -> bool:
        """Whether a call shows a token that lives."""
        scheme, _, token = call.headers.get("authorization", "").partition(" ")
        return scheme == "Bearer" and self._tokens.get(token, _NEVER) > self._now()

    def expire_all(self) -> None:
        """End every session at once."""
        self._tokens.clear()

    def grant(self, call: Call) -> Answer:
        """Answer a request for a token."""
        form = dict(parse_qsl(call.body.decode()))
        if not self._is_client(call, form):
            return Answer(400, {"error": "invalid_client"})
        told: dict[str, Any] = {**self._says, "expires_in": int(self._life.total_seconds()), "token_type": "Bearer"}
        if form.get("grant_type") == "refresh_token":
            if not self._may_refresh(form.get("refresh_token", "")):
                return Answer(400, {"error": "invalid_grant"})
            self._former = (self.refresh_token, self._now() + self._grace)
            self.refresh_token = f"refresh-{self.granted + 1}"
            told["refresh_token"] = self.refresh_token
        elif form.get("grant_type") != "client_credentials":
            return Answer(400, {"error": "unsupported_grant_type"})
        self.granted += 1
        token = f"access-{self.granted}"
        self._tokens[token] = self._now() + self._life
        return Answer(200, {**told, "access_token": token})

    def _is_client(self, call: Call, form: Mapping[str, str]) -> bool:
        """By Basic authentication, or in the form: RFC 6749 2.3.1 has both, and the vendors' own clients differ."""
        shown = call.headers.get("authorization")
        if shown is None:
            return (form.get("client_id"), form.get("client_secret")) == self._client
        return shown == "Basic " + base64.b64encode(":".join(self._client).encode()).decode()

    def _may_refresh(self, token: str) -> bool:
        former = self._former
        return token == self.refresh_token or (former is not None and token == former[0] and self._now() < former[1])
