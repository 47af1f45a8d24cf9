"""Roles at the console: every form of it, for every role; and a token that is taken back closes the page at once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from accordant.canonical.people import PersonRole
from accordant.governance.access import MAY, Act
from accordant.web.console.routes import console_application
from tests.databases import open_store
from tests.web.company import ConsoleDesk, browse

HERE = {"origin": "http://testserver.local"}
#: Forms whose act is not an operator's. A form that is not here asks for an operator, by default.
ACTS = {
    "/flows/pause": Act.STOP,
    "/phases/accounts/narrow": Act.STOP,
    "/phases/accounts/request": Act.REQUEST,
    "/phases/accounts/approve": Act.APPROVE,
    "/flags/accounts/accounts": Act.APPROVE,
}
OPEN = {"/sign-in", "/sign-out"}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[ConsoleDesk]:
    database = open_store(f"sqlite:///{tmp_path / 'console.sqlite'}")
    yield ConsoleDesk(database)
    database.close()


def forms(desk: ConsoleDesk) -> list[str]:
    """The addresses of every form the console takes, with something in their places."""
    found = []
    for route in console_application(desk).routes:
        if "POST" in getattr(route, "methods", ()):
            path = str(route.path)
            if path == "/phases/{flow:str}/{act:str}":
                found += [f"/phases/accounts/{act}" for act in ("narrow", "request", "approve", "other")]
            else:
                found.append(re.sub(r"\{[^}]+\}", "accounts", path))
    return found


def token_of(desk: ConsoleDesk, *roles: PersonRole, name: str = "Ada") -> str:
    return desk.people.add(name, frozenset(roles), timedelta(days=3), admin=None, actor="root")[1]


def signed_in(client: TestClient[Litestar], token: str) -> str:
    """Sign in; the token of the visitor's forms."""
    client.follow_redirects = False
    form = {"csrf": csrf_of(client.get("/sign-in").text), "token": token, "next": "/"}
    assert client.post("/sign-in", data=form, headers=HERE).status_code == 303
    return csrf_of(client.get("/").text)


def csrf_of(html: str) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', html)
    assert found is not None
    return found.group(1)


@pytest.mark.parametrize("role", list(PersonRole))
def test_every_form_asks_for_its_role(desk: ConsoleDesk, role: PersonRole) -> None:
    token = token_of(desk, role)
    everything = forms(desk)
    assert len(everything) > 8
    assert set(ACTS) < set(everything)
    with browse(desk) as client:
        csrf = signed_in(client, token)
        for path in everything:
            if path in OPEN:
                continue
            answer = client.post(path, data={"csrf": csrf, "flow": "accounts"}, headers=HERE)
            refused = answer.status_code == 403 and "Not your role" in answer.text
            assert refused is (ACTS.get(path, Act.OPERATE) not in MAY[role]), (path, answer.status_code)
    if role is PersonRole.VIEWER:
        assert desk.asked == []


def test_a_token_that_is_taken_back_closes_the_page_at_once(desk: ConsoleDesk) -> None:
    token = token_of(desk, PersonRole.OPERATOR)
    with browse(desk) as client:
        csrf = signed_in(client, token)
        assert client.get("/customers").status_code == 200
        assert "Ada" in client.get("/").text
        desk.people.revoke("Ada", admin=None, actor="root", reason="Gone.")
        assert client.get("/customers").status_code == 303
        form = {"csrf": csrf, "flow": "accounts", "reason": "x"}
        assert client.post("/flows/pause", data=form, headers=HERE).status_code in {303, 401, 403}
    assert desk.asked == []


def test_loopback_asks_as_soon_as_somebody_has_a_token(desk: ConsoleDesk) -> None:
    with browse(desk) as client:
        client.follow_redirects = False
        assert client.get("/").status_code == 200
        token_of(desk, PersonRole.VIEWER)
        assert client.get("/").status_code == 303


def test_the_shared_token_only_looks_beside_people(desk: ConsoleDesk) -> None:
    desk.console_token = "a-long-random-console-token"
    with browse(desk) as client:
        csrf = signed_in(client, desk.console_token)
        form = {"csrf": csrf, "flow": "accounts", "reason": "Look first."}
        assert client.post("/flows/pause", data=form, headers=HERE).status_code == 303
        assert desk.asked[-1][2] == "console token (unverified)"
        token_of(desk, PersonRole.VIEWER)
        assert client.get("/").status_code == 200
        desk.asked.clear()
        assert client.post("/flows/pause", data=form, headers=HERE).status_code == 403
    assert desk.asked == []
