"""What the law fixes, as dated rows with their source: which value held on which day. Pure; the rows ship with it.

This is engineering research, not advice: each row needs somebody at the company who confirms it.
"""

import tomllib
from datetime import date
from fractions import Fraction
from functools import cache
from importlib.resources import files

import msgspec


class LawFact(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One row. ``value`` is decimal text, a rate as a part of one; ``until_on`` the first day it does not hold."""

    name: str
    value: str
    from_on: date
    source: str
    until_on: date | None = None

    @property
    def number(self) -> Fraction:
        """The value, exactly."""
        return Fraction(self.value)

    def holds_on(self, day: date) -> bool:
        """Whether it is in force on ``day``."""
        return self.from_on <= day and (self.until_on is None or day < self.until_on)


class CurrencyEnded(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A currency that is no more; ``last_on`` is the last day on which it was money."""

    code: str
    last_on: date
    source: str


class _Law(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    fact: tuple[LawFact, ...]
    currency_ended: tuple[CurrencyEnded, ...]


@cache
def _law() -> _Law:
    told = tomllib.loads(files("accordant.ledger").joinpath("law.toml").read_text(encoding="utf-8"))
    return msgspec.convert(told, _Law)


def law_facts() -> tuple[LawFact, ...]:
    """Every row, in the order of the file."""
    return _law().fact


def last_day_of_currency(code: str) -> date | None:
    """The last day of a currency that ended; None for one of which no row says that it did."""
    return next((one.last_on for one in _law().currency_ended if one.code == code), None)


def law_fact(name: str, day: date) -> LawFact | None:
    """The row of this name that holds on a day; None where none is known for it."""
    return next((one for one in law_facts() if one.name == name and one.holds_on(day)), None)
