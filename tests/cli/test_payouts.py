"""`accordant payouts`: which are explained to the last unit, and what one consists of."""

from __future__ import annotations

from pathlib import Path

from tests.cli.kit import Terminal
from tests.integration.operations.bookkit import entries
from tests.integration.operations.kit import an_installation
from tests.integration.operations.test_settlement import WITH_FEES, live_and_pay_out, settle


async def test_the_command_line_lists_and_traces_payouts(terminal: Terminal, tmp_path: Path) -> None:
    async with an_installation(f"sqlite:///{tmp_path / 'store.db'}", tmp_path, more=WITH_FEES) as one:
        terminal.use(one.settings)
        empty = await terminal.ask("payouts")
        assert (empty.code, "No payout is known yet" in empty.out) == (0, True)
        made = live_and_pay_out(one)
        assert (await terminal.ask("payouts")).code == 1
        await settle(one)
        listed = await terminal.ask("payouts")
        assert (listed.code, made["id"] in listed.out) == (0, True)
        traced = await terminal.ask("payouts", "trace", made["id"])
        assert (traced.code, "every unit is explained" in traced.out) == (0, True)
        as_json = await terminal.ask("payouts", "trace", made["id"], "--json")
        assert as_json.json["difference"]["amount_minor"] == 0
        unknown = await terminal.ask("payouts", "trace", "po_nobody")
        assert (unknown.code, "is no payout the hub was told of" in unknown.err) == (2, True)
        assert [row.rule for row in entries(one.hub.database)].count("fee_charged") >= 3
