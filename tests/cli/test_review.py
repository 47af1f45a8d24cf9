"""The page on reviewing matches is true: its commands run on a real hub and an org, and do what it says."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta
from pathlib import Path

import pytest

from accordant.bootstrap import system_clock
from accordant.canonical.matching import review_case_id
from accordant.cli.main import run
from accordant.demo.company import environment
from accordant.ports.review import Place
from tests.integration.operations.kit import KEY, an_installation
from tests.integration.operations.test_review import WHO, touch

_FOUND, _WRONG = 1, 2


def page_commands(repository: Path) -> list[str]:
    text = (repository / "docs" / "howto" / "review-matches.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```\n(.*?)```", text, re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.startswith("accordant ")]


def words_of(command: str, names: dict[str, str]) -> list[str]:
    parts = re.findall(r'"[^"]*"|\S+', command.removeprefix("accordant "))
    return [names.get(part, part.strip('"')) for part in parts]


async def test_the_page_on_reviewing_matches_is_true(
    tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    store = f"sqlite:///{tmp_path / 'accordant.sqlite'}"
    async with an_installation(store, tmp_path) as one:
        (customer,) = one.sell(1)
        await one.settle()
        one.salesforce.delete("Account", customer, WHO)
        touch(one, customer, 2)
        await one.settle()
        record = one.salesforce.create("Account", Name="EXAMPLE by hand")
        place = one.hub.review_room.place(customer)
        assert isinstance(place, Place)
        names = {
            "CASE": review_case_id(place.account_id, place.system, place.object),
            "CUSTOMER": customer,
            "RECORD": record,
            "SYSTEM": "salesforce",
            "SURVIVOR": record,
            "OTHER": record,
        }
        options = ["--home", str(one.settings.home), "--charter", str(one.settings.charter), "--store", store]
        told: dict[str, tuple[int, str]] = {}
        for command in page_commands(repository):
            words = words_of(command, names)
            done = await asyncio.to_thread(run, [*words, *options])
            printed = capsys.readouterr()
            told[" ".join(command.split()[1:3])] = done, printed.out + printed.err
        assert told["review list"][0] == _FOUND
        assert "Somebody deleted the Account" in told["review show"][1]
        assert (told["review accept"][0], f"is Account {record} of salesforce" in told["review accept"][1]) == (0, True)
        assert (told["review undo"][0], "Decision 1 (accept" in told["review undo"][1]) == (0, True)
        assert (told["review create"][0], "of its own" in told["review create"][1]) == (0, True)
        # This charter looks for nobody: what would have to be scanned first says so.
        for name in ("review duplicates", "review merge"):
            assert (told[name][0], "does not say how records" in told[name][1]) == (_WRONG, True), told[name]
        one.clock.at = system_clock() + timedelta(seconds=1)  # the commands ran by the real time
        await one.deliver()
        assert one.salesforce.count("Account") == 2
        assert one.salesforce.record("Account", customer)[KEY] == customer
