"""What a payout settled, as Stripe lists it: every movement once with its payout, every fee once, whatever its kind."""

from __future__ import annotations

import json
from typing import Any

import pytest

from accordant.canonical.entities import BalanceMovement
from accordant.canonical.events import EventType
from accordant.canonical.observations import Interpreted, Quarantined
from accordant.canonical.refs import EntityKind, ExternalRef
from accordant.connectors.stripe.inbound import StripeInbound
from accordant.connectors.stripe.settlement import settlement_body
from accordant.kernel.money import Money

INBOUND = StripeInbound(live=False)


def movement(name: str = "txn_1", **changes: Any) -> bytes:
    """A balance transaction, in the words of Stripe's reference."""
    fields = {
        "id": name,
        "object": "balance_transaction",
        "amount": 10_000,
        "available_on": 1_800_100_000,
        "created": 1_800_000_000,
        "currency": "usd",
        "fee": 320,
        "net": 9_680,
        "reporting_category": "charge",
        "source": "ch_1",
        "status": "available",
        "type": "charge",
    }
    return json.dumps(fields | changes).encode()


def read(*movements: bytes) -> Interpreted:
    said = INBOUND.interpret(system="stripe", body=settlement_body("po_1", 0, movements))
    assert isinstance(said, Interpreted), said
    return said


def test_a_page_is_named_by_its_payout_and_waits_in_its_lane() -> None:
    body = settlement_body("po_1", 3, [movement(), movement("txn_2", created=1_800_000_050)])
    envelope = INBOUND.read_envelope(body)
    assert (envelope.external_id, envelope.lane, envelope.defect) == ("payout.settled/po_1/3", "payout/po_1", None)
    assert envelope.occurred_at.timestamp() == 1_800_000_050


def test_each_movement_belongs_to_the_payout_and_tells_its_fee() -> None:
    said = read(movement(), movement("txn_2", type="payout", source="po_1", amount=-9_680, fee=0, net=-9_680))
    payout = ExternalRef("stripe", "payout", "po_1")
    assert [(seen.root, seen.root_kind) for seen in said.observations] == [(payout, EntityKind.PAYOUT)] * 2
    assert all(
        isinstance(seen.entity, BalanceMovement) and seen.entity.payout_id == "po_1" for seen in said.observations
    )
    (fee,) = said.business_events
    assert (fee.type, fee.amount, fee.note) == (EventType.FEE_CHARGED, Money(320, "USD"), "charge")
    assert fee.subject == ExternalRef("stripe", "balance_transaction", "txn_1")
    assert read(movement()).business_events == said.business_events, "told again it is the same"


@pytest.mark.parametrize(
    ("changes", "fee", "note"),
    [
        ({"type": "stripe_fee", "amount": -250, "fee": 0, "net": -250, "reporting_category": "fee"}, 250, "fee"),
        (
            {"type": "adjustment", "amount": -10_000, "fee": 1_500, "net": -11_500, "reporting_category": "dispute"},
            1_500,
            "dispute",
        ),
        (
            {"type": "refund", "amount": -5_000, "fee": -160, "net": -4_840, "reporting_category": "refund"},
            -160,
            "refund",
        ),
    ],
)
def test_a_fee_is_one_whatever_it_is_called(changes: dict[str, Any], fee: int, note: str) -> None:
    (event,) = read(movement(**changes)).business_events
    assert (event.amount, event.note) == (Money(fee, "USD"), note)


def test_arithmetic_that_is_wrong_is_kept_with_its_place() -> None:
    said = INBOUND.interpret(system="stripe", body=settlement_body("po_1", 0, [movement(), movement("txn_2", net=1)]))
    assert isinstance(said, Quarantined)
    assert said.where == "data.object.settled[1].net"
