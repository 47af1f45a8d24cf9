"""A past with everything in it, an owner who answers questions about it, and the rooms 3 to 6 on a real store."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Protocol

import msgspec
from sqlalchemy import Table, select

from accordant.bootstrap import Hub, checked_charter
from accordant.canonical.charter import Charter, FlowPart
from accordant.canonical.entities import encode_entity
from accordant.canonical.refs import ExternalRef
from accordant.canonical.standing import Standing, encode_standing
from accordant.connectors.stripe.reader import COLLECTIONS
from accordant.connectors.stripe.simulator_account import SimulatedAccount
from accordant.connectors.stripe.simulator_history import Company
from accordant.connectors.stripe.simulator_reading import Reading as StandInReading
from accordant.connectors.stripe.simulator_state import SaidEvent, SimulatedRefusal
from accordant.connectors.stripe.simulator_versions import PINNED
from accordant.demo.company import environment, write_charter
from accordant.governance.phases import Tier
from accordant.kernel.hashing import digest
from accordant.pipeline.plan import write_rulebook
from accordant.pipeline.process import process
from accordant.ports.inbox import Arrival, InboxEvent, Reading
from accordant.settings import Settings
from accordant.store import schema

ROUNDS_MAX = 5_000
DAY = timedelta(days=1)
MICRO = timedelta(microseconds=1)


class HandClock:
    """Stands still until it is moved."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at

    def move(self, **span: float) -> None:
        self.at += timedelta(**span)


# -- a past and its owner ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Past:
    """What was said, oldest first, and the account that can still be asked."""

    account: SimulatedAccount
    said: tuple[SaidEvent, ...]
    bodies: tuple[bytes, ...]

    @property
    def ended_at(self) -> datetime:
        """A moment after everything that was said."""
        return datetime.fromtimestamp(self.account.book.now, UTC) + DAY

    @cached_property
    def _reading(self) -> StandInReading:
        return StandInReading(self.account)

    def answer(self, ref: ExternalRef) -> bytes:
        """The object as its owner returns it now, in the version of the notices; empty when it no longer has it."""
        expand = ("discounts.source.coupon",) if ref.object_type == "subscription" else ()
        try:
            found = self._reading.one(f"/v1/{COLLECTIONS[ref.object_type]}/{ref.id}", PINNED, expand)
        except SimulatedRefusal:
            return b""
        return b"" if found is None or found.get("deleted") else msgspec.json.encode(found)


@cache
def a_past(*, accounts: int, months: int, seed: int) -> Past:
    """Sign-ups, renewals, plan changes, failures, refunds and departures; at the end disputes and a goodbye."""
    account = SimulatedAccount(seed=seed)
    said: list[SaidEvent] = []
    account.book.listeners.append(said.append)
    for _ in Company(account, accounts=accounts, months=months, seed=seed, forgets=False).unfold():
        pass
    _finish(account)
    events = tuple(said)
    return Past(account, events, tuple(event.body() for event in events))


def _finish(account: SimulatedAccount) -> None:
    """What a random past of a few accounts hardly ever has: disputes, a new name, a customer who is deleted."""
    book = account.book
    charges = [one for one in book.table("charge").values() if one["status"] == "succeeded" and not one["refunded"]]
    disputes = []
    for charge in charges[-3:]:
        disputes.append(account.payments.open_dispute(charge))
        # That a charge is disputed shows on it, and Stripe does not say so by a notice of the charge. Said here, so
        # that what was announced and what a reading tells are the same.
        book.say("charge.updated", charge)
        book.advance_to(book.now + 1)
    account.payments.close_dispute(disputes[0], won=True)
    account.payments.close_dispute(disputes[1], won=False)
    for product in book.table("product").values():
        book.change(product, "product.updated", name=f"{product['name']} 2")
    account.delete_customer(next(iter(book.table("customer").values())))
    book.advance_to(book.now + 60)


class Owner(Protocol):
    """Whoever can be asked for the state of an object."""

    def answer(self, ref: ExternalRef) -> bytes:
        """The object as it is now; empty when there is none any more."""
        ...


# -- the rooms ---------------------------------------------------------------------------------------------------------


@dataclass
class Rooms:
    """A hub whose rooms 3 to 6 are walked batch by batch."""

    hub: Hub
    clock: HandClock
    past: Owner | None = None
    batches: int = 0
    _asked: int = field(default=0)

    def arrival(self, body: bytes) -> Arrival:
        return Arrival(
            connection="stripe",
            envelope=self.hub.inbounds["stripe"].read_envelope(body),
            headers=b"{}",
            body=body,
            digest=digest(body),
            received_at=self.clock(),
        )

    def accept(self, bodies: Sequence[bytes]) -> None:
        for start in range(0, len(bodies), 500):
            self.hub.inbox.accept([self.arrival(body) for body in bodies[start : start + 500]])

    def take(self, limit: int) -> tuple[InboxEvent, ...]:
        """Claim one batch, process it, commit it."""
        events = self.hub.inbox.claim(limit=limit, now=self.clock())
        if events:
            self.commit(events)
        return events

    def commit(self, events: Sequence[InboxEvent]) -> None:
        changes = process(
            events,
            connectors=self.hub.inbounds,
            rulebook=self.hub.rulebook,
            state=self.hub.state,
            now=self.clock(),
        )
        self.hub.state.commit(changes, now=self.clock())
        self.batches += 1

    def ask_owner(self) -> int:
        """Answer every event that waits for a reading as the owner would answer now; how many there were."""
        waiting = self.hub.inbox.awaiting_reread(now=self.clock() + DAY, limit=10_000)
        answers: dict[str, bytes] = {}
        for seq, name in waiting:
            if name not in answers and self.past is not None:
                answers[name] = self.past.answer(ExternalRef.parse(name))
            self._asked += 1
            reading = Reading(ref=name, read_at=self.clock() + self._asked * MICRO, body=answers[name])
            self.hub.inbox.keep_reading(seq, reading, now=self.clock())
        return len(waiting)

    def finish(self, dice: random.Random, *, batch_max: int = 60) -> None:
        """Process everything in batches of random size, answering questions now and then, until nothing waits."""
        for _ in range(ROUNDS_MAX):
            if not self.take(dice.randint(1, batch_max)) and self.ask_owner() == 0:
                return
            if dice.random() < 0.1:
                self.ask_owner()
        raise AssertionError("the rooms did not come to rest")

    def rows(self, table: Table, *columns: str) -> list[tuple[Any, ...]]:
        """Some columns of every row, sorted."""
        with self.hub.database.read() as connection:
            found = connection.execute(select(*(table.c[name] for name in columns)))
            return sorted((tuple(row) for row in found), key=repr)

    def count(self, table: Table) -> int:
        return len(self.rows(table, next(iter(table.primary_key.columns)).name))


def in_order(past: Past) -> list[bytes]:
    """Every delivery once, oldest first, the catalogue leading: a plan's name is looked up when needed, not awaited."""
    pairs = list(zip(past.said, past.bodies, strict=True))
    pairs.sort(key=lambda pair: not pair[0].type.startswith("product."))
    return [body for _, body in pairs]


def shuffled(past: Past, dice: random.Random, *, repeats: float = 0.2) -> list[bytes]:
    """Every delivery in a random order, some of them twice, the catalogue leading."""
    products = sum(event.type.startswith("product.") for event in past.said)
    ordered = in_order(past)
    first, rest = ordered[:products], ordered[products:]
    rest += dice.sample(rest, int(len(rest) * repeats))
    dice.shuffle(first)
    dice.shuffle(rest)
    return first + rest


def outcome_of(rooms: Rooms) -> dict[str, dict[str, Any]]:
    """What must not depend on the order of arrival: entities, standings, desired records, business events."""
    state = rooms.hub.state
    ids = [row[0] for row in rooms.rows(schema.entity, "id")]
    entities = {name: (stored.root_id, encode_entity(stored.entity)) for name, stored in state.entities(ids).items()}
    accounts = [row[0] for row in rooms.rows(schema.standing, "account_id")]
    # An account of which nothing counts has an empty standing or none: the same thing.
    standings = {
        name: encode_standing(kept.standing)
        for name, kept in state.standings(accounts).items()
        if kept.standing != Standing()
    }
    refs = [row[0] for row in rooms.rows(schema.desired_record, "ref")]
    desired = {
        name: (wanted.flow, wanted.lane, wanted.key, wanted.input_digest, wanted.fields, wanted.notes)
        for name, wanted in state.desired(refs).items()
    }
    links = dict(rooms.rows(schema.crosswalk, "ref", "entity_id"))
    events = {row[0]: row[1:] for row in rooms.rows(schema.business_event, "id", "type", "root_id", "occurred_at")}
    return {"entities": entities, "standings": standings, "desired": desired, "links": links, "events": events}


def differences(one: dict[str, dict[str, Any]], other: dict[str, dict[str, Any]]) -> list[str]:
    """What differs between two outcomes: part, name and the values that are not the same."""
    found = []
    for part, values in one.items():
        for name in sorted(values.keys() | other[part].keys()):
            here, there = _flat(values.get(name)), _flat(other[part].get(name))
            keys = sorted(key for key in here.keys() | there.keys() if here.get(key) != there.get(key))
            found += [f"{part} {name} {key}: {here.get(key)!r} != {there.get(key)!r}" for key in keys]
    return found


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    if isinstance(value, bytes) and value.startswith(b"{"):
        value = msgspec.json.decode(value)
    if isinstance(value, tuple | list):
        value = {str(index): item for index, item in enumerate(value)}
    if not isinstance(value, dict):
        return {path: value}
    return {key: leaf for name, item in value.items() for key, leaf in _flat(item, f"{path}.{name}").items()}


# -- charters and stores -----------------------------------------------------------------------------------------------


@cache
def the_charter(folder: Path, phase: str) -> Charter:
    return checked_charter(_settings(folder, phase, store=f"sqlite:///{folder / 'unused.db'}"))


def _settings(folder: Path, phase: str, *, store: str) -> Settings:
    place = folder / f"charter-{phase}"
    if not place.exists():
        write_charter(place, stripe_url="http://127.0.0.1:9", salesforce_url="http://127.0.0.1:9", phase=phase)
    return Settings(home=folder / "home", charter=place, store=store)


@contextmanager
def rooms(
    store: str, folder: Path, *, at: datetime, phase: str = "controlled", past: Owner | None = None
) -> Iterator[Rooms]:
    """The rooms on ``store``; nothing listens at the addresses of its charter."""
    clock = HandClock(at)
    settings = _settings(folder, phase, store=store)
    hub = Hub(settings, the_charter(folder, phase), environment=environment(), clock=clock)
    try:
        yield Rooms(hub, clock, past)
    finally:
        hub.database.close()


def new_store(folder: Path, name: str) -> str:
    """A migrated SQLite file of its own, copied from the first: migrating each would take most of the time."""
    template, copy = folder / "template.db", folder / f"{name}.db"
    if not template.exists():
        with rooms(f"sqlite:///{template}", folder, at=datetime(2024, 1, 1, tzinfo=UTC)):
            pass
    shutil.copy(template, copy)
    return f"sqlite:///{copy}"


def recharter(hub: Hub, *, flows: Sequence[FlowPart]) -> None:
    """Put the same charter in force with other flows; connections stay as they are."""
    hub.charter = msgspec.structs.replace(hub.charter, flows=tuple(flows))
    hub.rulebook = write_rulebook(hub.charter, dict.fromkeys(hub.charter.systems, Tier.GOLD))
