"""Entities, standings, crosswalk, desired records on SQL; `commit` stores everything a batch decided, or nothing."""

from collections.abc import Iterable
from datetime import datetime

import msgspec
from sqlalchemy import Connection, Text, null, select, text, type_coerce, union_all, update

from accordant.analytics.movements import MovedRevenue
from accordant.canonical.clearances import CheckKind, Clearance
from accordant.canonical.conflicts import Stand
from accordant.canonical.entities import decode_entity, encode_entity
from accordant.canonical.intents import IntentState, WireValue, changed_names
from accordant.canonical.observations import Standpoint
from accordant.canonical.refs import EntityKind, EntityRef, ExternalRef
from accordant.canonical.standing import decode_standing, encode_standing
from accordant.kernel.clock import from_micros, to_micros
from accordant.kernel.ids import EntityId
from accordant.ports.audit import AuditEntry
from accordant.ports.state import (
    Changes,
    ConcurrentChange,
    DesiredRecord,
    PlannedIntent,
    Policy,
    StoredEntity,
    StoredStanding,
    WrittenRecord,
)
from accordant.store import audit, bulk
from accordant.store.alerts import raise_alert
from accordant.store.books import SqlBookshelf, commit_books
from accordant.store.clearances import read_clearances
from accordant.store.conflicts import change_stands, decode_marks, keep_decisions, read_stands
from accordant.store.engine import Database
from accordant.store.flags import keep_flags, keep_words, known_flags, open_stops
from accordant.store.grants import NEWEST, read_grants
from accordant.store.guard import bookkeeping
from accordant.store.leases import Guard, anybody
from accordant.store.movements import read_moved
from accordant.store.openings import read_releases
from accordant.store.product_use import commit_product_uses
from accordant.store.review import SqlReviews, commit_matches, guard_matches
from accordant.store.schema import (
    business_event,
    confirmed_record,
    crosswalk,
    desired_record,
    entity,
    observation,
    parked_lane,
    standing,
    switch,
    write_intent,
)
from accordant.store.schema_dispatch import sent_request

_ENTITY = (
    "id",
    "kind",
    "ref",
    "root_id",
    "version",
    "observed_at",
    "standpoint",
    "digest",
    "state",
    "cause",
    "updated_at",
)
_SWITCHES = select(switch.c.name)
_LINK = ("ref", "system", "object_type", "external_id", "kind", "entity_id", "since")
_DESIRED = (
    "ref", "flow", "target", "object", "key", "entity_id", "lane", "revision", "input_digest", "fields", "notes",
    "cause", "updated_at",
)  # fmt: skip
#: A desired record gives way to its next revision, or to the same with other notes: who read an older one comes again.
_FOLLOWS = (
    "desired_record.revision = excluded.revision - 1 OR "
    "desired_record.revision = excluded.revision AND desired_record.input_digest = excluded.input_digest"
)
_INTENT = (
    "id", "idempotency_key", "flow", "target", "object", "record", "lane", "step", "revision", "shadow", "input_digest",
    "changed", "body", "decision", "charter", "cause", "planned_at", "state", "attempts", "due_at", "reason",
    "settled_at",
)  # fmt: skip
_OBSERVATION = ("seq", "entity_id", "outcome", "reason", "version", "observed_at", "recorded_at")
_EVENT = ("id", "type", "root_id", "occurred_at", "recorded_at", "seq", "body")

#: Why a write was given up for a later one of the same record.
SUPERSEDED = "A newer revision of the record carries this change."
_FIELDS_DECODER = msgspec.json.Decoder(dict[str, WireValue])
_NOTES_DECODER = msgspec.json.Decoder(tuple[str, ...])
_ENCODER = msgspec.json.Encoder(order="sorted")
# Made once: to make a question, and its key among the compiled ones, takes longer than to ask it.
_SWITCHES = select(switch.c.name)
_POLICY = union_all(
    select(switch.c.name, *(type_coerce(null(), column.type).label(column.name) for column in NEWEST.selected_columns)),
    NEWEST.with_only_columns(type_coerce(null(), Text), *NEWEST.selected_columns),
)
_ANY_HELD = (
    select(write_intent.c.id)
    # Written out, not bound: a partial index is taken only where the query shows the index's own condition.
    .where(text("write_intent.state IN ('dead', 'held', 'uncertain') AND write_intent.state = 'held'"))
    .limit(1)
)
_DECIDED = select(entity.c.id).order_by(entity.c.updated_at, entity.c.id)
_KINDS = (EntityKind.ACCOUNT.value, EntityKind.COMPANY.value)
_DECIDED_ALONE = _DECIDED.where(entity.c.kind.in_(_KINDS))
_DECIDED_TOO = _DECIDED.where(entity.c.kind.in_((*_KINDS, EntityKind.PRODUCT.value)))


class SqlState:
    """`ports.state.State` on a database."""

    def __init__(self, database: Database, *, guard: Guard = anybody) -> None:
        self._database = database
        self._guard = guard
        self._matches = SqlReviews(database)
        self._books = SqlBookshelf(database)

    def under(self, guard: Guard) -> "SqlState":
        """The same state for one round: its commits ask ``guard`` first, which may refuse them."""
        return SqlState(self._database, guard=guard)

    @property
    def matches(self) -> SqlReviews:
        """See the port."""
        return self._matches

    @property
    def books(self) -> SqlBookshelf:
        """See the port."""
        return self._books

    def links(self, refs: Iterable[ExternalRef]) -> dict[ExternalRef, EntityRef]:
        """See the port."""
        by_name = {str(ref): ref for ref in refs}
        with self._database.read() as connection:
            rows = bulk.select_by_keys(connection, crosswalk, ("ref", "kind", "entity_id"), "ref", by_name)
        return {by_name[name]: EntityRef(EntityKind(kind), EntityId(entity_id)) for name, kind, entity_id in rows}

    def entities(self, ids: Iterable[str]) -> dict[str, StoredEntity]:
        """See the port."""
        with self._database.read() as connection:
            rows = bulk.select_by_keys(connection, entity, _ENTITY, "id", ids)
        return {row[0]: read_entity(row) for row in rows}

    def entities_of(self, account_ids: Iterable[str]) -> tuple[StoredEntity, ...]:
        """See the port."""
        with self._database.read() as connection:
            rows = bulk.select_by_keys(connection, entity, _ENTITY, "root_id", account_ids)
        return tuple(read_entity(row) for row in rows)

    def named(self, names: Iterable[tuple[str, EntityKind, str]]) -> dict[tuple[str, EntityKind, str], StoredEntity]:
        """See the port."""
        wanted = set(names)
        columns = ("system", "kind", "external_id", "entity_id")
        with self._database.read() as connection:
            rows = bulk.select_by_keys(connection, crosswalk, columns, "external_id", {name[2] for name in wanted})
        ids = {(system, EntityKind(kind), external_id): entity_id for system, kind, external_id, entity_id in rows}
        found = self.entities(ids[name] for name in wanted & ids.keys())
        return {name: found[ids[name]] for name in wanted & ids.keys() if ids[name] in found}

    def standings(self, account_ids: Iterable[str]) -> dict[str, StoredStanding]:
        """See the port."""
        with self._database.read() as connection:
            rows = bulk.select_by_keys(
                connection, standing, ("account_id", "version", "state"), "account_id", account_ids
            )
        return {
            account_id: StoredStanding(account_id=account_id, version=version, standing=decode_standing(state))
            for account_id, version, state in rows
        }

    def desired(self, refs: Iterable[str]) -> dict[str, DesiredRecord]:
        """See the port."""
        with self._database.read() as connection:
            rows = bulk.select_by_keys(connection, desired_record, _DESIRED, "ref", refs)
        return {row[0]: read_desired(row) for row in rows}

    def written(self, refs: Iterable[ExternalRef]) -> dict[ExternalRef, WrittenRecord]:
        """See the port."""
        by_system: dict[str, dict[str, list[ExternalRef]]] = {}
        for ref in refs:
            by_system.setdefault(ref.system, {}).setdefault(ref.id, []).append(ref)
        columns = ("ref", "object", "target_id", "marks")
        found: dict[ExternalRef, WrittenRecord] = {}
        with self._database.read() as connection:
            for system, names in by_system.items():
                place = ("target", system)
                rows = bulk.select_by_keys(connection, confirmed_record, columns, "target_id", names, where=place)
                for name, object_name, target_id, marks in rows:
                    known = ExternalRef(system, object_name, target_id)
                    if marks is not None and known in names[target_id]:
                        found[known] = WrittenRecord(ref=name, marks=decode_marks(marks))
        return found

    def confirmed(self, records: Iterable[str]) -> dict[str, str]:
        """See the port."""
        with self._database.read() as connection:
            rows = bulk.select_by_keys(connection, confirmed_record, ("ref", "target_id"), "ref", records)
        return {row[0]: row[1] for row in rows}

    def references(self, entity_ids: Iterable[str]) -> dict[str, tuple[ExternalRef, ...]]:
        """See the port."""
        found: dict[str, list[ExternalRef]] = {}
        with self._database.read() as connection:
            rows = bulk.select_by_keys(connection, crosswalk, ("entity_id", "ref"), "entity_id", entity_ids)
        for entity_id, ref in sorted(tuple(row) for row in rows):
            found.setdefault(entity_id, []).append(ExternalRef.parse(ref))
        return {entity_id: tuple(refs) for entity_id, refs in found.items()}

    def releases(self, records: Iterable[str]) -> dict[str, frozenset[str]]:
        """See the port."""
        with self._database.read() as connection:
            return read_releases(connection, records)

    def under_way(self, records: Iterable[str]) -> frozenset[str]:
        """See the port."""
        with self._database.read() as connection:
            rows = bulk.select_by_keys(connection, sent_request, ("record", "answered_at"), "record", records)
            return frozenset(record for record, answered_at in rows if answered_at is None)

    def stands(self, refs: Iterable[str]) -> dict[str, dict[str, Stand]]:
        """See the port."""
        with self._database.read() as connection:
            return read_stands(connection, refs)

    def account_ids(self, *, products: bool = False) -> tuple[str, ...]:
        """Every account and every company, oldest first: whatever is decided by itself; with ``products`` those too."""
        with self._database.read() as connection:
            return tuple(connection.execute(_DECIDED_TOO if products else _DECIDED_ALONE).scalars())

    def policy(self) -> Policy:
        """See the port. Few statements: it is asked before every plan and twice for every call to a target."""
        with self._database.read() as connection:
            rows = connection.execute(_POLICY).all()
            stops = open_stops(connection)
        thrown = frozenset(row.name for row in rows if row.name is not None)
        grants = read_grants([row for row in rows if row.name is None])
        return Policy(switches=thrown, grants=grants, flag_stops=stops)

    def switches(self) -> frozenset[str]:
        """See the port."""
        with self._database.read() as connection:
            return frozenset(connection.execute(_SWITCHES).scalars())

    def flags(self, ids: Iterable[str]) -> frozenset[str]:
        """See the port."""
        with self._database.read() as connection:
            return known_flags(connection, ids)

    def with_credit_notes(self, account_ids: Iterable[str]) -> frozenset[str]:
        """See the port."""
        place = ("kind", EntityKind.CREDIT_NOTE.value)
        with self._database.read() as connection:
            rows = bulk.select_by_keys(connection, entity, ("root_id",), "root_id", account_ids, where=place)
        return frozenset(row[0] for row in rows)

    def clearances(self, account_ids: Iterable[str]) -> dict[str, dict[CheckKind, Clearance]]:
        """See the port."""
        with self._database.read() as connection:
            return read_clearances(connection, account_ids)

    def moved(self, account_ids: Iterable[str]) -> dict[str, MovedRevenue]:
        """See the port."""
        with self._database.read() as connection:
            return read_moved(connection, account_ids)

    def commit(self, changes: Changes, *, now: datetime) -> None:
        """See the port. The audit comes last: it locks the head of the chain until the commit."""
        micros = to_micros(now)
        with self._database.write() as connection:
            self._guard(connection)
            guard_matches(connection, changes.matches)
            _commit_entities(connection, changes, micros)
            _commit_history(connection, changes, micros)
            replaced = _commit_plans(connection, changes, now)
            commit_books(connection, changes.books, now=now)
            keep_decisions(connection, changes.decisions)
            keep_flags(connection, changes.flags)
            keep_words(connection, changes.flag_words)
            change_stands(connection, changes.lifted, changes.stands)
            commit_matches(connection, changes.matches, now=now)
            commit_product_uses(connection, changes.uses, changes.renamed, now=now)
            _commit_work(connection, changes, now)
            audit.append(connection, [*changes.audit, *replaced], now=now)


def read_entity(row: bulk.Row) -> StoredEntity:
    """The entity in a row of the columns ``id`` to ``updated_at`` of the entity table."""
    entity_id, kind, ref, root_id, version, observed_at, standpoint, digest, state, cause, _ = row
    return StoredEntity(
        ref=EntityRef(EntityKind(kind), EntityId(entity_id)),
        source=ExternalRef.parse(ref),
        root_id=root_id,
        version=version,
        observed_at=from_micros(observed_at),
        standpoint=Standpoint(standpoint),
        digest=bytes(digest),
        entity=decode_entity(state),
        cause=cause,
    )


def read_desired(row: bulk.Row) -> DesiredRecord:
    """The desired record in a row of the columns ``ref`` to ``updated_at``."""
    ref, flow, target, object_name, key, entity_id, lane, revision, input_digest, fields, notes, cause, _ = row
    return DesiredRecord(
        ref=ref,
        flow=flow,
        target=target,
        object=object_name,
        key=key,
        entity_id=entity_id,
        lane=lane,
        revision=revision,
        input_digest=input_digest,
        fields=_FIELDS_DECODER.decode(fields),
        notes=_NOTES_DECODER.decode(notes),
        cause=cause,
    )


def _commit_entities(connection: Connection, changes: Changes, micros: int) -> None:
    links = [
        (
            str(link.source),
            link.source.system,
            link.source.object_type,
            link.source.id,
            link.entity.kind.value,
            link.entity.id,
            micros,
        )
        for link in changes.links
    ]
    if bulk.insert_new(connection, crosswalk, _LINK, links) != len(links):
        raise ConcurrentChange("Another worker linked one of these objects meanwhile.")
    entities = [
        (
            stored.ref.id,
            stored.ref.kind.value,
            str(stored.source),
            stored.root_id,
            stored.version,
            to_micros(stored.observed_at),
            stored.standpoint.value,
            stored.digest,
            encode_entity(stored.entity),
            stored.cause,
            micros,
        )
        for stored in changes.entities
    ]
    bulk.upsert(connection, entity, _ENTITY, entities, only_if_version_follows=True)
    with bookkeeping(connection):
        _restamp(connection, changes.restamps)
    standings = [(kept.account_id, kept.version, encode_standing(kept.standing), micros) for kept in changes.standings]
    bulk.upsert(
        connection, standing, ("account_id", "version", "state", "updated_at"), standings, only_if_version_follows=True
    )


def _restamp(connection: Connection, restamps: list[StoredEntity]) -> None:
    rows = [
        (to_micros(kept.observed_at), kept.standpoint.value, kept.ref.id, kept.version, to_micros(kept.observed_at))
        for kept in restamps
    ]
    if not rows:
        return
    if connection.dialect.name == "sqlite":
        sql = "UPDATE entity SET observed_at = ?, standpoint = ? WHERE id = ? AND version = ? AND observed_at <= ?"
        done = connection.exec_driver_sql(sql, rows).rowcount
    else:
        sql = (
            "UPDATE entity SET observed_at = s.observed_at, standpoint = s.standpoint FROM "
            "unnest(%b::bigint[], %b::text[], %b::text[], %b::integer[], %b::bigint[]) "
            "AS s(observed_at, standpoint, id, version, at_most) "
            "WHERE entity.id = s.id AND entity.version = s.version AND entity.observed_at <= s.at_most"
        )
        done = connection.exec_driver_sql(sql, tuple(list(column) for column in zip(*rows, strict=True))).rowcount
    if done != len(rows):
        raise ConcurrentChange(f"{len(rows) - done} of {len(rows)} entities changed meanwhile.")


def _commit_history(connection: Connection, changes: Changes, micros: int) -> None:
    seen = [
        (seen.seq, seen.entity_id, seen.outcome, seen.reason, seen.version, to_micros(seen.observed_at), micros)
        for seen in changes.observations
    ]
    bulk.insert(connection, observation, _OBSERVATION, seen)
    # One change may be told by several notices; the first to arrive is kept, the id is the change's own.
    events = [
        (event.id, event.type.value, root_id, to_micros(event.occurred_at), micros, seq, _ENCODER.encode(event))
        for seq, root_id, event in changes.business_events
    ]
    bulk.insert_new(connection, business_event, _EVENT, events)


def _commit_plans(connection: Connection, changes: Changes, now: datetime) -> list[AuditEntry]:
    """Store what was decided and planned; the lines of the trail for what that replaces."""
    micros = to_micros(now)
    desired = [
        (
            wanted.ref,
            wanted.flow,
            wanted.target,
            wanted.object,
            wanted.key,
            wanted.entity_id,
            wanted.lane,
            wanted.revision,
            wanted.input_digest,
            _ENCODER.encode(wanted.fields),
            _ENCODER.encode(wanted.notes),
            wanted.cause,
            micros,
        )
        for wanted in changes.desired
    ]
    bulk.upsert(connection, desired_record, _DESIRED, desired, only_where=_FOLLOWS)
    intents = [intent_row(planned) for planned in changes.intents]
    if bulk.insert_new(connection, write_intent, _INTENT, intents) != len(intents):
        # A record that several accounts share was planned by two workers at once: both took the same revision.
        raise ConcurrentChange("Another worker planned one of these records meanwhile.")
    return _replace_held(connection, changes.intents, now)


def superseded(record: str, intents: list[str], *, by: str, cause: int | None, now: datetime) -> AuditEntry:
    """The line of the trail for writes that a newer revision of their record replaces: one line a record."""
    body: dict[str, str | int | bool | list[str] | None] = {"intents": intents, "by": by, "reason": SUPERSEDED}
    kind = "archive.write.superseded"
    return AuditEntry(kind=kind, actor="accordant", subject=record, cause=cause, at=now, body=body)


def _replace_held(connection: Connection, planned: list[PlannedIntent], now: datetime) -> list[AuditEntry]:
    """A held intent is replaced by the next revision of its record, and what waits unsent by one that is held."""
    records = {
        (record_ref(one.intent.target, one.intent.object, one.intent.key), one.intent.revision): one for one in planned
    }
    if not records or connection.execute(_ANY_HELD).first() is None:
        return []
    lines = []
    for (record, revision), one in records.items():
        replaced = [IntentState.HELD.value, *([IntentState.PENDING.value] if one.held is not None else [])]
        done = connection.execute(
            update(write_intent)
            .where(write_intent.c.record == record, write_intent.c.revision < revision)
            .where(write_intent.c.state.in_(replaced))
            .values(state=IntentState.SUPERSEDED.value, reason=SUPERSEDED, settled_at=to_micros(now))
            .returning(write_intent.c.id)
        )
        ids = sorted(done.scalars())
        if ids:
            lines.append(superseded(record, ids, by=one.intent.id, cause=one.intent.cause, now=now))
    return lines


def intent_row(planned: PlannedIntent) -> bulk.Row:
    """The row of a planned intent: pending, or held with its reason."""
    intent, planned_at = planned.intent, to_micros(planned.intent.planned_at)
    return (
        intent.id,
        intent.idempotency_key,
        intent.flow,
        intent.target,
        intent.object,
        record_ref(intent.target, intent.object, intent.key),
        intent.lane,
        intent.step,
        intent.revision,
        planned.shadow,
        intent.input_digest,
        changed_names(intent.changes),
        _ENCODER.encode(intent),
        planned.decision,
        planned.charter,
        intent.cause,
        planned_at,
        (IntentState.HELD if planned.held else IntentState.PENDING).value,
        0,
        planned_at,
        planned.held,
        None,
    )


def record_ref(target: str, object_name: str, key: str) -> str:
    """How a target record is named everywhere: ``target:object/key``."""
    return f"{target}:{object_name}/{key}"


def _commit_work(connection: Connection, changes: Changes, now: datetime) -> None:
    micros = to_micros(now)
    rows = [(done.state.value, done.reason, to_micros(done.due_at), micros, done.seq) for done in changes.settlements]
    if connection.dialect.name == "sqlite":
        sql = "UPDATE inbox_work SET state = ?, reason = ?, due_at = ?, settled_at = ? WHERE seq = ?"
        if rows:
            connection.exec_driver_sql(sql, rows)
    elif rows:
        sql = (
            "UPDATE inbox_work SET state = s.state, reason = s.reason, due_at = s.due_at, settled_at = s.settled_at "
            "FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[]) "
            "AS s(state, reason, due_at, settled_at, seq) WHERE inbox_work.seq = s.seq"
        )
        connection.exec_driver_sql(sql, tuple([row[index] for row in rows] for index in range(5)))
    for park in changes.parks:
        parked = [(park.lane, park.direction, park.cause, park.reason, micros)]
        if bulk.insert_new(connection, parked_lane, ("lane", "direction", "cause", "reason", "parked_at"), parked):
            raise_alert(connection, kind="lane.parked", subject=park.lane, body=park.reason, at=now)
