"""A person's word on a conflict, between two stand-ins: through court and desk, in force until the owner speaks."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from accordant.canonical.charter import Winner
from accordant.canonical.clearances import CheckStatus
from accordant.canonical.conflicts import Choice, ConflictRule, ConflictState, Side
from accordant.governance.loop_breaker import RETURNS_MAX
from accordant.kernel.errors import RejectedError
from accordant.operations.restore import ConflictClosed, ConflictUnknown, RestoreOrder
from accordant.store.audit import verify_chain
from accordant.views.conflicts import ConflictLine, conflicts
from accordant.views.status import trouble_counts
from accordant.views.trouble import trouble
from tests.integration.operations.kit import MRR, Installation, an_installation, recharter
from tests.integration.operations.test_clearances import GATE, a_finding, gate

NAME, TYPED = "Name", "Typed by hand"
GRACE = "grace@example.com"


def let_win(one: Installation, winner: Winner) -> None:
    """The same charter with another winner rule, where the rule is free: a financial entity has none."""
    ownership = tuple(
        msgspec.structs.replace(part, winner=winner) if part.entity == "account" else part
        for part in one.hub.charter.ownership
    )
    one.hub.charter = msgspec.structs.replace(one.hub.charter, ownership=ownership)
    recharter(one.hub, one.hub.charter.flows)


def held(one: Installation, customer: str, field: str = NAME) -> object:
    return one.salesforce.record("Account", customer)[field]


def lines(one: Installation) -> tuple[ConflictLine, ...]:
    return conflicts(one.hub.database, now=one.clock()).lines


def order(line: ConflictLine, choice: Choice, *, reason: str = "Legal says so.", actor: str = "ada") -> RestoreOrder:
    return RestoreOrder(conflict_id=line.conflict.id, choice=choice, actor=actor, reason=reason)


async def rename(one: Installation, customer: str, name: str) -> None:
    """The owner says another name."""
    book = one.stripe.account.book
    book.advance_to(book.now + 60)
    one.clock.move(minutes=1)
    book.change(book.get("customer", customer), "customer.updated", name=name)
    await one.settle()


async def write_again(one: Installation, customer: str) -> None:
    """Plan and write the record again, as a repair does."""
    one.clock.move(minutes=1)
    one.hub.replan_accounts(repair=frozenset({f"salesforce:Account/{customer}"}))
    await one.deliver()


def trail_is_sound(one: Installation) -> bool:
    with one.hub.database.read() as connection:
        return verify_chain(connection).faults == ()


async def test_what_lost_is_brought_back_survives_replanning_and_lapses(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        (customer,) = one.sell(1)
        await one.settle()
        one.salesforce.edit("Account", customer, NAME, TYPED, GRACE)
        await write_again(one, customer)
        assert held(one, customer) == "EXAMPLE-0"
        (line,) = lines(one)
        assert (line.state, line.conflict.contested.ruling.winner) == (ConflictState.RULED, Side.OWNER)
        assert line.conflict.contested.target.at is not None
        done = one.hub.restore(order(line, Choice.TARGET))
        assert (done.prospect.value, done.prospect.wanted) == (TYPED, "EXAMPLE-0")
        await one.deliver()
        assert held(one, customer) == TYPED
        # Nothing but the owner's own word ends it: not a new day, not a repair, not another fact of the account.
        for _ in range(2):
            await write_again(one, customer)
        assert held(one, customer) == TYPED
        assert (await one.hub.reconcile("accounts", actor="ada")).is_clean
        (line,) = lines(one)
        assert line.state is ConflictState.DECIDED
        desired = one.hub.state.desired([f"salesforce:Account/{customer}"])[f"salesforce:Account/{customer}"]
        assert any("Decided by ada" in note for note in desired.notes)
        await rename(one, customer, "Renamed GmbH")
        assert held(one, customer) == "Renamed GmbH"
        (line,) = lines(one)
        assert (line.state, line.stand) == (ConflictState.LAPSED, None)
        assert trail_is_sound(one)


async def test_a_person_decides_what_the_charter_leaves_to_a_person(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        first, second = one.sell(2)
        await one.settle()
        let_win(one, Winner.PERSON)
        for customer in (first, second):
            one.salesforce.edit("Account", customer, NAME, TYPED, GRACE)
            await write_again(one, customer)
            assert held(one, customer) == TYPED
        with one.hub.database.read() as connection:
            assert trouble_counts(connection).conflicts == 2
        (group,) = (one for one in trouble(one.hub.database, now=one.clock()).groups if one.kind == "conflict")
        assert len(group.items) == 2
        by_record = {line.conflict.record.rpartition("/")[2]: line for line in lines(one)}
        one.hub.restore(order(by_record[first], Choice.OWNER))
        one.hub.restore(order(by_record[second], Choice.TARGET))
        await one.deliver()
        assert (held(one, first), held(one, second)) == ("EXAMPLE-0", TYPED)
        assert {line.state for line in lines(one)} == {ConflictState.DECIDED}
        with one.hub.database.read() as connection:
            assert trouble_counts(connection).conflicts == 0
        # A second edit of what was decided is a new conflict, not the old word's business.
        one.salesforce.edit("Account", first, NAME, "Typed again", GRACE)
        await write_again(one, first)
        assert held(one, first) == "Typed again"
        assert lines(one)[0].state is ConflictState.OPEN


async def test_reconciliation_and_the_courier_meet_the_same_conflict(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        (customer,) = one.sell(1)
        await one.settle()
        one.salesforce.edit("Account", customer, MRR, "7.0", GRACE)
        found = await one.hub.reconcile("accounts", actor="ada")
        assert found.repairable == 1
        (line,) = lines(one)
        assert (line.conflict.found_by, line.conflict.contested.ruling.rule) == (
            "reconciliation",
            ConflictRule.FINANCIAL,
        )
        one.hub.repair(found.run.id, actor="ada")
        one.clock.move(minutes=1)
        await one.deliver()
        assert [line.conflict.id for line in lines(one)] == [line.conflict.id]
        assert (await one.hub.reconcile("accounts", actor="ada")).is_clean


async def test_reconciliation_holds_what_a_person_decides(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        (customer,) = one.sell(1)
        await one.settle()
        let_win(one, Winner.PERSON)
        one.salesforce.edit("Account", customer, NAME, TYPED, GRACE)
        first = await one.hub.reconcile("accounts", actor="ada")
        assert [(one.cause.value, one.count) for one in first.counts] == [("conflict", 1)]
        one.clock.move(minutes=1)
        again = await one.hub.reconcile("accounts", actor="ada")
        assert [(one.cause.value, one.count) for one in again.counts] == [("conflict", 1)]
        assert first.repairable == again.repairable == 0
        (line,) = lines(one)
        one.hub.restore(order(line, Choice.TARGET))
        one.clock.move(minutes=1)
        await one.deliver()
        assert (await one.hub.reconcile("accounts", actor="ada")).is_clean


async def test_the_court_may_refuse_and_nothing_is_kept_of_it(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        (customer,) = one.sell(1)
        await one.settle()
        one.salesforce.edit("Account", customer, MRR, "7.0", GRACE)
        await write_again(one, customer)
        (line,) = lines(one)
        with pytest.raises(ConflictClosed, match="wins always"):
            one.hub.restore(order(line, Choice.TARGET))
        assert [(each.choice, each.is_refused) for each in one.hub.prospects(line.conflict.id)] == [
            (Choice.OWNER, False),
            (Choice.TARGET, True),
        ]
        assert one.hub.conflicts.decisions(line.conflict.id) == ()
        assert one.hub.conflicts.stand(line.conflict.record, MRR) is None


async def test_a_pause_holds_a_restored_value_and_a_release_lets_it_go(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        (customer,) = one.sell(1)
        await one.settle()
        one.salesforce.edit("Account", customer, NAME, TYPED, GRACE)
        await write_again(one, customer)
        (line,) = lines(one)
        one.hub.pause("accounts", "ada", "Looking.")
        done = one.hub.restore(order(line, Choice.TARGET))
        assert "paused" in done.prospect.because
        await one.deliver()
        assert held(one, customer) == "EXAMPLE-0"
        one.hub.resume("accounts", "ada")
        one.clock.move(minutes=1)
        await one.deliver()
        assert held(one, customer) == TYPED


async def test_a_gate_holds_a_restored_value_until_the_check_is_recorded(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        (customer,) = one.sell(1)
        await one.settle()
        one.salesforce.edit("Account", customer, NAME, TYPED, GRACE)
        await write_again(one, customer)
        (line,) = lines(one)
        gate(one, GATE)
        assert {prospect.because.count("kyc-first") > 0 for prospect in one.hub.prospects(line.conflict.id)} == {True}
        one.hub.clear(a_finding(one, line.conflict.account_id))
        assert [prospect.because for prospect in one.hub.prospects(line.conflict.id)] == ["", ""]
        one.hub.clear(a_finding(one, line.conflict.account_id, CheckStatus.FAILED))
        done = one.hub.restore(order(line, Choice.TARGET))
        assert "Ask compliance to finish the check." in done.prospect.because
        await one.deliver()
        assert held(one, customer) == "EXAMPLE-0"
        one.clock.move(minutes=1)
        one.hub.clear(a_finding(one, line.conflict.account_id))
        await one.deliver()
        assert held(one, customer) == TYPED


async def test_a_decision_is_taken_once_by_a_named_person_for_a_reason(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        (customer,) = one.sell(1)
        await one.settle()
        one.salesforce.edit("Account", customer, NAME, TYPED, GRACE)
        await write_again(one, customer)
        (line,) = lines(one)
        for bad in (
            order(line, Choice.TARGET, reason=" "),
            order(line, Choice.TARGET, actor=""),
            order(line, Choice.TARGET, reason="x" * 301),
        ):
            with pytest.raises(RejectedError, match="named person"):
                one.hub.restore(bad)
        with pytest.raises(ConflictClosed, match="in force"):
            one.hub.restore(order(line, Choice.OWNER))
        with pytest.raises(ConflictClosed, match="owner or target"):
            one.hub.restore(order(line, Choice.RELEASE))
        with pytest.raises(ConflictUnknown):
            one.hub.restore(RestoreOrder(conflict_id="cfl_none", choice=Choice.OWNER, actor="ada", reason="Why."))
        one.hub.restore(order(line, Choice.TARGET))
        with pytest.raises(ConflictClosed, match="in force"):
            one.hub.restore(order(line, Choice.TARGET, actor="bob"))
        await one.deliver()
        # It can be taken back, as a new act; the first stays on record.
        one.hub.restore(order(line, Choice.OWNER, actor="bob"))
        await one.deliver()
        assert held(one, customer) == "EXAMPLE-0"
        said = [(each.actor, each.choice) for each in one.hub.conflicts.decisions(line.conflict.id)]
        assert said == [("ada", Choice.TARGET), ("bob", Choice.OWNER)]


async def test_a_loop_is_stopped_and_a_person_lets_it_go_on(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        (customer,) = one.sell(1)
        await one.settle()
        for _ in range(RETURNS_MAX + 1):
            one.salesforce.edit("Account", customer, NAME, TYPED, GRACE)
            await write_again(one, customer)
        assert held(one, customer) == TYPED
        newest = lines(one)[0]
        assert (newest.state, newest.conflict.contested.ruling.rule) == (ConflictState.OPEN, ConflictRule.LOOP)
        with pytest.raises(ConflictClosed, match="release"):
            one.hub.restore(order(newest, Choice.TARGET))
        one.hub.restore(order(newest, Choice.RELEASE, reason="The other tool was switched off."))
        await one.deliver()
        assert held(one, customer) == "EXAMPLE-0"
        with pytest.raises(ConflictClosed, match="not held"):
            one.hub.restore(order(newest, Choice.RELEASE))
