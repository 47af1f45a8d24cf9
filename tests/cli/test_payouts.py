"""`accordant payouts`: which are explained to the last unit, and what one consists of."""

from __future__ import annotations

from pathlib import Path

from tests.cli.kit import Terminal
from tests.connectors.camt053.kit import Entry, statement
from tests.integration.operations.bookkit import entries
from tests.integration.operations.kit import an_installation
from tests.integration.operations.test_bank import arrived_on, major, paid_out, read_statements, with_a_bank
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


async def test_the_command_line_says_when_the_bank_booked_a_payout_and_which_transfers_paid(
    terminal: Terminal, tmp_path: Path
) -> None:
    async with with_a_bank(f"sqlite:///{tmp_path / 'store.db'}", tmp_path) as (one, files):
        terminal.use(one.settings)
        made = paid_out(one)
        await settle(one)
        day = arrived_on(made)
        booked = [Entry(major(made["amount"]), day, "BK-1", text=made["id"])]
        (files / "first.xml").write_bytes(statement(booked, day=day))
        await read_statements(one)
        listed = await terminal.ask("payouts", "--json")
        assert [row["arrival"]["line"]["reference"] for row in listed.json["payouts"]] == ["BK-1"]
        traced = await terminal.ask("payouts", "trace", made["id"])
        assert (traced.code, "as BK-1" in traced.out) == (0, True)
        as_json = await terminal.ask("payouts", "trace", made["id"], "--json")
        transfers = [part["movement"]["reference"] for row in as_json.json["movements"] for part in row["funded_by"]]
        assert transfers == ["RE 2024-7", "RE 2024-8"]
