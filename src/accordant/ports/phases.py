"""Where proposals, evidence and grants are kept, and where evidence is counted. Next: `operations/widen.py`."""

from datetime import datetime
from typing import Protocol

import msgspec

from accordant.canonical.charter import FlowPart
from accordant.canonical.phases import EvidencePack, Grant, Proposal
from accordant.governance.evidence import Figures
from accordant.kernel.errors import RejectedError
from accordant.ports.audit import AuditEntry


class ProposalAltered(RejectedError):
    """The proposal or its evidence is not what was requested any more: a byte of it was changed."""

    remedy = "Nothing was granted. Find out who changed the store, then request it anew."


class ProposalSpent(RejectedError):
    """This proposal was granted already; an approval serves once."""

    remedy = "Request it anew, on today's evidence."


class ProposalUnknown(RejectedError):
    """There is no such proposal."""

    remedy = "`accordant phase status` lists those that are open."


class KeptProposal(msgspec.Struct, frozen=True, kw_only=True):
    """A proposal as it is kept, with its evidence. ``spent``: it was granted."""

    id: str
    proposal: Proposal
    pack: EvidencePack
    spent: bool


class PhaseBook(Protocol):
    """Obligations: rows are never changed; what is read back is checked against its digest; a proposal serves once."""

    def figures(self, flow: FlowPart, *, events_since: datetime, since: datetime, traces: int) -> Figures:
        """Count what is known of a flow: events and followed writes since one moment, the rest since another."""
        ...

    def request(self, proposal: Proposal, pack: EvidencePack, entry: AuditEntry) -> str:
        """Keep a proposal and its evidence; its id, which is made of what it says."""
        ...

    def read(self, proposal_id: str) -> KeptProposal:
        """A proposal and its evidence. Raises ProposalUnknown, ProposalAltered."""
        ...

    def grant(self, grant: Grant, entry: AuditEntry) -> None:
        """Keep a grant with its line in the trail. Raises ProposalSpent."""
        ...

    def history(self) -> tuple[Grant, ...]:
        """Every grant ever given, oldest first."""
        ...
