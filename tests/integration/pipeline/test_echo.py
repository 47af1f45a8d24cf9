"""Two systems that both tell and are both written: our own writes come back and cause nothing, for a thousand days."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from accordant.canonical.charter import (
    Charter,
    CourierPart,
    FieldPart,
    FlowPart,
    MappingPart,
    OwnershipPart,
    Phase,
    SystemPart,
)
from accordant.canonical.entities import Account
from accordant.canonical.intents import WireValue, WriteOutcome
from accordant.canonical.observations import Interpretation, Interpreted, Observation
from accordant.canonical.refs import EntityKind, ExternalRef
from accordant.canonical.targets import CurrentRecord
from accordant.governance.decide import NOTHING_STOPPED
from accordant.governance.hearing import Hearing
from accordant.governance.phases import Tier
from accordant.pipeline.courier import Breaker, courier
from accordant.pipeline.dispatch import stop_of
from accordant.pipeline.plan import Rulebook, write_rulebook
from accordant.pipeline.process import process
from accordant.pipeline.recognize import Recognizer
from accordant.pipeline.requests import Requests
from accordant.ports.connector import Envelope, RecordWrite
from accordant.ports.inbox import InboxEvent
from accordant.store import schema
from accordant.store.conflicts import SqlConflictBook
from accordant.store.engine import Database
from accordant.store.link_memory import SqlLinkMemory
from accordant.store.migrate import migrate
from accordant.store.outbox import SqlOutbox
from accordant.store.state import SqlState
from tests.unit.pipeline.ledger import LedgerTarget, pause

OBJECTS = {"billing": "customer", "crm": "Account"}
OTHER = {"billing": "crm", "crm": "billing"}
START = datetime(2026, 1, 1, tzinfo=UTC)


class Told(msgspec.Struct, frozen=True):
    """What a system says when one of its records changes, whoever changed it."""

    id: str
    name: str | None
    email: str | None
    at: datetime


class Ear:
    """The inbound half of both systems: `ports.connector.Inbound`."""

    def verify(self, *, headers: Mapping[str, str], body: bytes, secrets: Sequence[bytes], now: datetime) -> None:
        """Signatures are the door's own tests' business."""

    def read_envelope(self, body: bytes) -> Envelope:
        told = msgspec.json.decode(body, type=Told)
        return Envelope(external_id=told.id, event_type="changed", lane=told.id, occurred_at=told.at)

    def interpret(self, *, system: str, body: bytes) -> Interpretation:
        told = msgspec.json.decode(body, type=Told)
        ref = ExternalRef(system, OBJECTS[system], told.id)
        account = Account(external_id=told.id, name=told.name, email=told.email)
        return Interpreted((Observation(ref=ref, root=ref, entity=account, observed_at=told.at),))

    def interpret_object(self, *, ref: ExternalRef, body: bytes, read_at: datetime) -> Interpretation:
        return Interpreted(())


@dataclass
class System(LedgerTarget):
    """A system with records of its own and copies of the other's; every change of any of them is told."""

    name: str = ""
    own: dict[str, dict[str, WireValue]] = field(default_factory=dict)
    said: list[Told] = field(default_factory=list)
    clock: Any = None

    def tell(self, record_id: str, fields: Mapping[str, WireValue]) -> None:
        name, email = fields.get("Name"), fields.get("Email")
        assert name is None or isinstance(name, str)
        assert email is None or isinstance(email, str)
        self.said.append(Told(record_id, name, email, self.clock()))

    def change_own(self, record_id: str, **fields: WireValue) -> None:
        held = self.own.setdefault(record_id, {})
        held.update(fields)
        self.tell(record_id, held)

    def edit_copy(self, key: str, **fields: WireValue) -> None:
        held = self.records[key]
        self.records[key] = CurrentRecord(target_id=held.target_id, fields={**held.fields, **fields})
        self.tell(held.target_id, self.records[key].fields)

    def _upsert(self, record: RecordWrite) -> WriteOutcome:
        outcome = super()._upsert(record)
        held = self.records[record.key]
        self.tell(held.target_id, held.fields)
        return outcome


def a_rulebook(source: str) -> Rulebook:
    target = OTHER[source]
    fields = {"Name": FieldPart(source="name"), "Email": FieldPart(source="email")}
    mapping = MappingPart(entity=EntityKind.ACCOUNT, object=OBJECTS[target], key_field="Key", fields=fields)
    charter = Charter(
        company="Example",
        systems={name: SystemPart(connector=name, owner="ada", stand_in=True) for name in OBJECTS},
        ownership=(
            OwnershipPart(
                entity=EntityKind.ACCOUNT,
                system_of_record=source,
                readers=(target,),
                purpose="Each system knows its own customers.",
                financial="billing",
            ),
        ),
        mappings={target: (mapping,)},
        flows=(
            FlowPart(
                name=f"from-{source}",
                entity=EntityKind.ACCOUNT,
                source=source,
                target=target,
                object=OBJECTS[target],
                phase=Phase.AUTOMATED,
            ),
        ),
    )
    return write_rulebook(charter, dict.fromkeys(OBJECTS, Tier.GOLD))


@dataclass
class World:
    """Both systems and the hub between them, one virtual clock."""

    database: Database
    at: datetime = START
    seq: int = 0
    changes: int = 0
    heard: list[tuple[str, Told]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.systems = {name: System(name=name, clock=self.now) for name in OBJECTS}
        first, second = (a_rulebook(name) for name in OBJECTS)
        self.rulebook = msgspec.structs.replace(first, routes=first.routes | second.routes)
        self.state, self.outbox = SqlState(self.database), SqlOutbox(self.database)
        self.breakers = {name: Breaker(pause) for name in OBJECTS}

    def now(self) -> datetime:
        self.at += timedelta(seconds=1)
        return self.at

    def listen(self) -> None:
        for name, system in self.systems.items():
            self.heard += [(name, told) for told in system.said]
            system.said.clear()

    def process(self, events: Sequence[tuple[str, Told]]) -> None:
        batch = []
        for system, told in events:
            self.seq += 1
            batch.append(
                InboxEvent(
                    seq=self.seq,
                    connection=system,
                    external_id=f"evt_{self.seq}",
                    event_type="changed",
                    lane=f"{system}:{told.id}",
                    occurred_at=told.at,
                    received_at=self.at,
                    headers=b"{}",
                    body=msgspec.json.encode(told),
                )
            )
        ears = dict.fromkeys(OBJECTS, Ear())
        changes = process(batch, connectors=ears, rulebook=self.rulebook, state=self.state, now=self.now())
        self.state.commit(changes, now=self.at)

    async def deliver(self) -> None:
        routes = [route for one in self.rulebook.routes.values() for route in one]
        for name, system in self.systems.items():
            while await courier(
                target=name,
                outbox=self.outbox,
                outbound=system,
                mappings={route.flow.name: route.mapping for route in routes},
                umpires={route.flow.name: route.umpire for route in routes},
                conflicts=SqlConflictBook(self.database),
                recognizer=Recognizer(memory=SqlLinkMemory(self.database), search=None, charter="abc", clock=self.now),
                settings=CourierPart(),
                resting_flows=frozenset,
                open_gate=lambda: (
                    lambda leased, changing: stop_of(
                        leased, changing, rulebook=self.rulebook, hearing=Hearing(NOTHING_STOPPED)
                    )
                ),
                breaker=self.breakers[name],
                pause=pause,
                clock=self.now,
                lease_clock=self.now,
                requests=Requests(self.outbox, self.now),
            ):
                pass

    def writes(self) -> int:
        return sum(len(system.ledger) for system in self.systems.values())

    def outcomes(self) -> dict[str, int]:
        counted: dict[str, int] = {}
        with self.database.read() as connection:
            for (outcome,) in connection.execute(
                schema.observation.select().with_only_columns(schema.observation.c.outcome)
            ):
                counted[outcome] = counted.get(outcome, 0) + 1
        return counted

    def disagreements(self) -> list[tuple[str, object, object]]:
        found: list[tuple[str, object, object]] = []
        for name, system in self.systems.items():
            copies = self.systems[OTHER[name]].records
            for record_id, wanted in system.own.items():
                held = copies[record_id].fields if record_id in copies else None
                if held != wanted:
                    found.append((record_id, wanted, held))
        return found


async def live(world: World, dice: random.Random, days: int) -> None:
    """Each day somebody changes something somewhere; what is told arrives late, twice, and in any order."""
    for day in range(days):
        world.at = START + timedelta(days=day)
        for _ in range(dice.randint(0, 2)):
            change(world, dice, day)
        world.listen()
        dice.shuffle(world.heard)
        count = dice.randint(0, len(world.heard))
        now, world.heard = world.heard[:count], world.heard[count:]
        if now:
            world.process(now + ([dice.choice(now)] if dice.random() < 0.2 else []))
        await world.deliver()
    await settle(world)


async def settle(world: World) -> None:
    for _ in range(20):
        world.at += timedelta(days=1)
        world.listen()
        if not world.heard:
            return
        now, world.heard = world.heard, []
        world.process(now)
        await world.deliver()
    raise AssertionError("the two systems never came to rest: a loop")


def change(world: World, dice: random.Random, day: int) -> None:
    system = world.systems[dice.choice(sorted(OBJECTS))]
    world.changes += 1
    kind = dice.random()
    if kind < 0.25 or not system.own:
        system.change_own(f"{system.name}_{day}_{world.changes}", Name=f"New {day}", Email=f"n{day}@example.com")
    elif kind < 0.7:
        system.change_own(dice.choice(sorted(system.own)), Name=f"Name {day} {world.changes}")
    elif system.records:
        # Somebody types into a copy: the owner's value is written back, once.
        system.edit_copy(dice.choice(sorted(system.records)), Name=f"Typed {day} {world.changes}")


def opened(folder: Path, name: str) -> Database:
    database = Database(f"sqlite:///{folder / name}.db")
    migrate(database)
    return database


async def test_our_write_told_back_is_an_echo_and_plans_nothing(store_url: str) -> None:
    database = Database(store_url)
    migrate(database)
    world = World(database)
    world.systems["billing"].change_own("cus_1", Name="Example", Email="a@example.com")
    await settle(world)
    assert world.writes() == 1
    assert world.outcomes() == {"advanced": 1, "echo": 1}
    with database.read() as connection:
        reasons = [row.reason for row in connection.execute(schema.observation.select()) if row.outcome == "echo"]
        intents = connection.execute(schema.write_intent.select()).all()
    assert reasons == ["It repeats what was written to crm:Account/cus_1, revision 1: Email, Name."]
    assert len(intents) == 1
    # Somebody changes the copy: one write back, one conflict, and that write's echo plans nothing.
    world.systems["crm"].edit_copy("cus_1", Name="Typed")
    await settle(world)
    assert world.writes() == 2
    assert world.outcomes() == {"advanced": 1, "echo": 2, "foreign": 1}
    with database.read() as connection:
        assert len(connection.execute(schema.conflict.select()).all()) == 1
    assert world.disagreements() == []
    database.close()


@pytest.mark.parametrize(("seed", "days"), [(2, 120), pytest.param(1, 1_000, marks=pytest.mark.nightly)])
async def test_however_many_days_no_change_is_written_more_often_than_it_has_destinations(
    tmp_path: Path, seed: int, days: int
) -> None:
    database = opened(tmp_path, f"seed-{seed}")
    world = World(database)
    await live(world, random.Random(seed), days=days)
    assert world.disagreements() == []
    # Each change has one destination. That late and mixed news may coalesce only makes it fewer.
    assert 0 < world.writes() <= world.changes
    assert world.outcomes()["echo"] > days // 10
    database.close()
