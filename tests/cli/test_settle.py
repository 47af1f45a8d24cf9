"""`accordant settle`: a finding needs its evidence, ends the letter once, and says what follows."""

from __future__ import annotations

from pathlib import Path

import pytest

from accordant.connectors.salesforce.outbound import SalesforceOutbound
from accordant.ports.connector import DestinationClass, WriteProtocol
from tests.cli.kit import Terminal
from tests.cli.test_commands import at_work

EVIDENCE = ("--evidence", "CRM-17", "--as", "ada")


@pytest.fixture
def unaskable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A target that offers nothing: no shipped connector writes to one."""
    nothing = WriteProtocol(destination_class=DestinationClass.NOTHING)
    monkeypatch.setattr(SalesforceOutbound, "protocol", lambda *_: nothing)


@pytest.mark.usefixtures("unaskable")
async def test_a_finding_ends_the_letter(terminal: Terminal, tmp_path: Path) -> None:
    async with at_work(terminal, tmp_path, customers=0) as (one, _):
        customers = one.sell(2)
        for customer in customers:
            one.salesforce.reject("Account", customer, message="No region.")
        await one.settle()
        (group,) = (await terminal.ask("redrive", "--json")).json["groups"]
        there, absent = group["ids"]
        neither = await terminal.ask("settle", there, *EVIDENCE)
        assert (neither.code, "Give --found-as ID" in neither.err) == (2, True)
        unseen = await terminal.ask("settle", there, "--found-as", "001X", "--as", "ada")
        assert (unseen.code, "needs a name and its evidence" in unseen.err) == (2, True)
        found = await terminal.ask("settle", there, "--found-as", "001X", *EVIDENCE)
        assert (found.code, "counts as made, as 001X" in found.out) == (0, True), found
        again = await terminal.ask("settle", there, "--found-as", "001X", *EVIDENCE)
        assert (again.code, "not a dead letter" in again.err) == (2, True)
        back = await terminal.ask("settle", absent, "--absent", *EVIDENCE, "--json")
        assert (back.code, back.json["redriven"]["intents"]) == (0, [absent]), back
