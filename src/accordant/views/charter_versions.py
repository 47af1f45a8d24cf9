"""The charters that were in force, newest first: when each came, by whom, and what it changed."""

from datetime import datetime

import msgspec
from sqlalchemy import select

from accordant.canonical.charter import Charter
from accordant.governance.charter_changes import Change, changes_between
from accordant.kernel.clock import from_micros
from accordant.store.engine import Database
from accordant.store.schema import audit_entry, charter_version

VERSIONS_MAX = 50


class Adoption(msgspec.Struct, frozen=True, kw_only=True):
    """One time a charter came into force. ``changes`` is None where there was none before it, or it cannot be read."""

    version: str
    before: str | None
    at: datetime
    by: str
    changes: tuple[Change, ...] | None


class _Body(msgspec.Struct, frozen=True):
    before: str | None = None
    after: str | None = None


def adoptions(database: Database) -> tuple[Adoption, ...]:
    """The newest ``VERSIONS_MAX`` adoptions."""
    with database.read() as connection:
        versions = {
            str(row.version): bytes(row.body)
            for row in connection.execute(
                select(charter_version.c.version, charter_version.c.body)
                .order_by(charter_version.c.loaded_at.desc())
                .limit(VERSIONS_MAX + 1)
            )
        }
        rows = connection.execute(
            select(audit_entry.c.actor, audit_entry.c.at, audit_entry.c.body)
            .where(audit_entry.c.subject.in_([f"charter/{version}" for version in versions]))
            .where(audit_entry.c.kind == "charter.version.adopted")
            .order_by(audit_entry.c.position.desc())
            .limit(VERSIONS_MAX)
        ).all()
    charters = {version: _read(body) for version, body in versions.items()}
    found = []
    for row in rows:
        said = msgspec.json.decode(row.body, type=_Body)
        old, new = charters.get(said.before or ""), charters.get(said.after or "")
        found.append(
            Adoption(
                version=said.after or "",
                before=said.before,
                at=from_micros(row.at),
                by=row.actor,
                changes=changes_between(old, new) if old is not None and new is not None else None,
            )
        )
    return tuple(found)


def _read(body: bytes) -> Charter | None:
    """A charter as it was kept; None where a later version of Accordant cannot read it any more."""
    try:
        return msgspec.json.decode(body, type=Charter)
    except msgspec.ValidationError:
        return None
