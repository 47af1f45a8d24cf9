"""The how-to "answer why" is what works, and every record and event answer for each other (AU3)."""

from __future__ import annotations

import re
from pathlib import Path

from sqlalchemy import select

from accordant.store.schema import business_event, inbox_event, write_intent
from accordant.views.trace import trace
from accordant.views.why import why
from tests.cli.kit import Terminal
from tests.cli.test_commands import at_work


async def test_every_command_of_the_how_to_answers(terminal: Terminal, tmp_path: Path, repository: Path) -> None:
    page = (repository / "docs" / "howto" / "answer-why.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```console\n(.*?)```", page, re.DOTALL)
    # Those about the ledger are asked where it runs, in tests/connectors/tryton/test_why.py.
    commands = [line for block in blocks if "tryton:" not in block for line in block.splitlines()]
    assert len(commands) == 9
    async with at_work(terminal, tmp_path) as (one, (customer, *_rest)):
        target_id = one.salesforce.org.find("Account", customer).id
        said = {}
        for command in commands:
            spoken = command.replace("cus_123", customer).replace("001EXAMPLE", target_id)
            program, *words = spoken.split()
            answer = await terminal.ask(*words)
            assert (program, answer.code) == ("accordant", 0), (command, answer)
            said[command] = answer.out
    whole = "".join(said.values())
    for promised in ("Its changes, newest first", "Fields and where they come from", "has never written", "E•••",
                     "the hub reads it and never writes it", "The trail holds"):  # fmt: skip
        assert promised in whole, promised
    assert "EXAMPLE-0" in said["accordant why salesforce:Account/cus_123 --audience finance"]


async def test_every_write_leads_to_its_event_and_back(terminal: Terminal, tmp_path: Path) -> None:
    async with at_work(terminal, tmp_path) as (one, _):
        with one.hub.database.read() as connection:
            intents = connection.execute(select(write_intent.c.record, write_intent.c.cause, write_intent.c.id)).all()
            seqs = connection.execute(select(inbox_event.c.seq)).scalars().all()
            happened = connection.execute(select(business_event.c.seq)).scalars().all()
        assert intents
        for intent in intents:
            event = trace(one.hub.database, intent.cause)
            assert event is not None
            assert intent.id in {write.intent.id for write in event.writes}
            for change in event.writes[0].intent.changes:
                found = why(one.hub.database, event.writes[0].record, change.field)
                assert found is not None
                assert intent.cause in {hop.seq for hop in found.hops}
        moved = set()
        for seq in seqs:
            event = trace(one.hub.database, seq)
            assert event is not None
            moved |= {write.record for write in event.writes} | {carried.record for carried in event.carried}
        assert moved == {intent.record for intent in intents}
        assert set(happened) <= set(seqs)
