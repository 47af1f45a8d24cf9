"""A gate holds a customer's records until the check is recorded, from planning to the last moment before the write."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import select

from accordant.canonical.charter import GatePart
from accordant.canonical.clearances import CheckKind, CheckStatus, Clearance, GateAction
from accordant.canonical.refs import EntityKind
from accordant.kernel.errors import RejectedError
from accordant.ports.audit import AuditEntry
from accordant.store.schema import audit_entry, write_intent
from accordant.views.clearances import clearances, clearances_of
from tests.integration.operations.kit import MRR, Installation, an_installation, recharter

GATE = GatePart(
    name="kyc-first",
    check=CheckKind.KYC,
    entity=EntityKind.ACCOUNT,
    purpose="Nobody sells to a stranger.",
    next_action="Ask compliance to finish the check.",
    evidence_days_max=30,
)


def gate(one: Installation, *gates: GatePart) -> None:
    one.hub.charter = msgspec.structs.replace(one.hub.charter, gates=gates)
    recharter(one.hub, one.hub.charter.flows)


def a_finding(
    one: Installation, account_id: str, status: CheckStatus = CheckStatus.PASSED, **changes: object
) -> Clearance:
    return Clearance(
        account_id=account_id, check=CheckKind.KYC, status=status, evidence="case 4711", checked_at=one.clock(),
        recorded_by="Ada", recorded_at=one.clock(), reason="Because." if status is CheckStatus.FAILED else "",
    )  # fmt: skip


def intents(one: Installation, flow: str = "accounts") -> list[tuple[int, str]]:
    query = select(write_intent.c.revision, write_intent.c.state).where(write_intent.c.flow == flow)
    with one.hub.database.read() as connection:
        return sorted((row.revision, row.state) for row in connection.execute(query))


async def test_nothing_is_written_until_the_check_is_recorded(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        gate(one, GATE)
        one.sell(1)
        await one.settle()
        (account_id,) = one.hub.state.account_ids()
        assert [state for _, state in intents(one)][-1] == "held"
        assert one.salesforce.count("Account") == 0
        found = await one.hub.reconcile("accounts", actor="Ada")
        assert "Ask compliance to finish the check." in " ".join(item.explanation for item in found.shown)
        (line,) = clearances_of(one.hub.database, one.hub.charter, account_id, now=one.clock())
        assert (line.finding, line.is_open) == (None, False)

        one.hub.clear(a_finding(one, account_id))
        await one.deliver()
        assert one.salesforce.count("Account") == 1
        states = [state for _, state in intents(one)]
        assert states[-1] == "applied"
        assert "held" not in states
        seen = clearances(one.hub.database, one.hub.charter, now=one.clock())
        assert [(each.open, each.held, each.unknown) for each in seen.gates] == [(1, 0, 0)]
        with one.hub.database.read() as connection:
            kind = "compliance.clearance.recorded"
            rows = connection.execute(select(audit_entry.c.actor).where(audit_entry.c.kind == kind)).all()
        assert [row.actor for row in rows] == ["Ada"]


async def test_a_check_that_fails_after_planning_stops_the_write_at_the_last_moment(
    store_url: str, tmp_path: Path
) -> None:
    async with an_installation(store_url, tmp_path) as one:
        gate(one, GATE)
        one.sell(1)
        one.take_in()
        one.process()
        (account_id,) = one.hub.state.account_ids()
        one.hub.clear(a_finding(one, account_id))
        # Told behind the desk's back: only the dispatch can still notice.
        entry = AuditEntry(
            kind="compliance.clearance.recorded", actor="Ada", subject=f"account/{account_id}", cause=None,
            at=one.clock(), body={},
        )  # fmt: skip
        one.hub.clearances.record(a_finding(one, account_id, CheckStatus.FAILED), entry=entry)
        await one.hub.deliver_round("salesforce")
        assert one.salesforce.count("Account") == 0
        assert {state for _, state in intents(one)} <= {"pending", "superseded", "held"}
        one.clock.move(minutes=5)
        one.hub.clear(a_finding(one, account_id))
        await one.deliver()
        assert one.salesforce.count("Account") == 1


async def test_evidence_that_grows_old_holds_again_and_a_new_check_lets_go(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        gate(one, GATE)
        (customer,) = one.sell(1)
        one.take_in()
        one.process()
        (account_id,) = one.hub.state.account_ids()
        one.hub.clear(a_finding(one, account_id))
        await one.settle()
        assert one.salesforce.count("Account") == 1
        one.clock.move(days=31)
        one.stripe.advance(60)
        book = one.stripe.account.book
        book.change(book.get("customer", customer), "customer.updated", name="EXAMPLE-9")
        await one.settle()
        assert one.salesforce.record("Account", customer)["Name"] != "EXAMPLE-9"
        assert intents(one)[-1][1] == "held"
        one.hub.clear(a_finding(one, account_id))
        await one.deliver()
        assert one.salesforce.record("Account", customer)["Name"] == "EXAMPLE-9"


async def test_a_gate_before_money_lets_the_rest_be_written(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        gate(one, msgspec.structs.replace(GATE, action=GateAction.WRITE_FINANCIAL))
        (customer,) = one.sell(1)
        await one.settle()
        record = one.salesforce.record("Account", customer)
        assert record["Name"] == "EXAMPLE-0"
        assert record.get(MRR) is None
        (account_id,) = one.hub.state.account_ids()
        one.hub.clear(a_finding(one, account_id))
        await one.deliver()
        assert one.salesforce.record("Account", customer)[MRR] is not None


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"account_id": "acc_nobody"}, "keeps no customer"),
        ({"check": CheckKind.VAT}, "No gate of the charter asks for vat"),
        ({"evidence": " "}, "named evidence"),
        ({"recorded_by": ""}, "named person"),
        ({"evidence": "x" * 201}, "201 characters"),
        ({"status": CheckStatus.FAILED, "reason": ""}, "nobody could say why"),
        ({"later": True}, "still to come"),
    ],
    ids=["stranger", "no gate asks", "no evidence", "nobody", "a document", "no reason", "tomorrow"],
)
async def test_a_finding_that_could_not_be_explained_is_not_recorded(
    tmp_path: Path, changes: dict[str, object], says: str
) -> None:
    async with an_installation(f"sqlite:///{tmp_path / 'store.db'}", tmp_path) as one:
        gate(one, GATE)
        one.sell(1)
        one.take_in()
        one.process()
        (account_id,) = one.hub.state.account_ids()
        if changes.pop("later", None):
            changes = {"checked_at": one.clock() + timedelta(days=1)}
        found = msgspec.structs.replace(a_finding(one, account_id), **changes)
        with pytest.raises(RejectedError, match=says):
            one.hub.clear(found)
        assert one.hub.state.clearances([account_id]) == {}
