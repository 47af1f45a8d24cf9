"""Another system orders entries: the same gate, once per key, every refusal with its reason, nothing half done."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from accordant.canonical.books import Role
from accordant.canonical.people import PersonRole
from accordant.ledger.orders import EntryOrder, OrderLeg
from accordant.operations.order_entry import EntryDesk
from accordant.operations.word_desk import OrderOutcome
from accordant.web.api import api_application
from tests.integration.operations.bookkit import LEDGER, balances, entries
from tests.integration.operations.kit import Installation, an_installation

PATH = "/api/books/entries"


@pytest.fixture
async def one(store_url: str, tmp_path: Path) -> AsyncIterator[Installation]:
    async with an_installation(store_url, tmp_path, more=LEDGER) as installed:
        yield installed


def an_order(**changes: Any) -> dict[str, Any]:
    return {
        "key": "adj-1",
        "system": "stripe",
        "happened_on": "2024-01-05",
        "currency": "USD",
        "total": "108.88",
        "text": "Set-up fee",
        "legs": [
            {"role": "bank", "amount": "108.88"},
            {"role": "revenue", "amount": "-100.00"},
            {"role": "sales_tax", "amount": "-8.88", "tax_code": "US"},
        ],
    } | changes


def a_token(one: Installation, *roles: PersonRole) -> str:
    _, token = one.hub.people.add(
        f"ERP {len(one.hub.people.everybody())}", frozenset(roles), timedelta(days=1), admin=None, actor="test"
    )
    return str(token)


def ask(client: TestClient[Litestar], token: str | None, body: Any) -> Any:
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    return client.post(PATH, json=body, headers=headers)


async def test_an_order_is_posted_once_and_a_key_is_for_one_thing(one: Installation) -> None:
    token = a_token(one, PersonRole.OPERATOR)
    with TestClient(api_application(one.hub)) as client:
        tried = ask(client, token, an_order(dry_run=True))
        assert (tried.status_code, tried.json()["outcome"]) == (200, "would_post")
        assert entries(one.hub.database) == []
        first = ask(client, token, an_order())
        assert (first.status_code, first.json()["outcome"]) == (201, "posted"), first.text
        again = ask(client, token, an_order())
        assert (again.status_code, again.json()["outcome"]) == (200, "repeat")
        assert again.json()["entry"]["id"] == first.json()["entry"]["id"]
        other = ask(client, token, an_order(text="Something else"))
        assert (other.status_code, other.json()["outcome"]) == (409, "key_reused")
    assert balances(one.hub.database) == {"1000": 10_888, "4000": -10_000, "2200": -888}


@pytest.mark.parametrize(
    ("changes", "check"),
    [
        ({"total": "108.87"}, "source_total"),
        ({"legs": [{"role": "bank", "amount": "1.00"}, {"role": "revenue", "amount": "-1.01"}], "total": "1.00"},
         "balance"),
        ({"legs": [{"role": "bank", "amount": "1.00"}, {"role": "bad_debt", "amount": "-1.00"}], "total": "1.00"},
         "ledger_mapping"),
        ({"legs": [{"role": "bank", "amount": "1.00"}, {"role": "sales_tax", "amount": "-1.00", "tax_code": "DE"}],
          "total": "1.00"}, "tax_attribute"),
        ({"happened_on": "2031-01-01"}, "open_period"),
        ({"system": "salesforce"}, "legal_entity"),
        ({"customer": "cus_nobody"}, "party"),
        ({"currency": "GBP", "happened_on": "2030-01-01"}, "exchange_rate"),
    ],
)  # fmt: skip
async def test_a_refusal_names_its_check_and_what_to_do_and_changes_nothing(
    one: Installation, changes: dict[str, Any], check: str
) -> None:
    token = a_token(one, PersonRole.OPERATOR)
    with TestClient(api_application(one.hub)) as client:
        answer = ask(client, token, an_order(**changes))
    assert answer.status_code == 422, answer.text
    assert check in {one["check"] for one in answer.json()["refusals"]}
    assert all(one["remedy"] for one in answer.json()["refusals"])
    assert entries(one.hub.database) == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("{", 400), ([], 400), (an_order(surprise=1), 400), (an_order(happened_on="yesterday"), 400),
        (an_order(total="1e2"), 422), (an_order(total="10,00"), 422), (an_order(currency="usd"), 422),
        (an_order(currency="XXX"), 422), (an_order(key=" "), 422), (an_order(key="k" * 201), 422),
        (an_order(legs=[]), 422), (an_order(total="108.880"), 201),
        (an_order(legs=[{"role": "receivable", "amount": "1", "party": True}, {"role": "bank", "amount": "-1"}]), 422),
    ],
)  # fmt: skip
async def test_what_cannot_be_read_is_refused_with_a_remedy(one: Installation, body: Any, status: int) -> None:
    token = a_token(one, PersonRole.OPERATOR)
    with TestClient(api_application(one.hub)) as client:
        headers = {"authorization": f"Bearer {token}"}
        answer = client.post(PATH, content=body, headers=headers) if isinstance(body, str) else ask(client, token, body)
    assert answer.status_code == status, answer.text
    if status >= 400:
        assert answer.json()["remedy"]
        assert entries(one.hub.database) == []


async def test_only_who_may_operate_orders(one: Installation) -> None:
    with TestClient(api_application(one.hub)) as client:
        assert ask(client, None, an_order()).status_code == 401
        assert ask(client, "nothing", an_order()).status_code == 401
        looks = ask(client, a_token(one, PersonRole.VIEWER), an_order())
        assert (looks.status_code, "may not" in looks.json()["problem"]) == (403, True)
        assert client.get(PATH).status_code == 405
    assert entries(one.hub.database) == []


async def test_eight_at_once_with_one_key_post_one_entry(one: Installation) -> None:
    order = EntryOrder(
        key="k", system="stripe", happened_on=one.clock().date(), currency="USD", total="1.00", text="x",
        legs=(OrderLeg(role=Role.BANK, amount="1.00"), OrderLeg(role=Role.REVENUE, amount="-1.00")),
    )  # fmt: skip
    desk = EntryDesk(one.hub.state, one.hub.inbox, rulebook=lambda: one.hub.rulebook, clock=one.hub.clock)
    outcomes: list[OrderOutcome] = []
    threads = [threading.Thread(target=lambda: outcomes.append(desk.order(order, by="test").outcome)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == [OrderOutcome.POSTED] + [OrderOutcome.REPEAT] * 7
    assert len(entries(one.hub.database)) == 1
