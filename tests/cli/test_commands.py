"""Looking and acting from the terminal, on a hub between two stand-ins: the words, the JSON and the exit codes."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from accordant.audit_verifier import read_marks
from accordant.audit_verifier import verify as verify_file
from accordant.demo.company import environment
from tests.cli.kit import Terminal
from tests.integration.operations.kit import MRR, Installation, an_installation


@asynccontextmanager
async def at_work(
    terminal: Terminal, tmp_path: Path, customers: int = 3
) -> AsyncIterator[tuple[Installation, list[str]]]:
    """An installation that has written what it should, and the terminal pointed at it."""
    async with an_installation(f"sqlite:///{tmp_path / 'store.db'}", tmp_path) as one:
        terminal.use(one.settings)
        one.hub.enforce_charter()
        names = one.sell(customers)
        await one.settle()
        yield one, names


async def test_any_id_leads_to_its_story(terminal: Terminal, tmp_path: Path) -> None:
    async with at_work(terminal, tmp_path) as (one, (customer, *_)):
        event = one.stripe.events("customer.created")[0]
        by_event = await terminal.ask(event.id)
        assert by_event.code == 0
        assert "customer.created" in by_event.out
        assert by_event.out == (await terminal.ask("trace", event.id)).out
        told = (await terminal.ask(event.id, "--json")).json
        assert (told["external_id"], told["state"]) == (event.id, "processed")
        by_customer = await terminal.ask(customer)
        assert "E•••" in by_customer.out
        assert f"salesforce:Account/{customer}" in by_customer.out
        target_id = one.salesforce.org.find("Account", customer).id
        by_target = await terminal.ask("trace", f"salesforce:Account/{target_id}")
        assert by_target.code == 0
        assert (await terminal.ask("trace", target_id, "--json")).json
        nothing = await terminal.ask("nobody-knows-this")
        assert (nothing.code, nothing.out) == (2, "")
        assert "Nothing here is called 'nobody-knows-this'" in nothing.err


async def test_why_names_the_event_and_the_rules(terminal: Terminal, tmp_path: Path) -> None:
    async with at_work(terminal, tmp_path) as (_, (customer, *_rest)):
        ref = f"salesforce:Account/{customer}"
        said = await terminal.ask("why", f"{ref}#{MRR}")
        assert said.code == 0
        assert "It should be 100.00; it was last seen as 100.00." in said.out
        assert "event " in said.out
        found = (await terminal.ask("why", f"{ref}#{MRR}", "--json")).json
        assert found["hops"][0]["change"]["after"] == "100.00"
        assert found["hops"][0]["write"]["decision"]["reasons"]
        assert (await terminal.ask("why", ref)).out.count("100.00") >= 2
        assert "has no field 'Shoe'" in (await terminal.ask("why", f"{ref}#Shoe")).err
        assert (await terminal.ask("why", "nobody")).code == 2
        unwritten = await terminal.ask("why", "salesforce:Account/nobody")
        assert (unwritten.code, "has never written salesforce:Account/nobody" in unwritten.out) == (0, True)
        owned = await terminal.ask("why", f"stripe:customer/{customer}")
        assert "This account belongs to stripe: the hub reads it and never writes it." in owned.out
        assert ref in owned.out


async def test_blame_names_the_origin_of_every_field(terminal: Terminal, tmp_path: Path) -> None:
    async with at_work(terminal, tmp_path) as (_, (customer, *_rest)):
        ref = f"salesforce:Account/{customer}"
        told = (await terminal.ask("blame", ref, "--json")).json
        assert all(line["pair"]["desired"] is None or line["origin"]["seq"] for line in told["fields"])
        assert {line["pair"]["field"] for line in told["fields"]} >= {MRR}
        said = await terminal.ask("blame", ref)
        assert (said.code, MRR in said.out, "applied" in said.out) == (0, True, True)
        nothing = await terminal.ask("blame", f"stripe:customer/{customer}")
        assert (nothing.code, "accordant why" in nothing.err) == (2, True)


async def test_an_audience_sees_what_the_charter_says(terminal: Terminal, tmp_path: Path) -> None:
    async with at_work(terminal, tmp_path) as (_, (customer, *_rest)):
        for words in (("trace", customer), ("why", f"salesforce:Account/{customer}"),
                      ("blame", f"salesforce:Account/{customer}")):  # fmt: skip
            for form in ((), ("--json",)):
                least = await terminal.ask(*words, *form)
                assert "EXAMPLE-0" not in least.out, words
                named = await terminal.ask(*words, *form, "--audience", "finance")
                assert "EXAMPLE-0" in named.out, words
        assert (await terminal.ask("why", "x:Y/z", "--audience", "everybody")).code == 2


async def test_status_tells_what_is_stopped_and_what_waits(terminal: Terminal, tmp_path: Path) -> None:
    async with at_work(terminal, tmp_path) as (one, _):
        said = await terminal.ask("status")
        assert (said.code, "Nothing waits for a person." in said.out) == (0, True)
        assert "accounts" in said.out
        stopped = await terminal.ask("pause", "accounts", "--because", "odd numbers", "--as", "ada")
        assert stopped.code == 0
        assert "flow:accounts is stopped, as ada (unverified) asked: odd numbers" in stopped.out
        again = await terminal.ask("pause", "accounts", "--because", "odd numbers", "--as", "bob", "--json")
        assert again.json == {"changed": False, "state": "stopped", "switch": "flow:accounts"}
        assert "odd numbers" in (await terminal.ask("status")).out
        assert (await terminal.ask("status", "--json")).json["status"]["switches"][0]["thrown_by"] == "ada (unverified)"
        assert (await terminal.ask("pause", "accounts")).code == 2
        assert "named person for a stated reason" in (await terminal.ask("pause", "writes")).err
        assert "Choose one of: accounts" in (await terminal.ask("pause", "nothing", "--because", "x")).err
        assert (await terminal.ask("resume", "accounts", "--because", "fine", "--as", "ada")).code == 0
        assert one.hub.state.switches() == frozenset()


async def test_reconcile_finds_repairs_and_says_so_in_its_exit_code(terminal: Terminal, tmp_path: Path) -> None:
    async with at_work(terminal, tmp_path) as (one, (customer, *_)):
        clean = await terminal.ask("reconcile")
        assert clean.code == 0
        assert clean.out.count("clean") == 2
        one.salesforce.edit("Account", customer, MRR, "7.00", "carl@example.com")
        found = await terminal.ask("reconcile", "accounts", "--json")
        assert found.code == 1
        (flow,) = found.json["flows"]
        assert (flow["verdict"], flow["repairable"]) == ("findings", 1)
        finding = flow["findings"][0]
        assert (finding["cause"], finding["field"], finding["actual"]) == ("hand_edit", MRR, "7.00")
        told = await terminal.ask("reconcile")
        assert "add --repair" in told.out
        assert "hand edit" in told.out
        assert "100.00 USD" in told.out
        mended = await terminal.ask("reconcile", "--repair", "--as", "ada")
        assert mended.code == 0
        assert "Planned again and delivered: 1 record." in mended.out
        assert str(one.salesforce.record("Account", customer)[MRR]) == "100.00"


async def test_reconcile_looks_at_hierarchies_by_themselves(terminal: Terminal, tmp_path: Path) -> None:
    async with an_installation(f"sqlite:///{tmp_path / 'store.db'}", tmp_path) as one:
        terminal.use(one.settings)
        first, second = one.sell(2)
        await one.settle()
        clean = await terminal.ask("reconcile", "--hierarchy")
        assert (clean.code, "Looked at: salesforce:Account." in clean.out) == (0, True), clean
        ids = {each: str(one.salesforce.record("Account", each)["Id"]) for each in (first, second)}
        accounts = one.salesforce.org.records["Account"]
        accounts[ids[first]].values["ParentId"] = ids[second]
        accounts[ids[second]].values["ParentId"] = ids[first]
        told = await terminal.ask("reconcile", "--hierarchy")
        assert (told.code, "comes back to where it began" in told.out) == (1, True), told
        found = (await terminal.ask("reconcile", "--hierarchy", "--json")).json
        (finding,) = found["comparison"]["findings"]
        assert (finding["cause"], finding["target_id"]) == ("circle", min(ids.values()))
        for odd in (("accounts",), ("--source", "stripe"), ("--repair",)):
            assert (await terminal.ask("reconcile", "--hierarchy", *odd)).code == 2


async def test_reconcile_with_the_source(terminal: Terminal, tmp_path: Path) -> None:
    async with at_work(terminal, tmp_path) as (_, _names):
        said = await terminal.ask("reconcile", "--source", "stripe")
        assert said.code == 0, said
        assert "active" in said.out
        found = (await terminal.ask("reconcile", "--source", "stripe", "--repair", "--json")).json
        assert (found["comparison"]["verdict"], found["fed"]) == ("clean", 0)
        assert (await terminal.ask("reconcile", "accounts", "--source", "stripe")).code == 2
        assert (await terminal.ask("reconcile", "--source", "salesforce")).code == 2


async def test_an_empty_comparison_is_not_clean(terminal: Terminal, tmp_path: Path) -> None:
    async with at_work(terminal, tmp_path, customers=0):
        said = await terminal.ask("reconcile")
        assert said.code == 1
        assert "nothing compared" in said.out
        assert "nothing is proved" in said.out


async def test_a_target_that_is_down_exits_with_3(terminal: Terminal, tmp_path: Path) -> None:
    async with at_work(terminal, tmp_path) as (one, _):
        await one.salesforce.go_down()
        said = await terminal.ask("reconcile", "accounts")
        assert said.code == 3
        assert said.err.strip()
        assert (await terminal.ask("reconcile", "no-such-flow")).code == 2
        await one.salesforce.come_up()


async def test_redrive_lists_asks_and_puts_back(terminal: Terminal, tmp_path: Path) -> None:
    async with at_work(terminal, tmp_path, customers=0) as (one, _):
        assert "There are no dead letters" in (await terminal.ask("redrive")).out
        customers = one.sell(2)
        for customer in customers:
            one.salesforce.reject("Account", customer, message="No region.")
        await one.settle()
        listed = (await terminal.ask("redrive", "--json")).json
        assert [group["count"] for group in listed["groups"]] == [2]
        unsaid = await terminal.ask("redrive", "--matching", "region", "--because", "mended", "--defect", "the rule")
        assert unsaid.code == 2
        assert "head of their lanes: 2 dead letters." in unsaid.err
        assert "Nothing was changed. Add --yes" in unsaid.err
        unnamed = await terminal.ask("redrive", "--matching", "region", "--yes")
        assert (unnamed.code, "needs its reason and its defect and its fix" in unnamed.err) == (2, True)
        one.salesforce.accept_all()
        words = ("--because", "mended", "--defect", "the rule", "--fix", "CRM-17", "--as", "ada", "--yes")
        counted = await terminal.ask("redrive", "--matching", "region", "--count-only")
        assert (counted.code, "2 writes and 0 events would go back" in counted.out) == (0, True), counted.out
        done = await terminal.ask("redrive", "--matching", "region", *words)
        assert done.code == 0, done
        assert "Put back: 2 writes" in done.out
        again = await terminal.ask("redrive", listed["groups"][0]["ids"][0], *words)
        assert again.code == 1
        assert "not a dead letter" in again.out
        assert (await terminal.ask("redrive", "--matching", "region", *words)).code == 2


async def test_the_trail_is_verified_and_a_witness_kept(terminal: Terminal, tmp_path: Path) -> None:
    async with at_work(terminal, tmp_path) as (one, _):
        assert "The trail holds" in (await terminal.ask("audit", "verify")).out
        kept = tmp_path / "checkpoints"
        assert (await terminal.ask("audit", "checkpoint", "--out", str(kept))).code == 0
        assert (await terminal.ask("audit", "checkpoint")).out.strip().startswith("{")
        assert (await terminal.ask("audit", "verify", "--checkpoint", str(kept))).code == 0
        assert (await terminal.ask("audit", "verify", "--checkpoint", str(tmp_path / "gone"))).code == 2
        other = ("audit", "verify", "--checkpoint", str(kept), "--public-key", "00" * 32)
        refused = await terminal.ask(*other)
        assert (refused.code, "not signed by this key" in refused.err) == (2, True)
        left = tmp_path / "trail.jsonl"
        assert (await terminal.ask("audit", "export", "--out", str(left))).code == 0
        public = (one.settings.home / "checkpoint.pub").read_text().strip()
        marks = read_marks(kept.read_text(), bytes.fromhex(public))
        report = verify_file(left, marks=marks)
        assert (report.faults, report.bodies, len(marks)) == ((), False, 1)
        assert (await terminal.ask("audit", "export", "--bodies", "--out", str(left), "--json")).json["bodies"]
        assert verify_file(left, marks=marks).bodies
        with one.hub.database.write() as connection:
            for (name,) in connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).all():
                connection.execute(text(f'DROP TRIGGER "{name}"'))
            connection.execute(text("UPDATE audit_entry SET actor = 'mallory' WHERE position = 2"))
        said = await terminal.ask("audit", "verify", "--json")
        assert said.code == 1
        assert not said.json["holds"]
        assert said.json["report"]["faults"][0]["position"] == 2
        assert "altered" in (await terminal.ask("audit", "verify")).out


@pytest.mark.subprocess
async def test_serve_says_where_it_is_and_drains_on_a_signal(terminal: Terminal, tmp_path: Path) -> None:
    async with at_work(terminal, tmp_path) as (one, _):
        variables = environment() | {
            "ACCORDANT_HOME": str(one.settings.home),
            "ACCORDANT_CHARTER": str(one.settings.charter),
            "ACCORDANT_STORE": one.settings.store,
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "accordant.cli.main", "serve", "--port", "0"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=variables,
        )
        assert process.stdout is not None
        first = (await asyncio.wait_for(process.stdout.readline(), 30)).decode()
        found = re.search(r"http://127\.0\.0\.1:(\d+) ", first)
        assert found is not None, first
        assert int(found[1]) > 0
        reader, writer = await asyncio.open_connection("127.0.0.1", int(found[1]))
        writer.write(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        await writer.drain()
        assert (await asyncio.wait_for(reader.readline(), 10)).startswith(b"HTTP/1.1 ")
        writer.close()
        process.send_signal(signal.SIGTERM)
        out, err = await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode == 0, err.decode()
        assert "/webhooks/stripe" in out.decode()
        assert "Traceback" not in err.decode()
