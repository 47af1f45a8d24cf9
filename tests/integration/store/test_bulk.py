"""The verbs for many rows: the same rows, counts and refusals on both databases."""

from collections.abc import Iterator
from contextlib import closing

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import DataError, IntegrityError

from accordant.ports.state import ConcurrentChange
from accordant.store import bulk
from accordant.store.engine import Database, StoreUnavailable
from accordant.store.packed import pack
from accordant.store.schema import confirmed_record, inbox_reading, standing, write_intent
from tests.integration.store.rows import race

_STANDING = ("account_id", "version", "state", "updated_at")
_CONFIRMED = ("ref", "target", "object", "key", "target_id", "fields", "intent_id", "confirmed_at")
_THREADS, _TRIES = 8, 25


def _standings(database: Database) -> dict[str, tuple[int, bytes]]:
    with database.read() as connection:
        rows = connection.execute(sa.select(standing.c.account_id, standing.c.version, standing.c.state))
        return {row.account_id: (row.version, bytes(row.state)) for row in rows}


def test_nothing_to_do_is_done(database: Database) -> None:
    with database.write_unaudited() as connection:
        bulk.insert(connection, standing, _STANDING, [])
        assert bulk.insert_new(connection, standing, _STANDING, []) == 0
        bulk.upsert(connection, standing, _STANDING, [])
        assert bulk.select_by_keys(connection, standing, _STANDING, "account_id", []) == []
    assert _standings(database) == {}


def test_every_kind_of_column_comes_back_as_it_went(database: Database) -> None:
    body = bytes(range(256))
    with database.write_unaudited() as connection:
        bulk.insert(connection, confirmed_record, _CONFIRMED, [
            ("r1", "crm", "Account", "k'1", "001", body, None, 2**53 + 1),
            ("r2", "crm", "Account", "%s ? \N{SNOWMAN}", "002", b"", "int_1", -1),
        ])  # fmt: skip
        rows = bulk.select_by_keys(connection, confirmed_record, _CONFIRMED, "ref", ["r1", "r2", "r3"])
    first, second = sorted(rows)
    assert first == ("r1", "crm", "Account", "k'1", "001", body, None, 2**53 + 1)
    assert second == ("r2", "crm", "Account", "%s ? \N{SNOWMAN}", "002", b"", "int_1", -1)


def test_flags_and_missing_values(database: Database) -> None:
    columns = tuple(column.name for column in write_intent.columns)

    def row(name: str, *, shadow: bool, cause: int | None) -> bulk.Row:
        given: dict[str, object] = dict.fromkeys(columns, "x")
        given |= dict.fromkeys(("step", "revision", "planned_at", "attempts", "due_at"), 1)
        given |= dict.fromkeys(("body", "decision"), b"b")
        given |= dict.fromkeys(("lease_token", "lease_expires_at", "reason", "settled_at"))
        given |= {"id": name, "idempotency_key": name, "shadow": shadow, "cause": cause}
        return tuple(given.values())

    with database.write_unaudited() as connection:
        bulk.insert(
            connection, write_intent, columns, [row("a", shadow=True, cause=None), row("b", shadow=False, cause=7)]
        )
        rows = bulk.select_by_keys(connection, write_intent, ("id", "shadow", "cause"), "id", ["a", "b"])
    assert [(name, bool(shadow), cause) for name, shadow, cause in sorted(rows)] == [("a", True, None), ("b", False, 7)]


def test_a_conflict_of_a_plain_insert_is_an_error_and_stores_nothing(database: Database) -> None:
    with database.write_unaudited() as connection:
        bulk.insert(connection, standing, _STANDING, [("a", 1, b"first", 1)])
    with pytest.raises(IntegrityError), database.write_unaudited() as connection:
        bulk.insert(connection, standing, _STANDING, [("b", 1, b"x", 1), ("a", 1, b"second", 2)])
    assert _standings(database) == {"a": (1, b"first")}


def test_insert_new_leaves_what_is_there_and_counts_the_rest(database: Database) -> None:
    with database.write_unaudited() as connection:
        assert bulk.insert_new(connection, standing, _STANDING, [("a", 1, b"first", 1)]) == 1
        rows = [("a", 1, b"second", 2), ("b", 1, b"x", 2), ("b", 1, b"y", 2)]
        assert bulk.insert_new(connection, standing, _STANDING, rows) == 1
    assert _standings(database) == {"a": (1, b"first"), "b": (1, b"x")}


def test_upsert_replaces_whatever_is_there(database: Database) -> None:
    with database.write_unaudited() as connection:
        bulk.upsert(connection, standing, _STANDING, [("a", 5, b"first", 1), ("b", 1, b"x", 1)])
        bulk.upsert(connection, standing, _STANDING, [("a", 2, b"second", 2), ("c", 1, b"y", 2)])
    assert _standings(database) == {"a": (2, b"second"), "b": (1, b"x"), "c": (1, b"y")}


@pytest.mark.parametrize("version", [1, 2, 4])
def test_compare_and_set_refuses_any_but_the_next_version(database: Database, version: int) -> None:
    with database.write_unaudited() as connection:
        bulk.upsert(connection, standing, _STANDING, [("a", 2, b"first", 1)], only_if_version_follows=True)
    with pytest.raises(ConcurrentChange, match="1 of 2 rows of standing"), database.write_unaudited() as connection:  # noqa: PT012
        rows = [("new", 1, b"x", 2), ("a", version, b"second", 2)]
        bulk.upsert(connection, standing, _STANDING, rows, only_if_version_follows=True)
    assert _standings(database) == {"a": (2, b"first")}


def test_a_race_loses_no_update(database: Database) -> None:
    """reliability.md OR3: applied and refused together are every attempt, and each applied one is one version."""

    def step(_: int) -> tuple[int, int]:
        applied = refused = 0
        for _try in range(_TRIES):
            with database.read() as connection:
                version = connection.execute(sa.select(standing.c.version)).scalar() or 0
            try:
                with database.write_unaudited() as connection:
                    row = ("a", version + 1, b"x", 1)
                    bulk.upsert(connection, standing, _STANDING, [row], only_if_version_follows=True)
            except ConcurrentChange:
                refused += 1
            else:
                applied += 1
        return applied, refused

    results = race(_THREADS, step)
    assert all(isinstance(result, tuple) for result in results), results
    assert sum(applied + refused for applied, refused in results) == _THREADS * _TRIES
    assert _standings(database)["a"][0] == sum(applied for applied, _ in results)


def test_more_keys_than_one_statement_takes(database: Database) -> None:
    keys = [f"k{number}" for number in range(40_001)]
    with database.write_unaudited() as connection:
        bulk.insert(connection, standing, _STANDING, [(key, 1, b"", 1) for key in keys[::2]])
        rows = bulk.select_by_keys(connection, standing, ("account_id",), "account_id", keys)
    assert sorted(rows) == sorted((key,) for key in keys[::2])


def test_numbers_as_keys(database: Database) -> None:
    columns = ("seq", "ref", "read_at", "key_id", "body")
    with database.write_unaudited() as connection:
        bulk.insert(connection, inbox_reading, columns, [(seq, "r", 1, "k", b"") for seq in (1, 1, 2**40)])
        rows = bulk.select_by_keys(connection, inbox_reading, ("seq",), "seq", [1, 2**40, 5])
    assert sorted(rows) == [(1,), (1,), (2**40,)]


def test_a_store_without_a_free_connection_says_so(database: Database) -> None:
    database.engine.pool._timeout = 0.05  # type: ignore[attr-defined]  # no public setting for it
    held = []
    with pytest.raises(StoreUnavailable, match="Every connection"):  # noqa: PT012  whichever round is the first too many
        for _ in range(50):
            reading = database.read()
            reading.__enter__()
            held.append(reading)
    assert len(held) >= 10
    for reading in held:
        reading.__exit__(None, None, None)


_VALUES = {
    "text": st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20),
    "bigint": st.integers(-(2**63), 2**63 - 1),
    "integer": st.integers(-(2**31), 2**31 - 1),
    "bytea": st.binary(max_size=20),
    "boolean": st.booleans(),
}


@pytest.fixture(scope="module")
def postgresql(postgres_url: str) -> Iterator[Database]:
    """A store that takes arrays."""
    with closing(Database(postgres_url)) as opened:
        yield opened


@pytest.mark.postgres
@settings(max_examples=60)
@given(drawn=st.data())
def test_what_is_packed_is_what_postgresql_reads(postgresql: Database, drawn: st.DataObject) -> None:
    name = drawn.draw(st.sampled_from(sorted(_VALUES)))
    values = drawn.draw(st.lists(st.none() | _VALUES[name], max_size=12) | st.lists(_VALUES[name], max_size=12))
    with postgresql.read() as connection:
        rows = connection.exec_driver_sql(f"SELECT unnest(%b::{name}[])", (pack(name, values),)).all()
    assert [row[0] for row in rows] == values


@pytest.mark.postgres
@pytest.mark.parametrize(("name", "value"), [("bigint", 2**63), ("integer", -(2**31) - 1)])
def test_a_number_that_no_column_holds_is_refused_by_the_database(postgresql: Database, name: str, value: int) -> None:
    with postgresql.read() as connection, pytest.raises(DataError):
        connection.exec_driver_sql(f"SELECT %b::{name}[]", (pack(name, [1, value, None]),))
