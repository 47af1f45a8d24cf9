"""The review queue in the console: what waits, both sides of a record, an answer with its reason, and the way back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from accordant.canonical.matching import (
    Candidate,
    Considered,
    Evidence,
    ReviewCase,
    ReviewState,
    Rung,
    Subject,
    review_case_id,
)
from accordant.kernel.ids import derived_id
from accordant.store.engine import Database
from accordant.store.review import SqlReviews, put_cases
from accordant.views.review import _verdict
from tests.databases import open_store
from tests.web.company import NOW, ConsoleDesk, browse, seed_company

BETA = derived_id("acc", "stripe", "customer", "cus_beta")
HERE = {"origin": "http://testserver.local"}
HOSTILE = '"><script>alert(1)</script>'


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Database]:
    database = open_store(f"sqlite:///{tmp_path / 'console.sqlite'}")
    yield database
    database.close()


@pytest.fixture
def desk(store: Database) -> ConsoleDesk:
    return ConsoleDesk(store)


@pytest.fixture
def visitor(desk: ConsoleDesk) -> Iterator[TestClient[Litestar]]:
    with browse(desk) as client:
        client.follow_redirects = False
        yield client


def a_question(database: Database) -> str:
    """Two records have the mailbox of one customer."""
    said = Evidence(rung=Rung.EMAIL, what="e-mail", ours="ada@beta.test", theirs="ada@beta.test", strength=100)
    records = (
        Candidate(system="salesforce", object="Account", id="001A", name="Beta Ltd", emails=("ada@beta.test",)),
        Candidate(system="salesforce", object="Account", id="001B", name=HOSTILE, country="DE"),
    )
    case = ReviewCase(
        id=review_case_id(BETA, "salesforce", "Account"),
        account_id=BETA,
        system="salesforce",
        object="Account",
        subject=Subject(account_id=BETA, external_id="cus_beta", name="Beta", emails=("ada@beta.test",)),
        why="2 records have the same e-mail.",
        candidates=tuple(Considered(candidate=one, rung=Rung.EMAIL, evidence=(said,)) for one in records),
        waits=True,
        charter="v1",
        opened_at=NOW,
    )
    with database.write_unaudited() as connection:
        put_cases(connection, [case])
    return case.id


def answer(visitor: TestClient[Litestar], case: str, **given: str) -> tuple[int, str]:
    page = visitor.get(f"/review/{case}").text
    token = re.search(r'name="csrf" value="([^"]*)"', page)
    assert token is not None
    fields = {"csrf": token.group(1), **given}
    sent = visitor.post(f"/review/{case}/decide", data=fields, headers=HERE)
    return sent.status_code, sent.text if sent.status_code != 303 else sent.headers["location"]


def state(database: Database, case: str) -> ReviewState:
    found = SqlReviews(database).case(case)
    assert found is not None
    return found.state


def test_without_questions_the_page_says_what_will_appear(visitor: TestClient[Litestar]) -> None:
    page = visitor.get("/review")
    assert page.status_code == 200
    assert "Nobody has to be asked." in page.text
    assert visitor.get("/review.json").json() == {"open": 0, "cases": []}
    assert visitor.get("/review/rev_none").status_code == 404


def test_the_queue_and_a_case_lay_both_sides_open(desk: ConsoleDesk, visitor: TestClient[Litestar]) -> None:
    seed_company(desk.database)
    case = a_question(desk.database)
    listed = visitor.get("/review").text
    assert "1 question waiting, the most recurring revenue first." in listed
    assert f"/review/{case}" in listed
    page = visitor.get(f"/review/{case}").text
    for text in ("001A", "001B", "•••@beta.test", ">same<", "speaks for it", "Reject 001B", "Have a new record made"):
        assert text in page, text
    assert "<script>alert" not in page
    assert visitor.get(f"/review/{case}.json").json()["records"][0]["candidate"]["id"] == "001A"
    assert visitor.get("/review.csv").text.count(case) == 1


def test_an_answer_needs_a_reason_is_kept_and_can_be_undone(desk: ConsoleDesk, visitor: TestClient[Litestar]) -> None:
    seed_company(desk.database)
    case = a_question(desk.database)
    status, text = answer(visitor, case, action="create", reason=" ", record="")
    assert (status, "needs a reason" in text, state(desk.database, case)) == (409, True, ReviewState.OPEN)
    status, text = answer(visitor, case, action="reject", reason="Another Beta.", record="001B")
    assert (status, text) == (303, f"/review/{case}?told=decided")
    assert "001B</h2>" not in visitor.get(f"/review/{case}").text
    assert answer(visitor, case, action="create", reason="None of them.", record="")[0] == 303
    assert (state(desk.database, case), desk.replanned) == (ReviewState.CREATED, [BETA, BETA])
    page = visitor.get(f"/review/{case}?told=decided").text
    assert "Decided. What waited" in page
    assert "None of them." in page
    status, text = answer(visitor, case, action="create", reason="Again.", record="")
    assert (status, "decided already: created, by console" in text) == (409, True)
    assert answer(visitor, case, action="undo", reason="Wrong.", record="")[0] == 303
    assert state(desk.database, case) is ReviewState.OPEN


def test_an_answer_there_is_not_and_a_form_from_elsewhere_change_nothing(
    desk: ConsoleDesk, visitor: TestClient[Litestar]
) -> None:
    seed_company(desk.database)
    case = a_question(desk.database)
    assert answer(visitor, case, action="merge", reason="x", record="")[0] == 422
    assert answer(visitor, case, action="accept", reason="x", record="001Z")[0] == 409
    sent = visitor.post(f"/review/{case}/decide", data={"action": "create", "reason": "x"}, headers=HERE)
    assert sent.status_code == 403
    assert state(desk.database, case) is ReviewState.OPEN


@pytest.mark.parametrize(
    ("attribute", "ours", "theirs", "verdict"),
    [
        ("Country", "DE", "Germany", "same"),
        ("Country", "DE", "Austria", "differs"),
        ("Country", "DE", "", "unknown"),
        ("Name", "Acme GmbH", "ACME", "same"),
        ("Phone", "+49 221 123456", "0221 / 123456", "same"),
        ("E-mail", "Ada@gmail.com", "ada+crm@gmail.com", "same"),
        ("Postcode", "50 668", "50668", "same"),
        ("Tax id", "DE1", "de1", "same"),
        ("Billing customer", "cus_a", "cus_b", "differs"),
    ],
)
def test_both_sides_are_compared_by_what_they_mean(attribute: str, ours: str, theirs: str, verdict: str) -> None:
    assert _verdict(attribute, ours, theirs) == verdict
