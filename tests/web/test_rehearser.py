"""What the console ordered is held in a process of its own; what cannot be held ends with its reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from accordant.canonical.rehearsal import RehearsalOrder
from accordant.demo.company import environment
from accordant.views.rehearsal import rehearsal
from accordant.web import rehearser
from accordant.web.rehearser import Rehearser
from tests.integration.operations.kit import an_installation


async def test_an_order_is_held_and_one_that_cannot_be_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rehearser, "_TRIES_MAX", 1)
    async with an_installation(f"sqlite:///{tmp_path}/store.db", tmp_path) as one:
        one.hub.enforce_charter()
        one.sell(2)
        await one.settle()
        own = Rehearser(one.hub, environment())
        assert not await own.round()
        desk = one.hub.rehearsals
        run_id = desk.order("charter", RehearsalOrder(), actor="Ada (unverified)")
        assert await own.round()
        line = rehearsal(one.hub.database, run_id)
        assert line is not None
        assert line.problem is None
        assert line.result is not None
        assert (line.result.walked, line.result.events > 0, line.result.differences) == (True, True, 0)
        assert line.actor == "Ada (unverified)"
        assert not await own.round()
        one.clock.move(seconds=1)
        other = desk.order("charter", RehearsalOrder(quick=True), actor="Ada (unverified)")
        bare = dict.fromkeys(environment(), "")
        assert await Rehearser(one.hub, bare).round()
        ended = rehearsal(one.hub.database, other)
        assert ended is not None
        assert "It could not be held" in (ended.problem or "")
        assert "is not set" in (ended.problem or "")
        assert not await own.round()


async def test_while_another_process_looks_after_them_nothing_is_held_twice(tmp_path: Path) -> None:
    async with an_installation(f"sqlite:///{tmp_path}/store.db", tmp_path) as one:
        one.hub.enforce_charter()
        one.hub.rehearsals.order("charter", RehearsalOrder(quick=True), actor="Ada (unverified)")
        one.hub.leases.owner = "another"
        one.hub.leases.acquire("rehearsals", ttl=rehearser._LEASE_TTL, now=one.clock())
        one.hub.leases.owner = "this"
        assert not await Rehearser(one.hub, environment()).round()
        assert one.hub.rehearsals.book.next_order() is not None
