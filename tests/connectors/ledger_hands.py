"""What people do in an ERP by hand, and how the hub comes to know: by a signed notice, by the sweep, or by both."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec
import pytest
from sqlalchemy import func, select

from accordant.canonical.conflicts import Conflict, decode_conflict
from accordant.canonical.red_flag_kinds import RedFlagKind
from accordant.canonical.red_flags import RedFlag
from accordant.pipeline.process import process
from accordant.pipeline.receive import Connection, receive
from accordant.ports.connector import SignatureInvalid
from accordant.ports.inbox import Reception, WorkState
from accordant.ports.reconcile import Cause, DiscrepancyKind
from accordant.store import schema
from accordant.web.lookout import Lookout
from tests.connectors.ledger_story import ROUNDS_MAX, Company

QUARTER = 15
Notice: TypeAlias = tuple[bytes, dict[str, str]]
WEBHOOK_KEY = b"a-key"


@dataclass(frozen=True)
class Known:
    """What the hub knows of edits by hand: conflicts, red flags, questions and alerts, in the order they came."""

    conflicts: tuple[Conflict, ...]
    flags: tuple[RedFlag, ...]
    questions: tuple[bytes, ...]
    alerts: tuple[Any, ...]

    @property
    def fields(self) -> list[tuple[str, str, str]]:
        """The object, the field and the rule of each conflict."""
        return [
            (one.record.partition(":")[2].partition("/")[0], one.contested.field, one.contested.ruling.rule.value)
            for one in self.conflicts
        ]


def known(one: Company) -> Known:
    with one.hub.database.read() as connection:
        conflicts = connection.execute(select(schema.conflict.c.body).order_by(schema.conflict.c.found_at)).scalars()
        return Known(
            conflicts=tuple(decode_conflict(body) for body in conflicts),
            flags=tuple(
                msgspec.json.decode(body, type=RedFlag)
                for body in connection.execute(select(schema.red_flag.c.body)).scalars()
            ),
            questions=tuple(connection.execute(select(schema.review_case.c.body)).scalars()),
            alerts=tuple(connection.execute(select(schema.alert.c.kind, schema.alert.c.subject, schema.alert.c.body))),
        )


def outcomes(one: Company, event_type: str) -> list[tuple[str, str]]:
    """What became of what the ERP told of records of ours, by the type of the event."""
    told, event = schema.observation, schema.inbox_event
    query = (
        select(told.c.outcome, told.c.reason)
        .join(event, event.c.seq == told.c.seq)
        .where(event.c.connection == one.erp.name, event.c.event_type == event_type)
        .order_by(told.c.seq)
    )
    with one.hub.database.read() as connection:
        return [(row.outcome, row.reason) for row in connection.execute(query)]


def deliver_notice(one: Company, notice: Notice) -> Reception:
    """A notice comes to the door: proven, and kept. Raises SignatureInvalid."""
    body, headers = notice
    door = Connection(
        name=one.erp.name, inbound=one.hub.inbounds[one.erp.name], secrets=(WEBHOOK_KEY,), deliveries_per_s=10
    )
    (verdict,) = one.hub.inbox.accept([receive(connection=door, headers=headers, body=body, now=one.clock())])
    return verdict


async def heard(one: Company, *notices: Notice) -> None:
    """Notices come, and everything that follows from them is done."""
    for notice in notices:
        deliver_notice(one, notice)
    await come_to_rest(one)


async def come_to_rest(one: Company) -> None:
    """Everything told is decided, what has to be read is read, and the ERP is asked for what was planned."""
    for _ in range(ROUNDS_MAX):
        one.process()
        one.clock.move(seconds=3)
        if await one.hub.reread_round() + await one.hub.deliver_round(one.erp.name):
            continue
        if not any(row.state in {"pending", "uncertain"} for row in one.left()):
            return
        one.clock.move(minutes=3)  # it may be missing from a search for as long
    raise AssertionError(f"the hub did not come to rest: {one.left()}")


async def swept(one: Company) -> int:
    """A quarter of an hour later the sweep asks what changed; how many events were new."""
    one.clock.move(minutes=QUARTER)
    report = await Lookout(one.hub).sweep(one.erp.name, actor="accordant")
    await come_to_rest(one)
    return report.total


class Hands(ABC):
    """Somebody at an ERP's screen, with the notices that his changes set off."""

    def __init__(self, one: Company) -> None:
        self.one = one

    @abstractmethod
    def paid_bill(self) -> str:
        """The id of an invoice of ours that is paid."""

    @abstractmethod
    def move_revenue(self, bill: str, account: str) -> str:
        """Put the lines of an invoice on another account; which one they were on."""

    @abstractmethod
    def touch(self, bill: str, word: str) -> None:
        """Change something of an invoice that the hub does not write."""

    @abstractmethod
    def take_payment_back(self) -> str:
        """Void, or delete, a payment of ours; its target id."""

    @abstractmethod
    def rename(self, customer: str, name: str) -> None:
        """Give the customer of a key another name."""

    @abstractmethod
    def name_of(self, customer: str) -> str:
        """The name of the customer of a key."""

    @abstractmethod
    def make_foreign_bill(self) -> str:
        """An invoice of somebody else's, for a customer of his own; its id."""

    @abstractmethod
    def bill_notice(self, *bills: str) -> Notice:
        """The notice that invoices changed."""

    @abstractmethod
    def customer_notice(self, customer: str) -> Notice:
        """The notice that the customer of a key changed."""

    @property
    @abstractmethod
    def made(self) -> Sequence[Any]:
        """Every record that was ever made or written there."""

    @property
    @abstractmethod
    def calls(self) -> int:
        """How many calls came."""


async def at_work(one: Company) -> str:
    """Two customers with bills that are paid, all of it in the ERP and known there; the first customer's key."""
    await swept(one)  # what was before is not looked at
    first, _ = one.sell(2, currency="eur")
    await one.post()
    assert await swept(one) > 0
    assert {outcome for outcome, _ in outcomes(one, "record.changed")} == {"echo"}
    assert (known(one).conflicts, known(one).flags) == ((), ())
    one.clock.move(hours=1)
    return first


async def an_edit_is_told_once(hands: Hands, *, by_webhook: bool) -> None:
    """Noticed by webhook, by sweep, or by both: one conflict in words, and nothing is written over."""
    one = hands.one
    await at_work(one)
    bill, made = hands.paid_bill(), list(hands.made)
    account = hands.move_revenue(bill, "4000")
    if by_webhook:
        notice = hands.bill_notice(bill)
        await heard(one, notice, notice)
        assert known(one).fields == [(one.erp.bills, "lines", "posted")]
        (told,) = {reason for _, reason in outcomes(one, "notice")}
        assert told.startswith("Somebody changed lines of")
    await swept(one)
    found = known(one)
    assert found.fields == [(one.erp.bills, "lines", "posted")]
    (conflict,) = found.conflicts
    assert "by hand" in conflict.contested.ruling.sentence
    assert conflict.contested.ruling.winner is None
    assert [(kind, body) for kind, _, body in found.alerts if kind == "conflict.opened"] == [
        ("conflict.opened", conflict.contested.ruling.sentence)
    ]
    assert [flag.subject for flag in found.flags] == [conflict.record]  # money changed in nobody's name
    planned = plans(one, conflict.record)
    for word in ("approved", "paid"):  # nobody knows what else is set in motion there
        hands.touch(bill, word)
        await swept(one)
    assert known(one) == found
    assert plans(one, conflict.record) == planned  # told again by a later state of the same record: known
    assert hands.made == made
    await a_replay_asks_nobody(one, planned, conflict.record)
    assert {row.state for row in one.left()} <= {"cancelled"}  # no dead letter, and no lane that stands still
    hands.move_revenue(bill, account)
    await swept(one)
    with one.hub.database.read() as connection:
        assert connection.execute(select(schema.field_stand)).all() == []  # it was undone: nothing is left to decide
    hands.move_revenue(bill, "4000")
    one.clock.move(seconds=1)
    await one.hub.reconcile("bills", actor="ada")  # the red flag keeps the courier away
    with one.hub.database.read() as connection:
        (stand,) = connection.execute(select(schema.field_stand.c.conflict_id)).scalars()
    assert stand == conflict.id  # done once more, it waits once more
    assert [kind for kind, _, _ in known(one).alerts].count("conflict.opened") == 2
    assert hands.made == made


def plans(one: Company, record: str) -> int:
    """How many writes of a record were ever planned."""
    query = select(func.count()).select_from(schema.write_intent).where(schema.write_intent.c.record == record)
    with one.hub.database.read() as connection:
        return int(connection.execute(query).scalar_one())


async def a_replay_asks_nobody(one: Company, planned: int, record: str) -> None:
    """What was told of records is of that time: walked again, it has nothing read and nothing written."""
    event = schema.inbox_event
    query = select(event.c.seq).where(event.c.connection == one.erp.name)
    with one.hub.database.read() as connection:
        seqs = list(connection.execute(query).scalars())
    events = one.hub.inbox.load(seqs)
    changes = process(
        events,
        connectors=one.hub.inbounds,
        rulebook=one.hub.rulebook,
        state=one.hub.state,
        now=one.clock(),
        asleep=frozenset(),
    )
    assert {settled.state for settled in changes.settlements} == {WorkState.PROCESSED}
    assert (changes.intents, changes.flags, changes.lifted) == ([], [], [])
    assert plans(one, record) == planned


async def what_was_taken_back_is_told_and_stays_away(hands: Hands) -> None:
    """A payment that somebody took back is not made again, and neither is anything else of it written."""
    one = hands.one
    await at_work(one)
    made, gone = list(hands.made), hands.take_payment_back()
    await swept(one)
    found = known(one)
    (flag,) = found.flags
    assert (flag.kind, flag.target_id) == (RedFlagKind.UNSOURCED_CHANGE, gone)
    assert flag.account_id is not None
    await swept(one)
    assert known(one) == found
    assert hands.made == made


async def a_customer_is_given_his_name_back(hands: Hands) -> None:
    """Billing owns the name: it is written again, once, and our own write is known when it is told back."""
    one = hands.one
    customer = await at_work(one)
    name = hands.name_of(customer)
    hands.rename(customer, "Somebody Else")
    notice = hands.customer_notice(customer)
    await heard(one, notice, notice)
    assert hands.name_of(customer) == name
    found = known(one)
    assert [(field, rule) for _, field, rule in found.fields] == [("name", "system_of_record")]
    made, calls = list(hands.made), hands.calls
    await heard(one, hands.customer_notice(customer))
    assert outcomes(one, "notice")[-1][0] == "echo"
    assert hands.calls == calls  # so soon after our own write nothing is read for it
    await swept(one)
    assert (known(one), hands.made) == (found, made)
    hands.rename(customer, "Yet Another")
    await swept(one)  # without a word from the webhook
    assert hands.name_of(customer) == name
    assert len(known(one).conflicts) == 2


async def nobody_else_s_is_ever_looked_at(hands: Hands) -> None:
    """Of a document of somebody else's nothing is read, kept or found, whatever is told of it."""
    one = hands.one
    await at_work(one)
    bill = hands.make_foreign_bill()
    before, calls = known(one), hands.calls
    await heard(one, hands.bill_notice(bill))
    assert hands.calls == calls
    assert outcomes(one, "notice") == []
    told = len(outcomes(one, "record.changed"))
    await swept(one)
    assert known(one) == before
    assert len(outcomes(one, "record.changed")) == told


async def forged_late_and_disordered_notices_change_nothing(hands: Hands) -> None:
    """One that is not signed is refused; one that comes late, or before an earlier one, finds what is there today."""
    one = hands.one
    await at_work(one)
    bill = hands.paid_bill()
    body, headers = hands.bill_notice(bill)
    for forged in ((body, {}), (body.replace(bill.encode(), b"12345"), headers)):
        with pytest.raises(SignatureInvalid):
            deliver_notice(one, forged)
    account = hands.move_revenue(bill, "4000")
    first = hands.bill_notice(bill)
    one.clock.move(minutes=30)
    hands.move_revenue(bill, account)
    second = hands.bill_notice(bill)
    one.clock.move(minutes=30)
    await heard(one, second, first)
    assert deliver_notice(one, first) is not Reception.NEW
    assert {outcome for outcome, _ in outcomes(one, "notice")} == {"echo"}
    assert known(one).conflicts == ()


async def a_bill_without_its_key_is_never_made_twice(hands: Hands, take_key_off: Callable[[str], None]) -> None:
    """Somebody wrote his own number over our key: a repair tells a person so, and makes no second bill."""
    one = hands.one
    await at_work(one)
    bill, made = hands.paid_bill(), list(hands.made)
    take_key_off(bill)
    found = await one.hub.reconcile("bills", actor="ada")
    assert [(each.kind, each.repairable) for each in found.shown] == [(DiscrepancyKind.MISSING, True)]
    one.hub.repair(found.run.id, actor="ada")
    await come_to_rest(one)
    assert hands.made == made
    (dead,) = [row for row in one.left() if row.state == "dead"]
    assert bill in dead.reason
    assert "somebody took that key off it there. It was not made a second time." in dead.reason
    one.clock.move(seconds=1)
    again = await one.hub.reconcile("bills", actor="ada")
    assert [(each.cause, each.repairable) for each in again.shown] == [(Cause.HAND_EDIT, False)]
    assert dead.reason in again.shown[0].explanation
