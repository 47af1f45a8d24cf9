"""The pages of conflicts: both values with their origins, what each choice does, and a reason asked of everybody."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from accordant.canonical.conflicts import ConflictRule, Side
from accordant.governance.sensitivity import LEAST
from accordant.kernel.ids import derived_id
from accordant.store.engine import Database
from tests.databases import open_store
from tests.web.company import NOW, ConsoleDesk, browse, open_conflict, seed_company
from tests.web.test_console_pages import HERE, HOSTILE, hidden

BETA = derived_id("acc", "stripe", "customer", "cus_beta")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Database]:
    database = open_store(f"sqlite:///{tmp_path / 'console.sqlite'}")
    yield database
    database.close()


@pytest.fixture
def desk(store: Database) -> ConsoleDesk:
    desk = ConsoleDesk(store)
    seed_company(store, desk)
    return desk


@pytest.fixture
def visitor(desk: ConsoleDesk) -> Iterator[TestClient[Litestar]]:
    with browse(desk) as client:
        client.follow_redirects = False
        yield client


def test_without_conflicts_the_page_says_what_will_appear(visitor: TestClient[Litestar]) -> None:
    for page in ("/conflicts", "/conflicts?show=open"):
        answer = visitor.get(page)
        assert answer.status_code == 200
        assert 'class="empty"' in answer.text


def test_both_values_stand_side_by_side_with_their_origins(desk: ConsoleDesk, visitor: TestClient[Litestar]) -> None:
    one = open_conflict(desk.database, account_id=BETA)
    page = visitor.get(f"/conflicts/{one.id}").text
    for said in ("Beta Ltd", "Beta Limited", "stripe", "salesforce", "Grace", "event 1", "waits for a person"):
        assert said in page
    assert page.count(f'action="/conflicts/{one.id}/decide"') == 2
    listed = visitor.get("/conflicts?show=open").text
    assert f"/conflicts/{one.id}" in listed
    trouble = visitor.get("/trouble?kind=conflict").text
    assert f'href="/conflicts/{one.id}"' in trouble


def test_what_a_rule_decided_does_not_wait(desk: ConsoleDesk, visitor: TestClient[Litestar]) -> None:
    one = open_conflict(desk.database, account_id=BETA, rule=ConflictRule.SYSTEM_OF_RECORD, winner=Side.OWNER)
    assert one.id not in visitor.get("/conflicts?show=open").text
    assert "a rule decided" in visitor.get(f"/conflicts/{one.id}").text
    assert "/conflicts/" not in visitor.get("/trouble").text


def test_a_decision_needs_a_reason_and_is_shown(desk: ConsoleDesk, visitor: TestClient[Litestar]) -> None:
    one = open_conflict(desk.database, account_id=BETA)
    page = visitor.get(f"/conflicts/{one.id}").text
    form = {"csrf": hidden(page, "csrf"), "choice": "target"}
    refused = visitor.post(f"/conflicts/{one.id}/decide", data=form, headers=HERE)
    assert refused.status_code == 409
    assert "for a stated reason" in refused.text
    done = visitor.post(f"/conflicts/{one.id}/decide", data={**form, "reason": "The new legal name."}, headers=HERE)
    assert done.status_code == 303
    assert desk.asked[-1] == (
        "restore",
        one.id,
        "target",
        "console on this machine (unverified)",
        "The new legal name.",
    )
    assert "The new legal name." in visitor.get(done.headers["location"]).text


@pytest.mark.parametrize("choice", ["", "nobody", "<script>"])
def test_a_choice_there_is_not_changes_nothing(desk: ConsoleDesk, visitor: TestClient[Litestar], choice: str) -> None:
    one = open_conflict(desk.database, account_id=BETA)
    csrf = hidden(visitor.get(f"/conflicts/{one.id}").text, "csrf")
    form = {"csrf": csrf, "choice": choice, "reason": "Because."}
    assert visitor.post(f"/conflicts/{one.id}/decide", data=form, headers=HERE).status_code == 422
    assert desk.asked == []


def test_a_form_from_elsewhere_changes_nothing(desk: ConsoleDesk, visitor: TestClient[Litestar]) -> None:
    one = open_conflict(desk.database, account_id=BETA)
    form = {"csrf": "stolen", "choice": "target", "reason": "Because."}
    assert visitor.post(f"/conflicts/{one.id}/decide", data=form, headers=HERE).status_code == 403
    assert desk.asked == []


def test_what_the_court_refuses_has_no_button(desk: ConsoleDesk, visitor: TestClient[Litestar]) -> None:
    desk.court = (True, "Name is part of the financial state: stripe wins always.")
    one = open_conflict(desk.database, account_id=BETA)
    page = visitor.get(f"/conflicts/{one.id}").text
    assert "stripe wins always" in page
    assert 'value="target"' not in page


def test_a_closed_conflict_says_why(desk: ConsoleDesk, visitor: TestClient[Litestar]) -> None:
    one = open_conflict(desk.database, account_id=BETA)
    desk.closed[one.id] = "Nothing is wanted in Name today."
    assert "Nothing is wanted in Name today." in visitor.get(f"/conflicts/{one.id}").text


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_values_are_shown_as_text(desk: ConsoleDesk, visitor: TestClient[Litestar], text: str) -> None:
    one = open_conflict(desk.database, account_id=BETA, value=text)
    for page in ("/conflicts", f"/conflicts/{one.id}"):
        html = visitor.get(page).text
        assert "<script>alert" not in html
        assert "<img src=x" not in html


def test_files_and_older_pages(desk: ConsoleDesk, visitor: TestClient[Litestar]) -> None:
    for number in range(60):
        open_conflict(desk.database, account_id=BETA, value=f"Typed {number}", at=NOW - timedelta(minutes=number))
    first = visitor.get("/conflicts.json").json()
    assert (len(first["lines"]), first["total"], first["before"] is not None) == (50, 60, True)
    assert visitor.get("/conflicts.csv").text.count("\r\n") == 51
    older = visitor.get("/conflicts.json", params={"before": first["before"]}).json()
    assert (len(older["lines"]), older["before"]) == (10, None)
    assert visitor.get("/conflicts.json?before=nonsense").status_code == 200


def test_an_unknown_conflict(visitor: TestClient[Litestar]) -> None:
    assert visitor.get("/conflicts/cfl_none").status_code == 404


def test_a_name_is_covered_for_the_least_audience_on_every_form_of_the_page(
    desk: ConsoleDesk, visitor: TestClient[Litestar]
) -> None:
    desk.audience = LEAST
    one = open_conflict(desk.database, account_id=BETA, value="jane.doe@example.com")
    for page in (
        "/conflicts",
        "/conflicts.json",
        "/conflicts.csv",
        f"/conflicts/{one.id}",
        f"/conflicts/{one.id}.json",
    ):
        assert "jane.doe@example.com" not in visitor.get(page).text
