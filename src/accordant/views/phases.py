"""How far each flow may go, who granted it, what waits for a second person, and the history. Reads only."""

from collections.abc import Mapping
from datetime import datetime

import msgspec
from sqlalchemy import select

from accordant.canonical.charter import Charter, FlowPart, Phase
from accordant.canonical.phases import EvidencePack, Grant, Proposal
from accordant.governance.grants import Ceiling, is_exempt
from accordant.store.engine import Database
from accordant.store.schema import evidence_pack, phase_grant, phase_proposal

HISTORY_MAX = 20
PROPOSALS_MAX = 200
_GRANT = msgspec.json.Decoder(Grant)
_PROPOSAL = msgspec.json.Decoder(Proposal)
_PACK = msgspec.json.Decoder(EvidencePack)


class OpenProposal(msgspec.Struct, frozen=True, kw_only=True):
    """A proposal that waits for a second person."""

    id: str
    flow: str
    wished: Phase
    requested_by: str
    requested_at: datetime
    expires_at: datetime
    reason: str
    evidence: str


class FlowPhase(msgspec.Struct, frozen=True, kw_only=True):
    """One flow on the board. ``text`` says why it goes no further than ``in_force``; empty where nothing is withheld.

    ``history`` holds its newest grants, newest first.
    """

    flow: str
    source: str
    target: str
    object: str
    automation: str
    wished: Phase
    in_force: Phase
    text: str
    exempt: bool
    write_fields: tuple[str, ...]
    proposals: tuple[OpenProposal, ...]
    history: tuple[Grant, ...]


def phase_board(
    database: Database, charter: Charter, standing: Mapping[str, Ceiling], *, now: datetime
) -> tuple[FlowPhase, ...]:
    """Every flow of the charter. ``standing`` holds how far the court lets each go now."""
    proposals = _open_proposals(database, now)
    history = _history(database)
    return tuple(
        _line(flow, charter, standing.get(flow.name), proposals.get(flow.name, ()), history.get(flow.name, ()))
        for flow in charter.flows
    )


def _line(
    flow: FlowPart,
    charter: Charter,
    ceiling: Ceiling | None,
    proposals: tuple[OpenProposal, ...],
    history: tuple[Grant, ...],
) -> FlowPhase:
    exempt = is_exempt(charter, flow)
    text = "The charter has no mapping for it." if ceiling is None else ceiling.text
    if exempt and not text:
        text = f"{flow.target} is a stand-in on this machine: no grant is asked for."
    return FlowPhase(
        flow=flow.name,
        source=flow.source,
        target=flow.target,
        object=flow.object,
        automation=flow.automation.value,
        wished=flow.phase,
        in_force=Phase.DRAFT if ceiling is None else ceiling.phase,
        text=text,
        exempt=exempt,
        write_fields=flow.write_fields,
        proposals=proposals,
        history=history,
    )


def _open_proposals(database: Database, now: datetime) -> dict[str, tuple[OpenProposal, ...]]:
    spent = select(phase_grant.c.proposal).where(phase_grant.c.proposal.is_not(None))
    query = (
        select(phase_proposal.c.id, phase_proposal.c.body)
        .where(phase_proposal.c.id.not_in(spent))
        .order_by(phase_proposal.c.requested_at.desc())
        .limit(PROPOSALS_MAX)
    )
    found: dict[str, tuple[OpenProposal, ...]] = {}
    with database.read() as connection:
        rows = connection.execute(query).all()
    for row in rows:
        proposal = _PROPOSAL.decode(row.body)
        if proposal.expires_at <= now:
            continue
        kept = OpenProposal(
            id=row.id,
            flow=proposal.flow,
            wished=proposal.wished,
            requested_by=proposal.requested_by,
            requested_at=proposal.requested_at,
            expires_at=proposal.expires_at,
            reason=proposal.reason,
            evidence=proposal.evidence,
        )
        found[proposal.flow] = (*found.get(proposal.flow, ()), kept)
    return found


def _history(database: Database) -> dict[str, tuple[Grant, ...]]:
    found: dict[str, tuple[Grant, ...]] = {}
    with database.read() as connection:
        rows = connection.execute(select(phase_grant.c.flow, phase_grant.c.body).order_by(phase_grant.c.id.desc()))
        for row in rows:
            known = found.get(row.flow, ())
            if len(known) < HISTORY_MAX:
                found[row.flow] = (*known, _GRANT.decode(row.body))
    return found


def kept_pack(database: Database, digest: str) -> EvidencePack | None:
    """An evidence pack by its digest."""
    with database.read() as connection:
        body = connection.execute(select(evidence_pack.c.body).where(evidence_pack.c.digest == digest)).scalar()
    return None if body is None else _PACK.decode(body)
