"""Is any flow later than its charter bears? Measured from the provider's event to now, told once, and when it is over.

A flow that a person paused is late because somebody wanted it: it opens no incident, and one that is open stays.
"""

from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta

import msgspec

from accordant.canonical.charter import Charter, FlowPart, Phase
from accordant.ports.lag import LagBook, LagIncident, Waiting

_NOTHING = Waiting(count=0, oldest_at=None)


class LagRound(msgspec.Struct, frozen=True, kw_only=True):
    """What one look came to: flows that became late, and flows that are on time again."""

    opened: tuple[str, ...] = ()
    closed: tuple[str, ...] = ()


def watch_lag(
    *, charter: Charter, resting: Collection[str], book: LagBook, stake: Callable[[FlowPart], str], now: datetime
) -> LagRound:
    """Open and close incidents. ``resting`` are the flows that were stopped on purpose.

    ``stake`` says in a sentence which customers wait for a flow and what they pay, or nothing.
    """
    writes, events, incidents = book.writes(), book.events(), book.incidents()
    opened: list[str] = []
    closed: list[str] = []
    flows = {flow.name: flow for flow in charter.flows if flow.phase in {Phase.CONTROLLED, Phase.AUTOMATED}}
    for flow in flows.values():
        if flow.name in resting:
            continue
        late = _lateness(flow, writes, events, now)
        known = incidents.get(flow.name)
        if known is None and late.lag_s > flow.incident_lag_s:
            opened += [flow.name] * book.open(late, told=_told(flow, late, stake(flow)))
        elif known is not None and late.lag_s > flow.expected_lag_s:
            # Only what is on time again ends it: a lag that swings about the limit is one incident.
            book.note(late)
        elif known is not None:
            closed += [flow.name] * book.close(flow.name, told=_told_back(flow, known, now), now=now)
    for name in incidents.keys() - flows.keys():
        told = f"The charter no longer lets {name} write, so nothing of it is late."
        closed += [name] * book.close(name, told=told, now=now)
    return LagRound(opened=tuple(opened), closed=tuple(closed))


def _lateness(
    flow: FlowPart, writes: Mapping[str, Waiting], events: Mapping[str, Waiting], now: datetime
) -> LagIncident:
    parts = (writes.get(flow.name, _NOTHING), events.get(flow.source, _NOTHING))
    lag = max((now - part.oldest_at for part in parts if part.oldest_at is not None), default=timedelta(0))
    return LagIncident(
        flow=flow.name,
        lag_s=max(0, lag // timedelta(seconds=1)),
        limit_s=flow.incident_lag_s,
        waiting=parts[0].count,
        opened_at=now,
        seen_at=now,
    )


def _told(flow: FlowPart, late: LagIncident, stake: str) -> str:
    return (
        f"What happened in {flow.source} {late.lag_s:,} seconds ago is not confirmed in {flow.target} yet; "
        f"{late.limit_s:,} are an incident. Writes that wait: {late.waiting:,}. "
        f"{stake}{' ' if stake else ''}Verify here: {flow.verify or flow.object}"
    )


def _told_back(flow: FlowPart, known: LagIncident, now: datetime) -> str:
    minutes = max(1, round((now - known.opened_at).total_seconds() / 60))
    return f"It is within its {flow.expected_lag_s:,} seconds again, after {minutes:,} minutes of delay."
