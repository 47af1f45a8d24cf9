"""Bad input B9, as a table: twelve lives of a customer in ten orders of arrival, 120 sequences, each with its verdict.

All lives of one order are in one store at once, interleaved. The verdict of each: the same end as told in order, each
happening once; what clocks cannot order is asked of its owner.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest

from accordant.connectors.stripe.simulator_account import SimulatedAccount
from accordant.connectors.stripe.simulator_state import SaidEvent
from accordant.store import schema
from tests.integration.pipeline.kit import Past, differences, new_store, outcome_of, rooms

DAY_S = 86_400
Record = dict[str, Any]
Outcome = dict[str, dict[str, Any]]


class Customer:
    """One customer of the stand-in, with the few things that can happen to it."""

    def __init__(self, account: SimulatedAccount, name: str, price: Record) -> None:
        self.account, self.price = account, price
        self.record = account.create_customer({"name": name, "email": f"{name}@example.com", "metadata": {}}, card=True)
        self.id = str(self.record["id"])
        self.subscriptions: list[Record] = []

    def subscribe(self, quantity: int = 1) -> None:
        self.subscriptions.append(self.account.billing.subscribe(self.record, [(self.price, quantity)]))

    def seats(self, quantity: int) -> None:
        items = [{"id": self.subscriptions[-1]["items"]["data"][0]["id"], "quantity": quantity}]
        self.account.billing.update(self.subscriptions[-1], items=items)

    def leave(self, *, at_once: bool) -> None:
        if at_once:
            self.account.billing.cancel(self.subscriptions[-1])
        else:
            self.account.billing.update(self.subscriptions[-1], fields={"cancel_at_period_end": True})

    def card(self, *, failing: bool) -> None:
        self.account.payments.set_card(self.id, failing=failing)

    def charge(self) -> Record:
        table = self.account.book.table("charge").values()
        return next(one for one in table if one["customer"] == self.id and one["status"] == "succeeded")

    def refund(self, amount: int | None) -> None:
        self.account.payments.refund(self.charge(), amount=amount, given={})

    def dispute(self) -> None:
        charge = self.charge()
        self.account.payments.open_dispute(charge)
        # Stripe does not announce that the mark on the charge changed; said here, so that all is said (see kit.py).
        self.account.book.say("charge.updated", charge)

    def rename(self, *names: str) -> None:
        for name in names:
            self.account.book.change(self.record, "customer.updated", name=name)

    def go(self) -> None:
        self.account.delete_customer(self.record)


def nothing(_: Customer) -> None:
    """Ten days pass."""


def begins(one: Customer) -> None:
    one.subscribe()


Step = Callable[[Customer], None]
#: What happens to a customer, one step every ten days.
LIVES: dict[str, tuple[Step, ...]] = {
    "signs up": (begins,),
    "grows": (begins, lambda one: one.seats(5), lambda one: one.seats(9)),
    "shrinks": (lambda one: one.subscribe(8), lambda one: one.seats(1)),
    "leaves at the period's end": (begins, lambda one: one.leave(at_once=False)),
    "leaves at once": (begins, lambda one: one.leave(at_once=True)),
    "leaves while it owes": (
        begins,
        lambda one: one.card(failing=True),
        nothing,
        nothing,
        lambda one: one.leave(at_once=True),
    ),
    "owes and pays": (
        begins,
        lambda one: one.card(failing=True),
        nothing,
        nothing,
        lambda one: one.card(failing=False),
    ),
    "is refunded and disputes": (begins, lambda one: one.refund(1_000), Customer.dispute),
    "is refunded twice": (begins, lambda one: one.refund(1_000), lambda one: one.refund(None)),
    "is deleted": (begins, lambda one: one.leave(at_once=True), Customer.go),
    "has three names in one second": (
        begins,
        lambda one: one.rename("A", "B", "C"),
    ),
    "comes back": (begins, lambda one: one.leave(at_once=True), lambda one: one.subscribe(2)),
}


class Story(msgspec.Struct, frozen=True):
    """Everything that was said, by whom it is about; what is about nobody (the catalogue) is under the empty name."""

    past: Past
    customers: dict[str, str]
    bodies: dict[str, list[bytes]]


@cache
def the_story() -> Story:
    account = SimulatedAccount(seed=9)
    said: list[SaidEvent] = []
    account.book.listeners.append(said.append)
    product = account.create_product({"name": "Pro", "metadata": {}})
    price = account.create_price(product, currency="eur", unit_amount=4_900, interval="month")
    account.book.advance_to(account.book.now + 60)
    cast = {life: Customer(account, f"customer{number}", price) for number, life in enumerate(LIVES)}
    for step in range(max(map(len, LIVES.values()))):
        account.book.advance_to(account.book.now + 10 * DAY_S)
        for life, one in cast.items():
            if step < len(LIVES[life]):
                LIVES[life][step](one)
    account.book.advance_to(account.book.now + 45 * DAY_S)
    bodies: dict[str, list[bytes]] = {name: [] for name in ("", *LIVES)}
    whose = {one.id: life for life, one in cast.items()}
    for event in said:
        body = event.body()
        bodies[next((life for name, life in whose.items() if name.encode() in body), "")].append(body)
    past = Past(account, tuple(said), tuple(event.body() for event in said))
    return Story(past, {life: one.id for life, one in cast.items()}, bodies)


def _twin(body: bytes) -> bytes:
    """The same change under another event id."""
    event = msgspec.json.decode(body)
    return msgspec.json.encode({**event, "id": f"{event['id']}twin"})


def _mixed(bodies: list[bytes], dice: random.Random) -> list[bytes]:
    return dice.sample(bodies, len(bodies))


#: How the deliveries of each customer arrive: those that come now, and those that come a month later.
ARRIVALS: dict[str, Callable[[list[bytes], random.Random], tuple[list[bytes], list[bytes]]]] = {
    "in order": lambda told, _: (told, []),
    "backwards": lambda told, _: (told[::-1], []),
    "the creation last": lambda told, _: ([*told[1:], told[0]], []),
    "the end first": lambda told, _: ([told[-1], *told[:-1]], []),
    "each twice": lambda told, _: ([body for body in told for _ in range(2)], []),
    "a storm of retries": lambda told, dice: (_mixed(told * 5, dice), []),
    "in any order": lambda told, dice: (_mixed(told, dice), []),
    "each change as two events": lambda told, dice: (_mixed([*told, *map(_twin, told)], dice), []),
    "every other one a month late": lambda told, _: (told[::2], told[1::2]),
    "all but the last a month late": lambda told, dice: (told[-1:], _mixed(told[:-1], dice)),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sequences")


_ENDS: dict[str, Outcome] = {}


def the_end(folder: Path, arrival: str) -> Outcome:
    """What one order of arrival came to, all twelve lives at once."""
    if arrival not in _ENDS:
        story, dice = the_story(), random.Random(arrival)
        first, later = [], []
        for life in LIVES:
            now, late = ARRIVALS[arrival](story.bodies[life], dice)
            first.append(now)
            later.append(late)
        store = new_store(folder, arrival.replace(" ", "-"))
        with rooms(store, folder, at=story.past.ended_at, past=story.past) as walk:
            walk.accept(story.bodies[""])
            walk.accept(_interleaved(first, dice))
            walk.finish(dice, batch_max=40)
            walk.clock.move(days=31)
            walk.accept(_interleaved(later, dice))
            walk.finish(dice, batch_max=40)
            # Some facts change with the calendar alone, so all are decided for one day.
            walk.hub.replan_accounts()
            _ENDS[arrival] = outcome_of(walk)
            waiting = {row[0] for row in walk.rows(schema.inbox_work, "state")}
        assert waiting == {"processed"}
    return _ENDS[arrival]


def _interleaved(told: list[list[bytes]], dice: random.Random) -> list[bytes]:
    """The deliveries of all customers among one another, those of each in their order."""
    turns = [number for number, bodies in enumerate(told) for _ in bodies]
    dice.shuffle(turns)
    left = [iter(bodies) for bodies in told]
    return [next(left[turn]) for turn in turns]


def of_life(outcome: Outcome, life: str) -> Outcome:
    """The part of an outcome that is about one customer."""
    account_id = outcome["links"][f"stripe:customer/{the_story().customers[life]}"]
    return {
        "entities": {name: told for name, told in outcome["entities"].items() if told[0] == account_id},
        "standings": {name: told for name, told in outcome["standings"].items() if name == account_id},
        "desired": {name: told[2:] for name, told in outcome["desired"].items() if told[1].endswith(account_id)},
        "events": {name: told for name, told in outcome["events"].items() if told[1] == account_id},
    }


def test_the_corpus_is_whole() -> None:
    assert len(LIVES) * len(ARRIVALS) >= 120
    assert all(the_story().bodies[life] for life in LIVES)


@pytest.mark.parametrize("arrival", ARRIVALS)
@pytest.mark.parametrize("life", LIVES)
def test_it_ends_as_it_was_lived(folder: Path, life: str, arrival: str) -> None:
    expected = of_life(the_end(folder, "in order"), life)
    assert differences(expected, of_life(the_end(folder, arrival), life)) == []
    assert expected["entities"]
    assert expected["desired"]
    assert expected["events"]


def test_the_lives_are_what_they_are_called(folder: Path) -> None:
    """The table means what it says: else every order would agree on nothing."""
    told = {life: of_life(the_end(folder, "in order"), life) for life in LIVES}
    kinds = {life: {event[0] for event in one["events"].values()} for life, one in told.items()}
    assert "contract.amended" in kinds["grows"] & kinds["shrinks"]
    assert "subscription.cancelled" in kinds["leaves at once"] & kinds["leaves at the period's end"]
    assert "payment.failed" in kinds["owes and pays"] & kinds["leaves while it owes"]
    # A refund and a dispute are of their payment, and lead to the customer by it.
    assert {"refund.issued", "dispute.opened"} <= {event[0] for event in the_end(folder, "in order")["events"].values()}
    (renamed,) = (
        told["has three names in one second"]["entities"][name]
        for name in told["has three names in one second"]["standings"]
    )
    assert msgspec.json.decode(renamed[1])["name"] == "C"
