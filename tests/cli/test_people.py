"""`accordant people`, and what a token does at a terminal."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.cli.kit import Terminal
from tests.integration.operations.kit import an_installation
from tests.integration.operations.test_widen import ACCOUNTS, GATE, compared

BECAUSE = ("--because", "Read and agreed.")


def token_in(out: str) -> str:
    found = re.search(r"acd_[0-9a-f]{12}_[A-Za-z0-9_-]{43}", out)
    assert found is not None
    return found.group(0)


async def test_people_widen_a_flow_with_their_own_tokens(tmp_path: Path, terminal: Terminal) -> None:
    async with an_installation(f"sqlite:///{tmp_path}/store.db", tmp_path, more=GATE) as one:
        one.clock.at = datetime.now(UTC) - timedelta(minutes=5)
        terminal.use(one.settings)
        one.hub.enforce_charter()
        one.sell(2)
        await one.settle()
        await compared(one)
        tokens = {}
        for name, role in (("Ada", "operator"), ("Bo", "approver"), ("Ruth", "admin")):
            said = await terminal.ask("people", "add", name, "--role", role)
            assert said.code == 0, said
            tokens[name] = token_in(said.out)
        refused = await terminal.ask("people", "add", "Mallory", "--role", "approver")
        assert (refused.code, "by an admin" in refused.err) == (2, True)
        ask = ("phase", "request", ACCOUNTS, "controlled", *BECAUSE)
        typed = await terminal.ask(*ask, "--as", "Ada")
        assert (typed.code, "Ada is a typed name" in typed.err) == (2, True)
        terminal.holding(tokens["Ada"])
        other = await terminal.ask(*ask, "--as", "Bo")
        assert (other.code, "not of Bo" in other.err) == (2, True)
        said = await terminal.ask(*ask)
        assert said.code == 0, said
        proposal = re.findall(r"ask_\w+", said.out)[0]
        own = await terminal.ask("phase", "approve", proposal, *BECAUSE)
        assert (own.code, "Ada is operator and may not approve" in own.err) == (2, True)
        terminal.holding(tokens["Bo"])
        done = await terminal.ask("phase", "approve", proposal, *BECAUSE)
        assert (done.code, "by Bo:" in done.out) == (0, True), done
        listed = await terminal.ask("people", "list")
        assert listed.out.count("active") == 3
        assert tokens["Bo"] not in listed.out
        gone = await terminal.ask("people", "revoke", "Bo", *BECAUSE)
        assert gone.code == 0, gone
        after = await terminal.ask("phase", "narrow", ACCOUNTS, "read_only", *BECAUSE)
        assert (after.code, "opens nothing" in after.err) == (2, True)


async def test_what_a_typed_name_did_says_so(tmp_path: Path, terminal: Terminal) -> None:
    async with an_installation(f"sqlite:///{tmp_path}/store.db", tmp_path) as one:
        terminal.use(one.settings)
        one.hub.enforce_charter()
        paused = await terminal.ask("pause", "accounts", "--as", "Ada", "--because", "Look first.")
        assert paused.code == 0
        status = await terminal.ask("status")
        assert "Ada (unverified)" in " ".join(status.out.split())
