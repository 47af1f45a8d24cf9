"""Group commit: everybody is answered with what became of their own item, whatever happens to the others."""

import asyncio
import threading
from collections.abc import Sequence

import pytest

from accordant.kernel.errors import InvariantBroken
from accordant.runtime.group_commit import GROUP_MAX, GroupCommit, QueueFull, Stopping

_WAIT_S = 20


class Disk:
    """A store that keeps what it is given, and holds a commit back until it is let go."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.entered = threading.Semaphore(0)
        self.free = threading.Event()
        self.free.set()
        self.error: Exception | None = None
        self.forgets = 0

    async def store(self, items: Sequence[int]) -> Sequence[str]:
        return await asyncio.to_thread(self._store, items)

    def _store(self, items: Sequence[int]) -> Sequence[str]:
        self.entered.release()
        assert self.free.wait(_WAIT_S)
        if self.error is not None:
            raise self.error
        self.groups.append(list(items))
        return [f"stored {item}" for item in items][self.forgets :]

    async def wait_until_entered(self) -> None:
        assert await asyncio.to_thread(self.entered.acquire, timeout=_WAIT_S)


def _start(disk: Disk, *, waiting_max: int = 10_000) -> GroupCommit[int, str]:
    return GroupCommit(disk.store, waiting_max=waiting_max)


async def _submit(commit: GroupCommit[int, str], item: int) -> str:
    """Hand an item in and wait for what becomes of it."""
    future: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def told(answer: str | Exception) -> None:
        if future.done():
            return
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)

    commit.hand_in(item, told)
    return await future


async def _until_waiting(count: int, tasks: Sequence[asyncio.Task[str]]) -> None:
    """Let the tasks run until each has handed its item over."""
    for _ in range(count + 1):
        await asyncio.sleep(0)
    assert not any(task.done() for task in tasks)


async def test_everybody_gets_the_answer_to_their_own_item() -> None:
    disk = Disk()
    commit = _start(disk)
    answers = await asyncio.gather(*(_submit(commit, item) for item in range(2000)))
    await commit.stop()
    assert answers == [f"stored {item}" for item in range(2000)]
    assert [item for group in disk.groups for item in group] == list(range(2000))
    assert max(map(len, disk.groups)) <= GROUP_MAX


async def test_what_comes_during_a_commit_shares_the_next() -> None:
    disk = Disk()
    disk.free.clear()
    commit = _start(disk)
    first = asyncio.create_task(_submit(commit, 0))
    await disk.wait_until_entered()
    others = [asyncio.create_task(_submit(commit, item)) for item in range(1, GROUP_MAX + 3)]
    await _until_waiting(1, others)
    disk.free.set()
    await asyncio.gather(first, *others)
    await commit.stop()
    assert [len(group) for group in disk.groups] == [1, GROUP_MAX, 2]


async def test_an_error_reaches_everybody_of_the_group_and_nobody_after_it() -> None:
    disk = Disk()
    disk.free.clear()
    disk.error = OSError("disk full")
    commit = _start(disk)
    waiting = [asyncio.create_task(_submit(commit, item)) for item in range(5)]
    await disk.wait_until_entered()
    disk.free.set()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [str(result) for result in results] == ["disk full"] * 5
    disk.error = None
    assert await _submit(commit, 9) == "stored 9"
    await commit.stop()


async def test_a_store_that_forgets_an_answer_leaves_nobody_waiting() -> None:
    disk = Disk()
    disk.forgets = 1
    commit = _start(disk)
    with pytest.raises(InvariantBroken, match="answered 0 of 1"):
        await asyncio.wait_for(_submit(commit, 1), _WAIT_S)
    await commit.stop()


async def test_more_than_the_bound_is_turned_away_at_once() -> None:
    disk = Disk()
    disk.free.clear()
    commit = _start(disk, waiting_max=3)
    first = asyncio.create_task(_submit(commit, 0))
    await disk.wait_until_entered()
    waiting = [asyncio.create_task(_submit(commit, item)) for item in (1, 2, 3)]
    await _until_waiting(1, waiting)
    with pytest.raises(QueueFull) as refusal:
        await _submit(commit, 4)
    assert refusal.value.retry_after_s == 1.0
    disk.free.set()
    assert await asyncio.gather(first, *waiting) == ["stored 0", "stored 1", "stored 2", "stored 3"]
    assert await _submit(commit, 5) == "stored 5"
    await commit.stop()


async def test_stopping_stores_what_waits_and_takes_nothing_new() -> None:
    disk = Disk()
    disk.free.clear()
    commit = _start(disk)
    first = asyncio.create_task(_submit(commit, 0))
    await disk.wait_until_entered()
    waiting = [asyncio.create_task(_submit(commit, item)) for item in (1, 2)]
    await _until_waiting(1, waiting)
    stopping = asyncio.create_task(commit.stop())
    await asyncio.sleep(0)
    with pytest.raises(Stopping):
        await _submit(commit, 3)
    disk.free.set()
    await stopping
    assert await asyncio.gather(first, *waiting) == ["stored 0", "stored 1", "stored 2"]
    assert [item for group in disk.groups for item in group] == [0, 1, 2]


async def test_a_caller_who_leaves_disturbs_nobody() -> None:
    disk = Disk()
    disk.free.clear()
    commit = _start(disk)
    waiting = [asyncio.create_task(_submit(commit, item)) for item in range(3)]
    await disk.wait_until_entered()
    waiting[1].cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting[1]
    disk.free.set()
    assert list(await asyncio.gather(waiting[0], waiting[2])) == ["stored 0", "stored 2"]
    await commit.stop()
    # What the caller brought is stored all the same: it had been handed over.
    assert [item for group in disk.groups for item in group] == [0, 1, 2]


async def test_one_who_cannot_take_the_answer_keeps_it_from_nobody_else() -> None:
    told: list[str | Exception] = []
    complaints: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(str(context["exception"])))
    disk = Disk()
    disk.free.clear()
    commit = _start(disk)

    def cannot(answer: str | Exception) -> None:
        raise ValueError(f"cannot take {answer}")

    commit.hand_in(0, told.append)
    await disk.wait_until_entered()
    commit.hand_in(1, cannot)
    commit.hand_in(2, told.append)
    disk.free.set()
    await commit.stop()
    for _ in range(3):
        await asyncio.sleep(0)
    assert told == ["stored 0", "stored 2"]
    assert complaints == ["cannot take stored 1"]


async def test_an_idle_commit_stops_at_once() -> None:
    commit = _start(Disk())
    await asyncio.wait_for(commit.stop(), _WAIT_S)


async def test_with_two_hands_one_group_is_stored_while_the_next_one_waits_for_the_disk() -> None:
    disk = Disk()
    disk.free.clear()
    commit = GroupCommit(disk.store, waiting_max=10_000, hands=2)
    first = asyncio.create_task(_submit(commit, 1))
    await disk.wait_until_entered()
    second = asyncio.create_task(_submit(commit, 2))
    await disk.wait_until_entered()  # both are in the store at once
    disk.free.set()
    assert [await first, await second] == ["stored 1", "stored 2"]
    answers = await asyncio.gather(*(_submit(commit, item) for item in range(2000)))
    await commit.stop()
    assert answers == [f"stored {item}" for item in range(2000)]
    assert sorted(item for group in disk.groups for item in group) == sorted([1, 2, *range(2000)])
