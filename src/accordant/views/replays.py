"""Replays as a list: what was ordered, by whom, and how far it is."""

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import select

from accordant.kernel.clock import from_micros
from accordant.store.engine import Database
from accordant.store.schema import replay_job

LISTED_MAX = 50


class ReplayLine(msgspec.Struct, frozen=True, kw_only=True):
    """One replay. ``scope`` is what narrows it, empty for everything; ``intents`` counts writes, the others events."""

    id: str
    actor: str
    reason: str
    scope: tuple[str, ...]
    classes: tuple[str, ...]
    automations: tuple[str, ...]
    started_at: datetime
    finished_at: datetime | None
    total: int
    done: int
    changed: int
    intents: int
    stopped: int
    doubtful: int


def replays(database: Database) -> tuple[ReplayLine, ...]:
    """The latest replays, the newest first."""
    query = select(replay_job).order_by(replay_job.c.started_at.desc(), replay_job.c.id).limit(LISTED_MAX)
    with database.read() as connection:
        return tuple(_line(row) for row in connection.execute(query))


def _line(row: Any) -> ReplayLine:  # noqa: ANN401  a row of the table
    order: dict[str, Any] = msgspec.json.decode(row.order)
    seen: dict[str, Any] = msgspec.json.decode(row.progress)
    scope = {name: value for name, value in order["scope"].items() if value is not None}
    return ReplayLine(
        id=row.id,
        actor=order["actor"],
        reason=order["reason"],
        scope=tuple(f"{name.replace('_', ' ')} {value}" for name, value in sorted(scope.items())),
        classes=tuple(order["classes"]),
        automations=tuple(order["automations"]),
        started_at=from_micros(row.started_at),
        finished_at=None if row.finished_at is None else from_micros(row.finished_at),
        total=seen["total"],
        done=min(seen["done"], seen["total"]),
        changed=seen["changed"],
        intents=seen["intents"],
        stopped=seen["stopped"],
        doubtful=len(seen["doubtful"]),
    )
