"""An event's way through the eight rooms as a row of stations: how far it got, and what it took."""

from datetime import datetime

import msgspec

from accordant.views.trace import Trace
from accordant.web.console.words import EVENT_STATES, plural

ROOMS = ("Door", "Inbox", "Interpreter", "Registry", "Court", "Desk", "Courier", "Archive")
_UNSETTLED = ("pending", "leased", "uncertain", "held")
_STOPPED = ("parked", "quarantined", "dead")


class Station(msgspec.Struct, frozen=True, kw_only=True):
    """One room. ``tone`` is good, warn, bad or dark (not reached); ``took_s`` the time since the station before."""

    number: int
    name: str
    tone: str
    headline: str
    at: datetime | None = None
    took_s: float | None = None


def stations(trace: Trace) -> tuple[Station, ...]:
    """The eight stations of an event."""
    parts = [*_arrival(trace), *_decided(trace), *_delivered(trace)]
    row: list[Station] = []
    last: datetime | None = None
    for number, (tone, headline, at) in enumerate(parts, start=1):
        took = (at - last).total_seconds() if at is not None and last is not None else None
        row.append(Station(number=number, name=ROOMS[number - 1], tone=tone, headline=headline, at=at, took_s=took))
        last = at or last
    return tuple(row)


_Part = tuple[str, str, datetime | None]


def _arrival(trace: Trace) -> list[_Part]:
    repeats = f", {plural(trace.deliveries, 'later delivery', 'later deliveries')}" if trace.deliveries else ""
    return [
        ("good", f"Arrived from {trace.connection}{repeats}", trace.received_at),
        ("warn" if trace.twins else "good", "Stored; came again with other content" if trace.twins else "Stored once",
         trace.received_at),
    ]  # fmt: skip


def _decided(trace: Trace) -> list[_Part]:
    if trace.state in _STOPPED:
        tone = "warn" if trace.state == "parked" else "bad"
        return [
            (tone, f"Stopped here: {EVENT_STATES[trace.state]}", trace.settled_at),
            *[("dark", "Not reached", None)] * 3,
        ]
    if trace.state == "received":
        return [("warn", "Waits to be interpreted", None), *[("dark", "Not reached", None)] * 3]
    recorded = trace.observations[0].recorded_at if trace.observations else trace.settled_at
    said = plural(len(trace.observations), "object")
    if trace.business_events:
        said += f", {plural(len(trace.business_events), 'business event')}"
    advanced = sum(seen.outcome == "advanced" for seen in trace.observations)
    asks = trace.state == "awaiting_reread"
    registry = (
        "Its owner is asked for the current state" if asks else f"{plural(advanced, 'entity', 'entities')} changed"
    )
    if not trace.writes:
        nothing = "Nothing to decide: no target record had to change"
        tone = "dark" if asks else "good"
        return [("good", said, recorded), ("warn" if asks else "good", registry, recorded),
                (tone, nothing, None), (tone, "No writes planned", None)]  # fmt: skip
    planned = min(write.intent.planned_at for write in trace.writes)
    effects = sorted({write.decision.effect for write in trace.writes if write.decision.effect})
    court_tone = "bad" if "refuse" in effects else "warn" if "hold" in effects else "good"
    verdict = {"allow": "allowed", "shadow": "compare only", "hold": "held", "refuse": "refused"}
    return [
        ("good", said, recorded),
        ("warn" if asks else "good", registry, recorded),
        (court_tone, "Verdict: " + ", ".join(verdict.get(one, one) for one in effects), planned),
        ("good", f"{plural(len(trace.writes), 'write')} planned", planned),
    ]


def _delivered(trace: Trace) -> list[_Part]:
    if not trace.writes:
        tone = "good" if trace.state == "processed" else "dark"
        said = "Nothing to send" if tone == "good" else "Not reached"
        return [(tone, said, None), (tone, said if tone == "dark" else "Complete", None)]
    dead = sum(write.state == "dead" for write in trace.writes)
    waiting = sum(write.state in _UNSETTLED for write in trace.writes)
    settled = [receipt.settled_at for write in trace.writes for receipt in write.receipts]
    at = max(settled) if settled else None
    if dead:
        return [("bad", f"{plural(dead, 'write')} refused for good", at), ("bad", "Waits for a person", at)]
    if waiting:
        return [("warn", f"{plural(waiting, 'write')} still on the way", at), ("dark", "Not reached", None)]
    return [("good", f"{plural(len(trace.writes), 'write')} settled", at), ("good", "Complete", at)]
