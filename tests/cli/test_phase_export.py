"""The archive that a person decides by: the connectors alone, or beside the evidence of a flow."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

from accordant.kernel.hashing import digest
from tests.cli.kit import Terminal
from tests.integration.operations.kit import an_installation


async def test_what_a_connector_is_chosen_by_comes_in_one_file(
    store_url: str, tmp_path: Path, terminal: Terminal
) -> None:
    async with an_installation(store_url, tmp_path) as one:
        terminal.use(one.settings)
        (customer,) = one.sell(1)
        await one.settle()
        out = tmp_path / "choice.zip"
        said = await terminal.ask("phase", "export", "--out", str(out))
        assert (said.code, "The evidence for the connectors is in" in said.out) == (0, True), said
        with zipfile.ZipFile(out) as files:
            assert set(files.namelist()) == {"connectors.json", "connectors.md", "manifest.json"}
            manifest = json.loads(files.read("manifest.json"))
            assert all(digest(files.read(name)).hex() == told for name, told in manifest.items())
            choice = json.loads(files.read("connectors.json"))
            page = files.read("connectors.md").decode()
        assert {part["name"] for part in choice["connectors"]} >= {"netsuite", "salesforce", "stripe", "xero"}
        kinds = {part["event_type"]: part for part in choice["samples"]}
        assert {"customer.created", "customer.subscription.created"} <= kinds.keys()
        written = [record for part in choice["samples"] for record, state in part["writes"] if state == "applied"]
        assert f"salesforce:Account/{customer}" in written
        lines = page.splitlines()
        head = next(line for line in lines if line.startswith("| Connector"))
        assert "| Writing once |" in head
        for title in ("Salesforce", "NetSuite"):
            row = next(line for line in lines if line.startswith(f"| {title}"))
            assert row.count("|") == head.count("|")
        xero = page.partition("## Xero")[2].partition("\n## ")[0]
        assert "The charter names no system of this connector, so nothing was traced." in xero
        assert "| Invoices | D | InvoiceNumber |  | 120 s | By the hub:" in xero
        stripe = page.partition("## Stripe")[2].partition("\n## ")[0]
        assert "customer.created" in stripe
        assert "example.com" not in page


async def test_beside_the_evidence_of_a_flow(tmp_path: Path, terminal: Terminal) -> None:
    async with an_installation(f"sqlite:///{tmp_path / 'store.db'}", tmp_path) as one:
        terminal.use(one.settings)
        out = tmp_path / "evidence.zip"
        told = (await terminal.ask("phase", "export", "accounts", "--out", str(out), "--json")).json
        assert (told["samples"], "green" in told) == (0, True)
        with zipfile.ZipFile(out) as files:
            assert {"evidence.json", "evidence.md", "connectors.json", "connectors.md"} < set(files.namelist())
            page = files.read("connectors.md").decode()
        assert "Nothing." in page.partition("## Stripe")[2].partition("\n## ")[0].partition("### Sample traces")[2]
