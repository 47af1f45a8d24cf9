"""Same events, any order, any batches, any repeats: one outcome, each happening once, and a replay changes nothing."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accordant.canonical.entities import Account, Payment, Subscription
from accordant.canonical.refs import ExternalRef
from accordant.ports.inbox import InboxEvent, Reading
from accordant.store import schema
from tests.databases import Pool
from tests.integration.pipeline.kit import (
    Past,
    Rooms,
    a_past,
    differences,
    in_order,
    new_store,
    outcome_of,
    rooms,
    shuffled,
)

LIFE = {"accounts": 4, "months": 6}


MEMORY = Path("/dev/shm")  # noqa: S108  these tests are about outcomes; what a disk does is proved elsewhere


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    made = Path(mkdtemp(prefix="accordant-confluence-", dir=MEMORY if MEMORY.is_dir() else None))
    yield made
    shutil.rmtree(made)


_REFERENCES: dict[tuple[str, ...], dict[str, dict[str, Any]]] = {}


def reference(folder: Path, past: Past) -> dict[str, dict[str, Any]]:
    """The outcome of the plainest run: in order, a few deliveries at a time, each question answered."""
    key = tuple(event.id for event in past.said)
    if key not in _REFERENCES:
        with rooms(new_store(folder, "reference"), folder, at=past.ended_at, past=past) as walk:
            walk.accept(in_order(past))
            walk.finish(random.Random(0), batch_max=5)
            _REFERENCES[key] = outcome_of(walk)
    return _REFERENCES[key]


# -- any order ---------------------------------------------------------------------------------------------------------


any_arrival = given(seed=st.integers(0, 6), order=st.integers(0, 2**32), batch_max=st.sampled_from((4, 20, 80, 500)))


@settings(max_examples=10)
@any_arrival
def test_any_order_of_arrival_ends_in_one_outcome(folder: Path, seed: int, order: int, batch_max: int) -> None:
    _ends_in_one_outcome(folder, seed=seed, order=order, batch_max=batch_max)


@pytest.mark.nightly
@settings(max_examples=100)
@any_arrival
def test_many_orders_of_arrival_end_in_one_outcome(folder: Path, seed: int, order: int, batch_max: int) -> None:
    _ends_in_one_outcome(folder, seed=seed, order=order, batch_max=batch_max)


def _ends_in_one_outcome(folder: Path, *, seed: int, order: int, batch_max: int) -> None:
    past = a_past(**LIFE, seed=seed)
    dice = random.Random(order)
    expected = reference(folder, past)
    with rooms(new_store(folder, "walk"), folder, at=past.ended_at, past=past) as walk:
        walk.accept(shuffled(past, dice))
        walk.finish(dice, batch_max=batch_max)
        found = outcome_of(walk)
        states = Counter(row[0] for row in walk.rows(schema.inbox_work, "state"))
    assert differences(expected, found) == []
    assert len(expected["entities"]) > 50
    assert len(expected["desired"]) >= 2 * len(expected["standings"])
    # Nothing is left behind, and nothing the stand-in says is without a word of ours.
    assert states == {"processed": len({event.id for event in past.said})}


@pytest.mark.postgres
def test_the_same_on_postgresql(folder: Path, postgres_pool: Pool) -> None:
    past = a_past(accounts=6, months=5, seed=11)
    expected = reference(folder, past)
    for order in range(3):
        dice = random.Random(order)
        with (
            postgres_pool.lend(f"confluence_{order}") as url,
            rooms(url, folder, at=past.ended_at, past=past) as walk,
        ):
            walk.accept(shuffled(past, dice))
            walk.finish(dice, batch_max=90)
            assert differences(expected, outcome_of(walk)) == []


def test_arrivals_and_work_may_interleave(folder: Path) -> None:
    past = a_past(**LIFE, seed=4)
    dice = random.Random(9)
    with rooms(new_store(folder, "mixed"), folder, at=past.ended_at, past=past) as walk:
        bodies = shuffled(past, dice)
        while bodies:
            count = dice.randint(1, 25)
            walk.accept(bodies[:count])
            bodies = bodies[count:]
            walk.take(dice.randint(1, 25))
            if dice.random() < 0.3:
                walk.ask_owner()
        walk.finish(dice)
        assert differences(reference(folder, past), outcome_of(walk)) == []


def test_each_business_event_is_kept_once_and_none_is_lost(folder: Path) -> None:
    past = a_past(**LIFE, seed=2)
    said: set[str] = set()
    with rooms(new_store(folder, "events"), folder, at=past.ended_at, past=past) as walk:
        inbound = walk.hub.inbounds["stripe"]
        for body in past.bodies:
            meaning = inbound.interpret(system="stripe", body=body)
            said |= {event.id for event in getattr(meaning, "business_events", ())}
        walk.accept(shuffled(past, random.Random(5), repeats=1.0))
        walk.finish(random.Random(5))
        kept = [row[0] for row in walk.rows(schema.business_event, "id")]
    assert len(kept) == len(set(kept))
    assert set(kept) == said
    assert len(kept) > 40


# -- replay ------------------------------------------------------------------------------------------------------------

_UNCHANGED = (
    (schema.entity, ("id", "version", "digest", "observed_at", "standpoint", "cause", "root_id")),
    (schema.standing, ("account_id", "version", "state")),
    (schema.desired_record, ("ref", "revision", "input_digest", "fields", "notes", "cause")),
    (schema.write_intent, ("id", "revision", "state", "body")),
    (schema.business_event, ("id", "seq")),
    (schema.crosswalk, ("ref", "entity_id")),
    (schema.audit_entry, ("position", "kind", "subject")),
)


def everything(walk: Rooms) -> list[Any]:
    return [walk.rows(table, *columns) for table, columns in _UNCHANGED]


@pytest.mark.parametrize("order", range(4))
def test_a_replay_of_everything_changes_nothing(folder: Path, order: int) -> None:
    past = a_past(**LIFE, seed=order)
    dice = random.Random(order)
    with rooms(new_store(folder, f"replay-{order}"), folder, at=past.ended_at, past=past) as walk:
        walk.accept(shuffled(past, dice))
        walk.finish(dice)
        before = everything(walk)
        seqs = [row[0] for row in walk.rows(schema.inbox_event, "seq")]
        for _ in range(3):
            dice.shuffle(seqs)
            known = list(walk.hub.inbox.load(seqs))
            dice.shuffle(known)
            for start in range(0, len(known), 40):
                walk.commit(known[start : start + 40])
            assert everything(walk) == before
        outcomes = Counter(row[0] for row in walk.rows(schema.observation, "outcome"))
        assert outcomes["superseded"] > 50  # the replay was seen, and every stale state of it has its line


def test_what_changed_nothing_is_recorded_with_its_reason(folder: Path) -> None:
    past = a_past(**LIFE, seed=3)
    with rooms(new_store(folder, "reasons"), folder, at=past.ended_at, past=past) as walk:
        walk.accept(shuffled(past, random.Random(1)))
        walk.finish(random.Random(1))
        rows = walk.rows(schema.observation, "seq", "outcome", "reason")
        reasons: dict[str, set[bool]] = {}
        for _, outcome, reason in rows:
            reasons.setdefault(outcome, set()).add(bool(reason))
        assert reasons == {
            "advanced": {False},
            "unchanged": {False},
            "superseded": {True},
            "tie": {True},
            "awaiting_root": {True},
        }
        seen = {seq for seq, _, _ in rows}
        spoke = set()
        for event in walk.hub.inbox.load([row[0] for row in walk.rows(schema.inbox_event, "seq")]):
            meaning = walk.hub.inbounds["stripe"].interpret(system="stripe", body=event.body)
            if getattr(meaning, "observations", ()):
                spoke.add(event.seq)
        assert seen == spoke  # every event that says something left its line


# -- the orders that once ended elsewhere ------------------------------------------------------------------------------


def of_type(past: Past, *types: str) -> list[bytes]:
    return [body for event, body in zip(past.said, past.bodies, strict=True) if event.type in types]


def stored(walk: Rooms, kind: str) -> dict[str, Any]:
    ids = [row[0] for row in walk.rows(schema.entity, "id", "kind") if row[1] == kind]
    return {one.source.id: one for one in walk.hub.state.entities(ids).values()}


def test_a_dispute_before_its_charge_waits_for_the_charge_and_counts_for_the_customer(folder: Path) -> None:
    past = a_past(**LIFE, seed=3)
    opened = of_type(past, "charge.dispute.created")[-1:]
    with rooms(new_store(folder, "dispute"), folder, at=past.ended_at, past=past) as walk:
        walk.accept(opened)
        walk.take(10)
        assert walk.rows(schema.inbox_work, "state", "reason")[0][0] == "awaiting_reread"
        assert ":charge/ch_" in walk.rows(schema.inbox_work, "reason")[0][0]
        assert walk.rows(schema.entity, "id") == []
        # Its own event is usually on the way: the owner is not asked at once.
        assert walk.hub.inbox.awaiting_reread(now=walk.clock(), limit=10) == ()
        walk.finish(random.Random(0))
        (dispute,) = stored(walk, "dispute").values()
        (account,) = stored(walk, "account").values()
        (payment,) = (one for one in stored(walk, "payment").values() if isinstance(one.entity, Payment))
        assert dispute.root_id == payment.root_id == account.ref.id
        (kept,) = walk.hub.state.standings([account.ref.id]).values()
        assert kept.standing.open_dispute_ids == (dispute.source.id,)


@pytest.mark.parametrize("farewell_first", [True, False])
def test_the_farewell_of_a_deleted_customer_keeps_what_was_known(folder: Path, farewell_first: bool) -> None:
    past = a_past(**LIFE, seed=1)
    (farewell,) = of_type(past, "customer.deleted")
    name = stored_id = None
    with rooms(new_store(folder, f"farewell-{farewell_first}"), folder, at=past.ended_at, past=past) as walk:
        stored_id = walk.arrival(farewell).envelope.lane.removeprefix("customer/")
        ref = ExternalRef("stripe", "customer", stored_id)
        assert past.answer(ref) == b""
        walk.accept([farewell])
        (event,) = walk.hub.inbox.claim(limit=1, now=walk.clock())
        # Another event made us ask its owner, who only says that it is gone.
        asked = InboxEvent(
            seq=event.seq,
            connection=event.connection,
            external_id="evt_other",
            event_type="customer.updated",
            lane=event.lane,
            occurred_at=event.occurred_at,
            received_at=event.received_at,
            headers=b"{}",
            body=next(body for body in of_type(past, "customer.created") if stored_id.encode() in body),
            readings=(Reading(ref=str(ref), read_at=walk.clock(), body=b""),),
        )
        for one in (event, asked) if farewell_first else (asked, event):
            walk.commit([one])
        (account,) = stored(walk, "account").values()
        assert isinstance(account.entity, Account)
        assert account.entity.deleted
        name = account.entity.name
        assert name


def test_the_record_of_a_subscription_learns_of_its_end_even_when_another_ended_later(folder: Path) -> None:
    """A standing remembers one ended subscription; two that end in one batch both have a record that must say so."""
    past = two_subscriptions()
    with rooms(new_store(folder, "two"), folder, at=past.ended_at, past=past) as walk:
        ends = of_type(past, "customer.subscription.deleted")
        assert len(ends) == 2
        walk.accept([body for body in past.bodies if body not in ends])
        walk.finish(random.Random(0))
        assert status_of(walk) == {"Active"}
        walk.accept(ends)
        walk.take(10)
        assert status_of(walk) == {"Cancelled"}


def test_a_subscription_that_ended_before_its_customer_was_known_has_its_record(folder: Path) -> None:
    past = two_subscriptions()
    with rooms(new_store(folder, "late"), folder, at=past.ended_at, past=past) as walk:
        created = of_type(past, "customer.created", "customer.updated")
        walk.accept([body for body in past.bodies if body not in created])
        walk.take(500)
        assert walk.rows(schema.desired_record, "ref") == []
        walk.accept(created)
        walk.finish(random.Random(0))
        subscriptions = [one for one in stored(walk, "subscription").values() if isinstance(one.entity, Subscription)]
        assert len(subscriptions) == 2
        assert status_of(walk) == {"Cancelled"}
        assert len([row for row in walk.rows(schema.desired_record, "flow") if row[0] == "subscriptions"]) == 2


def status_of(walk: Rooms) -> set[Any]:
    refs = [row[0] for row in walk.rows(schema.desired_record, "ref", "flow") if row[1] == "subscriptions"]
    return {wanted.fields["Status__c"] for wanted in walk.hub.state.desired(refs).values()}


def two_subscriptions() -> Past:
    from accordant.connectors.stripe.simulator_account import SimulatedAccount

    account = SimulatedAccount(seed=77)
    said: list[Any] = []
    account.book.listeners.append(said.append)
    product = account.create_product({"name": "Pro", "metadata": {}})
    price = account.create_price(product, currency="eur", unit_amount=5_000, interval="month")
    customer = account.create_customer({"name": "Example", "metadata": {}}, card=True)
    subscriptions = []
    for _ in range(2):
        subscriptions.append(account.billing.subscribe(customer, [(price, 1)]))
        account.book.advance_to(account.book.now + 3_600)
    for subscription in subscriptions:
        account.billing.cancel(subscription)
        account.book.advance_to(account.book.now + 3_600)
    events = tuple(said)
    return Past(account, events, tuple(event.body() for event in events))


def test_a_past_is_worth_testing() -> None:
    """What the histories above must contain for these tests to mean anything."""
    types = Counter(event.type for seed in range(6) for event in a_past(**LIFE, seed=seed).said)
    for needed in (
        "charge.failed",
        "charge.refunded",
        "charge.dispute.created",
        "charge.dispute.closed",
        "customer.deleted",
        "customer.subscription.deleted",
        "customer.subscription.updated",
        "invoice.payment_failed",
        "product.updated",
    ):
        assert types[needed], needed
    assert a_past(**LIFE, seed=0).ended_at > datetime(2024, 6, 1, tzinfo=UTC) + timedelta(days=1)
