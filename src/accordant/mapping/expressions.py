"""Expressions of a mapping, in CEL: compiled once, typed against the facts before anything runs, and without effects.

There is no clock, no loop without an end and no fraction in them; the functions are those of ``FUNCTIONS``. Described
for those who write a charter in docs/reference/expressions.md. Next: ``translate``.
"""

import difflib
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from functools import lru_cache
from typing import Any

import msgspec
from cel_expr_python import cel
from cel_expr_python.ext import ext_strings

from accordant.canonical.charter import FieldType
from accordant.canonical.facts import FACTS, Fact, FactType
from accordant.canonical.refs import EntityKind
from accordant.canonical.sources import EMPTY, ExpressionUnreadable, Words, words_of
from accordant.kernel.errors import AccordantError
from accordant.kernel.money import Money
from accordant.mapping.spelling import Unspellable, unstorable

EXPRESSION_MAX = 2_000
#: Longer texts are not handed to an expression: what it costs grows with them.
TEXT_MAX = 10_000

#: Function -> what it does. Everything here costs no more than its input is long; no other function may be called.
FUNCTIONS: dict[str, str] = {
    "all": "`list.all(x, condition)`: whether it holds for every element",
    "charAt": "`text.charAt(0)`: the character at a place, counted from 0",
    "contains": "`text.contains('a')`: whether a text stands inside",
    "endsWith": "`text.endsWith('a')`",
    "exists": "`list.exists(x, condition)`: whether it holds for at least one element",
    "exists_one": "`list.exists_one(x, condition)`: whether it holds for exactly one element",
    "filter": "`list.filter(x, condition)`: the elements for which it holds",
    "getDate": "`day.getDate()`: the day of the month, 1 to 31",
    "getDayOfWeek": "`day.getDayOfWeek()`: 0 is Sunday",
    "getDayOfYear": "`day.getDayOfYear()`: counted from 0",
    "getFullYear": "`day.getFullYear()`",
    "getMonth": "`day.getMonth()`: 0 is January",
    "duration": "`duration('24h')`: a span of time, to add to a day or take away",
    "indexOf": "`text.indexOf('a')`: the first place where a text stands, or -1",
    "int": "`int('12')`: a whole number of a text",
    "lastIndexOf": "`text.lastIndexOf('a')`: the last place where a text stands, or -1",
    "lowerAscii": "`text.lowerAscii()`: small letters, A to Z only",
    "map": "`list.map(x, value)`: a list of what each element becomes",
    "matches": "`text.matches('^A.*$')`: whether a regular expression (RE2) is found in it",
    "size": "`size(text)` or `text.size()`: how many characters or elements",
    "split": "`text.split(' ')`: the parts of a text",
    "startsWith": "`text.startsWith('a')`",
    "string": "`string(12)`: a number, flag or instant as text",
    "substring": "`text.substring(0, 3)`: a part of a text, from a place up to another",
    "timestamp": "`timestamp('2026-03-14T00:00:00Z')`: a fixed instant; at midnight UTC it is a day",
    "trim": "`text.trim()`: without spaces at both ends",
    "upperAscii": "`text.upperAscii()`: capitals, a to z only",
}

_MONEY = cel.Type.Map(cel.Type.INT, cel.Type.STRING)
_DECLARED: dict[FactType, Any] = {  # the library says nothing of its types
    FactType.TEXT: cel.Type.STRING,
    FactType.NUMBER: cel.Type.INT,
    FactType.FLAG: cel.Type.BOOL,
    FactType.MONEY: _MONEY,
    FactType.DAY: cel.Type.TIMESTAMP,
    FactType.INSTANT: cel.Type.TIMESTAMP,
}
_COMPLAINT = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): ([^\n]*)")


class ExpressionDefect(msgspec.Struct, frozen=True):
    """Why an expression can never work, and what to write instead."""

    reason: str
    remedy: str


class Unknown(msgspec.Struct, frozen=True):
    """A fact the expression reads was never stated: the field is left as it is."""


UNKNOWN = Unknown()


class CompiledExpression:
    """An expression made ready for many records. ``type`` is what it yields where its field does not decide.

    ``reads`` are the facts it is made of; those in ``asked`` may be empty.
    """

    def __init__(self, text: str, program: Any, words: Words, facts: Mapping[str, FactType], type_: FactType) -> None:  # noqa: ANN401  a value of the library
        self.text = text
        self.type = type_
        self.reads = tuple(sorted(facts))
        self._asked = words.asked
        self._facts = dict(facts)
        self._program = program

    def evaluate(self, values: Mapping[str, Fact]) -> Fact | Unknown | Unspellable:
        """What the expression yields for these facts; never raises.

        One fact that is not known makes the answer unknown. One that is known to be empty makes it empty, unless the
        expression asks ``empty.FACT`` and so decides itself.
        """
        data: dict[str, object] = {}
        for name in self.reads:
            if name not in values:
                return UNKNOWN
            value = values[name]
            if name in self._asked:
                data[f"{EMPTY}.{name}"] = value is None
            elif value is None:
                return None
            if value is not None:
                refusal = _hand_over(name, value, data)
                if refusal is not None:
                    return refusal
        try:
            answer = self._program.eval(data=data)
            if answer.type() == cel.Type.ERROR:
                return self._failed(str(answer.value()))
            return self._taken(answer.plain_value())
        except (RuntimeError, ValueError, OverflowError, TypeError, AccordantError) as error:
            return self._failed(str(error))

    def _failed(self, cause: str) -> Unspellable:
        said = re.sub(r"^[A-Z_]+: | \[[A-Z_]+\]$", "", cause.strip().splitlines()[0] if cause.strip() else "no reason")
        named = re.search(r'No value with name "(\w+)"', said)
        if named:
            said = f"`{named.group(1)}` is empty there"
        return Unspellable(f"The expression `{self.text}` fails: {said.rstrip('.')}. Correct it, or the fact it reads.")

    def _taken(self, value: Any) -> Fact | Unspellable:  # noqa: ANN401  a value of the library
        match self.type:
            case FactType.MONEY:
                if not isinstance(value, dict) or len(value) != 1:
                    return self._failed("an amount is one number of minor units with one currency")
                ((minor, currency),) = value.items()
                return Money(minor, currency)
            case FactType.DAY:
                if value.time() != time(0):
                    return self._failed(f"{value.isoformat()} is a moment, and the field holds a day")
                return date(value.year, value.month, value.day)
            case FactType.TEXT:
                return unstorable(value) or str(value)
            case _:
                fact: Fact = value
                return fact


@lru_cache(maxsize=4096)
def compile_expression(text: str, entity: EntityKind, field: FieldType) -> CompiledExpression | ExpressionDefect:
    """Compile an expression of an entity's facts for a field, or say why it can never work. Pure, so remembered."""
    if len(text) > EXPRESSION_MAX:
        return ExpressionDefect(
            f"The expression has {len(text)} characters.", f"Keep it below {EXPRESSION_MAX}, or ask for a fact."
        )
    try:
        words = words_of(text)
    except ExpressionUnreadable as error:
        return ExpressionDefect(error.message, error.remedy)
    vocabulary = FACTS.get(entity, {})
    refused = _refused(words)
    if refused is not None:
        return refused
    # Only what was seen is declared, so nothing can be read that the owners were not asked about.
    facts = {name: vocabulary[name] for name in sorted((words.roots | words.asked) & vocabulary.keys())}
    try:
        program = _environment(tuple(facts.items()), words.asked.intersection(facts)).compile(text)
    except (RuntimeError, ValueError) as error:
        return _complaint(str(error), vocabulary)
    kind = _type_of(program.return_type(), is_moment=field is FieldType.INSTANT)
    if kind is None:
        said = program.return_type().name().lower()
        return ExpressionDefect(
            f"The expression yields a value of type {said}, which no field holds.",
            "Let it yield text, a whole number, a flag, a day, or an amount as {minor units: currency}.",
        )
    return CompiledExpression(text, program, words, facts, kind)


@lru_cache(maxsize=512)
def _environment(facts: tuple[tuple[str, FactType], ...], asked: frozenset[str]) -> Any:  # noqa: ANN401  the library says nothing of its types
    """What may be read. Remembered, since making one costs twenty times what compiling an expression in it does."""
    declared = {name: _DECLARED[kind] for name, kind in facts}
    for name, kind in facts:
        if kind is FactType.MONEY:
            declared |= {f"{name}.minor": cel.Type.INT, f"{name}.currency": cel.Type.STRING}
    declared |= {f"{EMPTY}.{name}": cel.Type.BOOL for name in asked}
    return cel.NewEnv(variables=declared, extensions=[ext_strings.ExtStrings()])


def _refused(words: Words) -> ExpressionDefect | None:
    """What the language knows and a mapping may not use: fractions lose money, some functions have no end."""
    if words.fractions:
        return ExpressionDefect(
            f"{words.fractions[0]} is a fraction, and a fraction loses cents.",
            "Calculate in whole minor units: mrr.minor * 8 / 10.",
        )
    if words.built:
        return ExpressionDefect(
            f"`{min(words.built)}` with a brace makes a message, which no field holds.", "Remove it."
        )
    for call in sorted(words.calls - FUNCTIONS.keys()):
        near = difflib.get_close_matches(call, FUNCTIONS, n=1)
        listed = f"Did you mean {near[0]}?" if near else f"Use one of: {', '.join(sorted(FUNCTIONS))}."
        return ExpressionDefect(f"There is no function called `{call}` here.", listed)
    return None


def _complaint(said: str, vocabulary: Mapping[str, FactType]) -> ExpressionDefect:
    found = _COMPLAINT.search(said)
    if found is None:
        reason = re.sub(r"^[A-Z_]+: | \[[A-Z_]+\]$", "", said.strip().splitlines()[0])
        return ExpressionDefect(f"The expression cannot be used: {reason.rstrip('.')}.", "Make it shorter or simpler.")
    row, column, problem = found.groups()
    named = re.search(r"undeclared reference to '([\w.]+)'", problem)
    if named:
        near = difflib.get_close_matches(named.group(1), vocabulary, n=3)
        listed = f"Did you mean {', '.join(near)}?" if near else f"The facts are: {', '.join(sorted(vocabulary))}."
        return ExpressionDefect(f"There is no fact called `{named.group(1)}`.", listed)
    where = f" (line {row}, character {column})" if int(row) > 0 else ""
    return ExpressionDefect(f"The expression is wrong{where}: {problem.rstrip('.')}.", ExpressionUnreadable.remedy)


def _type_of(kind: Any, *, is_moment: bool) -> FactType | None:  # noqa: ANN401  the library says nothing of its types
    if kind == cel.Type.TIMESTAMP:
        return FactType.INSTANT if is_moment else FactType.DAY
    for fact_type in (FactType.TEXT, FactType.NUMBER, FactType.FLAG, FactType.MONEY):
        if kind == _DECLARED[fact_type]:
            return fact_type
    return None


def _hand_over(name: str, value: Fact, data: dict[str, object]) -> Unspellable | None:
    """Put a fact into the data of an expression; what the library would cut or refuse is refused before."""
    if isinstance(value, str):
        if len(value) > TEXT_MAX:
            return Unspellable(f"`{name}` has {len(value)} characters; expressions take texts up to {TEXT_MAX}.")
        refusal = unstorable(value)
        if refusal is not None:
            return refusal
        data[name] = value
    elif isinstance(value, Money):
        data[name] = {value.amount_minor: value.currency}
        data[f"{name}.minor"] = value.amount_minor
        data[f"{name}.currency"] = value.currency
    elif isinstance(value, date) and not isinstance(value, datetime):
        data[name] = datetime(value.year, value.month, value.day, tzinfo=UTC)
    else:
        data[name] = value
    return None
