"""No order of words to an incident skips a step, leaves one on an empty or old comparison, or closes it early."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accordant.orchestration.incident import (
    MEASURED_LASTS,
    STEPS,
    Compared,
    Incident,
    Measured,
    NotYet,
    RecoveryStep,
    Stop,
    Walked,
    cancel,
    close,
    exit_of,
    open_incident,
    released_at,
    step_forward,
    stopped_at,
    with_measured,
)

T0 = datetime(2026, 3, 1, tzinfo=UTC)
STOPS = (
    Stop(switch="class:a", since=RecoveryStep.STOP_OUTBOUND, until=RecoveryStep.RESTORE_AUTOMATIONS),
    Stop(switch="class:b", since=RecoveryStep.STOP_OUTBOUND, until=RecoveryStep.REPLAY_SUPPORT, ours=False),
    Stop(switch="nonessential", since=RecoveryStep.FREEZE_NONESSENTIAL, until=RecoveryStep.REPLAY_SUPPORT),
)


def opened() -> Incident:
    return open_incident(title="CRM lost writes", actor="Ada", since=T0 - timedelta(days=1), stops=STOPS, now=T0)


def clean(incident: Incident, now: datetime) -> Measured:
    """What lets the step be left."""
    step = incident.step
    assert step is not None
    compared = Compared(name="accounts", run="run_1", started_at=now, records=3, differing=0)
    return Measured(
        step=step,
        taken_at=now,
        expected=("accounts",) if step.compares else (),
        compared=(compared,) if step.compares else (),
        walked=Walked(job="rpl_1", total=2, done=2, aside=0, is_finished=True) if step.replays else None,
    )


def spoiled(incident: Incident, now: datetime, how: str) -> Measured:
    good = clean(incident, now)
    one = good.compared[0] if good.compared else Compared(name="x", run="r", started_at=now, records=1, differing=1)
    changes: dict[str, dict[str, object]] = {
        "another step": {"step": STEPS[(STEPS.index(good.step) + 1) % len(STEPS)]},
        "before the step": {"taken_at": incident.entered_at - timedelta(seconds=1)},
        "too old": {"taken_at": now - MEASURED_LASTS - timedelta(seconds=1)},
        "switch": {"unmoved": ("class:a",)},
        "under way": {"under_way": 1},
        "differs": {"compared": (msgspec.structs.replace(one, differing=1),)},
        "empty": {"compared": (msgspec.structs.replace(one, records=0),)},
        "nothing compared": {"compared": ()},
        "compared before": {"compared": (msgspec.structs.replace(one, started_at=incident.entered_at - timedelta(1)),)},
        "another missing": {"expected": (*good.expected, "subscriptions")},
        "no replay": {"walked": None},
        "replay runs": {"walked": Walked(job="r", total=2, done=1, aside=0, is_finished=False)},
        "aside": {"walked": Walked(job="r", total=2, done=2, aside=1, is_finished=True)},
    }
    return msgspec.structs.replace(good, **changes[how])


def matters(step: RecoveryStep, how: str) -> bool:
    """Whether this spoils the step: records are compared from the third on, events walked in three."""
    if how in {"another step", "before the step", "too old", "switch", "under way"}:
        return True
    if how in {"no replay", "replay runs", "aside"}:
        return step.replays
    return step.compares


HOWS = (
    "another step", "before the step", "too old", "switch", "under way", "differs", "empty", "nothing compared",
    "compared before", "another missing", "no replay", "replay runs", "aside",
)  # fmt: skip


@given(words=st.lists(st.sampled_from(("advance", "close", "keep", *HOWS)), max_size=40), gaps=st.randoms())
def test_steps_come_one_by_one_and_each_on_an_exit_that_holds(words: list[str], gaps: random.Random) -> None:
    now, incident = T0 + timedelta(hours=1), opened()
    seen = [incident.step]
    for word in words:
        now += timedelta(minutes=gaps.randint(1, 300))
        if incident.step is None:
            break
        before, held = incident, clean(incident, now)
        leave = close if word == "close" else step_forward
        if word in HOWS:
            measured = spoiled(incident, now, word)
            outcome = step_forward(incident, measured, now=now)
            assert isinstance(outcome, NotYet) or not matters(incident.step, word)
            assert isinstance(close(incident, measured, now=now), NotYet) or not matters(incident.step, word)
        elif word == "keep":
            outcome = with_measured(incident, held)
            assert exit_of(outcome, outcome.measured, now=now).is_met
        else:
            outcome = leave(incident, held, now=now)
        if isinstance(outcome, NotYet):
            assert not outcome.exit.is_met or before.step is STEPS[-1] or word == "close"
            continue
        incident = outcome
        assert incident.version == before.version + 1
        if incident.step is not before.step:
            seen.append(incident.step)
    assert tuple(step for step in seen if step is not None) == STEPS[: len([step for step in seen if step is not None])]
    assert (incident.closed_at is not None) == (incident.step is None)
    assert incident.step is not None or seen[-2:] == [STEPS[-1], None]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("how", HOWS)
def test_each_thing_that_matters_keeps_the_step(step: RecoveryStep, how: str) -> None:
    now = T0 + timedelta(hours=1)
    incident = msgspec.structs.replace(opened(), step=step)
    good, leave = clean(incident, now), close if step is STEPS[-1] else step_forward
    assert isinstance(leave(incident, good, now=now), Incident)
    outcome = leave(incident, spoiled(incident, now, how), now=now)
    assert isinstance(outcome, NotYet) == matters(step, how)
    if isinstance(outcome, NotYet):
        assert outcome.exit.obstacles, "what is in the way is said"


@pytest.mark.parametrize("step", STEPS[:-1])
def test_only_the_last_step_is_closed(step: RecoveryStep) -> None:
    incident = msgspec.structs.replace(opened(), step=step)
    outcome = close(incident, clean(incident, T0), now=T0)
    assert isinstance(outcome, NotYet)
    assert "none can be left out" in outcome.exit.obstacles[0]


@pytest.mark.parametrize("step", STEPS)
def test_only_before_records_are_worked_on_an_incident_is_cancelled(step: RecoveryStep) -> None:
    found = cancel(msgspec.structs.replace(opened(), step=step), because="by mistake", now=T0)
    if step in {RecoveryStep.STOP_OUTBOUND, RecoveryStep.FREEZE_NONESSENTIAL}:
        assert isinstance(found, Incident)
        assert (found.step, found.closed_at, found.cancelled_because) == (None, T0, "by mistake")
        assert isinstance(cancel(found, because="again", now=T0), NotYet)
    else:
        assert isinstance(found, NotYet)


def test_what_is_stopped_at_which_step_and_what_is_released() -> None:
    incident = opened()
    stopped = {step: stopped_at(incident, step) for step in (*STEPS, None)}
    assert stopped[STEPS[0]] == {"class:a", "class:b"}
    assert all(stopped[step] == {"class:a", "class:b", "nonessential"} for step in STEPS[1:5])
    assert stopped[RecoveryStep.REPLAY_SUPPORT] == {"class:a"}
    assert stopped[RecoveryStep.RESTORE_AUTOMATIONS] == stopped[None] == frozenset()
    assert released_at(incident, RecoveryStep.REPLAY_SUPPORT) == {"nonessential"}, "what was another's stays his"
    assert released_at(incident, None) == {"nonessential", "class:a"}
    assert all(released_at(incident, step) == frozenset() for step in STEPS[:5])
