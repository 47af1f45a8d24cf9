"""The outbox: an intent is in one courier's hands at a time, and what became of it is stored once."""

from datetime import datetime, timedelta

import msgspec
import pytest
import sqlalchemy as sa

from accordant.canonical.intents import IntentState, RefusalClass, Refused
from accordant.canonical.refs import EntityKind, EntityRef, ExternalRef
from accordant.kernel.ids import EntityId
from accordant.ports.outbox import LeasedIntent, LeaseLost, Verdict
from accordant.ports.state import Changes, LanePark, Link, PlannedIntent
from accordant.store.audit import verify_chain
from accordant.store.engine import Database
from accordant.store.outbox import SqlOutbox
from accordant.store.schema import alert, confirmed_record, parked_lane, write_intent, write_receipt
from accordant.store.state import SqlState
from tests.integration.store.rows import NOW, SECOND, a_receipt, a_success, an_entry, an_intent, race, told

_LEASE = timedelta(seconds=60)


@pytest.fixture
def outbox(database: Database) -> SqlOutbox:
    return SqlOutbox(database)


def _plan(database: Database, *intents: PlannedIntent) -> None:
    SqlState(database).commit(told(Changes(intents=list(intents))), now=NOW)


def _claim(
    outbox: SqlOutbox, *, at: datetime = NOW, limit: int = 100, paused: frozenset[str] = frozenset()
) -> tuple[LeasedIntent, ...]:
    return outbox.claim(target="crm", limit=limit, now=at, lease_until=at + _LEASE, paused_flows=paused)


def _keys(leased: tuple[LeasedIntent, ...]) -> list[tuple[str, int]]:
    return [(one.intent.key, one.intent.revision) for one in leased]


def _states(database: Database) -> dict[str, tuple[str, int]]:
    """State and number of tries of each intent, named ``key/revision``."""
    columns = (write_intent.c.record, write_intent.c.revision, write_intent.c.state, write_intent.c.attempts)
    with database.read() as connection:
        return {
            f"{record.rpartition('/')[2]}/{revision}": (state, attempts)
            for record, revision, state, attempts in connection.execute(sa.select(*columns))
        }


def _later(leased: LeasedIntent, state: IntentState, at: datetime, *, tried: bool = True) -> Verdict:
    receipt = a_receipt(leased.intent, leased.attempt) if tried else None
    return Verdict(
        leased=leased, state=state, due_at=at, reason="Later.", receipt=receipt, audit=an_entry() if tried else None
    )


# -- life cycle ------------------------------------------------------------------------------------------------------


def test_from_planned_to_applied(outbox: SqlOutbox, database: Database) -> None:
    planned = an_intent()
    _plan(database, planned)
    (leased,) = _claim(outbox)
    assert (leased.intent, leased.shadow, leased.attempt, leased.was) == (planned.intent, False, 1, IntentState.PENDING)
    assert _states(database) == {"cus_1/1": ("leased", 1)}
    link = Link(source=ExternalRef("crm", "Account", "001"), entity=EntityRef(EntityKind.ACCOUNT, EntityId("acc_1")))
    outbox.settle([msgspec.structs.replace(a_success(leased), link=link)], now=NOW)
    assert _states(database) == {"cus_1/1": ("applied", 1)}
    assert _claim(outbox, at=NOW + 10 * _LEASE) == ()
    with database.read() as connection:
        confirmed = connection.execute(sa.select(confirmed_record)).one()
        receipt = connection.execute(sa.select(write_receipt)).one()
        assert verify_chain(connection).entries == 2
    assert (confirmed.ref, confirmed.target_id, confirmed.intent_id) == ("crm:Account/cus_1", "001", planned.intent.id)
    assert msgspec.json.decode(confirmed.fields) == planned.intent.fields
    assert (receipt.intent_id, receipt.attempt, receipt.outcome) == (planned.intent.id, 1, "Applied")
    assert SqlState(database).links([link.source]) == {link.source: link.entity}


def test_nothing_due_is_nothing_claimed(outbox: SqlOutbox, database: Database) -> None:
    assert _claim(outbox) == ()
    _plan(database, an_intent(at=NOW + SECOND))
    assert _claim(outbox) == ()
    assert outbox.claim(target="erp", limit=9, now=NOW + _LEASE, lease_until=NOW, paused_flows=frozenset()) == ()
    outbox.settle([], now=NOW)
    assert _states(database) == {"cus_1/1": ("pending", 0)}


def test_the_oldest_go_first(outbox: SqlOutbox, database: Database) -> None:
    _plan(database, *(an_intent(f"cus_{number}", at=NOW - number * SECOND) for number in range(5)))
    assert _keys(_claim(outbox, limit=2)) == [("cus_4", 1), ("cus_3", 1)]
    assert _keys(_claim(outbox, limit=2)) == [("cus_2", 1), ("cus_1", 1)]


def test_a_try_that_failed_comes_back_at_its_time(outbox: SqlOutbox, database: Database) -> None:
    _plan(database, an_intent())
    (leased,) = _claim(outbox)
    outbox.settle([_later(leased, IntentState.PENDING, NOW + 10 * SECOND)], now=NOW)
    assert _claim(outbox, at=NOW + 9 * SECOND) == ()
    (again,) = _claim(outbox, at=NOW + 10 * SECOND)
    assert (again.attempt, again.was) == (2, IntentState.PENDING)


def test_what_was_not_tried_is_no_attempt(outbox: SqlOutbox, database: Database) -> None:
    _plan(database, an_intent())
    (leased,) = _claim(outbox)
    outbox.settle([_later(leased, IntentState.PENDING, NOW, tried=False)], now=NOW)
    assert _states(database) == {"cus_1/1": ("pending", 0)}
    (again,) = _claim(outbox)
    assert again.attempt == 1


def test_an_uncertain_try_says_so_to_the_next(outbox: SqlOutbox, database: Database) -> None:
    _plan(database, an_intent())
    (leased,) = _claim(outbox)
    outbox.settle([_later(leased, IntentState.UNCERTAIN, NOW)], now=NOW)
    (again,) = _claim(outbox)
    assert (again.attempt, again.was) == (2, IntentState.UNCERTAIN)


def test_a_refused_write_parks_its_lane_and_tells_once(outbox: SqlOutbox, database: Database) -> None:
    _plan(database, an_intent("a", lane="l"), an_intent("b", lane="l"), an_intent("c"))
    leased = {one.intent.key: one for one in _claim(outbox)}
    park = LanePark(lane="l", direction="outbound", cause="intent/1", reason="The target refused.")
    outcome = Refused(cause=RefusalClass.DATA_QUALITY, code="X", message="No.")
    refused = [
        Verdict(
            leased=leased[key],
            state=IntentState.DEAD,
            due_at=NOW,
            reason="No.",
            receipt=msgspec.structs.replace(a_receipt(leased[key].intent, 1), outcome=outcome, after=None),
            park=park,
            audit=an_entry(),
        )
        for key in ("a", "b")
    ]
    outbox.settle([*refused, a_success(leased["c"])], now=NOW)
    assert _states(database) == {"a/1": ("dead", 1), "b/1": ("dead", 1), "c/1": ("applied", 1)}
    _plan(database, an_intent("d", lane="l"), an_intent("e"))
    assert _keys(_claim(outbox)) == [("e", 1)]
    with database.read() as connection:
        assert connection.execute(sa.select(alert.c.subject)).scalars().all() == ["l"]
        assert connection.execute(sa.select(confirmed_record.c.key)).scalars().all() == ["c"]
    with database.write_unaudited() as connection:
        connection.execute(parked_lane.delete())
    assert _keys(_claim(outbox)) == [("d", 1)]


# -- revisions and lanes ---------------------------------------------------------------------------------------------


def test_the_newest_revision_carries_the_change(outbox: SqlOutbox, database: Database) -> None:
    _plan(database, *(an_intent(revision=revision) for revision in (1, 2, 3)), an_intent("cus_2"))
    assert sorted(_keys(_claim(outbox))) == [("cus_1", 3), ("cus_2", 1)]
    assert _states(database) == {
        "cus_1/1": ("superseded", 0),
        "cus_1/2": ("superseded", 0),
        "cus_1/3": ("leased", 1),
        "cus_2/1": ("leased", 1),
    }


@pytest.mark.parametrize("state", [IntentState.UNCERTAIN, IntentState.LEASED])
def test_a_newer_revision_inherits_tries_and_doubt(outbox: SqlOutbox, database: Database, state: IntentState) -> None:
    """An older revision may have reached the target: whoever writes the newer one has to know."""
    _plan(database, an_intent(revision=1))
    (first,) = _claim(outbox)
    if state is IntentState.UNCERTAIN:
        outbox.settle([_later(first, state, NOW)], now=NOW)
    _plan(database, an_intent(revision=2))
    (second,) = _claim(outbox, at=NOW + _LEASE + SECOND)
    assert (second.intent.revision, second.attempt, second.was) == (2, 2, state)


def test_a_lane_in_a_couriers_hands_waits_whole(outbox: SqlOutbox, database: Database) -> None:
    _plan(database, an_intent("a", lane="l"))
    (leased,) = _claim(outbox)
    _plan(database, an_intent("b", lane="l"), an_intent("c"))
    assert _keys(_claim(outbox)) == [("c", 1)]
    outbox.settle([a_success(leased)], now=NOW)
    assert _keys(_claim(outbox)) == [("b", 1)]


def test_a_lane_waits_for_what_comes_back_later(outbox: SqlOutbox, database: Database) -> None:
    _plan(database, an_intent("a", lane="l", at=NOW + 30 * SECOND), an_intent("b", lane="l"), an_intent("c"))
    assert _keys(_claim(outbox)) == [("c", 1)]
    assert sorted(_keys(_claim(outbox, at=NOW + 30 * SECOND))) == [("a", 1), ("b", 1)]


def test_a_higher_step_waits_until_the_lower_is_settled(outbox: SqlOutbox, database: Database) -> None:
    """A subscription looks up its account: claimed together, it could be sent in an earlier round than its account."""
    _plan(
        database, an_intent("b", lane="l", step=1), an_intent("a", lane="l", step=0), an_intent("c", lane="m", step=1)
    )
    first = _claim(outbox)
    assert sorted(_keys(first)) == [("a", 1), ("c", 1)]
    assert _claim(outbox) == ()
    outbox.settle([a_success(one) for one in first], now=NOW)
    assert _keys(_claim(outbox)) == [("b", 1)]


def test_a_higher_step_waits_behind_a_paused_lower_one(outbox: SqlOutbox, database: Database) -> None:
    _plan(database, an_intent("b", lane="l", step=1, flow="subscriptions"), an_intent("a", lane="l", flow="accounts"))
    assert _claim(outbox, paused=frozenset({"accounts"})) == ()


def test_paused_flows_are_left_where_they_are(outbox: SqlOutbox, database: Database) -> None:
    _plan(database, an_intent("a", flow="accounts"), an_intent("b", flow="subscriptions"))
    assert _keys(_claim(outbox, paused=frozenset({"accounts", "other"}))) == [("b", 1)]
    assert _states(database)["a/1"] == ("pending", 0)
    assert _keys(_claim(outbox)) == [("a", 1)]


# -- leases ----------------------------------------------------------------------------------------------------------


def test_an_expired_lease_is_taken_over_and_says_so(outbox: SqlOutbox, database: Database) -> None:
    _plan(database, an_intent())
    (lost,) = _claim(outbox)
    assert _claim(outbox, at=NOW + _LEASE - SECOND) == ()
    (taken,) = _claim(outbox, at=NOW + _LEASE)
    assert (taken.was, taken.attempt) == (IntentState.LEASED, 2)
    assert taken.token > lost.token
    with pytest.raises(LeaseLost, match="1 of 1 leases"):
        outbox.settle([a_success(lost)], now=NOW + _LEASE)
    assert _states(database) == {"cus_1/1": ("leased", 2)}
    outbox.settle([a_success(taken)], now=NOW + _LEASE)
    assert _states(database) == {"cus_1/1": ("applied", 2)}


def test_one_lost_lease_stores_nothing_of_the_group(outbox: SqlOutbox, database: Database) -> None:
    _plan(database, an_intent("a"))
    (lost,) = _claim(outbox)
    _plan(database, an_intent("b", at=NOW + _LEASE))
    second = {one.intent.key: one for one in _claim(outbox, at=NOW + _LEASE)}
    with pytest.raises(LeaseLost, match="1 of 2 leases"):
        outbox.settle([a_success(lost), a_success(second["b"])], now=NOW + _LEASE)
    assert _states(database) == {"a/1": ("leased", 2), "b/1": ("leased", 1)}
    with database.read() as connection:
        assert connection.execute(sa.select(write_receipt)).all() == []
        assert verify_chain(connection).entries == 2  # what was planned


def test_a_verdict_that_comes_twice_is_stored_once(outbox: SqlOutbox, database: Database) -> None:
    """The answer to the first commit was lost, so the courier settles again."""
    _plan(database, an_intent())
    (leased,) = _claim(outbox)
    outbox.settle([a_success(leased)], now=NOW)
    with pytest.raises(LeaseLost):
        outbox.settle([a_success(leased)], now=NOW)
    with database.read() as connection:
        assert len(connection.execute(sa.select(write_receipt)).all()) == 1


def test_couriers_that_claim_at_once_share_no_lane(store_url: str, database: Database) -> None:
    _plan(database, *(an_intent(f"cus_{number}", lane=f"lane/{number % 20}") for number in range(100)))
    databases = [Database(store_url) for _ in range(6)]
    results = race(6, lambda index: _claim(SqlOutbox(databases[index]), limit=15))
    assert all(isinstance(result, tuple) for result in results), results
    keys = [one.intent.key for result in results for one in result]
    assert len(keys) == len(set(keys)) > 0
    lanes = [{one.intent.lane for one in result} for result in results]
    assert sum(len(held) for held in lanes) == len(set().union(*lanes))
    for opened in databases:
        opened.close()


def test_a_renewed_lease_holds_and_one_that_was_taken_over_is_lost_for_good(
    outbox: SqlOutbox, database: Database
) -> None:
    _plan(database, an_intent("cus_1"), an_intent("cus_2"))
    first = _claim(outbox)
    assert outbox.renew(first, lease_until=NOW + 2 * _LEASE) == {one.intent.id for one in first}
    assert _claim(outbox, at=NOW + 2 * _LEASE - SECOND) == ()
    (taken,) = _claim(outbox, at=NOW + 2 * _LEASE, limit=1)
    (kept,) = (one for one in first if one.intent.id != taken.intent.id)
    assert outbox.renew(first, lease_until=NOW + 4 * _LEASE) == {kept.intent.id}
    outbox.settle([a_success(taken)], now=NOW)
    assert outbox.renew([taken, kept], lease_until=NOW + 5 * _LEASE) == {kept.intent.id}


def test_a_clock_that_stands_still_gives_every_lease_a_token_of_its_own(outbox: SqlOutbox, database: Database) -> None:
    _plan(database, an_intent())
    gone: list[LeasedIntent] = []
    now = NOW
    for _ in range(3):
        gone += outbox.claim(target="crm", limit=1, now=NOW, lease_now=now, lease_until=now, paused_flows=frozenset())
    assert len({one.token for one in gone}) == len(gone) == 3
    with pytest.raises(LeaseLost):
        outbox.settle([a_success(gone[0])], now=NOW)
    outbox.settle([a_success(gone[-1])], now=NOW)


@pytest.mark.parametrize("step", [-86_400, -3_600, 3_600, 86_400])
def test_a_step_of_the_wall_clock_ends_no_lease_and_keeps_none(
    outbox: SqlOutbox, database: Database, step: int
) -> None:
    def claim(now: datetime, lease_now: datetime) -> tuple[LeasedIntent, ...]:
        until = lease_now + _LEASE
        return outbox.claim(
            target="crm", limit=9, now=now, lease_now=lease_now, lease_until=until, paused_flows=frozenset()
        )

    _plan(database, an_intent(at=NOW - timedelta(days=2)))
    assert len(claim(NOW, NOW)) == 1
    assert claim(NOW + step * SECOND, NOW + _LEASE - SECOND) == ()
    assert len(claim(NOW + step * SECOND, NOW + _LEASE)) == 1
