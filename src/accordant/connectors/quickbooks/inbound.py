"""What QuickBooks says: signed notices that something changed, in both of Intuit's spellings, and what was fetched.
Guarantees that a notice is proven before it is kept, and that it counts for nothing but a reason to look.
Source: Intuit's documentation of its webhooks and of their change to CloudEvents. Next: receivables.py, changes.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from accordant.canonical.intents import WireValue
from accordant.canonical.targets import ObjectSpec
from accordant.connectors.quickbooks.customers import CUSTOMER, canonical_customer
from accordant.connectors.quickbooks.records import BILLS, ENTRIES, Form, canonical
from accordant.connectors.sdk.ledger_native import Place
from accordant.connectors.sdk.notices import Change, NotifiedInbound
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


_FORMS = {form.value.lower(): form for form in Form}


class _Entity(msgspec.Struct, frozen=True, rename="camel"):
    name: str
    id: str
    operation: str
    last_updated: datetime
    #: Of a merge, the one that is no more.
    deleted_id: str | None = None


class _Changes(msgspec.Struct, frozen=True):
    entities: tuple[_Entity, ...]


class _Notification(msgspec.Struct, frozen=True, rename="camel"):
    realm_id: str
    data_change_event: _Changes


class _Former(msgspec.Struct, frozen=True, rename="camel"):
    """The spelling until 2026."""

    event_notifications: tuple[_Notification, ...]


class _Besides(msgspec.Struct, frozen=True):
    """What an event says besides, which differs by its kind: of a merge, the one that is no more."""

    deletedid: str | None = None


class _CloudEvent(msgspec.Struct, frozen=True):
    """The spelling since: CloudEvents 1.0, with Intuit's two ids beside it."""

    specversion: str
    id: str
    type: str
    time: datetime
    intuitentityid: str
    intuitaccountid: str
    data: _Besides | None = None


_DECODER = msgspec.json.Decoder(_Former | tuple[_CloudEvent, ...])


def read_notice(body: bytes) -> tuple[Change, ...]:
    """The changes of a delivery. Raises msgspec.DecodeError or UnicodeDecodeError."""
    told = _DECODER.decode(body)
    if isinstance(told, _Former):
        return tuple(
            _change(one.realm_id, entity.name.lower(), _aware(entity.last_updated), entity.id, entity.deleted_id)
            for one in told.event_notifications
            for entity in one.data_change_event.entities
        )
    return tuple(
        _change(
            one.intuitaccountid,
            _entity_of(one.type),
            _aware(one.time),
            one.intuitentityid,
            None if one.data is None else one.data.deletedid,
        )
        for one in told
    )


def _change(company: str, entity: str, at: datetime, *ids: str | None) -> Change:
    """A document is kept under either object of the mapping."""
    form = _FORMS.get(entity)
    names = (CUSTOMER,) if entity == CUSTOMER.lower() else () if form is None else (BILLS, ENTRIES)
    records = ((name, one if form is None else str(Place(form, one))) for one in ids if one for name in names)
    return Change(company, entity, at, tuple(records))


def _entity_of(event_type: str) -> str:
    """``qbo.invoice.created.v1`` is of an invoice; any other type is itself."""
    product, _, rest = event_type.partition(".")
    return rest.split(".")[0] if product == "qbo" else event_type


class QuickBooksInbound(NotifiedInbound):
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

    def canonical(self, spec: ObjectSpec, fields: Mapping[str, WireValue]) -> dict[str, WireValue]:
        """See the base class."""
        return canonical_customer(spec, fields) if spec.name == CUSTOMER else canonical(spec, fields)

    def name(self, body: bytes) -> str:
        """See the base class. There is no name of its own in both spellings."""
        return named_by_content(body)


def _aware(at: datetime) -> datetime:
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
