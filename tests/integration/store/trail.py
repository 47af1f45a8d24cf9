"""A trail of seven batches, and every way a hand with all rights may alter it without the product's help."""

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from accordant.kernel.hashing import digest
from accordant.store.audit import append, batch_hash, commit_to, leaf_hash, merkle_root
from accordant.store.checkpoints import GENESIS, CheckpointSigner
from accordant.store.engine import Database
from accordant.store.schema import APPEND_ONLY, audit_batch, audit_entry, audit_head
from tests.integration.store.rows import NOW, SECOND, an_entry

SIGNER = CheckpointSigner(bytes(range(32)))
SIZES = (1, 2, 3, 5, 8, 1, 4)
ENTRIES = sum(SIZES)
FIRSTS = tuple(1 + sum(SIZES[:index]) for index in range(len(SIZES)))


def write_trail(database: Database) -> Database:
    number = 0
    for index, size in enumerate(SIZES):
        entries = [an_entry(f"crm:Account/{number + offset}", number=number + offset) for offset in range(size)]
        number += size
        with database.write() as connection:
            append(connection, entries, now=NOW + index * SECOND)
    guard(database, on=False)
    return database


def guard(database: Database, *, on: bool) -> None:
    """Whether the past is kept unchanged. On SQLite it stays off once it is: there the file is a test's own."""
    with database.write() as connection:
        for table in APPEND_ONLY:
            if not database.is_sqlite:
                # As it was afterwards, the database is lent to the next test; to make it anew takes a second or more.
                what = "ENABLE" if on else "DISABLE"
                connection.exec_driver_sql(f"ALTER TABLE {table.name} {what} TRIGGER USER")
                continue
            for verb in () if on else ("update", "delete"):
                connection.exec_driver_sql(f"DROP TRIGGER append_only_{table.name}_{verb}")


def batch_of(position: int) -> int:
    """The number of the batch that holds ``position``."""
    return max(index for index, first in enumerate(FIRSTS) if first <= position) + 1


def entry_at(connection: Connection, position: int) -> dict[str, Any]:
    row = connection.execute(sa.select(audit_entry).where(audit_entry.c.position == position)).one()
    return dict(row._mapping)


def edit(connection: Connection, position: int, **values: Any) -> None:
    connection.execute(sa.update(audit_entry).where(audit_entry.c.position == position).values(values))


def edit_batch(connection: Connection, number: int, **values: Any) -> None:
    connection.execute(sa.update(audit_batch).where(audit_batch.c.number == number).values(values))


def leaf_of(row: dict[str, Any]) -> bytes:
    frame = (row["position"], row["kind"], row["actor"], row["subject"], row["cause"], row["at"])
    return leaf_hash(frame, bytes(row["commitment"]))


def reseal(connection: Connection, number: int, *, previous: bytes | None = None) -> bytes:
    """Recompute leaves, root and hash of a batch, as a forger who knows the code would; the new hash."""
    first = FIRSTS[number - 1]
    leaves = []
    for position in range(first, first + SIZES[number - 1]):
        row = entry_at(connection, position)
        row["commitment"] = commit_to(bytes(row["salt"]), bytes(row["body"]))
        leaf = leaf_of(row)
        edit(connection, position, commitment=row["commitment"], leaf=leaf)
        leaves.append(leaf)
    batch = connection.execute(sa.select(audit_batch).where(audit_batch.c.number == number)).one()
    before, root = bytes(batch.previous) if previous is None else previous, merkle_root(leaves)
    span = (number, first, SIZES[number - 1])
    chained = batch_hash(span, root=root, previous=before, sealed_at=batch.sealed_at)
    edit_batch(connection, number, root=root, previous=before, hash=chained)
    return chained


# Each takes a connection and an entry's position, alters the trail, and says where the fault is to be found.
Tamper = Callable[[Connection, int], int]


def _edits(column: str, value: Any) -> Tamper:
    def alter(connection: Connection, position: int) -> int:
        edit(connection, position, **{column: value})
        return position

    return alter


def _edit_and_new_leaf(connection: Connection, position: int) -> int:
    edit(connection, position, actor="mallory")
    edit(connection, position, leaf=leaf_of(entry_at(connection, position)))
    return FIRSTS[batch_of(position) - 1]


def _edit_and_new_root(connection: Connection, position: int) -> int:
    place = _edit_and_new_leaf(connection, position)
    number = batch_of(position)
    kept = connection.execute(sa.select(audit_batch.c.hash).where(audit_batch.c.number == number)).scalar_one()
    reseal(connection, number)
    edit_batch(connection, number, hash=kept)
    return place


def _edit_and_new_seal(connection: Connection, position: int) -> int:
    edit(connection, position, actor="mallory")
    number = batch_of(position)
    reseal(connection, number)
    return FIRSTS[number] if number < len(SIZES) else ENTRIES


def _edit_body_and_commitment(connection: Connection, position: int) -> int:
    salt = bytes(entry_at(connection, position)["salt"])
    edit(connection, position, body=b"{}", commitment=commit_to(salt, b"{}"))
    return position


def _delete_entry(connection: Connection, position: int) -> int:
    connection.execute(sa.delete(audit_entry).where(audit_entry.c.position == position))
    return position


def _delete_batch(connection: Connection, position: int) -> int:
    number = batch_of(position)
    connection.execute(sa.delete(audit_batch).where(audit_batch.c.number == number))
    # Without the last batch the entries of it stand behind the end.
    return FIRSTS[number - 1]


def _delete_batch_and_entries(connection: Connection, position: int) -> int:
    place = _delete_batch(connection, position)
    size = SIZES[batch_of(position) - 1]
    connection.execute(sa.delete(audit_entry).where(audit_entry.c.position.between(place, place + size - 1)))
    return place if place + size <= ENTRIES else place - 1


def _insert_inside(connection: Connection, position: int) -> int:
    forged = {**entry_at(connection, position), "actor": "mallory"}
    later = audit_entry.c.position >= position
    connection.execute(sa.update(audit_entry).where(later).values(position=-(audit_entry.c.position + 1)))
    connection.execute(
        sa.update(audit_entry).where(audit_entry.c.position < 0).values(position=-audit_entry.c.position)
    )
    connection.execute(audit_entry.insert().values({**forged, "leaf": leaf_of(forged)}))
    # The forged entry is sound in itself: it is its batch that no longer adds up.
    return FIRSTS[batch_of(position) - 1]


def _insert_at(place: int) -> Tamper:
    def alter(connection: Connection, position: int) -> int:
        forged = {**entry_at(connection, position), "position": place}
        connection.execute(audit_entry.insert().values({**forged, "leaf": leaf_of(forged)}))
        return place

    return alter


def _swap(connection: Connection, position: int) -> int:
    other = position % ENTRIES + 1
    one, two = entry_at(connection, position), entry_at(connection, other)
    for place, row in ((position, two), (other, one)):
        edit(connection, place, **{name: value for name, value in row.items() if name != "position"})
    return position


def _alter_batch(column: str, value: Any) -> Tamper:
    def alter(connection: Connection, position: int) -> int:
        number = batch_of(position)
        edit_batch(connection, number, **{column: value})
        return FIRSTS[number - 1]

    return alter


def _longer_batch(connection: Connection, position: int) -> int:
    number = batch_of(position)
    edit_batch(connection, number, count=SIZES[number - 1] + 1)
    return FIRSTS[number - 1]


def _renumber(connection: Connection, position: int) -> int:
    number = batch_of(position)
    later = audit_batch.c.number >= number
    connection.execute(sa.update(audit_batch).where(later).values(number=-(audit_batch.c.number + 1)))
    connection.execute(sa.update(audit_batch).where(audit_batch.c.number < 0).values(number=-audit_batch.c.number))
    return FIRSTS[number - 1]


def _cut(connection: Connection, position: int) -> int:
    """Everything from the batch of ``position`` on is gone; the head still knows better."""
    first = FIRSTS[batch_of(position) - 1]
    connection.execute(sa.delete(audit_batch).where(audit_batch.c.number >= batch_of(position)))
    connection.execute(sa.delete(audit_entry).where(audit_entry.c.position >= first))
    return first - 1


def _forget_head(connection: Connection, _: int) -> int:
    connection.execute(audit_head.delete())
    return ENTRIES


def _alter_head(column: str, value: Any) -> Tamper:
    def alter(connection: Connection, _: int) -> int:
        connection.execute(sa.update(audit_head).values({column: value}))
        return ENTRIES

    return alter


TAMPERS: dict[str, Tamper] = {
    "edit kind": _edits("kind", "archive.write.refused"),
    "edit actor": _edits("actor", "mallory"),
    "edit subject": _edits("subject", "crm:Account/999"),
    "edit cause": _edits("cause", 99999),
    "forget cause": _edits("cause", None),
    "edit instant": _edits("at", 1),
    "edit body": _edits("body", b"{}"),
    "edit body and commitment": _edit_body_and_commitment,
    "edit salt": _edits("salt", bytes(16)),
    "rewrite commitment": _edits("commitment", bytes(32)),
    "rewrite leaf": _edits("leaf", bytes(32)),
    "edit and rewrite leaf": _edit_and_new_leaf,
    "edit and rewrite leaf and root": _edit_and_new_root,
    "edit and rewrite leaf, root and seal": _edit_and_new_seal,
    "delete entry": _delete_entry,
    "delete batch": _delete_batch,
    "delete batch with its entries": _delete_batch_and_entries,
    "insert inside": _insert_inside,
    "insert behind": _insert_at(ENTRIES + 1),
    "insert far behind": _insert_at(ENTRIES + 1000),
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


# -- forgeries that are sound in themselves --------------------------------------------------------------------------


def forge_all(connection: Connection, position: int) -> None:
    """A full rewrite with every hash recomputed, head included."""
    edit(connection, position, actor="mallory")
    previous = GENESIS
    for number in range(1, len(SIZES) + 1):
        previous = reseal(connection, number, previous=previous)
    connection.execute(sa.update(audit_head).values(hash=previous))


def cut_back(connection: Connection, position: int) -> None:
    """The end is gone and the head says that it was never there."""
    _cut(connection, position)
    last = connection.execute(sa.select(audit_batch).order_by(audit_batch.c.number.desc()).limit(1)).one()._mapping
    end = last["first_position"] + last["count"] - 1
    connection.execute(sa.update(audit_head).values(batch=last["number"], position=end, hash=last["hash"]))


def forget_all(connection: Connection, position: int) -> None:
    for table in (audit_entry, audit_batch, audit_head):
        connection.execute(table.delete())
