"""What a drill asks when its last strike is over: what never arrived, what the hub fetches by itself, what is stuck.

Nothing here mends anything by hand: what the sender has given up on is fetched by the hub's own sweep, which a server
starts every quarter of an hour and a drill once, at its end. Next: `site.py`.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec
from sqlalchemy import select

from accordant.connectors.stripe.inbound import HANDLERS
from accordant.connectors.stripe.simulator_events import Attempt
from accordant.connectors.stripe.simulator_state import SaidEvent
from accordant.kernel.clock import Clock, to_micros
from accordant.operations.sweep import SETTLING
from accordant.store.engine import Database
from accordant.store.schema import inbox_work

_AT_REST = frozenset({"processed", "parked"})
_SHOWN = 8
_SWEEPS_MAX = 5


class GivenUp(msgspec.Struct, frozen=True, kw_only=True):
    """An event whose sender tries no more, and what its tries were answered: 0 stands for no answer at all."""

    event: SaidEvent
    statuses: tuple[int, ...]


def given_up(events: Sequence[SaidEvent], attempts: Sequence[Attempt]) -> list[GivenUp]:
    """What the sender has given up on.

    A sender tries for days. A drill brings its tries forward, one a round, and most of those behind a long queue fall
    into the seconds in which the hub is down; with ten of them, a few in a thousand events meet it down every time.
    """
    tried: dict[str, list[int]] = {}
    for one in attempts:
        tried.setdefault(one.event_id, []).append(one.status)
    missed = [event for event in events if event.undelivered - event.waiting]
    return [GivenUp(event=event, statuses=tuple(tried.get(event.id, ()))) for event in missed]


def is_read(event: SaidEvent) -> bool:
    """Whether the hub reads events of this type; the others it keeps when they come, and does not fetch."""
    return event.type in HANDLERS


async def sweep(options: Sequence[str], environ: Mapping[str, str], *, newest: int, clock: Clock) -> int:
    """Let the hub look for what it missed, once the newest of it, of that Unix second, is old enough to be looked for.

    How many events it fetched. Raises: AssertionError with what the command said, when it did not come to an end.
    """
    old_enough = newest + SETTLING.total_seconds() + 2
    await asyncio.sleep(max(0.0, old_enough - to_micros(clock()) / 1e6))
    words = [sys.executable, "-m", "accordant", "sweep", "stripe", "--as", "Drill", "--json", *options]
    said = b""
    for _ in range(_SWEEPS_MAX):
        process = await asyncio.create_subprocess_exec(
            *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env=dict(environ)
        )
        said, _ = await process.communicate()
        if process.returncode in {0, 1} and said.startswith(b"{"):
            (report,) = msgspec.json.decode(said)["sweeps"]
            return sum(report["found"].values())
        await asyncio.sleep(2.0)  # the server's own sweep may be under way
    raise AssertionError(f"the sweep did not end well: {said.decode(errors='replace')[-1000:]}")


def unrest(database: Database) -> list[str]:
    """Events that are not at rest: how many there are of each state, and of the first ones their tries and reasons."""
    with database.read() as connection:
        states = Counter(connection.execute(select(inbox_work.c.state)).scalars())
        rows = connection.execute(
            select(inbox_work.c.seq, inbox_work.c.state, inbox_work.c.attempts, inbox_work.c.lane, inbox_work.c.reason)
            .where(inbox_work.c.state.not_in(_AT_REST))
            .order_by(inbox_work.c.state, inbox_work.c.seq)
            .limit(_SHOWN)
        ).all()
    counted = [f"{count} events are {state}" for state, count in states.items() if state not in _AT_REST]
    return counted + [
        f"event {row.seq} of {row.lane} is {row.state} after {row.attempts} tries: {row.reason or 'no reason'}"
        for row in rows
    ]
