"""A field that goes back and forth is held at the sixth return within an hour; nothing else ever is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import example, given
from hypothesis import strategies as st

from accordant.canonical.conflicts import FieldMark
from accordant.canonical.intents import WireValue
from accordant.governance.loop_breaker import RETURNS_MAX, RETURNS_OF_OWNER_MAX, SPAN, TURNS_MAX, Trip, advance, tripped

START = datetime(2026, 3, 14, 9, 0, tzinfo=UTC)


class Field:
    """One field of one record, its mark, and what is written over what."""

    def __init__(self) -> None:
        self.mark: FieldMark | None = None
        self.held: WireValue = None
        self.at = START
        self.revision = 0

    def write(self, value: WireValue, *, minutes: float = 1.0, released_at: datetime | None = None) -> Trip | None:
        self.at += timedelta(minutes=minutes)
        if self.mark is not None:
            trip = tripped(self.mark, held=self.held, value=value, now=self.at, released_at=released_at)
            if trip is not None:
                return trip
        self.revision += 1
        self.mark = advance(self.mark, before=self.held, value=value, revision=self.revision, at=self.at)
        self.held = value
        return None


def test_five_returns_pass_and_the_sixth_is_held_and_explains_itself() -> None:
    field = Field()
    assert field.write("A") is None
    for _ in range(RETURNS_MAX):
        field.held = "B"  # somebody there
        assert field.write("A") is None
    field.held = "B"
    trip = field.write("A")
    assert trip is not None
    assert (trip.value, trip.other, trip.returns) == ("A", "B", RETURNS_MAX)
    assert [turn.value for turn in trip.turns] == ["A", "B"] * (RETURNS_MAX + 1)
    sentence = trip.sentence("Name", "crm")
    assert "back and forth 5 times since 2026-03-14 09:01 UTC" in sentence
    assert "crm" in sentence


def test_an_owner_that_changes_its_mind_is_no_loop_and_one_that_does_so_without_end_is() -> None:
    """Nobody at the target has changed anything: what goes back and forth is what the owner says."""
    field = Field()
    values = ["A", "B"] * 30
    held_at = next(place for place, value in enumerate(values) if field.write(value, minutes=0.5) is not None)
    assert held_at == 2 * (RETURNS_OF_OWNER_MAX + 1)


def test_what_the_owner_did_before_is_not_laid_to_somebody_at_the_target() -> None:
    field = Field()
    for value in ["A", "B"] * RETURNS_MAX:
        assert field.write(value) is None
    for _ in range(RETURNS_MAX):
        field.held = "C"
        assert field.write("B") is None
    field.held = "C"
    assert field.write("B") is not None


def test_slow_turns_are_no_loop() -> None:
    field = Field()
    for number in range(200):
        assert field.write("A" if number % 2 else "B", minutes=11) is None


def test_what_was_before_a_release_counts_no_more() -> None:
    field = Field()
    field.write("A")
    for _ in range(RETURNS_MAX):
        field.held = "B"
        field.write("A")
    field.held = "B"
    assert field.write("A") is not None
    released_at = field.at
    for _ in range(RETURNS_MAX):
        field.held = "B"
        assert field.write("A", released_at=released_at) is None
    held = []
    for _ in range(3):
        field.held = "B"
        held.append(field.write("A", released_at=released_at))
    assert held[-1] is not None


@given(st.lists(st.tuples(st.integers(0, 10**6), st.floats(0.01, 30)), max_size=60))
def test_new_values_are_never_a_loop_and_memory_is_bounded(steps: list[tuple[int, float]]) -> None:
    field = Field()
    for number, (_, minutes) in enumerate(steps):
        assert field.write(number, minutes=minutes) is None
        assert field.mark is not None
        assert len(field.mark.turns) <= TURNS_MAX


@given(st.lists(st.tuples(st.sampled_from("ABC"), st.sampled_from("ABC"), st.integers(1, 900)), max_size=80))
@example([("A", "A", 1), *[("B", "A", 1)] * 5, ("C", "B", 1), ("C", "A", 1), ("B", "A", 1)])
def test_no_hour_ever_sees_more_than_the_allowed_returns(steps: list[tuple[str, str, int]]) -> None:
    """Counted by an oracle of its own: what was written, and what it was written over."""
    field = Field()
    turns: list[tuple[str, datetime, bool]] = []
    for seen, value, seconds in steps:
        if field.mark is not None:
            field.held = seen
        if seen == value and field.mark is not None:
            field.at += timedelta(seconds=seconds)
            continue
        if field.write(value, minutes=seconds / 60) is not None:
            continue
        for what, ours in ((seen, False), (value, True)):
            if (turns or ours) and (not turns or turns[-1][0] != what):
                turns.append((what, field.at, ours))
        recent = [turn for turn in turns if turn[1] > field.at - SPAN]
        returns = [
            place
            for place in range(2, len(recent))
            if recent[place][2] and recent[place][0] == value and recent[place - 2][0] == value
        ]
        assert sum(not recent[place - 1][2] for place in returns) <= RETURNS_MAX
        assert len(returns) <= RETURNS_OF_OWNER_MAX


def test_history_that_is_caught_up_with_is_no_loop() -> None:
    """A year of dunning, processed within a minute: the owner really changed its mind once a month."""
    mark: FieldMark | None = None
    held: WireValue = None
    for month, value in enumerate(["due", "paid"] * 12):
        said_at = START - timedelta(days=30 * (24 - month))
        now = START + timedelta(seconds=month)
        if mark is not None:
            assert tripped(mark, held=held, value=value, now=now, said_at=said_at) is None
        mark = advance(mark, before=held, value=value, revision=month, at=now, said_at=said_at)
        held = value
        assert mark.at == now
