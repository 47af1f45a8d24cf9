"""What was fetched from a provider instead of delivered by it, as an arrival for the inbox."""

from datetime import datetime

import msgspec

from accordant.kernel.hashing import digest
from accordant.ports.connector import Envelope
from accordant.ports.inbox import Arrival, Proof

#: Kept beside it in the place of a delivery's headers.
_HOW_IT_CAME = msgspec.json.encode({"proof": "fetched from the provider's API with the connection's own key"})


def fetched(system: str, envelope: Envelope, body: bytes, *, now: datetime) -> Arrival:
    """The arrival of one body that our own call brought."""
    return Arrival(
        connection=system,
        envelope=envelope,
        headers=_HOW_IT_CAME,
        body=body,
        digest=digest(body),
        received_at=now,
        proof=Proof.FETCHED,
    )
