"""The commit of rooms 3 to 6: everything a batch decided, or nothing of it."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from accordant.canonical.events import EventType, business_event
from accordant.canonical.intents import IntentState
from accordant.canonical.refs import EntityKind, EntityRef, ExternalRef
from accordant.canonical.standing import Standing
from accordant.kernel.ids import EntityId
from accordant.kernel.money import Money
from accordant.ports.inbox import WorkState
from accordant.ports.state import (
    Changes,
    ConcurrentChange,
    DesiredRecord,
    LanePark,
    Link,
    ObservationRecord,
    Settlement,
    StoredStanding,
)
from accordant.store.audit import verify_chain
from accordant.store.engine import Database
from accordant.store.inbox import SqlInbox
from accordant.store.schema import (
    alert,
    inbox_work,
    metadata,
    parked_lane,
    switch,
    write_intent,
)
from accordant.store.schema import (
    business_event as event_table,
)
from accordant.store.state import SqlState, record_ref
from accordant.store.vault import Vault
from tests.integration.store.rows import NOW, SECOND, an_account, an_arrival, an_entry, an_intent, race, told

_CUSTOMER = ExternalRef("stripe", "customer", "cus_1")
_LINK = Link(source=_CUSTOMER, entity=EntityRef(EntityKind.ACCOUNT, EntityId("acc_1")))
_WORKED_ON = frozenset({"inbox_event", "inbox_work", "data_key", "alembic_version"})


def _desired(revision: int = 1) -> DesiredRecord:
    return DesiredRecord(
        ref=record_ref("crm", "Account", "cus_1"),
        flow="accounts",
        target="crm",
        object="Account",
        key="cus_1",
        entity_id="acc_1",
        lane="lane/cus_1",
        revision=revision,
        input_digest="d",
        fields={"Name": "Example 1", "Seats": 3, "Active": True, "Region": None},
        notes=("Region is not owned.",),
        cause=1,
    )


def _changes() -> Changes:
    """Something of everything."""
    paid = business_event(
        EventType.PAYMENT_APPLIED,
        subject=ExternalRef("stripe", "charge", "ch_1"),
        root=_CUSTOMER,
        occurred_at=NOW,
        amount=Money(1200, "EUR"),
    )
    return Changes(
        links=[_LINK],
        entities=[an_account(1)],
        standings=[StoredStanding(account_id="acc_1", version=1, standing=Standing(collected=(Money(1200, "EUR"),)))],
        observations=[
            ObservationRecord(seq=1, entity_id="acc_1", outcome="applied", reason=None, version=1, observed_at=NOW)
        ],
        business_events=[(1, "acc_1", paid)],
        desired=[_desired()],
        intents=[an_intent()],
        settlements=[Settlement(seq=1, state=WorkState.PROCESSED, reason=None, due_at=NOW)],
        parks=[LanePark(lane="stripe:customer/cus_9", direction="inbound", cause="event/9", reason="A defect.")],
        audit=[an_entry()],
    )


@pytest.fixture
def state(database: Database) -> SqlState:
    SqlInbox(database, Vault(database, bytes(32))).accept([an_arrival("evt_1"), an_arrival("evt_2")])
    return SqlState(database)


def _rows(database: Database) -> dict[str, int]:
    """How many rows each table has, without those that were there before the commit."""
    with database.read() as connection:
        counts = {
            table.name: connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
            for table in metadata.sorted_tables
            if table.name not in _WORKED_ON
        }
    return {name: count for name, count in counts.items() if count}


def _works(database: Database) -> dict[int, tuple[str, str | None]]:
    with database.read() as connection:
        rows = connection.execute(sa.select(inbox_work.c.seq, inbox_work.c.state, inbox_work.c.reason))
        return {row.seq: (row.state, row.reason) for row in rows}


def test_what_was_committed_is_read_back(state: SqlState, database: Database) -> None:
    changes = _changes()
    state.commit(told(changes), now=NOW)
    assert state.links([_CUSTOMER, ExternalRef("stripe", "customer", "x")]) == {_CUSTOMER: _LINK.entity}
    assert state.entities(["acc_1", "x"]) == {"acc_1": changes.entities[0]}
    assert state.standings(["acc_1"]) == {"acc_1": changes.standings[0]}
    assert state.desired(["crm:Account/cus_1"]) == {"crm:Account/cus_1": changes.desired[0]}
    assert _works(database) == {1: ("processed", None), 2: ("received", None)}
    with database.read() as connection:
        row = connection.execute(sa.select(write_intent)).one()
        assert (row.state, row.attempts, row.record, bool(row.shadow)) == ("pending", 0, "crm:Account/cus_1", False)
        assert verify_chain(connection).entries == len(told(changes).audit)


def test_nothing_changes_nothing(state: SqlState, database: Database) -> None:
    state.commit(Changes(), now=NOW)
    assert _rows(database) == {}
    assert state.links([]) == {}
    assert state.entities([]) == {}


# Each breaks one part of a commit, from the first statement to the last.
_BROKEN: dict[str, dict[str, Any]] = {
    "links": {"links": [_LINK, Link(source=_CUSTOMER, entity=_LINK.entity)]},
    "entities": {"entities": [an_account(1, entity_id="acc_2"), an_account(1, entity_id="acc_0")]},
    "intents": {"intents": [an_intent(), an_intent()]},
    "settlements": {"settlements": [Settlement(seq=1, state=None, reason=None, due_at=NOW)]},  # type: ignore[arg-type]
    "parks": {"parks": [LanePark(lane="l", direction=None, cause="c", reason="r")]},  # type: ignore[arg-type]
    "audit": {"audit": [msgspec.structs.replace(an_entry(), actor=None)]},
}


@pytest.mark.parametrize("part", _BROKEN)
def test_a_part_that_fails_leaves_nothing(state: SqlState, database: Database, part: str) -> None:
    state.commit(told(Changes(entities=[an_account(1, entity_id="acc_0")])), now=NOW)
    before, works = _rows(database), _works(database)
    changes = _changes()
    for name, value in _BROKEN[part].items():
        setattr(changes, name, value)
    with pytest.raises(Exception):  # noqa: B017, PT011  whatever the database says of it
        state.commit(told(changes), now=NOW)
    assert _rows(database) == before
    assert _works(database) == works


def test_an_entity_that_changed_meanwhile_refuses_the_whole_batch(state: SqlState, database: Database) -> None:
    state.commit(told(Changes(entities=[an_account(1)])), now=NOW)
    state.commit(told(Changes(entities=[an_account(2, "Example 2")])), now=NOW)
    changes = Changes(entities=[an_account(1, entity_id="acc_2"), an_account(2, "Too late")], audit=[an_entry()])
    with pytest.raises(ConcurrentChange):
        state.commit(told(changes), now=NOW)
    stored = state.entities(["acc_1", "acc_2"])
    assert [(kept.version, kept.entity) for kept in stored.values()] == [(2, an_account(2, "Example 2").entity)]
    assert "crosswalk" not in _rows(database)
    assert _rows(database)["audit_entry"] == 2


def test_an_object_is_linked_once(state: SqlState) -> None:
    state.commit(told(Changes(links=[_LINK])), now=NOW)
    rival = Link(source=_CUSTOMER, entity=EntityRef(EntityKind.ACCOUNT, EntityId("acc_2")))
    with pytest.raises(ConcurrentChange, match="linked"):
        state.commit(told(Changes(links=[rival])), now=NOW)
    assert state.links([_CUSTOMER]) == {_CUSTOMER: _LINK.entity}


def test_rivals_for_one_version_have_one_winner(store_url: str, database: Database) -> None:
    databases = [Database(store_url) for _ in range(6)]

    def commit(index: int) -> str:
        changes = Changes(entities=[an_account(1, f"Example {index}")], audit=[an_entry(f"from {index}")])
        SqlState(databases[index]).commit(told(changes), now=NOW)
        return f"Example {index}"

    results = race(6, commit)
    (winner,) = [result for result in results if isinstance(result, str)]
    assert sum(isinstance(result, ConcurrentChange) for result in results) == 5, results
    assert SqlState(database).entities(["acc_1"])["acc_1"].entity == an_account(1, winner).entity
    with database.read() as connection:
        assert verify_chain(connection).entries == 2
    for opened in databases:
        opened.close()


def test_two_notices_of_one_business_event_keep_the_first(state: SqlState, database: Database) -> None:
    state.commit(told(Changes(business_events=_changes().business_events)), now=NOW)
    ((_, root, event),) = _changes().business_events
    state.commit(told(Changes(business_events=[(2, root, event)])), now=NOW + SECOND)
    with database.read() as connection:
        assert connection.execute(sa.select(event_table.c.seq)).scalars().all() == [1]


def test_a_held_intent_waits_with_its_reason(state: SqlState, database: Database) -> None:
    held = msgspec.structs.replace(an_intent(), held="KYC is missing.")
    state.commit(told(Changes(intents=[held])), now=NOW)
    with database.read() as connection:
        row = connection.execute(sa.select(write_intent)).one()
    assert (row.state, row.reason) == (IntentState.HELD.value, "KYC is missing.")


def test_a_lane_is_parked_and_told_of_once(state: SqlState, database: Database) -> None:
    park = LanePark(lane="l", direction="inbound", cause="event/1", reason="First.")
    state.commit(told(Changes(parks=[park, msgspec.structs.replace(park, reason="Second.")])), now=NOW)
    state.commit(told(Changes(parks=[msgspec.structs.replace(park, reason="Third.")])), now=NOW + timedelta(hours=1))
    with database.read() as connection:
        assert connection.execute(sa.select(parked_lane.c.reason)).scalars().all() == ["First."]
        assert connection.execute(sa.select(alert.c.body)).scalars().all() == ["First."]


def test_settlements_of_several_events(state: SqlState, database: Database) -> None:
    settlements = [
        Settlement(seq=1, state=WorkState.QUARANTINED, reason="No id.", due_at=NOW),
        Settlement(seq=2, state=WorkState.AWAITING_REREAD, reason="stripe:customer/cus_1", due_at=NOW + SECOND),
    ]
    state.commit(told(Changes(settlements=settlements)), now=NOW)
    assert _works(database) == {1: ("quarantined", "No id."), 2: ("awaiting_reread", "stripe:customer/cus_1")}


def test_thrown_switches_are_read(state: SqlState, database: Database) -> None:
    assert state.switches() == frozenset()
    with database.write_unaudited() as connection:
        row = {"name": "flow/accounts", "reason": "x", "thrown_by": "ada", "thrown_at": 1}
        connection.execute(switch.insert().values(row))
    assert state.switches() == {"flow/accounts"}
