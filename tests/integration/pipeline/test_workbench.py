"""The workbench tells of what stands below an account what is on it now, however often it was asked before."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accordant.canonical.entities import Entity, Invoice, Payment, Refund, Subscription
from accordant.pipeline.workbench import Workbench
from accordant.store import schema
from tests.integration.pipeline.kit import Past, Rooms, a_past, in_order, rooms

PAST: Past = a_past(accounts=4, months=3, seed=3)


BELOW = (Subscription, Invoice, Payment, Refund)


def _laid_down(bench: Workbench, walk: Rooms, account_id: str) -> list[Entity]:
    """What stands below the account as the store and the bench have it, in the order of the names."""
    stored = {one.ref.id: bench.entity(one.ref.id) or one for one in walk.hub.state.entities_of([account_id])}
    return [one.entity for _, one in sorted(stored.items()) if isinstance(one.entity, BELOW)]


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(st.sampled_from(["load", "ask", "change"]), st.integers(0, 3)), max_size=12))
def test_what_stands_below_a_new_account_is_what_was_laid_down_last(
    tmp_path: Path, steps: list[tuple[str, int]]
) -> None:
    store = f"sqlite:///{tmp_path / 'past.db'}"
    is_new = not (tmp_path / "past.db").exists()
    with rooms(store, tmp_path, at=PAST.ended_at, past=PAST) as walk:
        if is_new:
            walk.accept(in_order(PAST))
            walk.finish(random.Random(3))
        accounts = [name for name, kind in walk.rows(schema.entity, "id", "kind") if kind == "account"][:4]
        bench = Workbench(walk.hub.state, PAST.ended_at)
        loaded: set[str] = set()
        for index, (step, which) in enumerate(steps):
            account_id = accounts[which % len(accounts)]
            if step == "load":
                bench.load_whole([account_id])
                loaded.add(account_id)
            elif step == "change":
                for stored in walk.hub.state.entities_of(loaded & {account_id}):
                    if isinstance(stored.entity, Subscription):
                        changed = msgspec.structs.replace(stored.entity, metadata={"step": str(index)})
                        bench.put_entity(msgspec.structs.replace(stored, entity=changed))
            for one in loaded:
                assert [below.entity for below in bench.moved_below(one)] == _laid_down(bench, walk, one)
