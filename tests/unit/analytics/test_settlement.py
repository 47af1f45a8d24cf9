"""A payout is explained to the last unit, or it is said which unit is not."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from accordant.analytics.bank import Arrival
from accordant.analytics.funding import FundedBy, Funding
from accordant.analytics.settlement import trace_payout
from accordant.canonical.bank import CashMovement
from accordant.canonical.entities import BalanceMovement, Entity, Payment, PaymentMethod, Payout, Refund
from accordant.kernel.money import Money


def usd(minor: int) -> Money:
    return Money(minor, "USD")


def paid(name: str, minor: int) -> Payment:
    return Payment(
        external_id=name, customer_id="cus_1", status="succeeded", amount=usd(minor), refunded=usd(0), invoice_id="in_1"
    )


def moved(name: str, minor: int, *, source: str | None, fee: int = 0, kind: str = "charge") -> BalanceMovement:
    return BalanceMovement(
        external_id=name, type=kind, amount=usd(minor), fee=usd(fee), net=usd(minor - fee), source_id=source
    )


def payout_of(minor: int, *, automatic: bool = True) -> Payout:
    return Payout(external_id="po_1", status="paid", amount=usd(minor), automatic=automatic)


@given(
    amounts=st.lists(st.integers(1, 10**9), min_size=1, max_size=20), fee=st.integers(0, 500), off=st.integers(-99, 99)
)
def test_what_movements_do_not_come_to_is_said_to_the_unit(amounts: list[int], fee: int, off: int) -> None:
    """MO: the sum of the movements is the payout, or the difference is named with its sign."""
    known: dict[str, Entity] = {f"ch_{at}": paid(f"ch_{at}", minor) for at, minor in enumerate(amounts)}
    movements = [moved(f"txn_{at}", minor, source=f"ch_{at}", fee=fee) for at, minor in enumerate(amounts)]
    total = sum(amounts) - fee * len(amounts) + off
    out = moved("txn_out", -total, source="po_1", kind="payout")
    found = trace_payout(payout_of(total), [*movements, out], known)
    assert found.difference == usd(off)
    assert bool(found.findings) is bool(off)
    assert [line.customer_id for line in found.lines] == ["cus_1"] * len(amounts)
    if off:
        assert ("dangle" in found.findings[0]) is (off > 0)


def test_a_refund_leads_to_the_bill_it_gives_back_of() -> None:
    refund = Refund(external_id="re_1", status="succeeded", amount=usd(400), payment_id="ch_1")
    known: dict[str, Entity] = {"re_1": refund, "ch_1": paid("ch_1", 1_000)}
    movements = [moved("txn_1", 1_000, source="ch_1"), moved("txn_2", -400, source="re_1", kind="refund")]
    found = trace_payout(payout_of(600), movements, known)
    assert found.findings == ()
    assert [line.invoice_id for line in found.lines] == ["in_1", "in_1"]


def test_a_collection_nobody_told_of_dangles_and_another_amount_is_said() -> None:
    movements = [moved("txn_1", 1_000, source="ch_lost"), moved("txn_2", 900, source="ch_2")]
    found = trace_payout(payout_of(1_900), movements, {"ch_2": paid("ch_2", 1_000)})
    assert found.findings == (
        "txn_1: nobody told the hub of ch_lost.",
        f"txn_2 moves {usd(900)}, and ch_2 is {usd(1_000)}.",
    )


def test_a_payout_of_which_nothing_is_known_is_not_explained() -> None:
    assert trace_payout(payout_of(5), [], {}).findings == ("Nothing is known of what it settled.",)
    assert "by hand" in trace_payout(payout_of(5, automatic=False), [], {}).findings[0]


def test_a_payment_from_a_virtual_account_leads_to_its_transfers_and_to_who_answers_for_the_sale() -> None:
    payment = msgspec.structs.replace(
        paid("ch_1", 1_000), intent_id="pi_1", merchant="acct_9", method=PaymentMethod(type="customer_balance")
    )
    came = CashMovement(external_id="cash_1", customer_id="cus_1", type="funded", amount=usd(1_000), reference="INV 7")
    funded = {"pi_1": Funding(parts=(FundedBy(movement=came, amount=usd(1_000)),), dangling=usd(0))}
    movements, known = [moved("txn_1", 1_000, source="ch_1")], {"ch_1": payment}
    (line,) = trace_payout(payout_of(1_000), movements, known, funded=funded).lines
    assert (line.merchant, [part.movement.reference for part in line.funded_by], line.gap) == (
        "acct_9",
        ["INV 7"],
        None,
    )
    unknown = trace_payout(payout_of(1_000), movements, known)
    assert unknown.findings == ("ch_1: paid from a virtual account, and nobody told of what was taken from it.",)
    short = {"pi_1": Funding(parts=(), dangling=usd(1_000))}
    assert "came with no transfer" in trace_payout(payout_of(1_000), movements, known, funded=short).findings[0]


def test_what_the_bank_says_of_a_payout_stands_beside_what_the_processor_says() -> None:
    arrival = Arrival(finding="It should have come by 2026-03-12, and no account booked it.")
    movements, known = [moved("txn_1", 1_000, source="ch_1")], {"ch_1": paid("ch_1", 1_000)}
    assert trace_payout(payout_of(1_000), movements, known, arrival=arrival).findings == (arrival.finding,)
    assert trace_payout(payout_of(1_000), [], {}, arrival=arrival).findings[-1] == arrival.finding
