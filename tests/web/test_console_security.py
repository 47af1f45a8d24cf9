"""Who is let in, and what a page of another site cannot do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from accordant.store.engine import Database
from accordant.web.console.entrance import own_path
from accordant.web.console.security import (
    WRONG_TOKENS_MAX,
    WRONG_TOKENS_PAUSE_S,
    Gatekeeper,
    is_host_allowed,
    is_same_origin,
)
from tests.databases import open_store
from tests.web.company import ConsoleDesk, browse

TOKEN = "a-long-random-console-token"
KEY = b"a key of the test's own, 32 bytes"
HERE = {"origin": "http://testserver.local"}
MUTATIONS = ("/trouble/retry", "/trouble/settle", "/flows/pause", "/flows/resume", "/sign-in", "/sign-out")


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
def stranger(store: Database) -> Iterator[TestClient[Litestar]]:
    with browse(ConsoleDesk(store, token=TOKEN)) as client:
        client.follow_redirects = False
        yield client


def csrf_of(html: str) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', html)
    assert found is not None
    return found.group(1)


def sign_in(client: TestClient[Litestar], token: str = TOKEN, onward: str = "/") -> int:
    form = {"csrf": csrf_of(client.get("/sign-in").text), "token": token, "next": onward}
    return client.post("/sign-in", data=form, headers=HERE).status_code


@pytest.mark.parametrize("path", ["/", "/customers", "/nowhere", "/static/accordant.css", "/overview.json", "/sign-in"])
def test_every_answer_is_sealed(visitor: TestClient[Litestar], path: str) -> None:
    headers = visitor.get(path).headers
    policy = headers["content-security-policy"]
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "", "127.0.0.1.evil.example", "testserver.local.evil.example"]
)
def test_a_name_that_is_not_ours_is_refused(visitor: TestClient[Litestar], host: str) -> None:
    answer = visitor.get("/", headers={"host": host})
    assert answer.status_code == 421
    assert "Northwind" not in answer.text


@pytest.mark.parametrize("host", ["localhost:8420", "127.0.0.1", "[::1]:8420", "testserver.local", "LOCALHOST"])
def test_names_of_this_machine_are_answered(visitor: TestClient[Litestar], host: str) -> None:
    assert visitor.get("/", headers={"host": host}).status_code == 200


def test_host_names_are_compared_whole() -> None:
    allowed = frozenset({"localhost", "[::1]"})
    assert is_host_allowed("localhost.", allowed)
    assert not is_host_allowed(None, allowed)
    assert not is_host_allowed("[::1].evil", frozenset({"localhost"}))


@pytest.mark.parametrize("path", MUTATIONS)
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        (HERE | {"sec-fetch-site": "cross-site"}, 403),
        (HERE | {"content-type": "text/plain"}, 415),
        (HERE | {"content-type": "multipart/form-data; boundary=x"}, 415),
    ],
)
def test_a_form_of_another_site_changes_nothing(
    visitor: TestClient[Litestar], desk: ConsoleDesk, path: str, headers: dict[str, str], status: int
) -> None:
    token = csrf_of(visitor.get("/flows/pause?flow=accounts").text)
    content = f"csrf={token}&flow=accounts&reason=x"
    sent = {"content-type": "application/x-www-form-urlencoded"} | headers
    assert visitor.post(path, content=content, headers=sent).status_code == status
    assert desk.asked == []


@pytest.mark.parametrize("token", ["", "x", "eyJ.forged.token"])
def test_a_form_without_its_token_changes_nothing(visitor: TestClient[Litestar], desk: ConsoleDesk, token: str) -> None:
    visitor.get("/flows/pause?flow=accounts")
    form = {"csrf": token, "flow": "accounts", "reason": "x"}
    assert visitor.post("/flows/pause", data=form, headers=HERE).status_code == 403
    assert desk.asked == []


def test_the_token_of_another_visitor_is_worth_nothing(desk: ConsoleDesk) -> None:
    with browse(desk) as client:
        stolen = csrf_of(client.get("/flows/pause?flow=accounts").text)
        client.cookies.clear()
        client.get("/flows/pause?flow=accounts")
        form = {"csrf": stolen, "flow": "accounts", "reason": "x"}
        assert client.post("/flows/pause", data=form, headers=HERE).status_code == 403
    assert desk.asked == []


@pytest.mark.parametrize("path", MUTATIONS[:3])
def test_nothing_changes_by_a_link(visitor: TestClient[Litestar], desk: ConsoleDesk, path: str) -> None:
    visitor.get(path, params={"flow": "accounts", "reason": "x", "cause": "0"})
    visitor.put(path)
    assert desk.asked == []


def test_a_silent_browser_is_not_same_origin() -> None:
    assert not is_same_origin({}, "localhost")
    assert is_same_origin({"sec-fetch-site": "same-origin"}, "localhost")
    assert is_same_origin({"origin": "http://localhost:8420"}, "localhost:8420")
    assert not is_same_origin({"origin": "http://localhost:9999"}, "localhost:8420")


@pytest.mark.parametrize("path", ["/", "/customers", "/events/1", "/trouble", "/why"])
def test_with_a_token_every_page_asks_for_it(stranger: TestClient[Litestar], path: str) -> None:
    answer = stranger.get(path)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/sign-in")


@pytest.mark.parametrize("path", ["/customers.json", "/trouble.csv", "/live"])
def test_files_and_the_feed_are_closed_as_well(stranger: TestClient[Litestar], path: str) -> None:
    assert stranger.get(path).status_code == 401


def test_signing_in_opens_the_console_and_signing_out_closes_it(stranger: TestClient[Litestar]) -> None:
    before = stranger.get("/sign-in").headers["set-cookie"]
    assert sign_in(stranger) == 303
    cookies = stranger.get("/").headers.get("set-cookie", "")
    assert "accordant_visit" in before
    assert stranger.get("/").status_code == 200
    assert cookies == ""
    form = {"csrf": csrf_of(stranger.get("/").text)}
    assert stranger.post("/sign-out", data=form, headers=HERE).status_code == 303
    assert stranger.get("/").status_code == 303


def test_the_cookie_is_kept_from_scripts_and_other_sites(stranger: TestClient[Litestar]) -> None:
    form = {"csrf": csrf_of(stranger.get("/sign-in").text), "token": TOKEN, "next": "/"}
    cookies = stranger.post("/sign-in", data=form, headers=HERE).headers.get_list("set-cookie")
    session = next(cookie for cookie in cookies if cookie.startswith("accordant_session"))
    assert "HttpOnly" in session
    assert "samesite=strict" in session.lower()
    assert any(cookie.startswith("accordant_visit") for cookie in cookies)


@pytest.mark.parametrize("cookie", ["", "x", "console.1.forged"])
def test_a_forged_session_is_none(stranger: TestClient[Litestar], cookie: str) -> None:
    stranger.cookies.set("accordant_session", cookie)
    assert stranger.get("/").status_code == 303


def test_a_wrong_token_says_where_the_right_one_is(stranger: TestClient[Litestar]) -> None:
    assert sign_in(stranger, "wrong") == 401
    assert stranger.get("/").status_code == 303


def test_too_many_wrong_tokens_make_everybody_wait(desk: ConsoleDesk) -> None:
    gate = Gatekeeper(KEY, TOKEN, desk.people)
    for _ in range(WRONG_TOKENS_MAX):
        assert gate.sign_in("wrong", at_s=100.0) is None
    assert gate.sign_in(TOKEN, at_s=101.0) is None
    assert gate.wait_s(101.0) > 0
    assert gate.sign_in(TOKEN, at_s=100.0 + WRONG_TOKENS_PAUSE_S) is not None


def test_sessions_of_another_token_are_worth_nothing(desk: ConsoleDesk) -> None:
    session = Gatekeeper(KEY, "one", desk.people).sign_in("one", at_s=0.0)
    assert Gatekeeper(KEY, "one", desk.people).is_signed_in(session)
    assert not Gatekeeper(KEY, "two", desk.people).is_signed_in(session)
    assert not Gatekeeper(bytes(32), "one", desk.people).is_signed_in(session), "signed by another installation"


@pytest.mark.parametrize(
    ("wanted", "leads"),
    [("/customers", "/customers"), ("//evil.example", "/"), ("https://evil.example", "/"), ("/\\evil.example", "/"),
     ("", "/"), ("/a\r\nset-cookie: x", "/")],
)  # fmt: skip
def test_a_sign_in_never_leads_away(wanted: str, leads: str) -> None:
    assert own_path(wanted) == leads


@pytest.mark.parametrize("name", ["..%2faccordant.css", "app.py", "%2e%2e", "accordant.css%00"])
def test_only_the_named_files_are_served(visitor: TestClient[Litestar], name: str) -> None:
    assert visitor.get(f"/static/{name}").status_code == 404
