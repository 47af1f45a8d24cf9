"""The tables, the same on SQLite and PostgreSQL. Instants are microseconds since 1970 UTC; JSON and digests are bytes.

What happened is insert-only (`APPEND_ONLY`, held by triggers); what is being worked on lives in small tables beside it.
Next: `bulk.py` for the three verbs the hot paths use, `engine.py` for transactions.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from accordant.store.schema_base import Serial, metadata
from accordant.store.schema_books import (
    accounting_period,
    journal_entry,
    journal_line,
    ledger_bill,
    period_balance,
    posting,
    recognised_month,
    recognition,
    revenue_schedule,
)
from accordant.store.schema_commissions import (
    commission_cash,
    commission_deferral,
    commission_expense,
    commission_line,
    commission_total,
    deal_owner,
)
from accordant.store.schema_dispatch import product_use, restore_epoch, sent_request
from accordant.store.schema_flags import flag_decision, red_flag
from accordant.store.schema_governing import (
    clearance,
    conflict,
    conflict_decision,
    evidence_pack,
    field_stand,
    lag_incident,
    owed_decision,
    phase_grant,
    phase_proposal,
    rehearsal_difference,
    rehearsal_run,
    scheduled_job,
    target_shape,
)
from accordant.store.schema_incident import incident, incident_moment
from accordant.store.schema_matching import (
    directory_key,
    directory_record,
    directory_scan,
    match_rejection,
    record_link,
    review_case,
    review_decision,
)
from accordant.store.schema_missed import adopted_endpoint, event_rhythm
from accordant.store.schema_movements import moved_revenue
from accordant.store.schema_openings import opening_release
from accordant.store.schema_people import person, person_second
from accordant.store.schema_rates import reference_rate
from accordant.store.schema_recovery import error_pattern, redrive_waiver, replay_job
from accordant.store.schema_saga import saga
from accordant.store.schema_vat import vat_consultation

__all__ = [
    "APPEND_ONLY",
    "accounting_period",
    "adopted_endpoint",
    "clearance",
    "commission_cash",
    "commission_deferral",
    "commission_expense",
    "commission_line",
    "commission_total",
    "conflict",
    "conflict_decision",
    "deal_owner",
    "directory_key",
    "directory_record",
    "directory_scan",
    "error_pattern",
    "event_rhythm",
    "evidence_pack",
    "field_stand",
    "flag_decision",
    "incident",
    "incident_moment",
    "journal_entry",
    "journal_line",
    "lag_incident",
    "ledger_bill",
    "match_rejection",
    "metadata",
    "moved_revenue",
    "opening_release",
    "owed_decision",
    "period_balance",
    "person",
    "person_second",
    "phase_grant",
    "phase_proposal",
    "posting",
    "product_use",
    "recognised_month",
    "recognition",
    "record_link",
    "red_flag",
    "redrive_waiver",
    "reference_rate",
    "rehearsal_difference",
    "rehearsal_run",
    "replay_job",
    "restore_epoch",
    "revenue_schedule",
    "review_case",
    "review_decision",
    "saga",
    "scheduled_job",
    "sent_request",
    "target_shape",
    "vat_consultation",
]

inbox_event = Table(
    "inbox_event",
    metadata,
    Column("seq", Serial, primary_key=True, autoincrement=True),
    Column("connection", Text, nullable=False),
    Column("external_id", Text, nullable=False),
    Column("event_type", Text, nullable=False),
    Column("lane", Text, nullable=False),
    Column("occurred_at", BigInteger, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    UniqueConstraint("connection", "external_id", name="uq_inbox_event_external"),
)

inbox_work = Table(
    "inbox_work",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("connection", Text, nullable=False),
    Column("lane", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text),
    Column("attempts", Integer, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Column("settled_at", BigInteger),
)
Index(
    "ix_inbox_work_ready",
    inbox_work.c.seq,
    postgresql_where=text("state = 'received'"),
    sqlite_where=text("state = 'received'"),
)
Index(
    "ix_inbox_work_open",
    inbox_work.c.state,
    inbox_work.c.due_at,
    postgresql_where=text("state <> 'processed'"),
    sqlite_where=text("state <> 'processed'"),
)
Index("ix_inbox_work_lane", inbox_work.c.lane, inbox_work.c.seq)

inbox_reading = Table(
    "inbox_reading",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("seq", BigInteger, nullable=False),
    Column("ref", Text, nullable=False),
    Column("read_at", BigInteger, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
)
Index("ix_inbox_reading_seq", inbox_reading.c.seq)

delivery = Table(
    "delivery",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("connection", Text, nullable=False),
    Column("external_id", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("received_at", BigInteger, nullable=False),
)
Index("ix_delivery_event", delivery.c.connection, delivery.c.external_id)

inbox_twin = Table(
    "inbox_twin",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("connection", Text, nullable=False),
    Column("external_id", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    UniqueConstraint("connection", "external_id", "digest", name="uq_inbox_twin_digest"),
)

crosswalk = Table(
    "crosswalk",
    metadata,
    Column("ref", Text, primary_key=True),
    Column("system", Text, nullable=False),
    Column("object_type", Text, nullable=False),
    Column("external_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("entity_id", Text, nullable=False),
    Column("since", BigInteger, nullable=False),
)
Index("ix_crosswalk_entity", crosswalk.c.entity_id)
Index("ix_crosswalk_external", crosswalk.c.external_id)

entity = Table(
    "entity",
    metadata,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("ref", Text, nullable=False),
    Column("root_id", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("observed_at", BigInteger, nullable=False),
    Column("standpoint", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("state", LargeBinary, nullable=False),
    Column("cause", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)
Index("ix_entity_root", entity.c.root_id, entity.c.kind)
Index("ix_entity_kind", entity.c.kind, entity.c.updated_at)

standing = Table(
    "standing",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("state", LargeBinary, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)

observation = Table(
    "observation",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("seq", BigInteger, nullable=False),
    Column("entity_id", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("reason", Text),
    Column("version", Integer, nullable=False),
    Column("observed_at", BigInteger, nullable=False),
    Column("recorded_at", BigInteger, nullable=False),
)
Index("ix_observation_seq", observation.c.seq)
Index("ix_observation_entity", observation.c.entity_id, observation.c.id)

business_event = Table(
    "business_event",
    metadata,
    Column("id", Text, primary_key=True),
    Column("type", Text, nullable=False),
    Column("root_id", Text, nullable=False),
    Column("occurred_at", BigInteger, nullable=False),
    Column("recorded_at", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
)
Index("ix_business_event_root", business_event.c.root_id, business_event.c.occurred_at)
Index("ix_business_event_seq", business_event.c.seq)
Index("ix_business_event_type", business_event.c.type, business_event.c.id)
#: The few events that begin a saga, see `sagas.py`.
_BEGINS = "type IN ('contract.amended', 'contract.won')"
Index(
    "ix_business_event_begins",
    business_event.c.occurred_at,
    postgresql_where=text(_BEGINS),
    sqlite_where=text(_BEGINS),
)

desired_record = Table(
    "desired_record",
    metadata,
    Column("ref", Text, primary_key=True),
    Column("flow", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("object", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("entity_id", Text, nullable=False),
    Column("lane", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("input_digest", Text, nullable=False),
    Column("fields", LargeBinary, nullable=False),
    Column("notes", LargeBinary, nullable=False),
    Column("cause", BigInteger),
    Column("updated_at", BigInteger, nullable=False),
)
Index("ix_desired_record_entity", desired_record.c.entity_id)
Index("ix_desired_record_flow", desired_record.c.flow, desired_record.c.key)

write_intent = Table(
    "write_intent",
    metadata,
    Column("id", Text, primary_key=True),
    Column("idempotency_key", Text, nullable=False, unique=True),
    Column("flow", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("object", Text, nullable=False),
    Column("record", Text, nullable=False),
    Column("lane", Text, nullable=False),
    Column("step", Integer, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("shadow", Boolean, nullable=False),
    Column("input_digest", Text, nullable=False),
    Column("changed", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("decision", LargeBinary, nullable=False),
    Column("charter", Text, nullable=False),
    Column("cause", BigInteger),
    Column("planned_at", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Column("lease_token", BigInteger),
    Column("lease_expires_at", BigInteger),
    Column("reason", Text),
    Column("settled_at", BigInteger),
)
_OPEN = "state IN ('pending', 'leased', 'uncertain')"
Index(
    "ix_write_intent_open",
    write_intent.c.target,
    write_intent.c.due_at,
    postgresql_where=text(_OPEN),
    sqlite_where=text(_OPEN),
)
#: With the names of the changed fields, so that the write behind a field is found without looking into every other one.
Index("ix_write_intent_record", write_intent.c.record, write_intent.c.revision, write_intent.c.changed)
Index("ix_write_intent_lane", write_intent.c.lane, write_intent.c.state)
Index("ix_write_intent_cause", write_intent.c.cause)
Index(
    "ix_write_intent_trouble",
    write_intent.c.state,
    postgresql_where=text("state IN ('dead', 'held', 'uncertain')"),
    sqlite_where=text("state IN ('dead', 'held', 'uncertain')"),
)

write_receipt = Table(
    "write_receipt",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("intent_id", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("settled_at", BigInteger, nullable=False),
)
Index("ix_write_receipt_intent", write_receipt.c.intent_id)
Index("ix_write_receipt_settled", write_receipt.c.settled_at)

confirmed_record = Table(
    "confirmed_record",
    metadata,
    Column("ref", Text, primary_key=True),
    Column("target", Text, nullable=False),
    Column("object", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("target_id", Text, nullable=False),
    Column("fields", LargeBinary, nullable=False),
    Column("intent_id", Text),
    Column("confirmed_at", BigInteger, nullable=False),
    Column("marks", LargeBinary),
)
Index("ix_confirmed_record_target", confirmed_record.c.target, confirmed_record.c.target_id)


parked_lane = Table(
    "parked_lane",
    metadata,
    Column("lane", Text, primary_key=True),
    Column("direction", Text, nullable=False),
    Column("cause", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("parked_at", BigInteger, nullable=False),
)

lease = Table(
    "lease",
    metadata,
    Column("name", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("token", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
)

audit_head = Table(
    "audit_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("batch", BigInteger, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("hash", LargeBinary, nullable=False),
)

audit_batch = Table(
    "audit_batch",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("first_position", BigInteger, nullable=False),
    Column("count", Integer, nullable=False),
    Column("root", LargeBinary, nullable=False),
    Column("previous", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("sealed_at", BigInteger, nullable=False),
)

audit_entry = Table(
    "audit_entry",
    metadata,
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("cause", BigInteger),
    Column("at", BigInteger, nullable=False),
    Column("salt", LargeBinary, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("commitment", LargeBinary, nullable=False),
    Column("leaf", LargeBinary, nullable=False),
)
Index("ix_audit_entry_subject", audit_entry.c.subject, audit_entry.c.position)
Index("ix_audit_entry_cause", audit_entry.c.cause, audit_entry.c.position)

data_key = Table(
    "data_key",
    metadata,
    Column("key_id", Text, primary_key=True),
    Column("subject", Text, nullable=False),
    Column("wrapped", LargeBinary),
    Column("created_at", BigInteger, nullable=False),
    Column("destroyed_at", BigInteger),
)
Index("ix_data_key_subject", data_key.c.subject)

charter_version = Table(
    "charter_version",
    metadata,
    Column("version", Text, primary_key=True),
    Column("body", LargeBinary, nullable=False),
    Column("loaded_at", BigInteger, nullable=False),
)


hub_fact = Table(
    "hub_fact",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)

switch = Table(
    "switch",
    metadata,
    Column("name", Text, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("thrown_by", Text, nullable=False),
    Column("thrown_at", BigInteger, nullable=False),
)


alert = Table(
    "alert",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("raised_at", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Column("sent_at", BigInteger),
)
Index("ix_alert_unsent", alert.c.due_at, postgresql_where=text("sent_at IS NULL"), sqlite_where=text("sent_at IS NULL"))

reconcile_run = Table(
    "reconcile_run",
    metadata,
    Column("id", Text, primary_key=True),
    Column("flow", Text, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("finished_at", BigInteger),
    Column("records", BigInteger, nullable=False),
    Column("fields", BigInteger, nullable=False),
    Column("discrepancies", BigInteger, nullable=False),
)
Index("ix_reconcile_run_flow", reconcile_run.c.flow, reconcile_run.c.started_at)

discrepancy = Table(
    "discrepancy",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("run_id", Text, nullable=False),
    Column("flow", Text, nullable=False),
    Column("record", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("field", Text),
    Column("body", LargeBinary, nullable=False),
    Column("exposure_minor", BigInteger),
    Column("currency", Text),
    Column("found_at", BigInteger, nullable=False),
)
Index("ix_discrepancy_run", discrepancy.c.run_id)


#: What happened: nobody updates or deletes these rows. Triggers refuse it on both databases.
APPEND_ONLY: tuple[Table, ...] = (
    inbox_event,
    inbox_reading,
    delivery,
    inbox_twin,
    observation,
    business_event,
    opening_release,
    write_receipt,
    audit_batch,
    audit_entry,
    charter_version,
    clearance,
    vat_consultation,
    reference_rate,
    discrepancy,
    evidence_pack,
    phase_proposal,
    phase_grant,
    conflict,
    conflict_decision,
    review_decision,
    redrive_waiver,
    incident_moment,
    flag_decision,
    journal_entry,
    journal_line,
    recognition,
    deal_owner,
    commission_line,
    commission_expense,
)
