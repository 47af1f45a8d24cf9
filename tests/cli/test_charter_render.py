"""`charter render` and `charter history`: pages for a runbook, and who changed what."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec

from accordant.bootstrap import checked_charter
from tests.cli.kit import Terminal
from tests.integration.operations.kit import an_installation

SLUGS = ("system-inventory", "entity-map", "sensitivity-policy", "gate-list")


async def test_the_artifacts_are_written_in_both_forms(terminal: Terminal, tmp_path: Path) -> None:
    async with an_installation(f"sqlite:///{tmp_path / 'store.db'}", tmp_path) as one:
        terminal.use(one.settings)
        out = tmp_path / "pages" / "charter"
        assert (await terminal.ask("charter", "render", "--out", str(out))).code == 0
        said = await terminal.ask("charter", "render", "--format", "md", "--out", str(out), "--json")
        assert said.json["version"] == checked_charter(one.settings).version
        assert {path.name for path in out.iterdir()} == {f"{slug}.{form}" for slug in SLUGS for form in ("html", "md")}
        assert "| accounts | account to salesforce Account | stripe |" in (out / "entity-map.md").read_text()
        assert "<td>accounts</td><td>account to salesforce Account</td>" in (out / "entity-map.html").read_text()
        said = await terminal.ask("charter", "render", "--out", "/dev/null/pages")
        assert said.code == 2
        assert "cannot be written" in said.err


async def test_the_history_tells_who_and_what(terminal: Terminal, tmp_path: Path) -> None:
    async with an_installation(f"sqlite:///{tmp_path / 'store.db'}", tmp_path) as one:
        terminal.use(one.settings)
        before = one.hub.charter
        after = msgspec.structs.replace(before, company="EXAMPLE-2")
        one.hub.shelf.remember(before, now=datetime(2026, 1, 1, tzinfo=UTC), actor="Ada")
        one.hub.shelf.remember(after, now=datetime(2026, 1, 2, tzinfo=UTC), actor="Bo")
        one.hub.shelf.remember(before, now=datetime(2026, 1, 3, tzinfo=UTC), actor="Cy")
        said = await terminal.ask("charter", "history")
        assert said.code == 0
        for word in ("Ada", "Bo", "Cy", "the first", "EXAMPLE-2", before.version, after.version):
            assert word in said.out
        told = (await terminal.ask("charter", "history", "--json")).json["versions"]
        assert [(one["by"], one["version"]) for one in told] == [
            ("Cy", before.version),
            ("Bo", after.version),
            ("Ada", before.version),
        ]
        assert told[1]["changes"] == [{"where": "company", "before": before.company, "after": "EXAMPLE-2"}]
