"""A saga goes forward step by step on evidence, never past what is missing, and back in the other order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accordant.orchestration.saga import (
    FINDINGS_MAX,
    KEPT_WHEN_UNDONE,
    STEPS_OF,
    CannotUndo,
    Evidence,
    Finding,
    Saga,
    SagaKind,
    SagaPhase,
    SagaStep,
    Sight,
    looked,
    open_saga,
    turn_of,
    undo,
)

NOW = datetime(2026, 3, 14, 9, tzinfo=UTC)
KINDS = pytest.mark.parametrize("kind", SagaKind)


def opened(kind: SagaKind = SagaKind.AMENDMENT, cause: str = "bev_1") -> Saga:
    return open_saga(
        kind=kind,
        cause=cause,
        seq=7,
        subject="billing:subscription/sub_1",
        root_id="ent_1",
        account_id="ent_1",
        correlation="c" * 32,
        began_at=NOW,
        now=NOW,
    )


def seen(sight: Sight, step: SagaStep) -> Evidence:
    return Evidence(sight=sight, told=f"{step} is {sight}.", proof=f"proof of {step}")


def all_seen(kind: SagaKind, sight: Sight) -> dict[SagaStep, Evidence]:
    return {step: seen(sight, step) for step in STEPS_OF[kind]}


@KINDS
def test_a_saga_ends_when_every_step_is_behind_it(kind: SagaKind) -> None:
    saga = looked(opened(kind), all_seen(kind, Sight.DONE), now=NOW)
    assert (saga.phase, saga.ended_at, saga.current) == (SagaPhase.DONE, NOW, None)
    assert looked(saga, all_seen(kind, Sight.FAILED), now=NOW + timedelta(days=1)) is saga


@KINDS
def test_the_same_event_begins_the_same_saga_and_every_step_has_a_key_of_its_own(kind: SagaKind) -> None:
    first, again, other = opened(kind), opened(kind), opened(kind, "bev_2")
    assert first == again
    keys = [one.key for one in (*first.steps, *other.steps)]
    assert len(set(keys)) == len(keys)


def test_what_came_early_is_waited_for() -> None:
    early = {
        SagaStep.JOURNAL: seen(Sight.DONE, SagaStep.JOURNAL),
        SagaStep.REPRICING: seen(Sight.DONE, SagaStep.REPRICING),
    }
    saga = looked(opened(), early, now=NOW)
    assert saga.current is not None
    assert saga.current.step is SagaStep.INVOICE
    assert saga.done_count == 1


def test_what_is_held_says_so_and_needs_a_person() -> None:
    held = {SagaStep.REPRICING: Evidence(sight=Sight.HELD, told="The flow is paused.")}
    saga = looked(opened(), held, now=NOW)
    assert saga.needs_person
    assert saga.current is not None
    assert saga.current.told == "The flow is paused."
    assert not opened().needs_person


def test_undoing_goes_backwards_and_leaves_customers_alone() -> None:
    kind = SagaKind.CONTRACT_WON
    done = looked(opened(kind), all_seen(kind, Sight.DONE), now=NOW)
    back = undo(done, by="lea", because="Signed by mistake.", now=NOW)
    assert isinstance(back, Saga)
    # The subscription has ended already, and its bill still stands: the entry comes first all the same.
    early = {SagaStep.SUBSCRIPTION: seen(Sight.UNDONE, SagaStep.SUBSCRIPTION)}
    assert looked(back, early, now=NOW) is back
    assert back.current is not None
    assert back.current.step is SagaStep.POSTING
    ended = looked(back, all_seen(kind, Sight.UNDONE), now=NOW)
    assert ended.phase is SagaPhase.UNDONE
    left = {one.step for one in ended.steps if one.sight is Sight.DONE}
    assert left == KEPT_WHEN_UNDONE & set(STEPS_OF[kind])
    assert isinstance(undo(ended, by="lea", because="again", now=NOW), CannotUndo)


def test_a_saga_without_anything_done_is_undone_at_once() -> None:
    ended = undo(opened(), by="lea", because="A test.", now=NOW)
    assert isinstance(ended, Saga)
    assert (ended.phase, ended.ended_at, ended.undone_by) == (SagaPhase.UNDONE, NOW, "lea")


def test_a_finding_is_kept_once_and_not_without_end() -> None:
    saga = opened()
    for number in range(FINDINGS_MAX + 5):
        found = [Finding(name=f"f{number}", told="It does not fit.", found_at=NOW)] * 2
        saga = looked(saga, {}, findings=found, now=NOW)
    assert len(saga.findings) == FINDINGS_MAX
    assert saga.needs_person


def test_what_does_not_fit_is_found_of_a_saga_that_has_ended_too() -> None:
    done = looked(opened(), all_seen(SagaKind.AMENDMENT, Sight.DONE), now=NOW)
    assert not done.needs_person
    found = looked(done, {}, findings=[Finding(name="late", told="Changed.", found_at=NOW)], now=NOW)
    assert (found.phase, found.needs_person, found.version) == (SagaPhase.DONE, True, done.version + 1)
    assert looked(found, {}, findings=found.findings, now=NOW) is found


def test_of_many_sagas_each_has_its_turn() -> None:
    many = [opened(cause=f"bev_{number}") for number in range(50)]
    assert turn_of(many, at=NOW, most=50) == tuple(many)
    seen: set[str] = set()
    for minute in range(5):
        turn = turn_of(many, at=NOW + timedelta(minutes=minute), most=10)
        assert seen.isdisjoint(one.id for one in turn)
        seen |= {one.id for one in turn}
    assert seen == {one.id for one in many}


LOOKS = st.dictionaries(st.sampled_from(SagaStep), st.sampled_from(Sight), max_size=5)


@given(kind=st.sampled_from(SagaKind), looks=st.lists(LOOKS, max_size=12), undone_at=st.integers(0, 14))
def test_whatever_is_seen_and_in_whatever_order(
    kind: SagaKind, looks: list[dict[SagaStep, Sight]], undone_at: int
) -> None:
    saga = opened(kind)
    for number, look in enumerate(looks):
        evidence = {step: seen(sight, step) for step, sight in look.items()}
        if number == undone_at:
            back = undo(saga, by="lea", because="A word.", now=NOW)
            assert isinstance(back, Saga)
            saga = back
        before = saga
        saga = looked(saga, evidence, now=NOW)
        assert looked(saga, evidence, now=NOW) is saga or saga.current != before.current  # a look is not two
        assert (saga.version == before.version) == (saga == before)
        if saga.phase in {SagaPhase.RUNNING, SagaPhase.DONE}:
            behind = [one.is_behind for one in saga.steps]
            assert behind == sorted(behind, reverse=True)  # no step is behind before the one that comes first
            assert all(now.is_behind for was, now in zip(before.steps, saga.steps, strict=True) if was.is_behind)
        else:
            # What was done is undone from its end: nothing undone stands before something that is still done.
            reached = [one.sight for one in saga.steps if one.step not in KEPT_WHEN_UNDONE]
            way = [sight for sight in reached if sight in {Sight.DONE, Sight.UNDONE}]
            assert way == sorted(way, key=lambda sight: sight is Sight.UNDONE)
        assert (saga.ended_at is None) == (saga.current is not None)
