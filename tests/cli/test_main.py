"""The net under every command: help, exit codes, and problems told as sentences."""

from __future__ import annotations

from pathlib import Path

import pytest

from accordant.bench.main import BENCHMARKS
from accordant.cli import main
from accordant.cli.main import exit_code, run
from accordant.kernel.errors import (
    AccordantError,
    ConfigurationError,
    HoldError,
    InvariantBroken,
    RejectedError,
    TransientError,
)
from tests.cli.kit import Terminal

COMMANDS = (
    "audit", "bench", "charter", "check", "demo", "init", "pause", "reconcile", "redrive", "resume", "serve", "status",
    "trace", "version", "why",
)  # fmt: skip


@pytest.mark.parametrize("words", [(), ("--help",)])
def test_help_names_every_command_and_the_exit_codes(terminal: Terminal, words: tuple[str, ...]) -> None:
    said = terminal.do(*words)
    assert said.code == 0
    for command in COMMANDS:
        assert f" {command} " in said.out
    assert "Exit codes" in said.out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(terminal: Terminal, command: str) -> None:
    said = terminal.do(command, "--help")
    assert said.code == 0
    assert "Usage: accordant" in said.out


@pytest.mark.parametrize(
    "words", [("reconcile", "--bogus"), ("why",), ("serve", "--port", "many"), ("audit", "shred"), ("bench",)]
)
def test_wrong_use_is_told_and_exits_with_2(terminal: Terminal, words: tuple[str, ...]) -> None:
    said = terminal.do(*words)
    assert (said.code, said.out) == (2, "")
    assert said.err.strip()


@pytest.mark.parametrize("words", [("status",), ("trace", "evt_1"), ("evt_1",), ("why", "a:B/c"), ("audit", "verify")])
def test_without_a_store_the_next_step_is_told(terminal: Terminal, tmp_path: Path, words: tuple[str, ...]) -> None:
    said = terminal.do(*words, "--home", str(tmp_path / "nowhere"))
    assert said.code == 2
    assert "There is no store at" in said.err
    assert "accordant serve" in said.err
    assert not (tmp_path / "nowhere").exists()


def test_a_wrong_setting_is_named_with_its_remedy(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCORDANT_PORT", "eighty")
    said = terminal.do("status")
    assert said.code == 2
    assert "ACCORDANT_PORT is 'eighty'" in said.err
    assert "0 to 65535" in said.err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigurationError("x"), 2),
        (RejectedError("x"), 2),
        (TransientError("x"), 3),
        (HoldError("x"), 3),
        (InvariantBroken("x"), 3),
    ],
)
def test_the_kind_of_an_error_is_its_exit_code(error: AccordantError, code: int) -> None:
    assert exit_code(error) == code


def test_what_nobody_foresaw_is_a_sentence_and_with_debug_the_whole_of_it(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> int:
        raise ZeroDivisionError("a secret of the inside")

    monkeypatch.setattr(main, "app", broken)
    said = terminal.do("version")
    assert said.code == 3
    assert "ZeroDivisionError" in said.err
    assert "a secret of the inside" not in said.err
    assert "--debug" in said.err
    with pytest.raises(ZeroDivisionError):
        run(["version", "--debug"])


def test_debug_shows_where_a_refusal_came_from(tmp_path: Path, terminal: Terminal) -> None:
    with pytest.raises(ConfigurationError):
        run(["--debug", "status", "--home", str(tmp_path / "nowhere")])


def test_version_as_text_and_as_json(terminal: Terminal) -> None:
    number = terminal.do("version", "--json").json["version"]
    assert terminal.do("version").out == f"Accordant {number}\n"
    assert terminal.do("--version").out == f"Accordant {number}\n"


def test_an_unknown_benchmark_is_told_with_those_there_are(terminal: Terminal) -> None:
    said = terminal.do("bench", "speed")
    assert said.code == 2
    told = terminal.do("bench", "--help").out
    assert all(name in said.err and name in told for name in BENCHMARKS)
