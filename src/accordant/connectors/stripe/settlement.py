"""What a payout settled: Stripe's list of balance movements as a body for the inbox, and what that body says.

Stripe sends no event for a movement, so the list is fetched and kept like one. Guarantees: a page is named by its
payout and its place, whenever it is asked for. Next: inbound.py, which hands it here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from accordant.canonical.entities import BalanceMovement
from accordant.canonical.events import BusinessEvent, EventType, business_event
from accordant.canonical.observations import Interpreted, Observation
from accordant.canonical.refs import EntityKind, ExternalRef
from accordant.connectors.sdk.decode import JsonObject
from accordant.connectors.stripe import inbound_money as money
from accordant.connectors.stripe import shapes
from accordant.connectors.stripe.shapes import Unfit
from accordant.kernel.money import Money

#: The type of such a body. It is our own word: no endpoint delivers it.
SETTLED = "payout.settled"
#: Movements that are a fee in themselves: their amount is what we pay.
#: https://docs.stripe.com/reports/balance-transaction-types
_FEES = frozenset(("stripe_fee", "stripe_fx_fee", "tax_fee", "network_cost", "application_fee"))


class _Stamp(msgspec.Struct):
    created: int


_STAMP = msgspec.json.Decoder(_Stamp)


def settlement_body(payout_id: str, number: int, movements: Sequence[bytes]) -> bytes:
    """Page ``number`` of what a payout settled, in the outline of an event, so that it finds its lane like one."""
    return msgspec.json.encode(
        {
            "id": f"{SETTLED}/{payout_id}/{number}",
            "object": "event",
            "type": SETTLED,
            "created": max(_STAMP.decode(one).created for one in movements),
            "data": {
                "object": {
                    "object": "payout",
                    "id": payout_id,
                    "settled": [msgspec.Raw(one) for one in movements],
                }
            },
        }
    )


def interpret_settlement(system: str, part: JsonObject) -> Interpreted:
    """Every movement of the page, each fee and conversion once. Raises Unfit with the place of what does not fit."""
    payout_id = shapes.identifier(part)
    root = ExternalRef(system, "payout", payout_id)
    observations: list[Observation] = []
    events: list[BusinessEvent] = []
    for index, raw in enumerate(shapes.objects(part, "settled")):
        try:
            observations.append(_movement(system, root, raw))
            events += _fee(root, observations[-1], raw)
            events += _converted(root, observations[-1], raw)
        except Unfit as error:
            raise error.below(f"settled[{index}]") from None
    return Interpreted(tuple(observations), tuple(events))


def _movement(system: str, root: ExternalRef, raw: JsonObject) -> Observation:
    moved = msgspec.structs.replace(money.balance_movement(raw), payout_id=root.id)
    return Observation(
        ref=ExternalRef(system, "balance_transaction", moved.external_id),
        root=root,
        root_kind=EntityKind.PAYOUT,
        entity=moved,
        observed_at=shapes.instant(raw, "created"),
    )


def _fee(root: ExternalRef, seen: Observation, raw: JsonObject) -> Iterator[BusinessEvent]:
    moved = seen.entity
    assert isinstance(moved, BalanceMovement)  # noqa: S101  built just now; said for the type checker
    fee = Money(-moved.amount.amount_minor, moved.amount.currency) if moved.type in _FEES else moved.fee
    if fee.amount_minor:
        yield business_event(
            EventType.FEE_CHARGED,
            subject=seen.ref,
            root=root,
            occurred_at=seen.observed_at,
            amount=fee,
            note=shapes.text_or_none(raw, "reporting_category") or moved.type,
        )


def _converted(root: ExternalRef, seen: Observation, raw: JsonObject) -> Iterator[BusinessEvent]:
    """What Stripe's own rate made of money in another currency. A movement that was not converted has no rate."""
    moved = seen.entity
    assert isinstance(moved, BalanceMovement)  # noqa: S101  built just now; said for the type checker
    if raw.get("exchange_rate") is not None and moved.amount.amount_minor:
        yield business_event(
            EventType.FUNDS_CONVERTED,
            subject=seen.ref,
            root=root,
            occurred_at=seen.observed_at,
            amount=moved.amount,
        )
