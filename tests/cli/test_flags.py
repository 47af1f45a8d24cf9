"""`accordant flags`, and the how-to about it: every command of the page is typed, between stand-ins."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

from accordant.bootstrap import system_clock
from tests.cli.kit import Said, Terminal
from tests.integration.operations.kit import Installation, an_installation
from tests.integration.operations.test_red_flags import credit, flags, named, rename, seen

PAGE = "docs/howto/red-flags.md"


def blocks(text: str, kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", text, re.DOTALL)


async def flagged(one: Installation) -> tuple[str, str]:
    """A customer whose credit note does not fit; his id, and the flag's."""
    (customer,) = one.sell(1)
    await one.settle()
    credit(one, customer)
    rename(one, [customer])
    await one.settle()
    (flag,) = flags(one)
    return customer, flag.id


async def typed(terminal: Terminal, line: str, flag: str, digest: str, folder: Path) -> Said:
    line = line.replace("FLAG", flag).replace("DIGEST", digest).replace("packet.json", f"{folder}/packet.json")
    return await terminal.ask(*shlex.split(line)[1:])


async def test_the_page_on_red_flags_is_true(tmp_path: Path, repository: Path, terminal: Terminal) -> None:
    text = (repository / PAGE).read_text(encoding="utf-8")
    (charter,) = blocks(text, "yaml")
    looking, approving, refusing = (block.splitlines() for block in blocks(text, "console"))
    async with an_installation(f"sqlite:///{tmp_path / 'store.db'}", tmp_path, more=charter) as one:
        terminal.use(one.settings)
        one.hub.enforce_charter(actor="Ada")
        nothing = await terminal.ask("flags", "list")
        assert (nothing.code, "No red flag is open." in nothing.out) == (0, True)
        customer, flag = await flagged(one)
        listed = await typed(terminal, looking[0], flag, "", tmp_path)
        assert (listed.code, flag in listed.out) == (1, True)
        shown = await typed(terminal, looking[1], flag, "", tmp_path)
        digest = seen(one, flags(one)[0]).digest
        assert shown.code == 0
        assert digest in shown.out.replace("\n", "").replace(" ", "")
        refused = await typed(terminal, refusing[0], flag, digest, tmp_path)
        assert (refused.code, "2 different people more" in refused.out) == (0, True)
        exported = await typed(terminal, refusing[1], flag, digest, tmp_path)
        assert exported.code == 0
        kept = json.loads((tmp_path / "packet.json").read_text())
        assert kept["digest"] == digest
        assert kept["packet"]["event"]["external_id"].startswith("evt_")
        first = await typed(terminal, approving[0], flag, digest, tmp_path)
        assert (first.code, "1 different person more" in first.out) == (1, True)
        stranger = await typed(terminal, approving[1].replace("Bo", "Eve"), flag, digest, tmp_path)
        assert (stranger.code, "no approver" in stranger.err) == (2, True)
        second = await typed(terminal, approving[1], flag, digest, tmp_path)
        assert (second.code, "Writing goes on" in second.out) == (0, True)
        one.clock.at = system_clock()
        await one.deliver()
        assert named(one, customer) == f"Renamed {customer}"
        gone = await typed(terminal, looking[1], "flg_nothing", "", tmp_path)
        assert (gone.code, "no red flag" in gone.err) == (2, True)
