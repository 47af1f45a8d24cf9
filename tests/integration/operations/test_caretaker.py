"""What the hub does by the clock: duties once a tick, findings told, lag told once and ended, on the real hub."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec
from sqlalchemy import select

from accordant.canonical.charter import SchedulesPart
from accordant.operations.schedule import duties
from accordant.ports.jobs import JobState
from accordant.store import schema
from accordant.store.jobs import SqlJobBook
from accordant.views.duties import duty_lines
from accordant.views.status import status
from accordant.views.trouble import trouble
from accordant.web.caretaker import Caretaker
from tests.integration.operations.kit import MRR, Installation, an_installation, brisk, leased_elsewhere, recharter

#: One duty by the clock and no other, whatever others there are.
NIGHTLY = SchedulesPart(**{**dict.fromkeys(SchedulesPart.__struct_fields__), "reconcile": "0 3 * * *"})


def scheduled(one: Installation, times: SchedulesPart) -> Caretaker:
    one.hub.charter = msgspec.structs.replace(one.hub.charter, schedules=times)
    recharter(one.hub, one.hub.charter.flows)
    return Caretaker(one.hub)


def alerts(one: Installation) -> list[tuple[str, str]]:
    with one.hub.database.read() as connection:
        rows = connection.execute(select(schema.alert.c.kind, schema.alert.c.subject).order_by(schema.alert.c.id))
        return [(row.kind, row.subject) for row in rows]


def jobs(one: Installation) -> dict[str, JobState]:
    return SqlJobBook(one.hub.database).states()


def at(one: Installation, hour: int, *, day: int = 1) -> None:
    one.clock.at = datetime(2030, 1, day, hour, tzinfo=UTC)


async def test_a_duty_runs_once_a_tick_and_tells_what_it_found(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        caretaker = scheduled(one, NIGHTLY)
        at(one, 1)
        customers = one.sell(2)
        await one.settle()
        assert await caretaker.duty_round() == 0, "a new duty waits for its first tick"
        at(one, 2)
        assert await caretaker.duty_round() == 0
        at(one, 3)
        assert await caretaker.duty_round() == 2
        assert await caretaker.duty_round() == 0, "the tick is done with"
        assert {one.outcome for one in jobs(one).values()} == {"done"}
        assert alerts(one) == []
        one.salesforce.edit("Account", customers[0], MRR, "7.0", "carl@example.com")
        at(one, 12, day=9)  # nobody was there for a week
        assert await caretaker.duty_round() == 2
        assert jobs(one)["reconcile/accounts"].told == "Nothing changed since the last comparison."
        caretaker = scheduled(one, msgspec.structs.replace(NIGHTLY, reconcile=None, reconcile_whole="0 4 * * *"))
        await caretaker.duty_round()
        at(one, 5, day=10)
        assert await caretaker.duty_round() == 2
        assert alerts(one) == [("reconcile.found", "accounts differs from its target")]
        assert "1 × field differs (hand edit)" in str(jobs(one)["reconcile_whole/accounts"].told)


async def test_what_changed_since_is_compared_and_the_rest_is_not(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        caretaker = scheduled(one, NIGHTLY)
        at(one, 1)
        one.sell(2)
        await one.settle()
        await caretaker.duty_round()
        at(one, 3)
        await caretaker.duty_round()
        at(one, 6)
        (fresh,) = one.sell(1)
        await one.settle()
        one.salesforce.edit("Account", fresh, MRR, "7.0", "carl@example.com")
        at(one, 3, day=2)
        await caretaker.duty_round()
        assert "1 differences in 1 records" in str(jobs(one)["reconcile/accounts"].told)


async def test_a_duty_that_fails_is_tried_again_after_a_pause(store_url: str, tmp_path: Path) -> None:
    async with brisk(store_url, tmp_path) as one:
        caretaker = scheduled(one, NIGHTLY)
        at(one, 1)
        await caretaker.duty_round()
        at(one, 3)
        await one.salesforce.stop()
        assert await caretaker.duty_round() == 2
        assert {state.outcome for state in jobs(one).values()} == {"failed"}
        assert await caretaker.duty_round() == 0
        one.clock.move(minutes=10)
        assert await caretaker.duty_round() == 2
        assert {state.ticked_at.hour for state in jobs(one).values()} == {1}


async def test_two_processes_do_a_duty_once(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        caretaker = scheduled(one, NIGHTLY)
        at(one, 1)
        await caretaker.duty_round()
        at(one, 3)
        leased_elsewhere(one, "job/reconcile/accounts")
        assert await caretaker.duty_round() == 1
        assert jobs(one)["reconcile/accounts"].outcome is None


async def test_the_trail_is_signed_and_the_targets_are_asked(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        caretaker = scheduled(
            one, msgspec.structs.replace(NIGHTLY, reconcile=None, drift="0 5 * * *", checkpoint="0 5 * * *")
        )
        at(one, 1)
        await one.settle()
        await caretaker.duty_round()
        at(one, 5)
        assert await caretaker.duty_round() == 2
        assert {state.outcome for state in jobs(one).values()} == {"done"}, jobs(one)
        assert (one.settings.home / "checkpoints.txt").read_text(encoding="utf-8").count("\n") == 1


async def test_lag_is_told_once_and_when_it_is_over(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        caretaker = Caretaker(one.hub)
        one.sell(1)
        one.take_in()
        one.process()
        assert caretaker.lag_round().opened == ()
        one.clock.move(seconds=901)
        assert set(caretaker.lag_round().opened) == {"accounts", "subscriptions"}
        one.clock.move(hours=3)
        assert caretaker.lag_round() == type(caretaker.lag_round())()
        assert [kind for kind, _ in alerts(one)] == ["flow.late", "flow.late"]
        await one.deliver()
        assert set(caretaker.lag_round().closed) == {"accounts", "subscriptions"}
        assert caretaker.lag_round().closed == ()
        assert [kind for kind, _ in alerts(one)] == ["flow.late"] * 2 + ["flow.on_time"] * 2


async def test_events_that_nobody_looks_at_are_late_too(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        caretaker = Caretaker(one.hub)
        one.sell(1)
        one.take_in()
        one.clock.move(seconds=901)
        assert set(caretaker.lag_round().opened) == {"accounts", "subscriptions"}


async def test_what_waits_behind_a_parked_lane_waits_for_a_person_and_is_not_late(
    store_url: str, tmp_path: Path
) -> None:
    async with an_installation(store_url, tmp_path) as one:
        caretaker = Caretaker(one.hub)
        one.sell(1)
        one.take_in()
        one.process()
        one.clock.move(seconds=901)
        with one.hub.database.write_unaudited() as connection:
            for lane in connection.execute(select(schema.write_intent.c.lane).distinct()).scalars().all():
                connection.execute(
                    schema.parked_lane.insert().values(
                        lane=lane, direction="outbound", cause="intent/int_1", reason="Refused.", parked_at=0
                    )
                )
        assert caretaker.lag_round().opened == ()


async def test_a_pause_is_no_incident(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        caretaker = Caretaker(one.hub)
        one.sell(1)
        one.take_in()
        one.process()
        one.hub.pause("accounts", "ada", "a rollout")
        one.clock.move(seconds=901)
        assert caretaker.lag_round().opened == ("subscriptions",)
        one.hub.resume("accounts", "ada")
        assert caretaker.lag_round().opened == ("accounts",)


async def test_who_is_late_and_what_runs_next_can_be_seen(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        caretaker = scheduled(one, NIGHTLY)
        at(one, 1)
        named = tuple((duty.name, duty.schedule) for duty in duties(one.hub.charter))
        first = duty_lines(one.hub.database, one.hub.charter, named, now=one.clock())
        assert {(line.name, line.next_at.hour, line.is_due) for line in first} == {
            ("reconcile/accounts", 3, False),
            ("reconcile/subscriptions", 3, False),
        }
        await caretaker.duty_round()
        at(one, 4)
        due = duty_lines(one.hub.database, one.hub.charter, named, now=one.clock())
        assert {(line.is_due, line.next_at.day, line.outcome) for line in due} == {(True, 2, None)}
        await caretaker.duty_round()
        done = duty_lines(one.hub.database, one.hub.charter, named, now=one.clock())
        assert {(line.is_due, line.outcome) for line in done} == {(False, "done")}
        one.sell(1)
        one.take_in()
        one.process()
        one.clock.move(seconds=901)
        caretaker.lag_round()
        frame, listed = status(one.hub.database), trouble(one.hub.database, now=one.clock())
        assert {late.flow for late in frame.late} == {"accounts", "subscriptions"}
        assert (frame.counts.late, frame.counts.for_a_person) == (2, 2)
        assert {group.kind for group in listed.groups} == {"late"}
