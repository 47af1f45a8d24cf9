"""What is alike where an ERP has documents of its own: which of them one is to it, under which id, and what they tell.
Guarantees that a fact without a field at the vendor's is written and read back in the same words everywhere.
Next: a connector's ``records.py``, which chooses the form, and its ``reading.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Generic, NamedTuple, TypeVar

import msgspec

from accordant.canonical.books import Role
from accordant.canonical.documents import DocumentLine
from accordant.canonical.intents import WireValue
from accordant.canonical.targets import ObjectSpec
from accordant.connectors.sdk import ledger_documents
from accordant.connectors.sdk.ledger_documents import FIELDS, OF_A_LINE, Desired, amount_of, facts_of, sides, tag

#: The vendor's own documents, by the names that its API has for them.
FormT = TypeVar("FormT", bound=StrEnum)

#: Only of the documents that customers see.
OF_BILLS = frozenset({"due_date", "party", "description"})
_DEAL = ("original", "original_currency")
#: The facts of the line on what a customer owes; a native document makes that line by itself, without a word.
OF_OWED = ("role", "product", "tax_code", "processor", *_DEAL)
OF_LINES = (*OF_A_LINE, *_DEAL)


class Place(NamedTuple, Generic[FormT]):
    """Which record a document is: its kind and the vendor's own id; its text is the target id."""

    form: FormT
    id: str

    def __str__(self) -> str:
        return f"{self.form.value},{self.id}"


def placed(forms: type[FormT], is_id: Callable[[str], bool], text: str) -> Place[FormT] | None:
    """The record that a target id names; None where it names none of these forms."""
    form, _, one = text.partition(",")
    return Place(forms(form), one) if form in set(forms) and is_id(one) else None


class Shape(msgspec.Struct, Generic[FormT], frozen=True, kw_only=True):
    """What is made of a document. ``owed`` is its line on what the customer owes, None where it has none."""

    form: FormT
    owed: DocumentLine | None
    others: tuple[DocumentLine, ...]

    @property
    def total(self) -> Decimal:
        """What the customer owes less or more by it, without a sign."""
        return Decimal(0) if self.owed is None else abs(amount_of(self.owed))

    def party_in(self, document: Desired) -> str:
        """The customer of a document on what is owed."""
        return str((self.owed.party if self.owed is not None else None) or document.party)


def canonical_document(spec: ObjectSpec, fields: Mapping[str, WireValue], *, bills: str) -> dict[str, WireValue]:
    """A document's fields as they come back; ``bills`` is the object that customers see. Raises ValueUnreadable."""
    takes = [name for name in FIELDS if spec.name == bills or name not in OF_BILLS]
    return ledger_documents.canonical(spec.name, fields, takes=takes, mapped=spec.fields)


def is_mere_payment(document: Desired, owed: DocumentLine, others: tuple[DocumentLine, ...]) -> bool:
    """Whether a payment of another document says all of it: one line of money, in the currency of the books."""
    told = any(value is not None for name, value in facts_of(owed, OF_OWED).items() if name != "role")
    pays = document.settles is not None and document.reverses is None and len(others) == 1
    return amount_of(owed) < 0 and pays and not told and others[0].original is None


def told_facts(
    document: Desired, *, of_bills: bool, made: DocumentLine | None, tells_due: bool, is_journal: bool
) -> dict[str, str | None]:
    """What of a document has no field: its object, what it settles and cancels, and what its form leaves out.

    ``made`` is the line that the vendor makes by itself; ``tells_due`` whether the form has no due date.
    """
    facts: dict[str, str | None] = {
        "of": None if of_bills else "entries",
        "settles": document.settles,
        "reverses": document.reverses,
    }
    if made is not None:
        facts |= facts_of(made, OF_OWED)
        if facts["role"] == Role.RECEIVABLE.value:
            facts["role"] = None
    if tells_due and document.due_on is not None:
        facts["due"] = document.due_on.isoformat()
    if is_journal:
        facts |= {"number": document.description, "customer": document.party if of_bills else None}
    return facts


def described(line: DocumentLine) -> str:
    """The text of a line: words for a person, and behind them what has no field."""
    words = str(line.product or line.role or line.account).replace("_", " ").capitalize()
    return f"{words} {tag(facts_of(line, OF_LINES))}".strip()


def told_line(account: str, value: Decimal, told: Mapping[str, str | None], currency: str) -> DocumentLine:
    """A line read back: ``value`` in the currency of the books, a debit when positive; ``told`` from its text."""
    role = told.get("role")
    return DocumentLine(
        account=account,
        role=Role(role) if role in set(Role) else None,
        original=told.get("original"),
        original_currency=told.get("original_currency"),
        party=told.get("party"),
        product=told.get("product"),
        tax_code=told.get("tax_code"),
        processor=told.get("processor"),
        **sides(value, currency),
    )
