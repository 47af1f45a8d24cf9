"""What Salesforce says of its own: companies, people and opportunities, in the hub's words. Pure: bytes in, words out.
Guarantees that nothing which comes to the door counts: what Salesforce says was fetched from it.
Next: changes.py, which fetches.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import NoReturn

import msgspec

from accordant.canonical.deals import Company, Contact, Opportunity, OpportunityLine
from accordant.canonical.entities import Account
from accordant.canonical.events import BusinessEvent, EventType, business_event
from accordant.canonical.observations import Interpretation, Interpreted, Observation, Parked, Quarantined, Standpoint
from accordant.canonical.refs import EntityKind, ExternalRef
from accordant.connectors.salesforce.wire import Json, decode
from accordant.identity.countries import country_code
from accordant.kernel.errors import RejectedError
from accordant.kernel.money import Money
from accordant.ports.connector import Envelope, SignatureInvalid

ACCOUNT, CONTACT, OPPORTUNITY, LINE = "Account", "Contact", "Opportunity", "OpportunityLineItem"
#: What the hub calls them where they are the CRM's own. Under Salesforce's names stand the records that are written
#: there for billing's customers, and one Account may be both.
COMPANY, PERSON = "company", "person"
#: Objects that can be read, with the hub's name and the event that tells of them.
READ: Mapping[str, str] = MappingProxyType({ACCOUNT: COMPANY, CONTACT: PERSON, OPPORTUNITY: OPPORTUNITY})
CHANGED: Mapping[str, str] = MappingProxyType(
    {ACCOUNT: "company.changed", CONTACT: "person.changed", OPPORTUNITY: "opportunity.changed"}
)
_UNREADABLE = "unreadable"
_UNSTAMPED_AT = datetime(1970, 1, 1, tzinfo=UTC)
_PRINT_DIGITS = 12
_MONTHS_MAX = 1_200


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """What is read of an org. Fields are API names; ``price_field`` is one of a line, or reached from it.

    ``currency`` is that of an org with a single one; None where each opportunity says its own.
    """

    objects: tuple[str, ...] = ()
    currency: str | None = None
    email_field: str = ""
    company_fields: tuple[str, ...] = ()
    opportunity_fields: tuple[str, ...] = ()
    starts_on_field: str = ""
    term_months_field: str = ""
    price_field: str = ""

    @property
    def named(self) -> tuple[str, ...]:
        """Every field that somebody named."""
        single = (self.email_field, self.starts_on_field, self.term_months_field, self.price_field)
        return (*(name for name in single if name), *self.company_fields, *self.opportunity_fields)


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """One state of one record, as it was read. ``lines`` are those of an opportunity, ``at`` when any of it changed."""

    object: str
    at: datetime
    row: dict[str, Json]
    lines: tuple[dict[str, Json], ...] = ()


_ENCODER = msgspec.json.Encoder(order="sorted", decimal_format="number")


class BodyUnreadable(RejectedError):
    """The body is nothing that this connector fetched."""


def spell(told: Told) -> bytes:
    """As it is kept: the same state is the same bytes."""
    return _ENCODER.encode(told)


class SalesforceInbound:
    """Implements ``ports.connector.Inbound`` for what is fetched."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    def verify(  # the port's arguments, of which none can help
        self,
        *,
        headers: Mapping[str, str],  # noqa: ARG002
        body: bytes,  # noqa: ARG002
        secrets: Sequence[bytes],  # noqa: ARG002
        now: datetime,  # noqa: ARG002
    ) -> NoReturn:
        """Salesforce sends nothing here by itself. Raises SignatureInvalid."""
        raise SignatureInvalid("Salesforce is asked and sends nothing by itself: whoever sent this is not Salesforce.")

    def read_envelope(self, body: bytes) -> Envelope:
        """See the port. The name of a change is the record, the moment and what it says: two states of one second are
        two changes.
        """
        try:
            told = _told(body)
            record, company = _id(told.row), _company_of(told)
        except BodyUnreadable as error:
            name = f"sha256:{hashlib.sha256(body).hexdigest()}"
            return Envelope(
                external_id=name, event_type=_UNREADABLE, lane=name, occurred_at=_UNSTAMPED_AT, defect=error.message
            )
        print_ = hashlib.sha256(body).hexdigest()[:_PRINT_DIGITS]
        lane = f"{ACCOUNT}/{company}" if company else f"{told.object}/{record}"
        return Envelope(
            external_id=f"{told.object}/{record}/{told.at.isoformat()}/{print_}",
            event_type=CHANGED.get(told.object, f"{told.object}.changed"),
            lane=lane,
            occurred_at=told.at,
        )

    def interpret(self, *, system: str, body: bytes) -> Interpretation:
        """See the port."""
        return self._interpreted(system, body, None)

    def interpret_object(self, *, ref: ExternalRef, body: bytes, read_at: datetime) -> Interpretation:
        """See the port. What is no longer there, not even in the recycle bin, is deleted."""
        if body:
            return self._interpreted(ref.system, body, read_at)
        farewells: dict[str, Company | Contact | Opportunity] = {
            COMPANY: Company(external_id=ref.id, deleted=True),
            PERSON: Contact(external_id=ref.id, deleted=True),
            OPPORTUNITY: Opportunity(external_id=ref.id, is_closed=True, deleted=True),
        }
        gone = farewells.get(ref.object_type)
        if gone is None:
            return Interpreted(())
        seen = Observation(ref=ref, root=ref, entity=gone, observed_at=read_at, standpoint=Standpoint.READING)
        return Interpreted((seen,))

    def _interpreted(self, system: str, body: bytes, read_at: datetime | None) -> Interpretation:
        try:
            told = _told(body)
            speak = _WORDS.get(told.object)
            if speak is None:
                return Parked(f"{told.object!r} is not understood yet.")
            return speak(_Saying(system=system, told=told, scope=self._scope, read_at=read_at))
        except RejectedError as error:
            return Quarantined(f"What Salesforce said cannot be read: {error.message}")


class _Saying(msgspec.Struct, frozen=True, kw_only=True):
    """One state with all that is needed to say what it means; ``read_at`` is None for a change."""

    system: str
    told: Told
    scope: Scope
    read_at: datetime | None

    def observation(
        self, object_type: str, entity: Company | Contact | Opportunity, company: str | None
    ) -> Observation:
        ref = ExternalRef(self.system, object_type, entity.external_id)
        root = ExternalRef(self.system, COMPANY, company) if company else ref
        return Observation(
            ref=ref,
            root=root,
            root_kind=EntityKind.COMPANY,
            entity=entity,
            observed_at=self.told.at if self.read_at is None else self.read_at,
            standpoint=Standpoint.NOTICE if self.read_at is None else Standpoint.READING,
        )


def _company(saying: _Saying) -> Interpretation:
    """A company is the CRM's own; as the record of a billing customer it is told of beside, for whoever wrote it."""
    row, scope = saying.told.row, saying.scope
    country = _text(row, "BillingCountry")
    entity = Company(
        external_id=_id(row),
        name=_text(row, "Name"),
        email=_text(row, scope.email_field) if scope.email_field else None,
        phone=_text(row, "Phone"),
        website=_text(row, "Website"),
        street=_text(row, "BillingStreet"),
        city=_text(row, "BillingCity"),
        state=_text(row, "BillingState"),
        postcode=_text(row, "BillingPostalCode"),
        country=None if country is None else country_code(country),
        industry=_text(row, "Industry"),
        parent_id=_text(row, "ParentId"),
        owner_id=_text(row, "OwnerId"),
        custom=_custom(row, scope.company_fields),
        deleted=row.get("IsDeleted") is True,
        merged_into=_text(row, "MasterRecordId"),
    )
    own = saying.observation(COMPANY, entity, None)
    if saying.read_at is not None:
        return Interpreted((own,))
    ref = ExternalRef(saying.system, ACCOUNT, entity.external_id)
    account = Account(external_id=entity.external_id, name=entity.name, phone=entity.phone, country=entity.country)
    copy = Observation(ref=ref, root=ref, entity=account, observed_at=saying.told.at, is_copy=True)
    return Interpreted((own, copy))


def _person(saying: _Saying) -> Interpretation:
    row = saying.told.row
    entity = Contact(
        external_id=_id(row),
        company_id=_text(row, "AccountId"),
        name=_text(row, "Name"),
        email=_text(row, "Email"),
        phone=_text(row, "Phone"),
        deleted=row.get("IsDeleted") is True,
        merged_into=_text(row, "MasterRecordId"),
    )
    return Interpreted((saying.observation(PERSON, entity, entity.company_id),))


def _opportunity(saying: _Saying) -> Interpretation:
    row, scope = saying.told.row, saying.scope
    currency = scope.currency or _text(row, "CurrencyIsoCode")
    entity = Opportunity(
        external_id=_id(row),
        company_id=_text(row, "AccountId"),
        name=_text(row, "Name"),
        stage=_text(row, "StageName"),
        is_won=row.get("IsWon") is True,
        is_closed=row.get("IsClosed") is True,
        close_on=_day(row, "CloseDate"),
        amount=_money(row, "Amount", currency),
        currency=currency,
        starts_on=_day(row, scope.starts_on_field) if scope.starts_on_field else None,
        term_months=_whole(row, scope.term_months_field) if scope.term_months_field else None,
        owner_id=_text(row, "OwnerId"),
        lines=tuple(_line(line, scope, currency) for line in sorted(saying.told.lines, key=_id)),
        custom=_custom(row, scope.opportunity_fields),
        deleted=row.get("IsDeleted") is True,
    )
    seen = saying.observation(OPPORTUNITY, entity, entity.company_id)
    return Interpreted((seen,), _happened(saying, entity, seen) if saying.read_at is None else ())


def _happened(saying: _Saying, entity: Opportunity, seen: Observation) -> tuple[BusinessEvent, ...]:
    """That it changed, and that it was won: the one event however often a won opportunity is told of."""
    at = saying.told.at
    print_ = hashlib.sha256(msgspec.json.encode(entity)).hexdigest()[:_PRINT_DIGITS]
    changed = business_event(
        EventType.OPPORTUNITY_CHANGED,
        subject=seen.ref,
        root=seen.root,
        occurred_at=at,
        change=f"{at.isoformat()}/{print_}",
        note=entity.stage,
    )
    if not entity.is_won or entity.deleted:
        return (changed,)
    won = business_event(
        EventType.CONTRACT_WON,
        subject=seen.ref,
        root=seen.root,
        occurred_at=at,
        amount=entity.amount,
        note=entity.name,
    )
    return changed, won


_WORDS: Mapping[str, Callable[[_Saying], Interpretation]] = MappingProxyType(
    {ACCOUNT: _company, CONTACT: _person, OPPORTUNITY: _opportunity}
)


def _line(row: Mapping[str, Json], scope: Scope, currency: str | None) -> OpportunityLine:
    quantity = row.get("Quantity")
    return OpportunityLine(
        external_id=_id(row),
        product_id=_text(row, "Product2Id"),
        product_code=_text(row, "ProductCode"),
        name=_text(row, "Name"),
        quantity="1" if quantity is None else _plain(quantity, "Quantity"),
        unit_price=_money(row, "UnitPrice", currency),
        price_id=_text(row, scope.price_field) if scope.price_field else None,
    )


# -- values ----------------------------------------------------------------------------------------------------------


def _told(body: bytes) -> Told:
    try:
        return msgspec.convert(decode(body), Told, strict=False)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise BodyUnreadable(f"The body is nothing that this connector fetched: {error}.") from error


def _company_of(told: Told) -> str | None:
    return _id(told.row) if told.object == ACCOUNT else _text(told.row, "AccountId")


def _id(row: Mapping[str, Json]) -> str:
    found = row.get("Id")
    if not isinstance(found, str) or not found:
        raise BodyUnreadable("A record has no Id.")
    return found


def _at(row: Mapping[str, Json], path: str) -> Json:
    node: Json = row
    for step in path.split("."):
        node = node.get(step) if isinstance(node, Mapping) else None
    return node


def _text(row: Mapping[str, Json], path: str) -> str | None:
    """A value as text; None where it is empty."""
    value = _at(row, path)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | Decimal):
        return _plain(value, path)
    if value is not None and not isinstance(value, str):
        raise BodyUnreadable(f"{path} holds no plain value.")
    return value.strip() or None if value is not None else None


def _plain(value: Json, path: str) -> str:
    """A number without exponent and without zeros behind it."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise BodyUnreadable(f"{path} holds {value!r}, which is no number.")
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _money(row: Mapping[str, Json], path: str, currency: str | None) -> Money | None:
    """An amount; unknown without a currency. Raises RejectedError for one that is none of its currency."""
    value = _at(row, path)
    return None if value is None or currency is None else Money.parse(_plain(value, path), currency)


def _day(row: Mapping[str, Json], path: str) -> date | None:
    text = _text(row, path)
    try:
        return None if text is None else date.fromisoformat(text[:10])
    except ValueError:
        raise BodyUnreadable(f"{path} holds {text!r}, which is no day.") from None


def _whole(row: Mapping[str, Json], path: str) -> int | None:
    text = _text(row, path)
    if text is None:
        return None
    if not text.isdecimal() or not 0 < int(text) <= _MONTHS_MAX:
        raise BodyUnreadable(f"{path} holds {text!r}, which is no number of months.")
    return int(text)


def _custom(row: Mapping[str, Json], names: Sequence[str]) -> dict[str, str]:
    values = {name: _text(row, name) for name in names}
    return {name: value for name, value in values.items() if value is not None}
