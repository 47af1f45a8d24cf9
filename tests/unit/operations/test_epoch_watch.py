"""Several couriers and processes count and note at once: nobody takes their work for a store that was put back."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime
from typing import Any

from accordant.operations.epoch_watch import EpochWatch
from accordant.ports.epochs import NEVER_RESTORED, Epoch, Mark

NOW = datetime(2026, 11, 30, tzinfo=UTC)
#: How long a courier stands still between its look at the store and what it makes of it.
STANDS_S = 0.3


class Book:
    """A store whose mark counts on. Its first reader stands still once it has looked."""

    def __init__(self) -> None:
        self.number = 5
        self.began = 0
        self.looked = threading.Event()
        self.noted = threading.Event()

    def current(self) -> tuple[Epoch, Mark]:
        mark = Mark(number=self.number, at=self.number)
        if not self.looked.is_set():
            self.looked.set()
            self.noted.wait(STANDS_S)
        return NEVER_RESTORED, mark

    def begin(self, **_said: Any) -> Epoch:
        self.began += 1
        return NEVER_RESTORED


class Note:
    """The file beside the store."""

    def __init__(self, book: Book, mark: Mark | None) -> None:
        self.mark = mark
        self._book = book

    def read(self) -> Mark | None:
        return self.mark

    def write(self, mark: Mark) -> None:
        self.mark = mark
        self._book.noted.set()


class Busy(Book):
    """A store and its note, on which another process counts between any two looks of ours."""

    def current(self) -> tuple[Epoch, Mark]:
        self.number += 1
        return NEVER_RESTORED, Mark(number=self.number, at=self.number)

    def read(self) -> Mark:
        self.number += 1
        return Mark(number=self.number, at=self.number)

    def write(self, _mark: Mark) -> None:
        raise AssertionError("nothing was taken up")


def watch(book: Any, note: Any) -> EpochWatch:
    nothing: Any = None
    return EpochWatch(book, note, outbounds={}, rulebook=lambda: nothing, clock=lambda: NOW, lease_clock=lambda: NOW)


async def test_a_courier_that_counts_on_while_another_looks_is_no_restore() -> None:
    book = Book()
    note = Note(book, Mark(number=5, at=5))
    one = watch(book, note)
    looking = asyncio.create_task(one.look())
    await asyncio.to_thread(book.looked.wait)
    book.number = 6
    await one.keep_mark()
    assert not (await looking).is_open
    assert book.began == 0
    assert note.mark == Mark(number=6, at=6)


async def test_another_process_that_counts_on_while_this_one_starts_is_no_restore() -> None:
    busy = Busy()
    assert not (await watch(busy, busy).look()).is_open
    assert busy.began == 0


async def test_a_note_that_is_ahead_of_the_store_still_is_one() -> None:
    book = Book()
    await watch(book, Note(book, Mark(number=9, at=9))).look()
    assert book.began == 1
