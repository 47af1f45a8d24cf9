"""What QuickBooks says: signed notices that something changed, in both of Intuit's spellings, and what was fetched.
Guarantees that a notice is proven before it is kept, and that it counts for nothing but a reason to look.
Source: Intuit's documentation of its webhooks and of their change to CloudEvents. Next: receivables.py, which looks.
"""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from accordant.connectors.quickbooks.customers import CUSTOMER
from accordant.connectors.sdk.notices import Change, NotifiedReceivables
from accordant.connectors.sdk.receivables import named_by_content
from accordant.connectors.sdk.signatures import SignatureScheme

SCHEME = SignatureScheme(header="intuit-signature", encoding="base64")
#: What a webhook may be subscribed to. What of it is ours is fetched, whatever the notice says of it.
ENTITIES = frozenset((
    "account", "bill", "billpayment", "budget", "class", "creditmemo", "currency", "customer", "department",
    "deposit", "employee", "estimate", "invoice", "item", "journalcode", "journalentry", "payment",
    "paymentmethod", "preferences", "purchase", "purchaseorder", "refundreceipt", "salesreceipt", "taxagency",
    "term", "timeactivity", "transfer", "vendor", "vendorcredit",
))  # fmt: skip


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


class QuickBooksInbound(NotifiedReceivables):
    """Implements ``ports.connector.Inbound``. ``realm`` is the company's id.

    One webhook of an app serves all the companies that consented to it, so that notices of others come too.
    """

    def __init__(self, *, realm: str) -> None:
        super().__init__(
            title="QuickBooks", party_type=CUSTOMER, scheme=SCHEME, company=realm, kinds=ENTITIES, only_own=False
        )

    def is_notice(self, body: bytes) -> bool:
        """See the base class."""
        return b'"eventNotifications"' in body or b'"specversion"' in body

    def changes(self, body: bytes) -> tuple[Change, ...]:
        """See the base class."""
        return read_notice(body)

    def name(self, body: bytes) -> str:
        """See the base class. There is no name of its own in both spellings."""
        return named_by_content(body)


def _aware(at: datetime) -> datetime:
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
