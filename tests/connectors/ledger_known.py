"""Customers whom an ERP knew before the hub came: found and linked, or asked about, and never made a second time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

import msgspec
from sqlalchemy import select

from accordant.canonical.review import ReviewAction
from accordant.operations.patterns import find_letters
from accordant.operations.redrive_checks import RedriveOrder
from accordant.store import schema
from tests.connectors.ledger_hands import known
from tests.connectors.ledger_story import Company

_IDENTITY = """\
identity:
  model: b2b
  unmatched: create
  systems: [{name}]
"""
ROUNDS = 12
#: As the demo's billing has its customers.
NAME, MAIL = "EXAMPLE-{}", "billing+{}@example.com"


def looked_for(name: str) -> Callable[[Path], None]:
    """Has customers looked for in an ERP before they are made there."""

    def edit(folder: Path) -> None:
        file = folder / "accordant.yaml"
        text = file.read_text(encoding="utf-8")
        assert text.count("\ncourier:\n") == 1
        file.write_text(text.replace("\ncourier:\n", f"\n{_IDENTITY.format(name=name)}courier:\n"), encoding="utf-8")

    return edit


class Cards(ABC):
    """The customers that somebody keeps in an ERP."""

    def __init__(self, one: Company) -> None:
        self.one = one

    @abstractmethod
    def keep(self, name: str, mail: str) -> str:
        """Somebody made a customer; its id."""

    @abstractmethod
    def key_of(self, card: str) -> str | None:
        """Our key on a customer."""

    @property
    @abstractmethod
    def count(self) -> int:
        """How many there are."""


async def posted(one: Company) -> None:
    """What can be written is; what waits for a person still waits."""
    one.take_in()
    for _ in range(ROUNDS):
        one.process()
        one.clock.move(seconds=3)
        await one.hub.reread_round()
        await one.hub.deliver_round(one.erp.name)


async def one_who_was_there_is_linked(cards: Cards) -> None:
    """Name and domain fit: the record gets our key, the documents go to it, and nobody is made twice."""
    one = cards.one
    card = cards.keep(NAME.format(0), MAIL.format(0))
    cards.keep("Somebody Else Altogether", "accounts@elsewhere.example")
    await one.hub.scan_directory(one.erp.name)
    (customer,) = one.sell(1, currency="eur")
    await posted(one)
    assert cards.key_of(card) == customer
    assert cards.count == 2
    with one.hub.database.read() as connection:
        links = connection.execute(
            select(schema.record_link.c.target_id).where(schema.record_link.c.system == one.erp.name)
        ).scalars()
        assert list(links) == [card]
    assert {row.state for row in one.left()} == set()  # his bills went to it


async def two_who_are_alike_are_a_question(cards: Cards) -> None:
    """Nobody is linked by guessing, and nobody is made beside them."""
    one = cards.one
    alike = [cards.keep(f"{NAME.format(0)} {word}", MAIL.format(0)) for word in ("North", "South")]
    await one.hub.scan_directory(one.erp.name)
    one.sell(1, currency="eur")
    await posted(one)
    assert [cards.key_of(card) for card in alike] == [None, None]
    assert cards.count == 2
    (question,) = known(one).questions
    assert all(card.encode() in question for card in alike)


async def one_who_came_since_the_last_scan_is_found_by_a_search(cards: Cards) -> None:
    """The directory does not know him yet: the ERP is searched right before a customer is made."""
    one = cards.one
    cards.keep("Somebody Else Altogether", "accounts@elsewhere.example")
    await one.hub.scan_directory(one.erp.name)
    card = cards.keep(NAME.format(0), MAIL.format(0))
    one.sell(1, currency="eur")
    await posted(one)
    assert cards.count == 2
    (question,) = known(one).questions
    assert card.encode() in question
    assert b"was searched before a record was created" in question


async def two_customers_of_one_company_are_billed_on_its_record(cards: Cards, *, is_late: bool) -> None:
    """The second one's documents name the record that both share; with ``is_late`` that is decided after they were."""
    one = cards.one
    if not is_late:
        await one.hub.scan_directory(one.erp.name)
    first, second = one.sell(1, currency="eur") + one.sell(1, currency="eur")
    await posted(one)
    if is_late:
        await one.hub.scan_directory(one.erp.name)
        for group in find_letters(letters=one.hub.recovery.letters):
            order = RedriveOrder(actor="ada", reason="they are known now", defect="not scanned", fix="the scan")
            one.hub.recovery.redrive(group.ids, order)
        await posted(one)
    assert cards.count == 1
    assert [row for row in one.left() if row.state != "cancelled"] == []
    one.stripe.advance(32 * 86_400)
    await posted(one)
    assert cards.count == 1
    assert one.left() == []
    with one.hub.database.read() as connection:
        links = connection.execute(select(schema.record_link.c.key)).scalars().all()
        bills = connection.execute(
            select(schema.confirmed_record.c.fields).where(schema.confirmed_record.c.object == one.erp.bills)
        ).scalars()
        parties = [msgspec.json.decode(fields)["party"] for fields in bills]
    assert set(links) == {parties[0]} <= {first, second}
    assert parties == [parties[0]] * 4
    for flow in ("parties", "bills", "entries"):
        one.clock.move(seconds=1)
        assert (await one.hub.reconcile(flow, actor="ada")).is_clean, flow
    if not is_late:
        await _what_is_posted_stays_where_it_is(one, second)


async def _what_is_posted_stays_where_it_is(one: Company, second: str) -> None:
    """A person says that the second customer is another company: its next bills go to a record of its own."""
    await one.hub.review_room.decide(ReviewAction.SPLIT, second, actor="Ada", reason="Another company.")
    await posted(one)
    assert one.left() == []
    with one.hub.database.read() as connection:
        bills = select(schema.confirmed_record.c.ref).where(schema.confirmed_record.c.object == one.erp.bills)
        refs = frozenset(connection.execute(bills).scalars())
    one.hub.replan_accounts(repair=refs, whole=True)
    await posted(one)
    assert one.left() == []  # nothing that is posted is to name anybody else
    one.stripe.advance(32 * 86_400)
    await posted(one)
    assert one.left() == []
    with one.hub.database.read() as connection:
        query = select(schema.confirmed_record.c.fields).where(schema.confirmed_record.c.object == one.erp.bills)
        parties = [msgspec.json.decode(fields)["party"] for fields in connection.execute(query).scalars()]
    assert (len(parties), parties.count(second)) == (6, 1)
    for flow in ("parties", "bills", "entries"):
        one.clock.move(seconds=1)
        assert (await one.hub.reconcile(flow, actor="ada")).is_clean, flow
