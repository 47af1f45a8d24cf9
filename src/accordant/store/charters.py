"""The charters that were in force, each whole under its version: a decision names the version it was made under."""

from datetime import datetime

import msgspec
from sqlalchemy import delete, select

from accordant.canonical.charter import Charter
from accordant.kernel.clock import to_micros
from accordant.ports.audit import AuditEntry
from accordant.store import audit, bulk
from accordant.store.engine import Database
from accordant.store.guard import bookkeeping
from accordant.store.schema import charter_version, hub_fact

_IN_FORCE = "charter in force"
_DECIDED = "everything decided for the charter"
_APPROVED = "charter approved/"
_VERSION = select(hub_fact.c.value).where(hub_fact.c.name == _IN_FORCE)
_DECIDED_FOR = select(hub_fact.c.value).where(hub_fact.c.name == _DECIDED)
_FORGET_DECIDED = delete(hub_fact).where(hub_fact.c.name == _DECIDED)


class CharterShelf:
    """Remembers charters."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def in_force(self) -> str | None:
        """The version that was in force last, or None before the first."""
        with self._database.read() as connection:
            value = connection.execute(_VERSION).scalar()
        return None if value is None else str(value)

    def decided_for(self) -> str | None:
        """The version that everything was decided for last, or None before the first."""
        with self._database.read() as connection:
            value = connection.execute(_DECIDED_FOR).scalar()
        return None if value is None else str(value)

    def mark_decided(self, version: str, *, now: datetime) -> None:
        """Everything is decided for this version; of one that is no longer in force it says nothing."""
        row = (_DECIDED, version, to_micros(now))
        with self._database.write() as connection, bookkeeping(connection):
            if connection.execute(_VERSION).scalar() == version:
                bulk.upsert(connection, hub_fact, ("name", "value", "updated_at"), [row])

    def read(self, version: str) -> Charter | None:
        """A charter of the past; None too where this version of Accordant cannot read it any more."""
        with self._database.read() as connection:
            body = connection.execute(
                select(charter_version.c.body).where(charter_version.c.version == version)
            ).scalar()
        try:
            return None if body is None else msgspec.json.decode(body, type=Charter)
        except msgspec.ValidationError:
            return None

    def approved_by(self, version: str) -> str | None:
        """Who approved a charter last, or None."""
        query = select(hub_fact.c.value).where(hub_fact.c.name == f"{_APPROVED}{version}")
        with self._database.read() as connection:
            value = connection.execute(query).scalar()
        return None if value is None else str(value)

    def approve(self, version: str, *, actor: str, now: datetime) -> None:
        """Keep who approved exactly this charter, with its line in the trail."""
        entry = AuditEntry(
            kind="charter.version.approved", actor=actor, subject=f"charter/{version}", cause=None, at=now, body={}
        )
        row = (f"{_APPROVED}{version}", actor, to_micros(now))
        with self._database.write() as connection:
            bulk.upsert(connection, hub_fact, ("name", "value", "updated_at"), [row])
            audit.append(connection, [entry], now=now)

    def remember(self, charter: Charter, *, now: datetime, actor: str = "accordant") -> bool:
        """Put ``charter`` in force on behalf of ``actor``; False when it already was."""
        version, before = charter.version, self.in_force()
        if version == before:
            return False
        micros = to_micros(now)
        with self._database.write() as connection:
            body = msgspec.json.encode(charter, order="sorted")
            bulk.insert_new(connection, charter_version, ("version", "body", "loaded_at"), [(version, body, micros)])
            # One that comes back was decided for once, and the one between may have decided since.
            with bookkeeping(connection):
                connection.execute(_FORGET_DECIDED)
            bulk.upsert(connection, hub_fact, ("name", "value", "updated_at"), [(_IN_FORCE, version, micros)])
            entry = AuditEntry(
                kind="charter.version.adopted",
                actor=actor,
                subject=f"charter/{version}",
                cause=None,
                at=now,
                body={"before": before, "after": version},
            )
            audit.append(connection, [entry], now=now)
        return True
