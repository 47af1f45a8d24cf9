"""What QuickBooks says: signed notices that something changed, in both of Intuit's spellings, and what was fetched.
Guarantees that a notice is proven before it is kept, and that it counts for nothing but a reason to look.
Source: Intuit's documentation of its webhooks and of their change to CloudEvents. Next: receivables.py, which looks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from accordant.canonical.observations import Interpretation, Interpreted, Parked, Quarantined
from accordant.connectors.quickbooks.customers import CUSTOMER
from accordant.connectors.sdk.receivables import UNSTAMPED_AT, FetchedReceivables, named_by_content, unreadable
from accordant.connectors.sdk.signatures import SignatureScheme, verify_signature
from accordant.ports.connector import Envelope

NOTICE = "notice"
SCHEME = SignatureScheme(header="intuit-signature", encoding="base64")
#: What a webhook may be subscribed to. What of it is ours is fetched, whatever the notice says of it.
ENTITIES = frozenset((
    "account", "bill", "billpayment", "budget", "class", "creditmemo", "currency", "customer", "department",
    "deposit", "employee", "estimate", "invoice", "item", "journalcode", "journalentry", "payment",
    "paymentmethod", "preferences", "purchase", "purchaseorder", "refundreceipt", "salesreceipt", "taxagency",
    "term", "timeactivity", "transfer", "vendor", "vendorcredit",
))  # fmt: skip


class Change(msgspec.Struct, frozen=True):
    """One change of a notice, whichever way it was spelled."""

    realm: str
    entity: str
    at: datetime


class _Entity(msgspec.Struct, frozen=True, rename="camel"):
    name: str
    id: str
    operation: str
    last_updated: datetime


class _Changes(msgspec.Struct, frozen=True):
    entities: tuple[_Entity, ...]


class _Notification(msgspec.Struct, frozen=True, rename="camel"):
    realm_id: str
    data_change_event: _Changes


class _Former(msgspec.Struct, frozen=True, rename="camel"):
    """The spelling until 2026."""

    event_notifications: tuple[_Notification, ...]


class _CloudEvent(msgspec.Struct, frozen=True):
    """The spelling since: CloudEvents 1.0, with Intuit's two ids beside it."""

    specversion: str
    id: str
    type: str
    time: datetime
    intuitentityid: str
    intuitaccountid: str


_DECODER = msgspec.json.Decoder(_Former | tuple[_CloudEvent, ...])


def read_notice(body: bytes) -> tuple[Change, ...]:
    """The changes of a delivery. Raises msgspec.DecodeError or UnicodeDecodeError."""
    told = _DECODER.decode(body)
    if isinstance(told, _Former):
        return tuple(
            Change(one.realm_id, entity.name.lower(), _aware(entity.last_updated))
            for one in told.event_notifications
            for entity in one.data_change_event.entities
        )
    return tuple(Change(one.intuitaccountid, _entity_of(one.type), _aware(one.time)) for one in told)


def _entity_of(event_type: str) -> str:
    """``qbo.invoice.created.v1`` is of an invoice; any other type is itself."""
    product, _, rest = event_type.partition(".")
    return rest.split(".")[0] if product == "qbo" else event_type


class QuickBooksInbound(FetchedReceivables):
    """Implements ``ports.connector.Inbound`` for notices and what is fetched. ``realm`` is the company's id."""

    def __init__(self, *, realm: str) -> None:
        super().__init__(title="QuickBooks", party_type=CUSTOMER)
        self._realm = realm

    def verify(self, *, headers: Mapping[str, str], body: bytes, secrets: Sequence[bytes], now: datetime) -> None:
        """See the port. One webhook of an app serves all its companies: whose notice it is, is looked at later."""
        verify_signature(SCHEME, headers=headers, body=body, secrets=secrets, now=now)

    def read_envelope(self, body: bytes) -> Envelope:
        """See the port. A notice has no name of its own that is there in both spellings: it is named by its content."""
        if not _is_notice(body):
            return super().read_envelope(body)
        try:
            changes = read_notice(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return unreadable(body, f"The body is no notice of QuickBooks': {error}.")
        return Envelope(
            external_id=f"{NOTICE}/{named_by_content(body)}",
            event_type=NOTICE,
            lane=f"{NOTICE}/{self._realm}",
            occurred_at=max((one.at for one in changes), default=UNSTAMPED_AT),
        )

    def interpret(self, *, system: str, body: bytes) -> Interpretation:
        """See the port. A notice holds no state: what customers owe is asked for by the sweep."""
        if not _is_notice(body):
            return super().interpret(system=system, body=body)
        try:
            changes = read_notice(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return Quarantined(f"A notice of QuickBooks' cannot be read: {error}.")
        if unknown := sorted({one.entity for one in changes} - ENTITIES):
            return Parked(f"Changes of {unknown[0]!r} are not understood yet.")
        return Interpreted(())


def _is_notice(body: bytes) -> bool:
    return b'"eventNotifications"' in body or b'"specversion"' in body


def _aware(at: datetime) -> datetime:
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
