"""How well customers are matched: how many were found, how many wait for a person, how many got a new record."""

from collections import Counter

import msgspec
from sqlalchemy import Connection, func, select

from accordant.canonical.refs import EntityKind
from accordant.store.schema import crosswalk, directory_record, entity, record_link, review_case


class MatchRate(msgspec.Struct, frozen=True, kw_only=True):
    """How the customers of one source stand at one target.

    ``customers`` are all that are known. ``matched`` have a record that was there before, ``created`` one made for
    them, ``review`` wait for a person; the rest, ``open``, is left out by the charter or was not looked at yet.
    ``by_rung`` says what the matched were found by; ``shared`` are customers that share a record with another.
    ``records`` are those known of the target.
    """

    target: str
    object: str
    customers: int
    matched: int
    created: int
    review: int
    shared: int
    records: int
    by_rung: dict[str, int]

    @property
    def open(self) -> int:
        """Customers without a record and without a question."""
        return max(0, self.customers - self.matched - self.created - self.review)

    @property
    def rate_percent(self) -> int | None:
        """The share of the customers that have a record, found or made, rounded down; None without any customer."""
        return 100 * (self.matched + self.created) // self.customers if self.customers else None


def match_rates(connection: Connection) -> tuple[MatchRate, ...]:
    """The match rate at every target that was searched, by name. Empty where nothing is matched."""
    places = sorted({(row[0], row[1]) for row in _counts(connection)} | set(_directory(connection)))
    customers = _customers(connection)
    return tuple(_rate(connection, target, object_name, customers) for target, object_name in places)


def _rate(connection: Connection, target: str, object_name: str, customers: dict[str, int]) -> MatchRate:
    by_rung: Counter[str] = Counter()
    created = 0
    for row_target, row_object, rung, count in _counts(connection):
        if (row_target, row_object) == (target, object_name):
            if rung is None:
                created += count
            else:
                by_rung[rung] += count
    waiting = select(func.count()).where(
        review_case.c.system == target,
        review_case.c.object == object_name,
        review_case.c.state == "open",
        review_case.c.waits.is_(True),
    )
    keys = (
        select(func.count().label("sharers"))
        .where(record_link.c.system == target, record_link.c.object == object_name)
        .group_by(record_link.c.key)
        .subquery()
    )
    shared = select(func.coalesce(func.sum(keys.c.sharers), 0)).where(keys.c.sharers > 1)
    return MatchRate(
        target=target,
        object=object_name,
        customers=sum(count for system, count in customers.items() if system != target),
        matched=sum(by_rung.values()),
        created=created,
        review=int(connection.execute(waiting).scalar_one()),
        shared=int(connection.execute(shared).scalar_one()),
        records=_directory(connection).get((target, object_name), 0),
        by_rung=dict(sorted(by_rung.items())),
    )


def _counts(connection: Connection) -> list[tuple[str, str, str | None, int]]:
    query = select(record_link.c.system, record_link.c.object, record_link.c.rung, func.count()).group_by(
        record_link.c.system, record_link.c.object, record_link.c.rung
    )
    return [(row[0], row[1], row[2], int(row[3])) for row in connection.execute(query)]


def _directory(connection: Connection) -> dict[tuple[str, str], int]:
    query = (
        select(directory_record.c.system, directory_record.c.object, func.count())
        .where(directory_record.c.is_live.is_(True))
        .group_by(directory_record.c.system, directory_record.c.object)
    )
    return {(row[0], row[1]): int(row[2]) for row in connection.execute(query)}


def _customers(connection: Connection) -> dict[str, int]:
    """Accounts by the system that owns them; a customer that somebody only named is not counted."""
    query = (
        select(crosswalk.c.system, func.count())
        .join(entity, entity.c.ref == crosswalk.c.ref)
        .where(entity.c.kind == EntityKind.ACCOUNT.value)
        .group_by(crosswalk.c.system)
    )
    return {row[0]: int(row[1]) for row in connection.execute(query)}
