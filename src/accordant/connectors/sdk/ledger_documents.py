"""What every ERP is given of a ledger document: the fields a mapping may name, one taken apart, its lines spelled.
Guarantees that what was written and read again is spelled the same, and that an edit by hand is not.
Next: a connector's own ``records.py``, which says what of it is a document of the vendor's.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from datetime import date
from decimal import Decimal
from urllib.parse import parse_qsl, urlencode

import msgspec

from accordant.canonical.charter import FieldType
from accordant.canonical.documents import DocumentLine, read_lines, spell_lines
from accordant.canonical.intents import RefusalClass, Refused, WireValue
from accordant.kernel.errors import RejectedError
from accordant.kernel.money import exponent_of

#: How the ids of journal entries begin: by that a key of ours is told from a reference of somebody else.
OUR_KEYS = "jrn_"
#: What a mapping may name of a document, and as what.
FIELDS: dict[str, FieldType] = {
    "company": FieldType.TEXT,
    "date": FieldType.DATE,
    "due_date": FieldType.DATE,
    "party": FieldType.LOOKUP,
    "currency": FieldType.TEXT,
    "description": FieldType.TEXT,
    "lines": FieldType.TEXT,
    "settles": FieldType.TEXT,
    "reverses": FieldType.TEXT,
    "state": FieldType.TEXT,
}
#: Without these there is no document.
NEEDED = ("company", "date", "currency", "lines")
#: What may still be done to a document that is posted: that it pays or cancels another.
LATER = frozenset({"state", "settles", "reverses"})
#: Facts that stand at the end of a text, as ``[role=revenue&product=pro]``.
_TAG = re.compile(r"\s*\[([a-z_]+=[^\[\]\s]*)\]\s*$")
#: What of a line most ERPs have no field for.
OF_A_LINE = ("role", "product", "tax_code", "processor", "party")


class ValueUnreadable(RejectedError):
    """A value is not of the kind its field holds."""

    remedy = "Correct the mapping of this field."


class Unusable(RejectedError):
    """A record names something that the ERP does not have, or has closed."""

    def __init__(self, refusal: Refused) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


def unusable(code: str, message: str, *fields: str) -> Unusable:
    """What a document cannot be written without: a refusal for its data."""
    return Unusable(Refused(cause=RefusalClass.DATA_QUALITY, code=code, message=message, fields=fields))


def check_company(company: str, own: str) -> None:
    """A connection to the books of one company takes no document of another. Raises Unusable."""
    if company != own:
        raise unusable(
            "COMPANY_UNKNOWN",
            f"This connection holds the books of {own!r}, not of {company!r}: give {company!r} a system of its own.",
            "company",
        )


def for_a_person(code: str, message: str, *fields: str) -> Refused:
    """A refusal that waits for a person: a rule, or somebody's hand, stands against it."""
    return Refused(cause=RefusalClass.BUSINESS_RULE, code=code, message=message, fields=fields)


class Desired(msgspec.Struct, frozen=True, kw_only=True):
    """A document as it is wanted. ``day`` is that in the books, ``lines`` balance."""

    key: str
    company: str
    day: date
    currency: str
    lines: tuple[DocumentLine, ...]
    due_on: date | None = None
    party: str | None = None
    description: str | None = None
    settles: str | None = None
    reverses: str | None = None

    @property
    def parties(self) -> frozenset[str]:
        """Every customer that is named."""
        named = {line.party for line in self.lines} | {self.party}
        return frozenset(name for name in named if name is not None)


def canonical(
    object_name: str, fields: Mapping[str, WireValue], *, takes: Collection[str], mapped: Collection[str]
) -> dict[str, WireValue]:
    """A document's fields as they come back; ``takes`` are those the object has. A due date that is the day is none.

    Raises ValueUnreadable.
    """
    found: dict[str, WireValue] = {}
    for name, value in fields.items():
        if name not in takes or name not in mapped:
            raise ValueUnreadable(f"{object_name} takes no field {name!r} from us; it takes {', '.join(takes)}.")
        if value is not None and not isinstance(value, str):
            raise ValueUnreadable(f"{object_name}.{name} is to be text, not {value!r}.")
        if FIELDS[name] is FieldType.DATE and value is not None:
            _day(name, value)
        found[name] = _spelled_again(value) if name == "lines" and value is not None else value
    if found.get("due_date") is not None and found.get("due_date") == found.get("date"):
        found["due_date"] = None
    return found


def canonical_texts(
    object_name: str, fields: Mapping[str, WireValue], *, takes: Collection[str], mapped: Collection[str]
) -> dict[str, WireValue]:
    """A customer's fields as they come back: text is trimmed, a country two capitals. Raises ValueUnreadable."""
    found: dict[str, WireValue] = {}
    for name, value in fields.items():
        if name not in takes or name not in mapped:
            raise ValueUnreadable(f"{object_name} takes no field {name!r} from us; it takes {', '.join(takes)}.")
        if value is not None and not isinstance(value, str):
            raise ValueUnreadable(f"{object_name}.{name} is to be text, not {value!r}.")
        text = "" if value is None else " ".join(value.split())
        found[name] = (text.upper() if name == "country" else text) or None
    return found


def desired(key: str, known: Mapping[str, WireValue]) -> Desired:
    """A document to be made of its canonical fields. Raises Unusable where something is missing, ValueUnreadable."""
    for name in NEEDED:
        if known.get(name) is None:
            raise unusable("FIELD_MISSING", f"A document without {name!r} was not sent: map it in the charter.", name)
    text = {name: str(value) for name, value in known.items() if value is not None}
    return Desired(
        key=key,
        company=text["company"],
        day=_day("date", text["date"]),
        currency=text["currency"],
        lines=read_lines(text["lines"]),
        due_on=_day("due_date", text["due_date"]) if "due_date" in text else None,
        party=text.get("party"),
        description=text.get("description"),
        settles=text.get("settles"),
        reverses=text.get("reverses"),
    )


def amount_of(line: DocumentLine) -> Decimal:
    """The amount in the currency of the books, a debit when positive."""
    return Decimal(line.debit) - Decimal(line.credit)


def plain(amount: Decimal, currency: str) -> str:
    """Decimal text with the places of the currency; an amount that has more keeps them, and so differs from ours."""
    exponent = amount.normalize().as_tuple().exponent
    places = max(exponent_of(currency), -exponent if isinstance(exponent, int) else 0)
    return f"{amount:.{places}f}"


def sides(amount: Decimal, currency: str) -> dict[str, str]:
    """The debit and the credit of an amount, as a line has them."""
    zero = Decimal(0)
    return {"debit": plain(max(amount, zero), currency), "credit": plain(max(-amount, zero), currency)}


def tag(facts: Mapping[str, str | None]) -> str:
    """Facts as they stand at the end of a text; nothing where there are none."""
    known = {name: value for name, value in facts.items() if value is not None}
    return f"[{urlencode(known)}]" if known else ""


def facts_of(line: DocumentLine, names: Iterable[str] = OF_A_LINE) -> dict[str, str | None]:
    """The facts of a line by their names."""
    values = {name: getattr(line, name) for name in names}
    return {name: None if value is None else str(value) for name, value in values.items()}


def read_tag(text: str | None) -> dict[str, str]:
    """What the end of a text tells; nothing where a person wrote it."""
    found = _TAG.search(text or "")
    return {} if found is None else dict(parse_qsl(found[1]))


def untagged(text: str | None) -> str:
    """A text without what is told at its end."""
    return _TAG.sub("", text or "")


def _day(name: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueUnreadable(f"{name} is to be a day, 2026-01-31, not {text!r}.") from None


def _spelled_again(text: str) -> str:
    try:
        return spell_lines(read_lines(text))
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise ValueUnreadable(f"Lines are to be those of a ledger document: {error}.") from error
