"""Reading Stripe's JSON field by field: what is asked for is there with the right type, or the place is named.
Guarantees that amounts are whole minor units of ISO 4217 and that a mistake names its field. Next: inbound.py.
"""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, date, datetime
from decimal import Decimal

from accordant.connectors.sdk.decode import JsonObject
from accordant.kernel.clock import from_unix_seconds
from accordant.kernel.errors import RejectedError
from accordant.kernel.money import Money, exponent_of

ID_LENGTH_MAX = 255
# Where Stripe's smallest unit is not that of ISO 4217 (docs.stripe.com/currencies, special cases): the ariary has no
# decimals there and two in the standard; the króna and the Ugandan shilling have two there and none in the standard.
_UNITS_TO_MINOR = {"MGA": 100}
_UNITS_PER_MINOR = {"ISK": 100, "UGX": 100}


class Unfit(RejectedError):
    """A field of the object is missing or has another type or value than Stripe documents. ``where`` is its path."""

    def __init__(self, message: str, *, where: str) -> None:
        super().__init__(message)
        self.where = where

    def below(self, path: str) -> Unfit:
        """The same mistake, seen from the object that holds this one."""
        return Unfit(self.message, where=f"{path}.{self.where}")


def text(part: JsonObject, key: str) -> str:
    """A text that must be there and not be empty."""
    value = part.get(key)
    if type(value) is str and value:
        return value
    raise _wrong(value, key, "a text")


def text_or_none(part: JsonObject, key: str) -> str | None:
    """A text, or nothing; Stripe also writes nothing as an empty text."""
    value = part.get(key)
    if value is None or type(value) is str:
        return value or None
    raise _wrong(value, key, "a text or null")


def identifier(part: JsonObject) -> str:
    """The object's own id."""
    value = text(part, "id")
    if len(value) > ID_LENGTH_MAX or not value.isprintable():
        raise Unfit(f"The id is longer than {ID_LENGTH_MAX} characters or not printable.", where="id")
    return value


def reference(part: JsonObject, key: str) -> str | None:
    """The id of another object, whether it stands there alone or the whole object was expanded in its place."""
    value = part.get(key)
    if value is None:
        return None
    if type(value) is dict:
        value = value.get("id")
    if type(value) is str and value and len(value) <= ID_LENGTH_MAX and value.isprintable():
        return value
    raise _wrong(value, key, "an id or an object with an id")


def required_reference(part: JsonObject, key: str) -> str:
    """As ``reference``, for an object that must be named."""
    found = reference(part, key)
    if found is None:
        raise _wrong(None, key, "an id or an object with an id")
    return found


def integer(part: JsonObject, key: str) -> int:
    """A whole number that must be there."""
    value = part.get(key)
    if type(value) is int:
        return value
    raise _wrong(value, key, "a whole number")


def integer_or_none(part: JsonObject, key: str) -> int | None:
    """A whole number, or nothing."""
    value = part.get(key)
    if value is None or type(value) is int:
        return value
    raise _wrong(value, key, "a whole number or null")


def flag_or_none(part: JsonObject, key: str) -> bool | None:
    """True, false, or nothing."""
    value = part.get(key)
    if value is None or type(value) is bool:
        return value
    raise _wrong(value, key, "true, false or null")


def flag(part: JsonObject, key: str) -> bool:
    """True, or false where nothing is said."""
    return flag_or_none(part, key) or False


def instant(part: JsonObject, key: str) -> datetime:
    """An instant that must be there; Stripe writes whole Unix seconds."""
    return _moment(integer(part, key), key)


def instant_or_none(part: JsonObject, key: str) -> datetime | None:
    """An instant, or nothing."""
    value = integer_or_none(part, key)
    return None if value is None else _moment(value, key)


def day_or_none(part: JsonObject, key: str) -> date | None:
    """A day, which Stripe writes as the Unix seconds of its midnight in UTC."""
    moment = instant_or_none(part, key)
    return None if moment is None else moment.astimezone(UTC).date()


def word(part: JsonObject, key: str, allowed: frozenset[str]) -> str:
    """One of the words that are allowed there."""
    value = part.get(key)
    if type(value) is str and value in allowed:
        return value
    raise _wrong(value, key, f"one of {', '.join(sorted(allowed))}")


def inner(part: JsonObject, key: str) -> JsonObject:
    """An object inside the object, empty where there is none."""
    value = part.get(key)
    if value is None:
        return {}
    if type(value) is dict:
        return value
    raise _wrong(value, key, "an object or null")


def objects(part: JsonObject, key: str) -> list[JsonObject]:
    """The objects of a list, whether it is a plain array or Stripe's list object; empty where there is none."""
    value = part.get(key)
    listed = value.get("data") if type(value) is dict else value
    if listed is None:
        return []
    if type(listed) is list and all(type(item) is dict for item in listed):
        return listed
    raise _wrong(listed, key, "a list of objects")


def required_objects(part: JsonObject, key: str) -> list[JsonObject]:
    """As ``objects``, for a list that must be there, be it empty."""
    if part.get(key) is None:
        raise _wrong(None, key, "a list of objects")
    return objects(part, key)


def is_cut(part: JsonObject, key: str) -> bool:
    """Whether the list under ``key`` goes on beyond what was sent."""
    value = part.get(key)
    return type(value) is dict and value.get("has_more") is True


def texts(part: JsonObject, key: str) -> dict[str, str]:
    """Metadata: texts by name."""
    value = inner(part, key)
    for name, item in value.items():
        if type(item) is not str:
            raise _wrong(item, f"{key}.{name}", "a text")
    return value


def currency(part: JsonObject) -> str:
    """The ISO 4217 code, upper case; Stripe writes it in lower case. Raises also CurrencyUnknown."""
    code = text(part, "currency").upper()
    exponent_of(code)
    return code


def currency_or_none(part: JsonObject) -> str | None:
    """As ``currency``, or nothing."""
    return None if part.get("currency") is None else currency(part)


def money(part: JsonObject, key: str, code: str) -> Money:
    """An amount that must be there, in minor units of ISO 4217."""
    value = part.get(key)
    if type(value) is not int:
        raise _wrong(value, key, "a whole amount in the smallest unit")
    return Money(_minor(value, key, code), code)


def minor_or_none(part: JsonObject, key: str, code: str | None) -> int | None:
    """An amount in minor units of ISO 4217, or nothing. Without a currency, Stripe's own units are kept."""
    value = integer_or_none(part, key)
    return value if value is None or code is None else _minor(value, key, code)


def decimal_or_none(part: JsonObject, key: str) -> str | None:
    """A decimal as plain text without trailing zeros, from a number or a text."""
    value = part.get(key)
    if value is None:
        return None
    if type(value) is str and value.removeprefix("-").replace(".", "", 1).isdigit() and value.isascii():
        value = Decimal(value)
    if type(value) is int or type(value) is Decimal:
        return plain(Decimal(value))
    raise _wrong(value, key, "a decimal number")


def unit_or_none(part: JsonObject, key: str, code: str) -> str | None:
    """A price per unit in minor units of ISO 4217, which may be finer than one, as plain decimal text."""
    spelled = decimal_or_none(part, f"{key}_decimal")
    if spelled is None:
        spelled = decimal_or_none(part, key)
    if spelled is None:
        return None
    return plain(Decimal(spelled) * _UNITS_TO_MINOR.get(code, 1) / _UNITS_PER_MINOR.get(code, 1))


def plain(number: Decimal) -> str:
    """The shortest spelling without an exponent: 25.50 is "25.5", 1E+2 is "100"."""
    return format(number.normalize(), "f") if number else "0"


def last_day_of_month(part: JsonObject, year_key: str, month_key: str) -> date | None:
    """The last day a card is good for; nothing where Stripe does not say."""
    year, month = integer_or_none(part, year_key), integer_or_none(part, month_key)
    if year is None or month is None:
        return None
    if not (1 <= month <= 12 and 1970 <= year <= 9999):
        raise _wrong(f"{month}/{year}", month_key, "a month and a year")
    return date(year, month, monthrange(year, month)[1])


def _minor(units: int, key: str, code: str) -> int:
    if code in _UNITS_PER_MINOR:
        whole, rest = divmod(units, _UNITS_PER_MINOR[code])
        if rest:
            raise Unfit(f"{units} is no whole amount of {code}, which has no decimals.", where=key)
        return whole
    return units * _UNITS_TO_MINOR.get(code, 1)


def _moment(seconds: int, key: str) -> datetime:
    try:
        return from_unix_seconds(seconds)
    except RejectedError as error:
        raise Unfit(error.message, where=key) from None


def _wrong(value: object, key: str, expected: str) -> Unfit:
    if value is None:
        return Unfit(f"The field {key} is missing; {expected} is expected.", where=key)
    shown = repr(value)[:60] if type(value) in {str, int, bool} else type(value).__name__
    return Unfit(f"The field {key} holds {shown}; {expected} is expected.", where=key)
