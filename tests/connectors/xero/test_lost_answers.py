"""Answers that never come: whatever was carried out is found by its key, and nothing is posted twice."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress
from datetime import timedelta

import pytest

from accordant.canonical.intents import KEY_REUSED, Applied, RefusalClass, Refused, WireValue
from accordant.canonical.targets import ObjectSpec
from accordant.connectors.sdk.stand_in import Call
from accordant.connectors.xero.errors import classify, read_fault
from accordant.ports.connector import ALREADY_THERE, AnswerLost, RateLimited, RecordWrite, TargetUnavailable
from tests.connectors.ledger_kit import CLEARING, DEFERRED, TAX, billed, invoice, move, paid, put, send
from tests.connectors.xero.kit import BILL, CONTACT, ENTRY, Books

LOSING = ("reset_after", "error_after", "html", "truncated", "timeout_after")
#: The calls that write: a customer, a bill, what pays a part of it, and what is set against the rest.
STEPS = ("Contacts", "Invoices", "Payments", "CreditNotes", "Allocations")


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
@pytest.mark.parametrize("step", STEPS)
async def test_wherever_the_answer_is_lost_everything_is_there_once(one: Books, step: str, kind: str) -> None:
    path = f"/{step}"
    one.simulator.fault(kind, method="PUT", path=path, times=1, seconds=0.0 if kind != "timeout_after" else 0.01)
    party = "cus_1"
    person: dict[str, WireValue] = {"name": "Customer", "email": "a@example.com"}
    await again_until_it_holds(one, CONTACT, party, person)
    bill = invoice(billed(party, "100.00", "19.00"), party=party)
    await again_until_it_holds(one, BILL, "jrn_bill", bill)
    await again_until_it_holds(one, ENTRY, "jrn_paid", move(paid(party, "59.50"), settles="jrn_bill"))
    note = invoice(billed(party, "-50.00", "-9.50"), party=party, settles="jrn_bill")
    await again_until_it_holds(one, BILL, "jrn_note", note)
    assert one.simulator.faults.struck == {kind: 1}
    assert Counter(table for table, _ in one.simulator.books.made) == dict.fromkeys(STEPS, 1)
    assert one.balance() == {CLEARING: "59.50", DEFERRED: "-50.00", TAX: "-9.50"}
    assert set(one.simulator.books.owed().values()) == {0}


@pytest.mark.parametrize("kind", ["busy", "too_many", "reset_before", "error_before"])
async def test_what_was_not_carried_out_leaves_nothing_and_says_so(one: Books, kind: str) -> None:
    await one.a_customer("cus_1")
    one.simulator.fault(kind, method="PUT", path="/Invoices", times=1, seconds=7.0)
    expected = RateLimited if kind == "too_many" else AnswerLost
    with pytest.raises(expected) as failed:
        await send(one.erp, BILL, "jrn_1", invoice(billed("cus_1", "1.00", "0.19"), party="cus_1"))
    if kind in {"busy", "too_many"}:
        assert failed.value.retry_after_s == 7.0
    assert not one.simulator.books.tables["Invoices"]


async def test_a_question_is_asked_again_and_a_write_is_not(one: Books) -> None:
    await one.a_customer("cus_1")
    one.simulator.fault("error_before", method="GET", times=1)
    assert "cus_1" in await one.erp.read(CONTACT, ["cus_1"])
    one.simulator.fault("error_before", method="GET", times=None)
    with pytest.raises(TargetUnavailable):
        await one.erp.read(CONTACT, ["cus_1"])


async def test_the_same_request_within_the_life_of_its_key_is_one_and_later_the_number_stands_for_it(
    one: Books,
) -> None:
    """The vendor's key is the second guard: it is gone after minutes, and the number is unique for ever."""
    await one.a_customer("cus_1")
    record = RecordWrite(
        key="jrn_1",
        fields=invoice(billed("cus_1", "1.00", "0.19"), party="cus_1"),
        idempotency_key="accordant-1",
    )
    first, second = [(await one.erp.write(BILL, [record]))[0].outcome for _ in range(2)]
    assert isinstance(first, Applied)
    assert second == first
    one.clock.move(seconds=timedelta(minutes=7).total_seconds())
    (late,) = await one.erp.write(BILL, [record])
    assert isinstance(late.outcome, Refused)
    assert (late.outcome.code, late.outcome.cause) == (ALREADY_THERE, RefusalClass.TRANSIENT)
    assert len(one.simulator.books.tables["Invoices"]) == 1


async def test_no_two_contents_ever_share_a_key_which_the_vendor_would_refuse(one: Books) -> None:
    await one.a_customer("cus_1")
    fields = invoice(billed("cus_1", "1.00", "0.19"), party="cus_1")
    for key in ("jrn_1", "jrn_2"):
        (told,) = await one.erp.write(BILL, [RecordWrite(key=key, fields=fields, idempotency_key="accordant-1")])
        assert isinstance(told.outcome, Applied)
    sent = [call for call in one.calls if call.method == "PUT"]
    keys = {call.request_headers["Idempotency-Key"] for call in sent}
    assert len(keys) == len(sent)
    known = sent[-1].request_headers["Idempotency-Key"]
    stranger = one.simulator.answer(
        Call("PUT", sent[-1].path, {}, {**await _proof(one), "idempotency-key": known}, b'{"Invoices": [{}]}')
    )
    assert stranger.status == 400
    assert KEY_REUSED in classify(read_fault(400, json.dumps(stranger.body).encode()))


async def _proof(one: Books) -> dict[str, str]:
    heard = one.simulator.calls[-1].headers
    return {name: heard[name] for name in ("authorization", "xero-tenant-id")}


async def test_behind_a_failure_nothing_of_the_batch_is_sent(one: Books) -> None:
    await one.a_customer("cus_1")
    records = [
        RecordWrite(
            key=f"jrn_{number}",
            fields=invoice(billed("cus_1", "1.00", "0.19"), party="cus_1"),
            idempotency_key=f"accordant-{number}",
        )
        for number in range(3)
    ]
    await put(one.erp, BILL, "jrn_0", records[0].fields)
    one.simulator.fault("reset_after", method="PUT", path="/Invoices", times=1)
    with pytest.raises(AnswerLost):  # the first of a batch: the whole call has lost its answer
        await one.erp.write(BILL, records[1:])
    assert sorted(row["InvoiceNumber"] for row in one.simulator.books.tables["Invoices"].values()) == ["jrn_0", "jrn_1"]
