"""Rooms 7 and 8 on a real outbox: attempts, lanes that park, neighbours that go on, and the breaker of a target."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from accordant.canonical.charter import CourierPart, Winner
from accordant.canonical.intents import RefusalClass, Refused, WriteIntent
from accordant.canonical.targets import object_spec
from accordant.pipeline.courier import Breaker, courier
from accordant.pipeline.deliver import Gate
from accordant.pipeline.dispatch import Stop
from accordant.pipeline.hold import LEASE, WRITE_MAX
from accordant.pipeline.recognize import Recognizer
from accordant.pipeline.requests import Requests
from accordant.ports.connector import AnswerLost, RateLimited, RecordWrite, TargetUnavailable
from accordant.ports.state import Changes, PlannedIntent
from accordant.store import schema
from accordant.store.audit import verify_chain
from accordant.store.conflicts import SqlConflictBook
from accordant.store.engine import Database
from accordant.store.link_memory import SqlLinkMemory
from accordant.store.outbox import SqlOutbox
from accordant.store.state import SqlState
from tests.integration.pipeline.kit import HandClock
from tests.integration.store.rows import told
from tests.unit.pipeline.ledger import MAPPINGS, NOW, LedgerTarget, leased, pause, umpires

ATTEMPTS = 3


@dataclass
class Round:
    """One target, its outbox and its courier."""

    database: Database
    target: LedgerTarget = field(default_factory=LedgerTarget)
    clock: HandClock = field(default_factory=lambda: HandClock(NOW))
    stop: Stop | None = None
    resting: frozenset[str] = frozenset()
    winner: Winner = Winner.SYSTEM_OF_RECORD

    def __post_init__(self) -> None:
        self.outbox = SqlOutbox(self.database)
        self.state = SqlState(self.database)
        self.breaker = Breaker(pause)

    def plan(self, *intents: WriteIntent, shadow: bool = False) -> None:
        planned = [PlannedIntent(intent=one, shadow=shadow, decision=b"{}", charter="v1") for one in intents]
        self.state.commit(told(Changes(intents=planned)), now=self.clock())

    async def run(self, **later: float) -> int:
        self.clock.move(**later)
        return await courier(
            target="crm",
            outbox=self.outbox,
            outbound=self.target,
            mappings=MAPPINGS,
            umpires=umpires(self.winner),
            conflicts=SqlConflictBook(self.database),
            recognizer=Recognizer(memory=SqlLinkMemory(self.database), search=None, charter="abc", clock=self.clock),
            settings=CourierPart(attempts_max=ATTEMPTS),
            resting_flows=lambda: self.resting,
            open_gate=self._gate,
            breaker=self.breaker,
            pause=pause,
            clock=self.clock,
            lease_clock=self.clock,
            requests=Requests(self.outbox, self.clock),
        )

    def _gate(self) -> Gate:
        return lambda _, __: self.stop

    def states(self) -> dict[str, tuple[str, int]]:
        columns = schema.write_intent.c
        with self.database.read() as connection:
            rows = connection.execute(select(columns.record, columns.state, columns.attempts))
            return {row.record.rpartition("/")[2]: (row.state, row.attempts) for row in rows}

    def trail_is_sound(self) -> bool:
        with self.database.read() as connection:
            return verify_chain(connection).faults == ()

    def rows(self, table: Any, *names: str) -> list[tuple[Any, ...]]:
        with self.database.read() as connection:
            return [tuple(row) for row in connection.execute(select(*(table.c[name] for name in names)))]


def intent(key: str, **more: Any) -> WriteIntent:
    return leased(key, **more).intent


def refusals(count: int, cause: RefusalClass = RefusalClass.TRANSIENT) -> list[Refused]:
    return [Refused(cause=cause, code="X", message="Busy.")] * count


async def test_a_write_leaves_receipt_confirmation_crosswalk_and_trail(database: Database) -> None:
    one = Round(database)
    one.plan(intent("cus_1"))
    assert await one.run() == 1
    assert one.states() == {"cus_1": ("applied", 1)}
    assert one.rows(schema.write_receipt, "attempt", "outcome") == [(1, "Applied")]
    assert one.rows(schema.confirmed_record, "ref", "target_id") == [("crm:Account/cus_1", "001cus_1")]
    assert one.rows(schema.crosswalk, "ref", "entity_id") == [("crm:Account/001cus_1", "acc_cus_1")]
    assert one.rows(schema.audit_entry, "kind", "cause") == [
        ("desk.intent.planned", 0),
        ("archive.write.applied", 7),
    ]
    assert one.trail_is_sound()
    assert await one.run(hours=1) == 0
    assert len(one.target.ledger) == 1


async def test_the_bound_parks_one_lane_raises_one_alert_and_neighbours_go_on(database: Database) -> None:
    one = Round(database)
    one.target.refusals["cus_1"] = refusals(99)
    one.plan(intent("cus_1", lane="crm:a"), intent("sub_1", lane="crm:a", step=1), intent("cus_2", lane="crm:b"))
    for _ in range(ATTEMPTS + 3):
        await one.run(minutes=5)
    assert one.states() == {"cus_1": ("dead", ATTEMPTS), "sub_1": ("pending", 0), "cus_2": ("applied", 1)}
    assert one.rows(schema.parked_lane, "lane", "direction") == [("crm:a", "outbound")]
    ((kind, subject, body),) = one.rows(schema.alert, "kind", "subject", "body")
    assert (kind, subject) == ("lane.parked", "crm:a")
    assert f"Tried {ATTEMPTS} times" in body
    assert [key for key, _ in one.target.ledger] == ["cus_2"]
    # Later work of the parked lane waits too; other lanes do not notice.
    one.plan(intent("cus_3", lane="crm:a"), intent("cus_4", lane="crm:b"))
    await one.run(minutes=5)
    assert one.states()["cus_3"] == ("pending", 0)
    assert one.states()["cus_4"] == ("applied", 1)
    assert one.trail_is_sound()


@pytest.mark.parametrize("cause", [RefusalClass.DATA_QUALITY, RefusalClass.BUSINESS_RULE])
async def test_a_refusal_no_retry_cures_is_not_retried(database: Database, cause: RefusalClass) -> None:
    one = Round(database)
    one.target.refusals["cus_1"] = refusals(1, cause)
    one.plan(intent("cus_1"))
    for _ in range(3):
        await one.run(minutes=5)
    assert one.states() == {"cus_1": ("dead", 1)}
    assert len(one.rows(schema.alert, "id")) == 1


async def test_a_retry_waits_its_time_and_its_lane_with_it(database: Database) -> None:
    one = Round(database)
    one.target.refusals["cus_1"] = refusals(1)
    one.plan(intent("cus_1", lane="crm:a"), intent("sub_1", lane="crm:a", step=1))
    await one.run()
    assert one.states() == {"cus_1": ("pending", 1), "sub_1": ("pending", 0)}
    assert await one.run(seconds=9) == 0
    # One round writes the account, it or the next the subscription that looks it up.
    assert await one.run(seconds=2) >= 1
    assert one.states()["cus_1"] == ("applied", 2)
    await one.run()
    assert one.states() == {"cus_1": ("applied", 2), "sub_1": ("applied", 1)}
    assert [key for key, _ in one.target.ledger] == ["cus_1", "sub_1"]


async def test_a_lost_answer_is_probed_and_written_once(database: Database) -> None:
    one = Round(database)
    one.target.late_errors.append(AnswerLost("The answer never came."))
    one.plan(intent("cus_1"))
    await one.run()
    assert one.states() == {"cus_1": ("uncertain", 1)}
    await one.run(seconds=11)
    assert one.states() == {"cus_1": ("already_applied", 2)}
    assert one.rows(schema.write_receipt, "attempt", "outcome") == [(1, "Uncertain"), (2, "AlreadyApplied")]
    assert len(one.target.ledger) == 1


async def test_a_courier_that_died_leaves_a_doubt_that_is_probed(database: Database) -> None:
    one = Round(database)
    one.plan(intent("cus_1"))
    claimed = one.outbox.claim(target="crm", limit=10, now=NOW, lease_until=NOW + LEASE, paused_flows=frozenset())
    # It wrote, and died before it could say so.
    written = claimed[0].intent
    record = RecordWrite(key=written.key, fields=written.fields, idempotency_key=written.idempotency_key)
    await one.target.write(object_spec(MAPPINGS["accounts"]), [record])
    assert await one.run(seconds=LEASE.total_seconds() - 1) == 0
    assert await one.run(seconds=2) == 1
    assert one.states() == {"cus_1": ("already_applied", 2)}
    assert len(one.target.ledger) == 1


async def test_the_breaker_opens_backs_off_and_closes_and_no_attempt_is_lost(database: Database) -> None:
    one = Round(database)
    one.target.read_errors += [TargetUnavailable("503"), TargetUnavailable("503"), None]
    one.plan(*(intent(f"cus_{n}") for n in range(5)))
    assert await one.run() == 5
    assert one.breaker.is_open(one.clock())
    assert one.breaker.failures == 1
    assert await one.run(seconds=9) == 0  # left alone: not even leased
    assert one.target.calls == ["read"]
    assert await one.run(seconds=2) == 5
    assert one.breaker.failures == 2
    assert await one.run(seconds=19) == 0
    assert await one.run(seconds=2) == 5
    assert one.breaker.failures == 0
    assert not one.breaker.is_open(one.clock())
    assert one.breaker.reason is None
    assert set(one.states().values()) == {("applied", 1)}
    assert one.rows(schema.write_receipt, "attempt") == [(1,)] * 5


async def test_the_breaker_waits_as_long_as_it_was_asked(database: Database) -> None:
    one = Round(database)
    one.target.write_errors.append(RateLimited("429", retry_after_s=300.0))
    one.plan(intent("cus_1"))
    await one.run()
    assert await one.run(seconds=299) == 0
    assert await one.run(seconds=2) == 1
    assert one.states() == {"cus_1": ("applied", 1)}


async def test_an_outage_of_any_length_kills_nothing(database: Database) -> None:
    one = Round(database)
    one.target.read_errors += [TargetUnavailable("down")] * 30
    one.plan(intent("cus_1"))
    for _ in range(30):
        await one.run(hours=1)
    assert one.states() == {"cus_1": ("pending", 0)}
    assert one.rows(schema.alert, "id") == []
    await one.run(hours=1)
    assert one.states() == {"cus_1": ("applied", 1)}


async def test_what_a_switch_stops_goes_on_later_and_what_the_rules_forbid_never(database: Database) -> None:
    one = Round(database)
    one.plan(intent("cus_1"))
    one.stop = Stop("Paused.", final=False)
    await one.run()
    assert one.states() == {"cus_1": ("pending", 0)}
    one.stop = Stop("The charter forbids it now.", final=True)
    await one.run(minutes=1)
    assert one.states() == {"cus_1": ("cancelled", 0)}
    assert one.rows(schema.audit_entry, "kind") == [
        ("desk.intent.planned",),
        ("archive.write.cancelled",),
    ]
    one.stop = None
    assert await one.run(minutes=1) == 0
    assert one.target.ledger == []


async def test_a_resting_flow_is_not_leased(database: Database) -> None:
    one = Round(database, resting=frozenset({"accounts"}))
    one.plan(intent("cus_1"), intent("sub_2", step=1))
    assert await one.run() == 1
    assert one.states() == {"cus_1": ("pending", 0), "sub_2": ("applied", 1)}


async def test_a_shadow_is_compared_kept_and_sent_to_nobody(database: Database) -> None:
    one = Round(database)
    one.plan(intent("cus_1"), shadow=True)
    await one.run()
    assert one.states() == {"cus_1": ("shadowed", 1)}
    assert one.rows(schema.write_receipt, "outcome") == [("Compared",)]
    assert one.target.calls == ["read"]
    assert one.rows(schema.crosswalk, "ref") == []


async def test_the_newest_revision_carries_the_change_of_the_older(database: Database) -> None:
    one = Round(database)
    one.plan(*(intent("cus_1", revision=n, Name=f"Example {n}") for n in (1, 2, 3)))
    await one.run()
    columns: Sequence[tuple[Any, ...]] = one.rows(schema.write_intent, "revision", "state")
    assert sorted(columns) == [(1, "superseded"), (2, "superseded"), (3, "applied")]
    assert one.target.ledger == [("cus_1", {"Name": "Example 3"})]


# -- leases ------------------------------------------------------------------------------------------------------------


def taken_over(one: Round, limit: int = 10) -> list[str]:
    """What another courier takes now, by key."""
    now = one.clock()
    other = SqlOutbox(one.database)
    claimed = other.claim(target="crm", limit=limit, now=now, lease_until=now + LEASE, paused_flows=frozenset())
    return [leased.intent.key for leased in claimed]


async def test_what_was_taken_over_before_its_write_is_not_written_again(database: Database) -> None:
    one = Round(database)
    one.plan(intent("cus_1", lane="crm:a"), intent("sub_1", lane="crm:a", step=1), intent("cus_2", lane="crm:b"))
    taken: list[str] = []

    def sleep_too_long() -> None:
        one.clock.move(seconds=LEASE.total_seconds() + 1)
        taken.extend(taken_over(one))

    one.target.on_read = sleep_too_long
    assert await one.run() == 2
    assert taken == ["cus_1", "cus_2"]
    assert one.target.ledger == []
    assert one.target.calls == ["read"]
    assert one.states() == {"cus_1": ("leased", 2), "cus_2": ("leased", 2), "sub_1": ("pending", 0)}


async def test_a_write_begins_only_with_a_lease_that_outlasts_it(database: Database) -> None:
    one = Round(database)
    one.plan(intent("cus_1"))
    one.target.on_read = lambda: one.clock.move(seconds=(LEASE - WRITE_MAX).total_seconds() + 1)
    seen: list[list[str]] = []

    async def write(spec: Any, records: Any) -> Any:
        one.clock.move(seconds=WRITE_MAX.total_seconds())
        seen.append(taken_over(one))
        return await LedgerTarget.write(one.target, spec, records)

    one.target.write = write  # type: ignore[method-assign]  # a target that takes as long as it may
    assert await one.run() == 1
    assert seen == [[]]
    assert one.states() == {"cus_1": ("applied", 1)}


async def test_of_a_round_that_lasted_too_long_only_what_was_taken_over_is_dropped(database: Database) -> None:
    one = Round(database)
    one.plan(intent("cus_1"), intent("cus_2"))
    taken: list[str] = []

    async def write(spec: Any, records: Any) -> Any:
        done = await LedgerTarget.write(one.target, spec, records)
        one.clock.move(seconds=LEASE.total_seconds() + 1)
        taken.extend(taken_over(one, limit=1))
        return done

    one.target.write = write  # type: ignore[method-assign]  # it answers after its lease is over
    assert await one.run() == 2
    (lost,) = taken
    kept = ({"cus_1", "cus_2"} - {lost}).pop()
    assert one.states() == {lost: ("leased", 2), kept: ("applied", 1)}
    assert await one.run(seconds=LEASE.total_seconds() + 1) == 1
    assert one.states()[lost] == ("already_applied", 3)
    assert len(one.target.ledger) == 2
    assert one.trail_is_sound()


async def test_a_target_that_never_answers_is_given_up_in_time_and_asked_later(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Round(database)
    one.plan(intent("cus_1"))

    async def write(spec: Any, records: Any) -> Any:
        await LedgerTarget.write(one.target, spec, records)
        await asyncio.Event().wait()

    one.target.write = write  # type: ignore[method-assign]  # the answer never comes
    monkeypatch.setattr("accordant.pipeline.deliver.WRITE_MAX", timedelta(seconds=0.05))
    assert await one.run() == 1
    assert one.states() == {"cus_1": ("uncertain", 1)}
    del one.target.write
    await one.run(minutes=1)
    assert one.states() == {"cus_1": ("already_applied", 2)}
    assert len(one.target.ledger) == 1
