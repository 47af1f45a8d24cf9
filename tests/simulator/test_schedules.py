"""The quick tier of the simulator: schedules of faults, and what makes a green run worth something."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import structlog

from accordant.cli.simulated_hub import a_setting
from accordant.connectors.stripe import connector as billing
from accordant.demo.company import write_charter
from accordant.ports.connector import DestinationClass
from accordant.testing.simulator.provider import SETTINGS, a_past, inbound
from accordant.testing.simulator.run import Report, replay, simulate
from accordant.testing.simulator.schedule import LONG
from accordant.testing.simulator.stage import Setting
from accordant.testing.simulator.world import Fault

#: As many as fit into less than a minute of one core, split so that processes share them.
CHUNKS, CHUNK = 8, 60
#: The quick tier of the fault catalogue.
QUICK_TIER = 2_000
FAILED = Path(__file__).parent / "failed_seeds.txt"


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_every_schedule_holds(setting: Setting, chunk: int) -> None:
    report = simulate(setting, schedules=CHUNK, seed=10_000 + chunk * CHUNK)
    assert [(one.seed, one.violations) for one in report.failures] == []
    assert report.holds


def test_what_is_remembered_of_a_body_is_what_the_interpreter_says() -> None:
    real, remembering = billing.inbound(SETTINGS), inbound()
    for body in a_past(3, 2, 1).bodies:
        for system in ("stripe", "another"):
            for _ in range(2):
                assert remembering.interpret(system=system, body=body) == real.interpret(system=system, body=body)
        assert remembering.read_envelope(body) == real.read_envelope(body)


@pytest.mark.parametrize("seed", [2])
def test_a_long_life_of_many_customers_holds_through_phases_faults_and_an_incident(setting: Setting, seed: int) -> None:
    report = simulate(setting, schedules=1, seed=seed, length=LONG)
    assert [(one.seed, one.violations) for one in report.failures] == []
    assert report.events > 2_500
    assert report.effects
    # A whole life is struck by more than a schedule: most kinds of fault at least once.
    assert sum(count > 0 for count in report.fired.values()) > len(Fault) // 2


@pytest.mark.nightly
def test_the_quick_tier_holds_and_leaves_no_fault_out(setting: Setting) -> None:
    report = simulate(setting, schedules=QUICK_TIER, seed=30_000)
    assert [(one.seed, one.violations) for one in report.failures] == []
    assert report.shortcomings == ()


@pytest.mark.parametrize("kind", DestinationClass, ids=lambda kind: kind.name)
def test_a_full_replay_does_nothing_whatever_the_target_offers(setting: Setting, kind: DestinationClass) -> None:
    report = simulate(setting, schedules=1, seed=7, classes=(kind,), only=frozenset(), replays=True)
    assert [one.violations for one in report.failures] == []
    assert report.replays == 3
    # Every effect was a write that began, and was held against what was allowed then.
    assert report.writes >= report.effects > 0


def test_a_machine_that_dies_inside_a_replay_goes_on_with_it_and_nothing_comes_of_it(setting: Setting) -> None:
    report = simulate(setting, schedules=4, seed=40, only=frozenset({Fault.REPLAY_CRASH}), replays=True)
    assert [one.violations for one in report.failures] == []
    assert report.fired[Fault.REPLAY_CRASH] >= 4


def test_links_that_stop_one_by_one_lose_and_double_nothing(setting: Setting) -> None:
    report = simulate(setting, schedules=12, seed=60, only=frozenset({Fault.SWIZZLE, Fault.REORDER}))
    assert [one.violations for one in report.failures] == []
    assert report.fired[Fault.SWIZZLE] > 0


def remembered() -> list[tuple[int, tuple[DestinationClass, ...], str]]:
    lines = [line for line in FAILED.read_text().splitlines() if line and not line.startswith("#")]
    parts = [line.split(maxsplit=2) for line in lines]
    return [(int(seed), tuple(DestinationClass[one] for one in names.split(",")), why) for seed, names, why in parts]


@pytest.mark.parametrize(("seed", "classes", "why"), remembered())
def test_a_seed_that_failed_once_is_played_for_good(
    setting: Setting, seed: int, classes: tuple[DestinationClass, ...], why: str
) -> None:
    assert replay(setting, seed, classes=classes).violations == (), why


@pytest.mark.parametrize("seed", [3, 17, 119])
def test_a_seed_tells_the_whole_story(setting: Setting, seed: int) -> None:
    first, second = replay(setting, seed), replay(setting, seed)
    assert first.trace == second.trace
    assert (first.digest, first.violations) == (second.digest, second.violations)
    assert replay(setting, seed + 1).digest != first.digest


def a_report(**changed: object) -> Report:
    places = {fault.value: {"here": 1} for fault in Fault}
    fair = Report(
        schedules=1_000,
        seed=0,
        classes=(),
        places=places,
        events=1,
        effects=1,
        records=1,
        bytes=1,
        waiting=0,
        writes=1,
        replays=0,
        failed=0,
        failures=(),
        digest="",
    )
    return msgspec.structs.replace(fair, **changed)


def test_a_run_that_proves_too_little_does_not_hold() -> None:
    assert a_report().holds
    assert not a_report(failed=1).holds
    for nothing in ("events", "effects", "records", "bytes", "writes"):
        assert not a_report(**{nothing: 0}).holds
    lacking = {fault.value: {"here": 1} for fault in Fault if fault is not Fault.RESTORE}
    assert a_report(places=lacking).shortcomings == ("The fault 'restore from backup' never fired.",)
    # So few schedules say nothing about what is rare.
    assert a_report(places=lacking, schedules=999).holds


def test_what_persons_say_is_in_the_books_once_whatever_goes_wrong(tmp_path: Path) -> None:
    folder = write_charter(
        tmp_path / "charter", stripe_url="http://127.0.0.1:9", salesforce_url="http://127.0.0.1:9", books=True
    )
    said: list[int] = []
    with structlog.testing.capture_logs(), a_setting(folder) as setting:
        for seed in range(50_000, 50_040):
            verdict = replay(setting, seed)
            assert verdict.violations == (), verdict
            said.append(sum("say word" in line for line in verdict.trace))
    assert sum(said) > 40
