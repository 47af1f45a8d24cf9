"""What a bill promises and when that is earned: bundles by stand-alone price, prepaid credits, changes in mid-term."""

from __future__ import annotations

from datetime import UTC, date, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accordant.canonical.books import BundlePart, Grain, ServiceKind
from accordant.canonical.entities import Invoice, InvoiceLine, Price, RecurringPrice
from accordant.canonical.events import BusinessEvent, EventType, business_event
from accordant.kernel.money import AmountInvalid
from accordant.ledger.balances import roll_forward
from accordant.ledger.draft import Draft, History, draft
from accordant.ledger.modify import standalone_weights
from accordant.ledger.post import Reader
from accordant.ledger.setting import Setting
from tests.unit.ledger.books import RECORDED, some_books
from tests.unit.ledger.test_draft import CUSTOMER, START, Story, a_bill, balances, rate_of, ref, usd

SUITE = BundlePart(product="suite", parts={"core": "50.00", "support": "25", "training": "75.00"})


def read(story: Story, product: str = "suite", **changes: Any) -> Draft:
    setting = Setting(
        books={"billing": some_books()},
        tax_codes={"billing": "NY"},
        zone=UTC,
        grain=Grain.DAY,
        grains={},
        rate_of=rate_of,
        recorded_at=RECORDED,
    )
    history = History(events=tuple(story.events), objects=story.objects, products={"price_1": product})
    return draft(history, msgspec.structs.replace(setting, **changes), before_on=date(2027, 12, 31))


def issued(made: Draft) -> list[tuple[str | None, int]]:
    entry = next(one for one in made.entries if one.cause.rule == "invoice_issued")
    return [(one.dimensions.get("product"), one.amount.amount_minor) for one in entry.postings if one.account == "2400"]


def test_a_bundle_is_its_parts_at_their_stand_alone_prices() -> None:
    """REV06: 100.00 over 50, 25 and 75 is 33.33, 16.67 and 50.00."""
    made = read(Story().bill(a_bill(10_000)), bundles=(SUITE,))
    assert issued(made) == [("core", -3_333), ("support", -1_667), ("training", -5_000)]
    assert {one.product: one.minor for _, one in made.schedules} == {"core": 3_333, "support": 1_667, "training": 5_000}
    assert balances(made) == {"1200": 10_000, "4000": -10_000}


def test_a_row_holds_by_the_day_of_the_bill() -> None:
    later = msgspec.structs.replace(SUITE, parts={"core": "1", "support": "1"}, from_on=date(2027, 1, 2))
    story = Story().bill(a_bill(10_000, name="in_1")).bill(a_bill(10_000, name="in_2"), day=1)
    made = read(story, bundles=(SUITE, later))
    found = {one.line: one.minor for _, one in made.schedules}
    assert found["in_1/il_1/core"] == 3_333
    assert found["in_2/il_1/core"] == 5_000


@given(
    minor=st.integers(1, 10**9),
    prices=st.lists(st.decimals("0.01", "99999", places=2), min_size=2, max_size=6),
    off=st.integers(0, 50),
)
def test_the_parts_are_the_whole_to_the_unit(minor: int, prices: list[Any], off: int) -> None:
    bundle = BundlePart(product="suite", parts={f"part {at}": str(price) for at, price in enumerate(prices)})
    made = read(Story().bill(a_bill(minor, off=min(off, minor - 1))), bundles=(bundle,))
    assert sum(minor for _, minor in issued(made)) == min(off, minor - 1) - minor
    assert balances(made)["4000"] == min(off, minor - 1) - minor


@pytest.mark.parametrize("prices", [["0"], ["-1"], ["ten"], []])
def test_a_price_that_is_none_is_refused(prices: list[str]) -> None:
    with pytest.raises(AmountInvalid):
        standalone_weights(prices)


# -- prepaid credits ---------------------------------------------------------------------------------------------------


def drawn(minor: int, *, day: int, key: str = "") -> BusinessEvent:
    at = START + timedelta(days=day)
    return business_event(
        EventType.CREDITS_DRAWN, subject=ref("invoice", "in_1"), root=CUSTOMER, occurred_at=at, change=key,
        amount=usd(minor),
    )  # fmt: skip


def prepaid(*draws: BusinessEvent) -> Story:
    story = Story().bill(a_bill(9_000))
    story.events.extend(draws)
    return story


PREPAID = {"suite": ServiceKind.PREPAID}


def test_prepaid_credits_are_earned_when_they_are_drawn_and_the_rest_when_they_end() -> None:
    made = read(prepaid(drawn(2_000, day=10), drawn(1_000, day=40, key="2")), services=PREPAID)
    months = [
        (first, roll_forward(made.entries, account="2400", first_on=first, after_on=after).recognised)
        for first, after in (
            (date(2027, 1, 1), date(2027, 2, 1)),
            (date(2027, 2, 1), date(2027, 3, 1)),
            (date(2027, 3, 1), date(2027, 4, 1)),
            (date(2027, 4, 1), date(2027, 5, 1)),
        )
    ]
    # The bill is of 90 days, until the first of April: what nobody drew by then is earned on that day.
    assert [minor for _, minor in months] == [2_000, 1_000, 0, 6_000]
    assert balances(made) == {"1200": 9_000, "4000": -9_000}


@given(parts=st.lists(st.integers(1, 9_000), max_size=5))
def test_never_more_is_drawn_than_there_is(parts: list[int]) -> None:
    made = read(prepaid(*(drawn(part, day=at, key=str(at)) for at, part in enumerate(parts, 1))), services=PREPAID)
    taken = 0
    for part in parts:
        taken += part if taken + part <= 9_000 else 0
    posted = [one for one in made.entries if one.cause.rule == "credits_drawn"]
    assert sum(one.total_minor for one in posted) == taken
    assert len(made.unposted) == len(parts) - len(posted)
    assert all("is more than the" in str(one.refusals[0]) for one in made.unposted)


@given(applied=st.integers(0, 5_000), off=st.integers(0, 1_000))
def test_what_credits_pay_of_a_bill_is_earned_once_of_the_bill_that_sold_them(applied: int, off: int) -> None:
    """90.00 of credits are sold; of a bill of 50.00 for use some is paid with them, after a discount."""
    story = Story().bill(a_bill(9_000))
    used = a_bill(5_000, off=off, name="in_2")
    credited = min(applied, 5_000 - off)
    line = msgspec.structs.replace(used.lines[0], credits_minor=credited, price_id="price_2")
    asked = usd(5_000 - off - credited)
    story.bill(msgspec.structs.replace(used, lines=(line,), total=asked, amount_due=asked), day=30)
    if credited:
        story.events.append(drawn(credited, day=30))
    products = {"price_1": "suite", "price_2": "calls"}
    history = History(events=tuple(story.events), objects=story.objects, products=products)
    setting = Setting(
        books={"billing": some_books()}, tax_codes={"billing": "NY"}, zone=UTC, grain=Grain.DAY, grains={},
        rate_of=rate_of, recorded_at=RECORDED, services=PREPAID,
    )  # fmt: skip
    made = draft(history, setting, before_on=date(2027, 12, 31))
    assert balances(made) == {"1200": 9_000 + asked.amount_minor, "4000": -9_000 - asked.amount_minor}


def test_what_is_no_prepaid_product_cannot_be_drawn() -> None:
    made = read(prepaid(drawn(2_000, day=10)))
    assert "has no prepaid credits" in str(made.unposted[0].refusals[0])


# -- changes in mid-term -----------------------------------------------------------------------------------------------


def changed(*minors: int, off: int = 0) -> Invoice:
    bill = a_bill(0)
    lines = tuple(
        InvoiceLine(external_id=f"il_{at}", amount_minor=minor, price_id="price_1", subscription_id="sub_1",
                    proration=True, period_starts_at=START, period_ends_at=START + timedelta(days=30))
        for at, minor in enumerate(minors)
    )  # fmt: skip
    return msgspec.structs.replace(bill, lines=lines, total=usd(sum(minors) - off), discount=usd(off))


@pytest.mark.parametrize(
    ("bill", "treatment"),
    [
        (changed(-1_000, 3_000), "prospective"),
        (changed(3_000), "separate"),
        (changed(3_000, off=500), "prospective"),
        (changed(-1_000, 800, 700), "prospective"),
    ],
)
def test_what_is_added_at_its_price_is_a_contract_of_its_own_and_the_rest_is_prospective(
    bill: Invoice, treatment: str
) -> None:
    made = read(Story().bill(bill))
    entry = next(one for one in made.entries if one.cause.rule == "invoice_issued")
    assert {one.dimensions.get("treatment") for one in entry.postings if one.account == "2400"} == {treatment}


def test_what_has_not_begun_begins_when_it_would_have_after_a_part_is_given_back() -> None:
    bill = a_bill(9_000)
    line = msgspec.structs.replace(
        bill.lines[0], period_starts_at=START + timedelta(days=31), period_ends_at=START + timedelta(days=59)
    )
    story = Story().bill(msgspec.structs.replace(bill, lines=(line,))).pay(9_000, day=1)
    from tests.unit.ledger.test_abroad import give_back

    give_back(story, 4_500, day=10, name="re_1")
    made = read(story)
    (january, february) = (
        roll_forward(made.entries, account="2400", first_on=first, after_on=after)
        for first, after in ((date(2027, 1, 1), date(2027, 2, 1)), (date(2027, 2, 1), date(2027, 3, 1)))
    )
    assert (january.recognised, february.recognised) == (0, 4_500)


# -- usage -------------------------------------------------------------------------------------------------------------


def used(*, metered: bool) -> Price:
    recurring = RecurringPrice(currency="USD", unit_minor="5", interval="month", interval_count=1, metered=metered)
    return Price(external_id="price_1", product_id="suite", recurring=recurring)


def in_arrears() -> Story:
    """A bill on the day on which the period of its line is over."""
    return Story().bill(a_bill(9_000, days=31), day=31)


@pytest.mark.parametrize(
    ("metered", "services", "is_usage"),
    [
        (True, {}, True),
        (False, {}, False),
        (False, {"suite": ServiceKind.USAGE}, True),
        (True, {"suite": ServiceKind.PREPAID}, False),
    ],
)
def test_what_is_metered_is_usage_unless_the_charter_says_otherwise(
    metered: bool, services: dict[str, ServiceKind], is_usage: bool
) -> None:
    story = in_arrears()
    story.objects[ref("price", "price_1")] = used(metered=metered)
    ((_, schedule),) = read(story, services=services).schedules
    assert schedule.is_usage is is_usage


def test_a_bill_for_a_period_that_is_over_is_looked_at_again_with_the_prices_it_lacks() -> None:
    """Whether that was used is not to depend on what arrived first."""
    setting = Setting(
        books={"billing": some_books()}, tax_codes={"billing": "NY"}, zone=UTC, grain=Grain.DAY, grains={},
        rate_of=rate_of, recorded_at=RECORDED,
    )  # fmt: skip
    for story, pair in ((in_arrears(), ref("price", "price_1")), (Story().bill(a_bill()), None)):
        outcome = Reader(setting, story.objects, products={}).take(story.events[0])
        assert outcome is not None
        assert outcome.entry is not None
        assert outcome.pair == pair
