"""Rehearsals that were ordered: held by whoever comes first, resumed after an interruption, stopped, or refused."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from accordant.bootstrap import Hub
from accordant.canonical.rehearsal import Rehearsal, RehearsalOrder, RehearsalTicket
from accordant.kernel.errors import RejectedError
from accordant.operations import rehearse as rehearsing
from accordant.operations.rehearse import RehearsalStopped
from accordant.store.charter_folder import CharterInvalid
from accordant.views.rehearsal import rehearsal, rehearsal_differences
from tests.integration.operations.test_rehearse import CHANGES, lived, proposal
from tests.integration.pipeline.kit import Rooms

SMALL = 50


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several batches out of a short past."""
    monkeypatch.setattr(rehearsing, "BATCH", SMALL)


def ordered(walk: Rooms, proposed: Hub, order: RehearsalOrder | None = None) -> str:
    """An order as the console places it, for the charter of another hub."""
    walk.clock.move(seconds=1)
    ticket = RehearsalTicket(
        id=f"reh_{walk.clock().timestamp():.0f}",
        folder="proposal",
        before=walk.hub.charter.version,
        after=proposed.charter.version,
        actor="Ada",
        ordered_at=walk.clock(),
        order=order or RehearsalOrder(),
    )
    walk.hub.rehearsals.book.order(ticket)
    return ticket.id


def told(found: Rehearsal) -> dict[str, object]:
    """A result without what differs between two rehearsals of the same."""
    kept = msgspec.to_builtins(found)
    return {name: value for name, value in kept.items() if name not in {"id", "started_at", "finished_at"}}


class Interrupted(Exception):
    """The process was stopped."""


def test_what_was_interrupted_goes_on_and_comes_to_the_same(store_url: str, tmp_path: Path) -> None:
    with lived(store_url, tmp_path) as walk, proposal(walk, CHANGES["another source"](walk.hub.charter)) as other:
        whole = other.rehearsals.rehearse(RehearsalOrder(), actor="Ada")
        run_id = ordered(walk, other)
        seen: list[tuple[int, int]] = []

        def give_up(done: int, total: int) -> None:
            seen.append((done, total))
            if len(seen) == 3:
                raise Interrupted

        with pytest.raises(Interrupted):
            other.rehearsals.hold(run_id, progress=give_up)
        line = rehearsal(walk.hub.database, run_id)
        assert line is not None
        assert line.progress is not None
        assert (line.is_open, line.progress.done, line.progress.total) == (True, *seen[-1])
        assert line.progress.done < line.progress.total
        went_on: list[int] = []
        walk.clock.move(minutes=10)
        found = other.rehearsals.hold(run_id, progress=lambda done, _: went_on.append(done))
        assert went_on[0] > seen[-1][0], "history is not walked from its beginning again"
        assert told(found) == told(whole)
        assert rehearsal_differences(walk.hub.database, run_id).differences == (
            rehearsal_differences(walk.hub.database, whole.id).differences
        )
        assert other.rehearsals.book.next_order() is None
        assert not list(walk.hub.settings.home.glob("rehearsal-*"))


def test_whoever_lost_the_scratch_begins_again(tmp_path: Path) -> None:
    with lived(f"sqlite:///{tmp_path / 's.db'}", tmp_path) as walk, proposal(walk, walk.hub.charter) as other:
        run_id = ordered(walk, other)

        def give_up(_done: int, _total: int) -> None:
            raise Interrupted

        with pytest.raises(Interrupted):
            other.rehearsals.hold(run_id, progress=give_up)
        for left in walk.hub.settings.home.glob("rehearsal-*/*"):
            left.unlink()
        found = other.rehearsals.hold(run_id)
        assert (found.differences, found.unlike, found.events > SMALL) == (0, 0, True)


def test_one_that_is_stopped_ends_where_it_is(tmp_path: Path) -> None:
    with lived(f"sqlite:///{tmp_path / 's.db'}", tmp_path) as walk, proposal(walk, walk.hub.charter) as other:
        run_id = ordered(walk, other)
        desk = walk.hub.rehearsals
        with pytest.raises(RehearsalStopped):
            other.rehearsals.hold(run_id, progress=lambda _done, _total: _stop(walk, run_id))
        line = rehearsal(walk.hub.database, run_id)
        assert line is not None
        assert (line.problem, line.result, line.is_open) == ("Bo stopped it.", None, False)
        assert not desk.stop(run_id, actor="Bo")
        with pytest.raises(RejectedError, match="waits"):
            other.rehearsals.hold(run_id)
        assert not list(walk.hub.settings.home.glob("rehearsal-*"))


def _stop(walk: Rooms, run_id: str) -> None:
    walk.hub.rehearsals.stop(run_id, actor="Bo")


def test_another_charter_than_was_ordered_is_not_rehearsed(tmp_path: Path) -> None:
    with lived(f"sqlite:///{tmp_path / 's.db'}", tmp_path) as walk, proposal(walk, walk.hub.charter) as other:
        run_id = ordered(walk, other)
        with (
            proposal(walk, CHANGES["a flow less"](walk.hub.charter)) as changed,
            pytest.raises(RejectedError, match="by now, not"),
        ):
            changed.rehearsals.hold(run_id)
        line = rehearsal(walk.hub.database, run_id)
        assert line is not None
        assert "by now, not" in (line.problem or "")


def test_folders_are_named_and_never_reached_by_a_path(tmp_path: Path) -> None:
    with lived(f"sqlite:///{tmp_path / 's.db'}", tmp_path) as walk:
        desk, own = walk.hub.rehearsals, walk.hub.settings.charter
        beside = own.parent / "beside"
        beside.mkdir()
        (beside / "charter.yaml").write_text("company: 3\n", encoding="utf-8")
        (own.parent / "empty").mkdir()
        (own.parent / "link").symlink_to(beside)
        assert desk.folders() == (own.name, "beside")
        for name in ("../beside", str(beside), "link", "empty", "", "nothing"):
            with pytest.raises(RejectedError, match="no charter"):
                desk.order(name, RehearsalOrder(), actor="Ada")
        with pytest.raises(CharterInvalid, match=r"charter\.yaml"):
            desk.order("beside", RehearsalOrder(), actor="Ada")
        assert desk.book.next_order() is None
        run_id = desk.order(own.name, RehearsalOrder(quick=True), actor="Ada")
        assert walk.hub.rehearsals.hold(run_id).differences == 0
