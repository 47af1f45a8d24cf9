"""Who may see the console and change something through it: host check, sign-in, roles, CSRF token, origin, headers.

On loopback nobody signs in until people have tokens. Every change is a POST of this very origin, bound to its visitor.
"""

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from typing import Protocol
from urllib.parse import urlsplit

from itsdangerous import BadSignature, TimestampSigner, URLSafeTimedSerializer

from accordant.canonical.people import Person
from accordant.governance.access import AccessRefused, Act, demand
from accordant.kernel.errors import RejectedError

VISIT_COOKIE = "accordant_visit"
SESSION_COOKIE = "accordant_session"
SESSION_SECONDS_MAX = 12 * 3600
CSRF_SECONDS_MAX = 12 * 3600
LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]", "::1"})
#: Wrong tokens in a row before everybody waits: the budget is the console's, so no visitor can lock out one other.
WRONG_TOKENS_MAX = 10
WRONG_TOKENS_PAUSE_S = 30.0
#: What a session of the token that everybody shares begins with; ids of persons are hexadecimal.
_SHARED = "shared-"

HEADERS: Mapping[str, str] = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # Not no-referrer: that would make browsers send "Origin: null" with our own forms.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


def is_host_allowed(host: str | None, allowed: frozenset[str]) -> bool:
    """Whether a Host header names this console: a name that a stranger points at our address is refused."""
    if not host:
        return False
    name = host.lower().rstrip(".")
    bare = name.partition("]")[0] + "]" if name.startswith("[") else name.partition(":")[0]
    return bare in allowed


def is_same_origin(headers: Mapping[str, str], host: str | None) -> bool:
    """Whether a form came from a page of this console. A browser says where a POST comes from; silence is refused."""
    site = headers.get("sec-fetch-site")
    if site is not None and site != "same-origin":
        return False
    origin = headers.get("origin")
    if origin is None:
        return site == "same-origin"
    return host is not None and urlsplit(origin).netloc.lower() == host.lower()


class People(Protocol):
    """What the gate needs of the people of the hub."""

    @property
    def is_configured(self) -> bool:
        """Whether people have tokens here."""
        ...

    def identify(self, token: str) -> Person:
        """Who a token belongs to. Raises RejectedError."""
        ...

    def holder(self, token_id: str) -> Person | None:
        """The person of a session, as long as the token is active."""
        ...


class Gatekeeper:
    """Signs and checks cookies and form tokens. A session is good for as long as its token is."""

    def __init__(self, key: bytes, console_token: str | None, people: People) -> None:
        """``key`` signs; the one ``console_token`` names nobody."""
        self._people = people
        self._shared = None if console_token is None else hashlib.sha256(_bytes(console_token)).hexdigest()
        self._sessions = TimestampSigner(key, salt="session")
        self._visits = TimestampSigner(key, salt="visit")
        self._forms = URLSafeTimedSerializer(key, salt="form")
        self._wrong = 0
        self._closed_until = 0.0

    @property
    def asks_for_token(self) -> bool:
        """Whether visitors sign in."""
        return self._shared is not None or self._people.is_configured

    def new_visit(self) -> str:
        """The value of a new visitor's cookie."""
        return self._visits.sign(secrets.token_urlsafe(18)).decode()

    def visit_of(self, cookie: str | None) -> str | None:
        """The visitor in a cookie, or None when it is absent, forged or old."""
        return self._unsigned(self._visits, cookie, CSRF_SECONDS_MAX)

    def form_token(self, visit: str) -> str:
        """The token a form of this visitor carries."""
        return self._forms.dumps(visit)

    def is_form_token(self, token: str, visit: str | None) -> bool:
        """Whether ``token`` was made for this visitor, lately."""
        try:
            owner = self._forms.loads(token, max_age=CSRF_SECONDS_MAX)
        except BadSignature:
            return False
        return visit is not None and isinstance(owner, str) and hmac.compare_digest(owner.encode(), visit.encode())

    def sign_in(self, token: str, *, at_s: float) -> str | None:
        """The session cookie for the right token; None for a wrong one, or after too many. ``at_s``: Unix time."""
        if not self.asks_for_token or at_s < self._closed_until:
            return None
        owner = self._owner_of(token)
        if owner is None:
            self._wrong += 1
            if self._wrong >= WRONG_TOKENS_MAX:
                self._wrong, self._closed_until = 0, at_s + WRONG_TOKENS_PAUSE_S
            return None
        self._wrong = 0
        return self._sessions.sign(f"{secrets.token_urlsafe(18)}~{owner}").decode()

    def _owner_of(self, token: str) -> str | None:
        """The id of a person's token, or what stands for the shared one."""
        given = hashlib.sha256(_bytes(token)).hexdigest()
        if self._shared is not None and hmac.compare_digest(given, self._shared):
            return f"{_SHARED}{given[:16]}"
        try:
            return self._people.identify(token).id
        except RejectedError:
            return None

    def wait_s(self, at_s: float) -> float:
        """How long nobody may try a token; 0 when anybody may."""
        return max(0.0, self._closed_until - at_s)

    def is_signed_in(self, cookie: str | None) -> bool:
        """Whether this visitor may see the console."""
        return not self.asks_for_token or self._is_shared(cookie) or self.person_of(cookie) is not None

    def person_of(self, cookie: str | None) -> Person | None:
        """Who is signed in; None where nobody is, or with the token that names nobody, or one that was revoked."""
        owner = self._session_of(cookie)
        return None if owner is None or owner.startswith(_SHARED) else self._people.holder(owner)

    def refusal(self, cookie: str | None, act: Act) -> str:
        """Why this visitor may not do ``act``; empty where they may. Nobody who is unnamed acts beside named people."""
        person = self.person_of(cookie)
        if person is not None:
            try:
                demand(person, act)
            except AccessRefused as error:
                return str(error)
            return ""
        if self._people.is_configured and act is not Act.LOOK:
            return "The console's token only looks, since people have tokens of their own. Sign in with yours."
        return ""

    def _is_shared(self, cookie: str | None) -> bool:
        owner = self._session_of(cookie)
        return owner is not None and self._shared is not None and owner == f"{_SHARED}{self._shared[:16]}"

    def _session_of(self, cookie: str | None) -> str | None:
        session = self._unsigned(self._sessions, cookie, SESSION_SECONDS_MAX)
        return None if session is None else session.rpartition("~")[2]

    @staticmethod
    def _unsigned(signer: TimestampSigner, cookie: str | None, seconds_max: int) -> str | None:
        if cookie is None:
            return None
        try:
            return signer.unsign(cookie, max_age=seconds_max).decode()
        except (BadSignature, UnicodeDecodeError):
            return None


def _bytes(token: str) -> bytes:
    return token.encode("utf-8", "surrogatepass")
