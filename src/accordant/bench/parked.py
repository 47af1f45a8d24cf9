"""`accordant bench poison`: how much slower are the others while one customer in a hundred is refused by the target?

Both halves run in one arena, customers of both take turns in the same stream, so that a busy machine slows both alike.
"""

import asyncio
import time
import urllib.request
from collections.abc import Sequence
from itertools import islice

import msgspec

from accordant.bench.arena import arena
from accordant.bench.figures import Run
from accordant.bench.load import requests, trickle
from accordant.bench.runs import CONNECTIONS, latencies_of, wait_settled
from accordant.bootstrap import Hub
from accordant.connectors.stripe.simulator_history import HistoryEvent, history
from accordant.demo.company import WEBHOOK_SECRET

#: Events a second: what the stand-in and one courier bear without a queue, since a queue hides what parking costs.
RATE = 100
#: One customer in so many is refused for good, and another one refused until the courier gives up.
ONE_IN = 100
#: Rounds of each kind, in turns.
TURNS = 3
#: Whose writes are timed.
TARGET = "salesforce"
_REFUSALS = ("FIELD_CUSTOM_VALIDATION_EXCEPTION", "UNABLE_TO_LOCK_ROW")
WARM_UP = 200


def parked(store: str, n: int, seed: int) -> Run:
    """Webhook sent to receipt settled, in turns with and without refused customers; the rise of the p99 in percent."""
    with arena(store) as place:
        org = place.start("org")
        place.write_charter(org)
        place.start_hub(roles="door,worker,courier")
        hub = place.hub()
        size = n // (2 * TURNS)
        customers = list(customers_of(n + WARM_UP, seed))
        send(hub, place.port, customers[:WARM_UP], target=TARGET)
        plain: list[float] = []
        beside: list[float] = []
        for turn in range(2 * TURNS):
            chosen = customers[WARM_UP + turn * size : WARM_UP + (turn + 1) * size]
            refused = chosen[::ONE_IN] if turn % 2 else []
            for number, one in enumerate(refused):
                _refuse(org, _id_of(one), _REFUSALS[number % len(_REFUSALS)])
            kept = {one.id for one in refused}
            latencies = send(hub, place.port, chosen, target=TARGET, left_out=kept)
            (beside if turn % 2 else plain).extend(latencies)
        asyncio.run(hub.close())
    return Run(value=100 * (p99(beside) / p99(plain) - 1), latencies_s=beside)


def customers_of(count: int, seed: int) -> Sequence[HistoryEvent]:
    """So many new customers, as billing tells of them."""
    told = (event for event in history(accounts=count, months=1, seed=seed) if event.type == "customer.created")
    return list(islice(told, count))


def _id_of(event: HistoryEvent) -> str:
    return str(msgspec.json.decode(event.body)["data"]["object"]["id"])


def _refuse(org: str, customer: str, code: str) -> None:
    body = msgspec.json.encode({"object_name": "Account", "key": customer, "code": code})
    asked = urllib.request.Request(f"{org}/_sim/reject", data=body, method="POST")  # noqa: S310  our own stand-in
    with urllib.request.urlopen(asked) as answer:  # noqa: S310
        answer.read()


def send(
    hub: Hub,
    port: int,
    events: Sequence[HistoryEvent],
    *,
    target: str,
    left_out: frozenset[str] | set[str] = frozenset(),
) -> list[float]:
    """Send at a steady rate and wait until ``target`` has all its writes; the latencies of those not left out."""
    batch = requests(events, host="127.0.0.1", port=port, secret=WEBHOOK_SECRET, at=int(time.time()))
    sent = asyncio.run(trickle(batch, host="127.0.0.1", port=port, connections=CONNECTIONS, per_second=RATE))
    wait_settled(hub, target=target)
    named = {event.id: at for event, at in zip(events, sent, strict=True) if event.id not in left_out}
    found = latencies_of(hub, named, target=target)
    if len(found) != len(named):
        raise RuntimeError(f"{len(found)} of {len(named)} events led to a confirmed write")
    return found


def p99(latencies: Sequence[float]) -> float:
    """The slowest but one in a hundred."""
    ordered = sorted(latencies)
    return ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
