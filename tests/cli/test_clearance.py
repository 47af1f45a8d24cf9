"""`clearance record` and `clearance list`: a held customer is told why and what to do; a finding lets them go."""

from __future__ import annotations

from pathlib import Path

from accordant.bootstrap import checked_charter
from accordant.connectors.vies.simulator import ViesSimulator
from tests.cli.kit import Terminal
from tests.integration.operations.kit import an_installation

GATES = """
gates:
  - name: kyc-first
    check: kyc
    entity: account
    purpose: Nobody sells to a stranger.
    next_action: Ask compliance to finish the check.
"""


async def test_a_customer_is_held_until_the_finding_is_recorded(terminal: Terminal, tmp_path: Path) -> None:
    charter = tmp_path / "charter" / "gates.yaml"
    async with an_installation(f"sqlite:///{tmp_path / 'store.db'}", tmp_path) as one:
        charter.write_text(GATES)
        terminal.use(one.settings)
        (customer,) = one.sell(1)
        one.take_in()
        one.process()
        said = await terminal.ask("clearance", "list")
        assert said.code == 2
        assert "Run `accordant serve` once" in said.err
        recorded = ("clearance", "record", customer, "--check", "kyc", "--evidence", "case 4711", "--as", "Ada")
        said = await terminal.ask(*recorded, "--status", "failed", "--reason", "The passport had expired.")
        assert said.code == 0
        assert "Ask compliance to finish the check." in " ".join(said.out.split())
        one.hub.shelf.remember(checked_charter(one.settings), now=one.clock())
        said = await terminal.ask("clearance", "list", customer)
        assert said.code == 1
        assert "The passport had expired." in " ".join(said.out.split())
        said = await terminal.ask(*recorded, "--status", "passed", "--json")
        assert [line["is_open"] for line in said.json["lines"]] == [True]
        assert (await terminal.ask("clearance", "list", customer)).code == 0
        counts = (await terminal.ask("clearance", "list", "--json")).json["gates"]
        assert [(gate["open"], gate["held"], gate["unknown"]) for gate in counts] == [(1, 0, 0)]
        said = await terminal.ask("clearance", "record", "cus_nobody", *recorded[3:], "--status", "passed")
        assert said.code == 2
        assert "No customer has the id" in said.err


VAT = """
gates:
  - name: vat-first
    check: vat
    entity: account
    purpose: Nothing is written for a customer whose tax number is in doubt.
    next_action: Ask finance to look at the number.
vat: {{requester: DE136695976, stand_in: true, address: "{url}"}}
"""


async def test_the_register_is_asked_and_its_answer_is_shown_without_what_is_personal(
    terminal: Terminal, tmp_path: Path
) -> None:
    async with an_installation(f"sqlite:///{tmp_path / 'store.db'}", tmp_path) as one:
        vies = ViesSimulator(now=one.clock)
        charter = VAT.format(url=await vies.start())
        vies.registered["ATU13585627"] = ("Beispiel AG", "Ring 1, Wien")
        (tmp_path / "charter" / "gates.yaml").write_text(charter)
        terminal.use(one.settings)
        (customer,) = one.sell(1)
        one.take_in()
        one.process()
        asked = ("clearance", "check-vat", customer, "--as", "Ada")
        said = await terminal.ask(*asked)
        assert said.code == 2
        assert "keeps no tax number" in said.err
        said = await terminal.ask(*asked, "--number", "ATU13585627")
        assert said.code == 0
        assert "WAPIAAAA00000001" in said.out
        assert "13585627" not in said.out
        assert "Beispiel" not in said.out
        said = await terminal.ask(*asked, "--number", "FR40303265045", "--json")
        assert said.code == 1
        assert [one["answer"] for one in said.json["answers"]] == ["invalid"]
        assert [line["is_open"] for line in said.json["lines"]] == [False]
        said = await terminal.ask(*asked, "--number", "GB432525179")
        assert said.code == 1
        assert "left the register" in " ".join(said.out.split())
        assert (await terminal.ask("clearance", "check-vat", "--as", "Ada")).code == 0
        said = await terminal.ask("clearance", "check-vat", "--number", "ATU13585627")
        assert said.code == 2
        assert "A number alone is nobody's." in said.err
        await vies.stop()
