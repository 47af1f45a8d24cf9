"""One round of rooms 3 to 6: what cannot be processed is isolated with its lane; a store that is away loses nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from accordant.canonical.entities import Account
from accordant.canonical.observations import Interpretation, Interpreted, Observation, Parked, Quarantined
from accordant.canonical.refs import ExternalRef
from accordant.kernel.clock import from_micros
from accordant.kernel.errors import InvariantBroken
from accordant.kernel.hashing import digest
from accordant.pipeline.work import TRIES, work
from accordant.ports.connector import Envelope, Inbound
from accordant.ports.inbox import Arrival
from accordant.ports.state import Changes, ConcurrentChange, State
from accordant.runtime.worker import shielded
from accordant.store import schema
from accordant.store.claims import CLAIMS_MAX
from accordant.store.engine import StoreUnavailable
from tests.integration.pipeline.kit import Rooms, rooms
from tests.unit.pipeline.ledger import NOW


class PlainInbound:
    """A connector of the tests' own: a body is a customer's id and name; some cannot be processed."""

    def verify(self, *, headers: Mapping[str, str], body: bytes, secrets: Sequence[bytes], now: datetime) -> None:
        """Everything is authentic here."""

    def read_envelope(self, body: bytes) -> Envelope:
        said = json.loads(body)
        return Envelope(
            external_id=said["id"],
            event_type="customer.updated",
            lane=f"customer/{said['customer']}",
            occurred_at=from_micros(said["at"]),
        )

    def interpret(self, *, system: str, body: bytes) -> Interpretation:
        said = json.loads(body)
        match said["name"]:
            case "defect":
                raise ZeroDivisionError("a defect of ours")
            case "broken":
                raise InvariantBroken("Two things are one.")
            case "new word":
                return Parked("Not supported yet.")
            case "unusable":
                return Quarantined("No amount.", "data.object.amount")
            case _:
                pass
        ref = ExternalRef(system, "customer", said["customer"])
        entity = Account(external_id=said["customer"], name=said["name"])
        return Interpreted((Observation(ref=ref, root=ref, entity=entity, observed_at=from_micros(said["at"])),))

    def interpret_object(self, *, ref: ExternalRef, body: bytes, read_at: datetime) -> Interpretation:
        return Interpreted(())


CONNECTORS: dict[str, Inbound] = {"stripe": PlainInbound()}


@pytest.fixture
def one(store_url: str, tmp_path: Path) -> Iterator[Rooms]:
    with rooms(store_url, tmp_path, at=NOW) as made, capture_logs():
        yield made


def say(one: Rooms, *said: tuple[str, str], stamps: Sequence[int] = ()) -> None:
    """Deliver (customer, name) pairs, one event each, stamped second after second or as ``stamps`` say."""
    arrivals = []
    before = one.count(schema.inbox_event)
    for number, (customer, name) in enumerate(said, start=before + 1):
        second = stamps[number - before - 1] if stamps else number
        at = int((NOW + timedelta(seconds=second)).timestamp()) * 1_000_000
        body = json.dumps({"id": f"evt_{number}", "customer": customer, "name": name, "at": at}).encode()
        envelope = CONNECTORS["stripe"].read_envelope(body)
        arrivals.append(
            Arrival(
                connection="stripe", envelope=envelope, headers=b"{}", body=body, digest=digest(body), received_at=NOW
            )
        )
    one.hub.inbox.accept(arrivals)


def go(one: Rooms, *, state: State | None = None, limit: int = 500) -> int:
    return work(
        inbox=one.hub.inbox,
        state=state or one.hub.state,
        connectors=CONNECTORS,
        rulebook=one.hub.rulebook,
        now=one.clock(),
        shield=shielded,
        limit=limit,
    )


def states(one: Rooms) -> dict[int, str]:
    return dict(one.rows(schema.inbox_work, "seq", "state"))


def names(one: Rooms) -> set[str | None]:
    ids = [row[0] for row in one.rows(schema.entity, "id")]
    return {one.entity.name for one in one.hub.state.entities(ids).values() if isinstance(one.entity, Account)}


@pytest.mark.parametrize("defect", ["defect", "broken"])
def test_a_defect_stops_its_lane_alerts_once_and_neighbours_are_processed(one: Rooms, defect: str) -> None:
    say(one, ("a", "A1"), ("b", "B1"), ("b", defect), ("c", "C1"), ("b", "B3"), ("a", "A2"))
    assert go(one) == 6
    assert states(one) == {1: "processed", 2: "processed", 3: "dead", 4: "processed", 5: "received", 6: "processed"}
    assert names(one) == {"A2", "B1", "C1"}
    ((lane, direction, cause, reason),) = one.rows(schema.parked_lane, "lane", "direction", "cause", "reason")
    assert (lane, direction, cause) == ("stripe:customer/b", "inbound", "event/3")
    assert "could not process this event" in reason
    assert one.rows(schema.alert, "kind", "subject") == [("lane.parked", "stripe:customer/b")]
    # The lane stays closed, what comes later in it waits, and nobody is told twice.
    say(one, ("b", "B4"), ("a", "A3"))
    assert go(one) == 1
    assert go(one) == 0
    assert states(one)[5] == states(one)[7] == "received"
    assert names(one) == {"A3", "B1", "C1"}
    assert one.count(schema.alert) == 1


def test_two_lanes_with_defects_are_two_lanes(one: Rooms) -> None:
    say(one, ("a", "defect"), ("b", "defect"), ("c", "C1"))
    go(one)
    assert sorted(states(one).values()) == ["dead", "dead", "processed"]
    assert one.count(schema.parked_lane) == one.count(schema.alert) == 2


def test_what_is_not_understood_is_kept_with_its_reason_and_stops_nothing(one: Rooms) -> None:
    say(one, ("a", "new word"), ("a", "unusable"), ("a", "A3"))
    assert go(one) == 3
    assert one.rows(schema.inbox_work, "seq", "state", "reason") == [
        (1, "parked", "Not supported yet."),
        (2, "quarantined", "No amount. (at data.object.amount)"),
        (3, "processed", None),
    ]
    kinds = {row[0] for row in one.rows(schema.audit_entry, "kind")}
    assert kinds >= {"interpreter.event.parked", "interpreter.event.quarantined"}
    assert one.count(schema.parked_lane) == 0


class AwayState:
    """The real state, whose store goes away at the commit as often as told."""

    def __init__(self, inner: State, errors: list[Exception]) -> None:
        self._inner, self._errors = inner, errors

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def commit(self, changes: Changes, *, now: datetime) -> None:
        if self._errors:
            raise self._errors.pop(0)
        self._inner.commit(changes, now=now)


def untouched(one: Rooms) -> bool:
    tables = (schema.entity, schema.observation, schema.audit_entry, schema.parked_lane, schema.alert)
    return set(states(one).values()) == {"received"} and not any(one.count(table) for table in tables)


def test_a_store_that_is_away_leaves_the_events_as_they_were(one: Rooms) -> None:
    say(one, ("a", "A1"), ("b", "B1"))
    errors: list[Exception] = [StoreUnavailable("The disk is full."), StoreUnavailable("The disk is full.")]
    away: State = AwayState(one.hub.state, errors)  # type: ignore[assignment]  # all else is the real one's
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            go(one, state=away)
        assert untouched(one)
    assert go(one, state=away) == 2
    assert names(one) == {"A1", "B1"}


def test_however_long_the_store_is_away_no_event_is_blamed_for_it(one: Rooms) -> None:
    """The worker lives: what it could not commit counts as one try, taken up again."""
    say(one, ("a", "A1"), ("b", "B1"))
    errors: list[Exception] = [StoreUnavailable("The disk is full.") for _ in range(3 * CLAIMS_MAX)]
    away: State = AwayState(one.hub.state, errors)  # type: ignore[assignment]  # all else is the real one's
    for _ in range(3 * CLAIMS_MAX):
        with pytest.raises(StoreUnavailable):
            go(one, state=away)
    assert untouched(one)
    assert one.rows(schema.inbox_work, "attempts") == [(1,), (1,)]
    assert go(one, state=away) == 2


def test_whoever_comes_second_decides_again_and_gives_up_after_the_bound(one: Rooms) -> None:
    say(one, ("a", "A1"), ("b", "B1"))
    errors: list[Exception] = [ConcurrentChange("Another was quicker.") for _ in range(2 * TRIES - 1)]
    away: State = AwayState(one.hub.state, errors)  # type: ignore[assignment]  # all else is the real one's
    with pytest.raises(ConcurrentChange):
        go(one, state=away)
    assert untouched(one)
    assert len(errors) == TRIES - 1
    assert go(one, state=away) == 2
    assert names(one) == {"A1", "B1"}


def test_an_event_that_is_never_settled_is_put_aside_after_the_bound(one: Rooms) -> None:
    """A worker that is killed each time it takes the event says nothing at all; only the count of claims tells."""
    say(one, ("a", "A1"), ("b", "B1"))
    taken = 0
    for _ in range(3 * CLAIMS_MAX):
        taken += bool(one.hub.inbox.claim(limit=1, now=one.clock()))
    assert states(one) == {1: "dead", 2: "dead"}
    assert taken == 2 * CLAIMS_MAX
    assert one.count(schema.parked_lane) == one.count(schema.alert) == 2


@pytest.mark.parametrize("limit", [1, 10])
def test_a_state_said_again_later_makes_what_lies_between_old(one: Rooms, limit: int) -> None:
    say(one, ("a", "A"), ("a", "A"), ("a", "between"), stamps=(1, 9, 5))
    for _ in range(3):
        go(one, limit=limit)
    assert names(one) == {"A"}
    assert one.rows(schema.entity, "version") == [(1,)]
    outcomes = dict(one.rows(schema.observation, "seq", "outcome"))
    assert outcomes == {1: "advanced", 2: "unchanged", 3: "superseded"}


def test_without_events_there_is_nothing_to_do(one: Rooms) -> None:
    assert go(one) == 0
    assert one.count(schema.audit_entry) == 0


def test_a_connection_the_charter_no_longer_has_parks_its_events(one: Rooms) -> None:
    say(one, ("a", "A1"))
    done = work(
        inbox=one.hub.inbox,
        state=one.hub.state,
        connectors={},
        rulebook=one.hub.rulebook,
        now=one.clock(),
        shield=shielded,
    )
    assert done == 1
    ((state, reason),) = one.rows(schema.inbox_work, "state", "reason")
    assert state == "parked"
    assert "no connection named stripe" in reason
