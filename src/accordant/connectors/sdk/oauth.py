"""Tokens of OAuth 2.0 for systems that know a client by Basic authentication: client credentials, or a refresh token.
Guarantees that a rotated refresh token is on disk before the access token beside it is used, and that processes which
share a file renew it one after the other. Source: RFC 6749 4.4, 5.2 and 6. Next: a connector's ``connector.py``.
"""

from __future__ import annotations

import asyncio
import base64
import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec

from accordant.connectors.sdk.http import HttpAnswer, HttpClient
from accordant.connectors.sdk.renewal import RenewedHeader
from accordant.kernel.clock import Clock
from accordant.kernel.errors import ConfigurationError
from accordant.ports.connector import AuthorizationExpired, TargetUnavailable

#: A token is not used in the last minute of its life.
MARGIN = timedelta(seconds=60)
_PASSING = frozenset({"server_error", "temporarily_unavailable"})
_OWNER_ONLY = 0o600
_SCOPE_REMEDY = "Renew the consent of this connection and its refresh token; its writes wait until then."


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What a token file holds. ``access_token`` is None before the first renewal; ``ends_at`` is when it ends."""

    refresh_token: str
    access_token: str | None = None
    ends_at: datetime | None = None


class TokenFile:
    """A file with the tokens of one connection, shared by all processes of an installation."""

    def __init__(self, path: Path, *, first: str) -> None:
        """``first`` is the refresh token to begin with, where the file is not there yet."""
        self._path = path
        self._first = first

    def __repr__(self) -> str:
        return f"TokenFile({self._path})"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else renews meanwhile. Raises ConfigurationError where the folder cannot be written to."""
        try:
            handle = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, _OWNER_ONLY)
        except OSError as error:
            raise self._wrong(error) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def read(self) -> Kept:
        """What is kept now. Raises ConfigurationError."""
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Kept)
        except FileNotFoundError:
            return Kept(refresh_token=self._first)
        except (OSError, msgspec.DecodeError, msgspec.ValidationError) as error:
            raise self._wrong(error) from error

    def write(self, kept: Kept) -> None:
        """Replace the file as a whole, on disk before this returns. Raises ConfigurationError."""
        fresh = self._path.with_suffix(".new")
        try:
            handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _OWNER_ONLY)
            with os.fdopen(handle, "wb") as file:
                file.write(msgspec.json.encode(kept))
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._path)
            folder = os.open(self._path.parent, os.O_RDONLY)
            os.fsync(folder)
            os.close(folder)
        except OSError as error:
            raise self._wrong(error) from error

    def _wrong(self, error: Exception) -> ConfigurationError:
        return ConfigurationError(
            f"The token file {self._path} cannot be used: {type(error).__name__}.",
            remedy="Name a file in a folder that the hub may write to and nobody else may read; "
            "one that is damaged is deleted, and begun again from the setting refresh_token.",
        )


class OAuthHeader(RenewedHeader):
    """Gives the ``Authorization`` header of a token; with ``tokens`` by a refresh token that rotates."""

    def __init__(
        self,
        *,
        login: HttpClient,
        title: str,
        path: str,
        client_id: str,
        client_secret: str,
        clock: Clock,
        scopes: str = "",
        tokens: TokenFile | None = None,
    ) -> None:
        """``title`` is the vendor's name for people, ``path`` that of its token endpoint under ``login``'s address."""
        super().__init__(login)
        self._title = title
        self._path = path
        proof = base64.b64encode(f"{client_id}:{client_secret}".encode()).decode("ascii")
        self._client = {"Authorization": f"Basic {proof}", "Accept": "application/json"}
        self._clock = clock
        self._scopes = scopes
        self._tokens = tokens

    def __repr__(self) -> str:
        return f"OAuthHeader({self._login!r})"

    async def _renewed(self) -> Mapping[str, str]:
        if self._tokens is None:
            form = {"grant_type": "client_credentials"} | ({"scope": self._scopes} if self._scopes else {})
            return _bearer(str((await self._asked(form))["access_token"]))
        return await self._refreshed(self._tokens)

    async def _refreshed(self, tokens: TokenFile) -> Mapping[str, str]:
        """The token that is kept, where another process renewed it; else a new one, kept before it is used."""
        lock = tokens.locked()
        await asyncio.to_thread(lock.__enter__)
        try:
            kept = tokens.read()
            if kept.access_token is not None and kept.access_token != self._given and self._lives(kept):
                self._given = kept.access_token
                return _bearer(kept.access_token)
            asked_at = self._clock()
            told = await self._asked({"grant_type": "refresh_token", "refresh_token": kept.refresh_token})
            life = told.get("expires_in")
            kept = Kept(
                refresh_token=str(told.get("refresh_token") or kept.refresh_token),
                access_token=str(told["access_token"]),
                ends_at=asked_at + timedelta(seconds=int(life)) if isinstance(life, int | float) else None,
            )
            tokens.write(kept)
        finally:
            lock.__exit__(None, None, None)
        self._given = kept.access_token
        return _bearer(str(kept.access_token))

    #: The access token that this process gave out last: asked again, it was refused.
    _given: str | None = None

    def _lives(self, kept: Kept) -> bool:
        return kept.ends_at is not None and kept.ends_at - MARGIN > self._clock()

    async def _asked(self, form: Mapping[str, str]) -> dict[str, Any]:
        """The answer to a token request. Raises AuthorizationExpired, RateLimited, TargetUnavailable."""
        answer = await self._login.send(
            "POST",
            self._path,
            body=urlencode(form).encode("ascii"),
            content_type="application/x-www-form-urlencoded",
            headers=self._client,
            writes=False,  # a token beside another harms nobody; a rotated one is asked for under a lock
        )
        told = _decoded(answer)
        if answer.status != 200:
            raise self._refusal(answer.status, told)
        token = told.get("access_token")
        if not isinstance(token, str) or not token or not all("!" <= letter <= "~" for letter in token):
            raise TargetUnavailable(f"{self._title}'s login service answered without an access token.")
        return told

    def _refusal(self, status: int, told: Mapping[str, Any]) -> AuthorizationExpired | TargetUnavailable:
        error = str(told.get("error") or f"status {status}")[:80]
        said = str(told.get("error_description") or "no reason given")[:200]
        if error in _PASSING:
            return TargetUnavailable(f"{self._title}'s login service gave no access token: {error} ({said}).")
        return AuthorizationExpired(
            f"{self._title}'s login service refuses this connection: {error} ({said}).", remedy=_SCOPE_REMEDY
        )


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _decoded(answer: HttpAnswer) -> dict[str, Any]:
    try:
        told = msgspec.json.decode(answer.body)
    except msgspec.DecodeError:
        return {}
    return told if isinstance(told, dict) else {}
