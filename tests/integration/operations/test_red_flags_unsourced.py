"""A record with our key that nobody wrote is a red flag, with a packet that says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from accordant.canonical.red_flag_kinds import RedFlagKind
from accordant.operations.flag_desk import ApprovalRefused
from accordant.store.epochs import SqlEpochBook
from tests.integration.operations.kit import KEY, MRR, Installation, an_installation
from tests.integration.operations.test_red_flags import CHARTER, WHY, desk, flags, named, rename, seen

TWO = "  two_persons: [unsourced_change]\n"
THIEF = "carl@example.com"


async def compare(one: Installation) -> None:
    one.clock.move(minutes=1)
    await one.hub.reconcile("accounts", actor="ada")


def planted(one: Installation, key: str, user: str = THIEF) -> str:
    """A record with a key of ours and money in a field of ours, by somebody; its id there."""
    return one.salesforce.create("Account", user, Name="Planted", **{KEY: key, MRR: 9_000})


async def test_a_record_with_our_key_that_we_never_wrote_stops_its_customer(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path, more=CHARTER + TWO) as one:
        (neighbor,) = one.sell(1)
        await one.settle()
        planted(one, "cus_of_old")
        await compare(one)
        assert flags(one) == (), "it was there before the hub looked after it"
        (customer,) = one.sell(1)
        record = planted(one, customer)
        await compare(one)
        await compare(one)
        (flag,) = flags(one)
        assert (flag.kind, flag.subject) == (RedFlagKind.UNSOURCED_CHANGE, f"salesforce:Account/{customer}")
        assert flag.account_id is None
        rename(one, [customer, neighbor])
        await one.settle()
        assert named(one, neighbor) == f"Renamed {neighbor}"
        assert named(one, customer) == "Planted", "the customer is known by now, and nothing of his was written"
        found = seen(one, flag)
        assert found.flag.account_id is not None
        assert found.event is None
        assert "No source event and no write of ours" in flag.why
        assert THIEF in flag.why
        assert (flag.target_id, flag.changed_by) == (record, THIEF)
        assert flag.said_at is not None
        assert flag.said_at <= flag.raised_at
        assert flag.after == {KEY: customer, MRR: "9000.00"}
        assert found.affected == (flag.subject, f"stripe:customer/{customer}")
        assert [str(one.ref) for one in found.billing] == [f"stripe:customer/{customer}"]
        account = next(target for target in found.targets if target.record == flag.subject)
        assert (account.before or {}).get(MRR) == "9000.00"
        assert account.after[MRR] == "100.00"
        assert account.target_id == record
        office = desk(one)
        assert office.approve(flag.id, digest=found.digest, actor="Ada", reason=WHY).missing == 1
        with pytest.raises(ApprovalRefused):
            office.approve(flag.id, digest=found.digest, actor="Ada", reason=WHY)
        office.approve(flag.id, digest=found.digest, actor="Bo", reason=WHY)
        one.clock.move(minutes=1)
        await one.deliver()
        assert named(one, customer) == f"Renamed {customer}"
        await compare(one)
        assert flags(one) == ()


async def test_what_an_earlier_life_of_the_hub_may_have_written_is_no_flag(tmp_path: Path) -> None:
    async with an_installation(f"sqlite:///{tmp_path}/store.db", tmp_path, more=CHARTER) as one:
        one.sell(1)
        await one.settle()
        await compare(one)
        planted(one, "cus_forgotten")
        one.clock.move(minutes=1)
        one.hub.epochs.declare(actor="ada", reason="The store was put back.")
        assert SqlEpochBook(one.hub.database).current()[0].noticed_at == one.clock()
        await compare(one)
        assert flags(one) == ()
        planted(one, "cus_of_today")
        await compare(one)
        assert [flag.subject for flag in flags(one)] == ["salesforce:Account/cus_of_today"]
