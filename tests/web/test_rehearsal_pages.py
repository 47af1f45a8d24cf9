"""The rehearsal pages: empty, with a result, without one; each filter in the address, each table a file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from httpx import Response
from litestar import Litestar
from litestar.testing import TestClient

from accordant.canonical.rehearsal import Difference, DifferenceKind, FlowCount, LeftOut, Rehearsal, RehearsalProgress
from accordant.kernel.money import Money
from accordant.store.engine import Database
from accordant.store.rehearsals import RUNS_KEPT, SqlRehearsalBook
from accordant.views.rehearsal import PAGE_MAX, rehearsal_differences, rehearsals
from tests.databases import open_store
from tests.web.company import ConsoleDesk, browse

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
RUN = "reh_1"
MANY = PAGE_MAX + 20


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Database]:
    database = open_store(f"sqlite:///{tmp_path / 'console.sqlite'}")
    yield database
    database.close()


@pytest.fixture
def desk(store: Database) -> ConsoleDesk:
    made = ConsoleDesk(store)
    made.folders = {"charter": "aaaaaaaaaaaa", "proposal": "bbbbbbbbbbbb"}
    return made


@pytest.fixture
def visitor(desk: ConsoleDesk) -> Iterator[TestClient[Litestar]]:
    with browse(desk) as client:
        client.follow_redirects = False
        yield client


def a_difference(number: int, kind: DifferenceKind = DifferenceKind.CHANGED, field: str = "MRR__c") -> Difference:
    return Difference(
        record=f"salesforce:Account/cus_{number}",
        flow="accounts",
        target="salesforce",
        object="Account",
        key=f"cus_{number}",
        account_id=f"acc_{number}",
        kind=kind,
        field=field,
        before="10.00",
        after=None if kind is DifferenceKind.HELD else "<b>12.00</b>",
        is_sent=True,
        reason="MRR__c is left out: it is no number." if kind is DifferenceKind.HELD else None,
        money=Money(200, "EUR"),
    )


def held(store: Database) -> None:
    """A rehearsal with a result, and one without."""
    book = SqlRehearsalBook(store)
    book.begin("reh_0", before="aaaaaaaaaaaa", after="cccccccccccc", started_at=AT, actor="bob")
    book.begin(RUN, before="aaaaaaaaaaaa", after="bbbbbbbbbbbb", started_at=AT, actor="ada")
    changed = [a_difference(number) for number in range(MANY)]
    stuck = [a_difference(900, DifferenceKind.HELD, "Plan__c")]
    book.keep(RUN, changed + stuck)
    counts = tuple(
        FlowCount(flow="accounts", target="salesforce", object="Account", field=found[0].field, kind=found[0].kind,
                  count=len(found), sent=len(found), there=1, money=money)
        for found, money in ((changed, (Money(200 * MANY, "EUR"), Money(-7, "JPY"))), (stuck, ()))
    )  # fmt: skip
    book.finish(
        Rehearsal(
            id=RUN, before="aaaaaaaaaaaa", after="bbbbbbbbbbbb", walked=True, started_at=AT, finished_at=AT,
            events=12_345, left_out=LeftOut(waiting=3), entities=2_000, unlike=1, unlike_sample=("acc_7",),
            stopped=1, stopped_sample=("event 5: The charter has no connection named old.",), accounts=900,
            records=1_800, differing=MANY + 1, due=2, unnamed=1, unnamed_sample=("account/acc_9 in accounts: No id.",),
            differences=MANY + 1, counts=counts, sample=tuple(changed[:3]),
        )
    )  # fmt: skip


def test_an_empty_list_says_what_will_appear(visitor: TestClient[Litestar]) -> None:
    page = visitor.get("/rehearsals")
    assert (page.status_code, "No rehearsal yet." in page.text) == (200, True)
    assert "accordant rehearse --charter" in page.text


def test_the_list_tells_results_apart_from_what_has_none(store: Database, visitor: TestClient[Litestar]) -> None:
    held(store)
    page = visitor.get("/rehearsals").text
    assert ("bbbbbbbbbbbb" in page, "no result" in page, "12,345 events walked" in page) == (True, True, True)
    assert visitor.get("/rehearsals.csv").text.count("\n") == 3
    assert {line["id"] for line in visitor.get("/rehearsals.json").json()} == {"reh_0", RUN}


def test_a_rehearsal_is_counted_then_shown_record_by_record(store: Database, visitor: TestClient[Litestar]) -> None:
    held(store)
    page = visitor.get(f"/rehearsals/{RUN}").text
    for said in (
        "121 records of 1,800 would differ",
        "1 of 2,000 entities come out otherwise than they are held",
        "1 event would not be understood any more",
        "1 record would have no name in the target",
        "Due anyway: 2 records",
        "+240.00 EUR",
        '<td class="n">+2.00 EUR</td>',
    ):
        assert said in page, said
    assert "<b>12.00" not in page, "a value is text, whatever it holds"
    assert page.count("/customers/acc_") == PAGE_MAX
    following = rehearsal_differences(store, RUN).next
    rest = visitor.get(f"/rehearsals/{RUN}", params={"after": str(following)}).text
    assert (rest.count("/customers/acc_"), "First page" in rest, "Next page" in rest) == (21, True, False)


def test_each_filter_is_in_the_address_and_in_the_files(store: Database, visitor: TestClient[Litestar]) -> None:
    held(store)
    page = visitor.get(f"/rehearsals/{RUN}", params={"kind": "held"}).text
    assert (page.count("/customers/acc_"), "it is no number" in page) == (1, True)
    lines = visitor.get(f"/rehearsals/{RUN}.csv", params={"field": "Plan__c"}).text.splitlines()
    assert (len(lines), lines[1].split(",")[3], lines[1][-8:]) == (2, "held", ",200,EUR")
    found = visitor.get(f"/rehearsals/{RUN}.json", params={"flow": "nobody"}).json()
    assert (found["page"]["differences"], found["rehearsal"]["result"]["records"]) == ([], 1_800)


def test_one_without_a_result_and_one_there_is_not(store: Database, visitor: TestClient[Litestar]) -> None:
    held(store)
    assert "It was interrupted" in visitor.get("/rehearsals/reh_0").text
    missing = visitor.get("/rehearsals/reh_none")
    assert (missing.status_code, "the last fifty" in missing.text) == (404, True)
    for odd in ("-1", str(2**80)):
        assert visitor.get(f"/rehearsals/{RUN}", params={"after": odd}).status_code == 200


def test_the_oldest_make_room(store: Database) -> None:
    book = SqlRehearsalBook(store)
    for number in range(RUNS_KEPT + 3):
        run = f"reh_{number}"
        book.begin(run, before="a", after="b", started_at=AT.replace(minute=number), actor="ada")
        book.keep(run, [a_difference(number)])
    kept = rehearsals(store)
    assert (len(kept), kept[-1].id) == (RUNS_KEPT, "reh_3")
    assert rehearsal_differences(store, "reh_2").differences == ()
    assert len(rehearsal_differences(store, "reh_3").differences) == 1


def post(visitor: TestClient[Litestar], path: str, **fields: str) -> Response:
    found = re.search(r'name="csrf" value="([^"]+)"', visitor.get("/rehearsals").text)
    assert found is not None
    headers = {"origin": "http://testserver.local"}
    return visitor.post(path, data={"csrf": found.group(1)} | fields, headers=headers)


def test_a_rehearsal_is_ordered_followed_and_stopped(desk: ConsoleDesk, visitor: TestClient[Litestar]) -> None:
    page = visitor.get("/rehearsals").text
    assert '<option value="proposal">' in page
    answer = post(visitor, "/rehearsals", folder="proposal", flow="accounts", since="2026-02-01", quick="yes")
    assert answer.status_code == 303
    path = answer.headers["location"]
    ticket = desk.rehearsals.book.next_order()
    assert ticket is not None
    assert (ticket.after, ticket.order.flow, ticket.order.quick) == ("bbbbbbbbbbbb", "accounts", True)
    waits = visitor.get(path).text
    assert ("It waits for the hub" in waits, 'http-equiv="refresh"' in waits) == (True, True)
    desk.rehearsals.book.mark(
        ticket.id,
        RehearsalProgress(
            is_comparing=False, done=2_000, total=6_000, since_at=desk.now - timedelta(seconds=10), from_done=0,
            seen_at=desk.now,
        ),
    )  # fmt: skip
    runs = visitor.get(path).text
    assert "2,000 of 6,000 events, about 20.0 s left" in " ".join(runs.split())
    assert '<progress id="progress" max="6000" value="2000">' in runs
    assert "2,000 of 6,000 events" in " ".join(visitor.get("/rehearsals").text.split())
    assert post(visitor, f"{path}/stop").status_code == 303
    ended = visitor.get(path).text
    assert ("stopped it" in ended, 'http-equiv="refresh"' in ended) == (True, False)
    assert desk.rehearsals.book.next_order() is None


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"folder": "../charter"}, "There is no charter"),
        ({"folder": ""}, "There is no charter"),
        ({"folder": "proposal", "since": "yesterday"}, "is no day"),
        ({"folder": "proposal", "since": "9999-99-99"}, "is no day"),
    ],
)
def test_an_order_that_cannot_be_held_says_why(
    desk: ConsoleDesk, visitor: TestClient[Litestar], fields: dict[str, str], said: str
) -> None:
    answer = post(visitor, "/rehearsals", **fields)
    assert (answer.status_code, said in answer.text) == (422, True)
    assert desk.rehearsals.book.next_order() is None
