"""The state of a hub rebuilt from its inbox: every delivery once more into an empty store, and nothing else.

What stands in the books of both is compared to the byte: entries with their moment, lines, open bills, schedules, and
what each event came to.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

from sqlalchemy import select

from accordant.bootstrap import Hub
from accordant.kernel.clock import from_micros
from accordant.ports.connector import Envelope
from accordant.ports.inbox import Arrival, InboxEvent
from accordant.store import schema
from tests.integration.operations.kit import HandClock, Installation

#: Everything the books hold; the trail and the documents follow from it. Left out are the numbers of rows, and how
#: often a row was written: deliveries that were settled in one moment are one batch here.
BOOKS = {
    schema.journal_entry: ("id", "body", "bill", "root_id", "posted_on", "reverses", "recorded_at"),
    schema.journal_line: ("entry_id", "line", "account", "amount_minor", "original_minor", "party", "product"),
    schema.posting: ("event", "state", "type", "subject", "root_id", "entry_id", "asked", "reasons", "bill"),
    schema.ledger_bill: ("ref", "state", "party", "open_minor", "open_books_minor", "root_id", "due_on"),
    schema.revenue_schedule: ("id", "minor", "spans", "recognised_minor", "next_on"),
    schema.business_event: ("id", "type", "root_id", "occurred_at", "body"),
    schema.standing: ("account_id", "state"),
}


def kept(hub: Hub) -> dict[str, list[tuple[Any, ...]]]:
    """The books of a hub, row by row, without the numbers a store gives."""
    found = {}
    with hub.database.read() as connection:
        for table, columns in BOOKS.items():
            query = select(*(table.c[name] for name in columns))
            found[table.name] = sorted((tuple(row) for row in connection.execute(query)), key=repr)
    return found


def deliveries(hub: Hub) -> list[tuple[InboxEvent, int, bytes]]:
    """Everything in the inbox, with when it was settled and the digest it is known by, in the order of settling."""
    event, work = schema.inbox_event, schema.inbox_work
    query = select(event.c.seq, event.c.digest, work.c.settled_at).join(work, work.c.seq == event.c.seq)
    with hub.database.read() as connection:
        rows = connection.execute(query.order_by(work.c.settled_at, event.c.seq)).all()
    opened = {one.seq: one for one in hub.inbox.load([row.seq for row in rows])}
    return [(opened[row.seq], row.settled_at, bytes(row.digest)) for row in rows]


def _arrival(event: InboxEvent, digest: bytes) -> Arrival:
    return Arrival(
        connection=event.connection,
        envelope=Envelope(
            external_id=event.external_id,
            event_type=event.event_type,
            lane=event.lane.removeprefix(f"{event.connection}:"),
            occurred_at=event.occurred_at,
        ),
        headers=event.headers,
        body=event.body,
        digest=digest,
        received_at=event.received_at,
    )


@contextmanager
def rebuilt(one: Installation, folder: Path, store: str) -> Iterator[Hub]:
    """A hub on an empty store that was given nothing but the deliveries of the first, at the moments of the first."""
    clock = HandClock(one.clock())
    shutil.rmtree(folder, ignore_errors=True)
    settings = one.settings.__class__(home=folder, charter=one.settings.charter, store=store)
    hub = Hub(settings, one.hub.charter, environment=one.hub.given_environment, clock=clock)
    hub.rulebook = one.hub.rulebook
    try:
        for at, group in groupby(deliveries(one.hub), key=lambda told: told[1]):
            clock.at = from_micros(at)
            hub.inbox.accept([_arrival(event, digest) for event, _, digest in group])
            while hub.process_round():
                pass
        yield hub
    finally:
        hub.database.close()
