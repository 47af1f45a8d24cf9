"""Xero's limits and its login: over a limit one waits as long as one is told, a session is renewed once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from accordant.ports.connector import AuthorizationExpired, RateLimited
from tests.connectors.xero.kit import CONTACT, Books, some_books


@pytest.mark.parametrize(("limit", "longest_s"), [({"per_minute": 3}, 61.0), ({"per_day": 3}, 3_600.0)])
async def test_over_a_limit_the_caller_is_told_how_long_to_wait(limit: dict[str, Any], longest_s: float) -> None:
    async with some_books(**limit) as one:
        for _ in range(3):
            await one.erp.read(CONTACT, ["cus_1"])
        with pytest.raises(RateLimited) as refused:
            await one.erp.read(CONTACT, ["cus_1"])
        assert refused.value.retry_after_s is not None
        assert 1 < refused.value.retry_after_s <= longest_s
        one.clock.move(days=1, seconds=1)
        await one.erp.read(CONTACT, ["cus_1"])


async def test_a_session_that_ended_is_renewed_once_even_of_a_write(one: Books) -> None:
    await one.a_customer("cus_1")
    one.simulator.expire_tokens()
    await one.a_customer("cus_2")
    assert one.simulator.tokens.granted == 2
    one.simulator.fault("expired", times=None)
    with pytest.raises(AuthorizationExpired):
        await one.erp.read(CONTACT, ["cus_1"])


async def test_an_organisation_that_was_disconnected_pauses_its_writes(one: Books) -> None:
    async with some_books(more={"tenant_id": "another"}) as other:
        with pytest.raises(AuthorizationExpired) as held:
            await other.erp.read(CONTACT, ["cus_1"])
        assert "tenant_id" in held.value.remedy


async def test_the_refresh_token_rotates_and_its_successor_is_on_disk(tmp_path: Path) -> None:
    kept = tmp_path / "xero.json"
    async with some_books(more={"refresh_token": "refresh-0", "token_file": str(kept)}) as one:
        await one.a_customer("cus_1")
        assert one.simulator.tokens.refresh_token in kept.read_text()
        assert kept.stat().st_mode & 0o077 == 0
        one.simulator.expire_tokens()
        await one.a_customer("cus_2")
        assert one.simulator.tokens.refresh_token == "refresh-2"
        assert "refresh-2" in kept.read_text()
