"""Several couriers and processes count and note at once: nobody takes their work for a store that was put back."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from accordant.kernel.clock import to_micros
from accordant.operations.epoch_watch import EpochWatch, StorePutBack
from accordant.ports.epochs import NEVER_RESTORED, Epoch, Mark, Note

NOW = datetime(2026, 11, 30, tzinfo=UTC)
#: How long a courier stands still between its look at the store and what it makes of it.
STANDS_S = 0.3


class Book:
    """A store whose mark counts on. Its first reader stands still once it has looked."""

    def __init__(self) -> None:
        self.number = 5
        self.began = 0
        self.said_to: datetime | None = None
        self.looked = threading.Event()
        self.noted = threading.Event()

    def current(self) -> tuple[Epoch, Mark]:
        mark = Mark(number=self.number, at=self.number)
        if not self.looked.is_set():
            self.looked.set()
            self.noted.wait(STANDS_S)
        return NEVER_RESTORED, mark

    def begin(self, *, said_to: datetime | None, **_said: Any) -> Epoch:
        self.began += 1
        self.said_to = said_to
        return NEVER_RESTORED


class File:
    """The file beside the store."""

    def __init__(self, book: Book, note: Note | None) -> None:
        self.note = note
        self._book = book
        self._lock = threading.Lock()

    @contextmanager
    def alone(self) -> Iterator[None]:
        with self._lock:
            yield

    def read(self) -> Note | None:
        return self.note

    def write(self, note: Note) -> None:
        self.note = note
        self._book.noted.set()


class Busy(Book):
    """A store and its note, on which another process counts between any two looks of ours."""

    def current(self) -> tuple[Epoch, Mark]:
        self.number += 1
        return NEVER_RESTORED, Mark(number=self.number, at=self.number)

    @staticmethod
    def alone() -> AbstractContextManager[None]:
        return nullcontext()

    def read(self) -> Note:
        self.number += 1
        return Note(number=self.number, at=self.number)

    def write(self, _note: Note) -> None:
        raise AssertionError("nothing was taken up")


def watch(book: Any, note: Any) -> EpochWatch:
    nothing: Any = None
    return EpochWatch(book, note, outbounds={}, rulebook=lambda: nothing, clock=lambda: NOW, lease_clock=lambda: NOW)


async def test_a_courier_that_counts_on_while_another_looks_is_no_restore() -> None:
    book = Book()
    note = File(book, Note(number=5, at=5))
    one = watch(book, note)
    looking = asyncio.create_task(one.look())
    await asyncio.to_thread(book.looked.wait)
    book.number = 6
    await one.keep_mark()
    assert not (await looking).is_open
    assert book.began == 0
    assert note.note == Note(number=6, at=6)


async def test_another_process_that_counts_on_while_this_one_starts_is_no_restore() -> None:
    busy = Busy()
    assert not (await watch(busy, busy).look()).is_open
    assert busy.began == 0


async def test_a_note_that_is_ahead_of_the_store_still_is_one() -> None:
    book = Book()
    await watch(book, File(book, Note(number=9, at=9))).look()
    assert book.began == 1


async def test_of_two_processes_the_slower_does_not_put_the_note_back() -> None:
    """Both have taken something up. Who looked first writes last: an older note would hide a store put back to it."""
    book = Book()
    note = File(book, Note(number=4, at=4))
    slow, quick = watch(book, note), watch(book, note)
    keeping = asyncio.create_task(slow.keep_mark())
    await asyncio.to_thread(book.looked.wait)
    book.number = 6
    await quick.keep_mark()
    await keeping
    assert note.note == Note(number=6, at=6)


async def test_what_was_taken_up_from_a_store_that_was_put_back_meanwhile_is_not_sent() -> None:
    book = Book()
    book.looked.set()
    note = File(book, Note(number=4, at=4))
    one = watch(book, note)
    assert not (await one.look()).is_open
    await one.keep_mark(NOW)
    assert note.note == Note(number=5, at=5, said_to=to_micros(NOW))
    book.number = 3
    with pytest.raises(StorePutBack):
        await one.keep_mark(NOW)
    assert note.note == Note(number=5, at=5, said_to=to_micros(NOW))
    await one.look()
    assert book.began == 1


async def test_how_far_sources_were_heard_never_goes_back_and_is_told_to_the_epoch() -> None:
    book = Book()
    book.looked.set()
    note = File(book, None)
    one = watch(book, note)
    for moment in (NOW, NOW - timedelta(days=3), None):
        book.number += 1
        await one.keep_mark(moment)
        assert note.note is not None
        assert note.note.said_to == to_micros(NOW)
    book.number = 1
    await one.look()
    assert book.said_to == NOW
