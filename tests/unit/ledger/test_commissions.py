"""Commissions on collected money: rates on the running total, divided, taken back, and expensed over their benefit."""

from collections.abc import Sequence
from datetime import date, timedelta
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accordant.canonical.commissions import Deal, OwnedAt, PlanPart, TierPart
from accordant.kernel.errors import InvariantBroken
from accordant.ledger.commissions import (
    Cash,
    CashKind,
    Credit,
    Line,
    NotCounted,
    Sold,
    Sums,
    TaxOfBill,
    Terms,
    Tier,
    Total,
    collected,
    commission_on,
    credit_for,
    credit_of,
    deal_of,
    expensed_before,
    lines_of,
    months_after,
)

_DAY = date(2027, 1, 15)
_TIERS = (Tier(above_minor=0, percent="8"), Tier(above_minor=100_000_00, percent="12"))


def _plan(**changes: object) -> PlanPart:
    plan = PlanPart(
        name="direct",
        legal_entity="de",
        from_on=date(2027, 1, 1),
        counts=(Deal.NEW, Deal.EXPANSION, Deal.RENEWAL),
        tiers=(TierPart(above="0", percent="8"), TierPart(above="100000.00", percent="12")),
        benefit_months={Deal.NEW: 36, Deal.EXPANSION: 36, Deal.RENEWAL: 12},
    )
    return msgspec.structs.replace(plan, **changes)


def _terms(weight: int = 1, tiers: tuple[Tier, ...] = _TIERS, plan: str = "direct") -> Terms:
    return Terms(plan=plan, tiers=tiers, weight=weight, benefit_on=_DAY, benefit_months=36)


def _paid(name: str, gross: int, day: date = _DAY, books: int | None = None) -> Cash:
    return Cash(
        event=f"pay {name}",
        kind=CashKind.PAID,
        payment=name,
        happened_on=day,
        gross_minor=gross,
        books_minor=gross if books is None else books,
    )


def _back(name: str, gross: int, number: int = 1, kind: CashKind = CashKind.REFUNDED) -> Cash:
    return Cash(
        event=f"back {name} {number}", kind=kind, payment=name, happened_on=_DAY + timedelta(days=30), gross_minor=gross
    )


class _Book:
    """Lines of one bill as they are added, event by event in the order in which they arrive."""

    def __init__(self, bill: TaxOfBill, credit: Credit) -> None:
        self.bill, self.credit, self.sums = bill, credit, Sums({})
        self.cash: list[Cash] = []
        self.lines: list[Line] = []

    def tell(self, one: Cash) -> tuple[Line, ...]:
        self.cash.append(one)
        standing = collected(self.bill, self.cash)
        made: list[Line] = []
        for payment, stands in standing.items():
            before = [line for line in self.lines if line.payment == payment]
            event = msgspec.structs.replace(one, payment=payment)
            credit = credit_of(before) or self.credit
            made += lines_of(event, stands, credit, before, self.sums, happened_on=one.happened_on)
        self.lines += made
        return tuple(made)

    def amount(self) -> int:
        return sum(line.amount_minor for line in self.lines)


# -- rates -----------------------------------------------------------------------------------------------------------


def test_a_refund_walks_back_down_the_tiers_to_what_is_left() -> None:
    book = _Book(TaxOfBill(total=130_000_00, tax=0), Credit(terms={"ann": _terms()}))
    assert [line.amount_minor for line in book.tell(_paid("one", 90_000_00))] == [7_200_00]
    assert [line.amount_minor for line in book.tell(_paid("two", 40_000_00))] == [4_400_00]
    assert [line.amount_minor for line in book.tell(_back("two", 40_000_00))] == [-4_400_00]
    assert book.amount() == 7_200_00


@pytest.mark.parametrize(
    ("base", "amount"),
    [(0, 0), (100_000_00, 8_000_00), (100_000_01, 8_000_00), (150_000_00, 14_000_00), (-100_00, -8_00), (6, 0), (7, 1)],
)
def test_each_part_of_the_total_has_the_rate_of_its_tier(base: int, amount: int) -> None:
    assert commission_on(base, _TIERS) == amount


def test_lines_of_one_version_are_never_continued_with_other_rates() -> None:
    sums = Sums({("ann", "direct"): Total(base_minor=100_00, amount_minor=9_00)})
    with pytest.raises(InvariantBroken):
        sums.add("ann", _terms(), 100)


# -- what was collected ----------------------------------------------------------------------------------------------


def test_each_partial_payment_bears_its_share_of_the_tax_and_all_of_them_bear_it_whole() -> None:
    bill = TaxOfBill(total=119_00, tax=19_00)
    found = collected(bill, [_paid("a", 40_00), _paid("b", 40_00), _paid("c", 39_00)])
    assert [one.net for one in found.values()] == [33_61, 33_62, 32_77]
    assert sum(one.net for one in found.values()) == 100_00


def test_a_payment_given_back_whole_counts_nothing_at_the_rate_it_came_in_at() -> None:
    bill = TaxOfBill(total=30_00, tax=0)
    cash = [_paid("a", 30_00, books=36_00), _back("a", 30_00)]
    assert collected(bill, cash)["a"].counted(deduct_fees=False) == 0
    cash[-1] = _back("a", 10_00)
    assert collected(bill, cash)["a"].counted(deduct_fees=False) == 24_00


def test_fees_are_deducted_only_where_the_plan_says_so() -> None:
    fee = Cash(event="fee", kind=CashKind.FEE, payment="a", happened_on=_DAY, gross_minor=0, books_minor=3_20)
    one = collected(TaxOfBill(total=100_00, tax=0), [_paid("a", 100_00), fee])["a"]
    assert (one.counted(deduct_fees=False), one.counted(deduct_fees=True)) == (100_00, 96_80)


# -- any order -------------------------------------------------------------------------------------------------------

_amounts = st.integers(min_value=1, max_value=60_000_00)


@st.composite
def _histories(draw: st.DrawFn) -> tuple[TaxOfBill, Credit, list[Cash]]:
    """A bill, three persons with rates of their own, and its payments and returns in any order of arrival."""
    grosses = draw(st.lists(_amounts, min_size=1, max_size=4))
    total = sum(grosses)
    tax = draw(st.integers(min_value=0, max_value=total // 4))
    cash: list[Cash] = []
    for at, gross in enumerate(grosses):
        day = _DAY + timedelta(days=draw(st.integers(min_value=0, max_value=5)))
        cash.append(_paid(f"p{at}", gross, day, books=draw(_amounts)))
        left = gross
        for number in range(draw(st.integers(min_value=0, max_value=3))):
            part = draw(st.integers(min_value=0, max_value=left))
            left -= part
            kind = draw(st.sampled_from([CashKind.REFUNDED, CashKind.DISPUTE_LOST]))
            cash.append(_back(f"p{at}", part, number, kind))
    rates = [("5",), ("8", "12"), ("3.5", "7", "11.25")]
    limits = [(0,), (0, 1_000_00), (0, 500_00, 20_000_00)]
    terms = {
        name: _terms(
            weight,
            tuple(Tier(above_minor=low, percent=rate) for low, rate in zip(low_, rate_, strict=True)),
            plan=name,
        )
        for name, weight, low_, rate_ in zip(
            "abc", draw(st.tuples(*[st.integers(1, 7)] * 3)), limits, rates, strict=True
        )
    }
    return TaxOfBill(total=total, tax=tax), Credit(terms=terms), draw(st.permutations(cash))


def _recounted(base: int, tiers: Sequence[Tier]) -> int:
    """The commission once more, unit of the base by band: no running total and no difference."""
    owed = Fraction(0)
    for at, tier in enumerate(tiers):
        upper = tiers[at + 1].above_minor if at + 1 < len(tiers) else None
        band = base if upper is None else min(base, upper)
        owed += Fraction(max(band - tier.above_minor, 0)) * Fraction(tier.percent) / 100
    whole, rest = divmod(owed.numerator, owed.denominator)
    return whole + (2 * rest >= owed.denominator)


@given(_histories())
def test_at_every_point_the_lines_come_to_the_commission_on_what_was_collected_and_kept(
    history: tuple[TaxOfBill, Credit, list[Cash]],
) -> None:
    bill, credit, cash = history
    book = _Book(bill, credit)
    for at, one in enumerate(cash, 1):
        book.tell(one)
        kept = sum(stands.counted(deduct_fees=False) for stands in collected(bill, cash[:at]).values())
        assert sum(line.base_minor for line in book.lines) == kept, "divided to the unit"
        for person, terms in credit.terms.items():
            own = [line for line in book.lines if line.person == person]
            assert sum(line.amount_minor for line in own) == _recounted(
                sum(line.base_minor for line in own), terms.tiers
            )


@given(_histories(), st.randoms())
def test_whatever_order_events_come_in_each_person_ends_with_the_same(
    history: tuple[TaxOfBill, Credit, list[Cash]], random: object
) -> None:
    bill, credit, cash = history
    first, second = _Book(bill, credit), _Book(bill, credit)
    for one in cash:
        first.tell(one)
    shuffled = list(cash)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    for one in shuffled:
        second.tell(one)
    assert first.sums.totals == second.sums.totals


@given(_histories())
def test_what_is_given_back_whole_leaves_nobody_anything(history: tuple[TaxOfBill, Credit, list[Cash]]) -> None:
    bill, credit, cash = history
    book = _Book(bill, credit)
    paid = [one for one in cash if one.kind is CashKind.PAID]
    for one in paid:
        book.tell(one)
    for one in paid:
        book.tell(_back(one.payment, one.gross_minor))
    assert set(book.sums.totals.values()) <= {Total()}
    assert all(sum(line.base_minor for line in book.lines if line.person == who) == 0 for who in credit.terms)


def test_a_line_that_is_told_again_adds_nothing() -> None:
    book = _Book(TaxOfBill(total=100_00, tax=0), Credit(terms={"ann": _terms()}))
    book.tell(_paid("a", 100_00))
    assert (
        lines_of(
            book.cash[0],
            collected(book.bill, book.cash)["a"],
            book.credit,
            book.lines,
            book.sums,
            happened_on=_DAY,
        )
        == ()
    )


# -- whose it is -----------------------------------------------------------------------------------------------------


def _sold(**changes: object) -> Sold:
    sold = Sold(
        signed_by="ann",
        owned_by="bob",
        reason="subscription_cycle",
        billed_on=_DAY,
        began_on=date(2027, 1, 1),
        term_months=None,
    )
    return msgspec.structs.replace(sold, **changes)


def _credited(sold: Sold, *plans: PlanPart, day: date = _DAY) -> Credit | NotCounted:
    return credit_for(sold, plans, legal_entity="de", currency="EUR", day=day)


def _people(found: Credit | NotCounted) -> list[str]:
    assert isinstance(found, Credit), found
    return list(found.terms)


def test_the_version_of_the_plan_says_whether_who_signed_earns_or_who_owns_the_deal_now() -> None:
    signed = _plan(until_on=date(2027, 7, 1))
    later = _plan(from_on=date(2027, 7, 1), owned_at=OwnedAt.PAYMENT)
    assert _people(_credited(_sold(), signed, later)) == ["ann"]
    assert _people(_credited(_sold(), signed, later, day=date(2027, 7, 1))) == ["bob"]


def test_each_person_has_the_rates_of_their_own_plan_and_the_parts_of_the_owners() -> None:
    owners = _plan(name="owners", people=("ann",), shares={"owner": 2, "cat": 1})
    others = _plan(name="others", tiers=(TierPart(above="0", percent="1"),))
    found = _credited(_sold(), owners, others)
    assert isinstance(found, Credit)
    assert [(who, one.weight, one.tiers[0].percent) for who, one in found.terms.items()] == [
        ("ann", 2, "8"),
        ("cat", 1, "1"),
    ]


@pytest.mark.parametrize(
    ("sold", "plans", "reason", "may_change"),
    [
        (_sold(signed_by=None, owned_by=None), (_plan(),), "Nobody is known to own the deal.", True),
        (_sold(), (), "No plan of de pays bob on 2027-01-15.", False),
        (_sold(), (_plan(from_on=date(2027, 2, 1)),), "No plan of de pays bob on 2027-01-15.", False),
        (_sold(), (_plan(legal_entity="us"),), "No plan of de pays bob on 2027-01-15.", False),
        (_sold(), (_plan(counts=(Deal.RENEWAL,)),), "The plan direct does not count what is new.", False),
        (
            _sold(),
            (_plan(people=("ann",), shares={"owner": 1, "cat": 1}),),
            "No plan of de pays cat on 2027-01-15.",
            False,
        ),
    ],
)
def test_who_earns_nothing_is_told_why(
    sold: Sold, plans: tuple[PlanPart, ...], reason: str, *, may_change: bool
) -> None:
    assert _credited(sold, *plans) == NotCounted(reason=reason, may_change=may_change)


@pytest.mark.parametrize(
    ("changes", "deal"),
    [
        ({"reason": "subscription_create"}, Deal.NEW),
        ({"reason": "subscription_update"}, Deal.EXPANSION),
        ({"billed_on": date(2027, 12, 31)}, Deal.NEW),
        ({"billed_on": date(2028, 1, 1)}, Deal.RENEWAL),
        ({"billed_on": date(2028, 1, 1), "term_months": 24}, Deal.NEW),
        ({"billed_on": date(2027, 4, 1), "term_months": 3}, Deal.RENEWAL),
        ({"began_on": None, "billed_on": date(2030, 1, 1)}, Deal.NEW),
    ],
)
def test_what_is_billed_after_the_first_term_is_a_renewal(changes: dict[str, object], deal: Deal) -> None:
    assert deal_of(_sold(**changes), 12) is deal


def test_a_plan_that_changes_changes_what_is_paid_later_and_no_line_that_is_there() -> None:
    """A version ends, rates double: the refund of an old payment takes back what that payment had earned."""
    old = _plan(until_on=date(2027, 2, 1), tiers=(TierPart(above="0", percent="8"),))
    new = _plan(from_on=date(2027, 2, 1), tiers=(TierPart(above="0", percent="16"),))
    bill, sums = TaxOfBill(total=200_00, tax=0), Sums({})
    lines: list[Line] = []
    cash = [_paid("a", 100_00), _paid("b", 100_00, date(2027, 2, 10)), _back("a", 100_00)]
    for at, one in enumerate(cash, 1):
        before = [line for line in lines if line.payment == one.payment]
        found = credit_of(before) or _credited(_sold(), old, new, day=one.happened_on)
        assert isinstance(found, Credit)
        standing = collected(bill, cash[:at])[one.payment]
        lines += lines_of(one, standing, found, before, sums, happened_on=one.happened_on)
    assert [line.amount_minor for line in lines] == [8_00, 16_00, -8_00]
    assert [line.terms.plan[:17] for line in lines] == ["direct/2027-01-01", "direct/2027-02-01", "direct/2027-01-01"]


# -- months ----------------------------------------------------------------------------------------------------------


def test_a_commission_of_120_over_three_years_is_expensed_at_3_33_a_month_and_to_the_unit() -> None:
    ends = [months_after(date(2027, 1, 1), count) for count in range(38)]
    done = [expensed_before(120_00, _terms(), day) for day in ends]
    assert done[1:4] == [3_33, 6_67, 10_00]
    assert done[35:] == [116_67, 120_00, 120_00]


def test_a_clawback_follows_its_payment_so_that_what_was_expensed_of_it_comes_back() -> None:
    half_a_year = date(2027, 7, 1)
    paid, back = (expensed_before(minor, _terms(), half_a_year) for minor in (120_00, -120_00))
    assert paid + back == 0
    assert paid == 20_00


def test_months_are_counted_to_the_same_day_or_the_last_of_the_month() -> None:
    assert months_after(date(2027, 1, 31), 1) == date(2027, 2, 28)
    assert months_after(date(2027, 12, 15), 12) == date(2028, 12, 15)
