"""Which writes of a record changed which of its fields, told by the index alone, however many writes there are."""

from collections.abc import Iterator

from sqlalchemy import Connection, select

from accordant.store.schema import write_intent

#: Revisions that are looked through, the latest.
REVISIONS_MAX = 20_000


def changes_of(connection: Connection, record: str) -> Iterator[tuple[int, tuple[str, ...]]]:
    """The revisions of a record, the latest first, each with the names of the fields it changed."""
    rows = connection.execute(
        select(write_intent.c.revision, write_intent.c.changed)
        .where(write_intent.c.record == record)
        .order_by(write_intent.c.revision.desc())
        .limit(REVISIONS_MAX)
    )
    for revision, changed in rows:
        yield revision, tuple(changed.splitlines())
