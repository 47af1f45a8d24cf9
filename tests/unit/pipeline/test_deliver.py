"""Room 7: it reads first, asks the policy last, writes only what differs, keeps steps in order, and never guesses."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from accordant.canonical.intents import (
    AlreadyApplied,
    Applied,
    Compared,
    IntentState,
    RefusalClass,
    Refused,
    Uncertain,
)
from accordant.canonical.targets import CurrentRecord, ObjectSpec
from accordant.kernel.errors import AccordantError, RejectedError
from accordant.pipeline.deliver import Delivered, Gate, OpenGate, StillOurs, deliver
from accordant.pipeline.dispatch import Stop
from accordant.pipeline.recognize import Recognizer
from accordant.pipeline.requests import Requests
from accordant.ports.conflicts import Found
from accordant.ports.connector import (
    AnswerLost,
    AuthorizationExpired,
    RateLimited,
    RecordWrite,
    TargetUnavailable,
    WriteResult,
)
from accordant.ports.last_word import ask_last_word
from accordant.ports.outbox import LeasedIntent
from tests.unit.pipeline.ledger import MAPPINGS, NOW, LedgerTarget, leased, umpires
from tests.unit.pipeline.memory import Memory, MemoryRequests


def opened(stop: Stop | None = None) -> OpenGate:
    def open_gate() -> Gate:
        return lambda _, __: stop

    return open_gate


async def forget(_: Sequence[Found]) -> None:
    """Conflicts have tests of their own."""


async def all_ours(batch: Sequence[LeasedIntent]) -> frozenset[str]:
    """Nobody takes anything over."""
    return frozenset(one.intent.id for one in batch)


async def run(
    target: LedgerTarget,
    *batch: LeasedIntent,
    open_gate: OpenGate | None = None,
    still_ours: StillOurs = all_ours,
) -> tuple[Delivered, ...]:
    done = await deliver_all(target, *batch, open_gate=open_gate, still_ours=still_ours)
    assert sorted(one.leased.intent.id for one in done) == sorted(one.intent.id for one in batch)
    return done


async def deliver_all(
    target: LedgerTarget,
    *batch: LeasedIntent,
    open_gate: OpenGate | None = None,
    still_ours: StillOurs = all_ours,
) -> tuple[Delivered, ...]:
    return await deliver(
        batch,
        outbound=target,
        mappings=MAPPINGS,
        umpires=umpires(),
        open_gate=open_gate or opened(),
        recognizer=Recognizer(memory=Memory(), search=None, charter="abc", clock=lambda: NOW),
        keep=forget,
        still_ours=still_ours,
        requests=Requests(MemoryRequests(), lambda: NOW),
        now=NOW,
    )


def outcomes(done: Sequence[Delivered]) -> dict[str, str]:
    return {one.leased.intent.key: type(one.outcome).__name__ for one in done}


# -- one record --------------------------------------------------------------------------------------------------------


async def test_a_new_record_is_created_without_spelling_out_what_is_empty() -> None:
    target = LedgerTarget()
    (done,) = await run(target, leased(Name="Example", MRR=None))
    assert done.outcome == Applied(target_id="001cus_1", created=True)
    assert done.before is None
    assert done.request_id == "req-2"
    assert target.ledger == [("cus_1", {"Name": "Example"})]


async def test_only_what_differs_is_sent_and_emptiness_is_a_value() -> None:
    held = CurrentRecord(target_id="001", fields={"Name": "Example", "MRR": "12.00"})
    target = LedgerTarget(records={"cus_1": held})
    (done,) = await run(target, leased(Name="  Example ", MRR=None))
    assert done.outcome == Applied(target_id="001", created=False)
    assert done.before == held
    assert target.ledger == [("cus_1", {"MRR": None})]


@pytest.mark.parametrize(
    ("was", "probed"), [(IntentState.PENDING, False), (IntentState.LEASED, True), (IntentState.UNCERTAIN, True)]
)
async def test_what_the_target_holds_already_is_not_sent_again(was: IntentState, probed: bool) -> None:
    target = LedgerTarget(records={"cus_1": CurrentRecord(target_id="001", fields={"Name": "Example", "MRR": "12.00"})})
    (done,) = await run(target, leased(was=was))
    assert done.outcome == AlreadyApplied("001", probed=probed)
    assert target.calls == ["read"]


async def test_a_shadow_is_compared_and_never_sent_whatever_the_gate_says() -> None:
    target = LedgerTarget(records={"cus_1": CurrentRecord(target_id="001", fields={"Name": "Other", "MRR": "12.00"})})
    done = await run(target, leased(shadow=True), leased("cus_2", shadow=True))
    assert {one.leased.intent.key: one.outcome for one in done} == {
        "cus_1": Compared(("Name",)),
        "cus_2": Compared(("MRR", "Name")),
    }
    assert target.calls == ["read"]
    assert target.ledger == []


@pytest.mark.parametrize("cause", list(RefusalClass))
async def test_a_refusal_is_one_records_own(cause: RefusalClass) -> None:
    refusal = Refused(cause=cause, code="X", message="No.")
    target = LedgerTarget(refusals={"cus_1": [refusal]})
    done = await run(target, leased("cus_1"), leased("cus_2"))
    assert outcomes(done) == {"cus_1": "Refused", "cus_2": "Applied"}
    assert done[0].outcome == refusal


async def test_a_value_the_target_cannot_spell_is_one_records_matter() -> None:
    target = LedgerTarget()
    done = await run(target, leased("cus_1", Name="unspeakable"), leased("cus_2"))
    assert outcomes(done) == {"cus_1": "Refused", "cus_2": "Applied"}
    refused = next(one.outcome for one in done if one.leased.intent.key == "cus_1")
    assert isinstance(refused, Refused)
    assert refused.cause is RefusalClass.DATA_QUALITY
    assert "unspeakable" in refused.message


# -- the gate ----------------------------------------------------------------------------------------------------------


async def test_what_is_stopped_while_leases_are_prolonged_is_not_sent_even_by_a_target_that_asks_nobody() -> None:
    frozen = False

    def open_gate() -> Gate:
        stop = Stop("Frozen.", final=False) if frozen else None
        return lambda _, __: stop

    async def prolong(batch: Sequence[LeasedIntent]) -> frozenset[str]:
        nonlocal frozen
        frozen = True
        return await all_ours(batch)

    target = LedgerTarget()
    (done,) = await run(target, leased(), open_gate=open_gate, still_ours=prolong)
    assert target.ledger == []
    assert (done.outcome, done.stopped) == (None, "Frozen.")


async def test_what_another_courier_took_over_is_neither_written_nor_answered() -> None:
    async def lose_one(batch: Sequence[LeasedIntent]) -> frozenset[str]:
        return frozenset(one.intent.id for one in batch if one.intent.key != "cus_2")

    target = LedgerTarget()
    done = await deliver_all(target, leased("cus_1"), leased("cus_2"), still_ours=lose_one)
    assert outcomes(done) == {"cus_1": "Applied"}
    assert [key for key, _ in target.ledger] == ["cus_1"]


class Queue(LedgerTarget):
    """A target at which a call waits for its turn."""

    async def write(self, spec: ObjectSpec, records: Sequence[RecordWrite]) -> tuple[WriteResult, ...]:
        ask_last_word()
        return await super().write(spec, records)


@pytest.mark.parametrize("final", [True, False])
async def test_what_is_stopped_while_its_call_waits_for_its_turn_is_not_sent(final: bool) -> None:
    opened_times = 0

    def open_gate() -> Gate:
        nonlocal opened_times
        opened_times += 1
        flipped = opened_times > 1
        return lambda leased, _: Stop("Frozen.", final) if flipped and leased.intent.key == "cus_2" else None

    target = Queue()
    done = await run(target, leased("cus_1"), leased("cus_2"), open_gate=open_gate)
    by_key = {one.leased.intent.key: one for one in done}
    assert target.ledger == []
    assert [(one.outcome, one.outage) for one in done] == [(None, False)] * 2
    assert (by_key["cus_2"].stopped, by_key["cus_2"].cancelled) == ("Frozen.", final)
    assert "1 of 2 records of one call" in (by_key["cus_1"].stopped or "")
    assert not by_key["cus_1"].cancelled
    assert outcomes(await run(target, leased("cus_1"))) == {"cus_1": "Applied"}


@pytest.mark.parametrize("final", [True, False])
async def test_what_the_gate_stops_is_not_begun(final: bool) -> None:
    target = LedgerTarget()
    (done,) = await run(target, leased(), open_gate=opened(Stop("Paused.", final=final)))
    assert (done.outcome, done.stopped, done.cancelled, done.outage) == (None, "Paused.", final, False)
    assert target.ledger == []
    assert target.calls == ["read"]


async def test_the_gate_is_opened_after_the_read_so_a_flip_meanwhile_counts() -> None:
    """The policy changes while the target is being read: the call that follows must not begin."""
    stopped: list[Stop] = []
    target = LedgerTarget(on_read=lambda: stopped.append(Stop("Frozen.", final=False)))

    def open_gate() -> Gate:
        stop = stopped[0] if stopped else None
        return lambda _, __: stop

    (done,) = await run(target, leased(), open_gate=open_gate)
    assert done.stopped == "Frozen."
    assert target.ledger == []


async def test_the_gate_is_opened_anew_for_every_call() -> None:
    """Two calls of one round: the policy flips between them, and the second is not made."""
    target = LedgerTarget(batch_max=1)
    opened_times = 0

    def open_gate() -> Gate:
        nonlocal opened_times
        opened_times += 1
        stop = Stop("Frozen.", final=False) if opened_times > 1 else None
        return lambda _, __: stop

    done = await run(target, leased("cus_1"), leased("cus_2"), open_gate=open_gate)
    assert outcomes(done) == {"cus_1": "Applied", "cus_2": "NoneType"}
    assert [key for key, _ in target.ledger] == ["cus_1"]


# -- whole calls that fail ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "wait_s"),
    [
        (TargetUnavailable("503"), None),
        (RateLimited("429", retry_after_s=17.0), 17.0),
        (AuthorizationExpired("expired"), None),
        (RejectedError("No such field: MRR."), None),
    ],
)
@pytest.mark.parametrize("call", ["read_errors", "write_errors"])
async def test_an_outage_says_nothing_of_a_record(error: AccordantError, wait_s: float | None, call: str) -> None:
    target = LedgerTarget()
    getattr(target, call).append(error)
    done = await run(target, leased("cus_1"), leased("cus_2"))
    for one in done:
        assert (one.outcome, one.outage, one.cancelled, one.wait_s) == (None, True, False, wait_s)
        assert error.message in (one.stopped or "")
    assert target.ledger == []


@pytest.mark.parametrize("carried_out", [True, False])
async def test_a_lost_answer_is_unknown_and_the_next_read_settles_it(carried_out: bool) -> None:
    target = LedgerTarget()
    (target.late_errors if carried_out else target.write_errors).append(AnswerLost("The answer never came."))
    (first,) = await run(target, leased())
    assert first.outcome == Uncertain("The answer never came.")
    (again,) = await run(target, leased(attempt=2, was=IntentState.UNCERTAIN))
    expected = AlreadyApplied("001cus_1", probed=True) if carried_out else Applied(target_id="001cus_1", created=True)
    assert again.outcome == expected
    assert len(target.ledger) == 1


# -- lanes -------------------------------------------------------------------------------------------------------------


def family(number: int) -> tuple[LeasedIntent, LeasedIntent]:
    """A subscription and its account, in one lane."""
    lane = f"crm:acc_{number}"
    return leased(f"sub_{number}", lane=lane, step=1), leased(f"cus_{number}", lane=lane)


async def test_the_account_goes_before_its_subscription() -> None:
    target = LedgerTarget()
    done = await run(target, *family(1), *family(2))
    assert set(outcomes(done).values()) == {"Applied"}
    assert [key[:3] for key, _ in target.ledger] == ["cus", "cus", "sub", "sub"]


@pytest.mark.parametrize("cause", list(RefusalClass))
async def test_a_failed_account_does_not_let_its_subscription_go(cause: RefusalClass) -> None:
    target = LedgerTarget(refusals={"cus_1": [Refused(cause=cause, code="X", message="No.")]})
    done = await run(target, *family(1), *family(2))
    assert outcomes(done) == {"cus_1": "Refused", "sub_1": "NoneType", "cus_2": "Applied", "sub_2": "Applied"}
    waiting = next(one for one in done if one.leased.intent.key == "sub_1")
    assert (waiting.outage, waiting.cancelled) == (False, False)
    assert [key for key, _ in target.ledger] == ["cus_2", "sub_2"]


async def test_neither_does_one_whose_answer_was_lost_or_that_was_stopped() -> None:
    lost = LedgerTarget(late_errors=[AnswerLost("lost")])
    assert outcomes(await run(lost, *family(1))) == {"cus_1": "Uncertain", "sub_1": "NoneType"}
    assert [key for key, _ in lost.ledger] == ["cus_1"]
    stopped = await run(LedgerTarget(), *family(1), open_gate=opened(Stop("Paused.", final=False)))
    assert outcomes(stopped) == {"cus_1": "NoneType", "sub_1": "NoneType"}


async def test_what_holds_already_or_is_only_compared_lets_the_next_step_go() -> None:
    account, subscription = CurrentRecord(target_id="1", fields={"Name": "Example", "MRR": "12.00"}), "sub_1"
    target = LedgerTarget(records={"cus_1": account})
    assert outcomes(await run(target, *family(1))) == {"cus_1": "AlreadyApplied", subscription: "Applied"}


async def test_no_call_carries_more_than_the_target_takes() -> None:
    target = LedgerTarget(batch_max=200)
    done = await run(target, *(leased(f"cus_{n:04d}") for n in range(450)))
    assert set(outcomes(done).values()) == {"Applied"}
    assert target.calls == ["read", "write"] * 3
    assert len(target.ledger) == 450
