"""What Tryton says of what customers owe, into the hub's words. Pure: bytes in, observations out.
Guarantees that nothing which comes to the door counts: Tryton sends nothing, what it says was fetched from it.
Next: receivables.py, which fetches.
"""

from __future__ import annotations

from accordant.connectors.sdk.receivables import FetchedReceivables
from accordant.connectors.tryton.parties import PARTY


class TrytonInbound(FetchedReceivables):
    """Implements ``ports.connector.Inbound`` for what is fetched."""

    def __init__(self) -> None:
        super().__init__(title="Tryton", party_type=PARTY)
