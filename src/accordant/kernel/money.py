"""Money: an integer number of minor units and an ISO 4217 currency. No float ever enters or leaves.

Exponents come from the ISO 4217 table (not CLDR, whose digits differ for thirteen currencies).
"""

from collections.abc import Sequence
from decimal import Context, Decimal, Inexact
from fractions import Fraction
from typing import Self

import msgspec
from iso4217 import Currency

from accordant.kernel.errors import RejectedError


class CurrencyUnknown(RejectedError):
    """The currency is not in the ISO 4217 table."""


class CurrencyMixed(RejectedError):
    """Two currencies met where one was expected."""


class AmountInvalid(RejectedError):
    """The amount is not a whole number of minor units of its currency."""


# Withdrawn since 2010 (ISO 4217 list three), with their exponents: history that is read in still speaks them.
_WITHDRAWN: dict[str, int] = {
    "ANG": 2,
    "BGN": 2,
    "BYR": 0,
    "CUC": 2,
    "EEK": 2,
    "HRK": 2,
    "LTL": 2,
    "LVL": 2,
    "MRO": 2,
    "SLL": 2,
    "STD": 2,
    "VEF": 2,
    "ZMK": 2,
    "ZWL": 2,
}
# Codes without a minor unit of their own (metals, testing, "no currency") can never be an amount we hold.
_EXPONENTS: dict[str, int] = _WITHDRAWN | {
    currency.code: currency.exponent for currency in Currency if currency.exponent is not None
}
# The default context rounds to 28 digits in silence; ours refuses before it would.
_DIGITS_MAX = 100  # far beyond any amount, and far below what would keep a processor busy
_EXACT = Context(prec=10_000, traps=[Inexact])


def exponent_of(currency: str) -> int:
    """Number of decimal places of ``currency`` (upper-case ISO 4217 code): 2 for EUR, 0 for JPY, 3 for KWD.

    Raises: CurrencyUnknown.
    """
    try:
        return _EXPONENTS[currency]
    except KeyError:
        raise CurrencyUnknown(f"The currency {currency!r} is not in the ISO 4217 table.") from None


class Money(msgspec.Struct, frozen=True, order=True):
    """An amount of one currency.

    Units: ``amount_minor`` counts the smallest unit (12.34 EUR is 1234), ``currency`` is an upper-case ISO 4217 code.
    Raises: CurrencyUnknown, AmountInvalid, on construction and on decoding alike.
    """

    amount_minor: int
    currency: str

    def __post_init__(self) -> None:
        # bool is an int to Python and 1.0 equals 1: both would pass silently through arithmetic.
        if type(self.amount_minor) is not int:
            raise AmountInvalid(f"An amount must be an integer of minor units, not {self.amount_minor!r}.")
        exponent_of(self.currency)

    @classmethod
    def zero(cls, currency: str) -> Self:
        """No money, in ``currency``."""
        return cls(0, currency)

    @classmethod
    def parse(cls, text: str, currency: str) -> Self:
        """Read a plain decimal such as ``"10.50"``: no grouping, exponent or spaces, at most the currency's places.

        Raises: AmountInvalid, CurrencyUnknown.
        """
        allowed = text.isascii() and text.removeprefix("-").replace(".", "", 1).isdigit()
        if not allowed or len(text) > _DIGITS_MAX:
            raise AmountInvalid(f"{text[:_DIGITS_MAX]!r} is not a plain decimal amount.")
        whole, _, places = text.partition(".")
        exponent = exponent_of(currency)
        kept = places.rstrip("0")
        if len(kept) > exponent:
            raise AmountInvalid(f"{text!r} has more decimal places than {currency} has.")
        digits = int(whole.removeprefix("-") + kept.ljust(exponent, "0") or "0")
        return cls(-digits if whole.startswith("-") else digits, currency)

    def to_decimal(self) -> Decimal:
        """The amount in major units, with exactly the currency's decimal places: ``Decimal("12.34")``."""
        return Decimal(self.amount_minor).scaleb(-exponent_of(self.currency), _EXACT)

    def __str__(self) -> str:
        return f"{self.to_decimal():,f} {self.currency}"

    def _same(self, other: "Money") -> None:
        if self.currency != other.currency:
            raise CurrencyMixed(f"Cannot combine {self.currency} with {other.currency}.")

    def __add__(self, other: "Money") -> "Money":
        self._same(other)
        return Money(self.amount_minor + other.amount_minor, self.currency)

    def __sub__(self, other: "Money") -> "Money":
        self._same(other)
        return Money(self.amount_minor - other.amount_minor, self.currency)

    def __neg__(self) -> "Money":
        return Money(-self.amount_minor, self.currency)

    def split(self, weights: Sequence[int]) -> tuple["Money", ...]:
        """Divide in proportion to ``weights`` so that the parts sum to the whole, each within one unit of exact.

        Method of the largest remainder (Hamilton); equal remainders go to the earlier part, so the result is stable.
        Raises: AmountInvalid when a weight is negative or all are zero.
        """
        return tuple(Money(part, self.currency) for part in split_minor(self.amount_minor, weights))


def split_minor(amount_minor: int, weights: Sequence[int]) -> tuple[int, ...]:
    """Largest-remainder division of ``amount_minor`` by integer ``weights``; see ``Money.split``."""
    total = sum(weights)
    if total <= 0 or any(weight < 0 for weight in weights):
        raise AmountInvalid("An amount can be split only by weights that are not negative and not all zero.")
    sign = -1 if amount_minor < 0 else 1
    shares = [divmod(abs(amount_minor) * weight, total) for weight in weights]
    missing = abs(amount_minor) - sum(whole for whole, _ in shares)
    by_remainder = sorted(range(len(shares)), key=lambda index: (-shares[index][1], index))
    lucky = frozenset(by_remainder[:missing])
    return tuple(sign * (whole + (index in lucky)) for index, (whole, _) in enumerate(shares))


def round_half_up(value: Fraction) -> int:
    """Nearest integer; exact halves move away from zero, as invoices round. Exact: works on fractions, never floats."""
    sign = -1 if value < 0 else 1
    doubled = 2 * abs(value) + 1
    return sign * int(doubled.numerator // (2 * doubled.denominator))
