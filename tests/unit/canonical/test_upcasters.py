"""A stored event of any version reads as today's; one that cannot be is said so."""

from datetime import UTC, datetime

import msgspec
import pytest

from accordant.canonical import events
from accordant.canonical.events import CURRENT_VERSION, BusinessEvent, EventType, business_event
from accordant.canonical.refs import ExternalRef
from accordant.canonical.upcasters import UPCASTERS, Stored, Upcaster, read_business_event
from accordant.kernel.errors import InvariantBroken
from accordant.kernel.money import Money

CUSTOMER = ExternalRef("billing", "customer", "cus_1")
EVENT = business_event(
    EventType.PAYMENT_APPLIED,
    subject=ExternalRef("billing", "charge", "py_1"),
    root=CUSTOMER,
    occurred_at=datetime(2026, 3, 14, tzinfo=UTC),
    amount=Money(100, "EUR"),
)


def stored(**changes: object) -> bytes:
    return msgspec.json.encode(msgspec.to_builtins(EVENT) | changes)


def test_an_event_of_today_reads_as_it_was_written() -> None:
    assert read_business_event(msgspec.json.encode(EVENT)) == EVENT


def test_old_events_walk_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    def rename(event: Stored) -> Stored:
        return {("note" if key == "remark" else key): value for key, value in event.items()}

    def shout(event: Stored) -> Stored:
        return event | {"note": str(event["note"]).upper()}

    monkeypatch.setitem(CURRENT_VERSION, EventType.PAYMENT_APPLIED, 3)
    steps: dict[tuple[EventType, int], Upcaster] = {
        (EventType.PAYMENT_APPLIED, 1): rename,
        (EventType.PAYMENT_APPLIED, 2): shout,
    }
    old = stored(version=1, remark="first")
    read = read_business_event(
        msgspec.json.encode({key: value for key, value in msgspec.json.decode(old).items() if key != "note"}), steps
    )
    assert (read.version, read.note) == (3, "FIRST")
    assert read_business_event(stored(version=2, note="second"), steps).note == "SECOND"
    assert read_business_event(stored(version=3, note="third"), steps).note == "third"
    with pytest.raises(InvariantBroken, match="from version 2"):
        read_business_event(stored(version=2), {(EventType.PAYMENT_APPLIED, 1): rename})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": 2}, "newer Accordant"),
        ({"version": 0}, "No upcaster leads from version 0"),
        ({"version": "1"}, "none that this Accordant knows"),
        ({"type": "moon.landed"}, "none that this Accordant knows"),
        ({"type": None}, "none that this Accordant knows"),
    ],
)
def test_what_cannot_be_read_is_said_in_words(changes: dict[str, object], words: str) -> None:
    with pytest.raises(InvariantBroken, match=words):
        read_business_event(stored(**changes))


def test_every_step_of_the_table_leads_on_to_today() -> None:
    assert CURRENT_VERSION.keys() == set(EventType)
    for event_type, version in CURRENT_VERSION.items():
        assert {step for kind, step in UPCASTERS if kind == event_type} == set(range(1, version))


def test_two_notices_of_one_change_are_one_event() -> None:
    def paid(change: str, moment: int = 1) -> BusinessEvent:
        when = datetime(2026, 3, moment, tzinfo=UTC)
        return events.business_event(
            EventType.PAYMENT_FAILED, subject=CUSTOMER, root=CUSTOMER, occurred_at=when, change=change
        )

    assert paid("attempt 1").id == paid("attempt 1", moment=2).id
    assert paid("attempt 1").id != paid("attempt 2").id
