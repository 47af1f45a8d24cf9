"""What a person said, as a business event carries it: by whom, and what a system's event would not say.

Next: `ledger/orders.py` makes an order into an entry that is asked for, `pipeline/words.py` reads the delivery.
"""

from datetime import date

import msgspec

from accordant.canonical.books import Role

#: The name under which the inbox keeps what persons say. No system of a charter may have it.
SOURCE = "accordant"

_WITHDRAWN = ".withdrawn"


def withdrawal_of(event: str) -> str:
    """The id of the event that takes back what a person said with this one."""
    return f"{event}{_WITHDRAWN}"


def withdrawn_by(event: str) -> str | None:
    """The id of the event that this one takes back, where it takes one back."""
    return event.removesuffix(_WITHDRAWN) if event.endswith(_WITHDRAWN) else None


class OrderedLeg(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One amount by its role, in minor units of the entry's currency: a debit when positive, a credit when negative.

    ``party`` says that it belongs to the subledger of the entry's customer, ``dimensions`` what reports cut by besides.
    """

    role: Role
    minor: int
    product: str | None = None
    tax_code: str | None = None
    processor: str | None = None
    party: bool = False
    dimensions: dict[str, str] = {}


class OrderedEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An entry that is asked for by its amounts; the first ``total_legs`` of ``legs`` are its total.

    ``stated_minor`` is what the system it comes from says of that total, where it says it. ``sister_legs`` belong in
    the books of the other legal entity.
    """

    rule: str
    text: str
    currency: str
    number: str
    legs: tuple[OrderedLeg, ...]
    total_legs: int
    stated_minor: int | None = None
    sister_legs: tuple[OrderedLeg, ...] = ()


class ContractTerms(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a person says of a contract: of a ramp the days from which until, not including, which its service lasts; of
    a project its progress, per cent (``51.2``) or as the cost so far by all that is expected (``420000/820000``), and
    its product where a bill sells several. The amount of the event is the whole price of the contract.
    """

    starts_on: date | None = None
    ends_on: date | None = None
    progress: str | None = None
    product: str | None = None


class Said(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """That a person, or another system under a person's name, said it. ``sister`` is the legal entity that takes part
    besides the one in whose books the event belongs, ``entry`` what is ordered where an order is what was said, and
    ``terms`` are there where the terms of a contract were.
    """

    by: str
    sister: str | None = None
    entry: OrderedEntry | None = None
    terms: ContractTerms | None = None
