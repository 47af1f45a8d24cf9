"""Entities survive storage byte for byte, intents are named by what they do, and charters by what they say."""

from datetime import UTC, date, datetime
from typing import get_args

import msgspec
import pytest

from accordant.canonical.bank import BankLine, BankStatement, CashMovement
from accordant.canonical.charter import FieldPart, FieldType, FlowPart, MappingPart, Phase
from accordant.canonical.deals import Company, Contact, Opportunity, OpportunityLine
from accordant.canonical.documents import DocumentKind, DocumentLine, LedgerDocument
from accordant.canonical.entities import (
    Account,
    BalanceMovement,
    CreditNote,
    Discount,
    Dispute,
    Entity,
    Invoice,
    InvoiceLine,
    Payment,
    PaymentMethod,
    Payout,
    Price,
    Product,
    Receivable,
    RecurringPrice,
    Refund,
    Subscription,
    SubscriptionItem,
    decode_entity,
    encode_entity,
    kind_of,
)
from accordant.canonical.facts import FACTS
from accordant.canonical.intents import FieldChange, WireValue, WriteIntent, plan_intent
from accordant.canonical.refs import EntityKind, EntityRef, ExternalRef
from accordant.canonical.targets import FieldSpec, object_spec
from accordant.kernel.ids import EntityId
from accordant.kernel.money import Money

AT = datetime(2026, 3, 14, 9, tzinfo=UTC)
TEN = Money(10_00, "EUR")
MONTHLY = RecurringPrice(currency="EUR", unit_minor="0.5", interval="month", interval_count=1)
ENTITIES: tuple[Entity, ...] = (
    Account(external_id="cus_1", name="Zoë", metadata={"b": "2", "a": "1"}, tax_ids=("DE1",), created_at=AT),
    Product(external_id="prod_1", name="Pro"),
    Price(external_id="price_1", recurring=MONTHLY),
    Subscription(
        external_id="sub_1",
        customer_id="cus_1",
        status="active",
        items=(
            SubscriptionItem(
                external_id="si_1",
                price_id="price_1",
                product_id="prod_1",
                plan_name="Pro",
                quantity=2,
                recurring=MONTHLY,
            ),
        ),
        discounts=(Discount(coupon_id="c", duration="once", amount_off=TEN),),
    ),
    Invoice(
        external_id="in_1",
        customer_id="cus_1",
        status="open",
        total=TEN,
        amount_due=TEN,
        amount_paid=TEN,
        amount_remaining=TEN,
        lines=(InvoiceLine(external_id="il_1", amount_minor=5, period_starts_at=AT),),
    ),
    Payment(
        external_id="py_1",
        customer_id=None,
        status="failed",
        amount=TEN,
        refunded=TEN,
        method=PaymentMethod(type="card", expires_on=date(2027, 1, 31)),
    ),
    Refund(external_id="re_1", status="succeeded", amount=TEN),
    CreditNote(external_id="cn_1", customer_id=None, invoice_id=None, status="issued", total=TEN),
    Dispute(external_id="dp_1", status="lost", amount=TEN, evidence_due_at=AT),
    Payout(external_id="po_1", status="paid", amount=TEN, arrives_on=date(2026, 3, 15)),
    BalanceMovement(external_id="txn_1", type="charge", amount=TEN, fee=Money(30, "EUR"), net=Money(9_70, "EUR")),
    BankStatement(
        external_id="DE02/1",
        account="DE02",
        starts_on=date(2026, 3, 15),
        ends_on=date(2026, 3, 15),
        opening=Money(0, "EUR"),
        closing=TEN,
        lines=(BankLine(reference="BK-1", amount=TEN, booked_on=date(2026, 3, 15), texts=("po_1",)),),
        created_at=AT,
    ),
    CashMovement(external_id="cash_1", customer_id="cus_1", type="funded", amount=TEN, reference="RE 7"),
    LedgerDocument(
        external_id="jrn_1",
        document=DocumentKind.INVOICE,
        rule="invoice_issued",
        number="F-1",
        text="Invoice F-1",
        legal_entity="Example GmbH",
        posted_on=date(2027, 1, 1),
        effective_on=date(2027, 1, 1),
        total=TEN,
        books_total=TEN,
        lines=(DocumentLine(account="1200", debit="10.00", credit="0.00"),),
        event="bev_1",
        subject="billing:invoice/in_1",
    ),
    Receivable(external_id="17", open=TEN, overdue=TEN, oldest_due_on=date(2027, 1, 1)),
    Company(external_id="001", name="Zoë AG", country="DE", custom={"Segment__c": "Mid"}, merged_into="002"),
    Contact(external_id="003", company_id="001", name="Zoë", email="zoe@example.com"),
    Opportunity(
        external_id="006",
        company_id="001",
        is_won=True,
        close_on=date(2027, 1, 1),
        amount=TEN,
        currency="EUR",
        lines=(OpportunityLine(external_id="00k", product_code="PRO", quantity="2.5", unit_price=TEN),),
    ),
)


def test_every_kind_has_an_example_here() -> None:
    assert [type(entity) for entity in ENTITIES] == list(get_args(Entity))
    assert {kind_of(entity) for entity in ENTITIES} == set(EntityKind)


@pytest.mark.parametrize("entity", ENTITIES, ids=kind_of)
def test_an_entity_survives_storage_and_knows_its_kind(entity: Entity) -> None:
    stored = encode_entity(entity)
    assert decode_entity(stored) == entity
    assert encode_entity(decode_entity(stored)) == stored
    assert msgspec.json.decode(stored)["kind"] == kind_of(entity)


def test_equal_states_are_equal_bytes() -> None:
    one = Account(external_id="cus_1", metadata={"a": "1", "b": "2"})
    other = Account(external_id="cus_1", metadata={"b": "2", "a": "1"})
    assert encode_entity(one) == encode_entity(other)


@pytest.mark.parametrize("stored", [b"{}", b'{"kind":"moon","external_id":"x"}', b'{"kind":"account"}', b"[]"])
def test_bytes_that_are_no_entity_are_refused(stored: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        decode_entity(stored)


def an_intent(
    fields: dict[str, WireValue], *, target: str = "crm", revision: int = 1, key: str = "cus_1"
) -> WriteIntent:
    return plan_intent(
        flow="accounts",
        target=target,
        object_name="Account",
        key_field="Billing_Id__c",
        key=key,
        entity=EntityRef(EntityKind.ACCOUNT, EntityId("acc_1")),
        lane="acc_1",
        step=0,
        fields=fields,
        changes=(FieldChange("Name", None, "x"),),
        cause=1,
        planned_at=AT,
        revision=revision,
    )


def test_an_intent_is_named_by_its_record_and_revision_and_fingerprinted_by_its_input() -> None:
    intent = an_intent({"Name": "x"})
    assert intent.idempotency_key == f"accordant-{intent.id}"
    assert an_intent({"Name": "x"}) == intent
    reused = an_intent({"Name": "y"})
    assert (reused.id, reused.input_digest == intent.input_digest) == (intent.id, False)
    others = {an_intent({}, target="erp").id, an_intent({}, revision=2).id, an_intent({}, key="cus_2").id, intent.id}
    assert len(others) == 4


@pytest.mark.parametrize("text", ["billing:customer/cus_1", "crm:Account/001:a/b"])
def test_a_reference_is_read_as_it_is_printed(text: str) -> None:
    assert str(ExternalRef.parse(text)) == text


def test_a_mapping_gives_its_target_the_specification_of_the_object() -> None:
    fields = {
        "Name": FieldPart(source="name"),
        "Account__c": FieldPart(source="account", type=FieldType.LOOKUP, lookup_object="Account", lookup_key="Id__c"),
    }
    spec = object_spec(MappingPart(entity=EntityKind.SUBSCRIPTION, object="Sub__c", key_field="Key__c", fields=fields))
    assert (spec.name, spec.key_field) == ("Sub__c", "Key__c")
    assert spec.fields == {
        "Name": FieldSpec(type=FieldType.TEXT),
        "Account__c": FieldSpec(type=FieldType.LOOKUP, lookup_object="Account", lookup_key="Id__c"),
    }


def test_a_misspelt_setting_is_refused() -> None:
    flow = {"name": "f", "entity": "account", "source": "a", "target": "b", "object": "o", "phase": "read_only"}
    assert msgspec.convert(flow, FlowPart).phase is Phase.READ_ONLY
    with pytest.raises(msgspec.ValidationError, match="paussed"):
        msgspec.convert(flow | {"paussed": True}, FlowPart)


def test_only_kinds_that_flow_out_have_facts_and_each_can_be_named() -> None:
    assert set(FACTS) == {
        EntityKind.ACCOUNT,
        EntityKind.PRODUCT,
        EntityKind.SUBSCRIPTION,
        EntityKind.INVOICE,
        EntityKind.PAYMENT,
        EntityKind.REFUND,
        EntityKind.COMPANY,
        EntityKind.OPPORTUNITY,
        EntityKind.LEDGER_DOCUMENT,
    }
    assert all("external_id" in vocabulary for vocabulary in FACTS.values())
