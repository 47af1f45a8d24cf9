"""A type of event that is no longer delivered is told once, after the provider was asked; a quiet weekend is not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from accordant.connectors import registry
from accordant.connectors.stripe.settlement import SETTLED
from accordant.operations.silence import FACTOR, PATIENCE, SilenceRound, is_suspicious, usual_pause, with_heard
from accordant.ports.missed import HeardEvent, Rhythm
from accordant.web.lookout import Lookout
from tests.integration.operations.kit import Installation, an_installation
from tests.integration.operations.test_caretaker import alerts
from tests.integration.operations.test_settlement import live_and_pay_out
from tests.integration.operations.test_sweep import move

CREATED = "customer.created"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def heard(*hours: float, was_fetched: bool = False) -> list[HeardEvent]:
    return [
        HeardEvent(event_type=CREATED, occurred_at=NOON + timedelta(hours=one), was_fetched=was_fetched)
        for one in hours
    ]


async def hourly(one: Installation, lookout: Lookout, hours: int) -> None:
    """A customer an hour, each delivered."""
    for _ in range(hours):
        one.sell(1)
        one.take_in()
        move(one, hours=1)
    await lookout.listen("stripe")


async def look(one: Installation, lookout: Lookout, **span: float) -> SilenceRound:
    move(one, **span)
    return await lookout.listen("stripe")


async def test_a_quiet_weekend_wakes_nobody(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        lookout = Lookout(one.hub)
        await hourly(one, lookout, 12)
        found = await look(one, lookout, hours=60)
        assert CREATED in found.suspected
        assert found.quiet == found.suspected
        assert found.opened == ()
        assert alerts(one) == []


async def test_a_type_that_is_lost_is_told_once_and_again_when_it_is_back(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        lookout = Lookout(one.hub)
        await hourly(one, lookout, 12)
        one.sell(1)
        list(one.events())  # said, and lost on the way
        found = await look(one, lookout, hours=8)
        assert CREATED in found.opened
        assert ("event.silent", f"{CREATED} of stripe is not delivered any more") in alerts(one)
        told = len(alerts(one))
        assert (await look(one, lookout, hours=8)).opened == ()
        assert len(alerts(one)) == told
        one.sell(1)
        one.take_in()
        assert CREATED in (await look(one, lookout, hours=1)).closed
        assert ("event.heard", f"{CREATED} of stripe is delivered again") in alerts(one)


async def test_what_a_sweep_fetched_is_no_delivery(store_url: str, tmp_path: Path) -> None:
    """The sweep repairs the data; the alarm still says that deliveries are lost, of a seldom type too."""
    async with an_installation(store_url, tmp_path) as one:
        lookout = Lookout(one.hub)
        await hourly(one, lookout, 2)
        await lookout.sweep("stripe", actor="ada")
        one.sell(1)
        lost = list(one.events())
        move(one, minutes=20)
        assert (await lookout.sweep("stripe", actor="ada")).total == len(lost)
        assert (await look(one, lookout, minutes=20)).opened == (), "it may still be on its way"
        assert CREATED in (await look(one, lookout, hours=2)).opened


async def test_a_delivery_that_comes_after_the_sweep_is_a_delivery(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        lookout = Lookout(one.hub)
        await hourly(one, lookout, 2)
        await lookout.sweep("stripe", actor="ada")
        one.sell(1)
        late = list(one.events())
        move(one, minutes=20)
        await lookout.sweep("stripe", actor="ada")
        one.hub.inbox.accept([one.arrival(event.body()) for event in late])
        assert (await look(one, lookout, hours=3)).opened == ()


async def test_what_was_said_while_the_hub_was_down_is_no_lost_delivery(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        await hourly(one, Lookout(one.hub), 12)
        one.sell(1)
        list(one.events())
        move(one, hours=10)
        assert (await look(one, Lookout(one.hub), minutes=1)).opened == ()


async def test_what_nobody_delivers_is_not_missed(tmp_path: Path) -> None:
    """What a payout settled is only ever fetched, and the provider knows no event of that name to be asked about."""
    async with an_installation(f"sqlite:///{tmp_path / 'store.db'}", tmp_path) as one:
        live_and_pay_out(one)
        lookout = Lookout(one.hub)
        assert (await lookout.settle("stripe")).settled == 1
        found = await look(one, lookout, hours=8)
        assert SETTLED not in found.suspected
        assert found.opened == ()
        assert not any(SETTLED in subject for _, subject in alerts(one))


def test_a_system_that_sends_nothing_is_not_listened_to() -> None:
    part = registry.connector("tryton", where="systems.erp").manifest.inbound
    assert part is not None
    assert part.events
    assert part.delivered == frozenset()


async def test_the_charter_fixes_a_pause(tmp_path: Path) -> None:
    async with an_installation(f"sqlite:///{tmp_path / 'store.db'}", tmp_path) as one:
        one.hub.charter.systems["stripe"].silence_s[CREATED] = 3 * 3_600
        lookout = Lookout(one.hub)
        await hourly(one, lookout, 2)
        one.sell(1)
        list(one.events())
        assert CREATED not in (await look(one, lookout, minutes=90)).suspected
        assert (await look(one, lookout, hours=2)).opened == (CREATED,)


def test_a_pause_is_learned_from_bursts_and_not_inside_them() -> None:
    daily = [24 * day + minute / 60 for day in range(14) for minute in (0, 1, 2)]
    rhythm = with_heard(Rhythm(event_type=CREATED), heard(*daily))
    assert usual_pause(rhythm) == timedelta(hours=24) - timedelta(minutes=2)
    last = NOON + timedelta(hours=13 * 24)
    assert not is_suspicious(rhythm, {}, last + timedelta(days=2))
    assert is_suspicious(rhythm, {}, last + FACTOR * timedelta(days=1, hours=1))


def test_too_little_heard_teaches_nothing() -> None:
    rhythm = with_heard(Rhythm(event_type=CREATED), heard(*range(10)))
    assert usual_pause(rhythm) is None
    assert not is_suspicious(rhythm, {}, NOON + timedelta(days=365))


def test_what_arrives_out_of_order_gives_no_pause_backwards() -> None:
    rhythm = with_heard(Rhythm(event_type=CREATED), heard(5))
    rhythm = with_heard(rhythm, heard(2))
    assert rhythm.heard_at == NOON + timedelta(hours=5)
    assert rhythm.gaps == ()


def test_the_latest_fetched_one_is_kept() -> None:
    rhythm = with_heard(Rhythm(event_type=CREATED), heard(5, was_fetched=True))
    rhythm = with_heard(rhythm, heard(2, was_fetched=True))
    assert rhythm.fetched_at == NOON + timedelta(hours=5)
    assert is_suspicious(rhythm, {}, NOON + timedelta(hours=5) + PATIENCE)
    assert not is_suspicious(with_heard(rhythm, heard(6)), {}, NOON + timedelta(hours=7))
