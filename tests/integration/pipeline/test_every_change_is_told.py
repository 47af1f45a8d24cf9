"""No change without its line, no line without its change, over random pasts and killed anywhere (AU1, AU3)."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Connection, event, select

from accordant.canonical.charter import Phase
from accordant.canonical.intents import RefusalClass, Refused
from accordant.canonical.refs import ExternalRef
from accordant.kernel.errors import TransientError
from accordant.pipeline.process import process, set_aside
from accordant.ports.outbox import Verdict
from accordant.ports.state import Link
from accordant.store import schema
from accordant.store.audit import verify_chain
from accordant.store.engine import Database
from accordant.store.guard import UnauditedChange
from accordant.store.state import SqlState
from accordant.views.trace import trace
from accordant.views.why import Hop, why
from tests.integration.pipeline.kit import Past, Rooms, a_past, in_order, recharter, rooms, shuffled
from tests.integration.pipeline.walk import CrmTarget, Walk, check_all, states
from tests.integration.store.rows import a_success

PAST: Past = a_past(accounts=4, months=4, seed=11)
_PHASES = (Phase.READ_ONLY, Phase.CONTROLLED, Phase.AUTOMATED)


@pytest.fixture
def walk(store_url: str, tmp_path: Path) -> Iterator[Walk]:
    with rooms(store_url, tmp_path, at=PAST.ended_at, past=PAST) as made:
        yield Walk(made, CrmTarget())


async def _stumble(walk: Walk, dice: random.Random) -> None:
    """A round of the courier, with whatever may come between."""
    one, target = walk.rooms, walk.target
    keys = [row[0] for row in one.rows(schema.write_intent, "record")] or ["crm:Account/x"]
    key = dice.choice(keys).rpartition("/")[2]
    match dice.randrange(7):
        case 0:
            target.refusals[key] = [Refused(cause=RefusalClass.TRANSIENT, code="X", message="Busy.")]
        case 1:
            target.refusals[key] = [Refused(cause=RefusalClass.DATA_QUALITY, code="X", message="No.")]
        case 2:
            target.late_errors.append(TransientError("The answer was lost."))
        case 3:
            target.read_errors.append(TransientError("Not now."))
        case 4:
            recharter(one.hub, flows=[msgspec.structs.replace(flow, phase=dice.choice(_PHASES))
                                      for flow in one.hub.charter.flows])  # fmt: skip
            one.hub.enforce_charter()
        case 5:
            one.hub.pause("accounts", "ada", "Quarter end.")
            one.hub.replan_accounts()
        case _:
            pass
    await walk.deliver()
    if one.count(schema.switch):
        one.hub.resume("accounts", "ada")
    one.clock.move(minutes=dice.choice((0, 1, 30)))


@pytest.mark.parametrize("seed", range(3))
async def test_after_a_random_past_every_change_has_its_line(walk: Walk, seed: int) -> None:
    one, dice = walk.rooms, random.Random(seed)
    one.accept(shuffled(PAST, dice))
    one.hub.enforce_charter()
    for _ in range(60):
        taken = one.take(dice.randint(1, 20))
        if dice.random() < 0.5:
            await _stumble(walk, dice)
        if dice.random() < 0.2:
            check_all(one)
        if not taken and one.ask_owner() == 0:
            break
    assert check_all(one) > 60
    assert states(one) & {"applied", "already_applied", "shadowed"}
    assert "superseded" in states(one)
    with one.hub.database.read() as connection:
        assert verify_chain(connection).faults == ()


# -- killed anywhere ---------------------------------------------------------------------------------------------------


class _Killed(Exception):
    pass


@contextmanager
def _killed_at(database: Database, place: int) -> Iterator[list[int]]:
    """The process dies before statement number ``place`` of a transaction; the commit itself counts as one."""
    seen = [0]

    def step(*_: object) -> None:
        seen[0] += 1
        if seen[0] == place:
            raise _Killed

    def statement(connection: Connection, cursor: Any, text: str, *_: object) -> None:
        if not text.startswith("BEGIN"):
            step()

    event.listen(database.engine, "before_cursor_execute", statement)
    event.listen(database.engine, "commit", step)
    try:
        yield seen
    finally:
        event.remove(database.engine, "before_cursor_execute", statement)
        event.remove(database.engine, "commit", step)


def _everything(one: Rooms) -> list[list[tuple[Any, ...]]]:
    return [one.rows(table, *table.c.keys()) for table in schema.metadata.sorted_tables]


def _until_it_lives(one: Rooms, step: Any) -> int:
    """Die before every statement in turn, each time with nothing changed; how many deaths that were."""
    before = _everything(one)
    for place in range(1, 200):
        with suppress(_Killed), _killed_at(one.hub.database, place):
            step()
            break
        assert _everything(one) == before, place
    assert _everything(one) != before
    return place - 1


def test_killed_before_any_statement_of_a_commit_nothing_is_half_there(walk: Walk) -> None:
    one = walk.rooms
    one.accept(in_order(PAST))
    one.take(30)
    one.hub.pause("accounts", "ada", "So that something is held, and replaced.")
    one.take(30)
    events = one.hub.inbox.claim(limit=60, now=one.clock())
    changes = process(
        events, connectors=one.hub.inbounds, rulebook=one.hub.rulebook, state=one.hub.state, now=one.clock()
    )
    assert changes.entities
    assert changes.intents
    assert _until_it_lives(one, lambda: one.hub.state.commit(changes, now=one.clock())) > 10
    assert check_all(one) > 30


def test_killed_before_any_statement_of_a_claim_or_a_settlement_nothing_is_half_there(walk: Walk) -> None:
    one = walk.rooms
    one.accept(in_order(PAST))
    one.finish(random.Random(0))
    leased: list[Any] = []

    def claim() -> None:
        leased[:] = one.hub.outbox.claim(
            target="salesforce",
            limit=500,
            now=one.clock(),
            lease_until=one.clock() + 2 * (PAST.ended_at - PAST.ended_at.replace(microsecond=0)),
            paused_flows=frozenset(),
        )

    assert _until_it_lives(one, claim) > 5
    assert "superseded" in states(one)
    verdicts = [_success(one.clock(), lease) for lease in leased]
    assert _until_it_lives(one, lambda: one.hub.outbox.settle(verdicts, now=one.clock())) > 5
    assert "applied" in states(one)
    check_all(one)


def _success(now: Any, leased: Any) -> Verdict:
    intent = leased.intent
    done = a_success(leased, at=now)
    assert done.audit is not None
    line = msgspec.structs.replace(
        done.audit, subject=f"{intent.target}:{intent.object}/{intent.key}", body={"intent": intent.id}
    )
    link = Link(source=ExternalRef(intent.target, intent.object, f"001{intent.key}"), entity=intent.entity)
    return msgspec.structs.replace(done, audit=line, link=link, target_id=f"001{intent.key}")


def test_a_commit_whose_lines_were_forgotten_is_refused(walk: Walk) -> None:
    one = walk.rooms
    one.accept(in_order(PAST))
    events = one.hub.inbox.claim(limit=60, now=one.clock())
    changes = process(
        events, connectors=one.hub.inbounds, rulebook=one.hub.rulebook, state=one.hub.state, now=one.clock()
    )
    before = _everything(one)
    for forgotten in range(len(changes.audit)):
        rest = [*changes.audit[:forgotten], *changes.audit[forgotten + 1 :]]
        same = sum(entry.subject == changes.audit[forgotten].subject for entry in changes.audit)
        if same > 1 and changes.audit[forgotten].kind.startswith("registry."):
            continue  # several states of one object in one batch are one row
        with pytest.raises(UnauditedChange):
            one.hub.state.commit(msgspec.structs.replace(changes, audit=rest), now=one.clock())
    assert _everything(one) == before
    one.hub.state.commit(changes, now=one.clock())


def test_an_event_that_is_set_aside_is_told(walk: Walk) -> None:
    one = walk.rooms
    one.accept(in_order(PAST))
    (first, *_) = one.hub.inbox.claim(limit=1, now=one.clock())
    SqlState(one.hub.database).commit(set_aside(first, "a defect", now=one.clock()), now=one.clock())
    assert max(one.rows(schema.audit_entry, "position", "kind", "subject", "cause"))[1:] == (
        "interpreter.event.set_aside", f"event/{first.seq}", first.seq,
    )  # fmt: skip


# -- both ways ---------------------------------------------------------------------------------------------------------


@pytest.fixture(params=[40, pytest.param(250, marks=pytest.mark.nightly)])
def company(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Walk]:
    """A company of so many customers, its past not yet taken in."""
    many = a_past(accounts=request.param, months=2, seed=5)
    with rooms(f"sqlite:///{tmp_path / 'many.db'}", tmp_path, at=many.ended_at, past=many) as made:
        yield Walk(made, CrmTarget(batch_max=10_000))


async def test_random_records_lead_to_their_events_and_random_events_to_their_records(company: Walk) -> None:
    """AU3: as many random records and events as there are customers; every chain is whole, in both directions."""
    one, dice = company.rooms, random.Random(8)
    assert isinstance(one.past, Past)  # its owner is a whole past here, and can be told in order
    count = sum(event.type == "customer.created" for event in one.past.said)
    one.accept(in_order(one.past))
    while one.take(200):
        if dice.random() < 0.3:
            await company.deliver()
    one.finish(dice)
    await company.deliver_all()
    database = one.hub.database
    with database.read() as connection:
        intents = connection.execute(select(schema.write_intent.c.record, schema.write_intent.c.cause)).all()
        seqs = list(connection.execute(select(schema.inbox_event.c.seq)).scalars())
        accounts = connection.execute(select(schema.standing.c.account_id)).scalars().all()
    assert len(accounts) >= count
    caused = {(row.record, row.cause) for row in intents}
    for record in dice.sample(sorted({row.record for row in intents}), count):
        hops: dict[int | None, Hop] = {}
        for field in _fields_written(database, record):
            found = why(database, record, field)
            assert found is not None
            hops |= {hop.seq: hop for hop in found.hops}
        assert {(record, seq) for seq in hops} <= caused
        assert hops
        for seq, hop in hops.items():
            assert seq is not None
            told = trace(database, seq)
            assert told is not None
            (write,) = [one for one in told.writes if one.intent.id == hop.write.intent.id]
            assert write.record == record
            assert write.decision.reasons
            assert write.state == "superseded" or write.receipts
            assert told.observations
    for seq in dice.sample(seqs, count):
        told = trace(database, seq)
        assert told is not None
        assert {(write.record, seq) for write in told.writes} == {pair for pair in caused if pair[1] == seq}
        for write in told.writes:
            for change in write.intent.changes:
                found = why(database, write.record, change.field)
                assert found is not None
                assert seq in {hop.seq for hop in found.hops}


def _fields_written(database: Database, record: str) -> set[str]:
    """The fields that any write of a record changed."""
    query = select(schema.write_intent.c.body).where(schema.write_intent.c.record == record)
    with database.read() as connection:
        bodies = connection.execute(query).scalars().all()
    return {change["field"] for body in bodies for change in msgspec.json.decode(body)["changes"]}
