"""What persons say of the books is a delivery like any other: it survives a rebuild, a crash, and many at once."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from accordant.bootstrap import Hub
from accordant.canonical.books import Role
from accordant.canonical.words import SOURCE, withdrawal_of
from accordant.ledger.orders import EntryOrder, OrderLeg, TransactionOrder
from accordant.ledger.transactions import Transaction
from accordant.operations.bill_desk import BillDesk, BillOrder, BillWord
from accordant.operations.order_entry import EntryDesk
from accordant.operations.order_transaction import TransactionDesk
from accordant.operations.replay import only_new
from accordant.operations.withdraw import WithdrawalDesk, WithdrawalRefused
from accordant.operations.word_desk import Ordered, OrderOutcome
from accordant.pipeline.process import process
from accordant.pipeline.words import Words
from accordant.ports.connector import SignatureInvalid
from accordant.store.schema import audit_entry, inbox_event, inbox_twin, inbox_work, journal_entry, ledger_bill
from tests.databases import Pool
from tests.integration.operations.bookkit import LEDGER, balances, entries, held
from tests.integration.operations.kit import Installation, an_installation
from tests.integration.operations.rebuildkit import kept, rebuilt

COMPANY, SISTER = "Example GmbH", "Example Ltd"
_MORE = {
    "bad_debt": "6200", "processing_fees": "6100", "sellers_payable": "2600", "withholding_payable": "2610",
    "intercompany_cost": "5900", "intercompany_payable": "2900", "intercompany_receivable": "1900",
    "intercompany_revenue": "4800",
}  # fmt: skip


def a_group() -> str:
    """The charter's ledger for a company and its sister, with a row for everything persons say."""
    accounts = "".join(f'        "{code}": {{name: {role}, type: expense}}\n' for role, code in _MORE.items())
    rules = "".join(f'        - {{role: {role}, account: "{code}"}}\n' for role, code in _MORE.items())
    whole = LEDGER.replace("      rules:\n", accounts + "      rules:\n") + rules
    body = whole[whole.index(f"    {COMPANY}:\n") :]
    return whole + body.replace(COMPANY, SISTER) + "  services: {prod_prepaid: prepaid}\n"


@pytest.fixture
async def one(store_url: str, tmp_path: Path) -> AsyncIterator[Installation]:
    async with an_installation(store_url, tmp_path, more=a_group()) as installed:
        yield installed


@pytest.fixture
def empty_store(store_url: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """A second store of the same kind."""
    if store_url.startswith("sqlite"):
        yield f"sqlite:///{tmp_path / 'rebuilt.sqlite'}"
        return
    pool: Pool = request.getfixturevalue("postgres_pool")
    with pool.lend(f"{request.node.name}_rebuilt") as url:
        yield url


def bills(hub: Hub) -> BillDesk:
    return BillDesk(hub.state, hub.inbox, rulebook=lambda: hub.rulebook, clock=hub.clock)


def say(one: Installation, word: BillWord, bill: str, key: str, *, on: date | None = None, **more: Any) -> Ordered:
    day = on or one.clock().date()
    order = BillOrder(word=word, bill=bill, key=key, happened_on=day, reason="As the customer wrote", **more)
    return bills(one.hub).say(order, by="ann")


def unpaid_bills(one: Installation, count: int) -> list[str]:
    """So many bills that are open, each of a customer whose card is refused; oldest first."""
    account = one.stripe.account
    product = account.create_product({"name": "Pro", "metadata": {}})
    price = account.create_price(product, currency="usd", unit_amount=9_000, interval="month")
    for number in range(count):
        person = {"name": f"EXAMPLE-{number}", "email": f"billing+{number}@example.com", "metadata": {}}
        account.billing.subscribe(account.create_customer(person, card=False), [(price, 1)])
    one.take_in()
    one.process()
    one.clock.move(days=3)
    return sorted(row[0] for row in kept(one.hub)["ledger_bill"])


def a_transaction(one: Installation, kind: Transaction, key: str, amounts: dict[str, str], **more: Any) -> Ordered:
    order = TransactionOrder(
        key=key, system="stripe", transaction=kind, happened_on=one.clock().date(), currency="USD", amounts=amounts,
        text=kind.value, **more,
    )  # fmt: skip
    desk = TransactionDesk(one.hub.state, one.hub.inbox, rulebook=lambda: one.hub.rulebook, clock=one.hub.clock)
    return desk.order(order, by="ann")


def an_entry(**more: Any) -> EntryOrder:
    return EntryOrder(
        key="e-1", system="stripe", happened_on=date(2024, 1, 2), currency="USD", total="12.50", text="Set-up",
        legs=(OrderLeg(role=Role.BANK, amount="12.50"), OrderLeg(role=Role.REVENUE, amount="-12.50")), **more,
    )  # fmt: skip


def entry_desk(hub: Hub) -> EntryDesk:
    return EntryDesk(hub.state, hub.inbox, rulebook=lambda: hub.rulebook, clock=hub.clock)


# -- a rebuild ---------------------------------------------------------------------------------------------------------


def said_of_bills(one: Installation) -> list[Ordered]:
    lost, partly, sister = unpaid_bills(one, 3)
    done = [
        say(one, BillWord.WRITTEN_OFF, lost, "w-1"),
        say(one, BillWord.WRITTEN_OFF, partly, "w-1", amount="20.00"),
        say(one, BillWord.COLLECTED_BY_SISTER, sister, "c-1", amount="40.00", sister=SISTER),
        say(one, BillWord.COLLECTED_BY_SISTER, sister, "c-2", sister=SISTER),
    ]
    one.clock.move(days=1)
    return [*done, say(one, BillWord.WRITTEN_OFF, partly, "w-2")]


def prepaid_drawn(one: Installation) -> list[Ordered]:
    (bill,) = unpaid_bills(one, 1)
    (product,) = one.stripe.account.book.table("product")
    ledger = one.hub.rulebook.ledger
    assert ledger is not None
    part = msgspec.structs.replace(ledger.part, services={product: next(iter(ledger.part.services.values()))})
    one.hub.rulebook = msgspec.structs.replace(one.hub.rulebook, ledger=msgspec.structs.replace(ledger, part=part))
    return [say(one, BillWord.CREDITS_DRAWN, bill, f"d-{n}", amount=f"{n}0.00") for n in (1, 2)]


def orders_of_each_kind(one: Installation) -> list[Ordered]:
    (customer,) = one.sell(1)
    one.take_in()
    one.process()
    sale = {"gross": "1000.00", "commission": "100.00", "fee": "12.00"}
    return [
        entry_desk(one.hub).order(an_entry(), by="ann"),
        a_transaction(one, Transaction.DELIVERED_BY_SISTER, "t-1", {"amount": "900.00"}, sister=SISTER),
        a_transaction(one, Transaction.AGENT_SALE, "t-2", sale, customer=customer),
        a_transaction(
            one, Transaction.SELLER_PAID, "t-3", {"owed": "888.00"}, customer=customer,
            withholding="us_backup_withholding",
        ),
    ]  # fmt: skip


@pytest.mark.parametrize("story", [said_of_bills, prepaid_drawn, orders_of_each_kind])
async def test_books_rebuilt_from_the_inbox_alone_are_the_same_to_the_byte(
    one: Installation, empty_store: str, tmp_path: Path, story: Callable[[Installation], list[Ordered]]
) -> None:
    answers = story(one)
    assert [one.outcome for one in answers] == [OrderOutcome.POSTED] * len(answers), answers
    before, balance = kept(one.hub), balances(one.hub.database)
    with rebuilt(one, tmp_path / "rebuilt", empty_store) as hub:
        assert kept(hub) == before
        assert balances(hub.database) == balance
        # What was said before is said already there, too.
        assert entry_desk(hub).order(an_entry(), by="bob").outcome is (
            OrderOutcome.REPEAT if story is orders_of_each_kind else OrderOutcome.POSTED
        )


async def test_a_replay_of_what_persons_said_changes_nothing(one: Installation) -> None:
    said_of_bills(one)
    before = kept(one.hub)
    with one.hub.database.read() as connection:
        seqs = connection.execute(select(inbox_work.c.seq)).scalars().all()
    words = [event for event in one.hub.inbox.load(seqs) if event.connection == SOURCE]
    assert len(words) == 5
    for word in words:
        changes = process(
            [word], connectors=one.hub.inbounds, rulebook=one.hub.rulebook, state=one.hub.state, now=one.clock()
        )
        assert (changes.books.entries, changes.books.postings, changes.audit) == ([], [], [])
        one.hub.state.commit(changes, now=one.clock())
    assert kept(one.hub) == before


# -- a crash -----------------------------------------------------------------------------------------------------------


class Crashed(Exception):
    """The process ended here."""


@contextmanager
def dying(hub: Hub, where: str) -> Iterator[None]:
    """A process that ends when it comes to a step of taking a word."""
    inbox, state = hub.inbox, hub.state
    accept, load, commit = inbox.accept, inbox.load, state.commit

    def crash(*_: object, **__: object) -> Any:
        raise Crashed

    def accept_and_crash(arrivals: Any) -> Any:
        accept(arrivals)
        raise Crashed

    def commit_and_crash(changes: Any, *, now: Any) -> Any:
        commit(changes, now=now)
        raise Crashed

    steps: dict[str, tuple[Any, str, Any]] = {
        "before it is taken": (inbox, "accept", crash),
        "once it is taken": (inbox, "accept", accept_and_crash),
        "before the rooms": (inbox, "load", crash),
        "before it is posted": (state, "commit", crash),
        "once it is posted": (state, "commit", commit_and_crash),
    }
    thing, name, instead = steps[where]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(thing, name, instead)
        yield
    assert (inbox.accept, inbox.load, state.commit) == (accept, load, commit)


STEPS = ("before it is taken", "once it is taken", "before the rooms", "before it is posted", "once it is posted")


@pytest.mark.parametrize("by", ["a worker", "saying it again"])
@pytest.mark.parametrize("where", STEPS)
async def test_a_crash_at_any_step_loses_nothing_and_posts_nothing_twice(
    one: Installation, where: str, by: str
) -> None:
    (bill,) = unpaid_bills(one, 1)
    with dying(one.hub, where), pytest.raises(Crashed):
        say(one, BillWord.WRITTEN_OFF, bill, "w-1")
    is_taken = where != STEPS[0]
    if by == "a worker":
        one.process()
    after = say(one, BillWord.WRITTEN_OFF, bill, "w-1")
    assert after.outcome is (OrderOutcome.REPEAT if is_taken else OrderOutcome.POSTED)
    assert after.entry is not None
    written_off = [row for row in entries(one.hub.database) if row.rule == "written_off"]
    assert [row.id for row in written_off] == [after.entry.id]
    one.process()
    with one.hub.database.read() as connection:
        lines = connection.execute(select(audit_entry.c.subject).where(audit_entry.c.kind == "books.entry.posted"))
        assert list(lines.scalars()).count(after.entry.id) == 1
        words = select(inbox_work.c.state).where(inbox_work.c.connection == SOURCE)
        assert list(connection.execute(words).scalars()) == ["processed"]


# -- at once -----------------------------------------------------------------------------------------------------------


def at_once(work: list[Callable[[], Ordered]]) -> list[OrderOutcome]:
    outcomes: list[OrderOutcome] = []
    threads = [threading.Thread(target=lambda one=one: outcomes.append(one().outcome)) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == len(work)
    return sorted(outcomes)


async def test_eight_who_say_one_thing_at_once_and_a_worker_beside_them_post_one_entry(one: Installation) -> None:
    (bill,) = unpaid_bills(one, 1)
    stop = threading.Event()

    def rooms() -> None:
        while not stop.is_set():
            one.hub.process_round()

    worker = threading.Thread(target=rooms)
    worker.start()
    try:
        found = at_once([lambda: say(one, BillWord.WRITTEN_OFF, bill, "w-1")] * 8)
    finally:
        stop.set()
        worker.join()
    assert found == [OrderOutcome.POSTED] + [OrderOutcome.REPEAT] * 7
    assert sum(row.rule == "written_off" for row in entries(one.hub.database)) == 1


async def test_a_word_that_somebody_else_said_while_it_was_looked_at_is_a_repeat_and_no_refusal(
    one: Installation,
) -> None:
    (bill,) = unpaid_bills(one, 1)
    first, second = bills(one.hub), bills(one.hub)
    order = BillOrder(word=BillWord.WRITTEN_OFF, bill=bill, key="a", happened_on=one.clock().date(), reason="Insolvent")
    find = one.hub.inbox.find
    with pytest.MonkeyPatch.context() as patch:

        def second_meanwhile(*named: Any) -> Any:
            found = find(*named)
            patch.setattr(one.hub.inbox, "find", find)
            assert second.say(order, by="bob").outcome is OrderOutcome.POSTED
            return found

        patch.setattr(one.hub.inbox, "find", second_meanwhile)
        answer = first.say(order, by="ann")
    assert answer.outcome is OrderOutcome.REPEAT
    assert answer.entry is not None


async def test_two_who_write_off_the_same_money_at_once_do_it_once_and_the_other_is_told_that_it_waits(
    one: Installation,
) -> None:
    (bill,) = unpaid_bills(one, 1)
    first, second = bills(one.hub), bills(one.hub)
    order = BillOrder(word=BillWord.WRITTEN_OFF, bill=bill, key="a", happened_on=one.clock().date(), reason="Insolvent")
    # Both have looked before either is taken: what the second one saw is not so any more.
    accept = one.hub.inbox.accept
    with pytest.MonkeyPatch.context() as patch:

        def second_first(arrivals: Any) -> Any:
            patch.setattr(one.hub.inbox, "accept", accept)
            assert second.say(msgspec.structs.replace(order, key="b"), by="bob").outcome is OrderOutcome.POSTED
            return accept(arrivals)

        patch.setattr(one.hub.inbox, "accept", second_first)
        answer = first.say(order, by="ann")
    assert answer.outcome is OrderOutcome.HELD
    assert "nothing of it left" in str(answer.refusals[0])
    (waits,) = held(one.hub.database)
    assert waits.subject == bill
    assert balances(one.hub.database).get("1200", 0) == 0


# -- what is refused ---------------------------------------------------------------------------------------------------


async def test_a_key_used_for_something_else_is_refused_and_leaves_nothing(one: Installation) -> None:
    (bill,) = unpaid_bills(one, 1)
    assert say(one, BillWord.WRITTEN_OFF, bill, "w-1", amount="10.00").outcome is OrderOutcome.POSTED
    before = kept(one.hub)
    assert say(one, BillWord.WRITTEN_OFF, bill, "w-1", amount="11.00").outcome is OrderOutcome.KEY_REUSED
    one.clock.move(days=1)
    assert say(one, BillWord.WRITTEN_OFF, bill, "w-1", amount="10.00").outcome is OrderOutcome.KEY_REUSED
    desk = entry_desk(one.hub)
    assert desk.order(an_entry(), by="ann").outcome is OrderOutcome.POSTED
    assert desk.order(msgspec.structs.replace(an_entry(), text="Other"), by="ann").outcome is OrderOutcome.KEY_REUSED
    again = desk.order(msgspec.structs.replace(an_entry(), dry_run=True), by="bob")
    assert (again.outcome, again.entry is not None) == (OrderOutcome.REPEAT, True)
    one.process()
    with one.hub.database.read() as connection:
        assert connection.execute(select(inbox_twin.c.external_id)).all() == []
    assert len(kept(one.hub)["journal_entry"]) == len(before["journal_entry"]) + 1


async def test_what_is_refused_or_only_tried_is_not_in_the_inbox(one: Installation) -> None:
    desk = entry_desk(one.hub)
    assert desk.order(an_entry(dry_run=True), by="ann").outcome is OrderOutcome.WOULD_POST
    assert desk.order(msgspec.structs.replace(an_entry(), total="1.00"), by="ann").outcome is OrderOutcome.REFUSED
    assert one.hub.inbox.find(SOURCE, "entry.ordered/stripe:order/e-1") is None
    with one.hub.database.read() as connection:
        assert connection.execute(select(journal_entry.c.id)).all() == []


def test_nobody_delivers_a_word_at_the_door() -> None:
    with pytest.raises(SignatureInvalid, match="at a desk"):
        Words().verify(headers={}, body=b"{}", secrets=(b"key",), now=None)  # type: ignore[arg-type]


# -- taken back --------------------------------------------------------------------------------------------------------


def withdraw(one: Installation, event: str, by: str = "bob") -> Ordered:
    desk = WithdrawalDesk(one.hub.state, one.hub.inbox, rulebook=lambda: one.hub.rulebook, clock=one.hub.clock)
    return desk.withdraw(event, "It was another bill", by=by)


async def test_what_was_said_and_is_taken_back_leaves_the_books_as_if_nobody_had_said_it(
    one: Installation, empty_store: str, tmp_path: Path
) -> None:
    lost, shared = unpaid_bills(one, 2)
    before = balances(one.hub.database)
    said = [
        say(one, BillWord.WRITTEN_OFF, lost, "w-1"),
        say(one, BillWord.COLLECTED_BY_SISTER, shared, "c-1", amount="40.00", sister=SISTER),
        a_transaction(one, Transaction.DELIVERED_BY_SISTER, "t-1", {"amount": "900.00"}, sister=SISTER),
    ]
    assert balances(one.hub.database) != before
    one.clock.move(days=1)
    for word in said:
        assert word.entry is not None
        assert withdraw(one, word.entry.cause.event).outcome is OrderOutcome.POSTED
        assert withdraw(one, word.entry.cause.event, by="cid").outcome is OrderOutcome.REPEAT
        one.clock.move(minutes=1)
    assert balances(one.hub.database) == before
    assert open_bills(one) == {lost: 9_000, shared: 9_000}
    # Read again with everything that is known, it stays so; and what was taken back may be said anew, by another key.
    one.hub.bookkeeper.catch_up()
    replayed(one)
    assert balances(one.hub.database) == before
    assert say(one, BillWord.WRITTEN_OFF, lost, "w-2").outcome is OrderOutcome.POSTED
    assert open_bills(one) == {lost: 0, shared: 9_000}
    with rebuilt(one, tmp_path / "rebuilt", empty_store) as hub:
        assert kept(hub) == kept(one.hub)


async def test_what_waits_and_can_never_be_posted_is_taken_back_and_waits_no_longer(one: Installation) -> None:
    (bill,) = unpaid_bills(one, 1)
    accept = one.hub.inbox.accept
    with pytest.MonkeyPatch.context() as patch:

        def late(arrivals: Any) -> Any:
            patch.setattr(one.hub.inbox, "accept", accept)
            assert say(one, BillWord.WRITTEN_OFF, bill, "b").outcome is OrderOutcome.POSTED
            return accept(arrivals)

        patch.setattr(one.hub.inbox, "accept", late)
        assert say(one, BillWord.WRITTEN_OFF, bill, "a").outcome is OrderOutcome.HELD
    (waits,) = held(one.hub.database)
    count = len(entries(one.hub.database))
    assert withdraw(one, waits.event).outcome is OrderOutcome.POSTED
    assert held(one.hub.database) == []
    one.hub.bookkeeper.catch_up()
    assert (held(one.hub.database), len(entries(one.hub.database))) == ([], count)


async def test_only_what_a_person_said_is_taken_back(one: Installation) -> None:
    (bill,) = unpaid_bills(one, 1)
    issued = next(row for row in entries(one.hub.database) if row.rule == "invoice_issued")
    with pytest.raises(WithdrawalRefused, match="told by stripe"):
        withdraw(one, issued.event)
    with pytest.raises(WithdrawalRefused, match="no event"):
        withdraw(one, "bev_none")
    word = say(one, BillWord.WRITTEN_OFF, bill, "w-1").entry
    assert word is not None
    withdraw(one, word.cause.event)
    with pytest.raises(WithdrawalRefused, match="itself a withdrawal"):
        withdraw(one, withdrawal_of(word.cause.event))


def open_bills(one: Installation) -> dict[str, int]:
    with one.hub.database.read() as connection:
        rows = connection.execute(select(ledger_bill.c.ref, ledger_bill.c.open_minor))
        return {row.ref: row.open_minor for row in rows}


def replayed(one: Installation) -> None:
    """Every word once more through the rooms, the last first."""
    with one.hub.database.read() as connection:
        seqs = connection.execute(select(inbox_work.c.seq).where(inbox_work.c.connection == SOURCE)).scalars().all()
    for word in reversed(one.hub.inbox.load(seqs)):
        changes = process(
            [word], connectors=one.hub.inbounds, rulebook=one.hub.rulebook, state=one.hub.state, now=one.clock()
        )
        assert changes.books.entries == []
        # As a replay does: an event keeps the moment at which it was settled.
        one.hub.state.commit(only_new(changes, frozenset()), now=one.clock())


# -- who said it -------------------------------------------------------------------------------------------------------


async def test_the_trail_names_who_said_it_and_why_and_leads_to_the_word(one: Installation) -> None:
    (bill,) = unpaid_bills(one, 1)
    on = one.clock().date() - timedelta(days=1)
    order = BillOrder(word=BillWord.WRITTEN_OFF, bill=bill, key="w-1", happened_on=on, reason="Insolvent since May")
    posted = bills(one.hub).say(order, by="Ada Lovelace").entry
    assert posted is not None
    with one.hub.database.read() as connection:
        row = connection.execute(select(audit_entry).where(audit_entry.c.subject == posted.id)).one()
    assert {"said_by": "Ada Lovelace", "reason": "Insolvent since May"}.items() <= msgspec.json.decode(row.body).items()
    (word,) = one.hub.inbox.load([row.cause])
    told = msgspec.json.decode(word.body)
    assert (word.connection, told["by"], told["bill"]["reason"], told["bill"]["key"]) == (
        SOURCE, "Ada Lovelace", "Insolvent since May", "w-1",
    )  # fmt: skip
    with one.hub.database.read() as connection:
        stored = connection.execute(select(inbox_event.c.body).where(inbox_event.c.seq == row.cause)).scalar_one()
    assert b"Insolvent" not in bytes(stored)
