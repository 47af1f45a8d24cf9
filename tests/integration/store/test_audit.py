"""The audit trail: whoever changes it without the product's help is found, and the place is named."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from accordant.kernel.hashing import digest
from accordant.store import audit
from accordant.store.audit import (
    CheckpointUnreadable,
    append,
    batch_hash,
    export_checkpoint,
    leaf_hash,
    merkle_root,
    read_checkpoint,
    verify_chain,
)
from accordant.store.engine import Database
from accordant.store.migrate import migrate
from accordant.store.schema import APPEND_ONLY, audit_batch, audit_entry, audit_head
from tests.integration.store.rows import NOW, SECOND, an_entry, race

_SIZES = (1, 2, 3, 5, 8, 1, 4)
_ENTRIES = sum(_SIZES)
_FIRSTS = tuple(1 + sum(_SIZES[:index]) for index in range(len(_SIZES)))


@pytest.fixture
def trail(database: Database) -> Database:
    """A trail of seven batches, with the triggers gone: whoever tampers has the rights to drop them."""
    return _write_trail(database)


@pytest.fixture
def loose_trail(tmp_path: Path) -> Iterator[Database]:
    """The same on SQLite, which takes any value in any column; PostgreSQL keeps the types by itself."""
    database = Database(f"sqlite:///{tmp_path / 'loose.sqlite'}")
    migrate(database)
    yield _write_trail(database)
    database.close()


def _write_trail(database: Database) -> Database:
    number = 0
    for index, size in enumerate(_SIZES):
        entries = [an_entry(f"crm:Account/{number + offset}", number=number + offset) for offset in range(size)]
        number += size
        with database.write() as connection:
            append(connection, entries, now=NOW + index * SECOND)
    with database.write() as connection:
        for table in APPEND_ONLY if database.is_sqlite else ():
            for verb in ("update", "delete"):
                connection.exec_driver_sql(f"DROP TRIGGER append_only_{table.name}_{verb}")
        if not database.is_sqlite:
            connection.exec_driver_sql("DROP FUNCTION accordant_append_only CASCADE")
    return database


def _batch_of(position: int) -> int:
    """The number of the batch that holds ``position``."""
    return max(index for index, first in enumerate(_FIRSTS) if first <= position) + 1


def _entry(connection: Connection, position: int) -> dict[str, Any]:
    row = connection.execute(sa.select(audit_entry).where(audit_entry.c.position == position)).one()
    return dict(row._mapping)


def _edit(connection: Connection, position: int, **values: Any) -> None:
    connection.execute(sa.update(audit_entry).where(audit_entry.c.position == position).values(values))


def _edit_batch(connection: Connection, number: int, **values: Any) -> None:
    connection.execute(sa.update(audit_batch).where(audit_batch.c.number == number).values(values))


def _leaf(row: dict[str, Any]) -> bytes:
    frame = (row["position"], row["kind"], row["actor"], row["subject"], row["cause"], row["at"])
    return leaf_hash(frame, bytes(row["body"]))


def _reseal(connection: Connection, number: int, *, previous: bytes | None = None) -> bytes:
    """Recompute leaves, root and hash of a batch, as a forger who knows the code would; the new hash."""
    first = _FIRSTS[number - 1]
    leaves = []
    for position in range(first, first + _SIZES[number - 1]):
        leaf = _leaf(_entry(connection, position))
        _edit(connection, position, leaf=leaf)
        leaves.append(leaf)
    row = connection.execute(sa.select(audit_batch).where(audit_batch.c.number == number)).one()._mapping
    before, root = bytes(row["previous"]) if previous is None else previous, merkle_root(leaves)
    span = (number, first, _SIZES[number - 1])
    chained = batch_hash(span, root=root, previous=before, sealed_at=row["sealed_at"])
    _edit_batch(connection, number, root=root, previous=before, hash=chained)
    return chained


# Each takes a connection and an entry's position, alters the trail, and says where the fault is to be found.
Tamper = Callable[[Connection, int], int]


def _edits(column: str, value: Any) -> Tamper:
    def alter(connection: Connection, position: int) -> int:
        _edit(connection, position, **{column: value})
        return position

    return alter


def _edit_and_new_leaf(connection: Connection, position: int) -> int:
    _edit(connection, position, actor="mallory")
    _edit(connection, position, leaf=_leaf(_entry(connection, position)))
    return _FIRSTS[_batch_of(position) - 1]


def _edit_and_new_root(connection: Connection, position: int) -> int:
    place = _edit_and_new_leaf(connection, position)
    number = _batch_of(position)
    kept = connection.execute(sa.select(audit_batch.c.hash).where(audit_batch.c.number == number)).scalar_one()
    _reseal(connection, number)
    _edit_batch(connection, number, hash=kept)
    return place


def _edit_and_new_seal(connection: Connection, position: int) -> int:
    _edit(connection, position, actor="mallory")
    number = _batch_of(position)
    _reseal(connection, number)
    return _FIRSTS[number] if number < len(_SIZES) else _ENTRIES


def _delete_entry(connection: Connection, position: int) -> int:
    connection.execute(sa.delete(audit_entry).where(audit_entry.c.position == position))
    return position


def _delete_batch(connection: Connection, position: int) -> int:
    number = _batch_of(position)
    connection.execute(sa.delete(audit_batch).where(audit_batch.c.number == number))
    # Without the last batch the entries of it stand behind the end.
    return _FIRSTS[number - 1]


def _delete_batch_and_entries(connection: Connection, position: int) -> int:
    place = _delete_batch(connection, position)
    size = _SIZES[_batch_of(position) - 1]
    connection.execute(sa.delete(audit_entry).where(audit_entry.c.position.between(place, place + size - 1)))
    return place if place + size <= _ENTRIES else place - 1


def _insert_inside(connection: Connection, position: int) -> int:
    forged = {**_entry(connection, position), "actor": "mallory"}
    later = audit_entry.c.position >= position
    connection.execute(sa.update(audit_entry).where(later).values(position=-(audit_entry.c.position + 1)))
    connection.execute(
        sa.update(audit_entry).where(audit_entry.c.position < 0).values(position=-audit_entry.c.position)
    )
    connection.execute(audit_entry.insert().values({**forged, "leaf": _leaf(forged)}))
    # The forged entry is sound in itself: it is its batch that no longer adds up.
    return _FIRSTS[_batch_of(position) - 1]


def _insert_at(place: int) -> Tamper:
    def alter(connection: Connection, position: int) -> int:
        forged = {**_entry(connection, position), "position": place}
        connection.execute(audit_entry.insert().values({**forged, "leaf": _leaf(forged)}))
        return place

    return alter


def _swap(connection: Connection, position: int) -> int:
    other = position % _ENTRIES + 1
    one, two = _entry(connection, position), _entry(connection, other)
    for place, row in ((position, two), (other, one)):
        _edit(connection, place, **{name: value for name, value in row.items() if name != "position"})
    return position


def _alter_batch(column: str, value: Any) -> Tamper:
    def alter(connection: Connection, position: int) -> int:
        number = _batch_of(position)
        _edit_batch(connection, number, **{column: value})
        return _FIRSTS[number - 1]

    return alter


def _longer_batch(connection: Connection, position: int) -> int:
    number = _batch_of(position)
    _edit_batch(connection, number, count=_SIZES[number - 1] + 1)
    return _FIRSTS[number - 1]


def _renumber(connection: Connection, position: int) -> int:
    number = _batch_of(position)
    later = audit_batch.c.number >= number
    connection.execute(sa.update(audit_batch).where(later).values(number=-(audit_batch.c.number + 1)))
    connection.execute(sa.update(audit_batch).where(audit_batch.c.number < 0).values(number=-audit_batch.c.number))
    return _FIRSTS[number - 1]


def _cut(connection: Connection, position: int) -> int:
    """Everything from the batch of ``position`` on is gone; the head still knows better."""
    first = _FIRSTS[_batch_of(position) - 1]
    connection.execute(sa.delete(audit_batch).where(audit_batch.c.number >= _batch_of(position)))
    connection.execute(sa.delete(audit_entry).where(audit_entry.c.position >= first))
    return first - 1


def _forget_head(connection: Connection, _: int) -> int:
    connection.execute(audit_head.delete())
    return _ENTRIES


def _alter_head(column: str, value: Any) -> Tamper:
    def alter(connection: Connection, _: int) -> int:
        connection.execute(sa.update(audit_head).values({column: value}))
        return _ENTRIES

    return alter


TAMPERS: dict[str, Tamper] = {
    "edit kind": _edits("kind", "archive.write.refused"),
    "edit actor": _edits("actor", "mallory"),
    "edit subject": _edits("subject", "crm:Account/999"),
    "edit cause": _edits("cause", 99999),
    "forget cause": _edits("cause", None),
    "edit instant": _edits("at", 1),
    "edit body": _edits("body", b"{}"),
    "rewrite leaf": _edits("leaf", bytes(32)),
    "edit and rewrite leaf": _edit_and_new_leaf,
    "edit and rewrite leaf and root": _edit_and_new_root,
    "edit and rewrite leaf, root and seal": _edit_and_new_seal,
    "delete entry": _delete_entry,
    "delete batch": _delete_batch,
    "delete batch with its entries": _delete_batch_and_entries,
    "insert inside": _insert_inside,
    "insert behind": _insert_at(_ENTRIES + 1),
    "insert far behind": _insert_at(_ENTRIES + 1000),
    "insert before": _insert_at(0),
    "swap two entries": _swap,
    "rewrite root": _alter_batch("root", bytes(32)),
    "rewrite batch hash": _alter_batch("hash", bytes(32)),
    "rewrite link": _alter_batch("previous", digest(b"x")),
    "rewrite seal's instant": _alter_batch("sealed_at", 1),
    "lengthen batch": _longer_batch,
    "renumber batches": _renumber,
    "cut the end": _cut,
    "forget the head": _forget_head,
    "rewrite head hash": _alter_head("hash", bytes(32)),
    "rewrite head position": _alter_head("position", 1),
}


class _Undo(Exception):
    pass


def _tampered(database: Database, tamper: Tamper, position: int) -> tuple[int, list[audit.ChainFault]]:
    """Where the fault is to be found, and the faults the verifier names; the trail is whole again afterwards."""
    found: tuple[int, list[audit.ChainFault]] | None = None
    try:
        with database.write() as connection:
            place = tamper(connection, position)
            found = place, list(verify_chain(connection).faults)
            raise _Undo
    except _Undo:
        pass
    assert found is not None
    return found


# -- writing ---------------------------------------------------------------------------------------------------------


def test_an_untouched_trail_holds(trail: Database) -> None:
    with trail.read() as connection:
        report = verify_chain(connection)
        head = connection.execute(sa.select(audit_head.c.hash)).scalar_one()
    assert (report.batches, report.entries, report.head, report.faults) == (7, _ENTRIES, bytes(head).hex(), ())


def test_an_empty_trail_holds(database: Database) -> None:
    with database.write() as connection:
        append(connection, [], now=NOW)
    with database.read() as connection:
        report = verify_chain(connection)
    assert (report.batches, report.entries, report.faults) == (0, 0, ())


def test_what_is_rolled_back_leaves_no_gap(trail: Database) -> None:
    with pytest.raises(_Undo), trail.write() as connection:  # noqa: PT012  the end of the block is the statement
        append(connection, [an_entry()], now=NOW)
        raise _Undo
    with trail.write() as connection:
        append(connection, [an_entry()], now=NOW)
    with trail.read() as connection:
        report = verify_chain(connection)
    assert (report.batches, report.entries, report.faults) == (8, _ENTRIES + 1, ())


def test_the_root_is_the_one_of_rfc_6962() -> None:
    """Worked out by hand for three leaves: the third goes up alone."""
    a, b, c = (digest(name) for name in (b"a", b"b", b"c"))
    assert merkle_root([a, b, c]) == digest(b"\x01" + digest(b"\x01" + a + b) + c)
    assert merkle_root([a]) == a
    assert merkle_root([]) == digest(b"")


def test_many_writers_chain_without_a_gap(store_url: str, database: Database) -> None:
    def write(index: int) -> None:
        mine = Database(store_url)
        try:
            for number in range(20):
                with mine.write() as connection:
                    entries = [an_entry(f"{index}/{number}/{place}") for place in range(1 + number % 3)]
                    append(connection, entries, now=NOW)
        finally:
            mine.close()

    results = race(4, write)
    assert results == [None] * 4
    with database.read() as connection:
        report = verify_chain(connection)
        positions = connection.execute(sa.select(audit_entry.c.position).order_by(audit_entry.c.position)).scalars()
        assert list(positions) == list(range(1, report.entries + 1))
    assert (report.batches, report.entries, report.faults) == (80, 4 * 39, ())


def test_a_trail_that_grows_meanwhile_is_no_fault(trail: Database) -> None:
    done = threading.Event()

    def write() -> None:
        while not done.is_set():
            with trail.write() as connection:
                append(connection, [an_entry()], now=NOW)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(15):
            with trail.read() as connection:
                assert verify_chain(connection).faults == ()
    finally:
        done.set()
        writer.join()


# -- tampering -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", TAMPERS)
def test_every_kind_of_tampering_is_located_wherever_it_is(trail: Database, kind: str) -> None:
    """reliability.md AU2: 29 kinds at each of 24 entries on two stores."""
    for position in range(1, _ENTRIES + 1):
        place, faults = _tampered(trail, TAMPERS[kind], position)
        assert place in {fault.position for fault in faults}, (position, faults)


def test_tampering_upon_tampering_is_found(trail: Database) -> None:
    columns = st.sampled_from(["kind", "actor", "subject", "cause", "at", "body"])

    @settings(max_examples=200)
    @given(
        st.lists(st.tuples(st.integers(1, _ENTRIES), columns, st.integers(10_002, 10_009)), min_size=1, max_size=6),
        st.data(),
    )
    def found(edits: list[tuple[int, str, int]], data: st.DataObject) -> None:
        resealed = data.draw(st.sets(st.integers(1, len(_SIZES))))

        def alter(connection: Connection, _: int) -> int:
            for position, column, value in edits:
                altered = {"cause": value, "at": value, "body": f"x{value}".encode()}
                _edit(connection, position, **{column: altered.get(column, f"x{value}")})
            for number in sorted(resealed):
                _reseal(connection, number)
            return 0

        assert _tampered(trail, alter, 0)[1]

    found()
    with trail.read() as connection:
        assert verify_chain(connection).faults == ()


@pytest.mark.parametrize("column", ["kind", "subject", "at", "body", "leaf", "cause"])
def test_values_of_another_type_are_a_fault_not_an_error(loose_trail: Database, column: str) -> None:
    value = "'text'" if column in {"at", "body", "leaf", "cause"} else "x'00ff'"

    def alter(connection: Connection, position: int) -> int:
        connection.exec_driver_sql(f"UPDATE audit_entry SET {column} = {value} WHERE position = {position}")  # noqa: S608
        return position

    place, faults = _tampered(loose_trail, alter, 5)
    assert (place, "the entry was altered after it was written") in {(one.position, one.problem) for one in faults}


@pytest.mark.parametrize("column", ["first_position", "count", "root", "previous", "hash", "sealed_at"])
def test_a_batch_of_other_types_is_a_fault_not_an_error(loose_trail: Database, column: str) -> None:

    def alter(connection: Connection, position: int) -> int:
        connection.exec_driver_sql(f"UPDATE audit_batch SET {column} = 'text' WHERE number = 3")  # noqa: S608
        return _FIRSTS[2]

    place, faults = _tampered(loose_trail, alter, 5)
    assert [(place, "batch 3 is not readable")] == [(one.position, one.problem) for one in faults]


def test_the_report_stops_at_its_bound(trail: Database) -> None:
    with trail.write() as connection:
        connection.execute(sa.update(audit_entry).values(actor="mallory"))
        assert len(verify_chain(connection, faults_max=3).faults) == 3


# -- checkpoints -----------------------------------------------------------------------------------------------------


def _forge_all(connection: Connection, position: int) -> None:
    """A full rewrite with every hash recomputed, head included."""
    _edit(connection, position, actor="mallory")
    previous = audit.GENESIS
    for number in range(1, len(_SIZES) + 1):
        previous = _reseal(connection, number, previous=previous)
    connection.execute(sa.update(audit_head).values(hash=previous))


def _cut_back(connection: Connection, position: int) -> None:
    """The end is gone and the head says that it was never there."""
    _cut(connection, position)
    last = connection.execute(sa.select(audit_batch).order_by(audit_batch.c.number.desc()).limit(1)).one()._mapping
    end = last["first_position"] + last["count"] - 1
    connection.execute(sa.update(audit_head).values(batch=last["number"], position=end, hash=last["hash"]))


def _forget_all(connection: Connection, position: int) -> None:
    for table in (audit_entry, audit_batch, audit_head):
        connection.execute(table.delete())


@pytest.mark.parametrize(
    ("forge", "words"),
    [(_forge_all, "the trail was rewritten"), (_cut_back, "the end was cut"), (_forget_all, "the end was cut")],
)
def test_only_a_checkpoint_shows_a_perfect_forgery(
    trail: Database, forge: Callable[[Connection, int], None], words: str
) -> None:
    with trail.read() as connection:
        line = export_checkpoint(connection, now=NOW)
    with trail.write() as connection:
        forge(connection, 7)
        assert verify_chain(connection).faults == ()
        (fault,) = verify_chain(connection, checkpoint=read_checkpoint(line)).faults
    assert words in fault.problem
    assert "checkpoint of 2026-03-01 12:00" in fault.problem


def test_a_forgery_before_an_older_checkpoint_is_found_although_the_trail_went_on(trail: Database) -> None:
    with trail.read() as connection:
        line = export_checkpoint(connection, now=NOW)
    with trail.write() as connection:
        _forge_all(connection, 7)
        append(connection, [an_entry()], now=NOW)
        assert verify_chain(connection).faults == ()
        (fault,) = verify_chain(connection, checkpoint=read_checkpoint(line)).faults
    assert fault.position == _FIRSTS[-1]


def test_a_checkpoint_holds_while_the_trail_grows(trail: Database) -> None:
    with trail.read() as connection:
        mark = read_checkpoint(export_checkpoint(connection, now=NOW))
    assert (mark.batch, mark.position, mark.at) == (7, _ENTRIES, NOW)
    with trail.write() as connection:
        append(connection, [an_entry()], now=NOW)
    with trail.read() as connection:
        assert verify_chain(connection, checkpoint=mark).faults == ()


def test_a_checkpoint_of_an_empty_trail_holds_for_ever(database: Database) -> None:
    with database.read() as connection:
        mark = read_checkpoint(export_checkpoint(connection, now=NOW))
        assert verify_chain(connection, checkpoint=mark).faults == ()
    with database.write() as connection:
        append(connection, [an_entry()], now=NOW)
    with database.read() as connection:
        assert verify_chain(connection, checkpoint=mark).faults == ()


def test_a_checkpoint_is_one_line_of_json(trail: Database) -> None:
    with trail.read() as connection:
        line = export_checkpoint(connection, now=NOW)
    assert "\n" not in line
    assert set(msgspec.json.decode(line)) == {"batch", "position", "hash", "at"}


@pytest.mark.parametrize(
    "line", ["", "{}", "[]", "{", '{"batch":"x","position":1,"hash":"","at":"2026-01-01"}', "\ud800"]
)
def test_what_is_no_checkpoint_is_refused(line: str) -> None:
    with pytest.raises(CheckpointUnreadable, match="not a checkpoint"):
        read_checkpoint(line)
