"""Answers that never come: whatever was carried out is found by its key, and nothing is posted twice."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress

import pytest

from accordant.canonical.intents import Applied, RefusalClass, Refused, WireValue
from accordant.canonical.targets import ObjectSpec
from accordant.ports.connector import ALREADY_THERE, AnswerLost, RateLimited, RecordWrite, TargetUnavailable
from tests.connectors.ledger_kit import CLEARING, DEFERRED, TAX, billed, invoice, move, paid, send
from tests.connectors.quickbooks.kit import BILL, CUSTOMER, ENTRY, Books

LOSING = ("reset_after", "error_after", "html", "truncated", "timeout_after")
#: The calls that write: a customer, a bill, what pays a part of it, a note, and what sets that against the rest.
STEPS = (("customer", 1), ("invoice", 1), ("payment", 1), ("creditmemo", 1), ("payment", 2))


async def again_until_it_holds(one: Books, spec: ObjectSpec, key: str, fields: dict[str, WireValue]) -> None:
    """As the courier: what an answer that was lost had done is looked at before anything is sent again."""
    wanted = one.erp.canonical(spec, fields)
    for _ in range(3):
        held = (await one.erp.read(spec, [key])).get(key)
        if held is not None and held.fields == wanted:
            return
        with suppress(AnswerLost):
            assert isinstance(outcome := await send(one.erp, spec, key, fields), Applied), outcome
    raise AssertionError("it never held")


@pytest.mark.parametrize("kind", LOSING)
@pytest.mark.parametrize("step", STEPS, ids=lambda step: f"{step[0]}{step[1]}")
async def test_wherever_the_answer_is_lost_everything_is_there_once(
    one: Books, step: tuple[str, int], kind: str
) -> None:
    name, time = step
    order = {"method": "POST", "path": f"/{name}", "times": 1, "seconds": 0.01 if kind == "timeout_after" else 0.0}
    party = "cus_1"
    steps: list[tuple[ObjectSpec, str, dict[str, WireValue]]] = [
        (CUSTOMER, party, {"name": "Customer", "email": "a@example.com"}),
        (BILL, "jrn_bill", invoice(billed(party, "100.00", "19.00"), party=party)),
        (ENTRY, "jrn_paid", move(paid(party, "59.50"), settles="jrn_bill")),
        (BILL, "jrn_note", invoice(billed(party, "-50.00", "-9.50"), party=party, settles="jrn_bill")),
    ]
    for number, (spec, key, fields) in enumerate(steps):
        if number == (3 if time == 2 else 0):
            one.simulator.fault(kind, **order)
        await again_until_it_holds(one, spec, key, fields)
    assert one.simulator.faults.struck == {kind: 1}
    made = Counter(entity for entity, _ in one.simulator.books.made)
    assert made == {"Customer": 1, "Invoice": 1, "CreditMemo": 1, "Payment": 2}
    assert one.balance() == {CLEARING: "59.50", DEFERRED: "-50.00", TAX: "-9.50"}
    assert set(one.owed().values()) == {"0.00"}


@pytest.mark.parametrize("kind", ["busy", "too_many", "reset_before", "error_before"])
async def test_what_was_not_carried_out_leaves_nothing_and_says_so(one: Books, kind: str) -> None:
    await one.a_customer("cus_1")
    one.simulator.fault(kind, method="POST", path="/invoice", times=1, seconds=7.0)
    expected = RateLimited if kind == "too_many" else AnswerLost
    with pytest.raises(expected) as failed:
        await send(one.erp, BILL, "jrn_1", invoice(billed("cus_1", "1.00", "0.19"), party="cus_1"))
    if kind in {"busy", "too_many"}:
        assert failed.value.retry_after_s == 7.0
    assert not one.rows("Invoice")


async def test_more_calls_than_a_minute_takes_wait(one: Books) -> None:
    one.simulator.per_minute = 0
    with pytest.raises(RateLimited):
        await one.erp.read(CUSTOMER, ["cus_1"])
    one.simulator.per_minute = 1_000
    one.simulator.fault("error_before", method="GET", times=None)
    with pytest.raises(TargetUnavailable):
        await one.erp.read(CUSTOMER, ["cus_1"])


async def test_the_same_request_is_one_and_another_with_the_same_number_is_refused(one: Books) -> None:
    await one.a_customer("cus_1")
    fields = invoice(billed("cus_1", "1.00", "0.19"), party="cus_1")
    record = RecordWrite(key="jrn_1", fields=fields, idempotency_key="accordant-1")
    first, second = [(await one.erp.write(BILL, [record]))[0].outcome for _ in range(2)]
    assert isinstance(first, Applied)
    assert second == first
    other = RecordWrite(key="jrn_1", fields=fields, idempotency_key="accordant-2")
    (told,) = await one.erp.write(BILL, [other])
    assert isinstance(told.outcome, Refused)
    assert (told.outcome.code, told.outcome.cause) == (ALREADY_THERE, RefusalClass.TRANSIENT)
    assert len(one.rows("Invoice")) == 1


async def test_no_two_contents_share_a_request_id(one: Books) -> None:
    await one.a_customer("cus_1")
    fields = invoice(billed("cus_1", "1.00", "0.19"), party="cus_1")
    for key in ("jrn_1", "jrn_2"):
        (told,) = await one.erp.write(BILL, [RecordWrite(key=key, fields=fields, idempotency_key="accordant-1")])
        assert isinstance(told.outcome, Applied)
    sent = [call.query for call in one.calls if call.method == "POST"]
    ids = {query.partition("requestid=")[2].partition("&")[0] for query in sent}
    assert len(ids) == len(sent) == len(one.simulator.books.made)
    assert all(len(one) == 50 for one in ids)
