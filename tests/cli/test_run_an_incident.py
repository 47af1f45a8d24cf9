"""The page on incidents is true: a CRM that was away, lost writes and was edited by hand, recovered as it says."""

from __future__ import annotations

import re
import shlex
from datetime import timedelta
from pathlib import Path

from accordant.bootstrap import system_clock
from tests.cli.kit import Terminal
from tests.integration.operations.kit import MRR, Installation, an_installation
from tests.integration.operations.test_incident import damage

PAGE = "docs/howto/run-an-incident.md"


def commands(repository: Path) -> list[str]:
    text = (repository / PAGE).read_text(encoding="utf-8")
    blocks = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


async def an_outage(one: Installation) -> tuple[str, str]:
    """Two customers are there; while the CRM is away a third one buys; when it is back it lacks what was written."""
    one.clock.at = system_clock() - timedelta(minutes=30)
    one.stripe.advance_to(int(one.clock().timestamp()) - 3_600)
    first, second = one.sell(2)
    await one.settle()
    await one.salesforce.go_down()
    one.sell(1)
    await one.settle()
    assert one.salesforce.count("Account") == 2
    await one.salesforce.come_up()
    damage(one, first, second)
    return first, second


async def test_the_page_on_incidents_is_true(tmp_path: Path, repository: Path, terminal: Terminal) -> None:
    typed = commands(repository)
    async with an_installation(f"sqlite:///{tmp_path / 'store.db'}", tmp_path) as one:
        first, second = await an_outage(one)
        terminal.use(one.settings)
        since = (system_clock() - timedelta(hours=3)).isoformat(timespec="seconds")
        shown = []
        for line in typed:
            words = shlex.split(line.replace("SINCE", since).replace("incident.json", f"{tmp_path}/incident.json"))
            said = await terminal.ask(*words[1:], "--as", "Ada") if "open" in words else await terminal.ask(*words[1:])
            assert said.code == (1 if words[2] == "status" else 0), (line, said)
            shown.append(said.out)
        assert "messages and tickets still under way: 0" in shown[1]
        assert sum("here" in text for text in shown) == len([line for line in typed if "export" not in line]) - 1
        assert "and closed." in shown[-2]
        assert one.salesforce.count("Account") == 3
        assert one.salesforce.record("Account", first)[MRR] == 100.0
        assert one.salesforce.record("Account", second)["Name"] == "EXAMPLE-1"
        assert one.hub.state.switches() == frozenset()
        text = (tmp_path / "incident.json").read_text()
        assert "Salesforce was restored from a backup" in text
        assert text.count('"kind": "left"') == 7
        again = await terminal.ask("incident", "status")
        told = " ".join(again.out.split())  # a table folds what is long, column by column
        assert (again.code, "No incident is open." in told, "restored from a" in told) == (
            0,
            True,
            True,
        )


async def test_one_that_was_opened_by_mistake_is_cancelled(tmp_path: Path, terminal: Terminal) -> None:
    async with an_installation(f"sqlite:///{tmp_path / 'store.db'}", tmp_path) as one:
        terminal.use(one.settings)
        assert (await terminal.ask("incident", "cancel", "--because", "none", "--as", "Ada")).code == 2
        assert (await terminal.ask("incident", "open", "False alarm", "--as", "Ada")).code == 0
        said = await terminal.ask("incident", "cancel", "--because", "It was a drill.", "--as", "Ada")
        assert (said.code, "goes on" in said.out) == (0, True), said
        assert one.hub.state.switches() == frozenset()
        assert (await terminal.ask("incident", "status")).code == 0


async def test_what_is_in_the_way_is_said_and_nothing_is_skipped(tmp_path: Path, terminal: Terminal) -> None:
    async with an_installation(f"sqlite:///{tmp_path / 'store.db'}", tmp_path) as one:
        await an_outage(one)
        terminal.use(one.settings)
        nothing = await terminal.ask("incident", "advance")
        assert (nothing.code, "Open one with" in nothing.err) == (2, True)
        assert (await terminal.ask("incident", "open", "Lost writes")).code == 0
        twice = await terminal.ask("incident", "open", "Another")
        assert (twice.code, "Another incident is open" in twice.err) == (2, True)
        early = await terminal.ask("incident", "close")
        assert (early.code, "none can be left out" in early.out) == (1, True)
        future = await terminal.ask("incident", "export", "inc_nothing")
        assert (future.code, "no such incident" in future.err) == (2, True)
        state = (await terminal.ask("incident", "status", "--json")).json["open"]
        assert [step["state"] for step in state["rail"]] == ["here", *["ahead"] * 6]
