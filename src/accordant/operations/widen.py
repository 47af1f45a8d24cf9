"""Widen a flow by one step: evidence is collected, one person requests, another approves; anyone narrows, at once.

The approval is for the very proposal and the very evidence that were requested, serves once and runs out. What was
true at the request has to be true at the approval as well. Next: `governance/grants.py`, what a grant then allows.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec

from accordant.canonical.charter import Charter, FlowPart, Phase
from accordant.canonical.people import bare_name, is_unverified, same_person
from accordant.canonical.phases import EvidencePack, Grant, Proposal
from accordant.governance.decide import CompiledFlow, Switches
from accordant.governance.evidence import EVENTS_SINCE, Figures, Question, judge_evidence
from accordant.governance.findings import Defect
from accordant.governance.grants import is_exempt
from accordant.governance.phases import is_wider, next_phase, spoken
from accordant.kernel.errors import RejectedError
from accordant.kernel.hashing import fingerprint
from accordant.ports.audit import AuditEntry
from accordant.ports.phases import PhaseBook, ProposalSpent

#: How long a proposal can be approved.
PROPOSAL_LASTS = timedelta(days=7)
#: Comparisons are asked for this much longer than the clean days, so that the first day is whole.
_MARGIN = timedelta(days=2)
_REASON_MIN = 3


class WideningRefused(RejectedError):
    """The flow cannot be widened like this."""

    remedy = "`accordant phase status` shows what is missing."


class WideningDesk(msgspec.Struct, frozen=True, kw_only=True):
    """What a widening is judged by: the charter, the flow as the court knows it, what is granted, and the moment.

    ``cap`` is the widest phase its connectors have earned, ``defects`` what the charter's check finds, ``proved`` that
    people have tokens here, so that a typed name neither requests nor approves. ``one_hand`` says who alone stands
    behind two persons, where that is so.
    """

    charter: Charter
    flow: FlowPart
    rules: CompiledFlow
    cap: Phase
    defects: tuple[Defect, ...]
    switches: Switches
    book: PhaseBook
    now: datetime
    proved: bool = False
    one_hand: Callable[[str, str], str | None] = lambda _requester, _approver: None

    @property
    def in_force(self) -> Phase:
        """How far the flow may go now."""
        return self.rules.ceiling(self.switches).phase


def collect(desk: WideningDesk, wished: Phase) -> EvidencePack:
    """Count everything, judge it, and put it into one pack."""
    part, flow = desk.charter.phases, desk.flow
    since = desk.now - timedelta(days=part.clean_days) - _MARGIN
    figures = desk.book.figures(
        flow, events_since=desk.now - EVENTS_SINCE, since=since, traces=max(part.sampled_traces, 0)
    )
    question = Question(
        charter=desk.charter,
        flow=flow,
        wished=wished,
        cap=desk.cap,
        defects=desk.defects,
        figures=figures,
        history=desk.book.history(),
        now=desk.now,
    )
    waived = f"{flow.target} is a stand-in on this machine." if desk.rules.exempt else ""
    return EvidencePack(
        flow=flow.name,
        before=desk.in_force,
        wished=wished,
        automation=flow.automation,
        company=desk.charter.company,
        charter=desk.charter.version,
        meaning=desk.rules.meaning,
        write_fields=_fields_of(desk, wished),
        collected_at=desk.now,
        since=since,
        items=judge_evidence(question),
        tables=_tables(figures, desk),
        waived=waived,
    )


def _fields_of(desk: WideningDesk, wished: Phase) -> tuple[str, ...]:
    """The fields that would be written: those released, or every mapped one when the flow is automated."""
    return tuple(sorted(desk.rules.own_fields if wished is Phase.AUTOMATED else desk.rules.write_fields))


def _tables(figures: Figures, desk: WideningDesk) -> dict[str, tuple[tuple[str, ...], ...]]:
    """The details behind the items, as rows of text."""
    mapping = desk.charter.mapping_of(desk.flow)
    owner = next((part for part in desk.charter.ownership if part.entity == desk.flow.entity), None)
    fields = (
        ()
        if mapping is None
        else tuple((name, field.source or field.path or field.expression) for name, field in mapping.fields.items())
    )
    return {
        "events": (("Type", "Understood"), *((name, str(count)) for name, count in sorted(figures.understood.items()))),
        "business": (("Event", "Seen"), *((kind.value, str(n)) for kind, n in sorted(figures.business.items()))),
        "traces": (
            ("Record", "Event", "Intent", "Outcome", "Missing"),
            *(
                (one.record, "" if one.event is None else str(one.event), one.intent, one.outcome, one.gap)
                for one in figures.traces
            ),
        ),
        "payouts": (
            ("Payout", "Event", "Outcome", "Amount", "Missing"),
            *(
                (one.payout, str(one.event), "blocked" if one.blocked else "paid", one.amount, one.gap)
                for one in figures.payouts
            ),
        ),
        "comparisons": (
            ("Run", "Finished", "Records", "Unexplained"),
            *(
                (one.run, one.finished_at.isoformat(), str(one.records), str(one.unexplained))
                for one in (*figures.comparisons, *figures.source_comparisons)
            ),
        ),
        "outcomes": (("Outcome", "Writes"), *((name, str(count)) for name, count in sorted(figures.outcomes.items()))),
        "object-map": (("Field", "Fact"), *fields),
        "exceptions": (
            ("Fact", "Owned by"),
            *(() if owner is None else sorted(owner.fields.items())),
        ),
    }


def request(desk: WideningDesk, *, wished: Phase, actor: str, reason: str) -> tuple[str, EvidencePack]:
    """Ask for one wider phase on evidence that is green; the proposal's id, and the evidence.

    Raises WideningRefused, naming the first thing that is missing.
    """
    _named(actor, reason)
    _proved(desk, actor)
    _one_step(desk, wished)
    pack = collect(desk, wished)
    _all_green(pack)
    proposal = Proposal(
        flow=desk.flow.name,
        wished=wished,
        automation=desk.flow.automation,
        write_fields=pack.write_fields,
        meaning=pack.meaning,
        evidence=fingerprint(pack),
        requested_by=actor.strip(),
        requested_at=desk.now,
        expires_at=desk.now + PROPOSAL_LASTS,
        reason=reason.strip(),
    )
    entry = AuditEntry(
        kind="phases.widening.requested",
        actor=proposal.requested_by,
        subject=f"flow/{desk.flow.name}",
        cause=None,
        at=desk.now,
        body={
            "flow": proposal.flow,
            "wished": wished.value,
            "evidence": proposal.evidence,
            "meaning": proposal.meaning,
            "expires_at": proposal.expires_at.isoformat(),
            "reason": proposal.reason,
            "waived": pack.waived or None,
        },
    )
    return desk.book.request(proposal, pack, entry), pack


def approve(
    desk_of: Callable[[str], WideningDesk], proposal_id: str, *, actor: str, reason: str, book: PhaseBook
) -> Grant:
    """Grant exactly what was requested. ``desk_of`` opens the desk of a flow as it stands now.

    Raises WideningRefused, and ProposalUnknown, ProposalAltered, ProposalSpent.
    """
    _named(actor, reason)
    kept = book.read(proposal_id)
    proposal = kept.proposal
    if kept.spent:
        raise ProposalSpent(f"The proposal {proposal_id} was granted already.")
    desk = desk_of(proposal.flow)
    _second_person(desk, proposal, actor)
    _all_green(kept.pack)
    if desk.now >= proposal.expires_at:
        raise WideningRefused(
            f"The proposal {proposal_id} ran out on {proposal.expires_at:%Y-%m-%d}.", remedy="Request it anew."
        )
    _one_step(desk, proposal.wished)
    if (desk.rules.meaning, _fields_of(desk, proposal.wished), desk.flow.automation) != (
        proposal.meaning,
        proposal.write_fields,
        proposal.automation,
    ):
        raise WideningRefused(
            f"The charter describes {proposal.flow} otherwise than when this was requested.", remedy="Request it anew."
        )
    _all_green(collect(desk, proposal.wished))
    grant = Grant(
        flow=proposal.flow,
        phase=proposal.wished,
        automation=proposal.automation,
        write_fields=proposal.write_fields,
        meaning=proposal.meaning,
        evidence=proposal.evidence,
        proposal=proposal_id,
        requested_by=proposal.requested_by,
        granted_by=actor.strip(),
        granted_at=desk.now,
        reason=reason.strip(),
    )
    entry = _entry("phases.flow.widened", grant, desk.in_force)
    if (hand := desk.one_hand(grant.requested_by, grant.granted_by)) is not None:
        entry = msgspec.structs.replace(entry, body={**entry.body, "one_hand": hand})
    book.grant(grant, entry)
    return grant


def narrow(desk: WideningDesk, *, phase: Phase, actor: str, reason: str) -> Grant:
    """Take a flow back, at once: one named person is enough. Raises WideningRefused when that would not be narrower."""
    _named(actor, reason)
    before = desk.in_force
    if not is_wider(before, phase):
        raise WideningRefused(
            f"{desk.flow.name} is {spoken(before)}; {spoken(phase)} is not narrower.",
            remedy="A wider phase is requested and approved.",
        )
    held = desk.switches.grants.get(desk.flow.name)
    grant = Grant(
        flow=desk.flow.name,
        phase=phase,
        automation=desk.flow.automation,
        write_fields=held.write_fields if held is not None else _fields_of(desk, before),
        meaning=held.meaning if held is not None else desk.rules.meaning,
        evidence=held.evidence if held is not None else "",
        proposal=held.proposal if held is not None else "",
        requested_by=held.requested_by if held is not None else "",
        granted_by=actor.strip(),
        granted_at=desk.now,
        reason=reason.strip(),
        is_narrowing=True,
    )
    desk.book.grant(grant, _entry("phases.flow.narrowed", grant, before))
    return grant


def keep_to_charter(charter: Charter, *, book: PhaseBook, now: datetime) -> tuple[Grant, ...]:
    """Take back what the charter no longer wishes: a later, wider charter does not bring an old grant back."""
    wished = {flow.name: flow.phase for flow in charter.flows}
    newest = {grant.flow: grant for grant in book.history()}
    taken = []
    for held in newest.values():
        phase = wished.get(held.flow, Phase.READ_ONLY)
        if not is_wider(held.phase, phase) or not is_wider(held.phase, Phase.READ_ONLY):
            continue
        grant = msgspec.structs.replace(
            held,
            phase=phase,
            granted_by=f"charter {charter.version}",
            granted_at=now,
            reason="The charter that came into force wishes no more.",
            is_narrowing=True,
        )
        book.grant(grant, _entry("phases.flow.narrowed", grant, held.phase))
        taken.append(grant)
    return tuple(taken)


def exemptions(charter: Charter, *, now: datetime) -> tuple[AuditEntry, ...]:
    """The lines of the trail that say which flows write to a stand-in without a grant."""
    return tuple(
        AuditEntry(
            kind="phases.flow.exempted",
            actor="accordant",
            subject=f"flow/{flow.name}",
            cause=None,
            at=now,
            body={"flow": flow.name, "phase": flow.phase.value, "charter": charter.version, "target": flow.target},
        )
        for flow in charter.flows
        if is_exempt(charter, flow) and is_wider(flow.phase, Phase.READ_ONLY)
    )


def _entry(kind: str, grant: Grant, before: Phase) -> AuditEntry:
    return AuditEntry(
        kind=kind,
        actor=grant.granted_by,
        subject=f"flow/{grant.flow}",
        cause=None,
        at=grant.granted_at,
        body={
            "flow": grant.flow,
            "before": before.value,
            "after": grant.phase.value,
            "grant": fingerprint(grant),
            "proposal": grant.proposal or None,
            "evidence": grant.evidence or None,
            "requested_by": grant.requested_by or None,
            "reason": grant.reason,
        },
    )


def _named(actor: str, reason: str) -> None:
    if not actor.strip() or len(reason.strip()) < _REASON_MIN:
        raise RejectedError(
            "How far a flow may go is changed by a named person for a stated reason.",
            remedy="Give both: who you are, and why.",
        )


def _one_step(desk: WideningDesk, wished: Phase) -> None:
    before = desk.in_force
    if not is_wider(wished, before):
        raise WideningRefused(
            f"{desk.flow.name} is {spoken(before)} already.", remedy="A narrower phase needs no request."
        )
    if wished is not next_phase(before):
        raise WideningRefused(
            f"{desk.flow.name} is {spoken(before)} and cannot become {spoken(wished)} at once.",
            remedy=f"Request {spoken(next_phase(before))} first.",
        )
    if is_wider(wished, desk.rules.phase):
        raise WideningRefused(
            f"{desk.flow.name} may be {spoken(desk.rules.phase)} at most, by its charter and its connectors' tier.",
            remedy="Set its phase in the charter first; `accordant check` shows the tier.",
        )


def _all_green(pack: EvidencePack) -> None:
    if pack.is_green:
        return
    first = pack.red[0] if pack.red else None
    told = "The evidence is empty." if first is None else f"{first.name}: {first.text}"
    more = f" ({len(pack.red) - 1} more)" if len(pack.red) > 1 else ""
    raise WideningRefused(f"The evidence for {pack.flow} is not green. {told}{more}")


def _proved(desk: WideningDesk, actor: str) -> None:
    if desk.proved and is_unverified(actor):
        raise WideningRefused(
            f"{bare_name(actor)} is a typed name, and people have tokens here.",
            remedy="Set ACCORDANT_TOKEN to your own token, or sign in to the console with it.",
        )


def _second_person(desk: WideningDesk, proposal: Proposal, actor: str) -> None:
    _proved(desk, actor)
    if desk.proved and is_unverified(proposal.requested_by):
        raise WideningRefused(
            f"Nobody proved to be {bare_name(proposal.requested_by)}, who requested this before people had tokens.",
            remedy="Request it anew, signed in.",
        )
    if same_person(actor, proposal.requested_by):
        raise WideningRefused(
            f"{bare_name(actor.strip())} requested this and cannot approve it.",
            remedy="Ask another approver of the charter.",
        )
    approvers = desk.charter.phases.approvers
    if not any(same_person(actor, name) for name in approvers):
        raise WideningRefused(
            f"{bare_name(actor.strip())} is no approver.",
            remedy=f"The charter names: {', '.join(approvers) or 'nobody yet (phases.approvers)'}.",
        )
