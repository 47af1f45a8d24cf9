"""Answers that never come: whatever was carried out is found by its key, and nothing is posted twice."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from accordant.canonical.intents import Applied
from accordant.connectors.sdk.http import Timeouts
from accordant.connectors.tryton.outbound import TrytonOutbound
from accordant.connectors.tryton.rpc import Rpc
from accordant.demo.stage import HOST
from accordant.ports.connector import AnswerLost
from tests.connectors.tryton.company import DEFERRED, RECEIVABLE, TAX
from tests.connectors.tryton.kit import INVOICE, MOVE, a_customer, billed, connect, invoice, move, paid, send
from tests.connectors.tryton.server import Tryton

pytestmark = [pytest.mark.postgres, pytest.mark.subprocess, pytest.mark.slow]


class Wire:
    """Between us and Tryton: what it is told to lose is carried out, and the line goes dead before the answer."""

    def __init__(self, tryton: Tryton) -> None:
        self.loses: str | None = None
        self.overtakes: str | None = None
        self.lost = 0
        self.url = ""
        self._tryton = tryton

    async def pass_on(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        headers = {name: request.headers[name] for name in ("Authorization", "Content-Type") if name in request.headers}
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self._tryton.url}{request.path}", data=body, headers=headers) as answer,
        ):
            said = await answer.read()
        if json.loads(body)["method"] == self.loses:
            self.loses = None
            self.lost += 1
            assert request.transport is not None
            request.transport.abort()
        if json.loads(body)["method"] == self.overtakes and "error" not in json.loads(said):
            # The request that was given up came first: what ours would have done is done, and so it is refused.
            self.overtakes = None
            self.lost += 1
            said = json.dumps({"id": 1, "error": ["UserError", ["You cannot modify what is posted.", ""]]}).encode()
        return web.Response(status=answer.status, body=said, content_type="application/json")


@asynccontextmanager
async def a_wire(tryton: Tryton) -> AsyncIterator[Wire]:
    wire = Wire(tryton)
    app = web.Application()
    app.router.add_post("/{path:.*}", wire.pass_on)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, HOST, 0)
    await site.start()
    wire.url = f"http://{HOST}:{runner.addresses[0][1]}"
    try:
        yield wire
    finally:
        await runner.cleanup()


@pytest.fixture
async def wire(tryton: Tryton) -> AsyncIterator[Wire]:
    async with a_wire(tryton) as made:
        yield made


@pytest.fixture
async def erp(tryton: Tryton, wire: Wire) -> AsyncIterator[TrytonOutbound]:
    made = connect(tryton, url=wire.url, timeouts=Timeouts(connect_s=5, silence_s=30, total_s=60))
    yield made
    await made.close()


async def turnover(rpc: Rpc, party: str) -> dict[str, str]:
    """What stands on the accounts for a customer, debits less credits, by account."""
    rows = await rpc.find(
        "account.move.line",
        [["OR", ["party.code", "=", party], ["description", "like", f"%party={party}%"]]],
        ["debit", "credit", "account.code"],
        limit=None,
    )
    found: dict[str, str] = {}
    for code in {row["account."]["code"] for row in rows}:
        found[code] = str(sum(row["debit"] - row["credit"] for row in rows if row["account."]["code"] == code))
    return found


@pytest.mark.parametrize("lost", ["create", "post", "write", "execute"])
async def test_wherever_the_answer_is_lost_the_bill_and_its_payment_are_there_once(
    erp: TrytonOutbound, wire: Wire, rpc: Rpc, lost: str
) -> None:
    party = await a_customer(erp, f"cus_lost_{lost}")
    bill, payment = f"jrn_lost_{lost}", f"jrn_lost_{lost}_p"
    steps = (
        (INVOICE, bill, invoice(billed(party, "100.00", "19.00"), party=party), "account.invoice"),
        (MOVE, payment, move(paid(party, "119.00"), settles=bill), "account.move"),
    )
    for spec, key, fields, model in steps:
        wire.lost = 0
        wire.loses = {
            "create": f"model.{model}.create",
            "post": f"model.{model}.post",
            "write": "model.account.invoice.write",
            "execute": "wizard.account.move.reconcile_lines.execute",
        }[lost]
        try:
            outcome = await send(erp, spec, key, fields)
        except AnswerLost:
            assert wire.lost == 1
            outcome = await send(erp, spec, key, fields)
        assert isinstance(outcome, Applied), outcome
        wire.loses = None
    for model, field, key in (("account.invoice", "reference", bill), ("account.move", "description", payment)):
        rows = await rpc.find(model, [[field, "=", key]], ["state"])
        assert [row["state"] for row in rows] == [{"account.invoice": "paid", "account.move": "posted"}[model]]
    held = await erp.read(MOVE, [payment])
    assert held[payment].fields["settles"] == bill
    assert await turnover(rpc, party) == {RECEIVABLE: "0.00"}
    invoices = await rpc.find("account.invoice", [["party.code", "=", party]], ["move"])
    lines = await rpc.find("account.move.line", [["move", "=", invoices[0]["move"]]], ["account.code", "credit"])
    assert {line["account."]["code"] for line in lines} == {RECEIVABLE, DEFERRED, TAX}


async def test_a_bill_that_a_given_up_request_posts_meanwhile_is_not_refused(
    erp: TrytonOutbound, wire: Wire, rpc: Rpc
) -> None:
    party = await a_customer(erp, "cus_overtaken")
    bill = invoice(billed(party, "100.00", "19.00"), party=party)
    wire.loses = "model.account.invoice.create"
    with pytest.raises(AnswerLost):
        await send(erp, INVOICE, "jrn_overtaken", bill)
    wire.overtakes = "model.account.invoice.post"
    outcome = await send(erp, INVOICE, "jrn_overtaken", bill)
    assert wire.lost == 2
    assert isinstance(outcome, Applied), outcome
    rows = await rpc.find("account.invoice", [["reference", "=", "jrn_overtaken"]], ["state"])
    assert [row["state"] for row in rows] == ["posted"]


async def test_a_customer_whose_answer_was_lost_is_there_once(erp: TrytonOutbound, wire: Wire, rpc: Rpc) -> None:
    wire.loses = "model.party.party.create"
    with pytest.raises(AnswerLost):
        await a_customer(erp, "cus_lost")
    await a_customer(erp, "cus_lost")
    assert len(await rpc.find("party.party", [["code", "=", "cus_lost"]], ["name"])) == 1
