"""What the latest comparison of each flow, owner and hierarchy came to, and what one of them found."""

from datetime import datetime

import msgspec
from sqlalchemy import func, select

from accordant.canonical.intents import WireValue
from accordant.kernel.clock import from_micros
from accordant.kernel.money import Money
from accordant.store.engine import Database
from accordant.store.schema import discrepancy, reconcile_run

#: Findings of a comparison on its page; the command and the store have all.
FINDINGS_MAX = 200


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """One comparison that came to its end. ``of`` is a flow, ``source:SYSTEM``, ``money:SYSTEM``, ``bills:SYSTEM`` or
    ``hierarchy``.
    """

    run_id: str
    of: str
    finished_at: datetime
    records: int
    findings: int


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """One finding as it was kept; see `ports.reconcile.Discrepancy`."""

    kind: str
    cause: str
    record: str
    explanation: str
    field: str | None = None
    expected: WireValue = None
    actual: WireValue = None
    account_id: str | None = None
    exposure: tuple[Money, ...] | None = None
    repairable: bool = False


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """What one comparison found; ``partial``: there is more than is shown."""

    comparison: Comparison
    lines: tuple[Found, ...]
    partial: bool


_FOUND = msgspec.json.Decoder(Found)
_RUN = (
    reconcile_run.c.id,
    reconcile_run.c.flow,
    reconcile_run.c.finished_at,
    reconcile_run.c.records,
    reconcile_run.c.discrepancies,
)


def comparisons(database: Database) -> tuple[Comparison, ...]:
    """The latest finished comparison of everything that was ever compared, those with findings first."""
    latest = (
        select(reconcile_run.c.flow, func.max(reconcile_run.c.started_at).label("started_at"))
        .where(reconcile_run.c.finished_at.is_not(None))
        .group_by(reconcile_run.c.flow)
        .subquery()
    )
    query = select(*_RUN).join(
        latest, (latest.c.flow == reconcile_run.c.flow) & (latest.c.started_at == reconcile_run.c.started_at)
    )
    with database.read() as connection:
        found = [_comparison(tuple(row)) for row in connection.execute(query)]
    return tuple(sorted(found, key=lambda one: (not one.findings, one.of)))


def findings(database: Database, run_id: str, *, limit: int | None = FINDINGS_MAX) -> Findings | None:
    """What a finished comparison found, in its order; None where there is no such comparison."""
    query = select(discrepancy.c.body).where(discrepancy.c.run_id == run_id).order_by(discrepancy.c.id)
    if limit is not None:
        query = query.limit(limit + 1)
    with database.read() as connection:
        run = connection.execute(
            select(*_RUN).where(reconcile_run.c.id == run_id, reconcile_run.c.finished_at.is_not(None))
        ).one_or_none()
        if run is None:
            return None
        lines = tuple(_FOUND.decode(body) for body in connection.execute(query).scalars())
    return Findings(
        comparison=_comparison(tuple(run)), lines=lines[:limit], partial=limit is not None and len(lines) > limit
    )


def _comparison(row: tuple[str, str, int, int, int]) -> Comparison:
    run_id, of, finished_at, records, found = row
    return Comparison(run_id=run_id, of=of, finished_at=from_micros(finished_at), records=records, findings=found)
