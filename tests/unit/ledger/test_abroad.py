"""Bills in another currency: whatever becomes of them, nothing of them is left in the books, to the minor unit."""

from __future__ import annotations

from datetime import date

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from accordant.canonical.books import AccountType, Role
from accordant.canonical.entities import BalanceMovement, CreditNote, Dispute, Refund
from accordant.canonical.events import EventType
from accordant.kernel.money import Money
from accordant.ledger.chart import AccountRule, Chart, LedgerAccount
from accordant.ledger.compose import Books
from accordant.ledger.draft import Draft
from tests.unit.ledger.books import some_books
from tests.unit.ledger.test_draft import Story, a_bill, balances, ref, usd, with_refunds_owed

RECEIVABLE, CLEARING, DEFERRED, TAX, OWED, REALISED = "1200", "1090", "2400", "2200", "2460", "7100"


def abroad() -> Books:
    """Books in euros of a company that bills in dollars."""
    euros: Chart = with_refunds_owed().chart
    return some_books(Chart(legal_entity=euros.legal_entity, currency="EUR", accounts=euros.accounts,
                            rules=euros.rules))  # fmt: skip


def give_back(story: Story, minor: int, *, day: int, name: str) -> None:
    refund = Refund(external_id=name, status="succeeded", amount=usd(minor), payment_id="ch_1")
    story.tell(EventType.REFUND_ISSUED, ref("refund", name), refund, day=day, amount=usd(minor))


def credit(story: Story, minor: int, *, day: int, name: str) -> None:
    note = CreditNote(external_id=name, customer_id="cus_1", invoice_id="in_1", status="issued", total=usd(minor))
    story.tell(EventType.CREDIT_APPROVED, ref("credit_note", name), note, day=day, amount=usd(minor))


def convert(story: Story, source: str, euros: int, *, day: int, name: str) -> None:
    """The processor says what its own rate made of a payment or a refund."""
    moved = BalanceMovement(
        external_id=name,
        type="charge",
        amount=Money(euros, "EUR"),
        fee=Money(0, "EUR"),
        net=Money(euros, "EUR"),
        source_id=source,
    )
    story.tell(EventType.FUNDS_CONVERTED, ref("balance_transaction", name), moved, day=day, amount=moved.amount)


def pay_out(story: Story, euros: int, *, day: int) -> None:
    if euros:
        story.tell(EventType.PAYOUT_PAID, ref("payout", "po_1"), a_bill(), day=day, amount=Money(euros, "EUR"))


def read(story: Story) -> Draft:
    return story.read(books=abroad())


def test_a_bill_paid_at_one_rate_and_given_back_at_another_leaves_only_the_difference() -> None:
    story = Story().bill(a_bill(10_000, days=90)).pay(10_000, day=5)  # at 0.90
    give_back(story, 10_000, day=12, name="re_1")  # at 0.80
    convert(story, "ch_1", 8_950, day=5, name="txn_1")
    convert(story, "re_1", -8_100, day=12, name="txn_2")
    pay_out(story, 850, day=20)
    found = balances(read(story))
    # Twelve of ninety days were earned, and are contra now; 0.50 less came than the rate said, 1.00 more went.
    assert found == {"1000": 850, "4000": -1_200, "4900": 1_200, REALISED: 50 + 100 - 1_000}
    assert CLEARING not in found


def test_too_much_paid_abroad_is_the_customers_and_the_receivable_is_at_zero() -> None:
    found = balances(read(Story().bill(a_bill(9_000)).pay(10_000, day=12)))
    assert found == {CLEARING: 8_000, "2450": -800, "4000": -8_100, REALISED: 900}


def test_a_conversion_waits_for_what_was_converted() -> None:
    story = Story().bill(a_bill(10_000))
    convert(story, "ch_9", 8_950, day=5, name="txn_1")
    (held,) = read(story).unposted
    assert "what was converted is not posted" in str(held.refusals[0])
    assert held.refusals[0].waits_for == "billing:charge/ch_9"


@given(data=st.data())
def test_all_that_was_paid_and_all_that_was_given_back_leave_nothing_behind(data: st.DataObject) -> None:
    """Odd amounts, with tax, in any parts and at two rates: receivable, deferred, tax and clearing end at zero."""
    total, tax = 9_001 + 801, 801
    story = Story().bill(a_bill(9_001, tax=tax))
    story.pay(total, day=1)
    left, settled = total, data.draw(st.integers(8_000, 9_500))
    convert(story, "ch_1", settled, day=1, name="txn_0")
    for at in range(data.draw(st.integers(1, 5))):
        part = data.draw(st.integers(1, left)) if at < 4 else left
        give_back(story, part, day=2 + 11 * at, name=f"re_{at}")
        went = data.draw(st.integers(1, part))
        convert(story, f"re_{at}", -went, day=2 + 11 * at, name=f"txn_r{at}")
        settled, left = settled - went, left - part
        if not left:
            break
    if left:
        give_back(story, left, day=80, name="re_last")
        convert(story, "re_last", -left, day=80, name="txn_last")
        settled -= left
    pay_out(story, settled, day=85)
    found = balances(read(story))
    assert not {RECEIVABLE, DEFERRED, TAX, CLEARING} & found.keys()


@given(parts=st.lists(st.integers(1, 3_000), min_size=1, max_size=6), day=st.integers(0, 25))
def test_credit_notes_on_an_open_bill_and_the_rest_paid_leave_nothing_behind(parts: list[int], day: int) -> None:
    total = 19_001
    story = Story().bill(a_bill(18_000, tax=1_001))
    for at, part in enumerate(parts):
        credit(story, part, day=day + at, name=f"cn_{at}")
    found = balances(read(story.pay(total - sum(parts), day=60)))
    assert RECEIVABLE not in found
    assert DEFERRED not in found
    taxed = -found.get(TAX, 0)
    assert abs(taxed - round(1_001 * 0.9 * (total - sum(parts)) / total)) <= 1


@given(credited=st.integers(1, 9_000), paid=st.integers(0, 9_000))
def test_a_credit_note_takes_what_is_open_first_and_only_the_rest_is_owed(credited: int, paid: int) -> None:
    story = Story().bill(a_bill(9_000))
    if paid:
        story.pay(paid, day=1)
    credit(story, credited, day=2, name="cn_1")
    found = balances(story.read(books=with_refunds_owed()))
    unpaid = 9_000 - paid
    assert found.get(RECEIVABLE, 0) == max(unpaid - credited, 0)
    assert found.get(OWED, 0) == -max(credited - unpaid, 0)


def test_a_dispute_abroad_that_is_won_leaves_nothing_behind() -> None:
    story = Story().bill(a_bill(9_001)).pay(9_001, day=1)
    dispute = Dispute(external_id="dp_1", status="won", amount=usd(9_001), payment_id="ch_1")
    story.tell(EventType.DISPUTE_OPENED, ref("dispute", "dp_1"), dispute, day=5, amount=usd(9_001))
    story.tell(EventType.DISPUTE_CLOSED, ref("dispute", "dp_1"), dispute, day=40, amount=usd(9_001))
    for name, euros in (("ch_1", 8_000), ("dp_1", -8_050), ("dp_1", 7_100)):
        convert(story, name, euros, day=41, name=f"txn_{name}{euros}")
    pay_out(story, 8_000 - 8_050 + 7_100, day=50)
    found = balances(read(story))
    assert not {RECEIVABLE, DEFERRED, CLEARING, "4900"} & found.keys()
    assert found["4000"] == -8_101  # all of it is earned, at the rate of the bill


def test_a_write_off_is_bad_debt_as_far_as_it_was_earned_and_a_late_payment_undoes_it() -> None:
    story = Story().bill(a_bill(9_000, tax=900))
    story.tell(EventType.INVOICE_WRITTEN_OFF, ref("invoice", "in_1"), a_bill(9_000, tax=900), day=30)
    lost = balances(story.read())
    assert lost == {"4000": -3_000, "6200": 3_000}
    story.pay(9_900, day=60)
    found = balances(story.read())
    assert found == {CLEARING: 9_900, "4000": -9_000, TAX: -900}
    late = next(one for one in story.read().entries if one.cause.rule == "recovered")
    assert [one.amount.amount_minor for one in late.postings] == [9_900, -3_000, -3_000, -3_000, -900]


@given(parts=st.lists(st.integers(1, 9_900), min_size=1, max_size=4), foreign=st.booleans())
def test_what_was_written_off_comes_back_in_any_parts(parts: list[int], foreign: bool) -> None:
    story = Story().bill(a_bill(9_001, tax=899))
    story.tell(EventType.INVOICE_WRITTEN_OFF, ref("invoice", "in_1"), a_bill(), day=30)
    for at, part in enumerate(parts):
        story.pay(part, day=31 + at, name=f"ch_{at}")
    found = balances(story.read(books=abroad() if foreign else None))
    assert RECEIVABLE not in found
    assert DEFERRED not in found
    came = min(sum(parts), 9_900)
    if came == 9_900:
        assert "6200" not in found
        assert found["2450" if sum(parts) > came else CLEARING]


@given(part=st.integers(1, 9_900), foreign=st.booleans())
def test_an_allowance_bears_what_is_lost_and_gets_back_what_comes_late(part: int, foreign: bool) -> None:
    own = with_refunds_owed().chart
    chart = msgspec.structs.replace(
        own,
        currency="EUR" if foreign else "USD",
        accounts={
            **own.accounts,
            "1290": LedgerAccount(code="1290", name="Expected losses", type=AccountType.ASSET),
        },
        rules=(*own.rules, AccountRule(role=Role.BAD_DEBT_ALLOWANCE, account="1290")),
    )
    books = msgspec.structs.replace(some_books(chart), write_off_from_allowance=True)
    story = Story().bill(a_bill(9_000, tax=900))
    story.tell(EventType.INVOICE_WRITTEN_OFF, ref("invoice", "in_1"), a_bill(9_000, tax=900), day=30)
    lost = balances(story.read(books=books))
    assert lost.keys() == {"1290", "4000"}
    assert lost["1290"] == -lost["4000"] > 0
    found = balances(story.pay(part, day=60).read(books=books))
    assert not {RECEIVABLE, DEFERRED, "6200"} & found.keys()
    assert found.get("1290", 0) < lost["1290"] or part < 4
    if part == 9_900:
        assert "1290" not in found


def test_a_write_off_of_a_paid_bill_says_nothing() -> None:
    story = Story().bill(a_bill(9_000)).pay(9_000, day=1)
    story.tell(EventType.INVOICE_WRITTEN_OFF, ref("invoice", "in_1"), a_bill(), day=30)
    assert balances(story.read(before_on=date(2027, 12, 31))) == {CLEARING: 9_000, "4000": -9_000}
