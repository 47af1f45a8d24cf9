"""What reconciliation finds between the hub and the stand-ins on both stores: all drift, and no false alarm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from accordant.kernel.errors import ConfigurationError, TransientError
from accordant.kernel.money import Money
from accordant.operations.reconcile import Reconciliation
from accordant.ports.connector import TargetUnavailable
from accordant.ports.reconcile import Cause, DiscrepancyKind
from tests.integration.operations.kit import KEY, MRR, Installation, an_installation, brisk, recharter


def told(found: Reconciliation) -> list[tuple[str, str, str | None, int]]:
    return [(one.kind.value, one.cause.value, one.field, one.count) for one in found.counts]


async def compare(one: Installation, flow: str = "accounts") -> Reconciliation:
    one.clock.move(seconds=1)
    return await one.hub.reconcile(flow, actor="ada")


async def test_after_everything_is_written_both_flows_are_clean(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        one.sell(12)
        await one.settle()
        accounts, subscriptions = await compare(one), await compare(one, "subscriptions")
        assert accounts.is_clean
        assert (accounts.run.records, subscriptions.run.records) == (12, 12)
        assert accounts.run.fields > 12 * 10
        assert told(accounts) == told(subscriptions) == []
        assert accounts.run.finished_at is not None


async def test_an_empty_comparison_proves_nothing(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        found = await compare(one)
        assert found.is_empty
        assert not found.is_clean


async def test_a_hand_edit_is_named_valued_and_repaired_by_one_write(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        customer, *_ = one.sell(5)
        await one.settle()
        one.salesforce.edit("Account", customer, MRR, "7.0", "carl@example.com")
        before = one.writes()
        found = await compare(one)
        assert told(found) == [("field_differs", "hand_edit", MRR, 1)]
        edited = found.shown[0]
        assert (edited.expected, edited.actual) == ("100.00", "7.00")
        assert edited.record == f"salesforce:Account/{customer}"
        assert edited.exposure == (Money(10_000, "USD"),)
        assert found.exposure == (Money(10_000, "USD"),)
        assert edited.repairable
        assert one.writes() == before  # looking changes nothing
        done = one.hub.repair(found.run.id, actor="ada")
        assert (done.records, done.accounts, done.left) == (1, 1, 0)
        await one.deliver()
        assert one.writes() == before + 1
        changed = one.salesforce.effects_of("Account", customer)[-1].changed
        assert set(changed) == {MRR}
        assert (await compare(one)).is_clean


@pytest.mark.parametrize("count", [60, pytest.param(500, marks=pytest.mark.nightly)])
async def test_one_minor_unit_in_so_many_records_is_found_so_many_times(tmp_path: Path, count: int) -> None:
    async with an_installation(f"sqlite:///{tmp_path / 'store.db'}", tmp_path) as one:
        customers = []
        for _ in range(4):
            customers += one.sell(count // 4 + 5)
            await one.settle()
        for customer in customers[:count]:
            one.salesforce.edit("Account", customer, MRR, "100.01", "carl@example.com")
        found = await compare(one)
        assert told(found) == [("field_differs", "hand_edit", MRR, count)]
        assert (found.run.records, found.run.discrepancies) == (count + 20, count)
        assert {one.record.rpartition("/")[2] for one in found.shown} == set(customers[:count])
        assert len(one.hub.book.findings(found.run.id)) == count
        assert found.exposure == (Money(count * 10_000, "USD"),)


async def test_a_record_that_is_gone_and_one_that_nobody_asked_for(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        gone, *_ = one.sell(3)
        await one.settle()
        one.salesforce.edit("Account", gone, KEY, None, "carl@example.com")
        stranger = one.salesforce.create("Account", Name="Stranger", **{KEY: "cus_stranger"})
        found = await compare(one)
        assert told(found) == [
            ("extra_in_target", "not_ours", None, 1),
            ("missing_in_target", "hand_edit", None, 1),
        ]
        extra = next(seen for seen in found.shown if seen.kind is DiscrepancyKind.EXTRA)
        assert (extra.record, extra.target_id) == ("salesforce:Account/cus_stranger", stranger)
        assert (extra.exposure, extra.repairable) == (None, False)
        assert found.unknown_exposure == 1
        done = one.hub.repair(found.run.id, actor="ada")
        assert (done.records, done.left) == (1, 1)
        await one.deliver()
        again = await compare(one)
        assert told(again) == [("extra_in_target", "not_ours", None, 1)]
        assert one.salesforce.record("Account", stranger)["Name"] == "Stranger"


async def test_what_is_on_its_way_is_in_flight_and_no_finding(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        first, *_ = one.sell(3)
        await one.settle()
        one.salesforce.edit("Account", first, MRR, "1.0", "carl@example.com")
        one.sell(2, unit_minor=5_000)
        one.take_in()
        one.process()
        found = await compare(one)
        assert told(found) == [("field_differs", "hand_edit", MRR, 1)]
        assert found.in_flight == 2
        await one.settle()
        assert (await compare(one)).in_flight == 0


async def test_a_write_that_settles_between_the_looks_raises_no_alarm(tmp_path: Path) -> None:
    async with an_installation(f"sqlite:///{tmp_path / 'store.db'}", tmp_path) as one:
        one.sell(4)
        await one.settle()
        outbound = one.hub.outbounds["salesforce"]
        sold = one.sell(3, unit_minor=7_700)
        one.take_in()
        one.process()
        honest = outbound.read

        async def read_late(spec: Any, keys: Any) -> Any:
            held = await honest(spec, keys)
            if not set(keys) & set(sold):
                return held  # the look for records that moved, which is over before the comparison begins
            outbound.read = honest  # type: ignore[method-assign]  # the courier must not come back here
            await one.deliver()
            return held

        outbound.read = read_late  # type: ignore[method-assign]
        found = await compare(one)
        assert told(found) == []
        assert found.in_flight == 3


async def test_a_read_only_flow_shows_what_would_differ(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path, phase="read_only") as one:
        known, *_ = one.sell(3)
        one.salesforce.create("Account", Name="EXAMPLE-0", **{KEY: known, MRR: "1.0"})
        await one.settle()
        assert one.writes() == 1
        found = await compare(one)
        counts = {(kind, cause, field): count for kind, cause, field, count in told(found)}
        assert counts["missing_in_target", "not_written", None] == 2
        assert counts["field_differs", "not_written", MRR] == 1
        assert all(seen.cause is Cause.NOT_WRITTEN and not seen.repairable for seen in found.shown)
        assert "read-only" in found.shown[0].explanation
        assert found.repairable == 0


async def test_a_refused_write_explains_the_difference(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        customer, *_ = one.sell(2)
        one.salesforce.reject("Account", customer, message="Accounts of this kind need a region.")
        await one.settle()
        found = await compare(one)
        assert told(found) == [("missing_in_target", "not_written", None, 1)]
        assert not found.shown[0].repairable
        assert "need a region" in found.shown[0].explanation


async def test_a_paused_flow_explains_the_difference(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        one.hub.pause("system:salesforce", "ada", "trying the switch")
        one.sell(2)
        await one.settle()
        found = await compare(one)
        assert told(found) == [("missing_in_target", "not_written", None, 2)]
        one.hub.resume("system:salesforce", "ada")
        assert (await compare(one)).in_flight == 2
        await one.deliver()
        assert (await compare(one)).is_clean


async def test_two_records_with_one_key_are_told(tmp_path: Path) -> None:
    async with an_installation(f"sqlite:///{tmp_path / 'store.db'}", tmp_path) as one:
        one.salesforce.define_field("Account", KEY, "string", external_id=True, unique=False, length=255)
        customer, *_ = one.sell(2)
        await one.settle()
        one.salesforce.create("Account", Name="Twin", **{KEY: customer})
        found = await compare(one)
        assert ("duplicate_key", "held_twice", None, 1) in told(found)


async def test_an_account_that_was_never_planned_is_found_and_repaired(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        flows = one.hub.charter.flows
        recharter(one.hub, [])
        one.sell(2)
        await one.settle()
        recharter(one.hub, flows)
        found = await compare(one)
        assert told(found) == [("missing_in_target", "not_planned", None, 2)]
        assert one.hub.repair(found.run.id, actor="ada").accounts == 2
        await one.deliver()
        assert (await compare(one)).is_clean


async def test_another_spelling_of_one_amount_is_no_difference(tmp_path: Path) -> None:
    async with an_installation(f"sqlite:///{tmp_path / 'store.db'}", tmp_path) as one:
        one.sell(2, unit_minor=1_200, currency="jpy")
        await one.settle()
        assert (await compare(one)).is_clean
        assert (await compare(one, "subscriptions")).is_clean


async def test_a_target_that_is_down_leaves_the_run_unfinished(store_url: str, tmp_path: Path) -> None:
    async with brisk(store_url, tmp_path) as one:
        one.sell(1)
        await one.settle()
        await one.salesforce.go_down()
        with pytest.raises(TargetUnavailable):
            await compare(one)
        await one.salesforce.come_up()


async def test_a_flow_there_is_not_is_named_with_those_there_are(tmp_path: Path) -> None:
    async with an_installation(f"sqlite:///{tmp_path / 'store.db'}", tmp_path) as one:
        with pytest.raises(ConfigurationError, match="accounts, subscriptions"):
            await compare(one, "invoices")


async def test_the_field_of_a_controlled_flow_that_is_not_released(tmp_path: Path) -> None:
    async with an_installation(f"sqlite:///{tmp_path / 'store.db'}", tmp_path) as one:
        (customer,) = one.sell(1)
        await one.settle()
        recharter(one.hub, [msgspec.structs.replace(flow, write_fields=("Name",)) for flow in one.hub.charter.flows])
        one.hub.replan_accounts()
        await one.deliver()
        one.salesforce.edit("Account", customer, MRR, "3.0", "carl@example.com")
        found = await compare(one)
        assert [(seen.field, seen.repairable) for seen in found.shown] == [(MRR, False)]


async def test_records_of_another_flow_are_its_own_matter(tmp_path: Path) -> None:
    async with an_installation(f"sqlite:///{tmp_path / 'store.db'}", tmp_path) as one:
        one.sell(2)
        await one.settle()
        recharter(one.hub, [msgspec.structs.replace(flow, name=f"new-{flow.name}") for flow in one.hub.charter.flows])
        found = await compare(one, "new-accounts")
        assert told(found) == [("missing_in_target", "not_planned", None, 2)]
        assert found.run.records == 2


async def test_the_same_comparison_twice_at_one_moment_is_refused(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        await one.hub.reconcile("accounts", actor="ada")
        with pytest.raises(TransientError, match="this very moment"):
            await one.hub.reconcile("accounts", actor="bob")
