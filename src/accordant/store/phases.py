"""Proposals, evidence and grants on SQL. What is read back is digested again: a changed byte makes it worthless."""

from collections.abc import Iterable
from datetime import datetime

import msgspec
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from accordant.canonical.charter import FlowPart
from accordant.canonical.intents import IntentState
from accordant.canonical.phases import EvidencePack, Grant, Proposal
from accordant.governance.evidence import Figures
from accordant.kernel.clock import to_micros
from accordant.kernel.hashing import canonical_json, digest
from accordant.kernel.ids import derived_id
from accordant.ports.audit import AuditEntry
from accordant.ports.phases import KeptProposal, ProposalAltered, ProposalSpent, ProposalUnknown
from accordant.store import audit, bulk
from accordant.store.engine import Database
from accordant.store.evidence import count_figures
from accordant.store.grants import add_grant, read_grants
from accordant.store.guard import bookkeeping
from accordant.store.schema import desired_record, evidence_pack, hub_fact, phase_grant, phase_proposal, write_intent

_NEWEST = select(func.max(phase_grant.c.id))
_HISTORY = select(phase_grant).order_by(phase_grant.c.id)
_PLANNED_FOR = "everything decided for the grant"
_PROPOSAL = msgspec.json.Decoder(Proposal)
_PACK = msgspec.json.Decoder(EvidencePack)


class SqlPhaseBook:
    """`ports.phases.PhaseBook` on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def figures(self, flow: FlowPart, *, events_since: datetime, since: datetime, traces: int) -> Figures:
        """See the port."""
        with self._database.snapshot() as connection:
            return count_figures(connection, flow, events_since=events_since, since=since, traces=traces)

    def request(self, proposal: Proposal, pack: EvidencePack, entry: AuditEntry) -> str:
        """See the port."""
        body, evidence = canonical_json(proposal), canonical_json(pack)
        name = _name_of(body)
        collected, requested = to_micros(pack.collected_at), to_micros(proposal.requested_at)
        with self._database.write() as connection:
            bulk.insert_new(
                connection,
                evidence_pack,
                ("digest", "flow", "body", "collected_at"),
                [(digest(evidence).hex(), pack.flow, evidence, collected)],
            )
            bulk.insert_new(
                connection,
                phase_proposal,
                ("id", "flow", "evidence", "body", "requested_at"),
                [(name, proposal.flow, proposal.evidence, body, requested)],
            )
            audit.append(connection, [msgspec.structs.replace(entry, subject=f"proposal/{name}")], now=entry.at)
        return name

    def read(self, proposal_id: str) -> KeptProposal:
        """See the port."""
        with self._database.read() as connection:
            row = connection.execute(select(phase_proposal).where(phase_proposal.c.id == proposal_id)).one_or_none()
            if row is None:
                raise ProposalUnknown(f"There is no proposal {proposal_id}.")
            kept = connection.execute(
                select(evidence_pack.c.body).where(evidence_pack.c.digest == row.evidence)
            ).scalar_one_or_none()
            spent = connection.execute(select(phase_grant.c.id).where(phase_grant.c.proposal == proposal_id)).first()
        body, evidence = bytes(row.body), b"" if kept is None else bytes(kept)
        if _name_of(body) != proposal_id or digest(evidence).hex() != row.evidence:
            raise ProposalAltered(f"The proposal {proposal_id} or its evidence was altered after it was made.")
        proposal = _PROPOSAL.decode(body)
        if proposal.evidence != row.evidence:
            raise ProposalAltered(f"The proposal {proposal_id} stands on other evidence than it was made with.")
        return KeptProposal(id=proposal_id, proposal=proposal, pack=_PACK.decode(evidence), spent=spent is not None)

    def grant(self, grant: Grant, entry: AuditEntry) -> None:
        """See the port."""
        try:
            with self._database.write() as connection:
                add_grant(connection, grant)
                audit.append(connection, [entry], now=entry.at)
        except IntegrityError as error:
            raise ProposalSpent(f"The proposal {grant.proposal} was granted already.") from error

    def history(self) -> tuple[Grant, ...]:
        """See the port."""
        with self._database.read() as connection:
            return read_grants(connection.execute(_HISTORY).all())

    def newest(self) -> int:
        """The number of the newest grant, 0 before the first: it grows with every change of what is granted."""
        with self._database.read() as connection:
            return connection.execute(_NEWEST).scalar() or 0

    def planned_for(self) -> int:
        """The grant for which everything was decided last."""
        with self._database.read() as connection:
            value = connection.execute(select(hub_fact.c.value).where(hub_fact.c.name == _PLANNED_FOR)).scalar()
        return 0 if value is None else int(value)

    def mark_planned(self, number: int, *, now: datetime) -> None:
        """Everything is decided for this grant."""
        row = (_PLANNED_FOR, str(number), to_micros(now))
        with self._database.write() as connection, bookkeeping(connection):
            bulk.upsert(connection, hub_fact, ("name", "value", "updated_at"), [row])

    def given_up(self, flows: Iterable[str]) -> frozenset[str]:
        """Records of these flows whose newest write was cancelled, as a narrowing does: they are decided anew."""
        query = (
            select(desired_record.c.ref)
            .join(write_intent, write_intent.c.record == desired_record.c.ref)
            .where(
                desired_record.c.flow.in_(sorted(flows)),
                write_intent.c.revision == desired_record.c.revision,
                write_intent.c.state == IntentState.CANCELLED.value,
            )
        )
        with self._database.read() as connection:
            return frozenset(connection.execute(query).scalars())


def _name_of(body: bytes) -> str:
    """A proposal is named after what it says, so that nobody can change it and keep the name."""
    return derived_id("ask", digest(body).hex())
