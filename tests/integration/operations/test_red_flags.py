"""What does not fit stops its customer and nobody else, opens a packet with everything in it, and waits for people."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from accordant.canonical.intents import KEY_REUSED, RefusalClass, Refused
from accordant.canonical.people import PersonRole
from accordant.canonical.red_flag_kinds import RedFlagKind
from accordant.canonical.red_flags import RedFlag, Verdict
from accordant.canonical.targets import ObjectSpec
from accordant.kernel.errors import RejectedError
from accordant.operations.flag_desk import ApprovalRefused, FlagDesk, PacketChanged
from accordant.ports.connector import DestinationClass, RecordWrite, WriteResult
from accordant.ports.flags import FlagClosed, FlagUnknown
from accordant.ports.replay import ReplayOrder, ReplayScope
from accordant.store.flags import SqlFlagBook
from accordant.store.schema import alert, audit_entry, write_intent
from accordant.testing.destinations import MemoryDestination
from accordant.views.packets import Packet, listed_flags, packet, packet_digest
from accordant.views.trouble import trouble
from tests.integration.operations.kit import MRR, Installation, an_installation

OURS = "integration@example.com"
WHY = "Checked with the billing team."
CHARTER = f"""\
red_flags:
  own_users: {{salesforce: {OURS}}}
"""


def of(one: Installation, kind: str, customer: str) -> dict[str, Any]:
    """The newest object of a kind that a customer has at the stand-in."""
    table = one.stripe.account.book.table(kind).values()
    return [record for record in table if record.get("customer") == customer][-1]


def credit(one: Installation, customer: str) -> str:
    """A credit note that is corrected to more than its invoice asked."""
    invoice = of(one, "invoice", customer)
    note = one.stripe.account.invoices.credit(invoice, amount=100, credit_amount=100)
    one.stripe.account.book.change(note, "credit_note.updated", total=invoice["total"] + 1, amount=invoice["total"] + 1)
    return f"stripe:invoice/{invoice['id']}"


def voided(one: Installation, customer: str) -> str:
    """A paid invoice that is void all at once."""
    invoice = of(one, "invoice", customer)
    one.stripe.account.book.change(invoice, "invoice.voided", status="void")
    return f"stripe:invoice/{invoice['id']}"


def unpaid(one: Installation, customer: str) -> str:
    """An invoice that was paid and shows nothing paid any more."""
    invoice = of(one, "invoice", customer)
    one.stripe.account.book.change(invoice, "invoice.updated", amount_paid=0, status="open", amount_remaining=10_000)
    return f"stripe:invoice/{invoice['id']}"


def refunded(one: Installation, customer: str) -> str:
    """A payment of which more was given back than was paid."""
    charge = of(one, "charge", customer)
    one.stripe.account.book.change(charge, "charge.refunded", amount_refunded=charge["amount"] + 1)
    return f"stripe:charge/{charge['id']}"


def reused(one: Installation, customer: str) -> str:
    """One event id that comes with other content, twice."""
    said = next(event for event in one.stripe.events() if customer.encode() in event.body())
    event = msgspec.json.decode(said.body())
    for number in range(2):
        event["data"]["object"]["description"] = f"other {number}"
        one.hub.inbox.accept([one.arrival(msgspec.json.encode(event))])
    return f"stripe:event/{event['id']}"


def unsourced(one: Installation, customer: str) -> str:
    """Money that changed in the CRM in the hub's own name, without a receipt of the hub."""
    one.salesforce.edit("Account", customer, MRR, "7.00", OURS)
    return f"salesforce:Account/{customer}"


PLANTS: dict[Callable[[Installation, str], str], RedFlagKind] = {
    credit: RedFlagKind.CREDIT_OVER_TOTAL,
    voided: RedFlagKind.UNEXPLAINED_REVERSAL,
    unpaid: RedFlagKind.UNEXPLAINED_REVERSAL,
    refunded: RedFlagKind.UNEXPLAINED_REVERSAL,
    reused: RedFlagKind.KEY_REUSE,
    unsourced: RedFlagKind.UNSOURCED_CHANGE,
}


def later(one: Installation) -> None:
    """What happens next happens in another second."""
    book = one.stripe.account.book
    book.advance_to(book.now + 60)


def rename(one: Installation, customers: list[str]) -> None:
    """Something to write for each of these customers."""
    later(one)
    book = one.stripe.account.book
    for customer in customers:
        book.change(book.get("customer", customer), "customer.updated", name=f"Renamed {customer}")


def named(one: Installation, customer: str) -> str:
    return str(one.salesforce.record("Account", customer)["Name"])


def desk(one: Installation) -> FlagDesk:
    return FlagDesk(
        SqlFlagBook(one.hub.database),
        one.hub.state,
        rulebook=lambda: one.hub.rulebook,
        digest_of=partial(packet_digest, one.hub.database),
        clock=one.hub.clock,
        people=one.hub.people,
    )


def flags(one: Installation) -> tuple[RedFlag, ...]:
    return listed_flags(one.hub.database)


def seen(one: Installation, flag: RedFlag) -> Packet:
    found = packet(one.hub.database, flag.id)
    assert found is not None
    return found


async def plant_and_count(one: Installation, count: int) -> None:
    """``count`` customers with something planted, as many without: each of the first stops, none of the others."""
    customers, neighbors = one.sell(count), one.sell(count)
    await one.settle()
    one.clock.move(minutes=5)
    assert flags(one) == ()
    later(one)
    plants = list(PLANTS)
    subjects = {}
    for number, customer in enumerate(customers):
        plant = plants[number % len(plants)]
        subjects[plant(one, customer)] = (customer, PLANTS[plant])
    rename(one, customers + neighbors)
    await one.settle()
    raised = {flag.subject: flag.kind for flag in flags(one)}
    assert raised == {subject: kind for subject, (_, kind) in subjects.items()}
    stopped = [customer for customer in customers if named(one, customer).startswith("Renamed")]
    assert stopped == [], "not a byte of them was written"
    assert all(named(one, customer) == f"Renamed {customer}" for customer in neighbors)
    for flag in flags(one):
        complete(seen(one, flag), flag)


def complete(found: Packet, flag: RedFlag) -> None:
    """Requirement 152, field by field."""
    if flag.kind is not RedFlagKind.UNSOURCED_CHANGE:
        assert found.event is not None
        assert found.event.external_id.startswith("evt_")
        assert found.event.occurred_at <= found.event.received_at + timedelta(hours=1)
        assert found.receives >= 1
    assert found.affected[0] == flag.subject
    assert found.tries, "retry history"
    assert flag.after, "what does not fit, after"
    assert flag.before or flag.kind is RedFlagKind.KEY_REUSE
    assert {target.system for target in found.targets} == {"salesforce"}
    account = next(target for target in found.targets if ":Account/" in target.record)
    assert account.before is not None
    assert account.target_id
    assert MRR in account.before
    assert MRR in account.after
    if flag.subject.startswith(("stripe:invoice", "stripe:charge")):
        assert next(one.ref for one in found.billing) == flag.subject


async def test_every_planted_flag_stops_its_customer_and_no_other(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path, more=CHARTER) as one:
        await plant_and_count(one, 2 * len(PLANTS))


@pytest.mark.nightly
async def test_two_hundred_planted_two_hundred_stopped(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path, more=CHARTER) as one:
        await plant_and_count(one, 200)


async def test_two_different_people_approve_and_what_waited_is_written(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path, more=CHARTER) as one:
        customer, other = one.sell(2)
        await one.settle()
        credit(one, customer)
        rename(one, [customer])
        await one.settle()
        (flag,) = flags(one)
        office = desk(one)
        digest = seen(one, flag).digest
        assert office.missing(flag.id) == 2
        with pytest.raises(PacketChanged):
            office.approve(flag.id, digest="0" * 64, actor="Ada", reason=WHY)
        assert office.approve(flag.id, digest=digest, actor="Ada", reason=WHY).missing == 1
        for same in ("Ada", " ada "):
            with pytest.raises(ApprovalRefused, match="another person"):
                office.approve(flag.id, digest=digest, actor=same, reason=WHY)
        office.refuse(flag.id, actor="Cy", reason="The note is wrong.")
        assert office.missing(flag.id) == 2, "approvals before a refusal count no more"
        office.approve(flag.id, digest=digest, actor="Ada", reason=WHY)
        await one.settle()
        assert not named(one, customer).startswith("Renamed")
        outcome = office.approve(flag.id, digest=digest, actor="Bo", reason=WHY)
        assert (outcome.is_open, outcome.missing, flags(one)) == (False, 0, ())
        await one.deliver()
        assert named(one, customer) == f"Renamed {customer}"
        with pytest.raises(FlagClosed):
            office.approve(flag.id, digest=digest, actor="Di", reason=WHY)
        with pytest.raises(FlagUnknown):
            office.missing("flg_nothing")
        with pytest.raises(RejectedError, match="named person"):
            office.approve(flag.id, digest=digest, actor="Bo", reason="")
        with one.hub.database.read() as connection:
            kinds = list(connection.execute(select(audit_entry.c.kind).order_by(audit_entry.c.position)).scalars())
            told = list(connection.execute(select(alert.c.kind)).scalars())
        assert [kind for kind in kinds if ".flag." in kind] == [
            "court.flag.raised",
            "operations.flag.approved",
            "operations.flag.refused",
            "operations.flag.approved",
            "operations.flag.approved",
        ]
        assert told.count("flag.raised") == 1
        assert [one.verdict for one in seen(one, flag).decisions][1] is Verdict.REFUSE
        del other


async def test_an_approval_of_other_values_counts_for_nothing(tmp_path: Path) -> None:
    async with an_installation(f"sqlite:///{tmp_path}/store.db", tmp_path, more=CHARTER) as one:
        (customer,) = one.sell(1)
        await one.settle()
        credit(one, customer)
        await one.settle()
        (flag,) = flags(one)
        office, digest = desk(one), seen(one, flag).digest
        office.approve(flag.id, digest=digest, actor="Ada", reason=WHY)
        invoice = of(one, "invoice", customer)
        one.stripe.account.book.change(invoice, "invoice.updated", description="Another story")
        rename(one, [customer])
        await one.settle()
        assert seen(one, flag).digest != digest
        with pytest.raises(PacketChanged):
            office.approve(flag.id, digest=digest, actor="Bo", reason=WHY)
        assert office.missing(flag.id) == 2, "what Ada approved was another packet"


async def test_what_fits_raises_nothing_and_a_replay_raises_nothing_twice(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path, more=CHARTER) as one:
        first, second, third, fourth = one.sell(4)
        await one.settle()
        account = one.stripe.account
        invoice = of(one, "invoice", first)
        account.invoices.credit(invoice, amount=invoice["total"], credit_amount=invoice["total"])
        account.payments.refund(of(one, "charge", second), amount=None, given={})
        one.salesforce.edit("Account", third, MRR, "7.00", "sales@example.com")
        credit(one, fourth)
        rename(one, [first, second, third])
        await one.settle()
        assert [flag.kind for flag in flags(one)] == [RedFlagKind.CREDIT_OVER_TOTAL]
        assert all(named(one, customer) == f"Renamed {customer}" for customer in (first, second, third))
        assert one.salesforce.record("Account", third)[MRR] == 100.0, "signed by somebody: a conflict, billing wins"
        (flag,) = flags(one)
        one.clock.move(minutes=1)
        order = ReplayOrder(scope=ReplayScope(), actor="ada", reason="again")
        assert one.hub.recovery.replay(order).progress.stopped == 0
        assert flags(one) == (flag,)
        seen_groups = trouble(one.hub.database, now=one.clock()).groups
        assert "red_flag" in {group.kind for group in seen_groups}


async def test_a_flag_reaches_a_write_that_is_on_its_way(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path, more=CHARTER) as one:
        (customer,) = one.sell(1)
        await one.settle()
        rename(one, [customer])
        one.take_in()
        one.process()
        with one.hub.database.read() as connection:
            waiting = select(write_intent.c.id).where(write_intent.c.state == "pending")
            assert connection.execute(waiting).scalars().all()
        reused(one, customer)
        await one.deliver()
        assert not named(one, customer).startswith("Renamed"), "planned before the flag, stopped at dispatch"
        (flag,) = flags(one)
        desk(one).approve(flag.id, digest=seen(one, flag).digest, actor="Ada", reason=WHY)
        one.clock.move(minutes=1)
        await one.deliver()
        assert named(one, customer) == f"Renamed {customer}"


class KnowsEveryKey(MemoryDestination):
    """A target that says of every key that it came with another request."""

    async def write(self, spec: ObjectSpec, records: Sequence[RecordWrite]) -> tuple[WriteResult, ...]:
        said = "This idempotency key was used for another request."
        refused = Refused(cause=RefusalClass.TRANSIENT, code=KEY_REUSED, message=said)
        return tuple(WriteResult(outcome=refused, request_id=None) for _ in records)


async def test_a_target_that_knows_our_keys_from_others_is_a_flag_with_a_packet(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path, more=CHARTER) as one:
        target = KnowsEveryKey("salesforce", DestinationClass.IDEMPOTENCY_KEY, clock=one.clock)
        await one.hub.outbounds["salesforce"].close()
        one.hub.outbounds["salesforce"] = target
        (customer,) = one.sell(1)
        await one.settle()
        assert not flags(one)
        one.clock.move(minutes=1)
        await one.deliver()
        (flag,) = flags(one)
        assert (flag.kind, flag.subject) == (RedFlagKind.KEY_REUSE, f"salesforce:Account/{customer}")
        packet = seen(one, flag)
        assert packet.digest
        assert packet.tries, "the packet tells how often it was tried"
        one.clock.move(hours=1)
        await one.deliver()
        assert target.effects == []
        assert len(flags(one)) == 1


async def test_a_flag_on_a_customer_nobody_knows_yet_stops_him_once_he_is_known(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path, more=CHARTER) as one:
        (customer,) = one.sell(1)
        one.take_in()
        reused(one, customer)
        (flag,) = flags(one)
        assert flag.account_id is None
        await one.settle()
        assert one.salesforce.count("Account") == 0
        account = seen(one, flag).flag.account_id
        assert account is not None
        desk(one).approve(flag.id, digest=seen(one, flag).digest, actor="Ada", reason=WHY)
        await one.deliver()
        assert one.salesforce.count("Account") == 1


async def test_a_kind_the_charter_does_not_name_is_not_looked_for(tmp_path: Path) -> None:
    more = "red_flags:\n  stop_on: [key_reuse]\n  two_persons: []\n"
    async with an_installation(f"sqlite:///{tmp_path}/store.db", tmp_path, more=more) as one:
        first, second = one.sell(2)
        await one.settle()
        credit(one, first)
        unsourced(one, second)
        rename(one, [first, second])
        await one.settle()
        assert flags(one) == ()
        assert named(one, first) == f"Renamed {first}"


async def test_two_approvals_behind_which_one_person_stands_are_told(store_url: str, tmp_path: Path) -> None:
    """Who hands out two tokens can hold two: the trail and an alarm say so, until somebody else vouches for one."""
    async with an_installation(store_url, tmp_path, more=CHARTER) as one:
        (customer,) = one.sell(1)
        await one.settle()
        credit(one, customer)
        await one.settle()
        people = one.hub.people
        ruth, _ = people.add("Ruth", frozenset({PersonRole.ADMIN}), timedelta(days=30), admin=None, actor="root")
        for name in ("Ada", "Bo"):
            people.add(name, frozenset({PersonRole.APPROVER}), timedelta(days=30), admin=ruth, actor="")
        one.clock.move(seconds=1)
        (flag,) = flags(one)
        digest = seen(one, flag).digest
        office = desk(one)
        assert office.approve(flag.id, digest=digest, actor="Ada", reason=WHY).missing == 1
        kinds = [kind for _, kind, *_ in one.hub.alerts.due(now=one.clock(), limit=50)]
        assert "people.one_hand" not in kinds, "half of an approval lets nothing go"
        office.approve(flag.id, digest=digest, actor="Bo", reason=WHY)
        kinds = [kind for _, kind, *_ in one.hub.alerts.due(now=one.clock(), limit=50)]
        assert kinds.count("people.one_hand") == 1
        query = select(audit_entry.c.body).where(audit_entry.c.kind == "operations.flag.approved")
        with one.hub.database.read() as connection:
            told = [bytes(body) for body in connection.execute(query.order_by(audit_entry.c.position)).scalars()]
        assert [b'"one_hand":"Ruth"' in body for body in told] == [False, True]
