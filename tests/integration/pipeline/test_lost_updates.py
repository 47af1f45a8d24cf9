"""Eight writers at the same records: every change is applied or has a conflict that names winner, loser and rule."""

from __future__ import annotations

import asyncio
import random
import threading
from dataclasses import dataclass, field

import msgspec
import pytest
from sqlalchemy import select

from accordant.canonical.charter import CourierPart
from accordant.canonical.conflicts import Conflict, Side
from accordant.canonical.intents import IntentState
from accordant.canonical.targets import CurrentRecord
from accordant.pipeline.courier import Breaker, courier
from accordant.pipeline.recognize import Recognizer
from accordant.pipeline.requests import Requests
from accordant.ports.state import Changes, PlannedIntent
from accordant.store import schema
from accordant.store.conflicts import SqlConflictBook
from accordant.store.engine import Database
from accordant.store.link_memory import SqlLinkMemory
from accordant.store.outbox import SqlOutbox
from accordant.store.state import SqlState
from tests.integration.pipeline.kit import HandClock
from tests.integration.store.rows import told
from tests.unit.pipeline.ledger import MAPPINGS, NOW, LedgerTarget, leased, pause, umpires

WRITERS, RECORDS, ROUNDS = 8, 24, 12
#: The count of the design: a hundred thousand updates by eight writers.
MANY_ROUNDS = 521


@dataclass
class Contestants:
    """Eight writers in threads: four say what the owner wants, four type into the target."""

    database: Database
    target: LedgerTarget = field(default_factory=LedgerTarget)
    clock: HandClock = field(default_factory=lambda: HandClock(NOW))
    revisions: dict[str, int] = field(default_factory=dict)
    owner_attempts: int = 0
    target_attempts: int = 0
    #: Records that somebody typed into since the courier last looked: only one edit can be seen by one look.
    edited: set[str] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.state, self.outbox = SqlState(self.database), SqlOutbox(self.database)
        self.recognizer = Recognizer(memory=SqlLinkMemory(self.database), search=None, charter="abc", clock=self.clock)

    def want(self, key: str, value: str) -> None:
        with self.lock:
            self.revisions[key] = revision = self.revisions.get(key, 0) + 1
            self.owner_attempts += 1
        intent = leased(key, revision=revision, Name=value).intent
        planned = PlannedIntent(intent=intent, shadow=False, decision=b"{}", charter="v1")
        self.state.commit(told(Changes(intents=[planned])), now=self.clock())

    def edit(self, key: str, value: str) -> None:
        with self.lock:
            held = self.target.records.get(key)
            if held is None or key in self.edited:
                return
            self.edited.add(key)
            self.target_attempts += 1
            self.target.records[key] = CurrentRecord(target_id=held.target_id, fields={**held.fields, "Name": value})

    async def deliver(self) -> None:
        self.clock.move(minutes=30)  # far apart: the loop breaker has tests of its own
        breaker = Breaker(pause)
        while await courier(
            target="crm",
            outbox=self.outbox,
            outbound=self.target,
            mappings=MAPPINGS,
            umpires=umpires(),
            conflicts=SqlConflictBook(self.database),
            recognizer=self.recognizer,
            settings=CourierPart(),
            resting_flows=frozenset,
            open_gate=lambda: lambda _, __: None,
            breaker=breaker,
            pause=pause,
            clock=self.clock,
            lease_clock=self.clock,
            requests=Requests(self.outbox, self.clock),
        ):
            pass
        self.edited.clear()


def write_much(one: Contestants, writer: int, seed: int) -> None:
    dice = random.Random(seed)
    for number in range(RECORDS):
        key, value = f"cus_{dice.randrange(RECORDS)}", f"w{writer}s{seed}n{number}"
        if writer % 2:
            one.edit(key, value)
        else:
            one.want(key, value)


@pytest.mark.parametrize("rounds", [ROUNDS, pytest.param(MANY_ROUNDS, marks=pytest.mark.nightly)])
async def test_applied_and_conflicts_are_all_attempts(database: Database, rounds: int) -> None:
    one = Contestants(database)
    for number in range(RECORDS):
        one.want(f"cus_{number}", "first")
    await one.deliver()
    for turn in range(rounds):
        threads = [
            threading.Thread(target=write_much, args=(one, writer, turn * WRITERS + writer))
            for writer in range(WRITERS)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            await asyncio.to_thread(thread.join)
        # Whoever typed gets looked at: each edited record is wanted again, as its next change or a repair would.
        for key in sorted(one.edited):
            one.want(key, f"again {turn} {key}")
        await one.deliver()
    with database.read() as connection:
        states = [row.state for row in connection.execute(select(schema.write_intent.c.state))]
        bodies = connection.execute(select(schema.conflict.c.body)).scalars().all()
    conflicts = [msgspec.json.decode(body, type=Conflict) for body in bodies]
    carried = {IntentState.APPLIED.value, IntentState.ALREADY_APPLIED.value, IntentState.SUPERSEDED.value}
    assert set(states) <= carried
    assert len(states) == one.owner_attempts
    assert len(conflicts) == one.target_attempts > rounds
    for found in conflicts:
        told = found.contested
        assert told.ruling.winner is Side.OWNER
        assert told.ruling.sentence
        assert {told.owner.system, told.target.system} == {"billing", "crm"}
        assert told.target.value not in (told.owner.value, told.confirmed)
    # What lost is what was typed, each of them once; what the target holds is what its owner said last.
    assert len({(found.record, found.contested.target.value) for found in conflicts}) == len(conflicts)
