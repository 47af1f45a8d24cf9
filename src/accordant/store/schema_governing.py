"""The tables of governing: conflicts, clearances, what targets look like, rehearsals, jobs, evidence and grants.

Names as in `schema.py`, which gives them out with the others. Next: `conflicts.py`, `phases.py`, `rehearsals.py`.
"""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, Table, Text

from accordant.store.schema_base import Serial, metadata

conflict = Table(
    "conflict",
    metadata,
    Column("id", Text, primary_key=True),
    Column("record", Text, nullable=False),
    Column("field", Text, nullable=False),
    Column("flow", Text, nullable=False),
    Column("rule", Text, nullable=False),
    Column("winner", Text),
    Column("body", LargeBinary, nullable=False),
    Column("found_at", BigInteger, nullable=False),
)
Index("ix_conflict_record", conflict.c.record, conflict.c.found_at)
Index("ix_conflict_found", conflict.c.found_at)

conflict_decision = Table(
    "conflict_decision",
    metadata,
    Column("conflict_id", Text, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("choice", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("decided_at", BigInteger, nullable=False),
)

field_stand = Table(
    "field_stand",
    metadata,
    Column("record", Text, primary_key=True),
    Column("field", Text, primary_key=True),
    Column("effect", Text, nullable=False),
    Column("conflict_id", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("since_at", BigInteger, nullable=False),
)
Index("ix_field_stand_effect", field_stand.c.effect, field_stand.c.since_at)

target_shape = Table(
    "target_shape",
    metadata,
    Column("system", Text, primary_key=True),
    Column("object", Text, primary_key=True),
    Column("fields", LargeBinary, nullable=False),
    Column("digest", Text, nullable=False),
    Column("drift", LargeBinary, nullable=False),
    Column("drifted_at", BigInteger),
    Column("seen_at", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False),
)

clearance = Table(
    "clearance",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("account_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("evidence", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("checked_at", BigInteger, nullable=False),
    Column("recorded_by", Text, nullable=False),
    Column("recorded_at", BigInteger, nullable=False),
)
Index("ix_clearance_account", clearance.c.account_id)

owed_decision = Table(
    "owed_decision",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("since_at", BigInteger, nullable=False),
)

rehearsal_run = Table(
    "rehearsal_run",
    metadata,
    Column("id", Text, primary_key=True),
    Column("before", Text, nullable=False),
    Column("after", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("finished_at", BigInteger),
    Column("body", LargeBinary),
    Column("ticket", LargeBinary),
    Column("progress", LargeBinary),
    Column("problem", Text),
)
Index("ix_rehearsal_run_started", rehearsal_run.c.started_at)

rehearsal_difference = Table(
    "rehearsal_difference",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("run_id", Text, nullable=False),
    Column("flow", Text, nullable=False),
    Column("field", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("record", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
)
Index("ix_rehearsal_difference_run", rehearsal_difference.c.run_id, rehearsal_difference.c.flow)

scheduled_job = Table(
    "scheduled_job",
    metadata,
    Column("name", Text, primary_key=True),
    Column("ticked_at", BigInteger, nullable=False),
    Column("started_at", BigInteger),
    Column("finished_at", BigInteger),
    Column("outcome", Text),
    Column("told", Text),
)

lag_incident = Table(
    "lag_incident",
    metadata,
    Column("flow", Text, primary_key=True),
    Column("lag_s", BigInteger, nullable=False),
    Column("limit_s", BigInteger, nullable=False),
    Column("waiting", BigInteger, nullable=False),
    Column("opened_at", BigInteger, nullable=False),
    Column("seen_at", BigInteger, nullable=False),
)

evidence_pack = Table(
    "evidence_pack",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("flow", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("collected_at", BigInteger, nullable=False),
)

phase_proposal = Table(
    "phase_proposal",
    metadata,
    Column("id", Text, primary_key=True),
    Column("flow", Text, nullable=False),
    Column("evidence", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("requested_at", BigInteger, nullable=False),
)
Index("ix_phase_proposal_flow", phase_proposal.c.flow, phase_proposal.c.requested_at)

phase_grant = Table(
    "phase_grant",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("flow", Text, nullable=False),
    Column("proposal", Text, unique=True),
    Column("body", LargeBinary, nullable=False),
    Column("seal", Text, nullable=False),
    Column("granted_at", BigInteger, nullable=False),
)
Index("ix_phase_grant_flow", phase_grant.c.flow, phase_grant.c.id)
