"""How a customer's revenue moved, out of the stored events, in the owner's order whatever came first; both stores."""

from __future__ import annotations

import random
from datetime import UTC
from pathlib import Path

import pytest

from accordant.analytics.movements import MovementKind
from accordant.canonical.refs import ExternalRef
from tests.integration.operations.kit import an_installation
from tests.integration.operations.test_review import touch


@pytest.mark.parametrize("seed", [0, 1])
async def test_what_was_bought_changed_and_given_up_is_told_in_its_order(
    store_url: str, tmp_path: Path, seed: int
) -> None:
    async with an_installation(store_url, tmp_path) as one:
        customer, other = one.sell(2)
        for quantity in (3, 2):
            touch(one, customer, quantity)
        one.stripe.advance(60)
        one.clock.move(seconds=60)
        mine = next(seen for seen in one.stripe.book.table("subscription").values() if seen["customer"] == customer)
        one.stripe.account.billing.cancel(mine)
        said = list(one.events())
        random.Random(seed).shuffle(said)
        one.hub.inbox.accept([one.arrival(event.body()) for event in said])
        one.process()
        crosswalk = {link.id: ref.id for link, ref in one.hub.state.links(_refs(customer, other)).items()}
        moved = one.hub.movements(crosswalk[customer], as_of=one.clock(), zone=UTC)
        assert [(step.kind, str(step.before), str(step.after)) for step in moved] == [
            (MovementKind.NEW, "0.00 USD", "100.00 USD"),
            (MovementKind.EXPANSION, "100.00 USD", "300.00 USD"),
            (MovementKind.CONTRACTION, "300.00 USD", "200.00 USD"),
            (MovementKind.CHURN, "200.00 USD", "0.00 USD"),
        ]
        (only,) = one.hub.movements(crosswalk[other], as_of=one.clock(), zone=UTC)
        assert only.kind is MovementKind.NEW
        assert one.hub.movements("acc_nobody", as_of=one.clock(), zone=UTC) == ()


def _refs(*names: str) -> list[ExternalRef]:
    return [ExternalRef("stripe", "customer", name) for name in names]
