"""Contracts that are earned otherwise than they are billed: ramps of prices for an equal service, projects by progress.

Numbers of ASC 606-10-55-129 to 55-133 (example 8), and finance.md REV11, REV16, REV18.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accordant.canonical.books import Grain, Role, ServiceKind
from accordant.canonical.entities import Invoice, InvoiceLine, Subscription, SubscriptionItem
from accordant.canonical.events import EventType, business_event
from accordant.canonical.words import ContractTerms, Said
from accordant.kernel.money import round_half_up
from accordant.ledger.balances import remaining_obligation, roll_forward, trial_balance
from accordant.ledger.compose import Books
from accordant.ledger.draft import Draft, History, draft
from accordant.ledger.modify import Treatment
from accordant.ledger.periods import months
from accordant.ledger.schedule import earned_before, in_books, next_month
from accordant.ledger.setting import Setting
from tests.unit.ledger.books import RECORDED
from tests.unit.ledger.test_abroad import abroad, credit, give_back
from tests.unit.ledger.test_draft import CUSTOMER, START, Story, a_bill, rate_of, ref, usd, with_refunds_owed

DEFERRED, ASSET, REVENUE, CONTRA = "2400", "1250", "4000", "4900"
SUB = ref("subscription", "sub_1")
PROJECT = {"pro": ServiceKind.PROJECT}
YEARS = [START + timedelta(days=365 * at) for at in range(4)]


def some_years(chart: Any = None) -> Books:
    periods = tuple(one for year in range(2026, 2033) for one in months("Example Inc.", year=year))
    return msgspec.structs.replace(with_refunds_owed(), periods=periods, **({} if chart is None else {"chart": chart}))


def read(story: Story, *, until: date = date(2031, 1, 1), books: Books | None = None, **changes: Any) -> Draft:
    setting = Setting(
        books={"billing": books or some_years()},
        tax_codes={"billing": "NY"},
        zone=UTC,
        grain=Grain.DAY,
        grains={},
        rate_of=rate_of,
        recorded_at=datetime.combine(until, RECORDED.time(), UTC),
    )
    history = History(
        events=tuple(story.events), objects=story.objects, products={"price_1": "pro", "price_2": "daily"}
    )
    return draft(history, msgspec.structs.replace(setting, **changes), before_on=until)


def stands(made: Draft, *, before_on: date | None = None) -> dict[str, int]:
    assert made.unposted == ()
    rows = trial_balance(made.entries, before_on=before_on)
    assert sum(row.balance_minor for row in rows) == 0
    return {row.account: row.balance_minor for row in rows if row.balance_minor}


def a_line(
    minor: int, *, name: str = "il_1", starts: int = 0, ends: int = 365, price: str = "price_1", proration: bool = False
) -> InvoiceLine:
    return InvoiceLine(
        external_id=name, amount_minor=minor, price_id=price, subscription_id="sub_1", proration=proration,
        period_starts_at=START + timedelta(days=starts), period_ends_at=START + timedelta(days=ends),
    )  # fmt: skip


def billed(*lines: InvoiceLine, name: str = "in_1") -> Invoice:
    total = sum(line.amount_minor for line in lines)
    return msgspec.structs.replace(a_bill(total, name=name), lines=lines)


def agree(
    story: Story, minor: int, *, day: int = 0, days: int = 1095, ended: int | None = None, starts: int = 0
) -> Story:
    """A person says what the whole ramp comes to, on the evening of that day."""
    ended_at = None if ended is None else START + timedelta(days=ended)
    story.objects[SUB] = Subscription(
        external_id="sub_1", customer_id="cus_1", status="active" if ended is None else "canceled", ended_at=ended_at,
        items=(SubscriptionItem(external_id="si_1", price_id="price_1", product_id="pro", plan_name=None, quantity=1,
                                recurring=None),),
    )  # fmt: skip
    first = (START + timedelta(days=starts)).date()
    story.events.append(
        business_event(
            EventType.RAMP_AGREED, subject=SUB, root=CUSTOMER, change=f"said/{day}/{minor}", amount=usd(minor),
            occurred_at=START + timedelta(days=day, hours=23, minutes=59),
            said=Said(by="ann", terms=ContractTerms(starts_on=first, ends_on=(START + timedelta(days=days)).date())),
        )
    )  # fmt: skip
    return story


def measure(
    story: Story, progress: str, *, day: int, price: int | None = None, bill: str = "in_1", product: str | None = None
) -> Story:
    """A person says how far the project of a bill is, on the evening of that day."""
    story.events.append(
        business_event(
            EventType.PROGRESS_MEASURED, subject=ref("invoice", bill), root=CUSTOMER, change=f"said/{day}/{progress}",
            occurred_at=START + timedelta(days=day, hours=23, minutes=59), amount=None if price is None else usd(price),
            said=Said(by="ann", terms=ContractTerms(progress=progress, product=product)),
        )
    )  # fmt: skip
    return story


def a_ramp() -> Story:
    """Three years of an equal service at 100,000, 150,000 and 200,000 cents, billed as each begins."""
    story = Story()
    for at, minor in enumerate((100_000, 150_000, 200_000)):
        line = a_line(minor, starts=365 * at, ends=365 * (at + 1))
        story.bill(billed(line, name=f"in_{at + 1}"), day=365 * at)
    return agree(story, 450_000)


# -- ramps -------------------------------------------------------------------------------------------------------------


def test_a_ramp_is_earned_evenly_and_the_gap_to_what_was_billed_is_an_asset() -> None:
    """REV16: 150,000 a year, 50,000 more than was billed in the first, and nothing is left in the end."""
    made = read(a_ramp())
    assert stands(made, before_on=date(2028, 1, 1)) == {"1200": 100_000, ASSET: 50_000, REVENUE: -150_000}
    for month_on in month_starts(date(2027, 2, 1), date(2030, 2, 1)):
        found, days = stands(made, before_on=month_on), (month_on - START.date()).days
        earned = min(Fraction(450_000 * days, 1095), Fraction(450_000))
        was_billed = 100_000 + 150_000 * (days > 365) + 200_000 * (days > 730)
        assert abs(-found[REVENUE] - earned) <= 2
        net = was_billed + found[REVENUE]
        assert (found.get(DEFERRED, 0), found.get(ASSET, 0)) == (-max(net, 0), max(-net, 0))
    assert stands(made) == {"1200": 450_000, REVENUE: -450_000}


def month_starts(first: date, after: date) -> list[date]:
    found = [first]
    while found[-1] < after:
        found.append((found[-1] + timedelta(days=31)).replace(day=1))
    return found[:-1]


def test_a_ramp_that_is_billed_ahead_is_deferred() -> None:
    story = (
        Story()
        .bill(billed(a_line(200_000)), day=0)
        .bill(billed(a_line(100_000, starts=365, ends=730), name="in_2"), day=365)
    )
    made = read(agree(story, 300_000, days=730))
    found = stands(made, before_on=date(2028, 1, 1))
    assert (found[REVENUE], found[DEFERRED], found.get(ASSET)) == (-150_000, -50_000, None)


def test_every_month_of_a_ramp_earns_what_its_days_are_of_the_whole() -> None:
    made = read(a_ramp())
    for month_on in (date(2027, 1, 1), date(2027, 12, 1), date(2028, 2, 1), date(2029, 6, 1)):
        after_on = (month_on + timedelta(days=31)).replace(day=1)
        done = [
            one
            for one in made.entries
            if one.cause.rule == "revenue_recognised" and month_on <= one.posted_on < after_on
        ]
        minor = -sum(leg.amount.amount_minor for one in done for leg in one.postings if leg.role is Role.REVENUE)
        assert abs(minor - Fraction(450_000 * (after_on - month_on).days, 1095)) <= 2


def test_what_was_billed_before_the_ramp_was_agreed_is_part_of_it() -> None:
    late = Story().bill(billed(a_line(100_000)))
    made = read(agree(late, 450_000, day=31), until=date(2027, 3, 1))
    found = stands(made)
    # January by its own bill, February by what is left over what is left.
    january = round_half_up(Fraction(100_000 * 31, 365))
    february = Fraction((450_000 - january) * 28, 1095 - 31)
    assert abs(-found[REVENUE] - january - february) <= 2


def test_an_amendment_is_earned_over_what_is_left() -> None:
    story = agree(a_ramp(), 600_000, day=365)
    made = read(story, until=date(2028, 7, 1))
    earned = -stands(made)[REVENUE]
    assert abs(earned - 150_000 - Fraction(450_000 * 182, 730)) <= 2


def test_what_is_left_unbilled_when_the_service_stops_never_was_revenue() -> None:
    story = Story().bill(billed(a_line(100_000)))
    agree(story, 450_000, ended=365)
    made = read(story, until=date(2028, 3, 1))
    assert stands(made, before_on=date(2028, 1, 1))[ASSET] == 50_000
    assert stands(made) == {"1200": 100_000, REVENUE: -100_000}


def test_a_bill_after_the_service_stopped_is_earned_at_once() -> None:
    story = Story().bill(billed(a_line(100_000)))
    agree(story, 450_000, ended=181)
    story.bill(billed(a_line(-40_000, starts=181, ends=365, proration=True), name="in_2"), day=190)
    made = read(story, until=date(2027, 8, 1))
    assert stands(made) == {"1200": 60_000, REVENUE: -60_000}


def test_a_refund_in_mid_term_takes_back_as_much_as_was_earned_of_it() -> None:
    story = a_ramp().pay(100_000, day=1)
    give_back(story, 30_000, day=365, name="re_1")
    made = read(story)
    found = stands(made)
    # A third of the term was over.
    assert found[CONTRA] == 10_000
    assert found[REVENUE] + found[CONTRA] == -420_000
    assert DEFERRED not in found
    assert ASSET not in found


def test_a_void_bill_of_a_ramp_is_billed_again_and_nothing_of_it_is_lost() -> None:
    story = a_ramp()
    story.tell(EventType.INVOICE_VOIDED, ref("invoice", "in_2"), story.objects[ref("invoice", "in_2")], day=400)
    made = read(story, until=date(2028, 6, 1))
    found = stands(made)
    earned = Fraction(450_000 * (date(2028, 6, 1) - START.date()).days, 1095)
    assert abs(-found[REVENUE] - earned) <= 3
    assert found[ASSET] == -found[REVENUE] - 100_000
    story.bill(billed(a_line(150_000, starts=365, ends=730), name="in_4"), day=420)
    assert stands(read(story)) == {"1200": 450_000, REVENUE: -450_000}


def test_a_bill_for_after_the_term_is_earned_by_itself() -> None:
    story = a_ramp().bill(billed(a_line(36_500, starts=1095, ends=1460), name="in_4"), day=1095)
    before = stands(read(a_ramp(), until=date(2029, 12, 31)))
    assert stands(read(story, until=date(2029, 12, 31)))[REVENUE] == before[REVENUE]
    assert stands(read(story, until=date(2030, 2, 1)))[REVENUE] == -450_000 - 3_200  # from the last day of December on


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda story: agree(story, 90_000), "is agreed and"),
        (lambda story: agree(story, 450_000, day=400, ended=300), "ended on"),
    ],
)
def test_what_cannot_be_agreed_is_refused_with_its_reason(change: Any, words: str) -> None:
    story = change(Story().bill(billed(a_line(100_000))))
    made = read(story, until=date(2029, 1, 1))
    assert words in str(made.unposted[0].refusals[0])
    # The bill is earned by itself as before.
    assert stands(msgspec.structs.replace(made, unposted=())) == {"1200": 100_000, REVENUE: -100_000}


def test_a_ramp_of_an_unknown_subscription_waits_for_it() -> None:
    story = agree(Story(), 450_000)
    del story.objects[SUB]
    (held,) = read(story).unposted
    assert held.refusals[0].waits_for == "billing:subscription/sub_1"


def test_without_an_account_for_the_asset_the_month_is_refused_and_the_row_is_named() -> None:
    chart = with_refunds_owed().chart
    narrow = msgspec.structs.replace(
        chart, rules=tuple(one for one in chart.rules if one.role is not Role.CONTRACT_ASSET)
    )
    made = read(a_ramp(), books=some_years(narrow), until=date(2028, 1, 1))
    (held,) = made.unposted
    assert "no row for contract_asset" in str(held.refusals[0])
    assert str(held.subject) == str(SUB)


# -- projects ----------------------------------------------------------------------------------------------------------


def test_a_project_is_earned_as_far_as_it_is_and_a_change_of_its_price_is_caught_up_with() -> None:
    """REV11: 51.2 % of 1,350,000 less the 600,000 of before is 91,200; of the very costs it is 91,463.41."""
    for progress, catch_up in (("51.2", 9_120_000), ("420000/820000", 9_146_341)):
        story = Story().bill(billed(a_line(100_000_000)))
        measure(story, "60", day=364)
        story.bill(billed(a_line(35_000_000), name="in_2"), day=380)
        measure(story, progress, day=380)
        made = read(story, until=date(2028, 2, 1), services=PROJECT)
        assert stands(made, before_on=date(2028, 1, 1))[REVENUE] == -60_000_000
        assert -stands(made)[REVENUE] == 60_000_000 + catch_up
        (month,) = [one for one in made.entries if one.posted_on == date(2028, 1, 31)]
        of_revenue = [leg for leg in month.postings if leg.role is Role.REVENUE]
        assert [leg.dimensions["treatment"] for leg in of_revenue] == [Treatment.CATCH_UP]
        assert treatments(made, "in_2") == {Treatment.CATCH_UP}
        assert treatments(made, "in_1") == {None}


def treatments(made: Draft, bill: str, rule: str = "invoice_issued") -> set[str | None]:
    entry = next(one for one in made.entries if one.cause.rule == rule and one.number == bill.upper())
    return {leg.dimensions.get("treatment") for leg in entry.postings if leg.role is Role.DEFERRED_REVENUE}


def test_a_project_earns_nothing_before_its_progress_is_told() -> None:
    made = read(Story().bill(billed(a_line(100_000))), services=PROJECT)
    assert stands(made) == {"1200": 100_000, DEFERRED: -100_000}
    assert remaining_obligation([one for _, one in made.schedules], as_of_on=date(2031, 1, 1)) == 100_000


def test_what_was_done_and_is_not_billed_of_a_project_is_an_asset() -> None:
    story = Story().bill(billed(a_line(30_000)))
    measure(story, "60", day=10, price=100_000)
    made = read(story, until=date(2027, 2, 1), services=PROJECT)
    assert stands(made) == {"1200": 30_000, ASSET: 30_000, REVENUE: -60_000}
    story.bill(billed(a_line(70_000), name="in_2"), day=40)
    found = stands(read(story, until=date(2027, 3, 1), services=PROJECT))
    assert found == {"1200": 100_000, DEFERRED: -40_000, REVENUE: -60_000}


def test_a_credit_on_a_project_takes_back_as_much_as_was_done() -> None:
    from accordant.canonical.entities import CreditNote

    story = Story().bill(billed(a_line(100_000)))
    measure(story, "60", day=10)
    note = CreditNote(
        external_id="cn_1", customer_id="cus_1", invoice_id="in_1", status="issued", total=usd(20_000), number="CN_1"
    )
    story.tell(EventType.CREDIT_APPROVED, ref("credit_note", "cn_1"), note, day=40, amount=note.total)
    made = read(story, until=date(2027, 4, 1), services=PROJECT)
    assert stands(made) == {"1200": 80_000, DEFERRED: -32_000, REVENUE: -60_000, CONTRA: 12_000}
    assert treatments(made, "cn_1", "credit_note") == {Treatment.CATCH_UP}
    measure(story, "75", day=100)
    found = stands(read(story, until=date(2027, 5, 1), services=PROJECT))
    assert found[REVENUE] + found[CONTRA] == -60_000  # three quarters of 80,000


def test_progress_may_go_back_and_is_measured_of_the_price_as_it_is() -> None:
    story = Story().bill(billed(a_line(100_000)))
    for at, progress in enumerate(("100", "40", "41")):
        measure(story, progress, day=10 + 31 * at)
    made = read(story, until=date(2027, 6, 1), services=PROJECT)
    earned = [-stands(made, before_on=date(2027, month, 1))[REVENUE] for month in (2, 3, 4)]
    assert earned == [100_000, 40_000, 41_000]


def test_a_bill_with_a_project_and_a_daily_service_is_earned_each_by_its_own_kind() -> None:
    lines = (a_line(100_000), a_line(36_500, name="il_2", price="price_2"))
    story = Story().bill(billed(*lines))
    measure(story, "50", day=30)
    changed = (
        a_line(20_000, proration=True, starts=31),
        a_line(-3_340, name="il_2", price="price_2", proration=True, starts=31),
        a_line(6_680, name="il_3", price="price_2", proration=True, starts=31),
    )
    story.bill(billed(*changed, name="in_2"), day=31)
    made = read(story, until=date(2027, 3, 1), services=PROJECT)
    assert treatments(made, "in_2") == {Treatment.BY_OBLIGATION}
    # Half of 120,000; 59 days at 1.00 and 28 of the 334 that were left at 0.10 more.
    assert -stands(made)[REVENUE] == 60_000 + 5_900 + 280


@pytest.mark.parametrize(
    ("progress", "product", "words"),
    [("101", None, "not between"), ("-1", None, "not between"), ("much", None, "not between"),
     ("1/0", None, "not between"), ("50", "other", "no such project")],
)  # fmt: skip
def test_a_progress_that_is_none_is_refused(progress: str, product: str | None, words: str) -> None:
    story = measure(Story().bill(billed(a_line(100_000))), progress, day=10, product=product)
    (held,) = read(story, services=PROJECT).unposted
    assert words in str(held.refusals[0])


def test_of_several_projects_on_a_bill_one_is_named() -> None:
    lines = (a_line(100_000), a_line(50_000, name="il_2", price="price_2"))
    both = {**PROJECT, "daily": ServiceKind.PROJECT}
    (held,) = read(measure(Story().bill(billed(*lines)), "50", day=10), services=both).unposted
    assert "Name the product" in str(held.refusals[0])
    made = read(measure(Story().bill(billed(*lines)), "50", day=10, product="daily"), services=both)
    assert -stands(made)[REVENUE] == 25_000


# -- whatever comes, to the unit (MO7, REV18) --------------------------------------------------------------------------

_CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["bill", "refund", "credit", "void", "agree", "measure", "price"]),
        st.integers(1, 60_000),
        st.integers(0, 900),
    ),
    max_size=8,
)


def a_life(changes: list[tuple[str, int, int]], *, is_project: bool) -> Story:
    """A first bill, and what comes after it; what cannot be is refused and changes nothing."""
    story = Story().bill(billed(a_line(60_000))).pay(60_000, day=1)
    if is_project:
        measure(story, "30", day=20)
    else:
        agree(story, 200_000)
    for nth, (what, minor, day) in enumerate(changes):
        match what:
            case "bill":
                line = a_line(minor, starts=day, ends=day + 90)
                story.bill(billed(line, name=f"in_{nth + 2}"), day=day)
            case "refund":
                give_back(story, minor, day=day + 1, name=f"re_{nth}")
            case "credit":
                credit(story, minor, day=day + 1, name=f"cn_{nth}")
            case "void" if story.events[-1].type is EventType.INVOICE_ISSUED:
                named = story.events[-1].subject
                later = (story.events[-1].occurred_at - START).days + 30
                story.tell(EventType.INVOICE_VOIDED, named, story.objects[named], day=later)
            case "agree" if not is_project:
                agree(story, 100_000 + minor * 5, day=day, days=1095 + minor % 400)
            case "measure" if is_project:
                measure(story, str(minor % 101), day=day)
            case "price" if is_project:
                measure(story, f"{minor % 101}/100", day=day, price=60_000 + minor * 3)
    return story


@given(changes=_CHANGES, is_project=st.booleans(), foreign=st.booleans(), ended=st.none() | st.integers(30, 800))
@settings(max_examples=80, deadline=None)
def test_whatever_becomes_of_a_contract_the_books_hold_what_is_left_to_earn(
    changes: list[tuple[str, int, int]], is_project: bool, foreign: bool, ended: int | None
) -> None:
    story = a_life(changes, is_project=is_project)
    if ended is not None and not is_project:
        active = story.objects[SUB]
        assert isinstance(active, Subscription)
        ended_at = START + timedelta(days=ended)
        story.objects[SUB] = msgspec.structs.replace(active, status="canceled", ended_at=ended_at)
    books = some_years(abroad().chart if foreign else None)
    made = read(story, services=PROJECT if is_project else {}, books=books)
    rows = trial_balance(made.entries)
    assert sum(row.balance_minor for row in rows) == 0
    found = {row.account: row.balance_minor for row in rows}
    after_on = date(2031, 1, 1)
    unbilled = sum(in_books(one, one.minor) for _, one in made.schedules if one.line.endswith("/unbilled"))
    remaining = sum(in_books(one, one.minor) - in_books(one, earned_before(one, after_on)) for _, one in made.schedules)
    # What is deferred, less what is an asset, and what is agreed and not billed, is what is left to earn.
    assert -found.get(DEFERRED, 0) - found.get(ASSET, 0) + unbilled == remaining
    # Of the contract one or the other stands, never both.
    parts = [(one, in_books(one, earned_before(one, after_on))) for _, one in made.schedules if one.contract]
    net = sum(in_books(one, one.minor) * (not one.line.endswith("/unbilled")) - earned for one, earned in parts)
    assert found.get(ASSET, 0) == max(-net, 0)
    opening = 0
    for month_on in month_starts(date(2027, 1, 1), after_on):
        moved = roll_forward(made.entries, account=DEFERRED, first_on=month_on, after_on=next_month(month_on))
        assert moved.opening == opening
        assert moved.fx == 0
        opening = moved.closing
    assert opening == -found.get(DEFERRED, 0)
