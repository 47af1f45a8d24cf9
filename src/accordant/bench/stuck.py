"""`accordant bench stuck`: how much slower is one target while another takes thirty seconds a call (EF8)?

The other one's flow is paused for the first half: both halves plan the same writes, only the second sends them there. A
call that hangs outlasts any turn, so the halves do not alternate: measure on a machine that does nothing else.
"""

import asyncio
import urllib.request
from collections.abc import Sequence
from typing import Any

import msgspec

from accordant.bench.arena import arena
from accordant.bench.figures import Run
from accordant.bench.parked import TARGET, WARM_UP, customers_of, p99, send
from accordant.bootstrap import Hub
from accordant.connectors.stripe.simulator_history import HistoryEvent

_ITS_FLOW = "accounts_two"
_CALL_S = 30
#: Events sent in a row, five seconds' worth: the door closes connections that say nothing for longer.
_AT_ONCE = 500


def stuck(store: str, n: int, seed: int) -> Run:
    """Webhook sent to receipt settled at the target that is well; the rise of its p99 in percent."""
    with arena(store) as place:
        org, other = place.start("org"), place.start("org")
        place.write_charter(org, second_url=other)
        place.start_hub(roles="door,worker,courier")
        _slow_down(other)
        hub = place.hub()
        hub.pause(_ITS_FLOW, "bench", "First without it.")
        half = WARM_UP + n // 2
        customers = customers_of(n + 2 * WARM_UP, seed)
        send(hub, place.port, customers[:WARM_UP], target=TARGET)
        alone = _sent(hub, place.port, customers[WARM_UP:half])
        hub.resume(_ITS_FLOW, "bench")
        # What the pause kept back is taken up first: that happens once, and is no part of how it goes on.
        send(hub, place.port, customers[half : half + WARM_UP], target=TARGET)
        beside = _sent(hub, place.port, customers[half + WARM_UP :])
        slow_calls = _slow_calls(other)
        asyncio.run(hub.close())
    if not slow_calls:
        raise RuntimeError(f"nothing was sent to the target that takes {_CALL_S} s a call")
    return Run(value=100 * (p99(beside) / p99(alone) - 1), latencies_s=beside)


def _sent(hub: Hub, port: int, events: Sequence[HistoryEvent]) -> list[float]:
    parts = (events[start : start + _AT_ONCE] for start in range(0, len(events), _AT_ONCE))
    return [latency for part in parts for latency in send(hub, port, part, target=TARGET)]


def _slow_down(org: str) -> None:
    _order(org, "fault", {"kind": "slow", "times": None, "seconds": _CALL_S})


def _slow_calls(org: str) -> int:
    """How many calls it has taken thirty seconds for, those that nobody waited for to the end among them."""
    return int(_order(org, "struck", {}).get("slow", 0))


def _order(org: str, name: str, values: dict[str, Any]) -> dict[str, Any]:
    asked = urllib.request.Request(f"{org}/_sim/{name}", data=msgspec.json.encode(values), method="POST")  # noqa: S310  our own stand-in
    with urllib.request.urlopen(asked) as answer:  # noqa: S310
        told: dict[str, Any] = msgspec.json.decode(answer.read())
    return told
