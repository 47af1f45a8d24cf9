"""How a fact is spelled in a target field: one speller per field, built once when the mapping is compiled.

A value that cannot be spelled is answered with its reason, never with something close.
"""

import unicodedata
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, tzinfo
from zoneinfo import ZoneInfo

import msgspec

from accordant.canonical.charter import FieldPart, FieldType
from accordant.canonical.facts import Fact, FactType
from accordant.canonical.intents import WireValue
from accordant.kernel.money import Money, exponent_of


class Unspellable(msgspec.Struct, frozen=True):
    """Why a value has no spelling in its field, with the next step."""

    reason: str


#: Decimals of an amount's field where the mapping says nothing: what targets give a field of money unless asked.
PLACES_DEFAULT = 2

_JOINER = "\u200d"
#: Variation selectors and skin tones change the character before them.
_MODIFIERS = frozenset(map(chr, [*range(0xFE00, 0xFE10), *range(0x1F3FB, 0x1F400)]))

Speller = Callable[[Fact], WireValue | Unspellable]

#: Which facts a field of each type can hold. Money is never a bare number: the currency's decimals would be a guess.
FACTS_FOR_FIELD: dict[FieldType, frozenset[FactType]] = {
    FieldType.TEXT: frozenset({FactType.TEXT, FactType.NUMBER, FactType.FLAG, FactType.DAY, FactType.INSTANT}),
    FieldType.NUMBER: frozenset({FactType.NUMBER}),
    FieldType.CURRENCY: frozenset({FactType.MONEY}),
    FieldType.FLAG: frozenset({FactType.FLAG}),
    FieldType.DATE: frozenset({FactType.DAY, FactType.INSTANT}),
    FieldType.INSTANT: frozenset({FactType.INSTANT}),
    FieldType.LOOKUP: frozenset({FactType.TEXT}),
}


def speller_of(part: FieldPart, zone: tzinfo = UTC) -> Speller:
    """The function that spells facts for one field. ``zone`` is the company's, for a field that names no other.

    None stays None and clears the field. Text: as it is, empty text as None (no target holds empty text), cut at
    ``length`` characters only with ``truncate``. Currency: decimal text with the currency's own places, "1200.00",
    "1200" for JPY; what ``places`` cannot keep is refused. Date: "2026-03-14", of an instant the day in the field's
    zone. Instant: UTC, "2026-03-14T09:00:00Z". Number and flag: themselves. Lookup: text.
    With ``values`` the field is a picklist: a word that is not listed is refused.
    """
    match part.type:
        case FieldType.TEXT | FieldType.LOOKUP:
            return _text_speller(part)
        case FieldType.NUMBER:
            return _number
        case FieldType.CURRENCY:
            return _currency_speller(PLACES_DEFAULT if part.places is None else part.places)
        case FieldType.FLAG:
            return _flag
        case FieldType.DATE:
            return _date_speller(ZoneInfo(part.timezone) if part.timezone else zone)
        case FieldType.INSTANT:
            return _instant


def spell_key(value: Fact) -> str | Unspellable:
    """The external id under which the target knows the record. It must be text that can be stored, and not empty."""
    if not isinstance(value, str):
        return Unspellable("The fact that names the record is not known; a record without its key is never written.")
    if not value:
        return Unspellable("The fact that names the record is empty; a record without its key is never written.")
    return unstorable(value) or value


def _text_speller(part: FieldPart) -> Speller:
    length, truncate = part.length, part.truncate
    values: Mapping[str, str] = dict(part.values)

    def spell(value: Fact) -> WireValue | Unspellable:
        text = value if type(value) is str else _text_of(value)
        if not text:
            return None
        if isinstance(text, Unspellable):
            return text
        if values:
            if text not in values:
                listed = ", ".join(sorted(values))
                return Unspellable(f"{text!r} is not in the field's list of values ({listed}). Add it to the mapping.")
            text = values[text]
        refusal = unstorable(text)
        if refusal is not None:
            return refusal
        if length is not None and (counted := _units(text)) > length:
            if not truncate:
                return Unspellable(
                    f"The text has {counted} characters, and the field holds {length}. Shorten it or set `truncate`."
                )
            text = _cut(text, length)
        return text or None

    return spell


def _units(text: str) -> int:
    """Characters as most targets count them: one beyond the basic plane, an emoji for example, counts as two."""
    return len(text) if text.isascii() else len(text) + sum(letter > "\uffff" for letter in text)


def _cut(text: str, length: int) -> str:
    """As much of a text as fits, never in the middle of what people read as one character.

    Targets drop spaces at the end, so a cut that left one would differ for ever.
    """
    end, room = 0, length
    for letter in text:
        room -= 2 if letter > "\uffff" else 1
        if room < 0:
            break
        end += 1
    whole = end
    while 0 < end < len(text) and (_joins(text[end]) or text[end - 1] == _JOINER):
        end -= 1
    # A run of marks longer than the field has no good place: it is cut where it has to be.
    return text[: end or whole].rstrip()


def _joins(letter: str) -> bool:
    return letter == _JOINER or unicodedata.combining(letter) != 0 or letter in _MODIFIERS


def _text_of(value: Fact) -> str | Unspellable | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, datetime):
        return _instant_text(value)
    if isinstance(value, date):
        return value.isoformat()
    return _wrong(value, "text")


def unstorable(text: str) -> Unspellable | None:
    """Why no field can hold a text, or None: NUL and halves of surrogate pairs are taken by no store and no target."""
    if "\0" in text:
        return Unspellable("The text holds a NUL character, which no target can store. Correct it at its owner.")
    if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
        return Unspellable("The text holds half a character (a lone surrogate). Correct it at its owner.")
    return None


def _number(value: Fact) -> WireValue | Unspellable:
    return value if value is None or type(value) is int else _wrong(value, "a number")


def _flag(value: Fact) -> WireValue | Unspellable:
    return value if value is None or type(value) is bool else _wrong(value, "a flag")


def _currency_speller(places: int) -> Speller:
    def spell(value: Fact) -> WireValue | Unspellable:
        if value is None:
            return None
        if type(value) is not Money:
            return _wrong(value, "an amount")
        lost = exponent_of(value.currency) - places
        if lost > 0 and value.amount_minor % 10**lost:
            return Unspellable(
                f"{value} has more than the {places} decimals the field keeps. Give the field more, and say so in"
                " `places`; an amount is never rounded."
            )
        return format(value.to_decimal(), "f")

    return spell


def _date_speller(zone: tzinfo) -> Speller:
    def spell(value: Fact) -> WireValue | Unspellable:
        if isinstance(value, datetime):
            return value.astimezone(zone).date().isoformat() if value.tzinfo is not None else _instant_text(value)
        if value is None:
            return None
        return value.isoformat() if type(value) is date else _wrong(value, "a day")

    return spell


def _instant(value: Fact) -> WireValue | Unspellable:
    if value is None:
        return None
    return _instant_text(value) if isinstance(value, datetime) else _wrong(value, "an instant")


def _instant_text(value: datetime) -> str | Unspellable:
    if value.tzinfo is None:
        return Unspellable(f"The instant {value.isoformat()} has no time zone. Report this: facts are always in UTC.")
    return value.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def _wrong(value: Fact, wanted: str) -> Unspellable:
    kind = type(value).__name__
    return Unspellable(f"The field holds {wanted}, and the fact is of type {kind}. Correct the mapping.")
