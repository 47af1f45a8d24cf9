"""The filters of Xero's stand-in: the part of its ``where`` language that callers use, and nothing silently beside it.
Next: simulator_books.py, whose records are filtered.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from accordant.connectors.sdk.plain_json import Row
from accordant.connectors.xero.wire import day

Test = Callable[[Row], bool]
_TOKEN = re.compile(
    r'\s*(?:(?P<open>\()|(?P<close>\))|(?P<join>AND\b|OR\b|&&|\|\|)|'
    r'(?P<field>[A-Za-z.]+?)(?:\.(?P<how>StartsWith|Contains)\("(?P<part>[^"]*)"\)|\s*(?P<sign>==|!=|>=|<=|>|<)\s*'
    r'(?P<value>"[^"]*"|guid\("[^"]*"\)|DateTime\([^)]*\)|[-\w.]+)))'
)  # fmt: skip


class FilterInvalid(Exception):
    """A ``where`` that cannot be read."""


def compiled(where: str) -> Test:
    """The test that a filter spells. Raises FilterInvalid."""
    parser = _Parser(where)
    test = parser.either()
    if parser.rest().strip():
        raise FilterInvalid(f"No property or operator expected at {parser.rest()[:40]!r}")
    return test


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def rest(self) -> str:
        return self._text[self._at :]

    def either(self) -> Test:
        tests = [self.all_of()]
        while self._joined("OR", "||"):
            tests.append(self.all_of())
        return lambda row: any(test(row) for test in tests)

    def all_of(self) -> Test:
        tests = [self._one()]
        while self._joined("AND", "&&"):
            tests.append(self._one())
        return lambda row: all(test(row) for test in tests)

    def _joined(self, *words: str) -> bool:
        found = _TOKEN.match(self._text, self._at)
        if found is None or found["join"] not in words:
            return False
        self._at = found.end()
        return True

    def _one(self) -> Test:
        found = _TOKEN.match(self._text, self._at)
        if found is None or found["join"] or found["close"]:
            raise FilterInvalid(f"Expression expected at {self.rest()[:40]!r}")
        self._at = found.end()
        if found["open"]:
            test = self.either()
            closing = _TOKEN.match(self._text, self._at)
            if closing is None or not closing["close"]:
                raise FilterInvalid("')' or operator expected")
            self._at = closing.end()
            return test
        field, sign, part = found["field"], found["sign"], found["part"]
        if sign is None:
            if found["how"] == "Contains":
                return lambda row: part in str(value_of(row, field))
            return lambda row: str(value_of(row, field)).startswith(part)
        wanted = _literal(found["value"])
        return lambda row: _compared(value_of(row, field), sign, wanted)


def value_of(row: Row, field: str) -> Any:
    """A field of a record by its path; None where a step of it is missing."""
    value: Any = row
    for step in field.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return value


def _literal(text: str) -> Any:
    if text.startswith(('"', "guid(")):
        return text.removeprefix("guid(").rstrip(")").strip('"')
    if text.startswith("DateTime("):
        year, month, number = (int(part) for part in text[9:-1].split(","))
        return date(year, month, number)
    if text in {"null", "true", "false"}:
        return {"null": None, "true": True, "false": False}[text]
    try:
        return Decimal(text)
    except InvalidOperation:
        raise FilterInvalid(f"Unknown literal {text!r}") from None


def _compared(value: Any, sign: str, wanted: Any) -> bool:
    if isinstance(wanted, date):
        value = day(value)
    if sign in {"==", "!="}:
        same = (value or None) == wanted if wanted is None else value == wanted
        return same is (sign == "==")
    if value is None:
        return False
    return bool({">": value > wanted, "<": value < wanted, ">=": value >= wanted, "<=": value <= wanted}[sign])
