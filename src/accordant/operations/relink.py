"""Records that were merged, moved or deleted in a target, looked for without a write being due, for reconciliation.

The same eyes as the courier's (`pipeline/recognize.py`): links are moved, and what only a person can say is asked.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Protocol

import msgspec

from accordant.canonical.intents import WriteIntent, plan_intent
from accordant.canonical.matching import ReviewCase
from accordant.canonical.refs import EntityKind, EntityRef
from accordant.canonical.review import Relink
from accordant.canonical.targets import object_spec
from accordant.kernel.clock import Clock
from accordant.kernel.ids import EntityId
from accordant.pipeline.plan import Route
from accordant.pipeline.recognize import Recognizer
from accordant.pipeline.settle import question_entry, relink_entry
from accordant.ports.audit import AuditEntry
from accordant.ports.connector import Outbound
from accordant.ports.reconcile import KnownRecord, ReconcileBook


class LinkKeeper(Protocol):
    """Keeps what was learned of where records went."""

    def learn(
        self, relinks: Sequence[Relink], cases: Sequence[ReviewCase], entries: Sequence[AuditEntry], *, now: datetime
    ) -> None:
        """Keep links, questions and their trail in one transaction."""
        ...


class Relinked(msgspec.Struct, frozen=True, kw_only=True):
    """What a search came to: records that were looked at, links that moved, questions that were put."""

    records: int = 0
    relinked: int = 0
    asked: int = 0


async def relink(
    *, route: Route, outbound: Outbound, book: ReconcileBook, keeper: LinkKeeper, recognizer: Recognizer, clock: Clock
) -> Relinked:
    """Look for every confirmed record of a flow of accounts. Raises as ``Outbound.read``; run again, it goes on.

    What hangs below an account goes where it goes, so flows of anything else are not looked at.
    """
    done = Relinked()
    if route.flow.entity is not EntityKind.ACCOUNT:
        return done
    spec, last = object_spec(route.mapping), ""
    while batch := await asyncio.to_thread(partial(book.known_after, route.flow.name, last, limit=outbound.batch_max)):
        last = batch[-1].key
        known = [one for one in batch if one.confirmed_id is not None]
        now = clock()
        intents = [_glance(one, route, now) for one in known]
        held = await outbound.read(spec, [one.key for one in known]) if known else {}
        found = (await recognizer.recognize(intents, spec=spec, held=held, outbound=outbound)).values()
        relinks = [one.relink for one in found if one.relink is not None]
        cases = [one.case for one in found if one.case is not None]
        entries = [relink_entry(one, now) for one in relinks] + [question_entry(one, now, cause=None) for one in cases]
        if entries:
            await asyncio.to_thread(partial(keeper.learn, relinks, cases, entries, now=now))
        done = Relinked(
            records=done.records + len(known), relinked=done.relinked + len(relinks), asked=done.asked + len(cases)
        )
    return done


def _glance(known: KnownRecord, route: Route, now: datetime) -> WriteIntent:
    """A record as the recognizer looks at it; nothing is written."""
    return plan_intent(
        flow=route.flow.name,
        target=route.flow.target,
        object_name=route.flow.object,
        key_field=route.mapping.key_field,
        key=known.key,
        entity=EntityRef(EntityKind.ACCOUNT, EntityId(known.entity_id)),
        lane=f"{route.flow.target}:{known.account_id}",
        step=0,
        fields={},
        changes=(),
        cause=None,
        planned_at=now,
        revision=known.revision,
    )
