"""Our client against the real Tryton: sessions that end, refusals that come with status 200, amounts to the cent."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from accordant.connectors.tryton.rpc import Rpc, TrytonRefused
from accordant.kernel.errors import RejectedError
from accordant.ports.connector import AuthorizationExpired
from tests.connectors.tryton.company import BANK, CHART, CLEARING, COMPANY, YEARS
from tests.connectors.tryton.server import PASSWORD, USER, Tryton

pytestmark = [pytest.mark.postgres, pytest.mark.subprocess, pytest.mark.slow]


async def _move(rpc: Rpc, debit: str, credit: str) -> int:
    """A draft of an accountant's, from the bank to the clearing account."""
    context = {"company": 1}
    codes = await rpc.find("account.account", [["code", "in", [BANK, CLEARING]]], ["code"], context=context)
    ids = {row["code"]: row["id"] for row in codes}
    periods = await rpc.find("account.period", [["start_date", "=", date(2026, 3, 1)]], ["name"], context=context)
    journals = await rpc.find("account.journal", [["code", "=", "MISC"]], ["code"], context=context)
    lines = [
        {"account": ids[CLEARING], "debit": Decimal(debit), "credit": Decimal(0)},
        {"account": ids[BANK], "debit": Decimal(0), "credit": Decimal(credit)},
    ]
    move = {
        "company": 1, "period": periods[0]["id"], "journal": journals[0]["id"], "date": date(2026, 3, 5),
        "lines": [["create", lines]],
    }  # fmt: skip
    made = await rpc.call("account.move", "create", [move], context=context)
    return int(made[0])


async def test_the_company_is_there(rpc: Rpc) -> None:
    companies = await rpc.find("company.company", [], ["party.name", "currency.code"])
    assert [(one["party."]["name"], one["currency."]["code"]) for one in companies] == [(COMPANY, "EUR")]
    accounts = await rpc.find("account.account", [], ["code"], context={"company": 1})
    assert {one["code"] for one in accounts} == set(CHART)
    periods = await rpc.find("account.period", [], ["start_date", "end_date"], context={"company": 1})
    assert len(periods) == 12 * len(YEARS)
    assert min(one["start_date"] for one in periods) == date(min(YEARS), 1, 1)


async def test_amounts_come_back_to_the_last_digit(rpc: Rpc) -> None:
    move = await _move(rpc, "90071992547409.93", "90071992547409.93")  # a float would have lost the 93
    lines = await rpc.find("account.move.line", [["move", "=", move]], ["debit", "credit"])
    assert {line["debit"] for line in lines} == {Decimal("90071992547409.93"), Decimal(0)}


async def test_an_unbalanced_move_is_refused_and_undone(rpc: Rpc) -> None:
    """Why it has to be PostgreSQL: on SQLite the same call posts it."""
    move = await _move(rpc, "100.00", "90.00")
    with pytest.raises(TrytonRefused, match="balance"):
        await rpc.call("account.move", "post", [move], context={"company": 1, "language": "en"})
    held = await rpc.find("account.move", [["id", "=", move]], ["state", "number"])
    assert [(one["state"], one["number"]) for one in held] == [("draft", None)]


async def test_a_session_that_ended_is_made_anew(rpc: Rpc) -> None:
    assert await rpc.find("company.company", [], ["party"])
    move = await _move(rpc, "5.00", "5.00")
    # A new password, though it is the old one, ends every session: the next call is refused, which did nothing.
    users = await rpc.find("res.user", [["login", "=", USER]], ["login"])
    await rpc.call("res.user", "write", [users[0]["id"]], {"password": PASSWORD})
    await rpc.call("account.move", "post", [move], context={"company": 1})
    held = await rpc.find("account.move", [["id", "=", move]], ["state"])
    assert held[0]["state"] == "posted"


async def test_a_wrong_password_says_so(tryton: Tryton) -> None:
    stranger = tryton.rpc(password="not-the-password")
    with pytest.raises(AuthorizationExpired, match="password is wrong"):
        await stranger.find("company.company", [], ["party"])
    await stranger.close()


@pytest.mark.parametrize(
    ("model", "method"), [("no.such.model", "search_read"), ("party.party", "no_such_method"), ("no.such", "create")]
)
async def test_what_is_not_there_is_named(rpc: Rpc, model: str, method: str) -> None:
    with pytest.raises(RejectedError, match=model.replace(".", r"\.")):
        await rpc.call(model, method, [], context={})


async def test_a_value_of_the_wrong_kind_is_refused_with_its_field(rpc: Rpc) -> None:
    with pytest.raises(TrytonRefused) as refused:
        await rpc.call("party.party", "create", [{"name": "x", "lang": 999_999}], context={"language": "en"})
    assert len(refused.value.message) < 600  # Tryton would have sent a description of the whole model along
    assert refused.value.fault.is_undone
    assert await rpc.find("party.party", [["name", "=", "x"]], ["name"]) == []
