"""An existing endpoint is adopted as it is; what somebody changes in it at the provider is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select

from accordant.operations.endpoints import Adopted, EndpointUnknown
from accordant.store import schema
from accordant.web.lookout import Lookout
from tests.integration.operations.kit import Installation, an_installation

URL = "http://127.0.0.1:9/webhooks/stripe"
VERSION = "2026-10-28.endive"


async def adopt(one: Installation, url: str | None = URL) -> Adopted:
    return await Lookout(one.hub).adopt("stripe", url=url, actor="ada")


async def problems(one: Installation) -> list[str]:
    found, unasked = await Lookout(one.hub).endpoint_findings()
    assert unasked == {}
    return [finding.problem for finding in found["stripe"]]


async def test_an_endpoint_is_adopted_with_its_version_and_nothing_is_changed_there(
    store_url: str, tmp_path: Path
) -> None:
    async with an_installation(store_url, tmp_path) as one:
        made = one.stripe.add_webhook(URL, api_version=VERSION)
        one.stripe.add_webhook("http://127.0.0.1:9/another", api_version=VERSION)
        before = dict(one.stripe.book.table("webhook_endpoint"))
        found = await adopt(one, URL + "/")
        assert (found.adoption.endpoint_id, found.adoption.api_version) == (made["id"], VERSION)
        assert found.findings == ()
        assert found.delivered_at is None
        assert one.stripe.book.table("webhook_endpoint") == before
        assert await adopt(one, None) == found
        with one.hub.database.read() as connection:
            kinds = connection.execute(select(schema.audit_entry.c.kind)).scalars().all()
        assert kinds.count("endpoint.system.adopted") == 1
        one.sell(1)
        one.take_in()
        assert (await adopt(one)).delivered_at == one.clock()


async def test_an_address_nobody_delivers_to_is_answered_with_those_there_are(tmp_path: Path) -> None:
    async with an_installation(f"sqlite:///{tmp_path / 'store.db'}", tmp_path) as one:
        with pytest.raises(EndpointUnknown, match="Make one there with a fixed version"):
            await adopt(one)
        one.stripe.add_webhook(URL, api_version=VERSION)
        with pytest.raises(EndpointUnknown, match=URL):
            await adopt(one, "https://hub.example.com")
        with pytest.raises(EndpointUnknown, match="was adopted yet"):
            await adopt(one, None)
        assert await problems(one) == [], "what was not adopted is not judged"


async def test_what_is_changed_there_is_told(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        made = one.stripe.add_webhook(URL, api_version=VERSION)["id"]
        await adopt(one)
        there = one.stripe.book.table("webhook_endpoint")[made]
        there.update(status="disabled")
        assert await problems(one) == ["It is switched off: nothing is delivered."]
        there.update(status="enabled", api_version="2025-03-31.basil")
        assert await problems(one) == [f"Its version is 2025-03-31.basil; it was {VERSION} when it was adopted."]
        there.update(api_version=None)
        assert "changes with" not in (await problems(one))[0]
        assert "no version of its own" in (await problems(one))[0]
        there.update(api_version=VERSION, url="https://elsewhere.example.com")
        assert await problems(one) == ["It delivers to https://elsewhere.example.com now."]
        there.update(url=URL, enabled_events=["invoice.paid"])
        assert "types that are understood here: balance.available" in (await problems(one))[0]
        there.update(enabled_events=["*"])
        twin = one.stripe.add_webhook(URL, api_version=VERSION)["id"]
        assert await problems(one) == [f"{twin} delivers to the same address: each event comes twice."]
        assert (await adopt(one)).adoption.endpoint_id == made, "the older one keeps its place"
        del one.stripe.book.table("webhook_endpoint")[made]
        assert await problems(one) == [f"The endpoint {made} is gone."]
