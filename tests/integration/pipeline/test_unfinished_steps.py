"""Whoever dies between two steps of one customer goes on at the first that is unfinished, wherever it died (EF5).

Every boundary of a delivery is tried in turn, before and after each call to store and target, until a delivery
comes through whole. The oracle is the target's own ledger, which counts by business identity.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from accordant.bootstrap import Hub, checked_charter
from accordant.canonical.targets import ObjectSpec
from accordant.demo.company import environment
from accordant.ports.connector import DestinationClass, RecordWrite
from accordant.testing.destinations import CallMoment, Effect, MemoryDestination
from tests.integration.operations.kit import Installation, an_installation

BOUNDARIES_MAX = 80
#: What of the outbox a courier calls.
_STORE_CALLS = frozenset({"claim", "note_sent", "renew", "settle"})


class Crash(BaseException):
    """The process is gone."""


class Fuse:
    """Blows at the n-th boundary from when it was set."""

    def __init__(self) -> None:
        self.left = 0

    def burn(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise Crash

    def at_call(self, _moment: CallMoment, _records: int) -> None:
        self.burn()


class Fragile:
    """An outbox that may be the last thing a process touched."""

    def __init__(self, real: Any, fuse: Fuse) -> None:
        self._real = real
        self._fuse = fuse

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        return self._guarded(found) if name in _STORE_CALLS else found

    def _guarded(self, found: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            self._fuse.burn()
            answer = found(*given, **named)
            self._fuse.burn()
            return answer

        return call


def reborn(one: Installation, target: MemoryDestination, fuse: Fuse) -> Hub:
    """Another process of the same hub: it knows what the store and the home folder hold, and nothing else."""
    hub = Hub(one.settings, checked_charter(one.settings), environment=environment(), clock=one.clock)
    hub.outbounds["salesforce"] = target
    fragile: Any = Fragile(hub.outbox, fuse)
    hub.outbox, hub.requests._book = fragile, fragile
    return hub


async def dies(one: Installation) -> bool:
    """Deliver, and say whether the process died of it."""
    try:
        await one.deliver()
    except Crash:
        return True
    return False


class Site:
    """One hub after the other between a billing stand-in and one target, each dying at the boundary that comes next."""

    def __init__(self, one: Installation, offers: DestinationClass) -> None:
        self.one = one
        self.fuse = Fuse()
        #: Writes that were begun, by business identity.
        self.begun = Counter[str]()
        self.target = MemoryDestination(
            "salesforce", offers, clock=one.clock, weather=self.fuse.at_call, begun=self._begins
        )

    def _begins(self, spec: ObjectSpec, record: RecordWrite) -> None:
        self.begun[f"{spec.name}/{record.key}"] += 1

    async def next_process(self) -> None:
        await self.one.hub.close()
        self.one.hub = reborn(self.one, self.target, self.fuse)

    async def deaths(self) -> AsyncIterator[tuple[int, list[Effect], Counter[str]]]:
        """For each boundary at which a process died over a new customer: the effects in its life and after, in another
        one's, and which writes that one began of what had been done already.
        """
        await self.next_process()
        for boundary in range(1, BOUNDARIES_MAX):
            known = len(self.target.effects)
            self.one.sell(1)
            self.one.take_in()
            self.one.process()
            self.fuse.left = boundary
            died = await dies(self.one)
            self.fuse.left = 0
            if not died:
                return
            done, begun = {effect.identity for effect in self.target.effects[known:]}, Counter(self.begun)
            await self.next_process()
            for _ in range(4):
                self.one.clock.move(minutes=5)
                await self.one.deliver()
            again = Counter({name: count for name, count in (self.begun - begun).items() if name in done})
            yield boundary, self.target.effects[known:], again
        raise AssertionError("no delivery came through whole")


async def first_unfinished_step_comes_next(one: Installation, offers: DestinationClass) -> None:
    site = Site(one, offers)
    count = 0
    async for boundary, effects, again in site.deaths():
        count += 1
        kinds = [effect.identity.partition("/")[0] for effect in effects]
        assert (len(effects), len({effect.identity for effect in effects})) == (2, 2), (boundary, effects)
        assert all(effect.created for effect in effects), boundary
        assert kinds[0] == "Account", (boundary, kinds)
        # Under the same key a target may be told once more; else what is there is read and left alone.
        assert max(again.values(), default=0) <= int(offers is DestinationClass.IDEMPOTENCY_KEY), (boundary, again)
        assert one.hub.recovery.groups() == (), boundary
    assert count >= 12
    assert site.target.keys_misused == []


@pytest.mark.parametrize("offers", [one for one in DestinationClass if one is not DestinationClass.NOTHING])
async def test_after_a_crash_at_any_boundary_the_first_unfinished_step_comes_next(
    offers: DestinationClass, store_url: str, tmp_path: Path
) -> None:
    async with an_installation(store_url, tmp_path) as one:
        await first_unfinished_step_comes_next(one, offers)


async def test_where_nobody_can_be_asked_the_next_step_waits_for_the_person(tmp_path: Path) -> None:
    """Of class E the account may or may not be there: its subscription is not written on a guess."""
    async with an_installation(f"sqlite:///{tmp_path / 'store.db'}", tmp_path) as one:
        stopped = 0
        async for boundary, effects, again in Site(one, DestinationClass.NOTHING).deaths():
            made = [effect.identity for effect in effects]
            assert len(made) == len(set(made)), (boundary, made)
            assert not again, (boundary, again)
            waiting = sum(len(group.ids) for group in one.hub.recovery.groups())
            assert waiting - stopped in {0, 1}
            assert waiting > stopped or (len(made) == 2 and made[0].startswith("Account/")), (boundary, made)
            stopped = waiting
        assert stopped >= 2
