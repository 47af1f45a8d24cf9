"""The page on redrive and replay is true: its commands are typed in their order, and do what it says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from accordant.bootstrap import system_clock
from tests.cli.kit import Said, Terminal
from tests.integration.operations.bookkit import LEDGER
from tests.integration.operations.kit import an_installation

PAGE = "docs/howto/redrive-and-replay.md"


def commands(repository: Path) -> list[str]:
    text = (repository / PAGE).read_text(encoding="utf-8")
    return [line for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]


async def test_the_page_on_redrive_and_replay_is_true(tmp_path: Path, repository: Path, terminal: Terminal) -> None:
    typed = iter(commands(repository))

    async def next_one(key: str = "", letter: str = "") -> Said:
        return await terminal.ask(*shlex.split(next(typed).replace("KEY", key).replace("LETTER", letter))[1:])

    async with an_installation(f"sqlite:///{tmp_path / 'store.db'}", tmp_path, more=LEDGER) as one:
        one.clock.at = system_clock()
        one.stripe.advance_to(int(one.clock().timestamp()) - 3_600)
        customer, healthy = one.sell(2)
        one.salesforce.reject("Account", customer, message="Accounts of this kind need a region.")
        await one.settle()
        assert one.salesforce.count("Account") == 1, "the other lane went on"
        assert one.salesforce.record("Account", healthy)
        terminal.use(one.settings)
        one.hub.enforce_charter()

        listed = await next_one()
        assert "need a region" in listed.out
        letter = re.findall(r"int_\w+", listed.out)[0]
        patterns = await next_one()
        key = re.findall(r"\b[0-9a-f]{12}\b", patterns.out)[0]
        assert (await next_one(key)).code == 0
        counted = await next_one()
        assert (counted.code, "1 write and 0 events would go back" in " ".join(counted.out.split())) == (0, True)
        one.salesforce.accept_all()
        done = await next_one()
        assert (done.code, "Put back: 1 write" in done.out) == (0, True), done
        one.clock.at = system_clock()
        await one.deliver()
        assert one.salesforce.count("Account") == 2
        waived = await next_one(letter=letter)
        assert "waived for 0 dead letters" in waived.out, "it is none any more"

        count = await next_one()
        assert (count.code, "Nothing was changed." in count.out) == (0, True)
        writes = one.writes()
        for _ in range(2):
            walked = await next_one()
            assert walked.code == 0, walked
            assert "planned because of it: 0 writes" in " ".join(walked.out.split())
        await one.deliver()
        assert one.writes() == writes
        rebuilt = await next_one()
        assert rebuilt.code == 0, rebuilt
        assert next(typed, None) is None, "every command of the page was typed"
