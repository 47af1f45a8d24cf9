"""What the hub does by itself, from the charter's schedules: which duty of which flow, and what is told about it."""

from enum import StrEnum

import msgspec

from accordant.canonical.charter import Charter, Phase
from accordant.operations.reconcile import Reconciliation


class Work(StrEnum):
    """The kinds of duty."""

    RECONCILE = "reconcile"
    RECONCILE_WHOLE = "reconcile_whole"
    DRIFT = "drift"
    CHECKPOINT = "checkpoint"
    SWEEP = "sweep"
    FETCH = "fetch"
    SETTLEMENT = "settlement"
    SILENCE = "silence"
    MOVEMENTS = "movements"
    BOOKS = "books"
    SAGAS = "sagas"
    VAT = "vat"


class Duty(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to do by the clock. ``flow`` is None for what concerns the installation."""

    work: Work
    schedule: str
    flow: str | None = None

    @property
    def name(self) -> str:
        """How the duty is remembered: ``reconcile/accounts``, ``drift``."""
        return self.work.value if self.flow is None else f"{self.work.value}/{self.flow}"


def duties(charter: Charter) -> tuple[Duty, ...]:
    """Everything the charter wants done by the clock; nothing for a draft, which has nothing to compare."""
    times = charter.schedules
    flows = [flow.name for flow in charter.flows if flow.phase is not Phase.DRAFT]
    found = [
        Duty(work=work, schedule=schedule, flow=flow)
        for work, schedule in ((Work.RECONCILE, times.reconcile), (Work.RECONCILE_WHOLE, times.reconcile_whole))
        if schedule is not None
        for flow in flows
    ]
    found += [
        Duty(work=work, schedule=schedule)
        for work, schedule in (
            (Work.DRIFT, times.drift),
            (Work.CHECKPOINT, times.checkpoint),
            (Work.SWEEP, times.sweep),
            (Work.FETCH, times.fetch),
            (Work.SETTLEMENT, times.settlement),
            (Work.SILENCE, times.silence),
            (Work.MOVEMENTS, times.movements),
            (Work.BOOKS, None if charter.ledger is None else times.books),
            (Work.SAGAS, times.sagas),
            (Work.VAT, None if charter.vat is None else times.vat),
        )
        if schedule is not None
    ]
    return tuple(found)


def told_of(found: Reconciliation) -> str:
    """What a comparison came to, in a sentence or two."""
    if found.is_empty:
        return "There was nothing to compare."
    if found.is_clean:
        return f"All of {found.run.records:,} records agree."
    kinds = ", ".join(
        f"{one.count:,} × {one.kind.value.replace('_', ' ')} ({one.cause.value.replace('_', ' ')})"
        for one in found.counts[:5]
    )
    worth = " + ".join(str(money) for money in found.exposure)
    at_stake = f" Monthly revenue of the accounts behind them: {worth}." if worth else ""
    return f"{found.run.discrepancies:,} differences in {found.run.records:,} records: {kinds}.{at_stake}"
