"""Records that people merged, deleted, split or made before us, from the courier's question to a person's answer."""

from __future__ import annotations

from pathlib import Path

import msgspec
from sqlalchemy import select

from accordant.canonical.matching import ReviewState
from accordant.canonical.review import ReviewAction
from accordant.operations.review import Decided, Declined
from accordant.store.review import SqlReviews
from accordant.store.review_desk import SqlReviewDesk
from accordant.store.schema import audit_entry, crosswalk, write_intent
from accordant.views.trouble import trouble
from tests.integration.operations.kit import KEY, MRR, Installation, an_installation, recharter
from tests.integration.operations.test_identity import customer as a_customer

WHO = "sales@example.com"


def touch(one: Installation, customer: str, quantity: int) -> None:
    """The customer pays for more: something is to be written."""
    subscription = next(seen for seen in one.stripe.book.table("subscription").values() if seen["customer"] == customer)
    one.stripe.advance(60)
    one.clock.move(seconds=60)
    items = [{"id": subscription["items"]["data"][0]["id"], "quantity": quantity}]
    one.stripe.account.billing.update(subscription, items=items)


def states(one: Installation) -> list[str]:
    query = select(write_intent.c.state).order_by(write_intent.c.state).distinct()
    with one.hub.database.read() as connection:
        return list(connection.execute(query).scalars())


def trail(one: Installation, kind: str) -> int:
    query = select(audit_entry.c.position).where(audit_entry.c.kind == kind)
    with one.hub.database.read() as connection:
        return len(connection.execute(query).all())


def waiting(one: Installation) -> list[str]:
    return [found.case.why for found in SqlReviews(one.hub.database).open_cases(limit=10)]


def record_id(one: Installation, customer: str) -> str:
    return str(one.salesforce.record("Account", customer)["Id"])


async def decided(one: Installation, action: ReviewAction, name: str, target_id: str | None = None) -> Decided:
    answer = await one.hub.review_room.decide(action, name, actor="ada", reason="I asked them.", target_id=target_id)
    assert isinstance(answer, Decided), answer
    return answer


async def test_a_merged_record_is_followed_and_its_survivor_gets_the_key(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        (customer,) = one.sell(1)
        await one.settle()
        old = record_id(one, customer)
        middle, survivor = (one.salesforce.create("Account", Name=name) for name in ("EXAMPLE-middle", "EXAMPLE-last"))
        one.salesforce.merge("Account", middle, [old], WHO)
        one.salesforce.merge("Account", survivor, [middle], WHO)
        touch(one, customer, 3)
        await one.settle()
        assert one.salesforce.record("Account", survivor)[KEY] == customer
        assert float(one.salesforce.record("Account", survivor)[MRR]) == 300.0
        assert (one.salesforce.count("Account"), waiting(one), trail(one, "registry.record.relinked")) == (1, [], 1)
        with one.hub.database.read() as connection:
            rows = connection.execute(select(crosswalk.c.external_id, crosswalk.c.entity_id)).all()
        owners = {row.external_id: row.entity_id for row in rows}
        assert owners[old] == owners[survivor] == owners[customer]
        touch(one, customer, 4)
        await one.settle()
        assert (one.salesforce.count("Account"), trail(one, "registry.record.relinked")) == (1, 1)


async def test_a_split_moves_the_link_to_where_the_key_is(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        (customer,) = one.sell(1)
        await one.settle()
        fresh = one.salesforce.split("Account", customer, KEY, WHO, Name="EXAMPLE-new")
        touch(one, customer, 2)
        await one.settle()
        assert float(one.salesforce.record("Account", fresh)[MRR]) == 200.0
        assert (waiting(one), trail(one, "registry.record.relinked")) == ([], 1)


async def test_a_deleted_record_is_a_question_and_a_new_one_is_made_when_a_person_says_so(
    store_url: str, tmp_path: Path
) -> None:
    async with an_installation(store_url, tmp_path) as one:
        gone, other = one.sell(2)
        await one.settle()
        one.salesforce.delete("Account", gone, WHO)
        for customer in (gone, other):
            touch(one, customer, 2)
        await one.settle()
        (why,) = waiting(one)
        assert "Somebody deleted the Account" in why
        assert (one.salesforce.count("Account"), "held" in states(one)) == (1, True)
        assert float(one.salesforce.record("Account", other)[MRR]) == 200.0
        # While the question is open, what comes meanwhile waits with it and asks nothing anew.
        touch(one, gone, 3)
        await one.settle()
        assert (one.salesforce.count("Account"), trail(one, "registry.review.opened")) == (1, 1)
        answer = await decided(one, ReviewAction.CREATE, gone)
        assert answer.state is ReviewState.CREATED
        await one.deliver()
        assert float(one.salesforce.record("Account", gone)[MRR]) == 300.0
        assert (one.salesforce.count("Account"), waiting(one)) == (2, [])
        again = await one.hub.review_room.decide(ReviewAction.CREATE, gone, actor="bob", reason="me too")
        assert isinstance(again, Declined)
        assert "decided already: created, by ada" in again.sentence


async def test_two_customers_whose_records_were_merged_are_a_question_and_then_share_it(
    store_url: str, tmp_path: Path
) -> None:
    async with an_installation(store_url, tmp_path) as one:
        first, second = one.sell(2)
        await one.settle()
        survivor = record_id(one, first)
        one.salesforce.merge("Account", survivor, [record_id(one, second)], WHO)
        touch(one, second, 5)
        await one.settle()
        (why,) = waiting(one)
        assert f"carries the key of another customer, {first}" in why
        answer = await decided(one, ReviewAction.ACCEPT, second, survivor)
        assert f"shared with {first}" in answer.sentence
        await one.deliver()
        assert one.salesforce.count("Account") == 1
        back = await decided(one, ReviewAction.UNDO, second)
        assert back.state is ReviewState.OPEN
        assert waiting(one) == [why]


async def test_reconciliation_looks_for_records_without_a_write_being_due(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        merged, gone, still = one.sell(3)
        await one.settle()
        survivor = one.salesforce.create("Account", Name="EXAMPLE-survivor")
        one.salesforce.merge("Account", survivor, [record_id(one, merged)], WHO)
        one.salesforce.delete("Account", gone, WHO)
        flow = next(part.name for part in one.hub.charter.flows if part.object == "Account")
        for _ in range(2):
            one.clock.move(seconds=1)
            await one.hub.reconcile(flow, actor="ada")
            assert (trail(one, "registry.record.relinked"), trail(one, "registry.review.opened")) == (1, 1)
        (why,) = waiting(one)
        assert "Somebody deleted" in why
        assert one.salesforce.record("Account", still)[KEY] == still


async def test_a_record_named_by_a_person_must_be_there(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        (customer,) = one.sell(1)
        await one.settle()
        old = record_id(one, customer)
        one.salesforce.delete("Account", customer, WHO)
        touch(one, customer, 2)
        await one.settle()
        for target_id in (old, "001000000000000AAA"):
            answer = await one.hub.review_room.decide(
                ReviewAction.ACCEPT, customer, actor="ada", reason="that one", target_id=target_id
            )
            assert isinstance(answer, Declined)
            assert "no live Account" in answer.sentence
        made = one.salesforce.create("Account", Name="EXAMPLE by hand")
        await decided(one, ReviewAction.ACCEPT, customer, made)
        await one.deliver()
        assert one.salesforce.record("Account", made)[KEY] == customer
        assert float(one.salesforce.record("Account", made)[MRR]) == 200.0


async def test_of_two_decisions_at_once_one_is_kept(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        (customer,) = one.sell(1)
        await one.settle()
        one.salesforce.delete("Account", customer, WHO)
        touch(one, customer, 2)
        await one.settle()
        desk = SqlReviewDesk(one.hub.database)
        room = one.hub.review_room
        place = room.place(customer)
        assert not isinstance(place, Declined)
        before = desk.file(place, None)
        await decided(one, ReviewAction.CREATE, customer)
        # The second had read the case before the first decision was kept.
        desk.file = lambda *_: before  # type: ignore[method-assign]
        room._desk = desk
        late = await room.decide(ReviewAction.CREATE, customer, actor="bob", reason="me too")
        assert isinstance(late, Declined)
        assert "Somebody else decided" in late.sentence
        assert trail(one, "review.case.created") == 1


async def test_a_paying_customer_whose_record_is_gone_is_a_red_flag(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        paying, left = one.sell(2)
        await one.settle()
        subscriptions = one.stripe.book.table("subscription").values()
        ended = next(seen for seen in subscriptions if seen["customer"] == left)
        one.stripe.advance(60)
        one.stripe.account.billing.cancel(ended)
        await one.settle()
        for customer in (paying, left):
            one.salesforce.delete("Account", customer, WHO)
        one.clock.move(seconds=1)
        await one.hub.reconcile("accounts", actor="ada")
        assert len(waiting(one)) == 2, "both are asked about"
        seen = trouble(one.hub.database, now=one.clock())
        (group,) = (group for group in seen.groups if group.kind == "orphan")
        assert [(item.name, item.party is not None) for item in group.items] == [(f"Account of {paying}", True)]
        assert group.reason.startswith("Its customer has 1 live subscription. Somebody deleted the Account")
        assert [str(amount) for amount in group.worth] == ["100.00 USD"]
        assert seen.counts.orphans == 1
        await decided(one, ReviewAction.CREATE, paying)
        after = trouble(one.hub.database, now=one.clock())
        assert (after.counts.orphans, [group for group in after.groups if group.kind == "orphan"]) == (0, [])


async def test_a_record_that_is_anothers_is_given_back_and_the_customer_gets_its_own(
    store_url: str, tmp_path: Path
) -> None:
    async with an_installation(store_url, tmp_path, more="identity: {}\n") as one:
        theirs = one.salesforce.create("Account", Name="Wingtip", Website="wingtip-x.com", **{MRR: "7.00"})
        await one.hub.scan_directory("salesforce")
        buyer = a_customer(one, "Wingtip GmbH", "ap@wingtip-x.com")
        await one.settle()
        held = one.salesforce.record("Account", theirs)
        assert (held["Name"], held[MRR], held[KEY]) == ("Wingtip GmbH", 100, buyer)
        # What somebody at the target changed since is theirs.
        one.salesforce.org.records["Account"][theirs].values["Billing_Status__c"] = "ask legal"
        one.clock.move(seconds=1)
        answer = await decided(one, ReviewAction.SPLIT, buyer)
        assert answer.by_hand is None
        assert f"empties {KEY} of it" in answer.sentence
        await one.deliver()

        back, own = one.salesforce.record("Account", theirs), one.salesforce.record("Account", buyer)
        assert (back["Name"], back[MRR], back.get(KEY)) == ("Wingtip", 7, None)
        assert (back["Billing_Status__c"], back.get("Billing_Plan__c")) == ("ask legal", None)
        assert (own["Id"] != theirs, own["Name"], own[MRR]) == (True, "Wingtip GmbH", 100)
        assert (trail(one, "review.link.split"), trail(one, "archive.key.freed"), waiting(one)) == (1, 1, [])
        (below,) = one.salesforce.org.records["Billing_Subscription__c"].values()
        assert below.values["Account__c"] == own["Id"], "what hung on it went along"
        written = one.writes()
        one.hub.replan_accounts()
        await one.settle()
        assert one.writes() == written


async def test_a_record_is_nobody_elses_until_the_key_of_who_was_split_off_is_off_it(
    store_url: str, tmp_path: Path
) -> None:
    async with an_installation(store_url, tmp_path, more="identity:\n  unmatched: review\n") as one:
        theirs = one.salesforce.create("Account", Name="Wingtip", Website="wingtip-x.com")
        await one.hub.scan_directory("salesforce")
        buyer = a_customer(one, "Wingtip GmbH", "ap@wingtip-x.com")
        other = a_customer(one, "Fabrikam", "ap@fabrikam-x.com")
        await one.settle()
        assert one.salesforce.record("Account", theirs)[KEY] == buyer
        one.clock.move(seconds=1)
        await one.hub.scan_directory("salesforce")
        one.hub.pause("system:salesforce", "ada", "We look at it.")
        await decided(one, ReviewAction.SPLIT, buyer)
        early = await one.hub.review_room.decide(
            ReviewAction.ACCEPT, other, actor="ada", reason="It is theirs.", target_id=theirs
        )
        assert isinstance(early, Declined)
        assert "still carries the key" in early.sentence

        one.hub.resume("system:salesforce", "ada")
        one.clock.move(minutes=1)
        await decided(one, ReviewAction.CREATE, buyer)
        await one.deliver()
        assert one.salesforce.record("Account", theirs).get(KEY) is None
        one.clock.move(seconds=1)
        await one.hub.scan_directory("salesforce")
        await decided(one, ReviewAction.ACCEPT, other, theirs)
        await one.deliver()
        assert one.salesforce.record("Account", theirs)[KEY] == other
        assert one.salesforce.record("Account", buyer)["Name"] == "Wingtip GmbH"


async def test_no_key_is_taken_off_while_writes_are_stopped(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path, more="identity: {}\n") as one:
        await one.hub.scan_directory("salesforce")
        (buyer,) = one.sell(1)
        await one.settle()
        was = record_id(one, buyer)
        one.hub.pause("system:salesforce", "ada", "We look at it.")
        await decided(one, ReviewAction.SPLIT, buyer)
        await one.deliver()
        assert (record_id(one, buyer), one.salesforce.count("Account")) == (was, 1)
        one.hub.resume("system:salesforce", "ada")
        one.clock.move(minutes=1)
        await one.deliver()
        assert record_id(one, buyer) != was
        assert one.salesforce.record("Account", was).get(KEY) is None


async def test_no_key_is_taken_off_when_the_charter_has_changed_since_it_was_planned(
    store_url: str, tmp_path: Path
) -> None:
    async with an_installation(store_url, tmp_path, more="identity: {}\n") as one:
        await one.hub.scan_directory("salesforce")
        (buyer,) = one.sell(1)
        await one.settle()
        was = record_id(one, buyer)
        await decided(one, ReviewAction.SPLIT, buyer)
        flows = [msgspec.structs.replace(flow, write_fields=("Name",)) for flow in one.hub.charter.flows]
        recharter(one.hub, flows)
        await one.deliver()
        assert (record_id(one, buyer), one.salesforce.count("Account")) == (was, 1)
