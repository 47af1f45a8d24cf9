"""The rooms with a courier to a target of the tests' own, and the proofs that every change has its line (AU1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import select

from accordant.canonical.charter import CourierPart
from accordant.canonical.intents import WriteIntent
from accordant.canonical.targets import ObjectSpec
from accordant.pipeline.courier import Breaker, courier
from accordant.pipeline.dispatch import resting_flows
from accordant.pipeline.requests import Requests
from accordant.store import schema
from tests.integration.pipeline.kit import Rooms
from tests.unit.pipeline.ledger import LedgerTarget, pause

_ENTRY = msgspec.json.Decoder(dict[str, Any])


class CrmTarget(LedgerTarget):
    """The tests' own target, spelling the values as they come."""

    def canonical(self, spec: ObjectSpec, fields: Any) -> Any:
        return dict(fields)


@dataclass
class Walk:
    """The rooms, and a courier to a target of the tests' own."""

    rooms: Rooms
    target: CrmTarget

    async def deliver(self) -> int:
        hub = self.rooms.hub
        return await courier(
            target="salesforce",
            outbox=hub.outbox,
            outbound=self.target,
            mappings={route.flow.name: route.mapping for routes in hub.rulebook.routes.values() for route in routes},
            umpires={route.flow.name: route.umpire for routes in hub.rulebook.routes.values() for route in routes},
            conflicts=hub.conflicts,
            recognizer=hub._recognizer("salesforce"),
            settings=CourierPart(),
            resting_flows=lambda: resting_flows(hub.rulebook, hub.switches()),
            open_gate=hub._open_gate,
            breaker=Breaker(pause),
            pause=pause,
            clock=self.rooms.clock,
            lease_clock=self.rooms.clock,
            requests=Requests(hub.outbox, self.rooms.clock),
        )

    async def deliver_all(self) -> int:
        total = 0
        for _ in range(50):
            taken = await self.deliver()
            if taken == 0:
                return total
            total += taken
        raise AssertionError("the courier did not come to rest")


def intents(one: Rooms) -> list[tuple[WriteIntent, Any]]:
    columns = schema.write_intent.c
    query = select(columns.body, columns.state, columns.shadow, columns.decision, columns.charter, columns.cause)
    with one.hub.database.read() as connection:
        rows = connection.execute(query.order_by(columns.planned_at, columns.record, columns.revision)).all()
    return [(msgspec.json.decode(row.body, type=WriteIntent), row) for row in rows]


def states(one: Rooms) -> set[str]:
    return {row.state for _, row in intents(one)}


def trail(one: Rooms, prefix: str) -> list[tuple[str, str, int | None, dict[str, Any]]]:
    rows = sorted(one.rows(schema.audit_entry, "position", "kind", "subject", "cause", "body"))
    return [
        (kind, subject, cause, _ENTRY.decode(body)) for _, kind, subject, cause, body in rows if kind.startswith(prefix)
    ]


def check_versions(one: Rooms) -> int:
    """Each entity's lines form one chain from nothing to what is stored, one line for each accepted state."""
    chains: dict[str, list[dict[str, Any]]] = {}
    for kind, subject, cause, body in trail(one, "registry."):
        assert cause is not None
        if kind == "registry.link.made":
            continue
        chains.setdefault(subject, []).append(body)
    stored = {f"{kind}/{name}": (version, bytes(digest)) for name, kind, version, digest in
              one.rows(schema.entity, "id", "kind", "version", "digest")}  # fmt: skip
    assert chains.keys() == stored.keys()
    for subject, lines in chains.items():
        before = [line["before"] for line in lines]
        after = [line["after"] for line in lines]
        assert before == [None, *after[:-1]], subject
        version, digest = stored[subject]
        assert after[-1] == digest.hex()
        assert lines[-1]["version"] == version
    advanced: int = sum(row[0] == "advanced" for row in one.rows(schema.observation, "outcome"))
    assert advanced == sum(map(len, chains.values()))
    return advanced


def check_intents(one: Rooms) -> int:
    """Each planned intent has one line naming it, its charter and its revision."""
    told = {body["intent"]: (kind, cause, body) for kind, _, cause, body in trail(one, "desk.intent.")}
    planned = intents(one)
    assert told.keys() == {intent.id for intent, _ in planned}
    for intent, row in planned:
        kind, cause, body = told[intent.id]
        assert kind == ("desk.intent.shadowed" if row.shadow else "desk.intent.planned")
        assert (body["charter"], body["revision"]) == (row.charter, intent.revision)
        assert cause == row.cause == intent.cause
    return len(planned)


#: The line that ends each state of a write, by the beginning of its kind.
_ENDS = {
    "applied": ("archive.write.applied",),
    "already_applied": ("archive.write.already_applied",),
    "shadowed": ("archive.write.compared",),
    "superseded": ("archive.write.superseded",),
    "cancelled": ("archive.write.cancelled", "archive.write.yielded"),
    "held": ("archive.write.held", "desk.intent.held"),
    "dead": ("archive.write.refused",),
    "uncertain": ("archive.write.doubted",),
}
_TRIES = ("applied", "already_applied", "compared", "yielded", "doubted", "postponed", "refused")


def check_records(one: Rooms) -> int:
    """Each desired record's lines form one chain from nothing to what is stored, no revision left out."""
    chains: dict[str, list[dict[str, Any]]] = {}
    for kind, subject, _, body in trail(one, "desk."):
        assert body["revision"] == (chains[subject][-1]["revision"] if subject in chains else 0) + (
            kind != "desk.record.noted"
        )
        chains.setdefault(subject, []).append(body)
    stored = {ref: rest for ref, *rest in one.rows(schema.desired_record, "ref", "revision", "input_digest", "flow")}
    assert chains.keys() == stored.keys()
    for ref, lines in chains.items():
        assert [line["before"] for line in lines] == [None, *(line["input"] for line in lines[:-1])], ref
        assert [lines[-1]["revision"], lines[-1]["input"], lines[-1]["flow"]] == stored[ref]
    return sum(map(len, chains.values()))


def check_ends(one: Rooms) -> int:
    """Each write that ended has exactly one line of its end, each try one line, each name of something one line."""
    told: dict[str, list[str]] = {}
    tries = 0
    for kind, _, _, body in [*trail(one, "archive.write."), *trail(one, "desk.intent.held")]:
        for name in body["intents"] if "intents" in body else [body["intent"]]:
            told.setdefault(name, []).append(kind)
        tries += kind.rpartition(".")[2] in _TRIES
    assert tries == one.count(schema.write_receipt)
    ended = 0
    for name, state in one.rows(schema.write_intent, "id", "state"):
        if state in _ENDS:
            assert told[name][-1].startswith(_ENDS[state]), (name, state, told[name])
            assert state == "uncertain" or sum(kind == told[name][-1] for kind in told[name]) == 1
            ended += 1
    named = {body["source"] for _, _, _, body in trail(one, "registry.") if "source" in body}
    assert {ref for ref, system in one.rows(schema.crosswalk, "ref", "system") if system == "stripe"} == named
    confirmed = {subject for _, subject, _, _ in trail(one, "archive.write.")}
    assert {row[0] for row in one.rows(schema.confirmed_record, "ref")} <= confirmed
    return ended


def check_all(one: Rooms) -> int:
    """AU1: as many lines as there are changes of state, and each is of its change; how many there are."""
    return check_versions(one) + check_intents(one) + check_records(one) + check_ends(one)
