"""Customers whom an ERP knew before the hub came: found and linked, or asked about, and never made a second time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import select

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
