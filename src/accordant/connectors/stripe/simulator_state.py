"""The memory of the Stripe stand-in: its clock, its ids, its objects, its agenda and the events it has said.

A development aid: nothing here is Stripe's code and no money moves. Next room: `simulator_billing.py`.
"""

import base64
import hashlib
import heapq
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from accordant.connectors.stripe.simulator_versions import PINNED, render, render_previous

Record = dict[str, Any]
Task = Callable[[], None]

EVENT_WINDOW_S = 30 * 86_400
START_AT = 1_704_103_200  # 2024-01-01 10:00:00 UTC: any fixed second serves, this one is easy to read


@dataclass(slots=True)
class SaidEvent:
    """One event as it was said: its bytes per API version never change, only who has heard it."""

    id: str
    type: str
    created: int
    bodies: dict[str, bytes]
    default_version: str
    waiting: set[str] = field(default_factory=set)
    undelivered: set[str] = field(default_factory=set)

    def body(self, version: str | None = None) -> bytes:
        return self.bodies.get(version or self.default_version) or self.bodies[self.default_version]

    def as_object(self) -> Record:
        """What `GET /v1/events/{id}` answers: the snapshot, with the endpoints that still wait."""
        answer: Record = json.loads(self.body())
        answer["pending_webhooks"] = len(self.waiting)
        return answer


class SimulatedRefusal(Exception):
    """The stand-in says no, in the words and the status Stripe would use."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        kind: str = "invalid_request_error",
        decline_code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body: Record = {"type": kind, "message": message}
        for name, value in (("code", code), ("param", param), ("decline_code", decline_code)):
            if value is not None:
                self.body[name] = value


class Book:
    """Everything one simulated account knows.

    The clock only moves forward, by `advance_to`; ids come from the seed alone, so that two books with the same
    seed and the same calls say the same bytes.
    """

    def __init__(
        self, *, seed: int = 0, now: int = START_AT, api_version: str = PINNED, remembers_events: bool = True
    ) -> None:
        self.seed = seed
        self.now = now
        self.api_version = api_version
        self.remembers_events = remembers_events
        self.tables: dict[str, dict[str, Record]] = {}
        self.private: dict[str, Record] = {}
        self.events: dict[str, SaidEvent] = {}
        self.listeners: list[Callable[[SaidEvent], None]] = []
        self.endpoint_versions: dict[str, str] = {}
        self._agenda: list[tuple[int, int, Task]] = []
        self._agenda_number = 0
        self._id_numbers: dict[str, int] = {}
        self._request_id: str | None = None
        self._idempotency_key: str | None = None
        self._salt = f"{seed}:".encode()

    # ids and objects

    def new_id(self, prefix: str) -> str:
        number = self._id_numbers.get(prefix, 0) + 1
        self._id_numbers[prefix] = number
        digest = hashlib.blake2b(self._salt + f"{prefix}:{number}".encode(), digest_size=18).digest()
        return f"{prefix}_1{base64.b64encode(digest, b'zZ')[:23].decode()}"

    def number(self, name: str) -> int:
        """The next number of a named count, from 1: invoice numbers and the like."""
        value = self._id_numbers.get(name, 0) + 1
        self._id_numbers[name] = value
        return value

    def table(self, kind: str) -> dict[str, Record]:
        table = self.tables.get(kind)
        if table is None:
            table = self.tables[kind] = {}
        return table

    def add(self, record: Record) -> Record:
        self.table(record["object"])[record["id"]] = record
        return record

    def get(self, kind: str, record_id: str, *, param: str | None = "id") -> Record:
        record = self.table(kind).get(record_id)
        if record is None:
            raise SimulatedRefusal(404, f"No such {kind}: '{record_id}'", code="resource_missing", param=param)
        return record

    def private_of(self, record_id: str) -> Record:
        """What Stripe knows about an object and does not show."""
        known = self.private.get(record_id)
        if known is None:
            known = self.private[record_id] = {}
        return known

    def forget(self, kind: str, record_ids: tuple[str, ...]) -> None:
        """Let go of finished objects, so that a long history fits in memory."""
        table = self.table(kind)
        for record_id in record_ids:
            table.pop(record_id, None)
            self.private.pop(record_id, None)

    # events

    @contextmanager
    def request(self, request_id: str, idempotency_key: str | None) -> Iterator[None]:
        """Everything said inside belongs to this API request."""
        self._request_id, self._idempotency_key = request_id, idempotency_key
        try:
            yield
        finally:
            self._request_id = self._idempotency_key = None

    def change(self, record: Record, event_type: str | None = None, **fields: Any) -> Record:
        """Set fields and, when something changed and a type is named, say `*.updated` with the old values."""
        previous = {name: record.get(name) for name, value in fields.items() if record.get(name) != value}
        record.update(fields)
        if previous and event_type is not None:
            self.say(event_type, record, previous)
        return previous

    def say(self, event_type: str, record: Record, previous: Record | None = None) -> SaidEvent:
        """Say one event: a snapshot of the object as it is now, stamped to the second of this clock."""
        event_id = self.new_id("evt")
        waiting = set(self.endpoints_for(event_type))
        versions = {self.api_version}
        versions.update(self.endpoint_versions[endpoint] for endpoint in waiting)
        bodies = {}
        for version in versions:
            data: Record = {"object": render(record, version)}
            if previous is not None:
                data["previous_attributes"] = render_previous(record, previous, version)
            bodies[version] = _encode(
                {
                    "id": event_id,
                    "object": "event",
                    "api_version": version,
                    "created": self.now,
                    "data": data,
                    "livemode": False,
                    "pending_webhooks": len(waiting),
                    "request": {"id": self._request_id, "idempotency_key": self._idempotency_key},
                    "type": event_type,
                }
            )
        event = SaidEvent(event_id, event_type, self.now, bodies, self.api_version, waiting, set(waiting))
        if self.remembers_events:
            self.events[event_id] = event
        for listener in self.listeners:
            listener(event)
        return event

    def endpoints_for(self, event_type: str) -> tuple[str, ...]:
        """The enabled webhook endpoints that asked for this type."""
        return tuple(
            endpoint["id"]
            for endpoint in self.table("webhook_endpoint").values()
            if endpoint["status"] == "enabled"
            and ("*" in endpoint["enabled_events"] or event_type in endpoint["enabled_events"])
        )

    # time

    def at(self, due_at: int, task: Task) -> None:
        """Do this when the clock gets there. Equal seconds keep the order in which they were asked for."""
        self._agenda_number += 1
        heapq.heappush(self._agenda, (max(due_at, self.now), self._agenda_number, task))

    def advance_to(self, instant: int) -> None:
        """Move the clock, doing everything due on the way at its own second."""
        if instant < self.now:
            raise SimulatedRefusal(400, f"The clock stands at {self.now} and cannot go back to {instant}.")
        while self._agenda and self._agenda[0][0] <= instant:
            due_at, _, task = heapq.heappop(self._agenda)
            self.now = max(self.now, due_at)
            task()
        self.now = instant

    @property
    def next_due_at(self) -> int | None:
        return self._agenda[0][0] if self._agenda else None


def _encode(event: Record) -> bytes:
    return json.dumps(event, ensure_ascii=False).encode()
