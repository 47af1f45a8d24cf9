"""A record that the hub does not write: an object of its owner, or one it never touched. It is said which."""

import msgspec
from sqlalchemy import Connection, select

from accordant.canonical.refs import EntityKind, EntityRef
from accordant.kernel.ids import EntityId
from accordant.store.engine import Database
from accordant.store.schema import crosswalk, desired_record, discrepancy, entity, reconcile_run
from accordant.views.about import Told, TrailLine, lines_on, told_of
from accordant.views.book_trail import BookTrail, trail_of
from accordant.views.keyed import AnyRow

#: Records that are named as computed from an object.
RECORDS_MAX = 50
_RUNS_LOOKED_AT = 20


class Elsewhere(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of ``ref`` without a flow that writes it. ``says`` are sentences.

    ``root_id`` is the account it belongs to, and ``records`` are the target records computed from that account;
    ``books`` are the entries of a deal, a contract or a bill.
    """

    ref: str
    says: tuple[str, ...]
    root_id: str | None = None
    version: int | None = None
    records: tuple[str, ...] = ()
    events: tuple[Told, ...] = ()
    trail: tuple[TrailLine, ...] = ()
    books: tuple[BookTrail, ...] = ()


def elsewhere(database: Database, ref: str) -> Elsewhere | None:
    """What is known of a record no flow writes; None for what is not spelled ``system:Object/id``."""
    name = ref.strip()
    system, _, rest = name.partition(":")
    object_type, _, external_id = rest.partition("/")
    if not (system and object_type and external_id):
        return None
    with database.read() as connection:
        link = connection.execute(select(crosswalk).where(crosswalk.c.ref == name)).one_or_none()
        if link is None:
            return Elsewhere(ref=name, says=_unknown(connection, name, system), trail=lines_on(connection, [name]))
        found = _known(connection, name, link)
    return msgspec.structs.replace(found, books=trail_of(database, link.kind, link.entity_id))


def _known(connection: Connection, name: str, link: AnyRow) -> Elsewhere:
    held = connection.execute(
        select(entity.c.root_id, entity.c.version, entity.c.ref).where(entity.c.id == link.entity_id)
    ).one_or_none()
    root_id = held.root_id if held is not None else link.entity_id
    records = _records(connection, root_id)
    own = str(EntityRef(EntityKind(link.kind), EntityId(link.entity_id)))
    if held is None:
        says = [f"{link.system} named this {link.kind}; nobody has described it to the hub yet."]
    elif held.ref == name:
        says = [f"This {link.kind} belongs to {link.system}: the hub reads it and never writes it."]
    else:
        says = [f"This record is linked to {held.ref}, and no flow writes it."]
    says.append(
        f"Computed from its customer: {', '.join(records)}." if records else "No target record is computed from it."
    )
    return Elsewhere(
        ref=name,
        says=tuple(says),
        root_id=root_id,
        version=held.version if held is not None else None,
        records=records,
        events=told_of(connection, [link.entity_id]),
        trail=lines_on(connection, [name, own]),
    )


def _records(connection: Connection, root_id: str) -> tuple[str, ...]:
    """The records of everything that belongs to the account, found through its entities."""
    query = (
        select(desired_record.c.ref)
        .join(entity, entity.c.id == desired_record.c.entity_id)
        .where(entity.c.root_id == root_id)
        .order_by(desired_record.c.ref)
        .limit(RECORDS_MAX)
    )
    return tuple(connection.execute(query).scalars())


def _unknown(connection: Connection, name: str, system: str) -> tuple[str, ...]:
    says = [f"The hub has never written {name}, and links nothing to it: whatever it holds, somebody else wrote."]
    latest = [
        row.id
        for row in connection.execute(
            select(reconcile_run.c.id)
            .where(reconcile_run.c.finished_at.is_not(None))
            .order_by(reconcile_run.c.started_at.desc())
            .limit(_RUNS_LOOKED_AT)
        )
    ]
    seen = connection.execute(
        select(discrepancy.c.kind, discrepancy.c.run_id)
        .where(discrepancy.c.run_id.in_(latest), discrepancy.c.record == name)
        .order_by(discrepancy.c.id.desc())
        .limit(1)
    ).one_or_none()
    if seen is not None:
        says.append(f"Comparison {seen.run_id} met it in {system}: {seen.kind}.")
    return tuple(says)
