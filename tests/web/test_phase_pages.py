"""The phase board and a flow's page, between stand-ins: who may act there, and what the page says of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import msgspec
from litestar import Litestar
from litestar.testing import TestClient

from accordant.canonical.charter import Phase
from accordant.canonical.people import PersonRole
from accordant.web.console.routes import console_application
from tests.integration.operations.kit import Installation, an_installation
from tests.integration.operations.test_widen import ACCOUNTS, GATE, WHY, compared

HERE = {"origin": "http://console.local"}
ROLES = {"Ada": PersonRole.OPERATOR, "Bo": PersonRole.APPROVER, "Vic": PersonRole.VIEWER}


def people(one: Installation, roles: Mapping[str, PersonRole] = ROLES) -> dict[str, str]:
    """Tokens for everybody, by name."""
    return {
        name: one.hub.people.add(name, frozenset({role}), timedelta(days=30), admin=None, actor="root")[1]
        for name, role in roles.items()
    }


@contextmanager
def browsing(one: Installation, token: str | None = None) -> Iterator[TestClient[Litestar]]:
    one.hub.settings = msgspec.structs.replace(one.hub.settings, allowed_hosts=("console.local",))
    with TestClient(console_application(one.hub), base_url="http://console.local") as client:
        client.follow_redirects = False
        if token is not None:
            form = {"csrf": csrf(client.get("/sign-in").text), "token": token, "next": "/phases"}
            assert client.post("/sign-in", data=form, headers=HERE).status_code == 303
        yield client


def csrf(html: str) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', html)
    assert found is not None
    return found.group(1)


def send(client: TestClient[Litestar], act: str, **fields: str) -> tuple[int, str]:
    form = {"csrf": csrf(client.get(f"/phases/{ACCOUNTS}").text), "reason": "Read and agreed."} | fields
    answer = client.post(f"/phases/{ACCOUNTS}/{act}", data=form, headers=HERE)
    return answer.status_code, answer.text


def in_force(one: Installation) -> Phase:
    return one.hub.phase_office.standing()[ACCOUNTS].phase


async def test_two_who_signed_in_widen_and_anybody_narrows(tmp_path: Path) -> None:
    async with an_installation(f"sqlite:///{tmp_path}/store.db", tmp_path, more=GATE) as one:
        one.hub.enforce_charter()
        tokens = people(one)
        one.sell(2)
        await one.settle()
        with browsing(one, tokens["Ada"]) as ada:
            page = ada.get(f"/phases/{ACCOUNTS}").text
            assert "can be requested once every item holds" in page
            code, text = send(ada, "request", phase="controlled")
            assert (code, "not green" in text) == (409, True)
            await compared(one)
            assert send(ada, "request", phase="controlled")[0] == 303
            board = ada.get("/phases").text
            assert "1 proposal" in board
            proposal = re.findall(r'name="proposal" value="(ask_\w+)"', ada.get(f"/phases/{ACCOUNTS}").text)[0]
            code, text = send(ada, "approve", proposal=proposal)
            assert (code, "Ada is operator and may not approve" in text) == (403, True)
        with browsing(one, tokens["Vic"]) as vic:
            for act in ("request", "approve", "narrow"):
                assert send(vic, act, proposal=proposal, phase="draft")[0] == 403
        assert in_force(one) is Phase.READ_ONLY
        with browsing(one, tokens["Bo"]) as bo:
            assert ">Bo<" in bo.get("/phases").text
            assert send(bo, "approve", proposal=proposal)[0] == 303
            assert in_force(one) is Phase.CONTROLLED
            assert "asked by Ada" in bo.get(f"/phases/{ACCOUNTS}").text
            assert send(bo, "narrow", phase="read_only", reason="Amounts look wrong.")[0] == 303
        assert in_force(one) is Phase.READ_ONLY


async def test_nobody_widens_without_a_name(tmp_path: Path) -> None:
    async with an_installation(f"sqlite:///{tmp_path}/store.db", tmp_path, more=GATE) as one:
        one.hub.enforce_charter()
        one.sell(2)
        await one.settle()
        await compared(one)
        proposal, _ = one.hub.phase_office.request(ACCOUNTS, Phase.CONTROLLED, actor="Ada", reason=WHY)
        with browsing(one) as guest:
            for act, fields in (("request", {"phase": "controlled"}), ("approve", {"proposal": proposal})):
                code, text = send(guest, act, **fields)
                assert (code, "nobody is signed in by name" in text) == (409, True)
            assert guest.post(f"/phases/{ACCOUNTS}/narrow", data={"phase": "draft"}, headers=HERE).status_code == 403
            assert send(guest, "narrow", phase="draft", reason="Stop it.")[0] == 303
        assert in_force(one) is Phase.DRAFT


async def test_the_board_as_files_and_what_is_not_there(tmp_path: Path) -> None:
    async with an_installation(f"sqlite:///{tmp_path}/store.db", tmp_path) as one:
        with browsing(one) as guest:
            lines = guest.get("/phases.json").json()["flows"]
            assert [line["in_force"] for line in lines] == ["controlled", "controlled"]
            assert guest.get("/phases.csv").text.startswith("flow,in_force,charter,class,why_no_more,proposals")
            assert guest.get(f"/phases/{ACCOUNTS}.json").json()["evidence"]["waived"]
            assert "stand-in on this machine" in guest.get(f"/phases/{ACCOUNTS}").text
            assert guest.get("/phases/nothing").status_code == 404
            assert send(guest, "promote")[0] in {404, 409}
