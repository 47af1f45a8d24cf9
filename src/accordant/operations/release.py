"""A person lets a record be opened: by name, with a reason, and of the very content that they were shown.

Only that word is kept here; the court asks for it when the record is planned and again before the first byte leaves.
"""

from collections.abc import Callable
from datetime import datetime

import msgspec

from accordant.canonical.charter import Trigger
from accordant.canonical.intents import WriteIntent
from accordant.canonical.openings import REASON_LENGTH_MAX, Release
from accordant.governance.openings import AskOpening
from accordant.kernel.errors import RejectedError
from accordant.pipeline.plan import Rulebook
from accordant.ports.audit import AuditEntry
from accordant.ports.openings import OpeningBook


class ReleaseRefused(RejectedError):
    """It cannot be released as it stands."""


class ReleaseOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Who releases which record (``target:object/key``), why, and the content they were shown."""

    record: str
    content: str
    actor: str
    reason: str


def release(
    order: ReleaseOrder,
    *,
    waiting: WriteIntent | None,
    rulebook: Rulebook,
    ask: AskOpening,
    book: OpeningBook,
    replan: Callable[[str], object],
    now: datetime,
) -> None:
    """Keep a release and decide the company of the record again. ``waiting`` is what is held of it, if anything.

    Raises: ReleaseRefused, with what is in the way.
    """
    if waiting is None:
        raise ReleaseRefused(
            f"Nothing of {order.record} waits to be released.", remedy="Look at what waits: accordant openings list."
        )
    route = rulebook.route(waiting.flow)
    if route is None or route.flow.trigger is not Trigger.MANUAL:
        raise ReleaseRefused(f"{waiting.flow} is not triggered by hand: it goes once its conditions hold.")
    if order.content != waiting.input_digest:
        raise ReleaseRefused(
            f"What would be written to {order.record} has changed since you looked.", remedy="Look at it again."
        )
    for name, text in (("name", order.actor), ("reason", order.reason)):
        if not text.strip():
            raise ReleaseRefused("A release is given by a named person for a reason.", remedy=f"Give your {name}.")
    if len(order.reason) > REASON_LENGTH_MAX:
        raise ReleaseRefused(
            f"The reason has {len(order.reason)} characters.", remedy=f"Say it in {REASON_LENGTH_MAX}."
        )
    verdict = ask(waiting)
    if verdict is None:
        raise ReleaseRefused(f"{order.record} is no longer decided by {waiting.flow}.", remedy="Look at it again.")
    if verdict.is_there:
        raise ReleaseRefused(f"{order.record} was opened already.")
    if verdict.unmet:
        raise ReleaseRefused(f"It may not be opened: {' '.join(verdict.unmet)}", remedy="Put that right first.")
    kept = Release(
        record=order.record,
        content=order.content,
        actor=order.actor.strip(),
        reason=order.reason.strip(),
        released_at=now,
    )
    root_id = waiting.lane.partition(":")[2]
    book.keep(kept, root_id=root_id, entry=_entry(kept, waiting))
    replan(root_id)


def _entry(kept: Release, waiting: WriteIntent) -> AuditEntry:
    return AuditEntry(
        kind="operations.opening.released",
        actor=kept.actor,
        subject=kept.record,
        cause=waiting.cause,
        at=kept.released_at,
        body={"content": kept.content, "flow": waiting.flow, "intent": waiting.id, "reason": kept.reason},
    )
