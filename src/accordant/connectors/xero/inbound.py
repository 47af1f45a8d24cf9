"""What Xero says: signed notices that something changed, and what was fetched of what customers owe.
Guarantees that a notice is proven before it is kept, and that it counts for nothing but a reason to look.
Source: Xero's own OpenAPI of its webhooks, version 16.1.0. Next: receivables.py, which looks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from accordant.canonical.observations import Interpretation, Interpreted, Parked, Quarantined
from accordant.connectors.sdk.receivables import UNSTAMPED_AT, FetchedReceivables, unreadable
from accordant.connectors.sdk.signatures import SignatureScheme, verify_signature
from accordant.connectors.xero.contacts import CONTACTS
from accordant.ports.connector import Envelope

NOTICE = "notice"
SCHEME = SignatureScheme(header="x-xero-signature", encoding="base64")
#: What a webhook may be subscribed to. What of it is ours is fetched, whatever the notice says of it.
CATEGORIES = frozenset({"CONTACT", "INVOICE", "CREDITNOTE", "SUBSCRIPTION"})


class Change(msgspec.Struct, frozen=True, rename="camel"):
    """One change of a notice. ``event_date_utc`` is without an offset, in UTC."""

    resource_id: str
    event_category: str
    event_type: str
    event_date_utc: datetime
    tenant_id: str


class Notice(msgspec.Struct, frozen=True, rename="camel"):
    """One delivery. Without a change it is Xero's test of whether signatures are looked at."""

    events: tuple[Change, ...]
    first_event_sequence: int
    last_event_sequence: int
    entropy: str


_DECODER = msgspec.json.Decoder(Notice)


class XeroInbound(FetchedReceivables):
    """Implements ``ports.connector.Inbound`` for notices and what is fetched. ``tenant`` is the organisation's id."""

    def __init__(self, *, tenant: str) -> None:
        super().__init__(title="Xero", party_type=CONTACTS)
        self._tenant = tenant

    def verify(self, *, headers: Mapping[str, str], body: bytes, secrets: Sequence[bytes], now: datetime) -> None:
        """See the port. A wrong signature has to be answered with 401, or Xero does not switch the webhook on."""
        verify_signature(SCHEME, headers=headers, body=body, secrets=secrets, now=now)

    def read_envelope(self, body: bytes) -> Envelope:
        """See the port. A notice is named by its sequence and its content: it may come again with more in it."""
        if not _is_notice(body):
            return super().read_envelope(body)
        try:
            notice = _DECODER.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return unreadable(body, f"The body is no notice of Xero's: {error}.")
        content = hashlib.sha256(body).hexdigest()[:16]
        at = max((one.event_date_utc.replace(tzinfo=UTC) for one in notice.events), default=UNSTAMPED_AT)
        return Envelope(
            external_id=f"{NOTICE}/{notice.first_event_sequence}-{notice.last_event_sequence}/{content}",
            event_type=NOTICE,
            lane=f"{NOTICE}/{self._tenant}",
            occurred_at=at,
        )

    def interpret(self, *, system: str, body: bytes) -> Interpretation:
        """See the port. A notice holds no state: what customers owe is asked for by the sweep."""
        if not _is_notice(body):
            return super().interpret(system=system, body=body)
        try:
            notice = _DECODER.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return Quarantined(f"A notice of Xero's cannot be read: {error}.")
        if foreign := sorted({one.tenant_id for one in notice.events} - {self._tenant}):
            return Quarantined(
                f"The notice is of the organisation {foreign[0]}, and this connection is of {self._tenant}: give each "
                "organisation a webhook and a system of its own.",
                "events.tenantId",
            )
        if unknown := sorted({one.event_category for one in notice.events} - CATEGORIES):
            return Parked(f"Changes of {unknown[0]!r} are not understood yet.")
        return Interpreted(())


def _is_notice(body: bytes) -> bool:
    return b'"firstEventSequence"' in body
