"""Room 2, the inbox: a delivery is proved to be its provider's and identified; then it is stored before anybody answers.

The proof is over the untouched bytes, before any parsing. Next: `pipeline/process.py`.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from accordant.kernel.hashing import digest
from accordant.ports.connector import Inbound
from accordant.ports.inbox import Arrival

#: Kept beside the body: what proves the delivery and what a support engineer asks for. Cookies and tokens are not.
_HEADERS_DROPPED = frozenset({"authorization", "cookie", "proxy-authorization"})


def receive(
    *,
    connection: str,
    connector: Inbound,
    headers: Mapping[str, str],
    body: bytes,
    secrets: Sequence[bytes],
    now: datetime,
) -> Arrival:
    """Verify and identify one delivery.

    Raises: SignatureInvalid. A body that is signed but unusable is not refused: it gets an envelope that says so, is kept,
    and is quarantined by the interpreter.
    """
    connector.verify(headers=headers, body=body, secrets=secrets, now=now)
    kept = {name: value for name, value in headers.items() if name not in _HEADERS_DROPPED}
    return Arrival(
        connection=connection,
        envelope=connector.read_envelope(body),
        headers=msgspec.json.encode(kept),
        body=body,
        digest=digest(body),
        received_at=now,
    )
