"""Customers whose party Tryton has kept for years: found and linked, or asked about; never doubled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from accordant.canonical.review import ReviewAction
from accordant.connectors.tryton.rpc import Rpc
from accordant.operations.review import Decided
from accordant.store.schema import review_case
from tests.connectors.ledger_story import ROUNDS_MAX, Company, a_company, receivables_come_back
from tests.connectors.tryton.hands import BOOKS
from tests.connectors.tryton.server import Tryton
from tests.connectors.tryton.test_story import the_erp, trial_balance
from tests.integration.operations.bookkit import balances

pytestmark = [pytest.mark.postgres, pytest.mark.subprocess, pytest.mark.slow]


def looked_for(folder: Path) -> None:
    """The charter has customers looked for in Tryton before one is made."""
    path = folder / "accordant.yaml"
    text = path.read_text(encoding="utf-8")
    assert text.count("\ncourier:") == 1
    path.write_text(text.replace("\ncourier:", "\nidentity: {systems: [tryton]}\ncourier:"), encoding="utf-8")


async def a_party(rpc: Rpc, code: str, name: str, email: str) -> int:
    """One that an accountant made long ago."""
    mail = [["create", [{"type": "email", "value": email}]]]
    values = {"code": code, "name": name, "contact_mechanisms": mail, "addresses": [["create", [{}]]]}
    return int((await rpc.call("party.party", "create", [values], context=BOOKS))[0])


async def rest(one: Company) -> None:
    """Everything that may go out is out; what waits for a person waits."""
    one.take_in()
    for _ in range(ROUNDS_MAX):
        one.process()
        one.clock.move(seconds=3)
        if await one.hub.reread_round() == 0 and await one.hub.scan_round() == 0:
            break
    for _ in range(ROUNDS_MAX):
        if await one.hub.deliver_round("tryton") == 0:
            return
    raise AssertionError("the courier did not come to rest")


async def parties_of_bills(rpc: Rpc) -> list[int]:
    rows = await rpc.find("account.invoice", [["reference", "like", "jrn_%"]], ["party"], context=BOOKS)
    return [row["party"] for row in rows]


async def marks(rpc: Rpc, party: int) -> tuple[str, list[str]]:
    """The number of a party, and its identifiers."""
    (row,) = await rpc.find("party.party", [["id", "=", party]], ["code", "identifiers.code"], context=BOOKS)
    return row["code"], [one["code"] for one in row["identifiers."]]


def open_questions(one: Company) -> list[Any]:
    with one.hub.database.read() as connection:
        bodies = connection.execute(select(review_case.c.body).where(review_case.c.state == "open")).scalars().all()
    return [msgspec.json.decode(body) for body in bodies]


async def test_customers_go_to_the_parties_that_were_there(tryton: Tryton, rpc: Rpc, tmp_path: Path) -> None:
    friend = await a_party(rpc, "10042", "Example 0 AG", "billing+0@example.com")
    first, second = [await a_party(rpc, code, "Example 2 AG", "billing+2@example.com") for code in ("10043", "10044")]
    async with a_company(the_erp(tryton), tmp_path, seed=60, edit=looked_for) as one:
        known, new, doubtful = one.sell(3, currency="eur")
        await rest(one)
        assert await marks(rpc, friend) == ("10042", [f"accordant:{known}"])
        codes = await rpc.find("party.party", [["code", "like", "cus_%"]], ["code"], context=BOOKS)
        assert [row["code"] for row in codes] == [new]
        made = codes[0]["id"]
        assert sorted(await parties_of_bills(rpc)) == sorted([friend, made])
        assert [case["subject"]["external_id"] for case in open_questions(one)] == [doubtful]
        assert {row.state for row in one.left()} <= {"held", "pending"}

        decided = await one.hub.review_room.decide(
            ReviewAction.ACCEPT, doubtful, actor="Ada", reason="Theirs.", target_id=str(second)
        )
        assert isinstance(decided, Decided)
        await rest(one)
        assert one.left() == []
        assert await marks(rpc, second) == ("10044", [f"accordant:{doubtful}"])
        assert await marks(rpc, first) == ("10043", [])
        assert sorted(await parties_of_bills(rpc)) == sorted([friend, made, second])
        assert await trial_balance(rpc) == balances(one.hub.database)
        for flow in ("parties", "bills", "entries"):
            one.clock.move(seconds=1)
            assert (await one.hub.reconcile(flow, actor="ada")).is_clean, flow
        await receivables_come_back(one)
