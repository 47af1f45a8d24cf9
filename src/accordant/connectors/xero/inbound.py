"""What Xero says: signed notices that something changed, and what was fetched of debts and of records written there.
Guarantees that Xero's test of a receiver is passed: right signatures are taken, wrong ones refused.
Source: Xero's own OpenAPI of its webhooks, version 16.1.0. Next: receivables.py and changes.py, which look.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from accordant.canonical.intents import WireValue
from accordant.canonical.targets import ObjectSpec
from accordant.connectors.sdk.ledger_native import Place
from accordant.connectors.sdk.notices import Change, NotifiedInbound
from accordant.connectors.sdk.receivables import named_by_content
from accordant.connectors.sdk.signatures import SignatureScheme
from accordant.connectors.xero.contacts import CONTACTS, canonical_contact
from accordant.connectors.xero.records import BILLS, ENTRIES, Form, canonical

SCHEME = SignatureScheme(header="x-xero-signature", encoding="base64")
#: What a webhook may be subscribed to. What of it is ours is fetched, whatever the notice says of it.
CATEGORIES = frozenset({"CONTACT", "INVOICE", "CREDITNOTE", "SUBSCRIPTION"})
_FORMS = {"INVOICE": Form.INVOICE, "CREDITNOTE": Form.CREDIT_NOTE}


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


class XeroInbound(NotifiedInbound):
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
            Change(one.tenant_id, one.event_category, one.event_date_utc.replace(tzinfo=UTC), _records(one))
            for one in _DECODER.decode(body).events
        )

    def canonical(self, spec: ObjectSpec, fields: Mapping[str, WireValue]) -> dict[str, WireValue]:
        """See the base class."""
        return canonical_contact(spec, fields) if spec.name == CONTACTS else canonical(spec, fields)

    def name(self, body: bytes) -> str:
        """See the base class. Its sequence with its content: it may come again with more in it."""
        notice = _DECODER.decode(body)
        return f"{notice.first_event_sequence}-{notice.last_event_sequence}/{named_by_content(body)}"


def _records(event: _Event) -> tuple[tuple[str, str], ...]:
    """What an event may be of: a document is kept under either object of the mapping."""
    if event.event_category == "CONTACT":
        return ((CONTACTS, event.resource_id),)
    form = _FORMS.get(event.event_category)
    return () if form is None else tuple((name, str(Place(form, event.resource_id))) for name in (BILLS, ENTRIES))
