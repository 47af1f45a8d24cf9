"""A payment from a virtual account is followed to the transfers it came with, to the unit, whatever came when."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from accordant.analytics.funding import APPLIED, FUNDED, UNAPPLIED, fundings, unexplained
from accordant.canonical.bank import CashMovement
from accordant.kernel.money import Money

AT = datetime(2026, 3, 5, tzinfo=UTC)


def moved(name: str, kind: str, minor: int, at: int, *, intent: str | None = None, of: str = "cus_1") -> CashMovement:
    return CashMovement(
        external_id=name,
        customer_id=of,
        type=kind,
        amount=Money(minor, "EUR"),
        intent_id=intent,
        reference=f"ref {name}",
        created_at=AT + timedelta(seconds=at),
    )


def eur(minor: int) -> Money:
    return Money(minor, "EUR")


def test_the_first_transfer_is_spent_first_and_a_payment_may_take_of_two() -> None:
    told = [
        moved("in_1", FUNDED, 500, 1),
        moved("in_2", FUNDED, 700, 2),
        moved("out_1", APPLIED, -300, 3, intent="pi_1"),
        moved("out_2", APPLIED, -600, 4, intent="pi_2"),
    ]
    found = fundings(told)
    assert [(part.movement.external_id, part.amount) for part in found["pi_1"].parts] == [("in_1", eur(300))]
    assert [(part.movement.external_id, part.amount) for part in found["pi_2"].parts] == [
        ("in_1", eur(200)), ("in_2", eur(400)),
    ]  # fmt: skip
    assert unexplained("ch_2", eur(600), found["pi_2"]) is None


def test_what_was_taken_back_pays_the_next_and_what_went_home_pays_nobody() -> None:
    told = [
        moved("in_1", FUNDED, 500, 1),
        moved("out_1", APPLIED, -500, 2, intent="pi_1"),
        moved("back_1", UNAPPLIED, 200, 3, intent="pi_1"),
        moved("home_1", "return_initiated", -50, 4),
        moved("out_2", APPLIED, -200, 5, intent="pi_2"),
    ]
    found = fundings(told)
    assert (found["pi_1"].taken, found["pi_2"].taken) == (eur(300), eur(200))
    assert found["pi_2"].dangling == eur(50)
    assert (
        unexplained("ch_2", eur(200), found["pi_2"]) == "ch_2: 0.50 EUR of it came with no transfer that the hub knows."
    )


def test_what_does_not_fit_is_said() -> None:
    told = fundings([moved("in_1", FUNDED, 500, 1), moved("out_1", APPLIED, -500, 2, intent="pi_1")])
    assert unexplained("ch_1", eur(600), told["pi_1"]) == (
        "ch_1 is 6.00 EUR, and 5.00 EUR was taken from the virtual account for it."
    )
    assert "nobody told" in (unexplained("ch_1", eur(600), None) or "")


def test_one_customers_money_never_pays_for_another() -> None:
    told = [moved("in_1", FUNDED, 500, 1, of="cus_2"), moved("out_1", APPLIED, -500, 2, intent="pi_1")]
    assert fundings(told)["pi_1"].dangling == eur(500)


_STEP = st.tuples(st.sampled_from(["in", "out", "back", "home"]), st.integers(1, 50), st.integers(0, 2))


@given(st.lists(_STEP, max_size=30), st.integers())
def test_no_transfer_pays_more_than_it_brought_and_no_order_of_telling_changes_what_paid_what(
    steps: list[tuple[str, int, int]], seed: int
) -> None:
    kinds = {"in": FUNDED, "out": APPLIED, "back": UNAPPLIED, "home": "return_initiated"}
    told = [
        moved(
            f"m_{at}",
            kinds[what],
            minor if what in {"in", "back"} else -minor,
            at,
            intent=f"pi_{intent}" if what in {"out", "back"} else None,
        )
        for at, (what, minor, intent) in enumerate(steps)
    ]
    found = fundings(told)
    spent: dict[str, int] = {}
    for one in found.values():
        for part in one.parts:
            assert part.amount.amount_minor > 0
            spent[part.movement.external_id] = spent.get(part.movement.external_id, 0) + part.amount.amount_minor
        assert one.dangling.amount_minor >= 0
    brought = {one.external_id: one.amount.amount_minor for one in told}
    assert all(minor <= brought[name] for name, minor in spent.items())
    shuffled = list(told)
    random.Random(seed).shuffle(shuffled)
    assert fundings(shuffled) == found
