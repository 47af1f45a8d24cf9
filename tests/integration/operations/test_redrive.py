"""Dead letters go back at the head of their lanes after checks, and switches stop what they name, on the real hub."""

from __future__ import annotations

from datetime import timedelta
from importlib.metadata import version as installed_version
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import func, select

from accordant.kernel.errors import RejectedError
from accordant.operations.patterns import PatternUnknown, find_letters
from accordant.operations.pause import SwitchUnknown, switch_of
from accordant.operations.redrive_checks import RedriveOrder
from accordant.ports.connector import DestinationClass, WriteProtocol
from accordant.ports.outbox import LeasedIntent
from accordant.ports.patterns import NameTaken
from accordant.store.schema import audit_entry, inbox_work, parked_lane, switch, write_intent
from accordant.views.trouble import trouble
from tests.integration.operations.kit import KEY, MRR, Installation, an_installation, recharter

ORDER = RedriveOrder(actor="ada", reason="the rule was lifted", defect="validation rule on Account", fix="CRM-17")


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
        (group,) = find_letters(letters=one.hub.recovery.letters)
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
        done = one.hub.recovery.redrive(group.ids, ORDER)
        assert done.intents == group.ids
        assert (done.refused, done.waiting_lanes, lanes(one)) == ((), (), [])
        await one.deliver()
        assert str(one.salesforce.record("Account", customers[0])[MRR]) in {"200", "200.0", "200.00"}
        assert one.salesforce.count("Account") == 3
        assert find_letters(letters=one.hub.recovery.letters) == ()
        assert trail(one, "operations.letter.redriven") == [("ada", f"salesforce:Account/{customers[0]}")]
        assert (await one.hub.reconcile("accounts", actor="ada")).is_clean
        assert (await one.hub.reconcile("subscriptions", actor="ada")).is_clean


def _with_quantity(subscription: dict[str, object], quantity: int) -> dict[str, object]:
    items = subscription["items"]
    assert isinstance(items, dict)
    return {"id": items["data"][0]["id"], "quantity": quantity}


@pytest.mark.parametrize("lacking", ["actor", "reason", "defect", "fix"])
async def test_a_redrive_without_name_reason_defect_or_fix_is_refused(tmp_path: Path, lacking: str) -> None:
    async with an_installation(f"sqlite:///{tmp_path / 'store.db'}", tmp_path) as one:
        await with_dead_letters(one)
        (group,) = find_letters(letters=one.hub.recovery.letters)
        words = {"actor": "ada", "reason": "mended", "defect": "the rule", "fix": "CRM-17", lacking: "  "}
        with pytest.raises(RejectedError, match=f"needs its {lacking}"):
            one.hub.recovery.redrive(group.ids, RedriveOrder(**words))
        assert len(lanes(one)) == 1


async def test_a_flow_that_may_not_write_now_keeps_its_dead_letters(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        await with_dead_letters(one)
        (group,) = find_letters(letters=one.hub.recovery.letters)
        one.hub.pause("accounts", "ada", "looking at it")
        done = one.hub.recovery.redrive(group.ids, ORDER)
        assert (done.intents, len(done.refused), len(lanes(one))) == ((), 1, 1)
        assert "paused" in done.refused[0].reason
        one.hub.resume("accounts", "ada")
        recharter(one.hub, [])
        done = one.hub.recovery.redrive(group.ids, ORDER)
        assert "no flow named accounts" in done.refused[0].reason
        assert len(find_letters(letters=one.hub.recovery.letters)) == 1


async def test_what_is_no_dead_letter_is_refused_by_name(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        await with_dead_letters(one)
        (group,) = find_letters(letters=one.hub.recovery.letters)
        one.salesforce.accept_all()
        one.hub.recovery.redrive(group.ids, ORDER)
        done = one.hub.recovery.redrive([*group.ids, "int_nobody", "event/1", "event/999999"], ORDER)
        assert (done.intents, done.events) == ((), ())
        assert {refused.id for refused in done.refused} == {*group.ids, "int_nobody", "event/1", "event/999999"}


async def test_a_lane_with_another_dead_letter_stays_stopped(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        await with_dead_letters(one, 1)
        (lane,) = lanes(one)
        with one.hub.database.write_unaudited() as connection:  # the subscription of the same lane died as well
            connection.execute(
                write_intent.update()
                .where(write_intent.c.flow == "subscriptions")
                .values(state="dead", reason="Other.")
            )
        first = next(group for group in find_letters(letters=one.hub.recovery.letters) if "region" in group.reason)
        done = one.hub.recovery.redrive(first.ids, ORDER)
        assert (done.intents, done.waiting_lanes, lanes(one)) == (first.ids, (lane,), [lane])
        one.salesforce.accept_all()
        await one.deliver()
        assert one.salesforce.count("Account") == 0
        rest = find_letters(letters=one.hub.recovery.letters)
        assert one.hub.recovery.redrive([name for group in rest for name in group.ids], ORDER).waiting_lanes == ()
        await one.deliver()
        assert (one.salesforce.count("Account"), one.salesforce.count("Billing_Subscription__c")) == (1, 1)


async def test_a_pattern_chooses_dead_letters_by_their_story(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        customers = one.sell(4)
        for customer in customers[:2]:
            one.salesforce.reject("Account", customer, message="No region.")
        one.salesforce.reject("Account", customers[2], message="No owner.")
        await one.settle()
        assert [group.count for group in find_letters(letters=one.hub.recovery.letters)] == [2, 1]
        (group,) = find_letters(letters=one.hub.recovery.letters, text="no REGION")
        assert group.count == 2
        assert find_letters(letters=one.hub.recovery.letters, text="no planet") == ()


@pytest.mark.parametrize("state", ["dead", "quarantined", "parked"])
async def test_an_event_is_taken_again_from_the_start(store_url: str, tmp_path: Path, state: str) -> None:
    async with an_installation(store_url, tmp_path) as one:
        (customer,) = one.sell(1)
        one.take_in()
        with one.hub.database.write_unaudited() as connection:  # as if an older release could not process it
            first = connection.execute(select(inbox_work.c.seq, inbox_work.c.lane).order_by(inbox_work.c.seq)).first()
            assert first is not None
            sick = inbox_work.update().where(inbox_work.c.seq == first.seq)
            connection.execute(sick.values(state=state, reason="A defect.", attempts=5))
            if state == "dead":
                row = {"lane": first.lane, "direction": "inbound", "cause": "x", "reason": "A defect.", "parked_at": 1}
                connection.execute(parked_lane.insert().values(**row))
        (group,) = find_letters(letters=one.hub.recovery.letters)
        assert group.ids == (f"event/{first.seq}",)
        done = one.hub.recovery.redrive(group.ids, ORDER)
        assert (done.events, lanes(one)) == ((first.seq,), [])
        with one.hub.database.read() as connection:
            query = select(inbox_work.c.state, inbox_work.c.attempts).where(inbox_work.c.seq == first.seq)
            assert tuple(connection.execute(query).one()) == ("received", 0)
        await one.settle()
        assert one.salesforce.record("Account", customer)[KEY] == customer
        assert trail(one, "operations.letter.redriven") == [("ada", f"event/{first.seq}")]


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
        with pytest.raises(SwitchUnknown, match="accounts, subscriptions, system:salesforce, system:stripe, object"):
            one.hub.pause("invoices", "ada", "why not")
        for actor, reason in (("", "a reason"), ("ada", " ")):
            with pytest.raises(RejectedError, match="named person for a stated reason"):
                one.hub.pause("accounts", actor, reason)
        assert one.hub.state.switches() == frozenset()


async def test_a_target_without_any_protection_against_writing_twice_is_not_redriven(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with an_installation(f"sqlite:///{tmp_path / 'store.db'}", tmp_path) as one:
        await with_dead_letters(one)
        (group,) = find_letters(letters=one.hub.recovery.letters)
        nothing = WriteProtocol(destination_class=DestinationClass.NOTHING)
        monkeypatch.setattr(one.hub.outbounds["salesforce"], "protocol", lambda _: nothing)
        done = one.hub.recovery.redrive(group.ids, ORDER)
        assert done.intents == ()
        assert "nothing against writing twice" in done.refused[0].reason


async def test_a_dead_letter_for_which_nothing_is_planned_today_is_not_forgotten(
    store_url: str, tmp_path: Path
) -> None:
    async with an_installation(store_url, tmp_path) as one:
        await with_dead_letters(one)
        (group,) = find_letters(letters=one.hub.recovery.letters)
        # As after a merge of accounts: nobody lives in this lane any more.
        with one.hub.database.write_unaudited() as connection:
            dead = write_intent.update().where(write_intent.c.id == group.ids[0])
            connection.execute(dead.values(lane="salesforce:acc_nobody"))
        done = one.hub.recovery.redrive(group.ids, ORDER)
        assert done.intents == ()
        assert "nothing is to be written" in done.refused[0].reason
        assert len(find_letters(letters=one.hub.recovery.letters)) == 1


# -- the plan --------------------------------------------------------------------------------------------------------


async def test_the_trail_says_where_it_was_mended_and_what_was_running(tmp_path: Path) -> None:
    async with an_installation(f"sqlite:///{tmp_path / 'store.db'}", tmp_path) as one:
        await with_dead_letters(one)
        (group,) = find_letters(letters=one.hub.recovery.letters)
        one.hub.recovery.redrive(group.ids, ORDER)
        query = select(audit_entry.c.body).where(audit_entry.c.kind == "operations.letter.redriven")
        with one.hub.database.read() as connection:
            body = msgspec.json.decode(connection.execute(query).scalar_one())
        assert (body["fix"], body["release"], body["charter"]) == (
            "CRM-17",
            installed_version("accordant"),
            one.hub.rulebook.version,
        )


@pytest.mark.parametrize(
    ("fix", "missing"),
    [
        ("accordant 99.1", "The fix is in Accordant 99.1"),
        ("charter 0123456789ab", "The fix is in the charter 0123456789ab"),
    ],
)
async def test_a_fix_that_is_not_running_here_is_refused(tmp_path: Path, fix: str, missing: str) -> None:
    async with an_installation(f"sqlite:///{tmp_path / 'store.db'}", tmp_path) as one:
        await with_dead_letters(one)
        (group,) = find_letters(letters=one.hub.recovery.letters)
        with pytest.raises(RejectedError, match=missing):
            one.hub.recovery.redrive(group.ids, msgspec.structs.replace(ORDER, fix=fix))
        assert len(lanes(one)) == 1
        here = msgspec.structs.replace(ORDER, fix=f"charter {one.hub.rulebook.version}")
        assert one.hub.recovery.redrive(group.ids, here).intents == group.ids


async def test_the_charter_says_who_may_redrive(tmp_path: Path) -> None:
    more = "lanes: { redrivers: [grace] }\n"
    async with an_installation(f"sqlite:///{tmp_path / 'store.db'}", tmp_path, more=more) as one:
        await with_dead_letters(one)
        (group,) = find_letters(letters=one.hub.recovery.letters)
        with pytest.raises(RejectedError, match="ada may not redrive") as refusal:
            one.hub.recovery.redrive(group.ids, ORDER)
        assert "grace" in refusal.value.remedy
        with pytest.raises(RejectedError, match="ada may not redrive"):
            one.hub.recovery.waive(group.ids, actor="ada", reason="it is safe")
        assert one.hub.recovery.redrive(group.ids, msgspec.structs.replace(ORDER, actor="grace")).intents == group.ids


async def test_past_the_providers_window_two_people_are_needed(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        await with_dead_letters(one)
        (group,) = find_letters(letters=one.hub.recovery.letters)
        one.salesforce.accept_all()
        real = {name: msgspec.structs.replace(part, stand_in=False) for name, part in one.hub.charter.systems.items()}
        charter = msgspec.structs.replace(one.hub.charter, systems=real)
        one.hub.rulebook = msgspec.structs.replace(one.hub.rulebook, charter=charter)
        one.clock.move(days=29)
        assert [intent.id for intent in one.hub.recovery.plan(group.ids, actor="ada").intents] == list(group.ids)
        one.clock.move(days=2)
        (refused,) = one.hub.recovery.redrive(group.ids, ORDER).refused
        assert "lists events for 30 days: a second person has to waive the window first" in refused.reason
        with pytest.raises(RejectedError, match="needs a name and a reason"):
            one.hub.recovery.waive(group.ids, actor="bob", reason=" ")
        assert one.hub.recovery.waive(group.ids, actor="ada", reason="I looked") == group.ids
        (refused,) = one.hub.recovery.redrive(group.ids, ORDER).refused
        assert "somebody else has to redrive it" in refused.reason
        assert one.hub.recovery.waive([*group.ids, "int_nobody"], actor="bob", reason="I looked") == group.ids
        one.clock.move(days=8)
        (refused,) = one.hub.recovery.redrive(group.ids, ORDER).refused
        assert "waive the window first" in refused.reason
        one.hub.recovery.waive(group.ids, actor="bob", reason="Nothing was said of it since.")
        assert one.hub.recovery.redrive(group.ids, ORDER).intents == group.ids
        assert trail(one, "operations.letter.waived") == [(who, group.ids[0]) for who in ("ada", "bob", "bob")]


async def test_a_plan_counts_and_changes_nothing(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        await with_dead_letters(one)
        (group,) = find_letters(letters=one.hub.recovery.letters)
        plan = one.hub.recovery.plan([*group.ids, "int_nobody"], actor="ada")
        assert [intent.id for intent in plan.intents] == list(group.ids)
        assert [refused.id for refused in plan.refused] == ["int_nobody"]
        assert (len(lanes(one)), len(find_letters(letters=one.hub.recovery.letters))) == (1, 1)


# -- the head of the lane --------------------------------------------------------------------------------------------


def claimed(one: Installation, limit: int = 1) -> list[LeasedIntent]:
    now = one.clock()
    return list(
        one.hub.outbox.claim(
            target="salesforce",
            limit=limit,
            now=now,
            lease_until=now + timedelta(seconds=60),
            paused_flows=frozenset(),
        )
    )


async def test_a_redriven_write_goes_before_all_that_waited_behind_it(store_url: str, tmp_path: Path) -> None:
    """Records of one lane and one step: the dead one, its newer revision, and a neighbour that was planned later."""
    async with an_installation(store_url, tmp_path) as one:
        (customer,) = one.sell(1)
        price = next(iter(one.stripe.book.table("price").values()))
        buyer = one.stripe.book.table("customer")[customer]
        for _ in range(3):
            one.stripe.account.billing.subscribe(buyer, [(price, 1)])
        await one.settle()
        with one.hub.database.read() as connection:
            query = select(write_intent.c.id, write_intent.c.record, write_intent.c.lane)
            query = query.where(write_intent.c.flow == "subscriptions").order_by(write_intent.c.id)
            rows = connection.execute(query).all()
        dead, later = rows[:2], rows[2:]
        assert (len(dead), len(later)) == (2, 2)
        with one.hub.database.write_unaudited() as connection:
            for row in dead:
                connection.execute(write_intent.update().where(write_intent.c.id == row.id).values(state="dead"))
            for row in later:  # planned while the lane stood still, and so due long before anybody redrives
                connection.execute(write_intent.update().where(write_intent.c.id == row.id).values(state="pending"))
        one.clock.move(minutes=10)
        one.hub.replan_accounts(repair=frozenset({dead[0].record}))  # its newer revision waits in the lane as well
        one.clock.move(minutes=10)
        # Named in the other order: the lane's own order counts.
        assert len(one.hub.recovery.redrive([row.id for row in reversed(dead)], ORDER).intents) == 2
        one.clock.move(minutes=10)
        order = []
        for _ in range(4):
            (leased,) = claimed(one)
            order.append(f"salesforce:{leased.intent.object}/{leased.intent.key}")
            with one.hub.database.write_unaudited() as connection:
                connection.execute(
                    write_intent.update().where(write_intent.c.id == leased.intent.id).values(state="applied")
                )
        assert set(order[:2]) == {row.record for row in dead}
        assert set(order[2:]) == {row.record for row in later}
        assert claimed(one) == []


async def test_a_revived_event_goes_first_even_for_a_worker_whose_clock_is_behind(
    store_url: str, tmp_path: Path
) -> None:
    async with an_installation(store_url, tmp_path) as one:
        one.sell(1)
        one.take_in()
        with one.hub.database.write_unaudited() as connection:
            several = select(inbox_work.c.lane).group_by(inbox_work.c.lane).having(func.count() > 1)
            query = select(inbox_work.c.seq, inbox_work.c.lane).where(inbox_work.c.lane.in_(several))
            first = connection.execute(query.order_by(inbox_work.c.seq)).first()
            assert first is not None
            behind = select(inbox_work.c.seq).where(inbox_work.c.lane == first.lane).order_by(inbox_work.c.seq)
            lane = list(connection.execute(behind).scalars())
            connection.execute(inbox_work.update().where(inbox_work.c.seq == first.seq).values(state="dead"))
        assert len(lane) > 1
        earlier = one.clock()
        one.clock.move(seconds=30)
        one.hub.recovery.redrive([f"event/{first.seq}"], ORDER)
        taken = one.hub.inbox.claim(limit=500, now=earlier)
        assert [event.seq for event in taken if event.lane == first.lane] == lane


# -- error patterns --------------------------------------------------------------------------------------------------


async def test_a_described_pattern_comes_back_with_its_remedy(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        customers = one.sell(3)
        for number, customer in enumerate(customers[:2]):
            one.salesforce.reject("Account", customer, message=f"Row {number} of 'EXAMPLE-{number}' needs a region.")
        await one.settle()
        (group,) = one.hub.recovery.groups()
        assert (group.count, group.known) == (2, None)
        assert group.pattern.text.startswith("salesforce: ")
        with pytest.raises(PatternUnknown):
            one.hub.recovery.describe("0" * 12, name="x", remedy="y", actor="ada")
        with pytest.raises(RejectedError, match="with a name and a remedy"):
            one.hub.recovery.describe(group.pattern.key, name="x", remedy=" ", actor="ada")
        one.hub.recovery.describe(group.pattern.key, name="No region", remedy="Fill in the region.", actor="ada")
        (known,) = one.hub.recovery.groups(pattern="no region")
        assert known.known is not None
        assert (known.ids, known.known.remedy) == (group.ids, "Fill in the region.")
        assert one.hub.recovery.groups(pattern=group.pattern.key) == (known,)
        assert one.hub.recovery.groups(pattern="something else") == ()
        told = trouble(one.hub.database, now=one.clock())
        shown = {found.pattern: found.known for found in told.groups if found.kind == "dead"}
        assert shown == {group.pattern.key: known.known}
        one.salesforce.reject("Account", one.sell(1)[0], message="No owner.")
        await one.settle()
        other = next(found for found in one.hub.recovery.groups() if found.known is None)
        with pytest.raises(NameTaken):
            one.hub.recovery.describe(other.pattern.key, name="No region", remedy="?", actor="bob")
        assert trail(one, "operations.pattern.described") == [("ada", f"pattern/{group.pattern.key}")]
