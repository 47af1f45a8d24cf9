"""Wire values of a target that keeps plain fields, to its JSON and back: numbers without floats, text as it is kept.
Guarantees that a value written and read again compares equal to its `canonical` form.
Next: a connector's ``wire.py`` or ``outbound.py``, which puts the values into records.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from decimal import Decimal

from accordant.canonical.charter import FieldType
from accordant.canonical.intents import WireValue
from accordant.connectors.sdk.plain_json import Json
from accordant.kernel.errors import RejectedError

DIGITS_MAX = 40  # no target holds more than 18; what is longer is nobody's amount, and would cost time to print
_WHOLE_MAX = 10**18  # any whole number below it is plain and short enough as it stands
_PLAIN_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
# Every space Python knows and every control character below: the wider of the two trims a target could mean.
_TRIMMED = "".join(chr(code) for code in range(0x3001) if code <= 0x20 or chr(code).isspace())


class ValueUnreadable(RejectedError):
    """A value is not of the type its field has."""

    remedy = "Correct the mapping of this field, or the type of the field at its target."


def canonical(kind: FieldType, value: WireValue) -> WireValue:
    """``value`` as ``to_wire`` will return it after the target kept it: what desired values are compared in.

    Text is trimmed and empty text is None; an amount has two places, or more where it carries more; a whole number is
    an int; an instant is UTC to the second; a checkbox is never empty. Raises ValueUnreadable.
    """
    if kind is FieldType.NUMBER or kind is FieldType.CURRENCY:
        # Once read it is a plain number, which going there and back does not change.
        number = None if value is None else _number(value)
        return None if number is None else _spelled(kind, number)
    return to_wire(kind, to_json(kind, value))


def to_json(kind: FieldType, value: WireValue) -> Json:
    """What stands in the request for a wire value; a lookup's external id is text. Raises ValueUnreadable."""
    if kind is FieldType.FLAG:
        return _flag(value)
    if value is None:
        return None
    if kind is FieldType.TEXT or kind is FieldType.LOOKUP:
        return _text(value)
    if kind is FieldType.NUMBER or kind is FieldType.CURRENCY:
        return _number(value)
    text = _text(value)
    if text is None:
        return None
    return _day(text) if kind is FieldType.DATE else instant(text).strftime("%Y-%m-%dT%H:%M:%SZ")


def to_wire(kind: FieldType, value: Json) -> WireValue:
    """The wire value of what the target answered for a field. Raises ValueUnreadable when it is of another type."""
    if kind is FieldType.FLAG:
        return _flag(value)
    if value is None:
        return None
    if kind is FieldType.TEXT or kind is FieldType.LOOKUP:
        return _text(value)
    if kind is FieldType.NUMBER or kind is FieldType.CURRENCY:
        number = _number(value)
        return None if number is None else _spelled(kind, number)
    text = _text(value)
    if text is None:
        return None
    return _day(text) if kind is FieldType.DATE else instant(text).strftime("%Y-%m-%dT%H:%M:%SZ")


def _text(value: Json) -> str | None:
    if isinstance(value, bool):
        value = "true" if value else "false"
    elif isinstance(value, int | Decimal):
        value = format(value, "f") if isinstance(value, Decimal) else str(value)
    if not isinstance(value, str):
        raise ValueUnreadable(f"{_shown(value)} is not text.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueUnreadable("The text holds half a character (a lone surrogate).") from None
    # Targets keep either line ending, a browser sends both: only one is compared.
    return value.replace("\r\n", "\n").strip(_TRIMMED) or None


def _number(value: Json) -> Decimal | None:
    if type(value) is int and -_WHOLE_MAX < value < _WHOLE_MAX:
        return Decimal(value)
    if isinstance(value, str):
        text = value.strip()
        if not text:
            return None
        if not _PLAIN_NUMBER.fullmatch(text):
            raise ValueUnreadable(f"{_shown(value)} is not a number.")
        number = Decimal(text)
    elif isinstance(value, int | Decimal) and not isinstance(value, bool):
        number = Decimal(value)
    else:
        raise ValueUnreadable(f"{_shown(value)} is not a number.")
    if not number.is_finite() or abs(number.adjusted()) > DIGITS_MAX or len(number.as_tuple().digits) > DIGITS_MAX:
        raise ValueUnreadable(f"{_shown(value)} has more digits than an amount can have.")
    # Printed plainly: 1E+3 is a JSON number too, but not every reader takes it.
    plain = Decimal(format(number, "f"))
    return plain or Decimal(0)


def _spelled(kind: FieldType, number: Decimal) -> str | int:
    """The one spelling of a number: 1200, 1200.0 and 1.2E3 are the same amount."""
    if kind is FieldType.NUMBER and number == number.to_integral_value():
        return int(number)
    whole, _, places = format(number, "f").partition(".")
    return f"{whole}.{places.rstrip('0').ljust(2, '0')}"


def _flag(value: Json) -> bool:
    if value is None or value == "":
        return False  # a checkbox has no third state
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return bool(value == "true")
    raise ValueUnreadable(f"{_shown(value)} is neither true nor false.")


def _day(text: str) -> str:
    try:
        if _DAY.fullmatch(text):
            return date.fromisoformat(text).isoformat()
    except ValueError:
        pass
    raise ValueUnreadable(f"{_shown(text)} is not a day written as 2026-03-14.")


def instant(text: str) -> datetime:
    """An instant with its zone, in UTC. Raises ValueUnreadable."""
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None and "T" in text:
            return moment.astimezone(UTC)  # printed in whole seconds, as targets keep it
    except (ValueError, OverflowError):
        pass
    raise ValueUnreadable(f"{_shown(text)} is not an instant with its zone, written as 2026-03-14T09:26:53Z.")


def _shown(value: Json) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
