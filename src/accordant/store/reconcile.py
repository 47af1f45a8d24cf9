"""The reconciliation book on SQL: what is known of records, and what a comparison found. Findings are insert-only.

A page of records costs a fixed number of reads by key, however long their history is.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec
from sqlalchemy import Connection, exists, func, select, update

from accordant.canonical.intents import IntentState, WireValue
from accordant.canonical.refs import EntityKind, ExternalRef
from accordant.kernel.clock import from_micros, to_micros
from accordant.kernel.ids import derived_id
from accordant.ports.audit import AuditEntry
from accordant.ports.conflicts import FieldsKnown
from accordant.ports.inbox import WorkState
from accordant.ports.reconcile import Discrepancy, DiscrepancyKind, IntentMark, KnownRecord, ReconcileRun
from accordant.ports.state import ConcurrentChange, StoredEntity
from accordant.store import audit, bulk
from accordant.store.conflicts import fields_known
from accordant.store.engine import Database
from accordant.store.schema import (
    confirmed_record,
    crosswalk,
    desired_record,
    discrepancy,
    entity,
    inbox_work,
    parked_lane,
    reconcile_run,
    record_link,
    write_intent,
)
from accordant.store.state import read_entity

_NOTHING_KNOWN = FieldsKnown()
_DESIRED = ("ref", "flow", "target", "object", "key", "entity_id", "lane", "revision", "fields")
_CONFIRMED = ("ref", "target_id", "fields", "intent_id", "confirmed_at")
_INTENT = ("id", "state", "shadow", "reason")
_ENTITY = (
    "id", "kind", "ref", "root_id", "version", "observed_at", "standpoint", "digest", "state", "cause", "updated_at",
)  # fmt: skip
_RUN = ("id", "flow", "started_at", "finished_at", "records", "fields", "discrepancies")
_FINDING = ("run_id", "flow", "record", "kind", "field", "body", "exposure_minor", "currency", "found_at")
_OPEN = frozenset({IntentState.PENDING.value, IntentState.LEASED.value, IntentState.UNCERTAIN.value})
#: Records in one question.
_RECORDS_AT_ONCE = 500
_WAITING = (WorkState.RECEIVED.value, WorkState.AWAITING_REREAD.value)

_FIELDS: msgspec.json.Decoder[dict[str, WireValue]] = msgspec.json.Decoder(dict[str, WireValue])
_DISCREPANCY = msgspec.json.Decoder(Discrepancy)
_ENCODER = msgspec.json.Encoder(order="sorted")


class SqlReconcileBook:
    """`ports.reconcile.ReconcileBook` on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def count(self, flow: str) -> int:
        """See the port."""
        with self._database.read() as connection:
            return int(
                connection.execute(
                    select(func.count()).select_from(desired_record).where(desired_record.c.flow == flow)
                ).scalar_one()
            )

    def known(self, refs: Iterable[str]) -> dict[str, KnownRecord]:
        """See the port."""
        with self._database.read() as connection:
            rows = bulk.select_by_keys(connection, desired_record, _DESIRED, "ref", refs)
            return {known.ref: known for known in _known(connection, rows)}

    def known_after(self, flow: str, key: str, *, limit: int) -> tuple[KnownRecord, ...]:
        """See the port."""
        query = (
            select(*(desired_record.c[name] for name in _DESIRED))
            .where(desired_record.c.flow == flow, desired_record.c.key > key)
            .order_by(desired_record.c.key)
            .limit(limit)
        )
        with self._database.read() as connection:
            return _known(connection, [tuple(row) for row in connection.execute(query)])

    def changed_after(self, flow: str, since: datetime, key: str, *, limit: int) -> tuple[str, ...]:
        """See the port."""
        micros = to_micros(since)
        query = (
            select(desired_record.c.key)
            .outerjoin(confirmed_record, confirmed_record.c.ref == desired_record.c.ref)
            .where(
                desired_record.c.flow == flow,
                desired_record.c.key > key,
                (desired_record.c.updated_at >= micros) | (confirmed_record.c.confirmed_at >= micros),
            )
            .order_by(desired_record.c.key)
            .limit(limit)
        )
        with self._database.read() as connection:
            return tuple(connection.execute(query).scalars())

    def last_started(self, flow: str) -> datetime | None:
        """See the port."""
        query = select(func.max(reconcile_run.c.started_at)).where(
            reconcile_run.c.flow == flow, reconcile_run.c.finished_at.is_not(None)
        )
        with self._database.read() as connection:
            started = connection.execute(query).scalar()
        return None if started is None else from_micros(started)

    def strangers_at_first(self, flow: str) -> frozenset[str] | None:
        """See the port."""
        ended = select(reconcile_run.c.id).where(reconcile_run.c.flow == flow, reconcile_run.c.finished_at.is_not(None))
        with self._database.read() as connection:
            first = connection.execute(ended.order_by(reconcile_run.c.started_at).limit(1)).scalar()
            if first is None:
                return None
            query = select(discrepancy.c.record).where(
                discrepancy.c.run_id == first, discrepancy.c.kind == DiscrepancyKind.EXTRA.value
            )
            return frozenset(connection.execute(query).scalars())

    def unplanned_after(
        self, flow: str, kind: EntityKind, system: str, entity_id: str, *, limit: int
    ) -> tuple[str, ...]:
        """See the port."""
        planned = exists().where(desired_record.c.entity_id == entity.c.id, desired_record.c.flow == flow)
        link = record_link.c
        shared = exists().where(
            link.account_id == entity.c.id,
            desired_record.c.ref == link.system + ":" + link.object + "/" + link.key,
            desired_record.c.flow == flow,
        )
        query = (
            select(entity.c.id)
            .where(entity.c.kind == kind.value, entity.c.id > entity_id, ~planned, ~shared)
            .where(entity.c.ref.startswith(f"{system}:", autoescape=True))
            .order_by(entity.c.id)
            .limit(limit)
        )
        with self._database.read() as connection:
            return tuple(connection.execute(query).scalars())

    def entities_of(self, refs: Iterable[ExternalRef]) -> dict[ExternalRef, StoredEntity]:
        """See the port."""
        by_name = {str(ref): ref for ref in refs}
        with self._database.read() as connection:
            links = bulk.select_by_keys(connection, crosswalk, ("ref", "entity_id"), "ref", by_name)
            rows = bulk.select_by_keys(connection, entity, _ENTITY, "id", [entity_id for _, entity_id in links])
        held = {row[0]: read_entity(row) for row in rows}
        return {by_name[name]: held[entity_id] for name, entity_id in links if entity_id in held}

    def owned_after(self, system: str, kind: EntityKind, entity_id: str, *, limit: int) -> tuple[StoredEntity, ...]:
        """See the port."""
        query = (
            select(*(entity.c[name] for name in _ENTITY))
            .where(entity.c.kind == kind.value, entity.c.id > entity_id)
            .where(entity.c.ref.startswith(f"{system}:", autoescape=True))
            .order_by(entity.c.id)
            .limit(limit)
        )
        with self._database.read() as connection:
            return tuple(read_entity(tuple(row)) for row in connection.execute(query))

    def unsettled_lanes(self, lanes: Iterable[str]) -> frozenset[str]:
        """See the port."""
        with self._database.read() as connection:
            rows = bulk.select_by_keys(connection, inbox_work, ("lane", "state"), "lane", lanes)
        return frozenset(lane for lane, state in rows if state in _WAITING)

    def begin(self, run: ReconcileRun) -> None:
        """See the port. Raises ConcurrentChange when somebody started the same comparison at the same moment."""
        row = (run.id, run.flow, to_micros(run.started_at), None, 0, 0, 0)
        with self._database.write() as connection:
            if not bulk.insert_new(connection, reconcile_run, _RUN, [row]):
                raise ConcurrentChange(f"A comparison of {run.flow} was started at this very moment.")

    def keep(self, run: ReconcileRun, findings: Sequence[Discrepancy], *, now: datetime) -> None:
        """See the port. An exposure in several currencies has no single figure: it stands in the body only."""
        rows = []
        for found in findings:
            single = found.exposure[0] if found.exposure is not None and len(found.exposure) == 1 else None
            rows.append(
                (
                    run.id,
                    run.flow,
                    found.record,
                    found.kind.value,
                    found.field,
                    _ENCODER.encode(found),
                    None if single is None else single.amount_minor,
                    None if single is None else single.currency,
                    to_micros(now),
                )
            )
        with self._database.write() as connection:
            bulk.insert(connection, discrepancy, _FINDING, rows)

    def finish(self, run: ReconcileRun, entry: AuditEntry) -> None:
        """See the port."""
        with self._database.write() as connection:
            connection.execute(
                update(reconcile_run)
                .where(reconcile_run.c.id == run.id)
                .values(
                    finished_at=to_micros(entry.at),
                    records=run.records,
                    fields=run.fields,
                    discrepancies=run.discrepancies,
                )
            )
            audit.append(connection, [entry], now=entry.at)

    def findings(self, run_id: str) -> tuple[Discrepancy, ...]:
        """See the port."""
        query = select(discrepancy.c.body).where(discrepancy.c.run_id == run_id).order_by(discrepancy.c.id)
        with self._database.read() as connection:
            return tuple(_DISCREPANCY.decode(body) for body in connection.execute(query).scalars())


def _known(connection: Connection, rows: Sequence[bulk.Row]) -> tuple[KnownRecord, ...]:
    refs = [row[0] for row in rows]
    confirmed = {row[0]: row[1:] for row in bulk.select_by_keys(connection, confirmed_record, _CONFIRMED, "ref", refs)}
    # The intent of the desired revision is found by its name, which is made of record and revision.
    names = {row[0]: derived_id("int", row[2], row[3], row[4], str(row[7])) for row in rows}
    intents = {
        row[0]: IntentMark(id=row[0], state=IntentState(row[1]), shadow=bool(row[2]), reason=row[3])
        for row in bulk.select_by_keys(connection, write_intent, _INTENT, "id", names.values())
    }
    is_open = _open_records(connection, refs)
    known = fields_known(connection, {row[0]: row[7] for row in rows})
    lanes = {row[6] for row in rows}
    parked: dict[str, str] = dict(bulk.select_by_keys(connection, parked_lane, ("lane", "reason"), "lane", lanes))
    found = []
    for ref, flow, _, _, key, entity_id, lane, revision, fields in rows:
        target_id, held, intent_id, confirmed_at = confirmed.get(ref, (None, None, None, None))
        found.append(
            KnownRecord(
                ref=ref,
                flow=flow,
                key=key,
                entity_id=entity_id,
                account_id=lane.partition(":")[2],
                revision=revision,
                fields=_FIELDS.decode(fields),
                confirmed=None if held is None else _FIELDS.decode(held),
                confirmed_id=target_id,
                confirmed_at=None if confirmed_at is None else from_micros(confirmed_at),
                is_written=intent_id is not None,
                intent=intents.get(names[ref]),
                is_open=ref in is_open,
                parked=parked.get(lane),
                known=known.get(ref, _NOTHING_KNOWN),
            )
        )
    return tuple(found)


def _open_records(connection: Connection, refs: Sequence[str]) -> frozenset[str]:
    """Records with an intent that writes and is on its way."""
    found: set[str] = set()
    for start in range(0, len(refs), _RECORDS_AT_ONCE):
        query = select(write_intent.c.record).where(
            write_intent.c.record.in_(refs[start : start + _RECORDS_AT_ONCE]),
            write_intent.c.state.in_(sorted(_OPEN)),
            write_intent.c.shadow.is_(False),
        )
        found.update(connection.execute(query).scalars())
    return frozenset(found)
