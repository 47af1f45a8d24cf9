"""What stands before a wider phase: what was counted becomes items that hold or do not, each with its figure.

Pure. The hub counts by itself (`ports/phases.py`); nobody types a figure in. Source of the items: requirements 113 to
133. Next: `operations/widen.py`.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

import msgspec

from accordant.canonical.charter import Automation, Charter, FlowPart, Phase, PhasesPart
from accordant.canonical.events import EventType
from accordant.canonical.phases import EvidenceItem, Grant
from accordant.canonical.refs import EntityKind
from accordant.governance.findings import Defect, Severity
from accordant.governance.phases import is_wider, spoken

#: How far back events count: long enough for what happens to a customer once a quarter.
EVENTS_SINCE = timedelta(days=90)
#: A daily comparison may be late by half a day and still count as daily.
DAILY = timedelta(hours=36)


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """One finished comparison. ``unexplained`` are findings that no rule, phase or switch accounts for."""

    run: str
    finished_at: datetime
    records: int
    unexplained: int


class SampledTrace(msgspec.Struct, frozen=True, kw_only=True):
    """One write followed from the source's event to its receipt. ``gap`` says what is missing; empty where nothing is.

    ``event`` is the inbox number, None where the charter, the calendar or a repair caused the write.
    """

    record: str
    event: int | None
    intent: str
    outcome: str
    gap: str = ""


class SampledPayout(msgspec.Struct, frozen=True, kw_only=True):
    """One payout followed from its event to the trail. ``blocked``: the bank did not take it. ``gap`` as of a write."""

    payout: str
    event: int
    blocked: bool
    amount: str
    gap: str = ""


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What was counted for one flow.

    ``understood`` counts processed events by the provider's type, ``business`` what they came to; ``stuck`` events by
    state. ``outcomes`` counts receipts by class, ``agreeing`` of the compared ones those that differ in nothing.
    ``reused_keys`` are ids that came again with other bytes, ``doubled`` intents that took effect twice, ``untraced``
    changes without a cause that can be found. ``waiting`` counts writes by the state in which they wait for a person,
    ``parked`` stopped lanes. ``payouts`` are the newest of either kind.
    """

    understood: dict[str, int]
    business: dict[EventType, int]
    stuck: dict[str, int]
    traces: tuple[SampledTrace, ...]
    outcomes: dict[str, int]
    compared: int
    agreeing: int
    comparisons: tuple[Comparison, ...]
    source_comparisons: tuple[Comparison, ...]
    reused_keys: int
    doubled: int
    untraced: int
    waiting: dict[str, int]
    parked: int
    payouts: tuple[SampledPayout, ...] = ()


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked: may this flow, under this charter, go from one phase to the next now?

    ``cap`` is the widest phase its connectors have earned, ``history`` every grant ever given, of any flow.
    """

    charter: Charter
    flow: FlowPart
    wished: Phase
    cap: Phase
    defects: tuple[Defect, ...]
    figures: Figures
    history: tuple[Grant, ...]
    now: datetime


def judge_evidence(question: Question) -> tuple[EvidenceItem, ...]:
    """Every item, in the order in which a person reads them. To read, a flow needs no more than sound rules."""
    if not is_wider(question.wished, Phase.READ_ONLY):
        return tuple(_rules(question))
    return (
        *_rules(question),
        *_events(question),
        *_traceability(question),
        *_payouts(question),
        *_comparisons(question),
        *_peace(question),
        *_classes(question),
    )


def _rules(question: Question) -> Iterator[EvidenceItem]:
    flow = question.flow
    yield EvidenceItem(
        name="connectors",
        is_green=not is_wider(question.wished, question.cap),
        figure=f"earned {spoken(question.cap)}",
        text=f"The connectors of {flow.source} and {flow.target} have earned {spoken(question.cap)}; "
        f"{spoken(question.wished)} is asked for.",
        query="accordant check",
    )
    yield EvidenceItem(
        name="wish",
        is_green=not is_wider(question.wished, flow.phase),
        figure=f"charter: {spoken(flow.phase)}",
        text=f"The charter wishes {spoken(flow.phase)} for {flow.name}."
        + (f" Set its phase to {spoken(question.wished)} first." if is_wider(question.wished, flow.phase) else ""),
        query="accordant check",
    )
    errors = [one for one in question.defects if one.severity is Severity.ERROR]
    mine = [one for one in errors if one.flows is None or flow.name in one.flows]
    yield EvidenceItem(
        name="lint",
        is_green=not mine,
        figure=f"{len(mine)} defects",
        text=" ".join(f"{one.problem} {one.remedy}" for one in mine) or "The charter's check finds nothing.",
        query="accordant check",
    )
    mapping = question.charter.mapping_of(flow)
    fields = 0 if mapping is None else len(mapping.fields)
    yield EvidenceItem(
        name="object-map",
        is_green=fields > 0,
        figure=f"{fields} fields",
        text=f"{flow.entity} of {flow.source} is {flow.object} of {flow.target}, {fields} fields mapped.",
        query="accordant check",
    )
    owner = next((part for part in question.charter.ownership if part.entity == flow.entity), None)
    yield EvidenceItem(
        name="winner",
        is_green=owner is not None and bool(owner.purpose.strip()),
        figure="none" if owner is None else _plain(owner.winner),
        text=f"Nobody owns {flow.entity}."
        if owner is None
        else f"{owner.purpose} On conflict: {_plain(owner.winner)}.",
        query="accordant check",
    )


def _events(question: Question) -> Iterator[EvidenceItem]:
    part, figures = question.charter.phases, question.figures
    understood = sum(figures.understood.values())
    yield EvidenceItem(
        name="events",
        is_green=understood >= part.min_events,
        figure=f"{understood} of {part.min_events}",
        text=f"{understood} events of {len(figures.understood)} types were understood in {EVENTS_SINCE.days} days; "
        f"{part.min_events} are asked for.",
        query="accordant status",
    )
    absent = [kind.value for kind in part.event_types if not figures.business.get(kind)]
    yield EvidenceItem(
        name="event-types",
        is_green=not absent,
        figure=f"{len(part.event_types) - len(absent)} of {len(part.event_types)}",
        text=f"Not seen yet: {', '.join(absent)}. Let each happen once, in a sandbox if need be."
        if absent
        else f"Each was seen: {', '.join(kind.value for kind in part.event_types)}.",
        query="accordant status",
    )
    stuck = sum(figures.stuck.values())
    yield EvidenceItem(
        name="stuck-events",
        is_green=stuck == 0,
        figure=f"{stuck}",
        text=f"Events of {question.flow.source} wait for a person: {_counts(figures.stuck)}. Redrive or settle each."
        if stuck
        else f"No event of {question.flow.source} failed or was put aside.",
        query="accordant redrive",
    )


def _traceability(question: Question) -> Iterator[EvidenceItem]:
    part, figures = question.charter.phases, question.figures
    gaps = [one for one in figures.traces if one.gap]
    yield EvidenceItem(
        name="traces",
        is_green=not gaps and len(figures.traces) >= part.sampled_traces,
        figure=f"{len(figures.traces) - len(gaps)} of {part.sampled_traces}",
        text=f"{gaps[0].record}: {gaps[0].gap}"
        if gaps
        else f"{len(figures.traces)} writes were followed from event to receipt; {part.sampled_traces} are asked for.",
        query=f"accordant trace {figures.traces[0].intent}" if figures.traces else "accordant status",
    )
    yield EvidenceItem(
        name="untraceable",
        is_green=figures.untraced == 0,
        figure=f"{figures.untraced}",
        text=f"{figures.untraced} changes have no cause that can be found. Each has to be explained first."
        if figures.untraced
        else "Every confirmed change leads back to its cause.",
        query="accordant audit verify",
    )
    reused = figures.reused_keys + figures.doubled
    yield EvidenceItem(
        name="key-reuse",
        is_green=reused == 0,
        figure=f"{reused}",
        text=f"{figures.reused_keys} event ids came again with other bytes, {figures.doubled} writes took effect twice."
        if reused
        else "No id came with other bytes, and no write took effect twice.",
        query="accordant status",
    )


def asks_for_payouts(charter: Charter, flow: FlowPart) -> bool:
    """Whether a flow waits for a paid and a blocked payout: it moves money or writes payouts, or the charter names one.

    Source: requirement 133.
    """
    named = {EventType.PAYOUT_CREATED, EventType.PAYOUT_PAID, EventType.PAYOUT_FAILED} & {*charter.phases.event_types}
    return flow.entity is EntityKind.PAYOUT or flow.automation is Automation.MONEY_MOVING or bool(named)


def _payouts(question: Question) -> Iterator[EvidenceItem]:
    """Both kinds are sampled wherever the charter owns payouts; only a flow that has to do with them waits for both."""
    charter, payouts = question.charter, question.figures.payouts
    if all(part.entity is not EntityKind.PAYOUT for part in charter.ownership):
        return
    gaps = [one for one in payouts if one.gap]
    paid = sum(not one.gap and not one.blocked for one in payouts)
    blocked = sum(not one.gap and one.blocked for one in payouts)
    waits = asks_for_payouts(charter, question.flow)
    missing = [name for name, count in (("paid", paid), ("blocked", blocked)) if not count]
    text = f"{paid} paid and {blocked} blocked payouts were followed from their event to the trail."
    if gaps:
        text = f"{gaps[0].payout}: {gaps[0].gap}"
    elif missing and waits:
        text += f" One that was {' and one that was '.join(missing)} is missing; let it happen in a test account."
    elif missing:
        text += " This flow moves no money, so it does not wait for both."
    yield EvidenceItem(
        name="payouts",
        is_green=not gaps and not (missing and waits),
        figure=f"{paid} paid, {blocked} blocked",
        text=text,
        query=f"accordant trace {payouts[0].event}" if payouts else "accordant status",
    )


def _comparisons(question: Question) -> Iterator[EvidenceItem]:
    part, figures, flow = question.charter.phases, question.figures, question.flow
    days = clean_days(figures.comparisons, now=question.now)
    yield EvidenceItem(
        name="reconciled",
        is_green=days >= part.clean_days,
        figure=f"{days} of {part.clean_days} days",
        text=f"Days in a row on which {flow.target} was compared and nothing unexplained was found: {days} of the "
        f"{part.clean_days} asked for. Compare daily.",
        query=f"accordant reconcile {flow.name}",
    )
    sourced = clean_days(figures.source_comparisons, now=question.now)
    yield EvidenceItem(
        name="source-reconciled",
        is_green=sourced >= 1,
        figure="clean" if sourced else "not clean",
        text=f"{flow.source} and the hub agree on customers and subscriptions."
        if sourced
        else f"The hub was not compared with {flow.source} in the last day, or something differs.",
        query=f"accordant reconcile --source {flow.source}",
    )
    settled = figures.compared
    if question.wished is Phase.AUTOMATED:
        settled = figures.outcomes.get("Applied", 0) + figures.outcomes.get("AlreadyApplied", 0)
    yield EvidenceItem(
        name="compared" if question.wished is Phase.CONTROLLED else "written",
        is_green=settled >= part.sampled_traces,
        figure=f"{settled} of {part.sampled_traces}",
        text=f"{settled} records were compared in shadow, {figures.agreeing} of them agree already."
        if question.wished is Phase.CONTROLLED
        else f"{settled} writes were confirmed by {flow.target}.",
        query="accordant status",
    )


def clean_days(comparisons: Sequence[Comparison], *, now: datetime) -> int:
    """How many days in a row, counted back from now, every comparison was clean and none was missing.

    An empty comparison proves nothing and counts as missing; one clean comparison of the last day is one day.
    """
    reached, oldest = now, None
    for one in sorted(comparisons, key=lambda run: run.finished_at, reverse=True):
        if one.unexplained or reached - one.finished_at > DAILY:
            break
        if one.records:
            reached = oldest = one.finished_at
    return 0 if oldest is None else (now - oldest).days + 1


def _peace(question: Question) -> Iterator[EvidenceItem]:
    figures = question.figures
    waiting = sum(figures.waiting.values()) + figures.parked
    yield EvidenceItem(
        name="exceptions",
        is_green=waiting == 0,
        figure=f"{waiting}",
        text=f"Waiting for a person: {_counts(figures.waiting | {'stopped lane': figures.parked})}. Settle each first."
        if waiting
        else "No write of this flow waits for a person, and no lane is stopped.",
        query="accordant redrive",
    )


def _classes(question: Question) -> Iterator[EvidenceItem]:
    if question.wished is not Phase.AUTOMATED:
        return
    other = under_observation(question.history, question.flow.automation, question.charter.phases, now=question.now)
    text = "No other class of automation was enabled lately."
    if other is not None:
        automation, until = other
        text = f"{_words(automation)} was enabled last and is observed until {until:%Y-%m-%d}; one class at a time."
    yield EvidenceItem(
        name="one-class",
        is_green=other is None,
        figure="free" if other is None else f"until {other[1]:%Y-%m-%d}",
        text=text,
        query="accordant phase status",
    )


def under_observation(
    history: Sequence[Grant], automation: Automation, part: PhasesPart, *, now: datetime
) -> tuple[Automation, datetime] | None:
    """The other class that was enabled so lately that this one has to wait, and until when.

    A class that was enabled before this one is already observed: enabling another flow of a known class is no news.
    """
    first: dict[Automation, datetime] = {}
    for grant in sorted(history, key=lambda one: one.granted_at):
        if grant.phase is Phase.AUTOMATED and not grant.is_narrowing:
            first.setdefault(grant.automation, grant.granted_at)
    if automation in first:
        return None
    waits = timedelta(days=part.observe_days)
    recent = [(at + waits, kind) for kind, at in first.items() if at + waits > now]
    return None if not recent else (max(recent)[1], max(recent)[0])


def _counts(counted: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counted.items()) if count)


def _words(automation: Automation) -> str:
    return _plain(automation).capitalize()


def _plain(word: str) -> str:
    return word.replace("_", " ")
