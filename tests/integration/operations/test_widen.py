"""A flow between stand-ins that is asked for evidence: nothing is written before two persons agreed on it, once."""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import text

from accordant.canonical.charter import FlowPart, Phase
from accordant.canonical.events import EventType
from accordant.charters import connector_evidence
from accordant.kernel.errors import RejectedError
from accordant.kernel.hashing import digest, fingerprint
from accordant.operations.pack import Choice, pack_file
from accordant.operations.widen import PROPOSAL_LASTS, WideningRefused
from accordant.pipeline.dispatch import NONESSENTIAL_WAIT_S
from accordant.ports.outbox import LeasedIntent
from accordant.ports.phases import ProposalAltered, ProposalSpent, ProposalUnknown
from accordant.views.phases import phase_board
from accordant.views.trace import trace
from tests.integration.operations.kit import MRR, Installation, an_installation, recharter

GATE = """\
phases:
  clean_days: 1
  min_events: 5
  sampled_traces: 2
  event_types: [customer.created, subscription.activated]
  approvers: [Bo, Cy]
  exempt_stand_ins: false
"""
ACCOUNTS = "accounts"
WHY = "Two weeks of shadow agree."


@asynccontextmanager
async def a_company(store: str, folder: Path) -> AsyncIterator[Installation]:
    """Two customers, heard and compared; nothing written."""
    async with an_installation(store, folder, more=GATE) as one:
        one.hub.enforce_charter()
        one.sell(2)
        await one.settle()
        yield one


async def compared(one: Installation) -> Installation:
    """Reconcile as a schedule would: the evidence is then green."""
    for flow in (ACCOUNTS, "subscriptions"):
        await one.hub.reconcile(flow, actor="schedule")
    await one.hub.compare_source("stripe", actor="schedule")
    one.clock.move(seconds=1)
    return one


async def requested(one: Installation) -> str:
    await compared(one)
    proposal, _ = one.hub.phase_office.request(ACCOUNTS, Phase.CONTROLLED, actor="Ada", reason=WHY)
    return proposal


def in_force(one: Installation, flow: str = ACCOUNTS) -> Phase:
    return one.hub.phase_office.standing()[flow].phase


def approve(one: Installation, proposal: str, actor: str = "Bo") -> None:
    one.hub.phase_office.approve(proposal, actor=actor, reason="Read and agreed.")


async def test_from_reading_to_writing_and_back(store_url: str, tmp_path: Path) -> None:
    async with a_company(store_url, tmp_path) as one:
        assert one.writes() == 0
        assert one.hub.environment == "demo"
        proposal = await requested(one)
        assert in_force(one) is Phase.READ_ONLY
        approve(one, proposal)
        assert in_force(one) is Phase.CONTROLLED
        assert in_force(one, "subscriptions") is Phase.READ_ONLY
        await one.settle()
        assert one.writes() == 2, "each account once, and no subscription"

        one.hub.phase_office.narrow(ACCOUNTS, Phase.READ_ONLY, actor="Ada", reason="Amounts look wrong.")
        one.sell(1)
        await one.settle()
        assert one.writes() == 2
        again = await requested(one)
        approve(one, again, actor="Cy")
        await one.settle()
        assert one.writes() == 3, "what was only compared meanwhile is written after all"


async def test_what_is_missing_is_named_and_nothing_is_requested(store_url: str, tmp_path: Path) -> None:
    async with a_company(store_url, tmp_path) as one:
        with pytest.raises(WideningRefused, match=r"not green.*reconciled"):
            one.hub.phase_office.request(ACCOUNTS, Phase.CONTROLLED, actor="Ada", reason=WHY)
        red = {item.name for item in one.hub.phase_office.evidence(ACCOUNTS).red}
        assert red == {"reconciled", "source-reconciled"}
        await compared(one)
        assert one.hub.phase_office.evidence(ACCOUNTS).is_green
        (board, _) = phase_board(one.hub.database, one.hub.charter, one.hub.phase_office.standing(), now=one.clock())
        assert (board.in_force, board.proposals) == (Phase.READ_ONLY, ())


async def test_who_may_approve(store_url: str, tmp_path: Path) -> None:
    async with a_company(store_url, tmp_path) as one:
        proposal = await requested(one)
        for actor, told in (("Ada", "cannot approve"), (" aDA ", "cannot approve"), ("Zed", "no approver")):
            with pytest.raises(WideningRefused, match=told):
                approve(one, proposal, actor)
        with pytest.raises(RejectedError, match="named person"):
            one.hub.phase_office.approve(proposal, actor="Bo", reason=" ")
        with pytest.raises(ProposalUnknown):
            approve(one, "ask_nothing")
        assert in_force(one) is Phase.READ_ONLY
        approve(one, proposal, actor="bo")
        with pytest.raises(ProposalSpent):
            approve(one, proposal, actor="Cy")


async def test_an_approver_who_requests_needs_another_one(tmp_path: Path) -> None:
    async with a_company(f"sqlite:///{tmp_path}/store.db", tmp_path) as one:
        await compared(one)
        proposal, _ = one.hub.phase_office.request(ACCOUNTS, Phase.CONTROLLED, actor="Bo", reason=WHY)
        with pytest.raises(WideningRefused, match="requested this"):
            approve(one, proposal, "Bo")
        approve(one, proposal, "Cy")


async def test_a_proposal_runs_out(tmp_path: Path) -> None:
    async with a_company(f"sqlite:///{tmp_path}/store.db", tmp_path) as one:
        proposal = await requested(one)
        one.clock.at += PROPOSAL_LASTS
        await compared(one)
        with pytest.raises(WideningRefused, match="ran out"):
            approve(one, proposal)


async def test_evidence_that_turned_red_since_the_request_stops_the_approval(tmp_path: Path) -> None:
    async with a_company(f"sqlite:///{tmp_path}/store.db", tmp_path) as one:
        proposal = await requested(one)
        one.clock.at += timedelta(days=3)  # nobody compared meanwhile
        with pytest.raises(WideningRefused, match="reconciled"):
            approve(one, proposal)
        assert in_force(one) is Phase.READ_ONLY


async def test_no_phase_is_skipped_and_none_is_widened_by_narrowing(tmp_path: Path) -> None:
    async with a_company(f"sqlite:///{tmp_path}/store.db", tmp_path) as one:
        await compared(one)
        with pytest.raises(WideningRefused, match="at once"):
            one.hub.phase_office.request(ACCOUNTS, Phase.AUTOMATED, actor="Ada", reason=WHY)
        with pytest.raises(WideningRefused, match="already"):
            one.hub.phase_office.request(ACCOUNTS, Phase.READ_ONLY, actor="Ada", reason=WHY)
        with pytest.raises(WideningRefused, match="not narrower"):
            one.hub.phase_office.narrow(ACCOUNTS, Phase.CONTROLLED, actor="Ada", reason="It should write.")


def flows(one: Installation, **changes: object) -> tuple[FlowPart, ...]:
    first, *rest = one.hub.charter.flows
    return (msgspec.structs.replace(first, **changes), *rest)


async def test_a_charter_that_changed_meanwhile_voids_request_and_grant(tmp_path: Path) -> None:
    async with a_company(f"sqlite:///{tmp_path}/store.db", tmp_path) as one:
        before = one.hub.charter.flows
        fewer, all_of_them = before[0].write_fields[:-1], before[0].write_fields
        recharter(one.hub, flows(one, write_fields=fewer))
        proposal = await requested(one)
        recharter(one.hub, flows(one, write_fields=all_of_them))
        with pytest.raises(WideningRefused, match="otherwise than when"):
            approve(one, proposal)
        recharter(one.hub, flows(one, write_fields=fewer))
        approve(one, proposal)
        assert in_force(one) is Phase.CONTROLLED
        recharter(one.hub, flows(one, write_fields=fewer[:-1]))
        assert in_force(one) is Phase.CONTROLLED, "fewer fields were approved with the others"
        recharter(one.hub, flows(one, write_fields=all_of_them))
        assert in_force(one) is Phase.READ_ONLY
        assert all_of_them[-1] in one.hub.phase_office.standing()[ACCOUNTS].text


async def test_a_charter_that_narrowed_does_not_bring_the_grant_back(store_url: str, tmp_path: Path) -> None:
    async with a_company(store_url, tmp_path) as one:
        approve(one, await requested(one))
        wished = one.hub.charter.flows
        recharter(one.hub, flows(one, phase=Phase.READ_ONLY))
        one.hub.enforce_charter()
        recharter(one.hub, wished)
        one.hub.enforce_charter()
        assert in_force(one) is Phase.READ_ONLY
        assert "The charter that came into force wishes no more" in one.hub.phase_office.standing()[ACCOUNTS].text


def lease(one: Installation) -> tuple[LeasedIntent, ...]:
    now = one.clock()
    return one.hub.outbox.claim(
        target="salesforce", limit=10, now=now, lease_until=now + timedelta(minutes=2), paused_flows=frozenset()
    )


async def test_a_narrowing_stops_what_is_leased_already(store_url: str, tmp_path: Path) -> None:
    async with a_company(store_url, tmp_path) as one:
        approve(one, await requested(one))
        one.process()
        leased = [each for each in lease(one) if not each.shadow]
        assert leased
        changing = frozenset(leased[0].intent.fields)
        assert all(one.hub._open_gate()(each, changing) is None for each in leased)
        began = time.monotonic()
        one.hub.phase_office.narrow(ACCOUNTS, Phase.READ_ONLY, actor="Ada", reason="Stop at once.")
        stops = [one.hub._open_gate()(each, changing) for each in leased]
        assert time.monotonic() - began < 1.0
        assert all(stop is not None and stop.final for stop in stops)


async def test_what_was_given_up_is_planned_again_after_the_next_widening(store_url: str, tmp_path: Path) -> None:
    """Narrowed and widened between two rounds of the desk: it should hold the same, and yet nothing was sent."""
    async with a_company(store_url, tmp_path) as one:
        approve(one, await requested(one))
        one.process()
        one.hub.phase_office.narrow(ACCOUNTS, Phase.READ_ONLY, actor="Ada", reason="Stop at once.")
        await one.deliver()
        assert one.writes() == 0
        approve(one, await requested(one), actor="Cy")
        await one.settle()
        assert one.writes() == 2


async def test_intake_goes_on_whatever_is_narrowed_or_frozen(tmp_path: Path) -> None:
    async with a_company(f"sqlite:///{tmp_path}/store.db", tmp_path) as one:
        one.hub.phase_office.narrow(ACCOUNTS, Phase.DRAFT, actor="Ada", reason="Nothing at all.")
        for switch in ("writes", "nonessential", "customers-and-money", "object:salesforce/Account", "class:renewals"):
            one.hub.pause(switch, "Ada", "A drill.")
        one.sell(3)
        assert one.take_in() > 0
        one.process()
        assert len(one.hub.state.account_ids()) == 5


async def test_while_the_nonessential_is_frozen_money_goes_out(store_url: str, tmp_path: Path) -> None:
    """Two customers change: one only its name, the other its plan. The name waits, and goes when the freeze ends."""
    async with an_installation(store_url, tmp_path) as one:
        first, second = one.sell(2)
        await one.settle()
        one.hub.pause("nonessential", "Ada", "Only money today.")
        account = one.stripe.account
        account.book.advance_to(account.book.now + 60)
        one.clock.move(minutes=2)
        for customer in (first, second):
            held_by = account.book.table("customer")[customer]
            account.book.change(held_by, "customer.updated", name=f"EXAMPLE-{customer}")
        product = account.create_product({"name": "Team", "metadata": {}})
        price = account.create_price(product, currency="usd", unit_amount=25_000, interval="month")
        account.billing.subscribe(account.book.table("customer")[second], [(price, 1)])
        await one.settle()
        held, sent = (one.salesforce.record("Account", customer) for customer in (first, second))
        assert (held["Name"], sent["Name"]) == ("EXAMPLE-0", f"EXAMPLE-{second}")
        assert sent[MRR] != held[MRR]
        one.hub.resume("nonessential", "Ada")
        one.clock.move(seconds=NONESSENTIAL_WAIT_S * 2)
        await one.deliver()
        assert one.salesforce.record("Account", first)["Name"] == f"EXAMPLE-{first}"


async def test_one_object_is_stopped_and_its_neighbour_is_not(tmp_path: Path) -> None:
    async with an_installation(f"sqlite:///{tmp_path}/store.db", tmp_path) as one:
        one.sell(1)
        await one.settle()
        before = one.writes()
        one.hub.pause("object:salesforce/Billing_Subscription__c", "Ada", "The object is being rebuilt.")
        one.sell(1)
        await one.settle()
        assert one.writes() == before + 1, "the account, and not the subscription"
        one.hub.resume("object:salesforce/Billing_Subscription__c", "Ada")
        await one.deliver()
        assert one.writes() == before + 2


# -- a byte changed after the fact (GO2) -------------------------------------------------------------------------------


def forge(one: Installation, table: str, column: str, place: int) -> None:
    """Change one byte of the newest row, as somebody with the database's own password could."""
    with one.hub.database.write_unaudited() as connection:
        connection.execute(text(f"DROP TRIGGER IF EXISTS append_only_{table}_update"))
        body = bytes(connection.execute(text(f"SELECT {column} FROM {table}")).scalar_one())  # noqa: S608  our own names
        at = place % len(body)
        changed = body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
        connection.execute(text(f"UPDATE {table} SET {column} = :body"), {"body": changed})  # noqa: S608  our own names


@pytest.mark.parametrize("place", [0, 13, 101, 997, 5003, -2])
@pytest.mark.parametrize("table", ["evidence_pack", "phase_proposal"])
async def test_one_byte_of_a_request_changed_and_nothing_is_granted(tmp_path: Path, table: str, place: int) -> None:
    async with a_company(f"sqlite:///{tmp_path}/store.db", tmp_path) as one:
        proposal = await requested(one)
        forge(one, table, "body", place)
        with pytest.raises(ProposalAltered):
            approve(one, proposal)
        assert in_force(one) is Phase.READ_ONLY


@pytest.mark.parametrize("place", [0, 13, 101, 211, 307, -2])
async def test_one_byte_of_a_grant_changed_and_it_is_worth_nothing(tmp_path: Path, place: int) -> None:
    async with a_company(f"sqlite:///{tmp_path}/store.db", tmp_path) as one:
        approve(one, await requested(one))
        assert in_force(one) is Phase.CONTROLLED
        forge(one, "phase_grant", "body", place)
        assert in_force(one) is Phase.READ_ONLY
        assert "altered" in one.hub.phase_office.standing()[ACCOUNTS].text


# -- what stays behind -------------------------------------------------------------------------------------------------


async def test_the_pack_is_one_file_that_proves_itself(tmp_path: Path) -> None:
    async with a_company(f"sqlite:///{tmp_path}/store.db", tmp_path) as one:
        proposal = await requested(one)
        kept = one.hub.phases.read(proposal)
        choice = Choice(connectors=connector_evidence())
        archive = pack_file(kept.pack, choice)
        assert archive == pack_file(kept.pack, choice)
        with zipfile.ZipFile(io.BytesIO(archive)) as files:
            manifest = json.loads(files.read("manifest.json"))
            assert {name: digest(files.read(name)).hex() for name in manifest} == manifest
            page = files.read("evidence.md").decode()
        assert manifest["evidence.json"] == kept.proposal.evidence == fingerprint(kept.pack)
        assert "Verdict: **green**" in page
        assert "| reconciled | yes |" in page


async def test_a_paid_and_a_blocked_payout_are_followed_into_the_pack(store_url: str, tmp_path: Path) -> None:
    async with a_company(store_url, tmp_path) as one:
        account = one.stripe.account

        def item() -> tuple[bool, str]:
            pack = one.hub.phase_office.evidence(ACCOUNTS)
            found = next(item for item in pack.items if item.name == "payouts")
            return found.is_green, found.figure

        phases = msgspec.structs.replace(
            one.hub.charter.phases, event_types=(EventType.PAYOUT_PAID, EventType.PAYOUT_FAILED)
        )
        one.hub.charter = msgspec.structs.replace(one.hub.charter, phases=phases)
        recharter(one.hub, one.hub.charter.flows)
        assert item() == (False, "0 paid, 0 blocked")
        book = account.book
        book.advance_to(book.now + 10 * 86_400)
        assert account.pay_out_everything()
        book.advance_to(book.now + 10 * 86_400)
        await one.settle()
        assert item() == (False, "1 paid, 0 blocked")
        account.payments.fail_payout(next(iter(book.table("payout").values())))
        await one.settle()
        assert item() == (True, "1 paid, 1 blocked")
        pack = one.hub.phase_office.evidence(ACCOUNTS)
        rows = pack.tables["payouts"]
        assert sorted(row[2] for row in rows[1:]) == ["blocked", "paid"]
        assert {row[4] for row in rows[1:]} == {""}
        paid = next(row for row in rows[1:] if row[2] == "paid")
        seen = trace(one.hub.database, int(paid[1]))
        assert seen is not None
        assert [event.type for event in seen.business_events] == [EventType.PAYOUT_PAID]
        archive = pack_file(pack, Choice(connectors=()))
        assert '"payouts"' in zipfile.ZipFile(io.BytesIO(archive)).read("evidence.json").decode()


async def test_request_grant_and_narrowing_are_in_the_trail(tmp_path: Path) -> None:
    async with a_company(f"sqlite:///{tmp_path}/store.db", tmp_path) as one:
        approve(one, await requested(one))
        one.hub.phase_office.narrow(ACCOUNTS, Phase.READ_ONLY, actor="Ada", reason="Amounts look wrong.")
        with one.hub.database.read() as connection:
            rows = connection.execute(
                text("SELECT kind, actor FROM audit_entry WHERE kind LIKE 'phases.%' ORDER BY position")
            ).all()
        assert [tuple(row) for row in rows] == [
            ("phases.widening.requested", "Ada"),
            ("phases.flow.widened", "Bo"),
            ("phases.flow.narrowed", "Ada"),
        ]
        board = phase_board(one.hub.database, one.hub.charter, one.hub.phase_office.standing(), now=one.clock())
        history = board[0].history
        assert [grant.phase for grant in history] == [Phase.READ_ONLY, Phase.CONTROLLED]
