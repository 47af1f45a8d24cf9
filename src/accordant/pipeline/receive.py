"""Room 2, the inbox: a delivery is proved and identified; then it is stored, before anybody answers.

The proof is over the untouched bytes, before any parsing. Next: `pipeline/process.py`.
"""

from collections.abc import Mapping
from datetime import datetime

import msgspec

from accordant.kernel.hashing import digest
from accordant.ports.connector import Inbound
from accordant.ports.inbox import Arrival

#: Kept beside the body: what proves the delivery and what a support engineer asks for. Cookies and tokens are not.
_HEADERS_DROPPED = frozenset({"authorization", "cookie", "proxy-authorization"})


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """A connection the door admits.

    ``secrets`` holds the current signing secret and those being retired, never none; ``deliveries_per_s`` is the rate
    at which its sender is asked to slow down.
    """

    name: str
    inbound: Inbound
    secrets: tuple[bytes, ...]
    deliveries_per_s: int


def receive(*, connection: Connection, headers: Mapping[str, str], body: bytes, now: datetime) -> Arrival:
    """Verify and identify one delivery.

    Raises: SignatureInvalid. A body that is signed but unusable is not refused: it gets an envelope that says so, is
    kept, and is quarantined by the interpreter.
    """
    connection.inbound.verify(headers=headers, body=body, secrets=connection.secrets, now=now)
    kept = {name: value for name, value in headers.items() if name not in _HEADERS_DROPPED}
    return Arrival(
        connection=connection.name,
        envelope=connection.inbound.read_envelope(body),
        headers=msgspec.json.encode(kept),
        body=body,
        digest=digest(body),
        received_at=now,
    )
