"""A line of Tryton's journal leads to the provider's event and to the opportunity, and the opportunity to the lines."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from accordant.bootstrap import checked_charter
from accordant.connectors.tryton.rpc import Rpc
from accordant.orchestration.saga import SagaKind, SagaPhase
from tests.cli.kit import Terminal
from tests.connectors.tryton.contract_kit import Mortal, a_contract, release, sell
from tests.connectors.tryton.server import PASSWORD, Tryton
from tests.connectors.tryton.test_story import BOOKS, the_erp

pytestmark = [pytest.mark.postgres, pytest.mark.subprocess, pytest.mark.slow]
LINE = "account.move.line"


@pytest.fixture
def terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("TRYTON_PASSWORD", PASSWORD)
    return Terminal(capsys, monkeypatch)


async def test_a_line_of_the_erps_journal_leads_to_event_and_opportunity_and_back(
    tryton: Tryton, rpc: Rpc, tmp_path: Path, terminal: Terminal
) -> None:
    mortal = Mortal()
    mortal.is_on = False
    async with a_contract(the_erp(tryton), tmp_path, mortal=mortal) as contract:
        one = contract.one
        deal = sell(one)
        await contract.around(1)
        release(one)
        await contract.until(SagaKind.CONTRACT_WON, SagaPhase.DONE)
        terminal.use(one.settings)
        one.hub.shelf.remember(checked_charter(one.settings), now=one.clock())
        said = [event for event in one.stripe.events() if event.type in {"invoice.finalized", "invoice.paid"}]
        (bill,) = one.stripe.book.table("invoice").values()

        fields = ["number", "move", "move.number"]
        (invoice,) = await rpc.find("account.invoice", [["reference", "like", "jrn_%"]], fields, context=BOOKS)
        lines = await rpc.find(LINE, [["move", "=", invoice["move"]]], ["debit"], context=BOOKS, limit=None)
        names = [f"{LINE}/{line['id']}" for line in lines]
        names += [f"account.invoice/{invoice['number']}", f"account.move/{invoice['move.']['number']}"]
        trail: dict[str, Any] = {}
        for name in names:
            (trail,) = await books(terminal, f"tryton:{name}")
            assert trail["event"] in {event.id for event in said}
            assert trail["event_type"].startswith("invoice.")
            assert trail["bill"] == f"stripe:invoice/{bill['id']}"
            assert trail["subscription"] == f"stripe:subscription/{bill['subscription']}"
            assert trail["opportunity"].rpartition("/")[2] == deal
            assert len(trail["correlation"]) == 32
        told = await terminal.ask("why", f"tryton:{names[0]}")
        for word in (trail["event"], trail["bill"], trail["opportunity"]):
            assert word in "".join(told.out.split())

        # Back: from the opportunity to each document in Tryton.
        trails = await books(terminal, trail["opportunity"])
        ids = {sent["target_id"] for one_trail in trails for sent in one_trail["sent"]}
        assert f"account.invoice,{invoice['id']}" in ids
        moves = await rpc.find("account.move", [["description", "like", "jrn_%"]], ["date"], context=BOOKS)
        assert {f"account.move,{move['id']}" for move in moves} <= ids

        await what_is_nobodys_is_said(terminal, rpc)


async def books(terminal: Terminal, ref: str) -> list[dict[str, Any]]:
    said = await terminal.ask("why", ref, "--json")
    assert said.code == 0, said.err
    found: list[dict[str, Any]] = said.json["books"]
    return found


async def what_is_nobodys_is_said(terminal: Terminal, rpc: Rpc) -> None:
    """A move that an accountant made by hand is of no document of ours, and a line that is not there neither."""
    accounts = {row["code"]: row["id"] for row in await rpc.find("account.account", [], ["code"], context=BOOKS)}
    day = date(2024, 6, 30)
    (period,) = await rpc.find("account.period", [["start_date", "=", date(2024, 6, 1)]], ["name"], context=BOOKS)
    (journal,) = await rpc.find("account.journal", [["code", "=", "MISC"]], ["code"], context=BOOKS)
    ten = Decimal(10)
    sides = [{"account": accounts["1000"], "debit": ten, "credit": Decimal(0)},
             {"account": accounts["4000"], "debit": Decimal(0), "credit": ten}]  # fmt: skip
    values = {"journal": journal["id"], "period": period["id"], "date": day, "lines": [["create", sides]]}
    (made,) = await rpc.call("account.move", "create", [values], context=BOOKS)
    for name in (f"account.move/{made}", f"{LINE}/999999"):
        said = await terminal.ask("why", f"tryton:{name}")
        assert said.code == 0
        assert "of no document of the hub" in " ".join(said.out.split())
