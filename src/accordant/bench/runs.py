"""The benchmarks: intake, path and latency. Each returns one whole run; `main.py` repeats and takes the median."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice

from sqlalchemy import func, select, text

from accordant.bench.arena import arena, cpu_s
from accordant.bench.figures import Run
from accordant.bench.load import flood, requests, trickle
from accordant.bootstrap import Hub
from accordant.connectors.stripe.simulator_history import HistoryEvent, history
from accordant.demo.company import WEBHOOK_SECRET
from accordant.pipeline.receive import receive
from accordant.ports.inbox import WorkState
from accordant.store.schema import inbox_event, inbox_work, lease, write_intent, write_receipt

CONNECTIONS = 64
LATENCY_RATE = 500
_GROUP = 500
_CHUNK = 10_000
_IS_OPEN = "state IN ('pending', 'leased', 'uncertain')"
_PATIENCE_S = 600.0


def events_of(count: int, seed: int) -> list[HistoryEvent]:
    """A year of a company's billing, cut to ``count`` events.

    Mixed types of 4 KB on average, as the stand-in makes them.
    """
    accounts = max(10, count // 60)
    return list(islice(history(accounts=accounts, months=12, seed=seed), count))


def intake(store: str, n: int, seed: int) -> Run:
    """Signed deliveries over 64 connections until each was answered after its commit; events a second."""
    with arena(store) as place:
        place.write_charter("http://127.0.0.1:9")
        events = events_of(n, seed)
        process = place.start_hub(roles="door")
        batch = requests(events, host="127.0.0.1", port=place.port, secret=WEBHOOK_SECRET, at=int(time.time()))
        before = cpu_s(process)
        done = flood(batch, host="127.0.0.1", port=place.port, connections=CONNECTIONS)
        spent = cpu_s(process) - before
        _expect_stored(place.hub(), len(batch))
    each = {"hub": spent, "client": done.client_cpu_s}
    return Run(
        value=n / done.elapsed_s,
        latencies_s=done.latencies_s,
        cpu_us={who: round(seconds / n * 1e6, 1) for who, seconds in each.items()},
    )


def path(store: str, n: int, seed: int, workers: int = 0) -> Run:
    """From a full inbox to settled receipts at the stand-in target; events a second.

    ``workers`` is how many processes share the lanes, the first of them the courier too; where none is named, two on
    PostgreSQL, as in production, and one on SQLite. The inbox is filled and the lanes are shared before the events
    become due, so neither is measured. A few events in a hundred wait for an object to be read again from its owner,
    who is not there: they are left out of the count.
    """
    count = workers or (1 if store == "sqlite" else 2)
    with arena(store) as place:
        place.write_charter(place.start("org"))
        hub = place.hub()
        hub.enforce_charter()
        seqs = fill_inbox(hub, events_of(n, seed))
        _make_due(hub, seqs, hub.clock() + timedelta(hours=1))
        for roles in ["worker,courier", *["worker"] * (count - 1)]:
            place.start_hub(roles=roles)
        _wait_shared(hub, count)
        started = time.perf_counter()
        _make_due(hub, seqs, hub.clock())
        finished = wait_settled(hub)
        done = _processed(hub)
        asyncio.run(hub.close())
    return Run(value=done / (finished - started))


def latency(store: str, n: int, seed: int) -> Run:
    """Webhook sent to receipt settled, 500 events a second, each a change of another customer."""
    with arena(store) as place:
        place.write_charter(place.start("org"))
        place.start_hub(roles="door,worker,courier")
        customers = (event for event in history(accounts=n, months=1, seed=seed) if event.type == "customer.created")
        events = list(islice(customers, n))
        at = int(time.time())
        batch = requests(events, host="127.0.0.1", port=place.port, secret=WEBHOOK_SECRET, at=at)
        sent = asyncio.run(
            trickle(batch, host="127.0.0.1", port=place.port, connections=CONNECTIONS, per_second=LATENCY_RATE)
        )
        hub = place.hub()
        wait_settled(hub)
        latencies = latencies_of(hub, dict(zip((event.id for event in events), sent, strict=True)))
        asyncio.run(hub.close())
    if len(latencies) != len(events):
        raise RuntimeError(f"{len(latencies)} of {len(events)} events led to a confirmed write")
    middle = sorted(latencies)[len(latencies) // 2]
    return Run(value=middle * 1000, latencies_s=latencies)


def fill_inbox(hub: Hub, events: Sequence[HistoryEvent]) -> list[int]:
    """Take a history in as the door would; the numbers of its events."""
    now = hub.clock()
    connection = hub.connections["stripe"]
    at = int(now.timestamp())
    arrivals = [
        receive(
            connection=connection,
            headers={"stripe-signature": event.signature(at, WEBHOOK_SECRET), "content-type": "application/json"},
            body=event.body,
            now=now,
        )
        for event in events
    ]
    for start in range(0, len(arrivals), _GROUP):
        hub.inbox.accept(arrivals[start : start + _GROUP])
    with hub.database.read() as stored:
        return list(stored.execute(select(inbox_work.c.seq).order_by(inbox_work.c.seq)).scalars())


def _make_due(hub: Hub, seqs: Sequence[int], at: datetime) -> None:
    for start in range(0, len(seqs), _CHUNK):
        hub.inbox.postpone(seqs[start : start + _CHUNK], until=at)


def _processed(hub: Hub) -> int:
    with hub.database.read() as connection:
        query = select(func.count()).where(inbox_work.c.state == WorkState.PROCESSED.value)
        return int(connection.execute(query).scalar_one())


def _expect_stored(hub: Hub, count: int) -> None:
    with hub.database.read() as connection:
        stored = connection.execute(select(func.count()).select_from(inbox_event)).scalar_one()
    asyncio.run(hub.close())
    if stored != count:
        raise RuntimeError(f"{stored} of {count} acknowledged events are in the store")


def _wait_shared(hub: Hub, workers: int) -> None:
    """Until every partition is taken, by as many workers."""
    deadline = time.perf_counter() + _PATIENCE_S
    tokens = select(lease.c.token).where(lease.c.name.like("lanes/%"))
    while time.perf_counter() < deadline:
        with hub.database.read() as connection:
            takers = set(connection.execute(tokens).scalars())
        if len(takers) == workers and 0 not in takers:
            return
        time.sleep(0.05)
    raise RuntimeError(f"{workers} workers did not share the lanes within {_PATIENCE_S:.0f} s")


def wait_settled(hub: Hub, *, target: str | None = None) -> float:
    """When the last event was processed and the last intent settled, of ``target`` alone where one is named.

    Events that wait for a reading have no owner to ask here.
    """
    deadline = time.perf_counter() + _PATIENCE_S
    waiting = select(func.count()).select_from(inbox_work).where(text("inbox_work.state = 'received'"))
    open_intents = select(func.count()).select_from(write_intent).where(text(f"write_intent.{_IS_OPEN}"))
    if target is not None:
        open_intents = open_intents.where(write_intent.c.target == target)
    while time.perf_counter() < deadline:
        with hub.database.read() as connection:
            left = connection.execute(waiting).scalar_one() or connection.execute(open_intents).scalar_one()
        if not left:
            return time.perf_counter()
        time.sleep(0.05)
    raise RuntimeError(f"work was left after {_PATIENCE_S:.0f} s")


def latencies_of(hub: Hub, sent_at: Mapping[str, float], *, target: str | None = None) -> list[float]:
    """From each of these sent events to the first receipt of a write it led to, at ``target`` if named, in seconds."""
    query = (
        select(inbox_event.c.external_id, func.min(write_receipt.c.settled_at))
        .join(write_intent, write_intent.c.cause == inbox_event.c.seq)
        .join(write_receipt, write_receipt.c.intent_id == write_intent.c.id)
        .where(write_receipt.c.outcome == "Applied")
        .group_by(inbox_event.c.external_id)
    )
    if target is not None:
        query = query.where(write_intent.c.target == target)
    with hub.database.read() as connection:
        settled = [(external_id, at) for external_id, at in connection.execute(query) if external_id in sent_at]
    return [at / 1e6 - sent_at[external_id] for external_id, at in settled]
