"""Transactions that no event of a billing system tells: what each is called, which amounts it needs, and its legs.

A transaction has legs in the company's own books, and where two companies take part also in those of its sister.
"""

from collections.abc import Callable, Mapping
from datetime import date
from enum import StrEnum
from fractions import Fraction

import msgspec

from accordant.kernel.errors import RejectedError
from accordant.kernel.money import round_half_up
from accordant.ledger import patterns
from accordant.ledger.law import law_fact
from accordant.ledger.patterns import Leg


class TransactionInvalid(RejectedError):
    """Not what a transaction of this name is made of."""


class Transaction(StrEnum):
    """What may be ordered by name: see `docs/howto/close-a-month.md`."""

    COMMISSION_EARNED = "commission_earned"
    COMMISSION_EXPENSED = "commission_expensed"
    COMMISSION_PAID = "commission_paid"
    AGENT_SALE = "agent_sale"
    SELLER_PAID = "seller_paid"
    BAD_DEBT_EXPECTED = "bad_debt_expected"
    DELIVERED_BY_SISTER = "delivered_by_sister"


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What was said of a transaction: amounts by name in minor units, its day, and the processor it went through.

    ``withholding`` names a row of `law.toml`, ``person`` who was paid a commission, by the CRM's id.
    """

    amounts: Mapping[str, int]
    day: date
    processor: str
    withholding: str | None = None
    person: str | None = None


class Legs(msgspec.Struct, frozen=True, kw_only=True):
    """The legs of both sides; the first ``total_legs`` of each are its total."""

    own: list[Leg]
    sister: list[Leg] | None = None
    total_legs: int = 1


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """What a transaction needs: the names of its amounts, and whether somebody else's books take part."""

    needs: tuple[str, ...]
    legs: Callable[[Told], Legs]
    of_party: bool = False
    of_sister: bool = False
    withholds: bool = False
    of_person: bool = False


def recipe_of(transaction: Transaction, told: Told, *, customer: str | None, sister: str | None) -> Recipe:
    """The recipe, once everything it needs is there. Raises TransactionInvalid with what is missing or too much."""
    recipe, name = RECIPES[transaction], transaction.value
    if set(told.amounts) != set(recipe.needs):
        raise TransactionInvalid(
            f"{name} is made of {', '.join(recipe.needs)}, not of {', '.join(sorted(told.amounts)) or 'nothing'}.",
            remedy="Give exactly these amounts.",
        )
    negative = next((key for key, minor in told.amounts.items() if minor < 0), None)
    if negative is not None:
        raise TransactionInvalid(
            f"The amount {negative} of {name} is below zero.", remedy="Cancel with an order of its own."
        )
    if told.withholding is not None and not recipe.withholds:
        raise TransactionInvalid(f"Nothing is withheld of {name}.", remedy="Leave withholding out.")
    for word, wanted, given in (
        ("customer", recipe.of_party, customer),
        ("sister", recipe.of_sister, sister),
        ("person", recipe.of_person, told.person),
    ):
        if given is not None and not wanted:
            raise TransactionInvalid(f"{name} has no {word}.", remedy=f"Leave {word} out.")
        if given is None and wanted:
            raise TransactionInvalid(f"{name} needs a {word}.", remedy=f"Name the {word}.")
    return recipe


def _agent_sale(told: Told) -> Legs:
    gross, commission, fee = (told.amounts[name] for name in ("gross", "commission", "fee"))
    if commission > gross or fee > gross:
        raise TransactionInvalid("The commission or the fee is more than was sold.", remedy="Compare it with the sale.")
    legs = patterns.agent_sale(gross, commission=commission, fee=fee, processor=told.processor)
    return Legs(own=legs, total_legs=2)


def _seller_paid(told: Told) -> Legs:
    owed, withheld = told.amounts["owed"], 0
    if told.withholding:
        fact = law_fact(told.withholding, told.day)
        if fact is None:
            raise TransactionInvalid(
                f"No rate of {told.withholding!r} is known for {told.day.isoformat()}.",
                remedy="`accordant books law` lists what is known.",
            )
        withheld = round_half_up(Fraction(owed) * fact.number)
    return Legs(own=patterns.seller_paid(owed, withheld=withheld))


def _commission_paid(told: Told) -> Legs:
    return Legs(own=patterns.commission_paid(told.amounts["amount"], person=told.person or ""))


def _delivered(told: Told) -> Legs:
    amount = told.amounts["amount"]
    return Legs(own=patterns.intercompany_bought(amount), sister=patterns.intercompany_delivered(amount))


RECIPES: Mapping[Transaction, Recipe] = {
    Transaction.COMMISSION_EARNED: Recipe(
        needs=("amount",), legs=lambda told: Legs(own=patterns.commission_earned(told.amounts["amount"]))
    ),
    Transaction.COMMISSION_EXPENSED: Recipe(
        needs=("amount",), legs=lambda told: Legs(own=patterns.commission_expensed(told.amounts["amount"]))
    ),
    Transaction.COMMISSION_PAID: Recipe(needs=("amount",), legs=_commission_paid, of_person=True),
    Transaction.AGENT_SALE: Recipe(needs=("gross", "commission", "fee"), legs=_agent_sale, of_party=True),
    Transaction.SELLER_PAID: Recipe(needs=("owed",), legs=_seller_paid, of_party=True, withholds=True),
    Transaction.BAD_DEBT_EXPECTED: Recipe(
        needs=("amount",), legs=lambda told: Legs(own=patterns.bad_debt_expected(told.amounts["amount"]))
    ),
    Transaction.DELIVERED_BY_SISTER: Recipe(needs=("amount",), legs=_delivered, of_sister=True),
}
