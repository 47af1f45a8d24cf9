"""What fits and what does not, figure by figure; whose word counts; and what the charter's check says of the part."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from accordant.canonical.charter import Automation, Phase, RedFlagsPart
from accordant.canonical.conflicts import Claim, ConflictRule, Contested, Ruling, Side
from accordant.canonical.entities import CreditNote, Dispute, Invoice, Payment, Refund
from accordant.canonical.red_flag_kinds import RedFlagKind
from accordant.canonical.red_flags import FlagDecision, FlagStop, Verdict
from accordant.governance.check_red_flags import check_red_flags
from accordant.governance.decide import Case, Decision, Switches, compile_flow, decide
from accordant.governance.ownership import OwnershipMatrix
from accordant.governance.red_flags import (
    approvals,
    credit_over_total,
    given_back,
    objection,
    over_refunded,
    persons_needed,
    unexplained_reversal,
    unsourced_change,
)
from accordant.kernel.money import Money
from tests.unit.governance.company import charter

NOW = datetime(2026, 3, 1, tzinfo=UTC)
NAMES = {"account_id": "acc_1", "seq": 1, "now": NOW}


def eur(amount: int) -> Money:
    return Money(amount, "EUR")


def an_invoice(total: int = 100, paid: int = 100, status: str = "paid", **more: object) -> Invoice:
    return Invoice(
        external_id="in_1", customer_id="cus_1", status=status, total=eur(total), amount_due=eur(total),
        amount_paid=eur(paid), amount_remaining=eur(total - paid), **more,  # type: ignore[arg-type]
    )  # fmt: skip


def a_note(total: int, status: str = "issued", currency: str = "EUR", name: str = "cn_1") -> tuple[str, CreditNote]:
    note = CreditNote(
        external_id=name, customer_id="cus_1", invoice_id="in_1", status=status, total=Money(total, currency)
    )
    return f"stripe:credit_note/{name}", note


def a_payment(amount: int = 100, refunded: int = 0) -> Payment:
    return Payment(
        external_id="ch_1", customer_id="cus_1", status="succeeded", amount=eur(amount), refunded=eur(refunded)
    )


def a_refund(amount: int, status: str = "succeeded") -> tuple[str, Refund]:
    return "stripe:refund/re_1", Refund(external_id="re_1", status=status, amount=eur(amount), payment_id="ch_1")


@pytest.mark.parametrize(
    ("notes", "does_fit"),
    [
        ([], True),
        ([a_note(100)], True),
        ([a_note(60), a_note(40, name="cn_2")], True),
        ([a_note(60), a_note(41, name="cn_2")], False),
        ([a_note(101, "void")], True),
        ([a_note(101)], False),
        ([a_note(1, currency="USD")], False),
    ],
)
def test_credit_notes_fit_their_invoice(notes: list[tuple[str, CreditNote]], does_fit: bool) -> None:
    flag = credit_over_total(an_invoice(), notes, subject="stripe:invoice/in_1", **NAMES)  # type: ignore[arg-type]
    assert (flag is None) == does_fit
    if flag is not None:
        assert flag.kind is RedFlagKind.CREDIT_OVER_TOTAL
        assert set(flag.related) == {ref for ref, note in notes if note.status != "void"}


@pytest.mark.parametrize(
    ("before", "after", "explained", "does_fit"),
    [
        (None, an_invoice(), 0, True),
        (an_invoice(), an_invoice(), 0, True),
        (an_invoice(paid=0, status="open"), an_invoice(paid=0, status="void"), 0, True),
        (an_invoice(), an_invoice(status="void"), 0, False),
        (an_invoice(), an_invoice(status="void"), 99, False),
        (an_invoice(), an_invoice(status="void"), 100, True),
        (an_invoice(), an_invoice(paid=40, status="open"), 0, False),
        (an_invoice(), an_invoice(paid=40, status="open"), 60, True),
        (an_invoice(), an_invoice(deleted=True), 0, False),
        (an_invoice(paid=40, status="open"), an_invoice(), 0, True),
    ],
)
def test_what_was_paid_stays_paid_unless_something_tells_why(
    before: Invoice | None, after: Invoice, explained: int, does_fit: bool
) -> None:
    flag = unexplained_reversal(before, after, explained, subject="stripe:invoice/in_1", **NAMES)  # type: ignore[arg-type]
    assert (flag is None) == does_fit


@pytest.mark.parametrize(
    ("payment", "refunds", "does_fit"),
    [
        (a_payment(), [], True),
        (a_payment(refunded=100), [a_refund(100)], True),
        (a_payment(), [a_refund(101)], False),
        (a_payment(), [a_refund(101, "failed")], True),
        (a_payment(refunded=101), [], False),
    ],
)
def test_no_more_is_given_back_than_was_paid(
    payment: Payment, refunds: list[tuple[str, Refund]], does_fit: bool
) -> None:
    flag = over_refunded(payment, refunds, subject="stripe:charge/ch_1", **NAMES)  # type: ignore[arg-type]
    assert (flag is None) == does_fit


def test_each_story_of_money_given_back_counts_once() -> None:
    payments = {"ch_1": a_payment(refunded=30)}
    refund, lost = a_refund(30)[1], Dispute(external_id="dp", status="lost", amount=eur(20), payment_id="ch_1")
    assert given_back([], payments, [refund], []) == 30, "the refund is what the payment shows"
    assert given_back([a_note(30)[1]], payments, [refund], []) == 30, "the note is what was refunded"
    assert given_back([], payments, [refund], [lost]) == 50
    assert given_back([], {}, [refund], [lost]) == 0, "of other payments"
    won = msgspec.structs.replace(lost, status="won")
    assert given_back([a_note(10, "void")[1]], payments, [], [won]) == 30


def contested(*, by: str | None, at: datetime | None, value: str = "7.00", field: str = "MRR") -> Contested:
    return Contested(
        field=field,
        owner=Claim(field=field, value="100.00", system="stripe"),
        target=Claim(field=field, value=value, system="crm", by=by, at=at),
        confirmed="100.00",
        confirmed_at=NOW,
        revision=2,
        ruling=Ruling(rule=ConflictRule.FINANCIAL, winner=Side.OWNER, sentence=""),
    )


LATER = NOW + timedelta(minutes=1)


@pytest.mark.parametrize(
    ("met", "is_flag"),
    [
        (contested(by="Grace", at=LATER), False),
        (contested(by="Grace", at=NOW), False),
        (contested(by=None, at=LATER), True),
        (contested(by="hub", at=LATER), True),
        (contested(by="Grace", at=NOW - timedelta(days=1)), False),
        (contested(by=None, at=LATER, value="50.00"), False),
        (contested(by=None, at=LATER, field="Name"), False),
    ],
)
def test_money_that_changed_in_nobodys_name(met: Contested, is_flag: bool) -> None:
    flag = unsourced_change(
        met, known=("100.00", "50.00"), financial=frozenset({"MRR"}), own_user="hub", record="crm:Account/1",
        target_id="001", flow="accounts", account_id="acc_1", seq=None, now=NOW,
    )  # fmt: skip
    assert (flag is not None) == is_flag
    if flag is not None:
        assert (flag.flows, flag.before, flag.after) == (("accounts",), {"MRR": "100.00"}, {"MRR": "7.00"})


def word(actor: str, digest: str = "d1", verdict: Verdict = Verdict.APPROVE) -> FlagDecision:
    return FlagDecision(flag="flg", number=1, verdict=verdict, actor=actor, reason="r", digest=digest, at=NOW)


@pytest.mark.parametrize(
    ("words", "count"),
    [
        ([], 0),
        ([word("Ada"), word("Bo")], 2),
        ([word("Ada"), word("ada ")], 1),
        ([word("Ada", "d0"), word("Bo")], 1),
        ([word("Ada"), word("Cy", verdict=Verdict.REFUSE), word("Bo")], 1),
    ],
)
def test_whose_word_counts(words: list[FlagDecision], count: int) -> None:
    assert len(approvals(words, "d1")) == count


def test_who_may_approve() -> None:
    part = RedFlagsPart(approvers=("Ada", "Bo"))
    assert persons_needed(part, RedFlagKind.CREDIT_OVER_TOTAL) == 2
    assert persons_needed(part, RedFlagKind.KEY_REUSE) == 1
    assert objection(part, [], actor="Ada", digest="d1") is None
    assert "no approver" in str(objection(part, [], actor="Cy", digest="d1"))
    assert "another person" in str(objection(part, [word("Ada")], actor="Ada", digest="d1"))
    assert objection(part, [word("Ada", "d0")], actor="Ada", digest="d1") is None
    assert objection(RedFlagsPart(), [], actor="Cy", digest="d1") is None


@pytest.mark.parametrize(
    ("part", "where"),
    [
        (RedFlagsPart(), None),
        (RedFlagsPart(approvers=("Ada", "Bo")), None),
        (RedFlagsPart(reuses_max=0), "red_flags.reuses_max"),
        (RedFlagsPart(approvers=("Ada",)), "red_flags.approvers"),
        (RedFlagsPart(approvers=("Ada", "ada")), "red_flags.approvers[1]"),
        (RedFlagsPart(approvers=("Ada", " ")), "red_flags.approvers[1]"),
        (RedFlagsPart(stop_on=(RedFlagKind.KEY_REUSE,)), "red_flags.two_persons"),
        (RedFlagsPart(own_users={"mars": "x"}), "red_flags.own_users.mars"),
        (RedFlagsPart(pauses=(Automation.RECORD_SYNC,)), "red_flags.pauses"),
    ],
)
def test_the_check_of_the_part(part: RedFlagsPart, where: str | None) -> None:
    found = list(check_red_flags(msgspec.structs.replace(charter(), red_flags=part), {}))
    assert [defect.where for defect in found] == ([] if where is None else [where])
    assert all(defect.remedy for defect in found)


COURT = charter()
FIELDS = frozenset({"Status", "MRR"})


def asked(*stops: FlagStop, accounts: tuple[str, ...] = ("acc_1",), stands_on_flags: bool = False) -> Decision:
    flow = msgspec.structs.replace(COURT.flows[0], phase=Phase.AUTOMATED)
    owners = OwnershipMatrix.from_charter(COURT)
    rules = compile_flow(
        flow, mapping=COURT.mappings["crm"][0], owners=owners, tier_cap=Phase.AUTOMATED, meaning="", exempt=True,
        stands_on_flags=stands_on_flags,
    )  # fmt: skip
    return decide(Case(flow=rules, fields=FIELDS, switches=Switches.thrown((), (), stops), accounts=accounts))


def a_stop(account_id: str | None = "acc_1", *flows: str) -> FlagStop:
    return FlagStop(flag="flg_1", kind=RedFlagKind.KEY_REUSE, account_id=account_id, flows=flows, why="It came twice.")


@pytest.mark.parametrize(
    ("decision", "is_held"),
    [
        (asked(), False),
        (asked(a_stop()), True),
        (asked(a_stop("acc_2")), False),
        (asked(a_stop(None)), False),
        (asked(a_stop("acc_2"), accounts=("acc_1", "acc_2")), True),
        (asked(a_stop("acc_1", "accounts")), True),
        (asked(a_stop("acc_1", "another")), False),
        (asked(stands_on_flags=True), False),
        (asked(a_stop("acc_2"), stands_on_flags=True), True),
        (asked(a_stop(None), stands_on_flags=True), True),
    ],
)
def test_a_flag_holds_its_customer_in_its_flows_and_a_paused_class_for_everybody(
    decision: Decision, is_held: bool
) -> None:
    assert (decision.held == FIELDS) == (decision.gated == FIELDS) == is_held
    assert (decision.write == FIELDS) == (not is_held)


@pytest.mark.parametrize(("credited", "does_fit"), [([], True), ([a_note(1)], False)])
def test_an_invoice_that_gives_something_back_by_itself_is_no_flag(
    credited: list[tuple[str, CreditNote]], does_fit: bool
) -> None:
    negative = msgspec.structs.replace(an_invoice(), total=eur(-1_177))
    flag = credit_over_total(negative, credited, subject="stripe:invoice/in_1", **NAMES)  # type: ignore[arg-type]
    assert (flag is None) == does_fit
