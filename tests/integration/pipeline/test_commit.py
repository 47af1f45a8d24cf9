"""What one commit holds (AU1), and what the charter lets the desk plan and the courier begin."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import text

from accordant.canonical.charter import FlowPart, Phase
from accordant.governance.decide import decode_decision
from accordant.pipeline.process import process
from accordant.ports.state import Changes, ConcurrentChange
from accordant.store import schema
from accordant.store.audit import verify_chain
from tests.integration.pipeline.kit import Past, Rooms, a_past, in_order, recharter, rooms, shuffled
from tests.integration.pipeline.walk import CrmTarget, Walk, check_intents, check_versions, intents, states, trail

PAST: Past = a_past(accounts=3, months=4, seed=6)
MRR, STATUS = "Billing_MRR__c", "Billing_Status__c"


@pytest.fixture
def walk(store_url: str, tmp_path: Path) -> Iterator[Walk]:
    with rooms(store_url, tmp_path, at=PAST.ended_at, past=PAST) as made:
        yield Walk(made, CrmTarget())


def flows(one: Rooms, **changes: Any) -> list[FlowPart]:
    return [msgspec.structs.replace(flow, **changes) for flow in one.hub.charter.flows]


# -- versions and their lines ------------------------------------------------------------------------------------------


def test_after_every_commit_there_are_as_many_lines_as_states(walk: Walk) -> None:
    one, dice = walk.rooms, random.Random(3)
    one.accept(shuffled(PAST, dice))
    lines = 0
    for _ in range(12):
        if not one.take(dice.randint(1, 40)):
            break
        now = check_versions(one) + check_intents(one)
        assert now >= lines
        lines = now
    one.finish(dice)
    assert check_versions(one) > 40
    assert check_intents(one) >= 6
    with one.hub.database.read() as connection:
        assert verify_chain(connection).faults == ()


@pytest.mark.parametrize("broken", ["audit_batch", "audit_entry", "write_intent", "observation", "desired_record"])
def test_a_commit_that_fails_leaves_neither_state_nor_line(walk: Walk, broken: str) -> None:
    """The last of the tables cannot be written: nothing of the batch may stay in the others."""
    one = walk.rooms
    one.accept(in_order(PAST))
    one.take(30)
    parts = (schema.entity, schema.standing, schema.observation, schema.business_event, schema.desired_record,
             schema.write_intent, schema.crosswalk, schema.audit_entry, schema.audit_batch)  # fmt: skip
    before = [one.rows(table, *table.c.keys()) for table in parts]
    events = one.hub.inbox.claim(limit=60, now=one.clock())
    changes = process(
        events, connectors=one.hub.inbounds, rulebook=one.hub.rulebook, state=one.hub.state, now=one.clock()
    )
    assert changes.entities
    assert changes.intents
    assert changes.audit
    _rename(one, broken, f"{broken}_away")
    with pytest.raises(Exception, match=broken):
        one.hub.state.commit(changes, now=one.clock())
    _rename(one, f"{broken}_away", broken)
    assert [one.rows(table, *table.c.keys()) for table in parts] == before
    one.hub.state.commit(changes, now=one.clock())
    assert check_versions(one) > 0


def _rename(one: Rooms, old: str, new: str) -> None:
    with one.hub.database.write() as connection:
        connection.execute(text(f'ALTER TABLE "{old}" RENAME TO "{new}"'))


# -- intents -----------------------------------------------------------------------------------------------------------


def test_every_intent_has_its_decision_charter_and_cause(walk: Walk) -> None:
    one = walk.rooms
    one.accept(in_order(PAST))
    one.finish(random.Random(0))
    seqs = {row[0] for row in one.rows(schema.inbox_event, "seq")}
    planned = intents(one)
    assert len(planned) > 6
    for intent, row in planned:
        decision = decode_decision(row.decision)
        assert set(intent.fields) <= decision.write
        assert {reason.rule for reason in decision.reasons} >= {"phase"}
        assert row.charter == one.hub.charter.version
        assert intent.cause in seqs
        assert intent.idempotency_key == f"accordant-{intent.id}"


def test_a_revision_rises_by_one_and_only_when_something_changed(walk: Walk) -> None:
    one = walk.rooms
    one.accept(in_order(PAST))
    seen: dict[str, tuple[int, str]] = {}
    for _ in range(400):
        if not one.take(1) and one.ask_owner() == 0:
            break
        for ref, revision, digest in one.rows(schema.desired_record, "ref", "revision", "input_digest"):
            old = seen.get(ref)
            if old is not None:
                assert revision == old[0] + (digest != old[1])
            else:
                assert revision == 1
            seen[ref] = (revision, digest)
    assert max(revision for revision, _ in seen.values()) > 3
    by_record: dict[str, list[int]] = {}
    for intent, _ in intents(one):
        by_record.setdefault(f"{intent.object}/{intent.key}", []).append(intent.revision)
    assert all(sorted(revisions) == list(range(1, len(revisions) + 1)) for revisions in by_record.values())


# -- phases ------------------------------------------------------------------------------------------------------------


async def test_a_read_only_flow_plans_shadows_and_sends_nothing(walk: Walk) -> None:
    one = walk.rooms
    recharter(one.hub, flows=flows(one, phase=Phase.READ_ONLY))
    one.accept(in_order(PAST))
    one.finish(random.Random(0))
    assert all(row.shadow for _, row in intents(one))
    await walk.deliver_all()
    assert states(one) <= {"shadowed", "superseded"}
    assert walk.target.ledger == []


async def test_a_controlled_flow_writes_only_the_listed_fields(walk: Walk) -> None:
    one = walk.rooms
    recharter(one.hub, flows=[flow for flow in flows(one, write_fields=(MRR, STATUS)) if flow.name == "accounts"])
    one.accept(in_order(PAST))
    one.finish(random.Random(0))
    await walk.deliver_all()
    assert walk.target.ledger
    assert {name for _, fields in walk.target.ledger for name in fields} == {MRR, STATUS}
    assert all(set(intent.fields) <= {MRR, STATUS} for intent, _ in intents(one))


async def test_a_paused_flow_is_planned_and_not_leased_until_it_is_resumed(walk: Walk) -> None:
    one = walk.rooms
    one.hub.pause("accounts", "ada", "Quarter end.")
    one.accept(in_order(PAST))
    one.finish(random.Random(0))
    planned = [intent for intent, row in intents(one) if intent.flow == "accounts"]
    assert planned
    await walk.deliver_all()
    waiting = {(intent.flow, row.state) for intent, row in intents(one) if row.state == "pending"}
    assert waiting <= {("accounts", "pending"), ("subscriptions", "pending")}
    assert ("accounts", "pending") in waiting
    assert not any(key.startswith("cus_") for key, _ in walk.target.ledger)
    one.hub.resume("accounts", "ada")
    await walk.deliver_all()
    assert states(one) <= {"applied", "superseded"}
    assert any(key.startswith("cus_") for key, _ in walk.target.ledger)


@pytest.mark.parametrize("switch", ["accounts", "system:salesforce", "system:stripe", "writes"])
async def test_a_switch_thrown_between_lease_and_write_is_obeyed(walk: Walk, switch: str) -> None:
    one = walk.rooms
    one.accept(in_order(PAST))
    one.finish(random.Random(0))
    flipped: list[bool] = []

    def flip() -> None:
        if not flipped:
            flipped.append(True)
            one.hub.pause(switch, "ada", "Stop.")

    walk.target.on_read = flip
    await walk.deliver()
    assert flipped
    assert not [key for key, _ in walk.target.ledger if key.startswith("cus_")]
    assert "cancelled" not in states(one)
    one.hub.resume(switch, "ada")
    one.clock.move(minutes=5)
    await walk.deliver_all()
    assert states(one) <= {"applied", "superseded"}


@pytest.mark.parametrize(
    "narrower", [{"phase": Phase.READ_ONLY}, {"phase": Phase.DRAFT}, {"write_fields": (STATUS,)}], ids=str
)
async def test_a_charter_narrowed_between_lease_and_write_cancels_what_it_forbids(
    walk: Walk, narrower: dict[str, Any]
) -> None:
    one = walk.rooms
    one.accept(in_order(PAST))
    one.finish(random.Random(0))

    def flip() -> None:
        recharter(one.hub, flows=flows(one, **narrower))

    walk.target.on_read = flip
    leased = await walk.deliver()
    assert leased > 0
    assert walk.target.ledger == []
    cancelled = [row for _, row in intents(one) if row.state == "cancelled"]
    assert len(cancelled) == leased
    assert len(trail(one, "archive.write.cancelled")) == leased


async def test_a_flow_that_is_gone_cancels_what_was_planned_for_it(walk: Walk) -> None:
    one = walk.rooms
    one.accept(in_order(PAST))
    one.finish(random.Random(0))
    walk.target.on_read = lambda: recharter(one.hub, flows=[])
    assert await walk.deliver() > 0
    assert walk.target.ledger == []
    assert "cancelled" in states(one)


def test_deciding_again_without_a_change_touches_nothing(walk: Walk) -> None:
    one = walk.rooms
    one.accept(in_order(PAST))
    one.finish(random.Random(0))
    parts = (schema.desired_record, schema.write_intent, schema.audit_entry)
    before = [one.rows(table, *table.c.keys()) for table in parts]
    assert one.hub.replan_accounts() == 3
    assert [one.rows(table, *table.c.keys()) for table in parts] == before


def test_who_dies_after_putting_a_charter_in_force_leaves_the_deciding_to_the_next(walk: Walk) -> None:
    one = walk.rooms
    one.hub.enforce_charter()
    one.accept(in_order(PAST))
    one.finish(random.Random(0))
    recharter(one.hub, flows=flows(one, paused=True))
    assert one.hub.shelf.remember(one.hub.charter, now=one.clock())  # and there the process ended
    assert not one.hub.enforce_charter(), "the next one finds it in force"
    one.hub.process_round()
    assert one.hub.shelf.decided_for() == one.hub.charter.version
    known = one.hub.state.desired([ref for (ref,) in one.rows(schema.desired_record, "ref")])
    assert known
    assert all(any("paused" in note for note in record.notes) for record in known.values())


def test_a_charter_that_comes_back_is_decided_for_again(walk: Walk) -> None:
    """It was decided for once. What came while another was in force was decided by that one, and nobody followed it."""
    one = walk.rooms
    one.hub.enforce_charter()
    first, shelf = one.hub.charter, one.hub.shelf
    one.hub.process_round()
    assert shelf.decided_for() == first.version
    recharter(one.hub, flows=flows(one, paused=True))
    other = one.hub.charter
    assert shelf.remember(other, now=one.clock())  # and there the process ended
    assert shelf.remember(first, now=one.clock())
    assert shelf.decided_for() is None
    shelf.mark_decided(other.version, now=one.clock())
    assert shelf.decided_for() is None, "who was late with the other one says nothing of this one"


def test_who_read_an_older_revision_lays_nothing_over_the_newer_one(walk: Walk) -> None:
    """A worker was held up between its reading and its commit: its other notes do not undo what came since."""
    one = walk.rooms
    one.accept(in_order(PAST))
    one.finish(random.Random(0))
    before = one.rows(schema.desired_record, "ref", "revision", "input_digest", "fields", "notes")
    known = one.hub.state.desired([ref for ref, *_ in before])
    newer = next(record for record in known.values() if record.revision > 1)
    for stale in (
        msgspec.structs.replace(newer, revision=newer.revision - 1, input_digest="older", notes=("Late.",)),
        msgspec.structs.replace(newer, input_digest="another", notes=("Late.",)),
    ):
        with pytest.raises(ConcurrentChange):
            one.hub.state.commit(Changes(desired=[stale]), now=one.clock())
    assert one.rows(schema.desired_record, "ref", "revision", "input_digest", "fields", "notes") == before


def test_a_switch_leaves_nothing_on_a_record_that_would_outlast_its_release(walk: Walk) -> None:
    one = walk.rooms
    one.accept(in_order(PAST))
    one.finish(random.Random(0))
    columns = ("ref", "revision", "input_digest", "fields", "notes")
    before, count = one.rows(schema.desired_record, *columns), len(intents(one))
    one.hub.pause("accounts", "ada", "Quarter end.")
    one.hub.replan_accounts()
    assert one.rows(schema.desired_record, *columns) == before
    assert len(intents(one)) == count


async def test_a_new_charter_decides_everything_again(walk: Walk) -> None:
    one = walk.rooms
    assert one.hub.enforce_charter() is True
    recharter(one.hub, flows=flows(one, phase=Phase.READ_ONLY))
    assert one.hub.enforce_charter() is True
    one.accept(in_order(PAST))
    one.finish(random.Random(0))
    await walk.deliver_all()
    assert walk.target.ledger == []
    count = len(intents(one))
    assert one.hub.enforce_charter() is False
    assert len(intents(one)) == count
    recharter(one.hub, flows=flows(one, phase=Phase.AUTOMATED))
    assert one.hub.enforce_charter() is True
    fresh = [row for _, row in intents(one)][count:]
    records = len(one.rows(schema.desired_record, "ref"))
    assert len(fresh) + count == len(intents(one))
    assert sum(row.charter == one.hub.charter.version for _, row in intents(one)) == records
    await walk.deliver_all()
    assert {key for key, _ in walk.target.ledger} == {row[0] for row in one.rows(schema.desired_record, "key")}
    assert check_intents(one) == len(intents(one))
    assert [row[1] for row in one.rows(schema.audit_entry, "position", "kind") if row[1].startswith("charter.")]
