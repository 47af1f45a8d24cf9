"""The inbox: an event is stored once however often it arrives, and handed out in order until somebody settles it."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from accordant.ports.inbox import Reading, Reception, WorkState
from accordant.ports.state import Changes, Settlement
from accordant.store.claims import CLAIMS_MAX
from accordant.store.engine import Database
from accordant.store.inbox import PARTITIONS, SqlInbox, count_open
from accordant.store.leases import anybody
from accordant.store.schema import alert, delivery, inbox_event, inbox_twin, inbox_work, parked_lane
from accordant.store.state import SqlState
from accordant.store.vault import SealBroken, Vault
from tests.integration.store.rows import NOW, SECOND, an_arrival, race, told

_NEW, _REPEAT, _CONFLICT = Reception.NEW, Reception.REPEAT, Reception.CONFLICT


@pytest.fixture
def vault(database: Database) -> Vault:
    return Vault(database, bytes(32))


@pytest.fixture
def inbox(database: Database, vault: Vault) -> SqlInbox:
    return SqlInbox(database, vault)


def _count(database: Database, table: sa.Table) -> int:
    with database.read() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()


def _settle(database: Database, seq: int, state: WorkState = WorkState.PROCESSED, reason: str | None = None) -> None:
    settlement = Settlement(seq=seq, state=state, reason=reason, due_at=NOW)
    SqlState(database).commit(told(Changes(settlements=[settlement])), now=NOW)


def _names(
    inbox: SqlInbox, *, limit: int = 100, now: datetime = NOW, partitions: frozenset[int] | None = None
) -> list[str]:
    """Who would be handed out: taken and given back."""
    taken = inbox.claim(limit=limit, now=now, partitions=partitions)
    inbox.give_back([event.seq for event in taken])
    return [event.external_id for event in taken]


# -- accept ----------------------------------------------------------------------------------------------------------


def test_nothing_is_accepted_as_nothing(inbox: SqlInbox, database: Database) -> None:
    assert inbox.accept([]) == ()
    assert _count(database, inbox_event) == 0


def test_an_event_is_kept_whole(inbox: SqlInbox) -> None:
    body = bytes(range(256))
    stored_headers = b'{"a":"2","x":"1"}'
    assert inbox.accept([an_arrival("evt_1", body=body, headers=stored_headers)]) == (_NEW,)
    (event,) = inbox.load([1])
    assert (event.seq, event.connection, event.external_id, event.lane) == (
        1,
        "stripe",
        "evt_1",
        "stripe:customer/cus_1",
    )
    assert (event.body, event.event_type, event.occurred_at, event.received_at) == (body, "customer.updated", NOW, NOW)
    assert event.headers == stored_headers


def test_verdicts_within_one_group(inbox: SqlInbox, database: Database) -> None:
    group = [
        an_arrival("evt_1"),
        an_arrival("evt_2"),
        an_arrival("evt_1"),
        an_arrival("evt_2", body=b"other"),
        an_arrival("evt_1", connection="stripe-eu"),
    ]
    assert inbox.accept(group) == (_NEW, _NEW, _REPEAT, _CONFLICT, _NEW)
    assert _count(database, inbox_event) == _count(database, inbox_work) == 3
    assert _count(database, delivery) == 2
    assert _count(database, inbox_twin) == 1


def test_verdicts_across_groups(inbox: SqlInbox, database: Database) -> None:
    inbox.accept([an_arrival("evt_1")])
    assert inbox.accept([an_arrival("evt_1"), an_arrival("evt_2")]) == (_REPEAT, _NEW)
    assert inbox.accept([an_arrival("evt_1", body=b"other")]) == (_CONFLICT,)
    (event,) = inbox.load([1])
    assert event.body == b'{"id":"evt_1"}'
    assert _names(inbox) == ["evt_1", "evt_2"]


def test_a_twin_is_kept_once_and_its_bytes_open_again(inbox: SqlInbox, database: Database, vault: Vault) -> None:
    inbox.accept([an_arrival("evt_1")])
    for _ in range(2):
        twins = [
            an_arrival("evt_1", body=b"other"),
            an_arrival("evt_1", body=b"third"),
            an_arrival("evt_1", body=b"other"),
        ]
        assert inbox.accept(twins) == (_CONFLICT,) * 3
    with database.read() as connection:
        rows = connection.execute(sa.select(inbox_twin).order_by(inbox_twin.c.id)).all()
        alerts = connection.execute(sa.select(alert.c.kind, alert.c.subject)).all()
    opened = [vault.open(row.key_id, row.body, "stripe/evt_1") for row in rows]
    assert [kept.endswith(body) for kept, body in zip(opened, (b"other", b"third"), strict=True)] == [True, True]
    assert [tuple(row) for row in alerts] == [("inbox.twin", "stripe/evt_1")] * 2
    assert _count(database, delivery) == 6


def test_what_is_stored_cannot_be_read_without_the_key(inbox: SqlInbox, database: Database, tmp_path: Path) -> None:
    inbox.accept([an_arrival("evt_1", body=b"account number 123456")])
    with database.read() as connection:
        (row,) = connection.execute(sa.select(inbox_event)).all()
    assert b"account number" not in row.body
    with pytest.raises(SealBroken):
        Vault(database, bytes(32)).open(row.key_id, row.body, "stripe/evt_2")


@pytest.mark.parametrize("odd", ["evt\x00", "\x00", "evt\ud800", "\udfff\ud83d", "ev\u2028t", "\U0001f600"])
def test_an_odd_name_does_not_fail_its_neighbours(inbox: SqlInbox, odd: str) -> None:
    group = [an_arrival("evt_1"), an_arrival(odd, lane=f"customer/{odd}", body=b"odd"), an_arrival("evt_2")]
    assert inbox.accept(group) == (_NEW, _NEW, _NEW)
    assert inbox.accept(group) == (_REPEAT, _REPEAT, _REPEAT)
    first, second, third = inbox.claim(limit=10, now=NOW)
    assert (first.external_id, third.external_id, second.body) == ("evt_1", "evt_2", b"odd")
    kept = odd.encode("utf-8", "replace") == odd.encode("utf-8", "surrogatepass") and "\x00" not in odd
    assert (second.external_id == odd) == kept


def test_an_error_stores_nothing_of_the_group(inbox: SqlInbox, database: Database) -> None:
    with database.write() as connection:
        connection.exec_driver_sql("ALTER TABLE delivery RENAME TO delivery_gone")
    with pytest.raises(Exception, match="delivery"):
        inbox.accept([an_arrival("evt_1"), an_arrival("evt_1")])
    assert _count(database, inbox_event) == _count(database, inbox_work) == 0


@pytest.mark.parametrize("shuffled", [False, True])
def test_the_same_events_through_eight_doors_are_stored_once(
    store_url: str, database: Database, shuffled: bool
) -> None:
    """reliability.md IN3. Each door is a process of its own: another database object, another vault."""
    events = [an_arrival(f"evt_{number:03}") for number in range(200)]
    databases = [Database(store_url) for _ in range(8)]
    doors = [SqlInbox(opened, Vault(opened, bytes(32))) for opened in databases]

    def deliver(index: int) -> list[Reception]:
        turn = events[index * 25 :] + events[: index * 25] if shuffled else events
        if shuffled and index % 2:
            turn = turn[::-1]
        return [verdict for start in range(0, 200, 40) for verdict in doors[index].accept(turn[start : start + 40])]

    results = race(8, deliver)
    assert all(isinstance(result, list) for result in results), results
    verdicts = [verdict for result in results for verdict in result]
    assert verdicts.count(_NEW) == 200
    assert verdicts.count(_REPEAT) == 1400
    assert _count(database, inbox_event) == _count(database, inbox_work) == 200
    assert _count(database, delivery) == 1400
    assert len(_names(doors[0], limit=500)) == 200
    for opened in databases:
        opened.close()


# -- claim -----------------------------------------------------------------------------------------------------------


def test_events_are_claimed_in_order_of_arrival(inbox: SqlInbox) -> None:
    inbox.accept([an_arrival(f"evt_{number}", lane=f"customer/{number % 3}") for number in range(9, 0, -1)])
    assert _names(inbox, limit=4) == ["evt_9", "evt_8", "evt_7", "evt_6"]


def test_a_try_is_counted_before_the_event_is_handed_out(inbox: SqlInbox, database: Database) -> None:
    inbox.accept([an_arrival("evt_1")])
    (first,) = inbox.claim(limit=1, now=NOW)
    with database.read() as connection:
        assert connection.execute(sa.select(inbox_work.c.attempts)).scalar_one() == 1
    (second,) = inbox.claim(limit=1, now=NOW)
    assert (first.attempts, second.attempts) == (1, 2)


def test_a_settled_event_is_not_claimed_again(inbox: SqlInbox, database: Database) -> None:
    inbox.accept([an_arrival("evt_1"), an_arrival("evt_2")])
    inbox.claim(limit=10, now=NOW)
    _settle(database, 1)
    assert _names(inbox) == ["evt_2"]


def test_an_event_nobody_answers_is_set_aside_with_its_lane(inbox: SqlInbox, database: Database) -> None:
    inbox.accept([an_arrival("evt_1"), an_arrival("evt_2"), an_arrival("evt_3", lane="customer/cus_2")])
    with database.write() as connection:
        connection.execute(sa.update(inbox_work).where(inbox_work.c.seq < 3).values(attempts=CLAIMS_MAX))
    assert _names(inbox) == ["evt_3"]
    with database.read() as connection:
        states = {row.seq: row.state for row in connection.execute(sa.select(inbox_work.c.seq, inbox_work.c.state))}
        lanes = [tuple(row) for row in connection.execute(sa.select(parked_lane.c.lane, parked_lane.c.cause))]
        alerts = [tuple(row) for row in connection.execute(sa.select(alert.c.kind, alert.c.subject))]
        assert count_open(connection) == {"dead": 1, "received": 2}
    # The second event of the lane is no culprit: it waits behind the first.
    assert states == {1: "dead", 2: "received", 3: "received"}
    assert lanes == [("stripe:customer/cus_1", "event/1")]
    assert alerts == [("lane.parked", "stripe:customer/cus_1")]


def test_the_charter_says_how_often_an_event_is_handed_out(inbox: SqlInbox, database: Database, vault: Vault) -> None:
    patient = SqlInbox(database, vault, receives_max=lambda: CLAIMS_MAX + 2).under(anybody)
    inbox.accept([an_arrival("evt_1")])
    handed_out = 0
    while patient.claim(limit=10, now=NOW):
        handed_out += 1
        assert handed_out < 20
    assert handed_out == CLAIMS_MAX + 2


def test_a_parked_lane_stops_itself_only(inbox: SqlInbox, database: Database) -> None:
    inbox.accept([an_arrival("evt_1"), an_arrival("evt_2", lane="customer/cus_2"), an_arrival("evt_3")])
    with database.write_unaudited() as connection:
        lane = {"lane": "stripe:customer/cus_1", "direction": "inbound", "cause": "x", "reason": "x", "parked_at": 1}
        connection.execute(parked_lane.insert().values(lane))
    assert _names(inbox) == ["evt_2"]
    with database.write_unaudited() as connection:
        connection.execute(parked_lane.delete())
    assert _names(inbox) == ["evt_1", "evt_2", "evt_3"]


def test_partitions_share_the_events_without_overlap(inbox: SqlInbox) -> None:
    inbox.accept([an_arrival(f"evt_{number:02}", lane=f"customer/{number}") for number in range(60)])
    low, high = frozenset(range(PARTITIONS // 2)), frozenset(range(PARTITIONS // 2, PARTITIONS))
    first, second = _names(inbox, partitions=low), _names(inbox, partitions=high)
    assert first
    assert second
    assert sorted(first + second) == [f"evt_{number:02}" for number in range(60)]


def test_postponed_events_come_back_at_their_time(inbox: SqlInbox) -> None:
    inbox.accept([an_arrival("evt_1"), an_arrival("evt_2", lane="customer/cus_2")])
    inbox.postpone([1], until=NOW + 10 * SECOND)
    assert _names(inbox, now=NOW + 9 * SECOND) == ["evt_2"]
    assert _names(inbox, now=NOW + 10 * SECOND) == ["evt_1", "evt_2"]


# -- readings --------------------------------------------------------------------------------------------------------


def test_a_reading_comes_back_beside_its_event(inbox: SqlInbox, database: Database) -> None:
    inbox.accept([an_arrival("evt_1"), an_arrival("evt_2", lane="customer/cus_2")])
    _names(inbox)
    _settle(database, 1, WorkState.AWAITING_REREAD, "stripe:customer/cus_1")
    assert inbox.awaiting_reread(now=NOW, limit=10) == ((1, "stripe:customer/cus_1"),)
    assert inbox.awaiting_reread(now=NOW - SECOND, limit=10) == ()
    assert _names(inbox) == ["evt_2"]
    first = Reading(ref="stripe:customer/cus_1", read_at=NOW + SECOND, body=b'{"id":"cus_1"}')
    gone = Reading(ref="stripe:price/p", read_at=NOW + timedelta(days=40), body=b"")
    inbox.keep_reading(1, first, now=NOW)
    inbox.keep_reading(1, gone, now=NOW + timedelta(days=40))
    assert inbox.awaiting_reread(now=NOW, limit=10) == ()
    event, other = inbox.claim(limit=10, now=NOW + timedelta(days=41))
    # To be read again was an answer: the tries before it accuse nobody.
    assert (event.readings, event.attempts) == ((first, gone), 1)
    assert other.readings == ()


def test_events_are_loaded_in_order_whatever_was_asked(inbox: SqlInbox) -> None:
    inbox.accept([an_arrival(f"evt_{number}") for number in range(4)])
    assert [event.seq for event in inbox.load([4, 1, 99, 2])] == [1, 2, 4]
    assert inbox.load([]) == ()
