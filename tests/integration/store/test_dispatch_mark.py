"""The note of what was dispatched, in a file beside the store: kept whole, and asked for again while the disk fails."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from accordant.kernel.errors import ConfigurationError
from accordant.ports.epochs import Note
from accordant.store.epochs import FileMarker, MarkUnreachable


def test_what_was_noted_is_read_and_nothing_else_is_taken_for_it(tmp_path: Path) -> None:
    marker, note = FileMarker(tmp_path / "mark"), Note(number=7, at=1_800_000_000_000_000)
    assert marker.read() is None
    marker.write(note)
    assert marker.read() == note
    assert [path.name for path in tmp_path.iterdir()] == ["mark"]
    (tmp_path / "mark").write_text("torn")
    with pytest.raises(ConfigurationError, match="accordant restored"):
        marker.read()


def test_a_note_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    (tmp_path / "mark").write_text('{"number":7,"at":1800000000000000}')
    assert FileMarker(tmp_path / "mark").read() == Note(number=7, at=1_800_000_000_000_000)


def test_one_looks_at_a_time(tmp_path: Path) -> None:
    """As two processes do: each opens the lock by itself. Whoever reads and writes has the note for himself."""
    counted = 0

    def count_on() -> None:
        nonlocal counted
        for _ in range(50):
            marker = FileMarker(tmp_path / "mark")
            with marker.alone():
                note = marker.read() or Note(number=0, at=0)
                counted += 1
                marker.write(Note(number=note.number + 1, at=0))

    threads = [threading.Thread(target=count_on) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert (FileMarker(tmp_path / "mark").read() or Note(0, 0)).number == counted == 200


def test_a_disk_that_fails_is_come_back_to_and_nobody_is_told_to_remove_the_note(tmp_path: Path) -> None:
    marker = FileMarker(tmp_path)  # a folder can neither be read nor replaced as a file
    for attempt in (marker.read, lambda: marker.write(Note(number=1, at=1_800_000_000_000_000))):
        with pytest.raises(MarkUnreachable) as told:
            attempt()
        assert told.value.retry_after_s == 1.0
        assert "Remove" not in str(told.value)
