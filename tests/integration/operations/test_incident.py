"""A recovery from its first step to its end, on real rooms between stand-ins; and a crash at every boundary of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from accordant.governance.decide import NONESSENTIAL
from accordant.kernel.errors import RejectedError
from accordant.operations.incident_board import Standing
from accordant.operations.incident_room import IncidentRoom
from accordant.orchestration.incident import STEPS, RecoveryStep
from accordant.ports.incident import IncidentOpen, NoIncident
from accordant.runtime.renewal import renewed
from accordant.store.incidents import SqlIncidentBook
from accordant.store.leases import Leases
from tests.integration.operations.kit import MRR, Installation, an_installation
from tests.integration.operations.test_red_flags import CHARTER, WHY, desk, flags, seen, unsourced

MESSAGES = "class:customer_facing"


def room_of(one: Installation) -> IncidentRoom:
    return IncidentRoom(one.hub, SqlIncidentBook(one.hub.database), renewed=renewed)


async def a_company(one: Installation, count: int = 2) -> list[str]:
    ids = one.sell(count)
    await one.settle()
    one.clock.move(minutes=5)
    one.clock.tick = timedelta(milliseconds=1)
    return ids


def damage(one: Installation, first: str, second: str) -> None:
    """A restored CRM: the money of one record is that of before our newest write, the name of another was typed."""
    one.salesforce.edit("Account", first, MRR, "1.00", "restore@example.com")
    one.salesforce.edit("Account", second, "Name", "Typed by hand", "sales@example.com")


async def walk(room: IncidentRoom, one: Installation) -> list[Standing]:
    """Forward until the last step, each on one word."""
    stood = []
    while True:
        one.clock.move(minutes=1)
        current = room.standing()
        assert current is not None
        if current.incident.step is STEPS[-1]:
            stood.append(await room.close(actor="Ada"))
            return stood
        stood.append(await room.advance(actor="Ada"))
        assert stood[-1].moved, stood[-1].exit.obstacles


async def test_a_recovery_goes_through_every_step_and_ends_on_matching_records(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        first, second = await a_company(one)
        damage(one, first, second)
        room = room_of(one)
        opened = room.open(title="The CRM was restored", actor="Ada", since=one.clock() - timedelta(hours=1))
        assert MESSAGES in one.hub.state.switches()
        assert NONESSENTIAL not in one.hub.state.switches()
        with pytest.raises(IncidentOpen):
            room.open(title="Another", actor="Bo")
        stood = await walk(room, one)
        assert [one.incident.step for one in stood] == [*STEPS[1:], None]
        assert one.salesforce.record("Account", first)[MRR] == 100.0
        assert (await one.hub.reconcile("accounts", actor="Ada")).is_clean
        assert one.hub.state.switches() == frozenset(), "what the incident stopped it has released"
        kinds = [moment.kind for moment in room.book.timeline(opened.id)]
        assert kinds[0] == "opened"
        assert kinds[-1] == "closed"
        assert kinds.count("left") == len(STEPS)
        assert room.standing() is None
        with pytest.raises(NoIncident):
            await room.advance(actor="Ada")


async def test_a_step_is_not_left_while_a_record_differs(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        first, second = await a_company(one)
        room = room_of(one)
        room.open(title="Edited", actor="Ada")
        one.clock.move(minutes=1)
        for _ in range(4):
            assert (await room.advance(actor="Ada")).moved
            one.clock.move(minutes=1)
        # A target that refuses the record for good: the queue is empty, and the records do not match.
        damage(one, first, second)
        one.salesforce.reject("Account", first)
        stood = await room.advance(actor="Ada")
        assert (stood.moved, stood.incident.step) == (False, RecoveryStep.REPLAY_SUBSCRIPTIONS)
        assert stood.exit.figure
        assert any(first in told for told in stood.exit.obstacles)
        with pytest.raises(RejectedError, match="named person"):
            await room.advance(actor=" ")
        stood = await room.close(actor="Ada")
        assert (stood.moved, "none can be left out" in stood.exit.obstacles[0]) == (False, True)
        assert MESSAGES in one.hub.state.switches()
        assert NONESSENTIAL in one.hub.state.switches()


async def test_a_switch_of_somebody_else_stays_thrown(tmp_path: Path) -> None:
    async with an_installation(f"sqlite:///{tmp_path}/store.db", tmp_path) as one:
        await a_company(one)
        one.hub.pause(MESSAGES, "Bo", "Our own reason.")
        room = room_of(one)
        room.open(title="Slow CRM", actor="Ada")
        await walk(room, one)
        assert one.hub.state.switches() == {MESSAGES}


async def test_one_that_was_opened_by_mistake_is_cancelled_and_releases_its_own_stops(
    store_url: str, tmp_path: Path
) -> None:
    async with an_installation(store_url, tmp_path) as one:
        await a_company(one)
        one.hub.pause(MESSAGES, "Bo", "Our own reason.")
        room = room_of(one)
        opened = room.open(title="False alarm", actor="Ada")
        assert NONESSENTIAL not in one.hub.state.switches()
        one.clock.move(minutes=1)
        assert (await room.advance(actor="Ada")).moved
        assert NONESSENTIAL in one.hub.state.switches()
        for actor, because in ((" ", "a reason"), ("Ada", " ")):
            with pytest.raises(RejectedError, match="named person"):
                room.cancel(actor=actor, because=because)
        ended = room.cancel(actor="Bo", because="The CRM was never away.")
        assert one.hub.state.switches() == {MESSAGES}
        assert (room.standing(), ended.closed_at is None, ended.step) == (None, False, None)
        assert [moment.kind for moment in room.book.timeline(opened.id)][-1] == "cancelled"
        with pytest.raises(NoIncident):
            room.cancel(actor="Bo", because="Again.")
        room.open(title="Now it is", actor="Ada")


async def test_a_recovery_that_has_begun_is_not_ended_by_a_word(tmp_path: Path) -> None:
    async with an_installation(f"sqlite:///{tmp_path}/store.db", tmp_path) as one:
        await a_company(one)
        room = room_of(one)
        room.open(title="Slow CRM", actor="Ada")
        for _ in range(2):
            one.clock.move(minutes=1)
            assert (await room.advance(actor="Ada")).moved
        stopped = one.hub.state.switches()
        with pytest.raises(RejectedError, match="left step by step"):
            room.cancel(actor="Ada", because="We are in a hurry.")
        assert (one.hub.state.switches(), room.standing() is None) == (stopped, False)


async def test_a_crash_while_it_is_cancelled_leaves_no_stop_that_belongs_to_nobody(tmp_path: Path) -> None:
    async with an_installation(f"sqlite:///{tmp_path}/store.db", tmp_path) as one:
        await a_company(one)
        died: set[tuple[str, str, str]] = set()
        book = SqlIncidentBook(one.hub.database)
        room_of(one).open(title="False alarm", actor="Ada")
        while book.current() is not None:
            with suppress(Crash):
                fragile = IncidentRoom(Fragile(one.hub, str, died), Fragile(book, str, died), renewed=renewed)
                fragile.cancel(actor="Ada", because="The CRM was never away.")
        assert {name for _, name, _ in died} >= {"keep", "release"}
        assert one.hub.state.switches() == frozenset()


async def test_a_step_that_takes_long_keeps_its_lease(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An hour passes while owner and hub are compared: nobody else may begin the step meanwhile."""
    lease = timedelta(seconds=0.3)
    async with an_installation(f"sqlite:///{tmp_path}/store.db", tmp_path) as one:
        await a_company(one)
        room = IncidentRoom(one.hub, SqlIncidentBook(one.hub.database), lease=lease, renewed=renewed)
        other = Leases(one.hub.database, "other", clock=one.hub.lease_clock)
        compare, tried = one.hub.compare_source, []

        async def slowly(*given: Any, **named: Any) -> Any:
            for _ in range(3):
                one.clock.at += lease * 0.9
                await asyncio.sleep(lease.total_seconds())
                tried.append(other.try_acquire("incident", ttl=lease, now=one.clock()))
            return await compare(*given, **named)

        monkeypatch.setattr(one.hub, "compare_source", slowly)
        room.open(title="Slow CRM", actor="Ada")
        for _ in range(3):
            one.clock.move(minutes=1)
            assert (await room.advance(actor="Ada")).moved
        assert tried
        assert set(tried) == {None}


async def test_a_server_holds_the_stops_and_does_what_the_page_asked_for(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        await a_company(one)
        room = room_of(one)
        assert await room.serve() is None
        room.open(title="Slow CRM", actor="Ada")
        one.hub.resume(MESSAGES, "Bo", "By mistake.")
        assert await room.serve() is None
        assert MESSAGES in one.hub.state.switches(), "thrown again"
        one.clock.move(minutes=1)
        room.ask(actor="Bo")
        stood = await room.serve()
        assert stood is not None
        assert stood.incident.step is RecoveryStep.FREEZE_NONESSENTIAL
        assert [moment.actor for moment in room.book.timeline(stood.incident.id)][-3:] == ["Bo", "Bo", "Bo"]
        assert await room.serve() is None, "a word is carried out once"


class Crash(BaseException):
    """The process is gone."""


class Fragile:
    """A hub or a book that dies before, or right after, the first call of each name at each step."""

    def __init__(self, real: Any, step: Callable[[], str], died: set[tuple[str, str, str]]) -> None:
        self._real = real
        self._step = step
        self._died = died

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        if name in {
            "clock",
            "lease_clock",
            "switches",
            "current",
            "timeline",
            "find",
            "waiting",
            "under_way",
            "leases",
        }:
            return found
        if name in {"switchboard", "recovery"}:
            return Fragile(found, self._step, self._died)
        if not callable(found):
            return found
        return self._waiting(name, found) if name in WAITED else self._plain(name, found)

    def _plain(self, name: str, found: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            self._perhaps(name, "before")
            answer = found(*given, **named)
            self._perhaps(name, "after")
            return answer

        return call

    def _waiting(self, name: str, found: Callable[..., Any]) -> Callable[..., Any]:
        async def call(*given: Any, **named: Any) -> Any:
            self._perhaps(name, "before")
            answer = await found(*given, **named)
            self._perhaps(name, "after")
            return answer

        return call

    def _perhaps(self, name: str, when: str) -> None:
        place = (self._step(), name, when)
        if place not in self._died:
            self._died.add(place)
            raise Crash(place)


WAITED = {"reread_round", "deliver_round", "reconcile", "compare_source"}


async def test_a_crash_at_every_boundary_of_every_step_is_gone_on_from(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        first, second = await a_company(one)
        damage(one, first, second)
        died: set[tuple[str, str, str]] = set()
        book = SqlIncidentBook(one.hub.database)

        def step() -> str:
            current = book.current()
            return "" if current is None or current.step is None else current.step.value

        def fresh() -> IncidentRoom:
            return IncidentRoom(Fragile(one.hub, step, died), Fragile(book, step, died), renewed=renewed)

        opened = ""
        for _ in range(400):
            one.clock.move(seconds=30)
            try:
                current = book.current()
                if current is None and not opened:
                    fresh().open(title="Everything dies", actor="Ada")
                    continue
                if current is None:
                    break
                opened = current.id
                leave = fresh().close if current.step is STEPS[-1] else fresh().advance
                await leave(actor="Ada")
            except Crash:
                current = book.current()
                opened = opened if current is None else current.id
        else:
            raise AssertionError("the recovery never ended")
        timeline = book.timeline(opened)
        assert [moment.step for moment in timeline if moment.kind == "left"] == list(STEPS)
        assert {place[0] for place in died} == {"", *(one.value for one in STEPS)}
        assert {name for _, name, _ in died} >= {"keep", "throw", "replay_once", "reconcile", "repair", "release"}
        assert one.hub.state.switches() == frozenset()
        assert one.salesforce.record("Account", first)[MRR] == 100.0
        writes = one.writes()
        await one.deliver()
        assert one.writes() == writes


async def test_a_red_flag_keeps_a_step_until_people_have_decided(tmp_path: Path) -> None:
    async with an_installation(f"sqlite:///{tmp_path}/store.db", tmp_path, more=CHARTER) as one:
        first, _ = await a_company(one)
        room = room_of(one)
        room.open(title="Edited", actor="Ada")
        unsourced(one, first)
        for _ in range(4):
            one.clock.move(minutes=1)
            assert (await room.advance(actor="Ada")).moved
        one.clock.move(minutes=1)
        stood = await room.advance(actor="Ada")
        assert not stood.moved
        assert any(first in told for told in stood.exit.obstacles), stood.exit.obstacles
        (flag,) = flags(one)
        desk(one).approve(flag.id, digest=seen(one, flag).digest, actor="Bo", reason=WHY)
        one.clock.move(minutes=1)
        assert (await room.advance(actor="Ada")).moved
        assert one.salesforce.record("Account", first)[MRR] == 100.0
