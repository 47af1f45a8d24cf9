"""A key that was answered is spent: what a person has put right goes out under another, and makes one record."""

from __future__ import annotations

import pytest

from accordant.canonical.intents import KEY_SPENT, Applied, RefusalClass, Refused, Uncertain, WriteOutcome
from accordant.canonical.targets import ObjectSpec
from accordant.ports.connector import AnswerLost, DestinationClass, RecordWrite
from accordant.testing.destinations import SEARCH_LAG, CallMoment, MemoryDestination
from tests.unit.pipeline.test_write_protocol import Courier, change

DECLINED = Refused(cause=RefusalClass.BUSINESS_RULE, code="card_declined", message="The card was declined.")
FAILED = Refused(cause=RefusalClass.TRANSIENT, code=KEY_SPENT, message="The first request failed on the other side.")


class Repeating(MemoryDestination):
    """Keeps whatever it answered under a key, refusals too, and refuses as long as it has something to say."""

    def __init__(self, courier: Courier, *says: Refused) -> None:
        super().__init__("crm", DestinationClass.IDEMPOTENCY_KEY, clock=lambda: courier.now, weather=courier.weather)
        self.says = list(says)
        self.sent_keys: list[str] = []
        courier.target = self

    def _answer(self, spec: ObjectSpec, record: RecordWrite) -> WriteOutcome:
        self.sent_keys.append(record.idempotency_key)
        return super()._answer(spec, record)

    def _carry_out(self, spec: ObjectSpec, record: RecordWrite) -> WriteOutcome:
        return self.says.pop(0) if self.says else super()._carry_out(spec, record)


@pytest.fixture
def courier() -> Courier:
    return Courier(DestinationClass.IDEMPOTENCY_KEY)


async def test_what_was_refused_goes_out_again_under_another_key_and_at_once(courier: Courier) -> None:
    target = Repeating(courier, DECLINED)
    assert (await courier.send(change())).outcome == DECLINED
    courier.restart()
    assert isinstance((await courier.send(change())).outcome, Applied)
    assert len(set(target.sent_keys)) == 2
    assert (courier.records, target.keys_misused) == (1, [])


async def test_a_record_that_was_there_keeps_its_own_id_through_a_refusal(courier: Courier) -> None:
    target = Repeating(courier)
    await courier.send(change())
    target.says.append(DECLINED)
    assert (await courier.send(change("Renamed", revision=2))).outcome == DECLINED
    # Its search does not show it yet; that it is not made a second time is owed to the id that is remembered.
    assert isinstance((await courier.send(change("Renamed", revision=2))).outcome, Applied)
    assert courier.records == 1


async def test_a_failure_that_is_kept_under_a_key_is_waited_out_and_then_left_behind(courier: Courier) -> None:
    target = Repeating(courier, FAILED)
    courier.faults.append((CallMoment.WRITE_ANSWER, AnswerLost("No answer came.")))
    assert isinstance((await courier.send(change())).outcome, Uncertain)
    again = await courier.send(change())
    assert again.outcome == FAILED
    waiting = await courier.send(change())
    assert waiting.outcome is None
    assert waiting.wait_s is not None
    courier.now += 2 * SEARCH_LAG
    assert isinstance((await courier.send(change())).outcome, Applied)
    assert target.sent_keys[0] == target.sent_keys[1] != target.sent_keys[2]
    assert (courier.records, target.keys_misused) == (1, [])


async def test_an_answer_that_did_not_come_keeps_its_key(courier: Courier) -> None:
    target = Repeating(courier)
    courier.faults.append((CallMoment.WRITE_ANSWER, AnswerLost("No answer came.")))
    await courier.send(change())
    courier.restart()
    await courier.send(change())
    assert len(set(target.sent_keys)) == 1
    assert courier.records == 1
