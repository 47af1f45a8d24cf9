"""Access tokens of the Salesforce stand-in: JWT bearer and client credentials, with expiry.
Guarantees that a token is only given for a good signature and good claims, in Salesforce's own words otherwise.
Next: simulator.py.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import parse_qsl

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from accordant.connectors.salesforce.simulator_fields import Json

JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
# The vendor allows an assertion three minutes; a clock may be a little off.
ASSERTION_LIFETIME_MAX = timedelta(minutes=3, seconds=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectedApp:
    """The client the stand-in knows. ``public_key_pem`` switches the JWT grant on."""

    client_id: str = "EXAMPLE-CLIENT"
    client_secret: str = "EXAMPLE-SECRET"  # noqa: S105 - a stand-in's well-known toy secret
    public_key_pem: str = ""
    run_as: str = "integration@example.com"
    users: tuple[str, ...] = ("integration@example.com",)
    audiences: tuple[str, ...] = ("https://login.salesforce.com", "https://test.salesforce.com")


@dataclass(slots=True)
class Token:
    """One session. ``calls_left`` counts down; ``None`` never runs out by calls."""

    user: str
    expires_at: datetime
    calls_left: int | None


class GrantRefused(Exception):
    """A token request that is answered with an OAuth error."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(f"{error}: {description}")
        self.error = error
        self.description = description


class Tokens:
    """Gives tokens, and says whose they are until they end."""

    def __init__(self, app: ConnectedApp, now: Callable[[], datetime], make: Callable[[], str]) -> None:
        self.app = app
        self.lifetime = timedelta(hours=2)
        self.calls_max: int | None = None
        self.granted = 0
        self._now = now
        self._make = make
        self._held: dict[str, Token] = {}

    def issue(self, user: str) -> str:
        """A new session id for a user, as after a login."""
        text = f"00DSiM000000001!{self._make()}"
        self._held[text] = Token(user, self._now() + self.lifetime, self.calls_max)
        self.granted += 1
        return text

    def expire_all(self) -> None:
        """End every session at once."""
        self._held.clear()

    def user_of(self, authorization: str) -> str | None:
        """User of a Bearer (or old OAuth) header, or ``None`` when the session is unknown or over. Counts the call."""
        scheme, _, text = authorization.partition(" ")
        token = self._held.get(text) if scheme in ("Bearer", "OAuth") else None
        if token is None or token.expires_at <= self._now() or token.calls_left == 0:
            return None
        if token.calls_left is not None:
            token.calls_left -= 1
        return token.user

    def grant(self, body: str, authorization: str) -> str:
        """Answer a token request with the user it is for. Raises ``GrantRefused``."""
        form = dict(parse_qsl(body, keep_blank_values=True))
        kind = form.get("grant_type", "")
        if kind == "client_credentials":
            return self._by_secret(form, authorization)
        if kind == JWT_GRANT:
            return self._by_assertion(form.get("assertion", ""))
        raise GrantRefused("unsupported_grant_type", "grant type not supported")

    def _by_secret(self, form: dict[str, str], authorization: str) -> str:
        given = (form.get("client_id", ""), form.get("client_secret", ""))
        if authorization.startswith("Basic "):
            try:
                name, _, secret = base64.b64decode(authorization[6:], validate=True).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError):
                raise GrantRefused("invalid_client", "invalid client credentials") from None
            given = (name, secret)
        if given[0] != self.app.client_id:
            raise GrantRefused("invalid_client_id", "client identifier invalid")
        if given[1] != self.app.client_secret:
            raise GrantRefused("invalid_client", "invalid client credentials")
        return self.app.run_as

    def _by_assertion(self, assertion: str) -> str:
        claims = self._verified(assertion)
        if claims.get("iss") != self.app.client_id:
            raise GrantRefused("invalid_client_id", "client identifier invalid")
        audience = claims.get("aud")
        if audience not in self.app.audiences:
            raise GrantRefused("invalid_grant", "audience is invalid")
        expires = claims.get("exp")
        ends = float(expires) if isinstance(expires, int | float) else 0.0
        left = timedelta(seconds=ends - self._now().timestamp())
        if left <= timedelta(0):
            raise GrantRefused("invalid_grant", "assertion has expired")
        if left > ASSERTION_LIFETIME_MAX:
            raise GrantRefused("invalid_grant", "invalid assertion: exp is too far in the future")
        subject = claims.get("sub")
        if not isinstance(subject, str) or subject not in self.app.users:
            raise GrantRefused("invalid_grant", "user hasn't approved this consumer")
        return subject

    def _verified(self, assertion: str) -> dict[str, Json]:
        key = load_pem_public_key(self.app.public_key_pem.encode()) if self.app.public_key_pem else None
        try:
            head, payload, signature = assertion.split(".")
            if not isinstance(key, RSAPublicKey) or json.loads(_decoded(head)).get("alg") != "RS256":
                raise GrantRefused("invalid_grant", "invalid assertion")
            key.verify(_decoded(signature), f"{head}.{payload}".encode(), PKCS1v15(), SHA256())
            claims = json.loads(_decoded(payload))
        except (ValueError, InvalidSignature):
            raise GrantRefused("invalid_grant", "invalid assertion") from None
        return claims if isinstance(claims, dict) else {}


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
