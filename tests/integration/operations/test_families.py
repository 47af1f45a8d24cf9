"""Several billing customers of one company, each with a record of its own below the company's first; both stores."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from sqlalchemy import select

from accordant.canonical.charter import SeveralCustomers
from accordant.canonical.matching import ReviewState
from accordant.canonical.review import ReviewAction
from accordant.governance.phases import Tier
from accordant.operations.review import Declined
from accordant.pipeline.plan import write_rulebook
from accordant.store.schema import write_intent
from tests.integration.operations.kit import KEY, MRR, Installation, an_installation
from tests.integration.operations.test_identity import accounts, customer, reviews
from tests.integration.operations.test_redrive import ORDER
from tests.integration.operations.test_review import decided, touch

APART = "identity:\n  several_customers: parent_child\n"


@asynccontextmanager
async def a_company(store: str, folder: Path, more: str = APART) -> AsyncIterator[Installation]:
    """An installation whose charter keeps several customers of one company apart."""
    async with an_installation(store, folder, more=more) as there:
        await there.hub.scan_directory("salesforce")
        yield there


def keep(there: Installation, several: SeveralCustomers) -> None:
    """Put the same charter in force with another answer to several customers; fields and flows stay."""
    hub = there.hub
    assert hub.charter.identity is not None
    part = msgspec.structs.replace(hub.charter.identity, several_customers=several)
    hub.charter = msgspec.structs.replace(hub.charter, identity=part)
    hub.rulebook = write_rulebook(hub.charter, dict.fromkeys(hub.charter.systems, Tier.GOLD))
    hub.replan_accounts()


def tree(there: Installation) -> dict[object, tuple[object, object]]:
    """Of each Account by its billing customer: the customer above it, and its own MRR."""
    keys = {one["Id"]: one.get(KEY) for one in accounts(there.salesforce)}
    return {one.get(KEY): (keys.get(one.get("ParentId")), one.get(MRR)) for one in accounts(there.salesforce)}


async def settled(there: Installation) -> None:
    """Everything is written, what had to wait for a record above it too."""
    for _ in range(4):
        await there.settle()
        there.clock.move(seconds=20)


async def test_each_customer_of_a_company_has_its_own_figures_below_the_first(store_url: str, tmp_path: Path) -> None:
    async with a_company(store_url, tmp_path) as there:
        known = there.salesforce.create("Account", Name="Tailspin Toys", Website="tailspin-x.com")
        there.clock.move(seconds=1)
        await there.hub.scan_directory("salesforce")
        first = customer(there, "Tailspin Toys", "ap@tailspin-x.com", unit_minor=10_000)
        await settled(there)
        second = customer(there, "Tailspin Toys LLC", "emea@tailspin-x.com", unit_minor=2_500)
        await settled(there)
        third = customer(there, "Tailspin Toys", "apac@tailspin-x.com", unit_minor=300)
        await settled(there)

        assert tree(there) == {first: (None, 100), second: (first, 25), third: (first, 3)}
        assert there.salesforce.record("Account", first)["Id"] == known
        # Nobody's money is in two records.
        assert sum(float(str(one[MRR])) for one in accounts(there.salesforce)) == 128
        below = there.salesforce.org.records["Billing_Subscription__c"].values()
        assert sorted(str(one.values["Account__c"]) for one in below) == sorted(
            str(one["Id"]) for one in accounts(there.salesforce)
        )
        touch(there, second, 2)
        await settled(there)
        assert tree(there) == {first: (None, 100), second: (first, 50), third: (first, 3)}
        assert reviews(there).open_cases(limit=10) == ()


async def test_a_family_in_one_batch_and_its_scan_change_nothing(store_url: str, tmp_path: Path) -> None:
    async with a_company(store_url, tmp_path) as there:
        ids = [customer(there, "Wingtip", f"ap{n}@wingtip-x.com", unit_minor=1_000 * (n + 1)) for n in range(3)]
        await settled(there)
        seen = tree(there)
        (top,) = (key for key, (above, _) in seen.items() if above is None)
        assert seen == {one: (None if one == top else top, 10 * (place + 1)) for place, one in enumerate(ids)}
        written = there.writes()
        there.clock.move(seconds=1)
        await there.hub.scan_directory("salesforce")
        there.hub.replan_accounts()
        await there.deliver()
        assert (tree(there), there.writes()) == (seen, written)
        # One more, now that the directory knows all of them from the target itself.
        late = customer(there, "Wingtip", "late@wingtip-x.com", unit_minor=500)
        await settled(there)
        assert tree(there) == seen | {late: (top, 5)}


async def test_what_was_added_up_is_taken_apart_when_the_charter_says_so(store_url: str, tmp_path: Path) -> None:
    async with a_company(store_url, tmp_path) as there:
        keep(there, SeveralCustomers.ROLL_UP)
        first = customer(there, "Wingtip", "ap@wingtip-x.com", unit_minor=1_000)
        await there.settle()
        second = customer(there, "Wingtip", "uk@wingtip-x.com", unit_minor=2_000)
        await there.settle()
        assert tree(there) == {first: (None, 30)}
        keep(there, SeveralCustomers.PARENT_CHILD)
        await settled(there)
        assert tree(there) == {first: (None, 10), second: (first, 20)}
        # The other way round nothing is thrown together: records that are there stay, and nothing counts twice.
        keep(there, SeveralCustomers.ROLL_UP)
        await settled(there)
        assert tree(there) == {first: (None, 10), second: (first, 20)}


async def test_a_person_puts_a_customer_below_another_and_never_round(store_url: str, tmp_path: Path) -> None:
    async with a_company(store_url, tmp_path, APART + "  unmatched: review\n") as there:
        first = customer(there, "Northwind", "ap@northwind-x.com", unit_minor=1_000)
        second = customer(there, "Fabrikam", "ap@fabrikam-x.com", unit_minor=2_000)
        await there.settle()
        await decided(there, ReviewAction.CREATE, first)
        await settled(there)
        there.clock.move(seconds=1)
        await there.hub.scan_directory("salesforce")
        top = str(there.salesforce.record("Account", first)["Id"])
        answer = await decided(there, ReviewAction.ACCEPT, second, top)
        assert answer.state is ReviewState.ACCEPTED
        assert f"below {top}" in answer.sentence
        await settled(there)
        assert tree(there) == {first: (None, 10), second: (first, 20)}

        # The one above loses its record, and is offered the one below: that would be a ring.
        await decided(there, ReviewAction.SPLIT, first)
        low = str(there.salesforce.record("Account", second)["Id"])
        await there.settle()
        round_about = await there.hub.review_room.decide(
            ReviewAction.ACCEPT, first, actor="ada", reason="That one.", target_id=low
        )
        assert isinstance(round_about, Declined)
        assert "go round" in round_about.sentence


async def test_who_lost_its_record_is_not_put_below_its_own_child(store_url: str, tmp_path: Path) -> None:
    async with a_company(store_url, tmp_path) as there:
        first = customer(there, "Wingtip", "ap@wingtip-x.com", unit_minor=1_000)
        await settled(there)
        second = customer(there, "Wingtip", "uk@wingtip-x.com", unit_minor=2_000)
        await settled(there)
        assert tree(there)[second] == (first, 20)
        await decided(there, ReviewAction.SPLIT, first)
        await there.settle()
        (case,) = reviews(there).open_cases(limit=10)
        assert "stands below this customer's own record" in case.case.why


async def test_what_people_put_the_first_record_below_is_theirs(store_url: str, tmp_path: Path) -> None:
    async with a_company(store_url, tmp_path) as there:
        group = there.salesforce.create("Account", Name="The Group Above")
        known = there.salesforce.create("Account", Name="Wingtip", Website="wingtip-x.com", ParentId=group)
        there.clock.move(seconds=1)
        await there.hub.scan_directory("salesforce")
        first = customer(there, "Wingtip", "ap@wingtip-x.com", unit_minor=1_000)
        await settled(there)
        assert there.salesforce.record("Account", first)["Id"] == known
        assert there.salesforce.record("Account", first)["ParentId"] == group


async def test_two_customers_who_part_are_no_longer_added_up(store_url: str, tmp_path: Path) -> None:
    async with a_company(store_url, tmp_path) as there:
        keep(there, SeveralCustomers.ROLL_UP)
        first = customer(there, "Wingtip", "ap@wingtip-x.com", unit_minor=1_000)
        await there.settle()
        second = customer(there, "Wingtip", "uk@wingtip-x.com", unit_minor=2_000)
        await there.settle()
        await decided(there, ReviewAction.SPLIT, second)
        await settled(there)
        assert tree(there) == {first: (None, 10), second: (None, 20)}


async def test_a_record_below_one_that_was_refused_waits_and_goes_by_itself(store_url: str, tmp_path: Path) -> None:
    """The one above it needs a person, it does not: no number of tries sets it aside."""
    async with a_company(store_url, tmp_path) as there:
        first = customer(there, "EXAMPLE-top", "ap@wingtip-x.com", unit_minor=1_000)
        second = customer(there, "EXAMPLE-top", "uk@wingtip-x.com", unit_minor=2_000)
        there.salesforce.reject("Account", first, message="Region: required, since 2024")
        for _ in range(2 * there.hub.charter.courier.attempts_max):
            await there.settle()
            there.clock.move(minutes=10)
        assert tree(there) == {}
        open_now = write_intent.c.state.in_(("pending", "dead"))
        with there.hub.database.read() as connection:
            found = connection.execute(select(write_intent).where(open_now, write_intent.c.step == 0))
            rows = {str(row.record).rpartition("/")[2]: row for row in found}
        assert (rows[first].state, rows[second].state) == ("dead", "pending")
        assert "Region: required" in rows[first].reason
        assert first in rows[second].reason
        assert "goes out by itself" in rows[second].reason

        there.salesforce.accept_all()
        there.hub.recovery.redrive([rows[first].id], ORDER)
        for _ in range(4):
            await there.settle()
            there.clock.move(minutes=10)
        assert tree(there) == {first: (None, 10), second: (first, 20)}
