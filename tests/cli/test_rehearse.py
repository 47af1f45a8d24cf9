"""`accordant rehearse`, and the how-to that explains it: every command in it is run, and says what it promises."""

from __future__ import annotations

import json
import os
import random
import shlex
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from accordant.bootstrap import checked_charter
from accordant.settings import Settings, read_settings
from accordant.store.charters import CharterShelf
from accordant.store.engine import Database
from tests.cli.kit import Terminal
from tests.integration.pipeline.kit import a_past, in_order, rooms

COMMAND = "accordant "


@pytest.fixture
def proposal(tmp_path: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation with a past, and a copy of its charter in the folder the terminal stands in."""
    past = a_past(accounts=4, months=6, seed=1)
    store = f"sqlite:///{tmp_path / 'store.db'}"
    with rooms(store, tmp_path, at=past.ended_at, past=past) as walk:
        walk.hub.enforce_charter()
        walk.accept(in_order(past))
        walk.finish(random.Random(1))
        settings = walk.hub.settings
    terminal.use(Settings(home=settings.home, charter=settings.charter, store=store))
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(settings.charter, tmp_path / "proposal"))


def change(proposal: Path) -> None:
    """The proposal compares accounts and writes them no more."""
    path = proposal / "accordant.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("phase: controlled", "phase: read_only", 1), encoding="utf-8")


def commands(repository: Path) -> list[list[str]]:
    text = (repository / "docs" / "howto" / "rehearse-a-change.md").read_text(encoding="utf-8")
    blocks = text.split("```")[1::2]
    return [
        shlex.split(line.removeprefix(COMMAND))
        for block in blocks
        for line in block.strip().splitlines()
        if line.startswith(COMMAND)
    ]


def test_the_how_to_does_what_it_says(terminal: Terminal, proposal: Path, repository: Path) -> None:
    found = commands(repository)
    assert len(found) == 5
    for words in found:
        same = terminal.do(*words)
        assert same.code == 0, (words, same.err)
    change(proposal)
    for words in found:
        said = terminal.do(*words)
        assert said.code == (1 if "--fail-on-difference" in words else 0), (words, said.err)
        if "--json" in words:
            assert said.json["walked"] is True
        else:
            assert "Nothing was sent, and nothing came into force." in said.out
    lines = (proposal.parent / "differences.jsonl").read_text(encoding="utf-8").splitlines()
    kept = [json.loads(line) for line in lines]
    assert kept
    assert {one["kind"] for one in kept} == {"withheld"}
    assert {one["is_sent"] for one in kept} == {False}
    assert not list(proposal.parent.glob("*.part"))


def test_nothing_is_walked_when_nobody_asks_for_it(terminal: Terminal, proposal: Path) -> None:
    quick = terminal.do("rehearse", "--charter", str(proposal), "--quick")
    assert (quick.code, "Nothing would differ in" in quick.out, "Quick:" in quick.out) == (0, True, True)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--since", "yesterday"), "is no day and no instant"),
        (("--sample", "-1"), "0 differences or more"),
        (("--flow", "nobody"), "Neither charter has a flow"),
        (("--quick", "--until", "2026-01-01"), "cannot end in the past"),
        (("--out", "nowhere/differences.jsonl"), "cannot be written"),
    ],
)
def test_a_wrong_order_is_refused_in_a_sentence(
    terminal: Terminal, proposal: Path, words: tuple[str, ...], sentence: str
) -> None:
    said = terminal.do("rehearse", "--charter", str(proposal), *words)
    assert (said.code, sentence in said.err) == (2, True), said


def test_a_charter_that_needs_a_second_person_is_rehearsed_before_anybody_approves_it(
    terminal: Terminal, proposal: Path
) -> None:
    path = proposal / "accordant.yaml"
    text = path.read_text(encoding="utf-8") + "\nphases:\n  approvers: [Ada, Bo]\n"
    path.write_text(text, encoding="utf-8")
    settings = read_settings(os.environ, charter="proposal")
    shelf = CharterShelf(Database(settings.store))
    shelf.remember(checked_charter(settings), now=datetime.now(UTC))
    named = shelf.in_force()
    path.write_text(text.replace("phase: controlled", "phase: read_only"), encoding="utf-8")
    changed = terminal.do("rehearse", "--charter", "proposal", "--json")
    assert changed.json["before"] == named
    assert changed.json["after"] != named, "not the charter in force against itself"
    assert changed.json["differences"] > 0


def test_a_charter_that_is_wrong_is_not_rehearsed_as_another(terminal: Terminal, proposal: Path) -> None:
    (proposal / "accordant.yaml").write_text("company: 3\n", encoding="utf-8")
    said = terminal.do("rehearse", "--charter", "proposal")
    assert (said.code, "accordant.yaml" in said.err, said.out) == (2, True, "")
