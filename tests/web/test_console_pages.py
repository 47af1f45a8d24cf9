"""The pages through HTTP: empty and filled, as files, with hostile texts, and the changes they make."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from litestar import Litestar
from litestar.testing import TestClient

from accordant.analytics.movements import StatedSubscription
from accordant.canonical.entities import RecurringPrice, Subscription, SubscriptionItem
from accordant.canonical.intents import Applied
from accordant.kernel.ids import derived_id
from accordant.store.engine import Database
from tests.databases import open_store
from tests.web.company import NOW, Company, ConsoleDesk, browse, fields_of, seed_company, throw_switch

BETA = derived_id("acc", "stripe", "customer", "cus_beta")
HERE = {"origin": "http://testserver.local"}
PAGES = (
    "/", "/customers", "/shadow", "/trouble", "/why", "/search", f"/customers/{BETA}", "/events/1", "/events/4",
    "/why?ref=salesforce:Account/cus_beta&field=MRR__c", "/why?ref=salesforce:Account/cus_beta",
    "/flows/pause?flow=accounts", "/flows/resume?flow=accounts",
)  # fmt: skip
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{7*7}}",
    "${jndi:ldap://x}",
    'O\'Brien & "Sons"',
    "\u202eevil\u202c",
    "👩‍👩‍👧‍👦",
    '=HYPERLINK("http://x")',
    "null",
    "../../etc/passwd",
    "ﷺ" * 200,
)


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


@pytest.fixture
def company(desk: ConsoleDesk) -> Company:
    return seed_company(desk.database, desk)


def hidden(html: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', html)
    assert found is not None, name
    return found.group(1)


@pytest.mark.parametrize("page", ["/", "/customers", "/shadow", "/trouble", "/why", "/search"])
def test_an_empty_page_says_what_will_appear(visitor: TestClient[Litestar], page: str) -> None:
    answer = visitor.get(page)
    assert answer.status_code == 200
    assert 'class="empty"' in answer.text


@pytest.mark.parametrize("page", PAGES)
def test_every_page_of_a_company_is_whole_without_a_script(
    company: Company, visitor: TestClient[Litestar], page: str
) -> None:
    answer = visitor.get(page)
    assert answer.status_code == 200
    assert answer.text.rstrip().endswith("</html>")
    assert not re.search(r"<[^>]+\s(style|onclick|onload)=", answer.text)
    assert "<script>" not in answer.text


@pytest.mark.parametrize("page", ["/overview", "/customers", f"/customers/{BETA}", "/shadow", "/trouble", "/events/4"])
def test_every_table_is_a_file_too(company: Company, visitor: TestClient[Litestar], page: str) -> None:
    as_json = visitor.get(f"{page}.json")
    assert as_json.status_code == 200
    msgspec.json.decode(as_json.content)
    as_csv = visitor.get(f"{page}.csv")
    assert as_csv.headers["content-type"].startswith("text/csv")
    assert len(as_csv.text.splitlines()) > 1
    assert "filename=" in as_csv.headers["content-disposition"]


def test_the_overview_says_what_agrees_and_what_is_at_risk(company: Company, visitor: TestClient[Litestar]) -> None:
    text = visitor.get("/").text
    assert "40.00%" in text
    assert "2 of 5 records agree" in text
    assert "2,598.00 EUR" in text
    assert "Acme Robotics GmbH" in text


def test_the_customer_page_answers_in_a_sentence(company: Company, visitor: TestClient[Litestar]) -> None:
    text = visitor.get(f"/customers/{BETA}").text
    assert "Pays. Pro monthly, 98.00 EUR MRR, renews 22 March, last payment yesterday." in text
    assert "1 field differs" in text


def test_the_customer_page_tells_how_the_revenue_moved(
    company: Company, desk: ConsoleDesk, visitor: TestClient[Litestar]
) -> None:
    assert "It never had recurring revenue" in visitor.get(f"/customers/{BETA}").text
    price = RecurringPrice(currency="EUR", unit_minor="4900", interval="month", interval_count=1)
    for days, quantity in ((90, 1), (30, 2)):
        item = SubscriptionItem(
            external_id="si", price_id="p", product_id="x", plan_name="Pro", quantity=quantity, recurring=price
        )
        state = Subscription(
            external_id="sub", customer_id="cus_beta", status="active", currency="EUR", items=(item,),
            started_at=desk.now - timedelta(days=90),
        )  # fmt: skip
        told = StatedSubscription(at=desk.now - timedelta(days=days), rank=1, subscription=state)
        desk.past = (*desk.past, told)
    text = visitor.get(f"/customers/{BETA}").text
    assert "Expansions added 49.00 EUR a month in all." in text
    assert text.index(">Expansion<") < text.index(">New<"), "the latest first"
    told_as_file = visitor.get(f"/customers/{BETA}.json").json()["movements"]
    assert [one["kind"] for one in told_as_file] == ["new", "expansion"]


def test_the_trace_lights_eight_stations(company: Company, visitor: TestClient[Litestar]) -> None:
    text = visitor.get("/events/4").text
    assert len(re.findall(r'class="stop"', text)) == 8
    assert "1 write refused for good" in text
    waiting = visitor.get("/events/9").text
    assert waiting.count('<li class="dark">') == 5


def test_the_body_is_covered_until_the_reader_asks(company: Company, visitor: TestClient[Litestar]) -> None:
    assert "Ada Lovelace" not in visitor.get("/events/1").text
    assert "Ada Lovelace" in visitor.get("/events/1?personal=shown").text


def test_search_leads_to_the_object_or_to_the_customers(company: Company, visitor: TestClient[Litestar]) -> None:
    assert visitor.get("/search?q=cus_beta").headers["location"] == f"/customers/{BETA}"
    assert visitor.get("/search?q=evt_0004").headers["location"] == "/events/4"
    assert visitor.get("/search?q=Bakery").headers["location"] == "/customers?q=Bakery"
    assert "Beta Bakery" in visitor.get("/customers?q=Bakery").text


@pytest.mark.parametrize(
    "path",
    ["/events/0", "/events/x", "/events/99999999999999999999", "/customers/nobody", "/why?ref=nothing", "/nowhere"],
)
def test_what_is_not_there_is_said_with_the_next_step(
    company: Company, visitor: TestClient[Litestar], path: str
) -> None:
    answer = visitor.get(path)
    assert answer.status_code == 404
    assert "Traceback" not in answer.text
    assert 'action="/search"' in answer.text
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


@pytest.mark.parametrize(
    "path",
    ["/customers?status=nonsense", "/customers?after=x~y", "/customers?after=99999999999999999999999~z",
     "/shadow?page=-5",
     "/shadow?page=1000000000", "/shadow?flow=';--", "/trouble?kind=nope", "/customers?q=%00", "/customers?q=%25%25"],
)  # fmt: skip
def test_odd_filters_give_a_page_and_no_error(company: Company, visitor: TestClient[Litestar], path: str) -> None:
    assert visitor.get(path).status_code == 200


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_are_shown_as_text_everywhere(
    store: Database, desk: ConsoleDesk, visitor: TestClient[Litestar], text: str
) -> None:
    company = Company(store)
    body = msgspec.json.encode({"id": "evt", "note": text})
    seq = company.receive("invoice.paid", f"customer/{text}", at=NOW, body=body)
    desk.bodies[seq] = body
    account = company.describe(text, text, at=NOW, seq=seq, mrr_minor=100)
    name = company.want(account, text, fields_of(text, "1.00"), at=NOW, seq=seq)
    company.deliver(at=NOW, outcome=Applied(target_id=text, created=True))
    throw_switch(store, "flow:accounts", reason=text, by=text)
    paths = ["/", "/customers", "/shadow", "/trouble", f"/customers/{account.id}", f"/events/{seq}"]
    answers = [visitor.get(path) for path in paths]
    answers.append(visitor.get("/why", params={"ref": name, "field": "Name"}))
    answers.append(visitor.get("/customers", params={"q": text}))
    assert [answer.status_code for answer in answers] == [200] * len(answers)
    for answer in answers:
        assert "<script>alert" not in answer.text
        assert "<img src=x" not in answer.text
        assert ">49<" not in answer.text
    assert not re.search(r'(^|,)"?=', visitor.get("/customers.csv").text)


def test_a_retry_shows_what_will_happen_then_does_it_once(
    company: Company, desk: ConsoleDesk, visitor: TestClient[Litestar]
) -> None:
    page = visitor.get("/trouble").text
    found = re.search(r'href="(/trouble/retry\?cause=[0-9a-f]+)"', page)
    assert found is not None
    confirm = visitor.get(found.group(1)).text
    assert "Put back 1 write?" in confirm
    assert "Beta Bakery" in confirm
    form = {name: hidden(confirm, name) for name in ("csrf", "cause", "intent", "expected")}
    unsaid = visitor.post("/trouble/retry", data=form, headers=HERE)
    assert (unsaid.status_code, "needs its reason and its defect and its fix" in unsaid.text) == (422, True)
    form |= {"reason": "the field is back", "defect": "a deleted field", "fix": "accordant 99"}
    early = visitor.post("/trouble/retry", data=form, headers=HERE)
    assert (early.status_code, "The fix is in Accordant 99" in early.text) == (422, True)
    assert desk.asked == []
    form["fix"] = "CRM-17"
    done = visitor.post("/trouble/retry", data=form, headers=HERE)
    assert done.status_code == 303
    assert "1 dead letter went back to the head of its lane" in visitor.get(done.headers["location"]).text
    again = visitor.post("/trouble/retry", data=form, headers=HERE)
    assert again.status_code == 404
    assert len(desk.asked) == 1


def test_a_list_that_changed_meanwhile_is_shown_again(
    company: Company, desk: ConsoleDesk, visitor: TestClient[Litestar]
) -> None:
    found = re.search(r'href="(/trouble/retry\?cause=[0-9a-f]+)"', visitor.get("/trouble").text)
    assert found is not None
    confirm = visitor.get(found.group(1)).text
    form = {name: hidden(confirm, name) for name in ("csrf", "cause", "intent", "expected")} | {"expected": "0" * 24}
    answer = visitor.post("/trouble/retry", data=form, headers=HERE)
    assert answer.status_code == 409
    assert "Nothing was done" in answer.text
    assert desk.asked == []


def test_pausing_needs_a_reason_and_shows_a_banner(
    company: Company, desk: ConsoleDesk, visitor: TestClient[Litestar]
) -> None:
    form = {"csrf": hidden(visitor.get("/flows/pause?flow=accounts").text, "csrf"), "flow": "accounts", "reason": "  "}
    assert visitor.post("/flows/pause", data=form, headers=HERE).status_code == 422
    assert desk.asked == []
    assert visitor.post("/flows/pause", data=form | {"reason": "Field renamed"}, headers=HERE).status_code == 303
    assert desk.asked == [("pause", "accounts", "console on this machine (unverified)", "Field renamed")]
    assert "Field renamed" in visitor.get("/customers").text
    resume = {"csrf": hidden(visitor.get("/flows/resume?flow=accounts").text, "csrf"), "flow": "accounts"}
    assert visitor.post("/flows/resume", data=resume, headers=HERE).status_code == 303
    assert "Field renamed" not in visitor.get("/customers").text
    assert visitor.get("/flows/pause?flow=none").status_code == 404


def test_the_feed_is_sent_when_something_happened(company: Company, desk: ConsoleDesk) -> None:
    import asyncio

    from accordant.web.console import pages
    from accordant.web.console.frame import Console

    async def listen() -> list[str]:
        console = Console(desk)
        changes = pages._changes(console)
        first = await anext(changes)
        company.receive("invoice.paid", "customer/cus_acme", at=NOW)
        told = [str(first.event)]
        for _ in range(3):
            message = await anext(changes)
            if message.event == "changed":
                told.append(str(message.data))
                break
        assert console.listeners == 1
        await changes.aclose()
        assert console.listeners == 0
        return told

    hello, html = asyncio.run(listen())
    assert hello == "hello"
    assert "Invoice paid" in html
    assert "<html" not in html
