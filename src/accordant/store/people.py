"""People and the digests of their tokens on SQL."""

from datetime import datetime
from typing import Any

from sqlalchemy import select, update

from accordant.canonical.people import Person, PersonRole
from accordant.kernel.clock import from_micros, to_micros
from accordant.ports.audit import AuditEntry
from accordant.store import audit, bulk
from accordant.store.engine import Database
from accordant.store.guard import bookkeeping
from accordant.store.schema_people import person, person_second

_COLUMNS = ("id", "name", "roles", "digest", "added_by", "added_at", "expires_at")

_PEOPLE = select(person, person_second.c.person_id, person_second.c.vouched_by).outerjoin(
    person_second, person_second.c.person_id == person.c.id
)


class SqlPeople:
    """`ports.people.PeopleBook` on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def everybody(self) -> tuple[Person, ...]:
        """See the port."""
        with self._database.read() as connection:
            rows = connection.execute(_PEOPLE.order_by(person.c.added_at.desc(), person.c.id))
            return tuple(_person(row) for row in rows)

    def find(self, token_id: str) -> tuple[Person, str] | None:
        """See the port."""
        with self._database.read() as connection:
            row = connection.execute(_PEOPLE.where(person.c.id == token_id)).one_or_none()
        return None if row is None else (_person(row), row.digest)

    def add(self, one: Person, *, digest: str, entry: AuditEntry) -> None:
        """See the port."""
        roles = ",".join(sorted(role.value for role in one.roles))
        row = (one.id, one.name, roles, digest, one.added_by, to_micros(one.added_at), to_micros(one.expires_at))
        with self._database.write() as connection:
            bulk.insert(connection, person, _COLUMNS, [row])
            if one.needs_second:
                bulk.insert(connection, person_second, ("person_id",), [(one.id,)])
            audit.append(connection, [entry], now=entry.at)

    def vouch(self, token_id: str, *, by: str, at: datetime, entry: AuditEntry) -> bool:
        """See the port."""
        change = (
            update(person_second)
            .where(person_second.c.person_id == token_id, person_second.c.vouched_at.is_(None))
            .values(vouched_by=by, vouched_at=to_micros(at))
        )
        with self._database.write() as connection:
            if not connection.execute(change).rowcount:
                return False
            audit.append(connection, [entry], now=entry.at)
        return True

    def revoke(self, token_id: str, *, by: str, at: datetime, entry: AuditEntry) -> bool:
        """See the port."""
        change = (
            update(person)
            .where(person.c.id == token_id, person.c.revoked_at.is_(None))
            .values(revoked_at=to_micros(at), revoked_by=by)
        )
        with self._database.write() as connection:
            if not connection.execute(change).rowcount:
                return False
            audit.append(connection, [entry], now=entry.at)
        return True

    def used(self, token_id: str, *, at: datetime) -> None:
        """See the port."""
        with self._database.write() as connection, bookkeeping(connection):
            connection.execute(update(person).where(person.c.id == token_id).values(last_used_at=to_micros(at)))


def _person(row: Any) -> Person:  # noqa: ANN401  a row of the table
    return Person(
        id=row.id,
        name=row.name,
        roles=frozenset(PersonRole(name) for name in row.roles.split(",")),
        added_by=row.added_by,
        added_at=from_micros(row.added_at),
        expires_at=from_micros(row.expires_at),
        revoked_at=None if row.revoked_at is None else from_micros(row.revoked_at),
        revoked_by=row.revoked_by,
        last_used_at=None if row.last_used_at is None else from_micros(row.last_used_at),
        needs_second=row.person_id is not None,
        vouched_by=row.vouched_by,
    )
