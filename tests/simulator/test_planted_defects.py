"""A simulator is worth what it catches: each planted defect of the product is found within a few schedules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import msgspec
import pytest

from accordant.bootstrap import Hub
from accordant.cli.simulated_hub import SimulatedHub
from accordant.kernel.errors import TransientError
from accordant.operations.epoch_watch import EpochWatch
from accordant.pipeline import requests, write_protocol
from accordant.pipeline.hold import Hold
from accordant.pipeline.process import set_aside
from accordant.ports.audit import AuditEntry
from accordant.ports.connector import DestinationClass, RecordWrite
from accordant.ports.epochs import NEVER_RESTORED, Epoch
from accordant.ports.inbox import Arrival, Reception
from accordant.ports.outbox import LeasedIntent, SentRequest
from accordant.ports.redrive import StuckEvent
from accordant.store import claims
from accordant.store.inbox import SqlInbox
from accordant.store.lanes import SqlLanes
from accordant.store.leases import anybody
from accordant.store.outbox import SqlOutbox
from accordant.store.redrive import SqlDeadLetters
from accordant.testing.simulator.provider import a_past
from accordant.testing.simulator.run import simulate
from accordant.testing.simulator.stage import Setting, Stage
from accordant.testing.simulator.world import Fault, World

AT_MOST = 12
A, B, D, E = (
    DestinationClass.NATIVE_UPSERT,
    DestinationClass.IDEMPOTENCY_KEY,
    DestinationClass.SEARCH_ONLY,
    DestinationClass.NOTHING,
)
Plant = Callable[[pytest.MonkeyPatch], None]


def failing(setting: Setting, seeds: range, target: DestinationClass, faults: frozenset[Fault]) -> tuple[str, ...]:
    """What the first schedule that fails says; empty where none does."""
    for seed in seeds:
        report = simulate(setting, schedules=1, seed=seed, classes=(target,), only=faults)
        if report.failures:
            return report.failures[0].violations
    return ()


def acknowledged_before_the_commit(patch: pytest.MonkeyPatch) -> None:
    """The provider gets its 2xx whatever becomes of the commit behind it."""
    accept = SqlInbox.accept

    def hasty(self: SqlInbox, arrivals: Sequence[Arrival]) -> tuple[Reception, ...]:
        try:
            return accept(self, arrivals)
        except TransientError:
            return tuple(Reception.NEW for _ in arrivals)

    patch.setattr(SqlInbox, "accept", hasty)


def lanes_without_fencing(patch: pytest.MonkeyPatch) -> None:
    """A worker that was taken for dead commits all the same."""
    patch.setattr(SqlLanes, "guard", lambda _self, _share: anybody)


def courier_without_fencing(patch: pytest.MonkeyPatch) -> None:
    """A courier whose lease ran out sends all the same."""
    noted = SqlOutbox.note_sent

    async def all_of_them(_self: Hold, batch: Sequence[LeasedIntent]) -> frozenset[str]:
        return frozenset(one.intent.id for one in batch)

    def note(self: SqlOutbox, sent: dict[str, SentRequest], leased: Sequence[LeasedIntent]) -> frozenset[str]:
        noted(self, sent, leased)
        return frozenset(one.intent.id for one in leased)

    patch.setattr(Hold, "still_ours", all_of_them)
    patch.setattr(SqlOutbox, "note_sent", note)


def gate_at_enqueue_only(patch: pytest.MonkeyPatch) -> None:
    """What was allowed when it was planned is sent, whatever was thrown since."""
    patch.setattr(Hub, "_open_gate", lambda _self: lambda _leased, _changing: None)


def done_before_the_effect(patch: pytest.MonkeyPatch) -> None:
    """An event counts as processed from the moment it is claimed."""

    def mark(connection: Any, seqs: list[int]) -> None:
        sql = "UPDATE inbox_work SET attempts = attempts + 1, state = 'processed' WHERE seq = ?"
        connection.exec_driver_sql(sql, [(seq,) for seq in seqs])

    patch.setattr(claims, "_count", mark)


def another_key_for_every_try(patch: pytest.MonkeyPatch) -> None:
    """Each try goes out under a key of its own."""
    tries = iter(range(1_000_000))

    def write(**parts: Any) -> RecordWrite:
        made = RecordWrite(**parts)
        return msgspec.structs.replace(made, idempotency_key=f"{made.idempotency_key}-{next(tries)}")

    patch.setattr(requests, "RecordWrite", write)


def one_key_whatever_is_sent(patch: pytest.MonkeyPatch) -> None:
    """An intent keeps its key, also where other fields go out under it."""
    patch.setattr(write_protocol, "_key", lambda base, _content, _epoch, _generation: base)


def not_found_read_as_not_there(patch: pytest.MonkeyPatch) -> None:
    """A search that shows nothing yet is believed."""
    patch.setattr(write_protocol, "_unseen", lambda *_: write_protocol.Go())


def lost_answer_read_as_failure(patch: pytest.MonkeyPatch) -> None:
    """Where nobody can be asked, it is sent again."""
    patch.setattr(write_protocol, "_at_most_once", lambda *_: write_protocol.Go())
    patch.setattr(requests.View, "_is_at_most_once", False)


def restore_unnoticed(patch: pytest.MonkeyPatch) -> None:
    """A store that was put back goes on as if nothing had happened since."""

    async def believed(_self: EpochWatch) -> Epoch:
        return NEVER_RESTORED

    async def kept(_self: EpochWatch, _said_to: datetime | None) -> None:
        """Nobody looks whether the store is behind the note."""

    patch.setattr(EpochWatch, "look", believed)
    patch.setattr(EpochWatch, "keep_mark", kept)


def restore_told_apart_by_a_watch(patch: pytest.MonkeyPatch) -> None:
    """What was said after the moment at which a restore was noticed is new, by the watch of whoever noticed it."""

    def by_the_watch(leased: LeasedIntent, _epoch: Epoch, noticed_at: datetime) -> bool:
        return leased.said_at is None or leased.said_at <= noticed_at

    patch.setattr(write_protocol, "_may_be_forgotten", by_the_watch)


#: The defect, the class of the target, the faults, the first seed, and the rule that has to be broken.
PLANTED: dict[str, tuple[Plant, DestinationClass, frozenset[Fault], int, str]] = {
    "acknowledged before the commit": (
        acknowledged_before_the_commit,
        A,
        frozenset({Fault.STORE_AWAY}),
        20_000,
        "IN1",
    ),
    "lanes without fencing": (lanes_without_fencing, A, frozenset({Fault.LEASE_EXPIRY}), 20_008, "OR1"),
    "courier without fencing": (courier_without_fencing, D, frozenset({Fault.LEASE_EXPIRY}), 20_035, "EF1"),
    "gate at enqueue only": (gate_at_enqueue_only, A, frozenset({Fault.SWITCH_FLIP}), 20_000, "EF6"),
    "done before the effect": (done_before_the_effect, A, frozenset({Fault.CRASH}), 20_004, "OR5"),
    "another key for every try": (another_key_for_every_try, B, frozenset({Fault.TIMEOUT_AFTER}), 20_050, "EF1"),
    "one key whatever is sent": (
        one_key_whatever_is_sent,
        B,
        frozenset({Fault.HAND_EDIT, Fault.TIMEOUT_AFTER}),
        20_035,
        "EF4",
    ),
    "not found read as not there": (
        not_found_read_as_not_there,
        D,
        frozenset({Fault.TIMEOUT_AFTER}),
        20_050,
        "EF1",
    ),
    "a lost answer read as failure": (
        lost_answer_read_as_failure,
        E,
        frozenset({Fault.TIMEOUT_AFTER}),
        20_000,
        "EF1",
    ),
    "a restore that nobody notices": (restore_unnoticed, E, frozenset({Fault.RESTORE}), 20_000, "EF1"),
    "a restore told apart by a watch": (
        restore_told_apart_by_a_watch,
        E,
        frozenset({Fault.RESTORE, Fault.CLOCK_STEP}),
        20_150,
        "EF1",
    ),
}


@pytest.mark.parametrize("defect", PLANTED)
def test_a_planted_defect_is_caught(setting: Setting, monkeypatch: pytest.MonkeyPatch, defect: str) -> None:
    plant, target, faults, first, rule = PLANTED[defect]
    # Sound, the very first of these schedules holds; so what is caught is the defect.
    assert failing(setting, range(first, first + 1), target, faults) == ()
    plant(monkeypatch)
    found = failing(setting, range(first, first + AT_MOST), target, faults)
    assert any(rule in sentence for sentence in found)


def first_of_its_lane(setting: Setting) -> bool:
    """Whether an event that is put back is the next of its lane, before those that waited behind it."""
    past = a_past(0, 1, 1)
    stage = Stage(setting, World(0, begins_at=past.ended_at), past, [A for _ in setting.targets])
    stage.receive(stage.machines[0], stage.providers[0], range(len(past.bodies)))
    hub = stage.machines[0].application
    assert isinstance(hub, SimulatedHub)
    now = stage.world()
    waiting = hub.inbox.claim(limit=100, now=now)
    hub.inbox.give_back([event.seq for event in waiting])
    lanes = [event.lane for event in waiting]
    lane = max(lanes, key=lanes.count)
    first = next(event for event in waiting if event.lane == lane)
    hub.state.commit(set_aside(first, "It could not be read.", now=now), now=now)
    stuck = hub.recovery.letters.find_events([first.seq])
    entry = AuditEntry(
        kind="operations.letter.redriven",
        actor="ada",
        subject=f"event/{first.seq}",
        cause=first.seq,
        at=now,
        body={"reason": "The reader was corrected."},
    )
    hub.recovery.letters.revive_events(stuck, [entry], now=now)
    again = [event.seq for event in hub.inbox.claim(limit=100, now=now) if event.lane == lane]
    stage.close()
    return again[:1] == [first.seq]


def test_a_redrive_to_the_tail_is_caught(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    assert first_of_its_lane(setting)
    revive = SqlDeadLetters.revive_events

    def to_the_tail(
        self: SqlDeadLetters, events: Sequence[StuckEvent], entries: Sequence[AuditEntry], *, now: Any
    ) -> frozenset[str]:
        """As a queue does it: taken out, and put in again behind all others."""
        done = revive(self, events, entries, now=now)
        sql = "UPDATE inbox_work SET due_at = due_at + 3600000000 WHERE seq = ?"
        with setting.store.database.write_unaudited() as connection:
            for event in events:
                connection.exec_driver_sql(sql, (event.seq,))
        return done

    monkeypatch.setattr(SqlDeadLetters, "revive_events", to_the_tail)
    assert not first_of_its_lane(setting)
