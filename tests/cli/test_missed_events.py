"""The page on missed events is true: its commands run on a real hub beside a stand-in, and do what it says."""

from __future__ import annotations

import re
from pathlib import Path

from accordant.bootstrap import system_clock
from tests.cli.kit import Terminal
from tests.integration.operations.kit import Installation, an_installation

FOUND = 1


def commands(repository: Path) -> list[list[str]]:
    text = (repository / "docs" / "howto" / "missed-events.md").read_text(encoding="utf-8")
    return [line.split()[1:] for line in re.findall(r"^accordant .*$", text, re.MULTILINE)]


def today(one: Installation) -> None:
    """Commands run by the real time, so the stand-in's events happen at the real time too."""
    one.clock.at = system_clock()
    one.stripe.advance_to(int(one.clock().timestamp()) - 3_600)


async def test_the_page_on_missed_events_is_true(tmp_path: Path, repository: Path, terminal: Terminal) -> None:
    plain, dated, compared, adopting = commands(repository)
    async with an_installation(f"sqlite:///{tmp_path / 'store.db'}", tmp_path) as one:
        today(one)
        one.sell(1)
        await one.settle()
        one.sell(1)
        lost = len(list(one.events()))
        terminal.use(one.settings)
        found = await terminal.ask(*plain, "--json")
        assert found.code == FOUND
        assert sum(found.json["sweeps"][0]["found"].values()) == lost
        day = (system_clock().date()).isoformat()
        again = await terminal.ask(*(day if word == "DAY" else word for word in dated))
        assert (again.code, "all of them had arrived" in again.out) == (0, True)
        while one.hub.process_round():
            one.clock.move(seconds=1)
        assert "customers" not in (await terminal.ask(*compared)).err
        url = "http://127.0.0.1:9/webhooks/stripe"
        made = one.stripe.add_webhook(url, api_version="2026-10-28.endive")
        adopted = await terminal.ask(*(url if word == "ADDRESS" else word for word in adopting))
        assert (adopted.code, made["id"] in adopted.out) == (0, True), adopted
        assert "switched off" not in (await terminal.ask("check")).out
        one.stripe.book.table("webhook_endpoint")[made["id"]]["status"] = "disabled"
        told = await terminal.ask("check")
        assert (told.code, "switched off" in told.out) == (FOUND, True)


async def test_a_system_without_a_list_and_a_day_that_is_none_are_named(tmp_path: Path, terminal: Terminal) -> None:
    async with an_installation(f"sqlite:///{tmp_path / 'store.db'}", tmp_path) as one:
        terminal.use(one.settings)
        refused = await terminal.ask("sweep", "salesforce")
        assert (refused.code, "Systems that do, with their API key set: stripe" in refused.err) == (2, True)
        assert "is no day and no instant" in (await terminal.ask("sweep", "--since", "yesterday")).err
