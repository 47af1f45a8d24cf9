"""The audit trail: whoever changes it without the product's help is found, and the place is named."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from accordant.kernel.hashing import digest
from accordant.store import audit
from accordant.store.audit import append, merkle_root, verify_chain
from accordant.store.checkpoints import (
    CheckpointForged,
    CheckpointSigner,
    CheckpointUnreadable,
    export_checkpoint,
    read_checkpoint,
    read_signer,
)
from accordant.store.engine import Database
from accordant.store.migrate import migrate
from accordant.store.schema import audit_entry, audit_head
from tests.integration.store.rows import NOW, an_entry, race
from tests.integration.store.trail import (
    ENTRIES,
    FIRSTS,
    SIGNER,
    SIZES,
    TAMPERS,
    Tamper,
    cut_back,
    edit,
    forge_all,
    forget_all,
    guard,
    reseal,
    write_trail,
)


@pytest.fixture
def trail(database: Database) -> Iterator[Database]:
    """A trail of seven batches, with the triggers off: whoever tampers has the rights for that."""
    yield write_trail(database)
    guard(database, on=True)


@pytest.fixture
def loose_trail(tmp_path: Path) -> Iterator[Database]:
    """The same on SQLite, which takes any value in any column; PostgreSQL keeps the types by itself."""
    database = Database(f"sqlite:///{tmp_path / 'loose.sqlite'}")
    migrate(database)
    yield write_trail(database)
    database.close()


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
    assert (report.batches, report.entries, report.head, report.faults) == (7, ENTRIES, bytes(head).hex(), ())


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
    assert (report.batches, report.entries, report.faults) == (8, ENTRIES + 1, ())


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
    """reliability.md AU2: 32 kinds at each of 24 entries on two stores."""
    for position in range(1, ENTRIES + 1):
        place, faults = _tampered(trail, TAMPERS[kind], position)
        assert place in {fault.position for fault in faults}, (position, faults)


def test_tampering_upon_tampering_is_found(trail: Database) -> None:
    columns = st.sampled_from(["kind", "actor", "subject", "cause", "at", "body"])

    @settings(max_examples=200)
    @given(
        st.lists(st.tuples(st.integers(1, ENTRIES), columns, st.integers(10_002, 10_009)), min_size=1, max_size=6),
        st.data(),
    )
    def found(edits: list[tuple[int, str, int]], data: st.DataObject) -> None:
        resealed = data.draw(st.sets(st.integers(1, len(SIZES))))

        def alter(connection: Connection, _: int) -> int:
            for position, column, value in edits:
                altered = {"cause": value, "at": value, "body": f"x{value}".encode()}
                edit(connection, position, **{column: altered.get(column, f"x{value}")})
            for number in sorted(resealed):
                reseal(connection, number)
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
        return FIRSTS[2]

    place, faults = _tampered(loose_trail, alter, 5)
    assert [(place, "batch 3 is not readable")] == [(one.position, one.problem) for one in faults]


def test_the_report_stops_at_its_bound(trail: Database) -> None:
    with trail.write() as connection:
        connection.execute(sa.update(audit_entry).values(actor="mallory"))
        assert len(verify_chain(connection, faults_max=3).faults) == 3


# -- checkpoints -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("forge", "words"),
    [(forge_all, "the trail was rewritten"), (cut_back, "the end was cut"), (forget_all, "the end was cut")],
)
def test_only_a_checkpoint_shows_a_perfect_forgery(
    trail: Database, forge: Callable[[Connection, int], None], words: str
) -> None:
    with trail.read() as connection:
        line = export_checkpoint(connection, now=NOW, signer=SIGNER)
    with trail.write() as connection:
        forge(connection, 7)
        assert verify_chain(connection).faults == ()
        (fault,) = verify_chain(connection, checkpoints=[read_checkpoint(line, public=SIGNER.public)]).faults
    assert words in fault.problem
    assert "checkpoint of 2026-03-01 12:00" in fault.problem


def test_a_forgery_before_an_older_checkpoint_is_found_although_the_trail_went_on(trail: Database) -> None:
    with trail.read() as connection:
        line = export_checkpoint(connection, now=NOW, signer=SIGNER)
    with trail.write() as connection:
        forge_all(connection, 7)
        append(connection, [an_entry()], now=NOW)
        assert verify_chain(connection).faults == ()
        (fault,) = verify_chain(connection, checkpoints=[read_checkpoint(line, public=SIGNER.public)]).faults
    assert fault.position == FIRSTS[-1]


def test_a_checkpoint_holds_while_the_trail_grows(trail: Database) -> None:
    with trail.read() as connection:
        mark = read_checkpoint(export_checkpoint(connection, now=NOW, signer=SIGNER), public=SIGNER.public)
    assert (mark.batch, mark.position, mark.at) == (7, ENTRIES, NOW)
    with trail.write() as connection:
        append(connection, [an_entry()], now=NOW)
    with trail.read() as connection:
        assert verify_chain(connection, checkpoints=[mark]).faults == ()


def test_a_checkpoint_of_an_empty_trail_holds_for_ever(database: Database) -> None:
    with database.read() as connection:
        mark = read_checkpoint(export_checkpoint(connection, now=NOW, signer=SIGNER), public=SIGNER.public)
        assert verify_chain(connection, checkpoints=[mark]).faults == ()
    with database.write() as connection:
        append(connection, [an_entry()], now=NOW)
    with database.read() as connection:
        assert verify_chain(connection, checkpoints=[mark]).faults == ()


def test_a_checkpoint_is_one_line_of_json(trail: Database) -> None:
    with trail.read() as connection:
        line = export_checkpoint(connection, now=NOW, signer=SIGNER)
    assert "\n" not in line
    assert set(msgspec.json.decode(line)) == {"batch", "position", "hash", "at", "key", "signature"}


@pytest.mark.parametrize(
    "line", ["", "{}", "[]", "{", '{"batch":"x","position":1,"hash":"","at":"2026-01-01"}', "\ud800"]
)
def test_what_is_no_checkpoint_is_refused(line: str) -> None:
    with pytest.raises(CheckpointUnreadable, match="not a checkpoint"):
        read_checkpoint(line, public=SIGNER.public)


def test_a_checkpoint_that_somebody_made_up_is_refused(trail: Database) -> None:
    with trail.read() as connection:
        line = export_checkpoint(connection, now=NOW, signer=SIGNER)
    told = msgspec.json.decode(line)
    other = CheckpointSigner(bytes(32))
    mallory = other.sign(batch=told["batch"], position=told["position"], head=bytes(32), at=NOW)
    made_up = [
        *({**told, **change} for change in ({"position": 23}, {"batch": 6}, {"hash": "00" * 32}, {"signature": ""})),
        {**told, "at": "2026-03-01T12:00:01Z"},
        msgspec.to_builtins(mallory),
        {**msgspec.to_builtins(mallory), "key": SIGNER.public},
    ]
    for one in made_up:
        with pytest.raises(CheckpointForged, match="not signed by this key"):
            read_checkpoint(msgspec.json.encode(one).decode(), public=SIGNER.public)
    with pytest.raises(CheckpointForged):
        read_checkpoint(line, public=other.public)


def test_the_keys_of_an_installation_are_made_once(tmp_path: Path) -> None:
    first = read_signer(tmp_path / "home")
    assert read_signer(tmp_path / "home").public == first.public
    assert (tmp_path / "home" / "checkpoint.pub").read_text().strip() == first.public
    assert (tmp_path / "home" / "checkpoint.key").stat().st_mode & 0o777 == 0o600


def test_equal_bodies_have_unequal_commitments(trail: Database) -> None:
    """Nobody who has the trail without its salts can test a guess of a body."""
    with trail.write() as connection:
        append(connection, [an_entry() for _ in range(50)], now=NOW)
    with trail.read() as connection:
        rows = connection.execute(sa.select(audit_entry).where(audit_entry.c.position > ENTRIES)).all()
    assert len({row.body for row in rows}) == 1
    assert len({row.salt for row in rows}) == len({row.commitment for row in rows}) == 50
    assert all(len(row.salt) == 16 for row in rows)
