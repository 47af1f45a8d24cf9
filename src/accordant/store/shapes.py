"""What targets said of their objects, on SQL: one row per object, its alert and its audit line in one transaction."""

from collections.abc import Sequence
from datetime import datetime

import msgspec
from sqlalchemy import func, select

from accordant.canonical.shapes import DescribedField, SeenShape, TargetDrift
from accordant.kernel.clock import from_micros, to_micros
from accordant.ports.shapes import ShapeChange
from accordant.store import audit, bulk
from accordant.store.alerts import raise_alert
from accordant.store.engine import Database
from accordant.store.schema import target_shape, write_intent

_COLUMNS = ("system", "object", "fields", "digest", "drift", "drifted_at", "seen_at", "revision")
_REVISION = select(func.max(target_shape.c.revision))
_FIELDS = msgspec.json.Decoder(tuple[DescribedField, ...] | None)
_DRIFT = msgspec.json.Decoder(tuple[TargetDrift, ...])
_REVISION = select(func.max(target_shape.c.revision))
_ENCODER = msgspec.json.Encoder(order="deterministic")


class SqlShapeBook:
    """`ports.shapes.ShapeBook` on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def shapes(self) -> tuple[SeenShape, ...]:
        """See the port."""
        with self._database.read() as connection:
            rows = connection.execute(select(target_shape).order_by(target_shape.c.system, target_shape.c.object))
            return tuple(
                SeenShape(
                    system=row.system,
                    object=row.object,
                    fields=_FIELDS.decode(row.fields),
                    digest=row.digest,
                    seen_at=from_micros(row.seen_at),
                    drift=_DRIFT.decode(row.drift),
                    drifted_at=None if row.drifted_at is None else from_micros(row.drifted_at),
                )
                for row in rows
            )

    def revision(self) -> int:
        """See the port."""
        with self._database.read() as connection:
            return connection.execute(_REVISION).scalar() or 0

    def keep(self, changes: Sequence[ShapeChange]) -> None:
        """See the port."""
        if not changes:
            return
        with self._database.write() as connection:
            known = {
                (row.system, row.object): row
                for row in connection.execute(
                    select(
                        target_shape.c.system,
                        target_shape.c.object,
                        target_shape.c.digest,
                        target_shape.c.drift,
                        target_shape.c.revision,
                    )
                )
            }
            following = max((row.revision for row in known.values()), default=0) + 1
            rows = []
            for change in changes:
                shape = change.shape
                drift, seen_at = _ENCODER.encode(shape.drift), to_micros(shape.seen_at)
                old = known.get((shape.system, shape.object))
                same = old is not None and (old.digest, bytes(old.drift)) == (shape.digest, drift)
                rows.append(
                    (
                        shape.system,
                        shape.object,
                        _ENCODER.encode(shape.fields),
                        shape.digest,
                        drift,
                        None if shape.drifted_at is None else to_micros(shape.drifted_at),
                        seen_at,
                        old.revision if old is not None and same else following,
                    )
                )
                if change.alert is not None:
                    subject = f"{shape.system} {shape.object}"
                    raise_alert(connection, kind="drift", subject=subject, body=change.alert, at=shape.seen_at)
            bulk.upsert(connection, target_shape, _COLUMNS, rows)
            entries = [change.entry for change in changes if change.entry is not None]
            if entries:
                audit.append(connection, entries, now=entries[0].at)

    def records_settled_since(self, system: str, object_name: str, since: datetime) -> frozenset[str]:
        """See the port."""
        with self._database.read() as connection:
            rows = connection.execute(
                select(write_intent.c.record)
                .where(
                    write_intent.c.target == system,
                    write_intent.c.object == object_name,
                    write_intent.c.settled_at >= to_micros(since),
                )
                .distinct()
            )
            return frozenset(row.record for row in rows)
