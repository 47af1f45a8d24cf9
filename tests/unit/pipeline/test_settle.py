"""Room 8 as a table: what was brought back, and what becomes of state, attempt, time, lane, receipt and trail."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from accordant.canonical.charter import CourierPart
from accordant.canonical.intents import (
    AlreadyApplied,
    Applied,
    Compared,
    IntentState,
    RefusalClass,
    Refused,
    Uncertain,
    WriteOutcome,
)
from accordant.canonical.targets import CurrentRecord
from accordant.kernel.hashing import fingerprint
from accordant.pipeline.deliver import Delivered
from accordant.pipeline.settle import settle
from accordant.ports.outbox import Verdict
from tests.unit.pipeline.ledger import NOW, leased, pause

COURIER = CourierPart(attempts_max=4)
HELD = CurrentRecord(target_id="001", fields={"Name": "Before", "Other": "kept"})
AFTER = {"Name": "Example", "Other": "kept", "MRR": "12.00"}
NEW = {"Name": "Example", "MRR": "12.00"}


def refused(cause: RefusalClass, retry_after_s: float | None = None) -> Refused:
    return Refused(cause=cause, code="X", message="No.", retry_after_s=retry_after_s)


def verdict_on(
    outcome: WriteOutcome | None,
    *,
    attempt: int = 1,
    was: IntentState = IntentState.PENDING,
    before: CurrentRecord | None = HELD,
    shadow: bool = False,
    **more: Any,
) -> Verdict:
    one = leased(attempt=attempt, was=was, shadow=shadow)
    delivered = Delivered(leased=one, outcome=outcome, before=before, request_id="req-1", **more)
    return settle(delivered, courier=COURIER, pause=pause, now=NOW)


TABLE: list[tuple[str, WriteOutcome, dict[str, Any], IntentState, float, bool, str]] = [
    # name, outcome, circumstances, state, seconds until due, parks, what the trail calls it
    ("created", Applied("001", created=True), {"before": None}, IntentState.APPLIED, 0, False, "applied"),
    ("changed", Applied("001", created=False), {}, IntentState.APPLIED, 0, False, "applied"),
    ("held already", AlreadyApplied("001"), {}, IntentState.ALREADY_APPLIED, 0, False, "already_applied"),
    ("probed", AlreadyApplied("001", probed=True), {"was": IntentState.UNCERTAIN, "attempt": 2},
     IntentState.ALREADY_APPLIED, 0, False, "already_applied"),
    ("compared", Compared(("Name",)), {"shadow": True}, IntentState.SHADOWED, 0, False, "compared"),
    ("compared, new", Compared(("Name",)), {"shadow": True, "before": None},
     IntentState.SHADOWED, 0, False, "compared"),
    ("busy", refused(RefusalClass.TRANSIENT), {}, IntentState.PENDING, 10, False, "postponed"),
    ("busy, third try", refused(RefusalClass.TRANSIENT), {"attempt": 3}, IntentState.PENDING, 30, False, "postponed"),
    ("busy, asks for time", refused(RefusalClass.TRANSIENT, 90.0), {}, IntentState.PENDING, 90, False, "postponed"),
    ("busy, last try", refused(RefusalClass.TRANSIENT), {"attempt": 4}, IntentState.DEAD, 0, True, "refused"),
    ("not authorized", refused(RefusalClass.AUTHORIZATION), {}, IntentState.PENDING, 10, False, "postponed"),
    ("not authorized, last try", refused(RefusalClass.AUTHORIZATION), {"attempt": 4},
     IntentState.DEAD, 0, True, "refused"),
    ("bad value", refused(RefusalClass.DATA_QUALITY), {}, IntentState.DEAD, 0, True, "refused"),
    ("business rule", refused(RefusalClass.BUSINESS_RULE), {}, IntentState.DEAD, 0, True, "refused"),
    ("answer lost", Uncertain("Lost."), {}, IntentState.UNCERTAIN, 10, False, "doubted"),
    ("answer lost, third try", Uncertain("Lost."), {"attempt": 3}, IntentState.UNCERTAIN, 30, False, "doubted"),
    ("answer lost, last try", Uncertain("Lost."), {"attempt": 4}, IntentState.DEAD, 0, True, "refused"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("outcome", "circumstances", "state", "wait_s", "parks", "line"),
    [row[1:] for row in TABLE],
    ids=[row[0] for row in TABLE],
)
def test_the_table_of_outcomes(
    outcome: WriteOutcome, circumstances: dict[str, Any], state: IntentState, wait_s: float, parks: bool, line: str
) -> None:
    verdict = verdict_on(outcome, **circumstances)
    before: CurrentRecord | None = circumstances.get("before", HELD)
    assert verdict.state is state
    assert verdict.due_at == NOW + timedelta(seconds=wait_s)
    assert verdict.receipt is not None  # the record was tried: this is an attempt, and it is kept
    assert verdict.receipt.outcome == outcome
    assert verdict.receipt.attempt == circumstances.get("attempt", 1)
    assert verdict.receipt.before == (before.fields if before is not None else None)
    assert verdict.receipt.request_id == "req-1"
    wrote = isinstance(outcome, Applied | AlreadyApplied)
    assert verdict.receipt.after == ((AFTER if before is not None else NEW) if wrote else None)
    assert (verdict.park is not None) is parks
    assert verdict.audit is not None  # every try leaves its line, also one that will be made again
    assert verdict.audit.kind == f"archive.write.{line}"
    assert (verdict.link is not None) is wrote
    if state in {IntentState.PENDING, IntentState.UNCERTAIN, IntentState.DEAD}:
        assert verdict.reason


def test_the_trail_names_intent_cause_and_what_was_before_and_after() -> None:
    verdict = verdict_on(Applied("001", created=False))
    assert verdict.audit is not None
    assert (verdict.audit.kind, verdict.audit.subject) == ("archive.write.applied", "crm:Account/cus_1")
    assert (verdict.audit.cause, verdict.audit.at) == (7, NOW)
    assert verdict.audit.body == {
        "intent": verdict.leased.intent.id,
        "key": verdict.leased.intent.idempotency_key,
        "attempt": 1,
        "outcome": "Applied",
        "before": fingerprint(HELD.fields),
        "after": fingerprint(AFTER),
        "request": "req-1",
    }


def test_a_dead_letter_parks_its_lane_and_says_after_how_many_tries() -> None:
    verdict = verdict_on(Uncertain("The answer never came."), attempt=4)
    assert verdict.park is not None
    assert verdict.park.lane == verdict.leased.intent.lane
    assert verdict.park.direction == "outbound"
    assert verdict.park.cause == f"intent/{verdict.leased.intent.id}"
    assert verdict.park.reason == verdict.reason == "The answer never came. Tried 4 times."
    assert verdict.target_id == "001"


# -- not tried ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("attempt", [1, 4, 99])
@pytest.mark.parametrize(
    ("was", "before", "state"),
    [
        (IntentState.PENDING, HELD, IntentState.PENDING),
        (IntentState.PENDING, None, IntentState.PENDING),
        (IntentState.LEASED, None, IntentState.UNCERTAIN),
        (IntentState.UNCERTAIN, None, IntentState.UNCERTAIN),
        (IntentState.UNCERTAIN, HELD, IntentState.PENDING),  # looked at since: what it holds is known
    ],
)
def test_an_outage_costs_no_attempt_and_forgets_no_doubt(
    attempt: int, was: IntentState, before: CurrentRecord | None, state: IntentState
) -> None:
    verdict = verdict_on(None, attempt=attempt, was=was, before=before, stopped="503", outage=True, wait_s=None)
    assert verdict.state is state
    assert verdict.due_at == NOW + timedelta(seconds=10)
    assert (verdict.receipt, verdict.park, verdict.audit) == (None, None, None)
    assert verdict.reason == "503"


def test_an_outage_waits_as_long_as_the_target_asks() -> None:
    assert verdict_on(None, stopped="429", outage=True, wait_s=120.0).due_at == NOW + timedelta(seconds=120)


def test_what_a_switch_stops_waits_and_what_the_rules_forbid_is_cancelled_and_told() -> None:
    waiting = verdict_on(None, stopped="Paused.", cancelled=False)
    assert (waiting.state, waiting.receipt, waiting.audit) == (IntentState.PENDING, None, None)
    gone = verdict_on(None, stopped="The charter has no such flow.", cancelled=True)
    assert (gone.state, gone.receipt, gone.park) == (IntentState.CANCELLED, None, None)
    assert gone.reason == "The charter has no such flow."
    assert gone.audit is not None
    assert gone.audit.kind == "archive.write.cancelled"
    assert gone.audit.body["reason"] == gone.reason
    assert gone.audit.cause == 7
