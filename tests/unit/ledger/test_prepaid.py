"""Credits whose grants billing keeps: sold by a bill, drawn, given back and ended, in any order of arrival."""

from __future__ import annotations

from datetime import UTC, date, timedelta
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accordant.canonical.books import Grain, ServiceKind
from accordant.canonical.entities import Invoice
from accordant.canonical.events import BusinessEvent, EventType, business_event
from accordant.ledger.balances import roll_forward, trial_balance
from accordant.ledger.draft import Draft, History, draft
from accordant.ledger.entries import JournalEntry
from accordant.ledger.meanings.reading import allocations_of
from accordant.ledger.post import Posted, Reader, in_order
from accordant.ledger.setting import Setting
from tests.unit.ledger.books import RECORDED, some_books
from tests.unit.ledger.test_draft import CUSTOMER, START, Story, a_bill, balances, rate_of, ref, usd
from tests.unit.ledger.test_void import void

SETTING = Setting(
    books={"billing": some_books()}, tax_codes={"billing": "NY"}, zone=UTC, grain=Grain.DAY, grains={},
    rate_of=rate_of, recorded_at=RECORDED, services={"credits": ServiceKind.PREPAID},
)  # fmt: skip
PRODUCTS = {"price_1": "credits"}


def grant(story: Story, minor: int, *, bill: str | None = "in_1", name: str = "credgr_1", day: int = 0) -> None:
    root = CUSTOMER if bill is None else ref("invoice", bill)
    story.events.append(
        business_event(EventType.CREDITS_GRANTED, subject=ref("credit_grant", name), root=root, change=bill or "",
                       occurred_at=START + timedelta(days=day), amount=usd(minor))
    )  # fmt: skip


def move(story: Story, minor: int, *, day: int, name: str = "credgr_1") -> None:
    subject = ref("credit_grant", name)
    at = START + timedelta(days=day)
    story.events.append(
        business_event(EventType.CREDITS_DRAWN, subject=subject, root=subject, change=f"cbtxn_{len(story.events)}",
                       occurred_at=at, amount=usd(minor))
    )  # fmt: skip


def sold(price: int = 10_000, granted: int = 10_000, *, days: int = 30) -> Story:
    """A bill of credits, and their grant; a line without days has no period."""
    story = Story().bill(a_bill(price, days=days))
    grant(story, granted)
    return story


def read(story: Story) -> Draft:
    return draft(
        History(events=tuple(story.events), objects=story.objects, products=PRODUCTS), SETTING,
        before_on=date(2028, 12, 31),
    )  # fmt: skip


def months(made: Draft) -> list[int]:
    """What each month from January on recognised of what was deferred."""
    days = [date(2027, month, 1) for month in range(1, 7)]
    return [
        roll_forward(made.entries, account="2400", first_on=first, after_on=after).recognised
        for first, after in pairwise(days)
    ]


@pytest.mark.parametrize("days", [0, 30, 365])
def test_granted_100_drawn_30_drawn_50_expired_20(days: int) -> None:
    """The period of the line does not matter: the grant says when the credits end."""
    story = sold(days=days)
    for minor, day in ((3_000, 10), (5_000, 40), (2_000, 100)):
        move(story, minor, day=day)
    made = read(story)
    assert months(made) == [3_000, 5_000, 0, 2_000, 0]
    assert balances(made) == {"1200": 10_000, "4000": -10_000}


def test_what_nobody_draws_is_deferred_until_it_ends() -> None:
    """A line without a period was earned on the day of its bill."""
    for story in (sold(days=0), sold(days=30), Story().bill(a_bill(10_000, days=0))):
        assert balances(read(story)) == {"1200": 10_000, "2400": -10_000}


def test_credits_sold_for_less_than_they_pay_earn_their_part_of_the_price() -> None:
    """120.00 of credits for 100.00: 30.00 of them are 25.00, and a third each comes to the whole to the cent."""
    story = sold(10_000, 12_000)
    move(story, 3_000, day=10)
    assert months(read(story))[0] == 2_500
    thirds = sold(10_000, 3)
    for day in (10, 40, 70):
        move(thirds, 1, day=day)
    assert months(read(thirds))[:3] == [3_333, 3_334, 3_333]


def test_what_a_void_bill_was_paid_with_is_deferred_again() -> None:
    story = sold()
    for minor, day in ((10_000, 10), (-4_000, 40), (1_000, 70)):
        move(story, minor, day=day)
    made = read(story)
    assert months(made) == [10_000, -4_000, 1_000, 0, 0]
    assert balances(made) == {"1200": 10_000, "2400": -3_000, "4000": -7_000}
    texts = [one.text for one in made.entries if one.cause.rule == "credits_drawn"]
    assert texts == ["Credits drawn of Invoice IN_1", "Credits reinstated of Invoice IN_1", texts[0]]


def test_what_was_given_for_nothing_earns_nothing_and_what_is_not_known_waits() -> None:
    story = sold()
    grant(story, 5_000, bill=None, name="credgr_2")
    move(story, 5_000, day=5, name="credgr_2")
    move(story, 1_000, day=6, name="credgr_3")
    made = read(story)
    (waits,) = made.unposted
    assert waits.refusals[0].waits_for == "billing:credit_grant/credgr_3"
    assert not [one for one in made.entries if one.cause.rule == "credits_drawn"]


def test_a_grant_whose_bill_is_named_later_is_earned_from_there() -> None:
    story = Story().bill(a_bill(10_000))
    grant(story, 10_000, bill=None)
    move(story, 3_000, day=10)
    grant(story, 10_000)
    assert balances(read(story)) == {"1200": 10_000, "2400": -7_000, "4000": -3_000}


@pytest.mark.parametrize("moves", [(10_001,), (6_000, 4_001), (-1,), (500, -501)])
def test_never_more_is_earned_than_was_sold_nor_comes_back_than_was_earned(moves: tuple[int, ...]) -> None:
    story = sold()
    for day, minor in enumerate(moves, 1):
        move(story, minor, day=day)
    earned = min(max(sum(moves), 0), 10_000)
    assert -balances(read(story)).get("4000", 0) == earned


def test_of_one_second_it_does_not_matter_what_is_read_first() -> None:
    """The bill that was paid with all the credits is void in the second in which the grant is."""
    for ended in (1, -1):
        story = sold()
        move(story, 10_000, day=5)
        for minor in (ended * 10_000, -ended * 10_000):
            move(story, minor, day=10)
        assert balances(read(story)) == {"1200": 10_000, "4000": -10_000}


def test_a_bill_of_another_currency_does_not_sell_them() -> None:
    story = sold()
    bill = story.objects[ref("invoice", "in_1")]
    assert isinstance(bill, Invoice)
    at = START + timedelta(days=5)
    event = business_event(
        EventType.CREDITS_DRAWN, subject=ref("credit_grant", "credgr_1"), root=CUSTOMER, occurred_at=at,
        amount=msgspec.structs.replace(bill.total, currency="EUR"),
    )  # fmt: skip
    story.events.append(event)
    (refused,) = read(story).unposted
    assert "is in USD, and not in EUR" in str(refused.refusals[0])


def kept(story: Story, batches: list[list[int]]) -> tuple[dict[str, int], set[str]]:
    """What stands when the events arrive in these batches, each read with all that is known then."""
    posted: dict[str, Posted] = {}
    entries: dict[str, JournalEntry] = {}
    refused, known = set[str](), list[BusinessEvent]()
    for batch in batches:
        known += [story.events[at] for at in batch]
        reader = Reader(SETTING, story.objects, products=PRODUCTS, posted=posted, allocations=allocations_of(known))
        outcomes = [reader.take(event) for event in in_order(known)]
        parts = [part for one in outcomes if one is not None for part in one.parts]
        entries |= {entry.id: entry for part in parts for entry in part.fresh}
        posted |= {part.key: Posted(entry=part.latest, asked=part.asked) for part in parts if part.latest is not None}
        refused = {part.key for part in parts if part.refusals}
    found = {row.account: row.balance_minor for row in trial_balance(entries.values()) if row.balance_minor}
    return found, refused


@given(st.data())
def test_any_order_of_arrival_comes_to_the_same_books(data: st.DataObject) -> None:
    """OR5: the bill, two grants of it, one given for nothing, draws, what comes back, and the end."""
    price, granted = data.draw(st.integers(1, 20_000)), data.draw(st.integers(100, 20_000))
    story = sold(price, granted, days=data.draw(st.sampled_from((0, 30))))
    grant(story, 100, name="credgr_2", day=data.draw(st.integers(0, 3)))
    grant(story, 700, name="credgr_3", bill=None)
    parts = data.draw(st.lists(st.integers(1, granted), max_size=4))
    for day, part in enumerate(parts, 4):
        move(story, part, day=day)
    if parts:
        move(story, -data.draw(st.integers(1, parts[0])), day=10)
    move(story, 100, day=12, name="credgr_2")
    move(story, 300, day=13, name="credgr_3")
    if data.draw(st.booleans()):
        void(story, day=data.draw(st.integers(4, 14)))
    order = data.draw(st.permutations(range(len(story.events))))
    size = data.draw(st.integers(1, len(order)))
    told = kept(story, [list(range(len(story.events)))])
    assert kept(story, [list(order[at : at + size]) for at in range(0, len(order), size)]) == told
    assert told[0].get("1200", 0) in {0, price}
    assert -told[0].get("1200", 0) <= told[0].get("4000", 0) <= 0
