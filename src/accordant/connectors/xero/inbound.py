"""What Xero says: signed notices that something changed, and what was fetched of what customers owe.
Guarantees that Xero's test of a receiver is passed: right signatures are taken, wrong ones refused.
Source: Xero's own OpenAPI of its webhooks, version 16.1.0. Next: receivables.py, which looks.
"""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from accordant.connectors.sdk.notices import Change, NotifiedReceivables
from accordant.connectors.sdk.receivables import named_by_content
from accordant.connectors.sdk.signatures import SignatureScheme
from accordant.connectors.xero.contacts import CONTACTS

SCHEME = SignatureScheme(header="x-xero-signature", encoding="base64")
#: What a webhook may be subscribed to. What of it is ours is fetched, whatever the notice says of it.
CATEGORIES = frozenset({"CONTACT", "INVOICE", "CREDITNOTE", "SUBSCRIPTION"})


class _Event(msgspec.Struct, frozen=True, rename="camel"):
    """One change. ``event_date_utc`` is without an offset, in UTC."""

    resource_id: str
    event_category: str
    event_type: str
    event_date_utc: datetime
    tenant_id: str


class _Notice(msgspec.Struct, frozen=True, rename="camel"):
    """One delivery. Without a change it is Xero's test of whether signatures are looked at."""

    events: tuple[_Event, ...]
    first_event_sequence: int
    last_event_sequence: int
    entropy: str


_DECODER = msgspec.json.Decoder(_Notice)


class XeroInbound(NotifiedReceivables):
    """Implements ``ports.connector.Inbound``. ``tenant`` is the organisation's id."""

    def __init__(self, *, tenant: str) -> None:
        super().__init__(
            title="Xero", party_type=CONTACTS, scheme=SCHEME, company=tenant, kinds=CATEGORIES, only_own=True
        )

    def is_notice(self, body: bytes) -> bool:
        """See the base class."""
        return b'"firstEventSequence"' in body

    def changes(self, body: bytes) -> tuple[Change, ...]:
        """See the base class."""
        return tuple(
            Change(one.tenant_id, one.event_category, one.event_date_utc.replace(tzinfo=UTC))
            for one in _DECODER.decode(body).events
        )

    def name(self, body: bytes) -> str:
        """See the base class. Its sequence with its content: it may come again with more in it."""
        notice = _DECODER.decode(body)
        return f"{notice.first_event_sequence}-{notice.last_event_sequence}/{named_by_content(body)}"
