"""Dead letters go back at the head of their lanes after checks, and switches stop what they name, on the real hub."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select

from accordant.kernel.errors import RejectedError
from accordant.operations.pause import SwitchUnknown, switch_of
from accordant.operations.redrive import RedriveOrder, find_letters
from accordant.ports.connector import DestinationClass
from accordant.store.schema import audit_entry, inbox_work, parked_lane, switch, write_intent
from tests.integration.operations.kit import KEY, MRR, Installation, an_installation, recharter

ORDER = RedriveOrder(actor="ada", reason="the rule was lifted", defect="validation rule on Account")


def lanes(one: Installation) -> list[str]:
    with one.hub.database.read() as connection:
        return list(connection.execute(select(parked_lane.c.lane).order_by(parked_lane.c.lane)).scalars())


def trail(one: Installation, kind: str) -> list[tuple[str, str]]:
    query = select(audit_entry.c.actor, audit_entry.c.subject).where(audit_entry.c.kind == kind)
    with one.hub.database.read() as connection:
        return [(row.actor, row.subject) for row in connection.execute(query.order_by(audit_entry.c.position))]


async def with_dead_letters(one: Installation, count: int = 3) -> list[str]:
    """That many customers, of whom the first is refused for good."""
    customers = one.sell(count)
    one.salesforce.reject("Account", customers[0], message="Accounts of this kind need a region.")
    await one.settle()
    assert len(lanes(one)) == 1
    return customers


async def test_a_refused_write_goes_back_once_its_cause_is_mended(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        customers = await with_dead_letters(one)
        (group,) = find_letters(letters=one.hub.letters)
        assert (group.count, "need a region" in group.reason) == (1, True)
        # Meanwhile the customer pays more: what goes out is today's record, not the one that was refused.
        subscription = next(
            seen for seen in one.stripe.book.table("subscription").values() if seen["customer"] == customers[0]
        )
        one.stripe.advance(60)
        one.clock.move(seconds=60)
        one.stripe.account.billing.update(subscription, items=[_with_quantity(subscription, 2)])
        one.take_in()
        one.process()
        one.salesforce.accept_all()
        done = one.hub.redrive(group.ids, ORDER)
        assert done.intents == group.ids
        assert (done.refused, done.waiting_lanes, lanes(one)) == ((), (), [])
        await one.deliver()
        assert str(one.salesforce.record("Account", customers[0])[MRR]) in {"200", "200.0", "200.00"}
        assert one.salesforce.count("Account") == 3
        assert find_letters(letters=one.hub.letters) == ()
        assert trail(one, "operations.letter.redriven") == [("ada", f"salesforce:Account/{customers[0]}")]
        assert (await one.hub.reconcile("accounts", actor="ada")).is_clean
        assert (await one.hub.reconcile("subscriptions", actor="ada")).is_clean


def _with_quantity(subscription: dict[str, object], quantity: int) -> dict[str, object]:
    items = subscription["items"]
    assert isinstance(items, dict)
    return {"id": items["data"][0]["id"], "quantity": quantity}


@pytest.mark.parametrize("lacking", ["actor", "reason", "defect"])
async def test_a_redrive_without_name_reason_or_defect_is_refused(tmp_path: Path, lacking: str) -> None:
    async with an_installation(f"sqlite:///{tmp_path / 'store.db'}", tmp_path) as one:
        await with_dead_letters(one)
        (group,) = find_letters(letters=one.hub.letters)
        words = {"actor": "ada", "reason": "mended", "defect": "the rule", lacking: "  "}
        with pytest.raises(RejectedError, match=f"needs its {lacking}"):
            one.hub.redrive(group.ids, RedriveOrder(**words))
        assert len(lanes(one)) == 1


async def test_a_flow_that_may_not_write_now_keeps_its_dead_letters(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        await with_dead_letters(one)
        (group,) = find_letters(letters=one.hub.letters)
        one.hub.pause("accounts", "ada", "looking at it")
        done = one.hub.redrive(group.ids, ORDER)
        assert (done.intents, len(done.refused), len(lanes(one))) == ((), 1, 1)
        assert "paused" in done.refused[0].reason
        one.hub.resume("accounts", "ada")
        recharter(one.hub, [])
        done = one.hub.redrive(group.ids, ORDER)
        assert "no flow named accounts" in done.refused[0].reason
        assert len(find_letters(letters=one.hub.letters)) == 1


async def test_what_is_no_dead_letter_is_refused_by_name(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        await with_dead_letters(one)
        (group,) = find_letters(letters=one.hub.letters)
        one.salesforce.accept_all()
        one.hub.redrive(group.ids, ORDER)
        done = one.hub.redrive([*group.ids, "int_nobody", "event/1", "event/999999"], ORDER)
        assert (done.intents, done.events) == ((), ())
        assert {refused.id for refused in done.refused} == {*group.ids, "int_nobody", "event/1", "event/999999"}


async def test_a_lane_with_another_dead_letter_stays_stopped(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        await with_dead_letters(one, 1)
        (lane,) = lanes(one)
        with one.hub.database.write() as connection:  # the subscription of the same lane died as well
            connection.execute(
                write_intent.update()
                .where(write_intent.c.flow == "subscriptions")
                .values(state="dead", reason="Other.")
            )
        first = next(group for group in find_letters(letters=one.hub.letters) if "region" in group.reason)
        done = one.hub.redrive(first.ids, ORDER)
        assert (done.intents, done.waiting_lanes, lanes(one)) == (first.ids, (lane,), [lane])
        one.salesforce.accept_all()
        await one.deliver()
        assert one.salesforce.count("Account") == 0
        rest = find_letters(letters=one.hub.letters)
        assert one.hub.redrive([name for group in rest for name in group.ids], ORDER).waiting_lanes == ()
        await one.deliver()
        assert (one.salesforce.count("Account"), one.salesforce.count("Billing_Subscription__c")) == (1, 1)


async def test_a_pattern_chooses_dead_letters_by_their_story(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        customers = one.sell(4)
        for customer in customers[:2]:
            one.salesforce.reject("Account", customer, message="No region.")
        one.salesforce.reject("Account", customers[2], message="No owner.")
        await one.settle()
        assert [group.count for group in find_letters(letters=one.hub.letters)] == [2, 1]
        (group,) = find_letters(letters=one.hub.letters, pattern="no REGION")
        assert group.count == 2
        assert find_letters(letters=one.hub.letters, pattern="no planet") == ()


@pytest.mark.parametrize("state", ["dead", "quarantined", "parked"])
async def test_an_event_is_taken_again_from_the_start(store_url: str, tmp_path: Path, state: str) -> None:
    async with an_installation(store_url, tmp_path) as one:
        (customer,) = one.sell(1)
        one.take_in()
        with one.hub.database.write() as connection:  # as if an older release could not process it
            first = connection.execute(select(inbox_work.c.seq, inbox_work.c.lane).order_by(inbox_work.c.seq)).first()
            assert first is not None
            sick = inbox_work.update().where(inbox_work.c.seq == first.seq)
            connection.execute(sick.values(state=state, reason="A defect.", attempts=5))
            if state == "dead":
                row = {"lane": first.lane, "direction": "inbound", "cause": "x", "reason": "A defect.", "parked_at": 1}
                connection.execute(parked_lane.insert().values(**row))
        (group,) = find_letters(letters=one.hub.letters)
        assert group.ids == (f"event/{first.seq}",)
        done = one.hub.redrive(group.ids, ORDER)
        assert (done.events, lanes(one)) == ((first.seq,), [])
        with one.hub.database.read() as connection:
            query = select(inbox_work.c.state, inbox_work.c.attempts).where(inbox_work.c.seq == first.seq)
            assert tuple(connection.execute(query).one()) == ("received", 0)
        await one.settle()
        assert one.salesforce.record("Account", customer)[KEY] == customer
        assert trail(one, "operations.letter.redriven") == [("ada", f"event/{first.seq}")]


async def test_the_console_retries_and_what_it_did_not_say_is_said_so(tmp_path: Path) -> None:
    async with an_installation(f"sqlite:///{tmp_path / 'store.db'}", tmp_path) as one:
        await with_dead_letters(one)
        (group,) = find_letters(letters=one.hub.letters)
        one.salesforce.accept_all()
        assert one.hub.retry(list(group.ids), actor="ada") == 1
        assert one.hub.retry(list(group.ids), actor="ada") == 0


# -- switches --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["accounts", "system:salesforce", "system:stripe", "writes"])
async def test_a_switch_stops_at_once_and_goes_on_where_it_was(store_url: str, tmp_path: Path, what: str) -> None:
    async with an_installation(store_url, tmp_path) as one:
        one.sell(2)
        one.take_in()
        one.process()
        one.hub.pause(what, "ada", "the numbers look odd")
        one.hub.pause(what, "bob", "me too")
        if what == "accounts":
            one.hub.pause("subscriptions", "ada", "it looks its account up")
        await one.deliver()
        assert one.writes() == 0
        name = switch_of(one.hub.charter, what)
        with one.hub.database.read() as connection:
            query = select(switch.c.reason, switch.c.thrown_by).where(switch.c.name == name)
            assert [tuple(row) for row in connection.execute(query)] == [("the numbers look odd", "ada")]
        one.hub.resume(what, "ada")
        if what == "accounts":
            one.hub.resume("subscriptions", "ada")
        one.clock.move(minutes=5)
        await one.deliver()
        assert one.salesforce.count("Account") == 2
        assert ("ada", f"switch/{name}") in trail(one, "operations.switch.thrown")
        assert ("bob", f"switch/{name}") not in trail(one, "operations.switch.thrown")
        assert ("ada", f"switch/{name}") in trail(one, "operations.switch.released")


async def test_a_switch_needs_a_name_there_is_a_person_and_a_reason(tmp_path: Path) -> None:
    async with an_installation(f"sqlite:///{tmp_path / 'store.db'}", tmp_path) as one:
        with pytest.raises(SwitchUnknown, match="accounts, subscriptions, system:salesforce, system:stripe, writes"):
            one.hub.pause("invoices", "ada", "why not")
        for actor, reason in (("", "a reason"), ("ada", " ")):
            with pytest.raises(RejectedError, match="named person for a stated reason"):
                one.hub.pause("accounts", actor, reason)
        assert one.hub.state.switches() == frozenset()


async def test_a_target_without_any_protection_against_writing_twice_is_not_redriven(tmp_path: Path) -> None:
    async with an_installation(f"sqlite:///{tmp_path / 'store.db'}", tmp_path) as one:
        await with_dead_letters(one)
        (group,) = find_letters(letters=one.hub.letters)
        one.hub.outbounds["salesforce"].destination_class = DestinationClass.NOTHING
        done = one.hub.redrive(group.ids, ORDER)
        assert done.intents == ()
        assert "nothing against writing twice" in done.refused[0].reason


async def test_a_dead_letter_for_which_nothing_is_planned_today_is_not_forgotten(
    store_url: str, tmp_path: Path
) -> None:
    async with an_installation(store_url, tmp_path) as one:
        await with_dead_letters(one)
        (group,) = find_letters(letters=one.hub.letters)
        with one.hub.database.write() as connection:  # as after a merge of accounts: nobody lives in this lane any more
            dead = write_intent.update().where(write_intent.c.id == group.ids[0])
            connection.execute(dead.values(lane="salesforce:acc_nobody"))
        done = one.hub.redrive(group.ids, ORDER)
        assert done.intents == ()
        assert "nothing is to be written" in done.refused[0].reason
        assert len(find_letters(letters=one.hub.letters)) == 1
