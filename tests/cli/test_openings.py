"""`openings list` and `openings release`, as the how-to has them: what waits is shown, and exactly that is let go."""

from __future__ import annotations

import re
import shlex
from datetime import UTC, datetime
from pathlib import Path

from accordant.bootstrap import checked_charter
from tests.cli.kit import Terminal
from tests.integration.operations.opening_kit import (
    HOWTO,
    a_price,
    an_opening_company,
    around,
    deliver,
    sold,
    subscriptions,
    waiting,
)


def commands() -> list[list[str]]:
    """The commands of the how-to, in its order."""
    blocks = re.findall(r"```\n(accordant .*?)\n```", HOWTO.read_text(encoding="utf-8"), re.DOTALL)
    return [shlex.split(block)[1:] for block in blocks]


async def test_the_how_to_opens_a_subscription(terminal: Terminal, tmp_path: Path) -> None:
    listing, releasing, asking = commands()
    async with an_opening_company(f"sqlite:///{tmp_path / 'store.db'}", tmp_path) as one:
        terminal.use(one.settings)
        one.hub.shelf.remember(checked_charter(one.settings), now=one.clock())
        said = await terminal.ask(*listing)
        assert (said.code, said.out.strip()) == (0, "Nothing waits to be opened.")
        price = a_price(one)
        _, deal = sold(one, price)
        await around(one)
        said = await terminal.ask(*listing)
        assert said.code == 1
        for word in (f"salesforce:Opportunity/{deal}", f"{price}:2", "a person to release it"):
            assert word in " ".join(said.out.split())
        found = waiting(one)["subscription"]
        wrong = await terminal.ask("openings", "release", found.record, "--content", "other", "--reason", "No.")
        assert wrong.code == 2
        assert "has changed since you looked" in wrong.err
        given = {"RECORD": found.record, "CONTENT": found.content}
        said = await terminal.ask(*(given.get(word, word) for word in releasing))
        assert said.code == 0, said.err
        one.clock.at = datetime.now(UTC)  # the command went by the real time
        one.stripe.advance_to(int(one.clock().timestamp()))
        await deliver(one)
        (made,) = subscriptions(one, deal)
        assert (await terminal.ask("openings", "list", "--json")).json["lines"] == []
        record = asking[1].replace("OPPORTUNITY", deal)
        told = await terminal.ask(asking[0], record, "--json")
        assert told.code == 0, told.err
        assert f"salesforce:Opportunity/{deal}" in told.out
        assert made["id"]
