"""The audit chain: entries of one commit are leaves of a Merkle tree, its root is chained to the batch before.

Hashes follow RFC 6962 section 2.1 (0x00 before a leaf, 0x01 before a node), so an entry can be proved with a short path.
`verify_chain` is written against the tables alone and shares no code path with the writer but the leaf's layout.
"""

from collections.abc import Iterator, Sequence
from typing import Any
from datetime import datetime

import msgspec
from sqlalchemy import Connection, Row, select

from accordant.kernel.clock import to_micros
from accordant.kernel.hashing import canonical_json, digest
from accordant.ports.audit import AuditEntry
from accordant.store import bulk
from accordant.store.schema import audit_batch, audit_entry, audit_head

GENESIS = bytes(32)
_ENTRY = ("position", "kind", "actor", "subject", "cause", "at", "body", "leaf")


def leaf_hash(position: int, kind: str, actor: str, subject: str, cause: int | None, at: int, body: bytes) -> bytes:
    """The hash of one entry; ``at`` in microseconds, ``body`` as stored. The position is inside: entries cannot swap places."""
    frame = msgspec.json.encode((position, kind, actor, subject, cause, at))
    return digest(b"\x00" + len(frame).to_bytes(4, "big") + frame + body)


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """The root over ``leaves``; an odd node at the end of a level moves up unchanged. Empty input has the digest of nothing."""
    level = list(leaves)
    if not level:
        return digest(b"")
    while len(level) > 1:
        paired = [digest(b"\x01" + level[i] + level[i + 1]) for i in range(0, len(level) - 1, 2)]
        level = paired + level[len(level) - len(level) % 2 :]
    return level[0]


def batch_hash(number: int, first_position: int, count: int, root: bytes, previous: bytes, sealed_at: int) -> bytes:
    """The hash that the next batch is chained to."""
    return digest(b"\x02" + msgspec.json.encode((number, first_position, count, root.hex(), previous.hex(), sealed_at)))


def append(connection: Connection, entries: Sequence[AuditEntry], *, now: datetime) -> None:
    """Chain ``entries`` to the trail inside the current transaction.

    The head row is locked until the commit: this is the last thing a transaction does, so that the lock is short.
    """
    if not entries:
        return
    prepared = [(entry, canonical_json(entry.body)) for entry in entries]
    batch, position, previous = _lock_head(connection)
    rows = []
    for offset, (entry, body) in enumerate(prepared, start=1):
        place, at = position + offset, to_micros(entry.at)
        leaf = leaf_hash(place, entry.kind, entry.actor, entry.subject, entry.cause, at, body)
        rows.append((place, entry.kind, entry.actor, entry.subject, entry.cause, at, body, leaf))
    bulk.insert(connection, audit_entry, _ENTRY, rows)
    sealed_at = to_micros(now)
    root = merkle_root([row[7] for row in rows])
    chained = batch_hash(batch + 1, position + 1, len(rows), root, previous, sealed_at)
    bulk.insert(
        connection,
        audit_batch,
        ("number", "first_position", "count", "root", "previous", "hash", "sealed_at"),
        [(batch + 1, position + 1, len(rows), root, previous, chained, sealed_at)],
    )
    bulk.upsert(
        connection, audit_head, ("id", "batch", "position", "hash"), [(1, batch + 1, position + len(rows), chained)]
    )


def _lock_head(connection: Connection) -> tuple[int, int, bytes]:
    query = select(audit_head.c.batch, audit_head.c.position, audit_head.c.hash).where(audit_head.c.id == 1)
    row = connection.execute(query.with_for_update()).one_or_none()
    if row is None:
        # Two first writers at once: the insert makes one wait, and the second read sees what the other committed.
        bulk.insert_new(connection, audit_head, ("id", "batch", "position", "hash"), [(1, 0, 0, GENESIS)])
        row = connection.execute(query.with_for_update()).one()
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


def verify_chain(connection: Connection, *, faults_max: int = 100) -> ChainReport:
    """Recompute every leaf, root and link from the first batch to the head; stop after ``faults_max`` faults."""
    faults: list[ChainFault] = []
    previous, expected_position, number, entries = GENESIS, 1, 0, 0
    for batch in connection.execute(select(audit_batch).order_by(audit_batch.c.number)):
        faults.extend(_check_batch(connection, batch, number + 1, expected_position, previous))
        number, previous = batch.number, bytes(batch.hash)
        expected_position = batch.first_position + batch.count
        entries += batch.count
        if len(faults) >= faults_max:
            break
    else:
        faults.extend(_check_head(connection, number, expected_position - 1, previous))
    return ChainReport(batches=number, entries=entries, head=previous.hex(), faults=tuple(faults[:faults_max]))


def _check_batch(
    connection: Connection, batch: Row[Any], number: int, position: int, previous: bytes
) -> Iterator[ChainFault]:
    if batch.number != number:
        yield ChainFault(
            position=position, problem=f"batch {number} is missing: the next one is numbered {batch.number}"
        )
    if batch.first_position != position:
        yield ChainFault(
            position=position, problem=f"batch {batch.number} should begin at {position}, not {batch.first_position}"
        )
    if bytes(batch.previous) != previous:
        yield ChainFault(position=position, problem=f"batch {batch.number} is not chained to the batch before it")
    leaves = []
    found = connection.execute(
        select(audit_entry)
        .where(
            audit_entry.c.position >= batch.first_position, audit_entry.c.position < batch.first_position + batch.count
        )
        .order_by(audit_entry.c.position)
    )
    for entry in found:
        body = bytes(entry.body)
        leaf = leaf_hash(entry.position, entry.kind, entry.actor, entry.subject, entry.cause, entry.at, body)
        if leaf != bytes(entry.leaf):
            yield ChainFault(position=entry.position, problem="the entry was altered after it was written")
        leaves.append(leaf)
    if len(leaves) != batch.count:
        yield ChainFault(
            position=batch.first_position, problem=f"batch {batch.number} has {len(leaves)} entries of {batch.count}"
        )
    if merkle_root(leaves) != bytes(batch.root):
        yield ChainFault(
            position=batch.first_position, problem=f"the entries of batch {batch.number} do not add up to its root"
        )
    expected = batch_hash(
        batch.number, batch.first_position, batch.count, bytes(batch.root), bytes(batch.previous), batch.sealed_at
    )
    if expected != bytes(batch.hash):
        yield ChainFault(position=batch.first_position, problem=f"the seal of batch {batch.number} was altered")


def _check_head(connection: Connection, number: int, position: int, previous: bytes) -> Iterator[ChainFault]:
    head = connection.execute(select(audit_head).where(audit_head.c.id == 1)).one_or_none()
    if head is None:
        if number:
            yield ChainFault(position=position, problem="the head of the trail is missing")
        return
    if (head.batch, head.position, bytes(head.hash)) != (number, position, previous):
        yield ChainFault(
            position=position,
            problem=f"the trail ends at batch {number}, its head says {head.batch}: the end was cut or added to",
        )
    beyond = connection.execute(
        select(audit_entry.c.position).where(audit_entry.c.position > position).limit(1)
    ).scalar()
    if beyond is not None:
        yield ChainFault(position=int(beyond), problem="an entry stands behind the last batch: it was inserted by hand")
