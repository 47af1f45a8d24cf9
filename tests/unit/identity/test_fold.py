"""No order of arrival brings back an older state; what stamps cannot order is a tie, settled by its owner (OR2)."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accordant.canonical.entities import Account, Entity, Subscription, encode_entity
from accordant.canonical.observations import Observation, Standpoint
from accordant.canonical.refs import ExternalRef
from accordant.identity.fold import Advanced, Fold, Held, Superseded, Tie, Unchanged, fold, is_ended
from accordant.kernel.hashing import digest

START = datetime(2026, 3, 14, 9, 0, tzinfo=UTC)
CUSTOMER = ExternalRef("billing", "customer", "cus_1")


def account(name: str, *, deleted: bool = False) -> Account:
    return Account(external_id="cus_1", name=name, deleted=deleted)


def subscription(status: str, note: str = "") -> Subscription:
    return Subscription(external_id="sub_1", customer_id="cus_1", status=status, latest_invoice_id=note or None)


def notice(entity: Entity, second: int) -> Observation:
    return Observation(ref=CUSTOMER, root=CUSTOMER, entity=entity, observed_at=START + timedelta(seconds=second))


def reading(entity: Entity, moment_ms: int) -> Observation:
    return Observation(
        ref=CUSTOMER,
        root=CUSTOMER,
        entity=entity,
        observed_at=START + timedelta(milliseconds=moment_ms),
        standpoint=Standpoint.READING,
    )


def see(held: Held | None, seen: Observation) -> Fold:
    return fold(held, seen, digest(encode_entity(seen.entity)))


def hold(seen: Observation, version: int = 1) -> Held:
    return Held(
        version=version,
        observed_at=seen.observed_at,
        standpoint=seen.standpoint,
        digest=digest(encode_entity(seen.entity)),
        entity=seen.entity,
    )


def walk(arrivals: Iterable[Observation], *, settled_by: Observation | None = None) -> tuple[Held | None, int]:
    """The state after all arrivals, and how many were ties. Checks at every step what must hold at every step."""
    held: Held | None = None
    ties = 0
    for seen in arrivals:
        outcome = see(held, seen)
        if isinstance(outcome, Tie):
            ties += 1
            assert outcome.reason
            outcome = see(held, settled_by) if settled_by is not None else outcome
            assert settled_by is None or not isinstance(outcome, Tie)
        match outcome:
            case Advanced(held=state):
                assert state.version == (held.version if held else 0) + 1
                held = state
            case Unchanged(held=state):
                assert held is not None
                assert (state.version, state.digest, state.entity) == (held.version, held.digest, held.entity)
                assert state.observed_at.replace(microsecond=0) >= held.observed_at.replace(microsecond=0)
                held = state
            case Superseded(reason=reason) | Tie(reason=reason):
                assert reason
    return held, ties


A, B = account("A"), account("B")
GONE = account("A", deleted=True)


@pytest.mark.parametrize(
    ("held", "seen", "expected"),
    [
        # held notice, new notice: by second
        (notice(A, 5), notice(B, 6), Advanced),
        (notice(A, 5), notice(B, 5), Tie),
        (notice(A, 5), notice(B, 4), Superseded),
        (notice(A, 5), notice(A, 4), Unchanged),
        (notice(A, 5), notice(A, 5), Unchanged),
        (notice(A, 5), notice(A, 9), Unchanged),
        # held notice, new reading: the reading was asked for after the notice had come
        (notice(A, 5), reading(B, 4_999), Superseded),
        (notice(A, 5), reading(B, 5_000), Advanced),
        (notice(A, 5), reading(B, 5_300), Advanced),
        (notice(A, 5), reading(B, 6_000), Advanced),
        # held reading, new notice: the second of the question is in doubt, and as much before it as clocks may differ
        (reading(A, 5_300), notice(B, 6), Advanced),
        (reading(A, 5_300), notice(B, 5), Tie),
        (reading(A, 5_000), notice(B, 5), Tie),
        (reading(A, 5_300), notice(B, 4), Tie),
        (reading(A, 6_999), notice(B, 4), Tie),
        (reading(A, 7_000), notice(B, 4), Superseded),
        (reading(A, 5_300), notice(A, 5), Unchanged),
        # two readings: by the moment of asking
        (reading(A, 5_300), reading(B, 5_301), Advanced),
        (reading(A, 5_300), reading(B, 5_300), Tie),
        (reading(A, 5_300), reading(B, 5_299), Superseded),
        # the end of a thing
        (notice(A, 5), notice(GONE, 6), Advanced),
        (notice(GONE, 5), notice(A, 6), Tie),
        (notice(A, 6), notice(GONE, 5), Tie),
        (notice(GONE, 6), notice(A, 5), Superseded),
        (reading(GONE, 5_000), notice(A, 6), Tie),
        (reading(A, 6_000), notice(GONE, 5), Tie),
        (reading(A, 9_000), notice(GONE, 5), Superseded),
        (notice(GONE, 5), reading(A, 6_000), Advanced),
        (notice(subscription("canceled"), 5), notice(subscription("active"), 6), Tie),
        (notice(subscription("active"), 6), notice(subscription("canceled"), 5), Tie),
        (notice(subscription("canceled"), 5), notice(subscription("canceled", "in_2"), 6), Advanced),
        (notice(subscription("incomplete_expired"), 5), notice(subscription("active"), 6), Tie),
        (notice(subscription("past_due"), 5), notice(subscription("active"), 6), Advanced),
    ],
)
def test_every_arm(held: Observation, seen: Observation, expected: type) -> None:
    outcome = see(hold(held, version=7), seen)
    assert type(outcome) is expected
    match outcome:
        case Advanced(held=state):
            assert state == hold(seen, version=8)
        case Unchanged(held=state):
            assert state.version == 7
            assert state.digest == digest(encode_entity(held.entity))
        case Superseded(reason=reason) | Tie(reason=reason):
            assert "2026-03-14 09:00:0" in reason


def test_the_first_observation_is_version_one() -> None:
    assert see(None, notice(A, 5)) == Advanced(hold(notice(A, 5), version=1))


@pytest.mark.parametrize(
    ("held", "seen", "kept"),
    [
        (notice(A, 5), notice(A, 9), notice(A, 9)),
        (notice(A, 9), notice(A, 5), notice(A, 9)),
        (notice(A, 5), reading(A, 5_300), reading(A, 5_300)),
        (reading(A, 5_300), notice(A, 5), reading(A, 5_300)),
        (reading(A, 5_300), notice(A, 6), notice(A, 6)),
        (reading(A, 5_300), reading(A, 5_700), reading(A, 5_700)),
        (notice(A, 6), reading(A, 5_700), notice(A, 6)),
    ],
)
def test_of_two_stamps_on_one_state_the_newer_is_kept(held: Observation, seen: Observation, kept: Observation) -> None:
    assert see(hold(held), seen) == Unchanged(hold(kept))


def test_the_kept_stamp_recognises_what_lies_between() -> None:
    held, ties = walk([notice(A, 1), notice(A, 9), notice(B, 5)])
    assert held is not None
    assert (held.entity, ties) == (A, 0)


@pytest.mark.parametrize(
    ("entity", "ended"),
    [(A, False), (GONE, True), (subscription("canceled"), True), (subscription("active"), False)],
)
def test_what_has_ended(entity: Entity, ended: bool) -> None:
    assert is_ended(entity) is ended


names = st.sampled_from("ABC")
seconds = st.integers(0, 9)


@given(st.lists(st.tuples(names, seconds), min_size=1, max_size=6, unique_by=lambda pair: pair[1]))
def test_any_order_of_notices_of_distinct_seconds_ends_in_one_state(stamps: list[tuple[str, int]]) -> None:
    arrivals = [notice(account(name), second) for name, second in stamps]
    newest = max(arrivals, key=lambda seen: seen.observed_at)
    for order in permutations(arrivals):
        held, ties = walk(order)
        assert held is not None
        assert ties == 0
        assert held.entity == newest.entity
        assert held.observed_at == newest.observed_at


states = st.builds(account, names, deleted=st.booleans())


@given(st.lists(st.tuples(states, st.integers(0, 3)), min_size=1, max_size=5))
def test_with_ties_and_ends_any_order_ends_in_one_state_or_in_a_tie(stamps: list[tuple[Account, int]]) -> None:
    arrivals = [notice(state, second) for state, second in stamps]
    ends = set()
    for order in permutations(arrivals):
        held, ties = walk(order)
        assert held is not None
        if ties == 0:
            ends.add((held.digest, held.observed_at))
    assert len(ends) <= 1


@given(st.lists(st.tuples(states, st.integers(0, 3)), min_size=1, max_size=5), states)
def test_asking_the_owner_settles_every_order(stamps: list[tuple[Account, int]], truth: Account) -> None:
    """The owner's last state is the one it stamped last; asked at any tie it gives that, so no order ends elsewhere."""
    newest = max(second for _, second in stamps)
    arrivals = [notice(state, second) for state, second in stamps if second != newest] + [notice(truth, newest)]
    answer = reading(truth, (newest + 1) * 1000)
    for order in permutations(arrivals):
        held, _ = walk(order, settled_by=answer)
        assert held is not None
        assert held.entity == truth


observations = st.one_of(st.builds(notice, states, seconds), st.builds(reading, states, st.integers(0, 9_999)))


@given(st.lists(observations, max_size=40))
def test_versions_and_seconds_never_go_back(arrivals: Sequence[Observation]) -> None:
    held: Held | None = None
    for seen in arrivals:
        outcome = see(held, seen)
        if isinstance(outcome, Advanced | Unchanged):
            if held is not None:
                assert outcome.held.version >= held.version
                assert outcome.held.observed_at.replace(microsecond=0) >= held.observed_at.replace(microsecond=0)
                # What is older is told apart from what says the same, so that its reason can be told.
                assert isinstance(outcome, Advanced) or outcome.held.digest == digest(encode_entity(seen.entity))
            held = outcome.held
        elif held is not None:
            assert see(held, seen) == outcome  # nothing changed, so the same answer again


@given(st.lists(observations, min_size=1, max_size=20))
def test_what_was_taken_is_unchanged_when_it_comes_again(arrivals: Sequence[Observation]) -> None:
    held: Held | None = None
    for seen in arrivals:
        outcome = see(held, seen)
        if isinstance(outcome, Advanced):
            held = outcome.held
            assert see(held, seen) == Unchanged(held)
