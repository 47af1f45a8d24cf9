"""Never twice, whatever a target offers against it: each of the five classes, and each moment an answer may be lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest

from accordant.canonical.intents import Applied, IntentState, Refused, Uncertain
from accordant.pipeline.deliver import Delivered, deliver
from accordant.pipeline.recognize import Recognizer
from accordant.pipeline.requests import Requests
from accordant.ports.conflicts import Found
from accordant.ports.connector import AnswerLost, DestinationClass, RateLimited
from accordant.ports.epochs import Epoch
from accordant.ports.outbox import LeasedIntent
from accordant.testing.destinations import KEY_LIFE, SEARCH_LAG, CallMoment, Lie, MemoryDestination
from tests.unit.pipeline.ledger import MAPPINGS, NOW, leased, umpires
from tests.unit.pipeline.memory import Memory, MemoryRequests

A, B, C, D, E = DestinationClass
CLASSES = pytest.mark.parametrize("kind", DestinationClass, ids=lambda kind: kind.name)
LAGGING = pytest.mark.parametrize("kind", [B, D], ids=lambda kind: kind.name)
MINUTE = timedelta(minutes=1)


@dataclass
class Courier:
    """One courier and one target of a class; ``now`` is everybody's watch."""

    kind: DestinationClass
    now: datetime = NOW
    faults: list[tuple[CallMoment, Exception]] = field(default_factory=list)
    lies: list[Lie] = field(default_factory=list)
    on_read: Callable[[], None] | None = None
    book: MemoryRequests = field(default_factory=MemoryRequests)

    def __post_init__(self) -> None:
        self.target = MemoryDestination(
            "crm",
            self.kind,
            clock=lambda: self.now,
            weather=self.weather,
            lie=lambda _: self.lies.pop(0) if self.lies else None,
        )
        self.requests = Requests(self.book, lambda: self.now)

    def weather(self, moment: CallMoment, _: int) -> None:
        if moment is CallMoment.READ_ANSWER and self.on_read is not None:
            happens, self.on_read = self.on_read, None
            happens()
        if self.faults and self.faults[0][0] is moment:
            raise self.faults.pop(0)[1]

    def restart(self) -> None:
        """A new process: what was only in memory is gone."""
        self.requests = Requests(self.book, lambda: self.now)

    async def send(self, *batch: LeasedIntent, is_settled: bool = True) -> Delivered:
        async def forget(_: Sequence[Found]) -> None:
            """Conflicts have tests of their own."""

        async def all_ours(batch: Sequence[LeasedIntent]) -> frozenset[str]:
            return frozenset(one.intent.id for one in batch)

        (done,) = await deliver(
            batch,
            outbound=self.target,
            mappings=MAPPINGS,
            umpires=umpires(),
            open_gate=lambda: lambda _, __: None,
            recognizer=Recognizer(memory=Memory(), search=None, charter="abc", clock=lambda: self.now),
            keep=forget,
            still_ours=all_ours,
            requests=self.requests,
            now=self.now,
        )
        if is_settled:
            self.book.settle(done.remember)
        return done

    @property
    def records(self) -> int:
        return len(self.target.record_ids)


def change(name: str = "Example", *, revision: int = 1, was: IntentState = IntentState.PENDING) -> LeasedIntent:
    return leased(revision=revision, was=was, Name=name)


def in_doubt(name: str = "Example", *, revision: int = 1) -> LeasedIntent:
    return change(name, revision=revision, was=IntentState.UNCERTAIN)


@CLASSES
async def test_a_record_is_made_once_and_then_changed(kind: DestinationClass) -> None:
    courier = Courier(kind)
    assert isinstance((await courier.send(change())).outcome, Applied)
    # At once, so that a search does not show it yet: it is known under its own id.
    assert isinstance((await courier.send(change("Renamed", revision=2))).outcome, Applied)
    assert courier.records == 1
    assert courier.target.fields_of(courier.target.record_ids[0]) == {"Name": "Renamed"}


@CLASSES
@pytest.mark.parametrize("moment", [CallMoment.WRITE, CallMoment.WRITE_ANSWER])
@pytest.mark.parametrize("is_settled", [True, False], ids=["told", "crashed before the answer was stored"])
async def test_an_answer_that_was_lost_is_never_read_as_failure(
    kind: DestinationClass, moment: CallMoment, is_settled: bool
) -> None:
    courier = Courier(kind, faults=[(moment, AnswerLost("No answer came."))])
    lost = await courier.send(change(), is_settled=is_settled)
    assert isinstance(lost.outcome, Uncertain)
    courier.restart()
    for _ in range(3):
        await courier.send(in_doubt())
        courier.now += MINUTE
    done = await courier.send(in_doubt())
    if kind is E:
        assert done.is_final
        assert isinstance(done.outcome, Uncertain)
        assert courier.records == (moment is CallMoment.WRITE_ANSWER)
    else:
        assert courier.records == 1
        assert courier.target.made_twice() == {}


@LAGGING
async def test_a_newer_revision_waits_until_the_doubt_of_an_older_one_is_over(kind: DestinationClass) -> None:
    courier = Courier(kind, faults=[(CallMoment.WRITE_ANSWER, AnswerLost("No answer came."))])
    await courier.send(change())
    courier.restart()
    waiting = await courier.send(in_doubt("Newer", revision=2))
    assert waiting.outcome is None
    assert waiting.wait_s is not None
    assert waiting.wait_s > SEARCH_LAG.total_seconds()
    courier.now += timedelta(seconds=waiting.wait_s)
    await courier.send(in_doubt("Newer", revision=2))
    assert courier.records == 1
    assert courier.target.fields_of(courier.target.record_ids[0]) == {"Name": "Newer"}


async def test_within_its_life_a_key_comes_again_with_the_very_same_request() -> None:
    courier = Courier(B, faults=[(CallMoment.WRITE_ANSWER, AnswerLost("No answer came."))])
    await courier.send(change())
    first = courier.book.kept["crm:Account/cus_1"].idempotency_key
    assert isinstance((await courier.send(in_doubt())).outcome, Applied)
    assert courier.book.kept["crm:Account/cus_1"].idempotency_key == first
    assert (courier.records, courier.target.keys_misused) == (1, [])


@pytest.mark.parametrize(
    "later", [KEY_LIFE - timedelta(minutes=59), KEY_LIFE + MINUTE, timedelta(days=8), timedelta(days=31)]
)
@pytest.mark.parametrize("moment", [CallMoment.WRITE, CallMoment.WRITE_ANSWER])
async def test_past_its_life_a_key_is_never_used_again_and_the_target_is_asked_first(
    later: timedelta, moment: CallMoment
) -> None:
    courier = Courier(B, faults=[(moment, AnswerLost("No answer came."))])
    await courier.send(change())
    first = courier.book.kept["crm:Account/cus_1"].idempotency_key
    courier.restart()
    courier.now += later
    for _ in range(3):
        await courier.send(in_doubt())
        courier.now += MINUTE
    assert (courier.records, courier.target.keys_misused) == (1, [])
    keys = {effect.request for effect in courier.target.effects}
    assert (first in keys) == (moment is CallMoment.WRITE_ANSWER)


async def test_another_content_of_the_same_intent_has_another_key() -> None:
    courier = Courier(B)
    await courier.send(change())
    target_id = courier.target.record_ids[0]
    courier.now += MINUTE
    courier.target.edit(target_id, "Name", "By hand")
    await courier.send(change())
    assert courier.target.keys_misused == []
    assert len({effect.request for effect in courier.target.effects}) == 2


async def test_a_taken_number_is_read_and_compared() -> None:
    courier = Courier(C)
    # Somebody else makes it between our read and our write.
    courier.on_read = lambda: courier.target.make("Account", "cus_1", {"Name": "Theirs"})
    refused = await courier.send(change())
    assert isinstance(refused.outcome, Refused)
    assert refused.outcome.code == "ALREADY_THERE"
    assert isinstance((await courier.send(change())).outcome, Applied)
    assert courier.records == 1
    assert courier.target.fields_of(courier.target.record_ids[0]) == {"Name": "Example"}


async def test_where_nothing_can_be_asked_a_passing_refusal_may_have_been_a_success() -> None:
    courier = Courier(E, lies=[Lie.FAILED])
    done = await courier.send(change())
    assert (done.is_final, courier.records) == (True, 1)
    again = await courier.send(in_doubt())
    assert (again.is_final, courier.records) == (True, 1)


@CLASSES
async def test_a_call_that_was_not_begun_leaves_no_doubt(kind: DestinationClass) -> None:
    courier = Courier(kind, faults=[(CallMoment.WRITE, RateLimited("Slow down."))])
    assert (await courier.send(change())).outcome is None
    assert isinstance((await courier.send(change())).outcome, Applied)
    assert courier.records == 1


async def test_after_a_restore_nobody_writes_again_what_cannot_be_asked_for() -> None:
    courier = Courier(E)
    courier.requests.epoch = Epoch(number=1, noticed_at=NOW, reconciled_at=NOW)
    before = leased(said_at=NOW - MINUTE, Name="Example")
    assert (await courier.send(before)).is_final
    since = leased(said_at=NOW + MINUTE, Name="Example")
    assert isinstance((await courier.send(since)).outcome, Applied)


async def test_a_watch_that_is_behind_does_not_take_what_was_written_for_new() -> None:
    """The restore was noticed by a machine a year behind; the source had been heard up to now, by its own clock."""
    courier = Courier(E)
    year = timedelta(days=365)
    courier.requests.epoch = Epoch(number=1, noticed_at=NOW - year, reconciled_at=NOW - year, said_to=NOW)
    assert (await courier.send(leased(said_at=NOW - MINUTE, Name="Example"))).is_final
    since = leased(said_at=NOW + MINUTE, Name="Example")
    assert isinstance((await courier.send(since)).outcome, Applied)


@pytest.mark.parametrize("kind", [A, B, C, D])
async def test_after_a_restore_no_key_of_before_is_used(kind: DestinationClass) -> None:
    """Not that of the time before it, and of one copy that was put back twice not that of the first time either."""
    courier = Courier(kind)
    await courier.send(change())
    for minutes in (1, 2):
        forgotten = Courier(kind)
        courier.now = forgotten.now = NOW + minutes * MINUTE
        forgotten.target = courier.target
        forgotten.requests.epoch = Epoch(number=1, noticed_at=forgotten.now, reconciled_at=forgotten.now)
        await forgotten.send(change(f"Other {minutes}"))
    assert len({effect.request for effect in courier.target.effects}) == 3
    assert courier.records == 1
