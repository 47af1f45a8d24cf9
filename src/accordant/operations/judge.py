"""One record compared: does the target hold what it should, and if not, why? Pure; every finding has a cause.

A difference that a write on its way will settle is in flight. Called by `reconcile.py`, twice before it reports.
"""

from datetime import datetime

import msgspec

from accordant.canonical.charter import Winner
from accordant.canonical.conflicts import ConflictRule, Contested
from accordant.canonical.intents import IntentState, WireValue
from accordant.canonical.targets import CurrentRecord
from accordant.governance.decide import Case, Decision, Effect, Switches, decide
from accordant.governance.gates import AskGates, nobody_asks
from accordant.pipeline.contest import Contest, Parties, Respell, contest
from accordant.pipeline.plan import Route
from accordant.ports.reconcile import Cause, Discrepancy, DiscrepancyKind, KnownRecord

_KEPT_BACK: dict[IntentState, str] = {
    IntentState.DEAD: "The target refused the write: {reason} Correct the cause, then redrive it.",
    IntentState.HELD: "The write is held: {reason}",
    IntentState.CANCELLED: "The write was given up: {reason}",
    IntentState.SHADOWED: "The write was computed and compared only, since the flow may not send it.",
}


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one record. ``compared`` counts fields; ``in_flight``: a write on its way settles some of them.

    ``contested`` are the conflicts behind findings, as the courier would have met them.
    """

    compared: int
    findings: tuple[Discrepancy, ...] = ()
    in_flight: bool = False
    contested: tuple[Contested, ...] = ()

    @property
    def agrees(self) -> bool:
        """Whether the target holds every value it should."""
        return not self.findings and not self.in_flight


def judge(
    *,
    known: KnownRecord,
    held: CurrentRecord | None,
    route: Route,
    switches: Switches,
    respell: Respell,
    now: datetime,
    ask_gates: AskGates = nobody_asks,
) -> Judgement:
    """Compare one desired record with what the target holds of it, None when it holds no such record.

    Only facts that the flow's source owns are compared: the others are not ours to judge.
    """
    own = {name: value for name, value in known.fields.items() if name in route.rules.own_fields}
    desired = respell(own)
    winner = route.umpire.rule.winner
    differing = tuple(sorted(name for name in desired if held is None or held.fields.get(name) != desired[name]))
    if held is not None and not differing:
        return Judgement(compared=len(desired))
    verdicts = ask_gates(route.rules.gates, known.account_id)
    decision = decide(
        Case(
            flow=route.rules,
            fields=frozenset(desired),
            switches=switches,
            verdicts=verdicts,
            accounts=(known.account_id,),
        )
    )
    moving = decision.write if known.is_open and known.parked is None else frozenset()
    if held is None:
        if moving:
            return Judgement(compared=len(desired), in_flight=True)
        return Judgement(compared=len(desired), findings=(_missing(known, decision, winner),))
    # What is on its way the courier rules on when it gets there; here it is asked about what stands still.
    still = {name: value for name, value in desired.items() if name not in moving}
    met = contest(
        desired=still,
        raw=own,
        held=held,
        known=known.known,
        respell=respell,
        rule=route.umpire.rule,
        parties=Parties(source=route.flow.source, target=route.flow.target),
        now=now,
    )
    kept = {one.field for one in met.aside if one.is_kept}
    standing = [name for name in differing if name not in moving and name not in kept]
    findings = [_differs(name, known, held, desired[name], decision, met=met) for name in standing]
    return Judgement(
        compared=len(desired),
        findings=tuple(findings),
        in_flight=not moving.isdisjoint(differing),
        contested=_certain(met.contested, winner),
    )


def _differs(
    name: str, known: KnownRecord, held: CurrentRecord, expected: WireValue, decision: Decision, *, met: Contest
) -> Discrepancy:
    conflict = next((one for one in met.contested if one.field == name), None)
    waiting = next((one.sentence for one in met.aside if one.field == name), None)
    cause, explanation = _cause_of(known, name, decision, conflict=conflict, waiting=waiting)
    return Discrepancy(
        kind=DiscrepancyKind.DIFFERS,
        cause=cause,
        record=known.ref,
        explanation=explanation,
        field=name,
        expected=expected,
        actual=held.fields.get(name),
        target_id=held.target_id,
        account_id=known.account_id,
        # What the target's side won is not among the findings: here the owner's value is to be written.
        repairable=waiting is None and name in decision.write and _may_repair(known, cause, Winner.SYSTEM_OF_RECORD),
    )


def _certain(contested: tuple[Contested, ...], winner: Winner) -> tuple[Contested, ...]:
    """Where the later value wins and both sides moved, only the courier knows the time of ours: it rules, not we."""
    if winner is not Winner.LATEST:
        return contested
    return tuple(one for one in contested if one.ruling.rule is not ConflictRule.SYSTEM_OF_RECORD)


def _missing(known: KnownRecord, decision: Decision, winner: Winner) -> Discrepancy:
    edited = known.is_written and known.confirmed is not None
    cause, explanation = (
        (Cause.HAND_EDIT, f"{_edited(known, None)}{_refused(known)}")
        if edited
        else _cause_of(known, None, decision, conflict=None, waiting=None)
    )
    return Discrepancy(
        kind=DiscrepancyKind.MISSING,
        cause=cause,
        record=known.ref,
        explanation=explanation,
        expected=known.key,
        target_id=known.confirmed_id,
        account_id=known.account_id,
        repairable=bool(decision.write) and _may_repair(known, cause, winner),
    )


def _cause_of(
    known: KnownRecord, field: str | None, decision: Decision, *, conflict: Contested | None, waiting: str | None
) -> tuple[Cause, str]:
    """The cause, and a sentence with the next step. ``field`` None asks about the whole record."""
    # That a person has to undo it himself makes an edit of a posted document no other thing: it is told as what it is.
    is_posted = conflict is not None and conflict.ruling.rule is ConflictRule.POSTED
    if waiting is not None and not is_posted:
        return Cause.CONFLICT, f"{waiting} See its conflict."
    if conflict is not None:
        return Cause.HAND_EDIT, f"{_edited(known, field)} {conflict.ruling.sentence}"
    if (field is None and not decision.write) or (field is not None and field not in decision.write):
        return Cause.NOT_WRITTEN, _withheld(decision, field)
    if known.parked is not None:
        return Cause.NOT_WRITTEN, f"The record's lane is stopped: {known.parked}"
    intent = known.intent
    if intent is None:
        return Cause.NOT_PLANNED, "No write was planned for what is desired now; a repair plans one."
    if intent.state in _KEPT_BACK:
        reason = intent.reason or "no reason was kept."
        return Cause.NOT_WRITTEN, _KEPT_BACK[intent.state].format(reason=reason)
    return (
        Cause.LOST,
        f"The write {intent.id} is {intent.state} and the target does not show it; a repair writes again.",
    )


def _edited(known: KnownRecord, field: str | None) -> str:
    seen = "" if known.confirmed_at is None else f" on {known.confirmed_at:%Y-%m-%d at %H:%M} UTC"
    if field is None:
        return (
            f"The target confirmed this record as {known.confirmed_id}{seen}; somebody deleted it or took its key away."
        )
    return f"The target confirmed another value{seen}; somebody changed {field} there since."


def _refused(known: KnownRecord) -> str:
    """What became of the try to write it again, where there was one."""
    if known.intent is None or known.intent.state is not IntentState.DEAD:
        return ""
    return f" {_KEPT_BACK[IntentState.DEAD].format(reason=known.intent.reason or 'no reason was kept.')}"


def _withheld(decision: Decision, field: str | None) -> str:
    """What the court said of this field, the sentence that names it before the one about every field."""
    spoken = [reason for reason in decision.reasons if reason.effect is not Effect.ALLOW]
    told = [reason.text for reason in spoken if field is None or not reason.fields or field in reason.fields]
    return " ".join(told) or "The charter does not let this flow write it."


def _may_repair(known: KnownRecord, cause: Cause, winner: Winner) -> bool:
    """What a rule, a refusal or a person's edit that wins keeps back is never repaired past it."""
    if known.parked is not None or (known.intent is not None and known.intent.state is IntentState.DEAD):
        return False
    if cause is Cause.HAND_EDIT:
        return winner is Winner.SYSTEM_OF_RECORD
    return cause in {Cause.LOST, Cause.NOT_PLANNED}
