"""The page of what billing is to open: all that would be written, why it waits, and a release of exactly that."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
from litestar import Litestar
from litestar.testing import TestClient

from accordant.web.console.routes import console_application
from tests.integration.operations.kit import Installation
from tests.integration.operations.opening_kit import a_price, an_opening_company, around, sold, subscriptions, waiting
from tests.web.test_console_pages import HERE, hidden


def browse(one: Installation) -> TestClient[Litestar]:
    one.hub.settings = msgspec.structs.replace(one.hub.settings, allowed_hosts=("testserver.local",))
    client = TestClient(console_application(one.hub), base_url="http://testserver.local")
    client.follow_redirects = False
    return client


def look(one: Installation, path: str) -> str:
    with browse(one) as visitor:
        answer = visitor.get(path)
        assert answer.status_code == 200, answer.text
        return answer.text


def release(one: Installation, form: dict[str, str]) -> tuple[int, str]:
    with browse(one) as visitor:
        token = hidden(visitor.get("/openings").text, "csrf")
        answer = visitor.post("/openings/release", data={"csrf": token, **form}, headers=HERE)
        return answer.status_code, answer.text


async def test_what_waits_is_shown_whole_and_released_as_it_was_shown(tmp_path: Path) -> None:
    async with an_opening_company(f"sqlite:///{tmp_path / 'store.db'}", tmp_path) as one:
        assert 'class="empty"' in await asyncio.to_thread(look, one, "/openings")
        price = a_price(one)
        buyer, deal = sold(one, price, Name="<script>alert(1)</script>")
        await around(one)
        page = await asyncio.to_thread(look, one, "/openings")
        for word in (f"{price}:2", buyer, f"salesforce:Opportunity/{deal}", "a person to release it", "Release"):
            assert word in page
        assert "<script>alert" not in page
        found = waiting(one)["subscription"]
        form = {"record": found.record, "content": found.content, "reason": ""}
        code, said = await asyncio.to_thread(release, one, form)
        assert code == 409
        assert "for a reason" in said
        code, said = await asyncio.to_thread(release, one, form | {"content": "another", "reason": "Signed."})
        assert (code, "has changed since you looked" in said) == (409, True)
        code, _ = await asyncio.to_thread(release, one, form | {"reason": "Signed."})
        assert code == 303
        await around(one)
        assert len(subscriptions(one, deal)) == 1
        listed = await asyncio.to_thread(look, one, "/openings.json")
        assert '"lines":[]' in listed.replace(" ", "")
