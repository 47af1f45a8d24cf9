"""`accordant phase`, and the how-to about it: every command of the page is typed, in its order, between stand-ins."""

from __future__ import annotations

import re
import shlex
from datetime import UTC, datetime
from pathlib import Path

from tests.cli.kit import Said, Terminal
from tests.integration.operations.kit import an_installation

PAGE = "docs/howto/go-live-in-three-phases.md"


def blocks(text: str, kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", text, re.DOTALL)


async def test_the_how_to_is_what_happens(tmp_path: Path, repository: Path, terminal: Terminal) -> None:
    text = (repository / PAGE).read_text(encoding="utf-8")
    _, practice = blocks(text, "yaml")
    commands = [line for block in blocks(text, "console") for line in block.splitlines()]
    assert len(commands) > 10
    async with an_installation(f"sqlite:///{tmp_path}/store.db", tmp_path, more=practice) as one:
        one.clock.at = datetime.now(UTC)
        terminal.use(one.settings)
        one.hub.enforce_charter()
        one.sell(2)
        await one.settle()
        assert one.writes() == 0
        proposal, tokens = "", dict[str, str]()
        for command in commands:
            said = await typed(terminal, command, proposal, tmp_path, tokens)
            tokens |= {name: token for name in re.findall(r"people add \"(\w+)", command) for token in tokens_in(said)}
            assert said.code in {0, 1} if command.startswith("accordant reconcile") else said.code == 0, (command, said)
            proposal = next(iter(re.findall(r"ask_\w+", said.out)), proposal)
            one.clock.at = datetime.now(UTC)
            if "accordant phase approve" in command:
                await one.settle()
                assert one.writes() == 2, "each account, and no subscription"
            if "accordant phase narrow" in command:
                one.sell(1)
                await one.settle()
                assert one.writes() == 2
        assert (tmp_path / "evidence.zip").is_file()
        assert one.hub.state.switches() == frozenset()


def tokens_in(said: Said) -> list[str]:
    return re.findall(r"acd_\w{12}_[\w-]{43}", said.out)


async def typed(terminal: Terminal, command: str, proposal: str, folder: Path, tokens: dict[str, str]) -> Said:
    words = shlex.split(command.replace("PROPOSAL", proposal).replace("evidence.zip", str(folder / "evidence.zip")))
    held = ""
    if words[0].startswith("ACCORDANT_TOKEN=$"):
        held = next(token for name, token in tokens.items() if name.upper() == words[0].partition("$")[2])
        words = words[1:]
    return await terminal.holding(held).ask(*words[1:])


async def test_what_is_red_is_told_and_refuses(tmp_path: Path, repository: Path, terminal: Terminal) -> None:
    _, practice = blocks((repository / PAGE).read_text(encoding="utf-8"), "yaml")
    async with an_installation(f"sqlite:///{tmp_path}/store.db", tmp_path, more=practice) as one:
        terminal.use(one.settings)
        one.hub.enforce_charter()
        status = await terminal.ask("phase", "status", "accounts")
        assert (status.code, "not green" in status.out) == (1, True)
        asked = await terminal.ask("phase", "request", "accounts", "controlled", "--as", "Ada", "--because", "Hurry.")
        assert (asked.code, "not green" in asked.err) == (2, True)
        board = await terminal.ask("phase", "status", "--json")
        assert {line["flow"]: line["in_force"] for line in board.json["flows"]} == {
            "accounts": "read_only",
            "subscriptions": "read_only",
        }
