"""The fast lane of the door: what it says is stored is stored, and what it cannot say at once takes the slow way."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import psycopg
import pytest
import sqlalchemy as sa

from accordant.kernel.errors import TransientError
from accordant.ports.inbox import Reception
from accordant.store.engine import Database
from accordant.store.guard import written_tables
from accordant.store.inbox import INSERT_ON_POSTGRES, SqlInbox
from accordant.store.intake import Intake, intake_of
from accordant.store.schema import delivery, inbox_event, inbox_twin, inbox_work
from accordant.store.vault import Vault
from tests.integration.store.rows import NOW, an_arrival

_NEW, _REPEAT, _CONFLICT = Reception.NEW, Reception.REPEAT, Reception.CONFLICT


@pytest.fixture
def inbox(database: Database) -> SqlInbox:
    return SqlInbox(database, Vault(database, bytes(32)))


@pytest.fixture
async def intake(database: Database, inbox: SqlInbox) -> AsyncIterator[Intake]:
    opened = intake_of(database, inbox)
    # The first group finds no key at hand and takes the slow way; the tests are about those that follow.
    await opened.accept([an_arrival("evt_first")])
    yield opened
    await opened.close()


def _count(database: Database, table: sa.Table) -> int:
    with database.read() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()


def _hang_up(database: Database) -> int:
    """End the connections of the fast lane, as a server that restarts does; how many there were."""
    with database.read() as connection:
        ended = connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%%json_to_recordset%%'"
            " AND pid <> pg_backend_pid() AND datname = current_database()"
        )
        return len(ended.all())


async def test_a_group_is_stored_whole_in_order_of_arrival(intake: Intake, inbox: SqlInbox, database: Database) -> None:
    odd = "evt_\x00\ud800 “é”"
    bodies = {f"evt_{number}": bytes([number]) * (number * 50) for number in range(40)}
    group = [an_arrival(name, body=body, lane=f"customer/{name}") for name, body in bodies.items()]
    assert await intake.accept([*group, an_arrival(odd, body=b"odd")]) == (_NEW,) * 41
    stored = inbox.load(range(1, 43))
    assert [event.external_id for event in stored] == ["evt_first", *bodies, "evt_\ufffd\ufffd “é”"]
    assert [event.body for event in stored[1:]] == [*bodies.values(), b"odd"]
    assert stored[5].lane == "stripe:customer/evt_4"
    assert (stored[5].occurred_at, stored[5].received_at, stored[5].event_type) == (NOW, NOW, "customer.updated")
    assert [event.external_id for event in inbox.claim(limit=100, now=NOW)] == [event.external_id for event in stored]
    assert _count(database, delivery) == 0


async def test_what_is_known_is_told_from_what_is_new(intake: Intake, database: Database) -> None:
    await intake.accept([an_arrival("evt_1"), an_arrival("evt_2")])
    group = [an_arrival("evt_3"), an_arrival("evt_1"), an_arrival("evt_2", body=b"other"), an_arrival("evt_3")]
    assert await intake.accept(group) == (_NEW, _REPEAT, _CONFLICT, _REPEAT)
    assert _count(database, inbox_event) == _count(database, inbox_work) == 4
    assert (_count(database, delivery), _count(database, inbox_twin)) == (3, 1)


async def test_groups_on_every_line_at_once_store_each_event_once(intake: Intake, database: Database) -> None:
    """reliability.md IN3: all lines bring the same events, each in an order of its own."""
    names = [f"evt_{number:03}" for number in range(60)]

    async def deliver(turn: int) -> list[Reception]:
        mine = [an_arrival(name) for name in names[turn * 15 :] + names[: turn * 15]]
        verdicts: list[Reception] = []
        for start in range(0, 60, 20):
            verdicts += await intake.accept(mine[start : start + 20])
        return verdicts

    told = [verdict for verdicts in await asyncio.gather(*map(deliver, range(4))) for verdict in verdicts]
    assert (told.count(_NEW), told.count(_REPEAT)) == (60, 180)
    assert _count(database, inbox_event) == _count(database, inbox_work) == 61


def test_the_statement_writes_nothing_that_needs_a_line_in_the_trail() -> None:
    """It goes past the guard that counts lines, so it may name free tables only."""
    assert "INSERT INTO inbox_event" in INSERT_ON_POSTGRES
    assert written_tables(INSERT_ON_POSTGRES) == ()
    assert written_tables(INSERT_ON_POSTGRES.replace("inbox_work", "write_intent")) == ("write_intent",)


# -- when the server goes away ---------------------------------------------------------------------------------------


on_postgres = pytest.mark.parametrize(
    "store_url", [pytest.param("postgres", marks=pytest.mark.postgres)], indirect=True
)


@on_postgres
async def test_a_connection_that_broke_costs_nobody_an_answer(intake: Intake, database: Database) -> None:
    await intake.accept([an_arrival("evt_1")])
    assert _hang_up(database) >= 1
    # Whether the statement had arrived is not known: the slow way looks.
    assert await intake.accept([an_arrival("evt_2")]) == (_NEW,)
    assert await intake.accept([an_arrival("evt_3"), an_arrival("evt_2")]) == (_NEW, _REPEAT)
    assert _count(database, inbox_event) == _count(database, inbox_work) == 4


@on_postgres
async def test_a_server_that_takes_nothing_is_said_as_what_passes(
    intake: Intake, database: Database, store_url: str
) -> None:
    with psycopg.connect(store_url.replace("+psycopg", ""), autocommit=True) as other:
        other.execute("ALTER DATABASE " + other.info.dbname + " SET default_transaction_read_only = on")
    _hang_up(database)
    database.engine.dispose()
    with pytest.raises(TransientError):
        await intake.accept([an_arrival("evt_1")])
    with psycopg.connect(store_url.replace("+psycopg", ""), autocommit=True) as other:
        other.execute("SET default_transaction_read_only = off")
        other.execute("ALTER DATABASE " + other.info.dbname + " RESET default_transaction_read_only")
    database.engine.dispose()
    assert await intake.accept([an_arrival("evt_1")]) == (_NEW,)


@on_postgres
async def test_who_gave_up_waiting_leaves_no_answer_for_the_next(intake: Intake, database: Database) -> None:
    """A connection whose answer nobody took is not used again: the answer could be taken for another group's."""
    with database.engine.begin() as connection:
        connection.exec_driver_sql("LOCK TABLE inbox_work IN ACCESS EXCLUSIVE MODE")
        waiting = asyncio.ensure_future(intake.accept([an_arrival("evt_1")]))
        await asyncio.sleep(0.2)
        assert not waiting.done()
        waiting.cancel()
        with suppress(asyncio.CancelledError):
            await waiting
    verdicts = await intake.accept([an_arrival("evt_1"), an_arrival("evt_2")])
    assert verdicts[1] is _NEW
    assert _count(database, inbox_event) == _count(database, inbox_work) == 3
