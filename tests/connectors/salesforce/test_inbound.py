"""What was fetched from Salesforce, understood: the same bytes mean the same, what is none of ours is set aside."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accordant.canonical.deals import Company, Opportunity
from accordant.canonical.events import EventType
from accordant.canonical.observations import Interpreted, Parked, Quarantined, Standpoint
from accordant.canonical.refs import EntityKind, ExternalRef
from accordant.connectors.salesforce.connector import inbound
from accordant.connectors.salesforce.inbound import Told, spell
from accordant.kernel.errors import ConfigurationError
from accordant.kernel.money import Money
from accordant.ports.connector import SignatureInvalid

AT = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)
INBOUND = inbound({"currency": "EUR", "company_fields": "Segment__c, Seats__c", "term_months_field": "Term__c"})


def told(object_name: str, *lines: dict[str, Any], **row: Any) -> bytes:
    return spell(Told(object=object_name, at=AT, row={"Id": "X1", **row}, lines=lines))


def meaning(body: bytes) -> Interpreted:
    found = INBOUND.interpret(system="crm", body=body)
    assert isinstance(found, Interpreted), found
    return found


def test_an_account_is_a_company_and_a_copy_of_whatever_was_written_there() -> None:
    body = told("Account", Name=" EXAMPLE-1 ", BillingCountry="Deutschland", Segment__c="Mid", Seats__c=Decimal("20.0"))
    own, copy = meaning(body).observations
    assert own.entity == Company(
        external_id="X1", name="EXAMPLE-1", country="DE", custom={"Segment__c": "Mid", "Seats__c": "20"}
    )
    assert (own.ref, own.root_kind, own.is_copy) == (ExternalRef("crm", "company", "X1"), EntityKind.COMPANY, False)
    assert (copy.ref, copy.is_copy) == (ExternalRef("crm", "Account", "X1"), True)
    envelope = INBOUND.read_envelope(body)
    assert (envelope.event_type, envelope.lane, envelope.occurred_at) == ("company.changed", "Account/X1", AT)


def test_what_belongs_to_a_company_waits_in_its_lane() -> None:
    for object_name in ("Contact", "Opportunity"):
        assert INBOUND.read_envelope(told(object_name, AccountId="A1")).lane == "Account/A1"
        assert INBOUND.read_envelope(told(object_name)).lane == f"{object_name}/X1"


def test_an_opportunity_says_whether_it_was_won() -> None:
    won = meaning(told("Opportunity", AccountId="A1", IsWon=True, IsClosed=True, Amount=Decimal("12.50"), Term__c=12))
    assert [one.type for one in won.business_events] == [EventType.OPPORTUNITY_CHANGED, EventType.CONTRACT_WON]
    assert won.business_events[1].amount == Money(1_250, "EUR")
    assert won.business_events[1].root == ExternalRef("crm", "company", "A1")
    entity = won.observations[0].entity
    assert isinstance(entity, Opportunity)
    assert entity.term_months == 12
    binned = meaning(told("Opportunity", IsWon=True, IsDeleted=True))
    assert [one.type for one in binned.business_events] == [EventType.OPPORTUNITY_CHANGED]


@given(order=st.permutations(["L1", "L2", "L3"]))
def test_the_order_in_which_lines_are_read_says_nothing(order: list[str]) -> None:
    lines = [{"Id": name, "Quantity": Decimal(2), "UnitPrice": Decimal("3.10")} for name in order]
    entity = meaning(told("Opportunity", *lines)).observations[0].entity
    assert isinstance(entity, Opportunity)
    assert [line.external_id for line in entity.lines] == ["L1", "L2", "L3"]
    assert entity.lines[0].unit_price == Money(310, "EUR")


def test_a_reading_is_as_new_as_its_asking_and_happens_to_nobody() -> None:
    ref = ExternalRef("crm", "Opportunity", "X1")
    found = INBOUND.interpret_object(ref=ref, body=told("Opportunity", IsWon=True), read_at=AT)
    assert isinstance(found, Interpreted)
    (seen,) = found.observations
    assert (seen.standpoint, seen.observed_at, found.business_events) == (Standpoint.READING, AT, ())
    company = INBOUND.interpret_object(ref=ref, body=told("Account"), read_at=AT)
    assert isinstance(company, Interpreted)
    assert [one.is_copy for one in company.observations] == [False]


@pytest.mark.parametrize("kind", ["company", "person", "Opportunity"])
def test_what_is_nowhere_any_more_is_deleted(kind: str) -> None:
    found = INBOUND.interpret_object(ref=ExternalRef("crm", kind, "X1"), body=b"", read_at=AT)
    assert isinstance(found, Interpreted)
    assert getattr(found.observations[0].entity, "deleted") is True  # noqa: B009  of three kinds
    other = INBOUND.interpret_object(ref=ExternalRef("crm", "Lead", "X1"), body=b"", read_at=AT)
    assert other == Interpreted(())


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b"{}", b'{"object":"Account"}', b"\xff", spell(Told(object="Account", at=AT, row={}))]
)
def test_a_body_of_somebody_else_has_a_defect_and_is_set_aside(body: bytes) -> None:
    envelope = INBOUND.read_envelope(body)
    assert envelope.defect
    assert envelope.external_id == INBOUND.read_envelope(body).external_id
    assert isinstance(INBOUND.interpret(system="crm", body=body), Quarantined)


@pytest.mark.parametrize(
    "row",
    [
        {"Amount": "12,50"},
        {"Amount": Decimal("1.005")},
        {"CloseDate": "tomorrow"},
        {"Term__c": Decimal("1.5")},
        {"Term__c": 0},
        {"Name": ["EXAMPLE-1"]},
    ],
)
def test_a_value_that_is_none_is_set_aside_with_its_field(row: dict[str, Any]) -> None:
    found = INBOUND.interpret(system="crm", body=told("Opportunity", **row))
    assert isinstance(found, Quarantined)
    assert "cannot be read" in found.reason


def test_an_object_that_is_not_read_yet_is_parked() -> None:
    assert isinstance(INBOUND.interpret(system="crm", body=told("Quote")), Parked)
    assert INBOUND.read_envelope(told("Quote")).event_type == "Quote.changed"


def test_nothing_that_comes_to_the_door_is_salesforce_s() -> None:
    with pytest.raises(SignatureInvalid):
        INBOUND.verify(headers={}, body=told("Account"), secrets=(b"any",), now=AT)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"listens_to": "Account, Quote"}, "'Quote' is nothing that is read"),
        ({"currency": "EURO"}, "'EURO' is no currency"),
        ({"price_field": "Product2.Price__c FROM User"}, "is no field"),
        ({"company_fields": ("Name; DROP",)}, "is no field"),
    ],
)
def test_a_wrong_setting_is_named(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        inbound(settings)
