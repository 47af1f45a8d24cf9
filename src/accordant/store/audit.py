"""The audit chain: entries of one commit are leaves of a Merkle tree, its root is chained to the batch before.

A leaf holds a salted commitment to its body (docs/explanation/audit.md has the layout). `verify_chain` reads the tables
alone; `accordant.audit_verifier` does the same without a line of this. Next: `checkpoints.py`, `audit_export.py`.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, bindparam, select

from accordant.kernel.clock import to_micros
from accordant.kernel.hashing import canonical_json, digest
from accordant.ports.audit import AuditEntry
from accordant.store import bulk
from accordant.store.checkpoints import GENESIS, Checkpoint
from accordant.store.guard import tell
from accordant.store.schema import audit_batch, audit_entry, audit_head

_MISSING_SHOWN_MAX = 10
_ENTRY = ("position", "kind", "actor", "subject", "cause", "at", "salt", "body", "commitment", "leaf")
_HEAD = (
    select(audit_head.c.batch, audit_head.c.position, audit_head.c.hash).where(audit_head.c.id == 1).with_for_update()
)
#: Entries that belong to no batch.
_OUTSIDE = (
    select(audit_entry.c.position)
    .where((audit_entry.c.position > bindparam("last")) | (audit_entry.c.position < 1))
    .limit(_MISSING_SHOWN_MAX)
)
_SALT_BYTES = 16
RandomBytes = Callable[[int], bytes]


def commit_to(salt: bytes, body: bytes) -> bytes:
    """A commitment to ``body`` that nobody without the salt can test a guess against: both may go, the leaf stays."""
    return digest(b"\x03" + salt + body)


def leaf_hash(frame: tuple[int, str, str, str, int | None, int], commitment: bytes) -> bytes:
    """The hash of an entry: ``frame`` is (position, kind, actor, subject, cause, at in microseconds).

    The position is inside, so entries cannot swap places.
    """
    framed = msgspec.json.encode(frame)
    return digest(b"\x00" + len(framed).to_bytes(4, "big") + framed + commitment)


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """The root over ``leaves``; an odd node at the end of a level moves up unchanged. None: the digest of nothing."""
    level = list(leaves)
    if not level:
        return digest(b"")
    while len(level) > 1:
        paired = [digest(b"\x01" + level[i] + level[i + 1]) for i in range(0, len(level) - 1, 2)]
        level = paired + level[len(level) - len(level) % 2 :]
    return level[0]


def batch_hash(span: tuple[int, int, int], *, root: bytes, previous: bytes, sealed_at: int) -> bytes:
    """The hash that the next batch is chained to; ``span`` is (number, first position, count)."""
    return digest(b"\x02" + msgspec.json.encode((*span, root.hex(), previous.hex(), sealed_at)))


def append(
    connection: Connection, entries: Sequence[AuditEntry], *, now: datetime, random_bytes: RandomBytes = os.urandom
) -> None:
    """Chain ``entries`` to the trail inside the current transaction.

    The head row is locked until the commit: this is the last thing a transaction does, so that the lock is short.
    """
    if not entries:
        return
    tell(connection, entries)
    prepared = [(entry, canonical_json(entry.body)) for entry in entries]
    batch, position, previous = _lock_head(connection)
    rows = []
    salts = random_bytes(_SALT_BYTES * len(prepared))
    for offset, (entry, body) in enumerate(prepared):
        place, at = position + 1 + offset, to_micros(entry.at)
        frame = (place, entry.kind, entry.actor, entry.subject, entry.cause, at)
        salt = salts[offset * _SALT_BYTES : (offset + 1) * _SALT_BYTES]
        commitment = commit_to(salt, body)
        rows.append((*frame, salt, body, commitment, leaf_hash(frame, commitment)))
    bulk.insert(connection, audit_entry, _ENTRY, rows)
    sealed_at = to_micros(now)
    root = merkle_root([row[-1] for row in rows])
    span = (batch + 1, position + 1, len(rows))
    chained = batch_hash(span, root=root, previous=previous, sealed_at=sealed_at)
    bulk.insert(
        connection,
        audit_batch,
        ("number", "first_position", "count", "root", "previous", "hash", "sealed_at"),
        [(*span, root, previous, chained, sealed_at)],
    )
    bulk.upsert(
        connection, audit_head, ("id", "batch", "position", "hash"), [(1, batch + 1, position + len(rows), chained)]
    )


def _lock_head(connection: Connection) -> tuple[int, int, bytes]:
    row = connection.execute(_HEAD).one_or_none()
    if row is None:
        # Two first writers at once: the insert makes one wait, and the second read sees what the other committed.
        bulk.insert_new(connection, audit_head, ("id", "batch", "position", "hash"), [(1, 0, 0, GENESIS)])
        row = connection.execute(_HEAD).one()
    return int(row.batch), int(row.position), bytes(row.hash)


class ChainFault(msgspec.Struct, frozen=True, kw_only=True):
    """Where the trail does not hold, in words for an auditor."""

    position: int
    problem: str


class ChainReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a verification saw."""

    batches: int
    entries: int
    head: str
    faults: tuple[ChainFault, ...]


class _Batch(NamedTuple):
    number: int
    first_position: int
    size: int
    root: bytes
    previous: bytes
    hash: bytes
    sealed_at: int


def verify_chain(
    connection: Connection, *, faults_max: int = 100, checkpoints: Sequence[Checkpoint] = ()
) -> ChainReport:
    """Recompute every leaf, root and link from the first batch to the head; stop after ``faults_max`` faults.

    Without ``checkpoints`` kept elsewhere, a trail cut back to an earlier end or rewritten whole looks sound.
    """
    connection = steady(connection)
    faults: list[ChainFault] = []
    previous, expected_position, number, entries = GENESIS, 1, 0, 0
    for row in connection.exec_driver_sql(_BATCHES):
        batch = _read_batch(tuple(row))
        if batch is None:
            faults.append(ChainFault(position=expected_position, problem=f"batch {number + 1} is not readable"))
            break
        faults.extend(_check_batch(connection, batch, number + 1, expected_position, previous))
        faults.extend(_check_marks(batch, checkpoints))
        number, previous = batch.number, batch.hash
        expected_position = batch.first_position + batch.size
        entries += batch.size
        if len(faults) >= faults_max:
            break
    else:
        faults.extend(_check_head(connection, number, expected_position - 1, previous))
        faults.extend(_check_reach(number, expected_position - 1, checkpoints))
    return ChainReport(batches=number, entries=entries, head=previous.hex(), faults=tuple(faults[:faults_max]))


# Read as the driver gives them: a row whose types were altered must become a fault, not an error of a converter.
_BATCHES = "SELECT number, first_position, count, root, previous, hash, sealed_at FROM audit_batch ORDER BY number"
_ENTRIES = (
    "SELECT position, kind, actor, subject, cause, at, salt, body, commitment, leaf FROM audit_entry "
    "WHERE position >= {} AND position < {} ORDER BY position"
)


def steady(connection: Connection) -> Connection:
    """One view of all tables while others append; SQLite's read transaction is that already."""
    if connection.dialect.name == "sqlite" or connection.in_transaction():
        return connection
    return connection.execution_options(isolation_level="REPEATABLE READ")


def _read_batch(row: tuple[Any, ...]) -> _Batch | None:
    number, first_position, size, root, previous, chained, sealed_at = row
    whole = all(type(value) is int for value in (number, first_position, size, sealed_at))
    if not whole or not all(isinstance(value, bytes) for value in (root, previous, chained)):
        return None
    return _Batch(number, first_position, size, root, previous, chained, sealed_at)


def _check_batch(
    connection: Connection, batch: _Batch, number: int, position: int, previous: bytes
) -> Iterator[ChainFault]:
    first, name = batch.first_position, f"batch {batch.number}"
    if batch.number != number:
        missing = f"batch {number} is missing: the next one is numbered {batch.number}"
        yield ChainFault(position=position, problem=missing)
    if first != position:
        yield ChainFault(position=position, problem=f"{name} should begin at {position}, not at {first}")
    if batch.previous != previous:
        yield ChainFault(position=first, problem=f"{name} is not chained to the batch before it")
    leaves: dict[int, bytes] = {}
    sql = _ENTRIES.format(*_marks(connection))
    for place, *frame, salt, body, commitment, stored in connection.exec_driver_sql(sql, (first, first + batch.size)):
        leaf = _leaf_of((place, *frame), salt, body, commitment)
        if leaf is None or leaf != stored:
            yield ChainFault(position=place, problem="the entry was altered after it was written")
        leaves[place] = leaf or b""
    for place in range(first, first + min(batch.size, len(leaves) + _MISSING_SHOWN_MAX)):
        if place not in leaves:
            yield ChainFault(position=place, problem="the entry is missing")
    if len(leaves) != batch.size:
        yield ChainFault(position=first, problem=f"{name} has {len(leaves)} entries of {batch.size}")
    if merkle_root(tuple(leaves.values())) != batch.root:
        yield ChainFault(position=first, problem=f"the entries of {name} do not add up to its root")
    span = (batch.number, first, batch.size)
    sealed = batch_hash(span, root=batch.root, previous=batch.previous, sealed_at=batch.sealed_at)
    if sealed != batch.hash:
        yield ChainFault(position=first, problem=f"the seal of {name} was altered")


def _marks(connection: Connection) -> tuple[str, str]:
    return ("?", "?") if connection.dialect.name == "sqlite" else ("%s", "%s")


def _leaf_of(frame: tuple[Any, ...], salt: object, body: object, commitment: object) -> bytes | None:
    """The leaf an entry should have; None when its body does not open its commitment or a value is of another type."""
    position, kind, actor, subject, cause, at = frame
    texts = all(isinstance(value, str) for value in (kind, actor, subject))
    numbers = type(at) is int and (cause is None or type(cause) is int)
    if not (texts and numbers and isinstance(salt, bytes) and isinstance(body, bytes)):
        return None
    opened = commit_to(salt, body)
    return leaf_hash((position, kind, actor, subject, cause, at), opened) if opened == commitment else None


def _check_marks(batch: _Batch, checkpoints: Sequence[Checkpoint]) -> Iterator[ChainFault]:
    last = batch.first_position + batch.size - 1
    for mark in checkpoints:
        if mark.batch == batch.number and (batch.hash.hex(), last) != (mark.hash, mark.position):
            problem = f"batch {batch.number} is not the one the checkpoint of {mark.at:%Y-%m-%d %H:%M} names"
            yield ChainFault(position=batch.first_position, problem=f"{problem}: the trail was rewritten")


def _check_reach(number: int, position: int, checkpoints: Sequence[Checkpoint]) -> Iterator[ChainFault]:
    for mark in checkpoints:
        if mark.batch > number:
            problem = f"the trail ends at batch {number}, the checkpoint of {mark.at:%Y-%m-%d %H:%M} saw batch"
            yield ChainFault(position=position + 1, problem=f"{problem} {mark.batch}: the end was cut")


def _check_head(connection: Connection, number: int, position: int, previous: bytes) -> Iterator[ChainFault]:
    head = connection.exec_driver_sql("SELECT batch, position, hash FROM audit_head WHERE id = 1").one_or_none()
    if head is None:
        if number:
            yield ChainFault(position=position, problem="the head of the trail is missing")
    elif tuple(head) != (number, position, previous):
        problem = f"the trail ends at batch {number}, its head says {head[0]}: the end was cut or added to"
        yield ChainFault(position=position, problem=problem)
    for place in connection.execute(_OUTSIDE, {"last": position}).scalars():
        yield ChainFault(position=place, problem="the entry belongs to no batch: it was inserted by hand")
