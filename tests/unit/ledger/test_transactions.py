"""What is ordered by name: each is made of what it needs and nothing else, balances, and follows the law of its day."""

from __future__ import annotations

from datetime import date
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accordant.ledger.law import law_fact, law_facts
from accordant.ledger.transactions import RECIPES, Legs, Told, Transaction, TransactionInvalid, recipe_of

TODAY = date(2027, 3, 1)


def told(withholding: str | None = None, day: date = TODAY, **amounts: int) -> Told:
    return Told(amounts=amounts, day=day, processor="visa", withholding=withholding)


def legs(kind: Transaction, what: Told) -> Legs:
    wants = RECIPES[kind]
    customer = "cus_1" if wants.of_party else None
    sister = "Example Ltd" if wants.of_sister else None
    return recipe_of(kind, what, customer=customer, sister=sister).legs(what)


def sums(found: Legs) -> dict[str, int]:
    return {leg.use.role.value: leg.minor for leg in [*found.own, *(found.sister or [])] if leg.minor}


@pytest.mark.parametrize("kind", list(Transaction))
@given(data=st.data())
def test_every_transaction_balances_in_each_company(kind: Transaction, data: st.DataObject) -> None:
    most = 10**9
    amounts = {}
    for name in RECIPES[kind].needs:
        most = amounts[name] = data.draw(st.integers(0, most))
    person = "005" if RECIPES[kind].of_person else None
    found = legs(kind, Told(amounts=amounts, day=TODAY, processor="visa", person=person))
    for side in (found.own, found.sister or []):
        assert sum(leg.minor for leg in side) == 0


@pytest.mark.parametrize(
    ("day", "kept_back"),
    [(date(2017, 12, 31), 28_000), (date(2018, 1, 1), 24_000), (TODAY, 24_000)],
)
def test_what_is_withheld_is_what_the_law_of_the_day_says(day: date, kept_back: int) -> None:
    found = sums(legs(Transaction.SELLER_PAID, told("us_backup_withholding", day, owed=100_000)))
    assert found == {"sellers_payable": 100_000, "bank": kept_back - 100_000, "withholding_payable": -kept_back}


def test_without_withholding_the_seller_gets_everything() -> None:
    assert sums(legs(Transaction.SELLER_PAID, told(owed=100_000))) == {"sellers_payable": 100_000, "bank": -100_000}


def test_a_delivery_by_a_sister_disappears_when_the_group_is_added_up() -> None:
    found = legs(Transaction.DELIVERED_BY_SISTER, told(amount=90_000))
    assert [(leg.use.role.value, leg.minor) for leg in found.own] == [
        ("intercompany_cost", 90_000), ("intercompany_payable", -90_000),
    ]  # fmt: skip
    assert found.sister is not None
    assert [(leg.use.role.value, leg.minor) for leg in found.sister] == [
        ("intercompany_receivable", 90_000), ("intercompany_revenue", -90_000),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "what", "customer", "sister", "words"),
    [
        (Transaction.COMMISSION_EARNED, told(amounts=1), None, None, "made of amount, not of amounts"),
        (Transaction.COMMISSION_EARNED, told(), None, None, "not of nothing"),
        (Transaction.COMMISSION_EARNED, told(amount=-1), None, None, "below zero"),
        (Transaction.COMMISSION_EARNED, told("us_backup_withholding", amount=1), None, None, "Nothing is withheld"),
        (Transaction.COMMISSION_EARNED, told(amount=1), "cus_1", None, "has no customer"),
        (Transaction.SELLER_PAID, told(owed=1), None, None, "needs a customer"),
        (Transaction.DELIVERED_BY_SISTER, told(amount=1), None, None, "needs a sister"),
    ],
)
def test_what_is_missing_or_too_much_is_said(
    kind: Transaction, what: Told, customer: str | None, sister: str | None, words: str
) -> None:
    with pytest.raises(TransactionInvalid, match=words):
        recipe_of(kind, what, customer=customer, sister=sister)


def test_amounts_that_cannot_be_are_said() -> None:
    with pytest.raises(TransactionInvalid, match="more than was sold"):
        legs(Transaction.AGENT_SALE, told(gross=100, commission=101, fee=0))
    with pytest.raises(TransactionInvalid, match="No rate of 'nowhere'"):
        legs(Transaction.SELLER_PAID, told("nowhere", owed=100))
    with pytest.raises(TransactionInvalid, match="for 1999-01-01"):
        legs(Transaction.SELLER_PAID, told("us_backup_withholding", date(1999, 1, 1), owed=100))


def test_no_two_rows_of_the_law_hold_on_one_day_and_each_has_its_source() -> None:
    for one in law_facts():
        assert one.source
        assert 0 < one.number < 1
        assert law_fact(one.name, one.from_on) == one
        if one.until_on is not None:
            following = law_fact(one.name, one.until_on)
            assert following is None or following.from_on == one.until_on
    assert law_fact("us_backup_withholding", TODAY) is not None
    assert law_fact("us_backup_withholding", TODAY).number == Fraction(24, 100)  # type: ignore[union-attr]
