"""Access to Salesforce: an OAuth 2.0 token by signed assertion (JWT bearer, RFC 7523) or by client credentials.
Guarantees one token request at a time however many calls were refused, and that no secret is ever printed.
Next: connector.py, which makes one from settings.
"""

from __future__ import annotations

import base64
from datetime import datetime, timedelta
from typing import Protocol
from urllib.parse import urlencode

import msgspec
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256

from accordant.connectors.salesforce.wire import Json, decode, encode
from accordant.connectors.sdk.http import HttpAnswer, HttpClient
from accordant.connectors.sdk.renewal import RenewedHeader
from accordant.kernel.clock import Clock
from accordant.ports.connector import AuthorizationExpired, TargetUnavailable

TOKEN_PATH = "/services/oauth2/token"  # noqa: S105  an address, not a secret
ASSERTION_LIFE = timedelta(seconds=150)  # Salesforce allows three minutes; the rest is for a clock that is a little off
_JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_PASSING = frozenset({"server_error", "temporarily_unavailable", "unknown_error", "rate_limit_exceeded"})


class Grant(Protocol):
    """What is shown to get a token."""

    def form(self, now: datetime) -> tuple[tuple[str, str], ...]:
        """The members of the token request's form."""
        ...


class ClientCredentials:
    """A client with its secret; Salesforce acts as the user the connected app names."""

    def __init__(self, *, client_id: str, client_secret: str) -> None:
        self._client_id = client_id
        self._client_secret = client_secret

    def __repr__(self) -> str:
        return "ClientCredentials(***)"

    def form(self, now: datetime) -> tuple[tuple[str, str], ...]:  # noqa: ARG002  the other grant needs the time
        """The members of the token request's form."""
        return (
            ("grant_type", "client_credentials"),
            ("client_id", self._client_id),
            ("client_secret", self._client_secret),
        )


class JwtBearer:
    """A client that signs for a user it was approved for. ``audience`` names the login service, not the org."""

    def __init__(self, *, client_id: str, username: str, audience: str, private_key: RSAPrivateKey) -> None:
        self._claims = {"iss": client_id, "sub": username, "aud": audience}
        self._private_key = private_key

    def __repr__(self) -> str:
        return "JwtBearer(***)"

    def form(self, now: datetime) -> tuple[tuple[str, str], ...]:
        """The members of the token request's form, with a fresh assertion (RS256)."""
        claims = {**self._claims, "exp": int((now + ASSERTION_LIFE).timestamp())}
        signed = b".".join(_base64url(encode(part)) for part in ({"alg": "RS256", "typ": "JWT"}, claims))
        signature = self._private_key.sign(signed, PKCS1v15(), SHA256())
        return (("grant_type", _JWT_GRANT), ("assertion", b".".join((signed, _base64url(signature))).decode("ascii")))


class Authorizer(RenewedHeader):
    """Gives the ``Authorization`` header of a token. Salesforce does not say when a token ends."""

    def __init__(self, *, login: HttpClient, grant: Grant, clock: Clock) -> None:
        super().__init__(login)
        self._grant = grant
        self._clock = clock

    def __repr__(self) -> str:
        return f"Authorizer({self._login!r})"

    async def _renewed(self) -> dict[str, str]:
        answer = await self._login.send(
            "POST",
            TOKEN_PATH,
            body=urlencode(self._grant.form(self._clock())).encode("ascii"),
            content_type="application/x-www-form-urlencoded",
            headers={"Accept": "application/json"},
            writes=False,  # a second token beside the first harms nobody
        )
        body = _decoded(answer)
        if answer.status != 200:
            raise _refusal(answer.status, body)
        token = body.get("access_token")
        if not isinstance(token, str) or not token or not all("!" <= letter <= "~" for letter in token):
            raise TargetUnavailable("Salesforce's login service answered without an access token.")
        return {"Authorization": f"Bearer {token}"}


def _decoded(answer: HttpAnswer) -> dict[str, Json]:
    try:
        body = decode(answer.body)
    except msgspec.DecodeError:
        body = None
    return body if isinstance(body, dict) else {}


def _refusal(status: int, body: dict[str, Json]) -> AuthorizationExpired | TargetUnavailable:
    """The error of a refused token request, in the words of RFC 6749 5.2."""
    error = str(body.get("error") or f"status {status}")[:80]
    said = str(body.get("error_description") or "no reason given")[:200]
    if error in _PASSING:
        return TargetUnavailable(f"Salesforce's login service gave no access token: {error} ({said}).")
    return AuthorizationExpired(f"Salesforce's login service refuses this connection: {error} ({said}).")


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
