"""A simulator is worth what it catches: each planted defect of the product is found within a few schedules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from accordant.bootstrap import Hub
from accordant.pipeline import deliver
from accordant.ports.connector import DestinationClass, RecordWrite
from accordant.store import inbox
from accordant.testing.simulator.run import simulate
from accordant.testing.simulator.stage import Setting
from accordant.testing.simulator.world import Fault

AT_MOST = 15
A, B = DestinationClass.NATIVE_UPSERT, DestinationClass.IDEMPOTENCY_KEY
Plant = Callable[[pytest.MonkeyPatch], None]


def failing(setting: Setting, seeds: range, target: DestinationClass, faults: frozenset[Fault]) -> tuple[str, ...]:
    """What the first schedule that fails says; empty where none does."""
    for seed in seeds:
        report = simulate(setting, schedules=1, seed=seed, classes=(target,), only=faults)
        if report.failures:
            return report.failures[0].violations
    return ()


def gate_at_enqueue_only(patch: pytest.MonkeyPatch) -> None:
    """What was allowed when it was planned is sent, whatever was thrown since."""
    patch.setattr(Hub, "_open_gate", lambda _self: lambda _leased, _changing: None)


def done_before_the_effect(patch: pytest.MonkeyPatch) -> None:
    """An event counts as processed from the moment it is claimed."""

    def mark(connection: Any, seqs: list[int]) -> None:
        sql = "UPDATE inbox_work SET attempts = attempts + 1, state = 'processed' WHERE seq = ?"
        connection.exec_driver_sql(sql, [(seq,) for seq in seqs])

    patch.setattr(inbox, "_count_attempt", mark)


def another_key_for_every_try(patch: pytest.MonkeyPatch) -> None:
    """Each try goes out under a key of its own."""
    tries = iter(range(1_000_000))

    def write(**parts: Any) -> RecordWrite:
        made = RecordWrite(**parts)
        return msgspec.structs.replace(made, idempotency_key=f"{made.idempotency_key}-{next(tries)}")

    patch.setattr(deliver, "RecordWrite", write)


#: The defect, the class of the target, the faults, the first seed, and the rule that has to be broken.
PLANTED: dict[str, tuple[Plant, DestinationClass, frozenset[Fault], int, str]] = {
    "gate at enqueue only": (gate_at_enqueue_only, A, frozenset({Fault.SWITCH_FLIP}), 20_000, "EF6"),
    "done before the effect": (done_before_the_effect, A, frozenset({Fault.CRASH}), 20_000, "OR5"),
    "another key for every try": (another_key_for_every_try, B, frozenset({Fault.TIMEOUT_AFTER}), 20_016, "EF1"),
}


@pytest.mark.parametrize("defect", PLANTED)
def test_a_planted_defect_is_caught(setting: Setting, monkeypatch: pytest.MonkeyPatch, defect: str) -> None:
    plant, target, faults, first, rule = PLANTED[defect]
    # Sound, the very first of these schedules holds; so what is caught is the defect.
    assert failing(setting, range(first, first + 1), target, faults) == ()
    plant(monkeypatch)
    found = failing(setting, range(first, first + AT_MOST), target, faults)
    assert any(rule in sentence for sentence in found)
