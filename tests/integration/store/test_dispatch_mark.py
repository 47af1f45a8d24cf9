"""The note of what was dispatched, in a file beside the store: kept whole, and asked for again while the disk fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from accordant.kernel.errors import ConfigurationError
from accordant.ports.epochs import Mark
from accordant.store.epochs import FileMarker, MarkUnreachable


def test_what_was_noted_is_read_and_nothing_else_is_taken_for_it(tmp_path: Path) -> None:
    marker, mark = FileMarker(tmp_path / "mark"), Mark(number=7, at=1_800_000_000_000_000)
    assert marker.read() is None
    marker.write(mark)
    assert marker.read() == mark
    assert [path.name for path in tmp_path.iterdir()] == ["mark"]
    (tmp_path / "mark").write_text("torn")
    with pytest.raises(ConfigurationError, match="accordant restored"):
        marker.read()


def test_a_disk_that_fails_is_come_back_to_and_nobody_is_told_to_remove_the_note(tmp_path: Path) -> None:
    marker = FileMarker(tmp_path)  # a folder can neither be read nor replaced as a file
    for attempt in (marker.read, lambda: marker.write(Mark(number=1, at=1_800_000_000_000_000))):
        with pytest.raises(MarkUnreachable) as told:
            attempt()
        assert told.value.retry_after_s == 1.0
        assert "Remove" not in str(told.value)
