"""The trail as a file that leaves the machine: one JSON object a line, in the order in which it was written.

Without bodies it holds no content, and is verified all the same: the leaves stand on commitments. The reader is
`accordant.audit_verifier`, which shares no code with this.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection

from accordant.store.audit import steady

FORMAT = "accordant-audit-1"
#: Entries that are read at once.
_CHUNK = 5_000
_ENCODER = msgspec.json.Encoder()


def export_trail(connection: Connection, *, now: datetime, bodies: bool) -> Iterator[bytes]:
    """The lines of the export: what it is and how many rows it holds, each batch with its entries, and the head."""
    connection = steady(connection)
    counts = {name: _count(connection, name) for name in ("audit_batch", "audit_entry")}
    yield _line(
        format=FORMAT,
        exported_at=now,
        query="every row of audit_batch, audit_entry and audit_head",
        bodies=bodies,
        batches=counts["audit_batch"],
        entries=counts["audit_entry"],
    )
    names = ("number", "first_position", "count", "root", "previous", "hash", "sealed_at")
    for row in _rows(connection, "audit_batch", names):
        yield _line(batch=row)
    columns = ("position", "kind", "actor", "subject", "cause", "at", "commitment", "leaf")
    for row in _rows(connection, "audit_entry", (*columns, "salt", "body") if bodies else columns):
        yield _line(entry=row)
    for row in _rows(connection, "audit_head", ("batch", "position", "hash")):
        yield _line(head=row)


def _count(connection: Connection, table: str) -> int:
    return int(connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one())  # noqa: S608  our own names


def _rows(connection: Connection, table: str, names: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """Rows by their first column, a chunk at a time: a cursor over millions would keep them all in memory."""
    key, mark = names[0], "?" if connection.dialect.name == "sqlite" else "%s"
    after: int | None = None
    while True:
        where = "" if after is None else f"WHERE {key} > {mark} "
        sql = f"SELECT {', '.join(names)} FROM {table} {where}ORDER BY {key} LIMIT {_CHUNK}"  # noqa: S608  our own names
        rows = connection.exec_driver_sql(sql, () if after is None else (after,)).all()
        for row in rows:
            yield {name: _spelled(value) for name, value in zip(names, row, strict=True)}
        if len(rows) < _CHUNK:
            return
        after = rows[-1][0]


def _spelled(value: object) -> object:
    return bytes(value).hex() if isinstance(value, (bytes, memoryview)) else value


def _line(**said: object) -> bytes:
    return _ENCODER.encode(said) + b"\n"
