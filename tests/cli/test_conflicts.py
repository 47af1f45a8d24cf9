"""The how-to on conflicts is true: its commands run on a real hub and an org, and do what it says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from accordant.bootstrap import checked_charter, system_clock
from accordant.canonical.charter import Winner
from accordant.canonical.conflicts import ConflictRule, ConflictState
from accordant.governance.loop_breaker import RETURNS_MAX
from tests.cli.kit import Terminal
from tests.cli.test_commands import at_work
from tests.integration.operations.kit import Installation, recharter
from tests.integration.operations.test_restore import GRACE, NAME, TYPED, held, lines, write_again

FOUND, WRONG = 1, 2


def commands(repository: Path) -> list[list[str]]:
    page = (repository / "docs" / "howto" / "conflicts.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```console\n(.*?)```", page, re.DOTALL)
    return [shlex.split(line, comments=True)[1:] for block in blocks for line in block.splitlines()]


def let_win(one: Installation, winner: Winner) -> None:
    """The charter's folder says who wins for accounts, as its owner would write it; the hub reads it like a restart."""
    file = one.settings.charter / "accordant.yaml"
    rule = re.compile(r"(    system_of_record: stripe\n)(    winner: \w+\n)?")
    file.write_text(rule.sub(rf"\1    winner: {winner.value}\n", file.read_text(), count=1))
    one.hub.charter = checked_charter(one.settings)
    recharter(one.hub, one.hub.charter.flows)


async def test_the_page_on_conflicts_is_true(terminal: Terminal, tmp_path: Path, repository: Path) -> None:
    listed, all_listed, shown, keep, overrule, release = commands(repository)
    async with at_work(terminal, tmp_path) as (one, (looping, kept, overruled)):
        assert (await terminal.ask(*listed)).out == "No field waits for a person.\n"
        for _ in range(RETURNS_MAX + 1):
            one.salesforce.edit("Account", looping, NAME, TYPED, GRACE)
            await write_again(one, looping)
        let_win(one, Winner.PERSON)
        for customer in (kept, overruled):
            one.salesforce.edit("Account", customer, NAME, TYPED, GRACE)
            await write_again(one, customer)
        let_win(one, Winner.SYSTEM_OF_RECORD)
        waiting = {line.conflict.record.rpartition("/")[2]: line for line in lines(one)
                   if line.state is ConflictState.OPEN}  # fmt: skip
        assert waiting.keys() == {looping, kept, overruled}
        assert waiting[looping].conflict.contested.ruling.rule is ConflictRule.LOOP
        ids = {customer: line.conflict.id for customer, line in waiting.items()}

        def about(words: list[str], customer: str) -> list[str]:
            assert "cfl_…" in words
            return [ids[customer] if word == "cfl_…" else word for word in words]

        said = await terminal.ask(*listed)
        assert (said.code, [one in said.out for one in ids.values()]) == (FOUND, [True] * 3)
        every = await terminal.ask(*all_listed, "--json")
        assert (every.code, len(every.json["lines"])) == (FOUND, RETURNS_MAX + 3)
        two_values = await terminal.ask(*about(shown, kept), "--audience", "finance")
        assert two_values.code == 0
        for promised in (TYPED, "EXAMPLE-1", "grace", "stripe", "Your choices", "is written at once"):
            assert promised in two_values.out, promised
        # Without --value the one that lost is meant, and here none has lost: the field waits.
        undecided = [word for word in about(keep, kept) if word not in {"--value", "target"}]
        assert (await terminal.ask(*undecided)).code == WRONG
        for words, customer in ((keep, kept), (overrule, overruled), (release, looping)):
            done = await terminal.ask(*about(words, customer))
            assert (done.code, "The courier writes it next." in done.out) == (0, True), done
            again = await terminal.ask(*about(words, customer))
            assert (again.code, again.out) == (WRONG, ""), again
        assert (await terminal.ask(*listed)).code == 0
        one.clock.at = system_clock()  # the commands ran by the real time
        one.clock.move(seconds=1)
        await one.deliver()
        assert [held(one, customer) for customer in (kept, overruled, looping)] == [TYPED, "EXAMPLE-2", "EXAMPLE-0"]
        why = await terminal.ask("why", f"salesforce:Account/{kept}#{NAME}", "--audience", "finance")
        assert "ada" in why.out
        assert "The new legal name." in why.out
