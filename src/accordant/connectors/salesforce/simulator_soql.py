"""SOQL for the stand-in: one SELECT over one object, with parent fields, conditions, order and limit.
Guarantees that what it does not understand is refused as MALFORMED_QUERY, never half answered.
Next: simulator_rest.py, which pages the rows.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeAlias

from accordant.connectors.salesforce.simulator_fields import Field, Json, Refusal, stored_datetime, to_long_id
from accordant.connectors.salesforce.simulator_records import Org, Record
from accordant.connectors.salesforce.simulator_schema import SObject

_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:\\.|[^'\\])*')"
    r"|(?P<stamp>\d{4}-\d\d-\d\dT[0-9:.]+(?:Z|[+-]\d\d:?\d\d))"
    r"|(?P<day>\d{4}-\d\d-\d\d)"
    r"|(?P<number>[+-]?\d+(?:\.\d+)?)"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_.]*)"
    r"|(?P<sign><>|!=|<=|>=|[=<>(),]))"
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
_EXACT_TYPES = frozenset({"reference", "date", "datetime"})
_NESTING_MAX = 20

Read: TypeAlias = Callable[[Record], Json]
Test: TypeAlias = Callable[[Record], bool]
# Candidate ids when an index can answer a condition, else None: look at every record.
Narrow: TypeAlias = list[str] | None


@dataclass(frozen=True, slots=True)
class Column:
    """One selected path, such as ``("Account", "Name")``, and how to read it from a record."""

    path: tuple[str, ...]
    read: Read


@dataclass(frozen=True, slots=True)
class Query:
    """A SELECT that was understood. ``columns`` is empty for COUNT()."""

    target: SObject
    columns: tuple[Column, ...]
    test: Test
    narrow: Narrow
    order: tuple[tuple[Read, bool, bool], ...]
    limit: int | None
    offset: int

    def run(self, org: Org, *, deleted: bool = False) -> list[Record]:
        """Matching records in order. ``deleted`` looks into the recycle bin too."""
        held = org.records[self.target.name]
        rows: Iterable[Record] = held.values() if self.narrow is None or deleted else (held[one] for one in self.narrow)
        found = [row for row in rows if (deleted or not row.deleted) and self.test(row)]
        for read, descending, nulls_last in reversed(self.order):
            present = [row for row in found if read(row) is not None]
            absent = [row for row in found if read(row) is None]
            present.sort(key=read, reverse=descending)
            found = present + absent if nulls_last else absent + present
        end = None if self.limit is None else self.offset + self.limit
        return found[self.offset : end]


def parse(org: Org, text: str) -> Query:
    """Understand one query. Raises ``Refusal`` MALFORMED_QUERY, INVALID_TYPE or INVALID_FIELD."""
    return _Parser(org, text).query()


def _ordered(read: Read, one: Field) -> Read:
    """How a field sorts: as it compares, ids letter by letter and other text without case."""
    fold = _exact if one.name == "Id" or one.type in _EXACT_TYPES else _sortable
    return lambda row: fold(read(row))


def _sortable(value: Json) -> Json:
    return value.casefold() if isinstance(value, str) else value


class _Parser:
    def __init__(self, org: Org, text: str) -> None:
        self.org = org
        self.text = text
        self.tokens = self._scan(text)
        self.at = 0
        self.depth = 0
        self.target = SObject("", "", "")

    def _scan(self, text: str) -> list[tuple[str, str]]:
        tokens, at, text = [], 0, text.rstrip()
        while at < len(text):
            found = _TOKEN.match(text, at)
            if found is None or found.lastgroup is None:
                raise self.malformed(text[at : at + 20].strip())
            tokens.append((found.lastgroup, found[found.lastgroup]))
            at = found.end()
        return tokens

    def malformed(self, near: str) -> Refusal:
        return Refusal("MALFORMED_QUERY", f"{self.text}\nERROR: unexpected token: {near or '<EOF>'}")

    # -- tokens -------------------------------------------------------------------------------------------------------

    def peek(self) -> str:
        return self.tokens[self.at][1].upper() if self.at < len(self.tokens) else ""

    def take(self, kind: str = "") -> str:
        if self.at >= len(self.tokens) or (kind and self.tokens[self.at][0] != kind):
            raise self.malformed(self.tokens[self.at][1] if self.at < len(self.tokens) else "")
        self.at += 1
        return self.tokens[self.at - 1][1]

    def accept(self, *words: str) -> bool:
        ahead = [value.upper() for _, value in self.tokens[self.at : self.at + len(words)]]
        if ahead != list(words):
            return False
        self.at += len(words)
        return True

    def expect(self, word: str) -> None:
        if not self.accept(word):
            raise self.malformed(self.tokens[self.at][1] if self.at < len(self.tokens) else "")

    # -- clauses ------------------------------------------------------------------------------------------------------

    def query(self) -> Query:
        self.expect("SELECT")
        names = self._names()
        self.expect("FROM")
        name = self.take("name")
        if name.lower() not in self.org.objects:
            raise Refusal("INVALID_TYPE", f"{self.text}\nsObject type '{name}' is not supported.")
        self.target = self.org.objects[name.lower()]
        columns = tuple(self._columns(names))
        test, narrow = self._either() if self.accept("WHERE") else (_always, None)
        order = tuple(self._order()) if self.accept("ORDER", "BY") else ()
        limit = int(self.take("number")) if self.accept("LIMIT") else None
        offset = int(self.take("number")) if self.accept("OFFSET") else 0
        if self.at < len(self.tokens):
            raise self.malformed(self.tokens[self.at][1])
        return Query(self.target, columns, test, narrow, order, limit, offset)

    def _names(self) -> list[str]:
        if self.accept("COUNT", "(", ")"):
            return []
        names = []
        while True:
            name = self._choice() if self.accept("TYPEOF") else self.take("name")
            if self.accept("("):
                name = f"{name.upper()}({self.take('name').upper()})"
                self.expect(")")
            names.append(name)
            if not self.accept(","):
                return names

    def _choice(self) -> str:
        """``TYPEOF What WHEN Account THEN Name END`` as ``What:Account.Name``; one object and one field of it."""
        relation = self.take("name")
        self.expect("WHEN")
        kind = self.take("name")
        self.expect("THEN")
        name = self.take("name")
        self.expect("END")
        return f"{relation}:{kind}.{name}"

    def _columns(self, names: list[str]) -> Iterable[Column]:
        for name in names:
            if name in ("FIELDS(ALL)", "FIELDS(STANDARD)", "FIELDS(CUSTOM)"):
                for one in self.target.fields.values():
                    if name == "FIELDS(ALL)" or one.custom == (name == "FIELDS(CUSTOM)"):
                        yield self._column(one.name)[0]
            elif "(" in name:
                raise self.malformed(name)
            elif ":" in name:
                yield self._chosen(*re.split("[:.]", name, maxsplit=2))
            else:
                yield self._column(name)[0]

    def _chosen(self, relation: str, kind: str, name: str) -> Column:
        """A field of what a lookup leads to, where that is an object of this kind."""
        reference = self.target.parent(relation)
        if reference is None or kind.lower() not in [one.lower() for one in reference.leads_to]:
            raise self._unknown(relation, self.target, f"TYPEOF {relation} never leads to '{kind}'.")
        found = self.org.object(kind).field(name)
        if found is None:
            raise self._unknown(name, self.target, f"No such column '{name}' on entity '{kind}'.")
        target = self.org.object(kind)
        return Column(
            (reference.relationship, found.name), _reader(self.org, ((reference.name, target.name),), found.name)
        )

    def _column(self, name: str) -> tuple[Column, Field]:
        steps = name.split(".")
        if len(steps) > 1 and steps[0].lower() == self.target.name.lower() and not self.target.parent(steps[0]):
            steps = steps[1:]
        target, parents, path = self.target, [], []
        for step in steps[:-1]:
            reference = target.parent(step)
            if reference is None:
                raise self._unknown(name, target, f"Didn't understand relationship '{step}' in field path.")
            if reference.also:
                raise self._unknown(name, target, f"No such column '{steps[-1]}' on entity 'Name'.")
            parents.append((reference.name, reference.reference_to))
            path.append(reference.relationship)
            target = self.org.object(reference.reference_to)
        found = target.field(steps[-1])
        if found is None:
            raise self._unknown(name, target, f"No such column '{steps[-1]}' on entity '{target.name}'.")
        return Column((*path, found.name), _reader(self.org, tuple(parents), found.name)), found

    def _unknown(self, name: str, target: SObject, reason: str) -> Refusal:
        column = self.text.find(name) + 1
        advice = (
            "If you are attempting to use a custom field, be sure to append the '__c' after the custom field name. "
            "Please reference your WSDL or the describe call for the appropriate names."
        )
        return Refusal("INVALID_FIELD", f"\n{self.text}\nERROR at Row:1:Column:{column}\n{reason} {advice}")

    def _order(self) -> Iterable[tuple[Read, bool, bool]]:
        while True:
            column, one = self._column(self.take("name"))
            descending = self.accept("DESC")
            if not descending:
                self.accept("ASC")
            nulls_last = self.accept("NULLS", "LAST")
            if not nulls_last:
                self.accept("NULLS", "FIRST")
            yield _ordered(column.read, one), descending, nulls_last
            if not self.accept(","):
                return

    # -- conditions ---------------------------------------------------------------------------------------------------

    def _either(self) -> tuple[Test, Narrow]:
        tests, narrows = [], []
        while True:
            test, narrow = self._both()
            tests.append(test)
            narrows.append(narrow)
            if not self.accept("OR"):
                break
        if len(tests) == 1:
            return tests[0], narrows[0]
        return (lambda row: any(test(row) for test in tests)), None

    def _both(self) -> tuple[Test, Narrow]:
        tests, narrowest = [], None
        while True:
            test, narrow = self._single()
            tests.append(test)
            if narrow is not None and (narrowest is None or len(narrow) < len(narrowest)):
                narrowest = narrow
            if not self.accept("AND"):
                break
        if len(tests) == 1:
            return tests[0], narrowest
        return (lambda row: all(test(row) for test in tests)), narrowest

    def _single(self) -> tuple[Test, Narrow]:
        self.depth += 1
        if self.depth > _NESTING_MAX:
            raise self.malformed("(")
        try:
            if self.accept("NOT"):
                inner, _ = self._single()
                return (lambda row: not inner(row)), None
            if self.accept("("):
                made = self._either()
                self.expect(")")
                return made
            return self._comparison()
        finally:
            self.depth -= 1

    def _comparison(self) -> tuple[Test, Narrow]:
        column, one = self._column(self.take("name"))
        fold = _exact if one.name == "Id" or one.type in _EXACT_TYPES else _sortable
        if self.accept("NOT", "IN"):
            listed = set(self._list(one))
            return (lambda row: fold(column.read(row)) not in listed), None
        if self.accept("IN"):
            values = self._list(one)
            listed = set(values)
            return (lambda row: fold(column.read(row)) in listed), self._narrow(column, one, values)
        if self.accept("LIKE"):
            pattern = _like(self.take("text")[1:-1])
            return (lambda row: bool(pattern.fullmatch(str(column.read(row) or "")))), None
        sign = self.take("sign")
        if sign not in ("=", "!=", "<>", "<", ">", "<=", ">="):
            raise self.malformed(sign)
        value = self._value(one)
        narrow = self._narrow(column, one, [value]) if sign == "=" and value is not None else None
        return _compare(lambda row: fold(column.read(row)), sign, value), narrow

    def _narrow(self, column: Column, one: Field, values: list[Json]) -> Narrow:
        if len(column.path) > 1 or None in values:
            return None
        if one.name == "Id":
            held = self.org.records[self.target.name]
            by_folded = (to_long_id(value) or "" for value in values)
            return [value for value in dict.fromkeys(by_folded) if value in held]
        index = self.org.indexes.get((self.target.name, one.name))
        if index is None or one.case_sensitive:
            return None
        return list(dict.fromkeys(found for value in values for found in index.get(value, ())))

    def _list(self, one: Field) -> list[Json]:
        self.expect("(")
        values = [self._value(one)]
        while self.accept(","):
            values.append(self._value(one))
        self.expect(")")
        return values

    def _value(self, one: Field) -> Json:
        """A literal in comparable form: text folded, ids long, stamps as stored. The type must suit the field."""
        kind = self.tokens[self.at][0] if self.at < len(self.tokens) else ""
        raw = self.take()
        if kind == "name" and raw.upper() == "NULL":
            return None
        suits = {
            "text": one.type not in ("int", "double", "currency", "percent", "boolean", "date", "datetime"),
            "number": one.type in ("int", "double", "currency", "percent"),
            "day": one.type == "date",
            "stamp": one.type == "datetime",
            "name": one.type == "boolean" and raw.upper() in ("TRUE", "FALSE"),
        }
        if not suits.get(kind, False):
            message = f"{self.text}\nERROR: filter criteria must be of type {one.type} for field {one.name}: {raw}"
            raise Refusal("INVALID_FIELD" if kind != "name" else "MALFORMED_QUERY", message)
        if kind == "text":
            text = _unquoted(raw)
            return (to_long_id(text) or text) if one.name == "Id" or one.type == "reference" else text.casefold()
        if kind == "number":
            return Decimal(raw)
        if kind == "stamp":
            return stored_datetime(raw) or raw
        return raw.upper() == "TRUE" if kind == "name" else raw


def _always(row: Record) -> bool:
    return True


def _reader(org: Org, parents: tuple[tuple[str, str], ...], name: str) -> Read:
    def read(row: Record) -> Json:
        for reference, parent in parents:
            found = org.records[parent].get(row.values.get(reference, ""))
            if found is None or found.deleted:
                return None
            row = found
        return row.values.get(name)

    return read if parents else lambda row: row.values.get(name)


def _exact(value: Json) -> Json:
    return value


def _compare(read: Read, sign: str, wanted: Json) -> Test:
    if sign == "=":
        return lambda row: bool(read(row) == wanted)
    if sign in ("!=", "<>"):
        return lambda row: bool(read(row) != wanted)
    ordered: dict[str, Callable[[Json, Json], bool]] = {
        "<": operator.lt,
        ">": operator.gt,
        "<=": operator.le,
        ">=": operator.ge,
    }
    holds = ordered[sign]

    def test(row: Record) -> bool:
        value = read(row)
        return value is not None and wanted is not None and holds(value, wanted)

    return test


def _unquoted(raw: str) -> str:
    return re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[1]), raw[1:-1])


def _like(raw: str) -> re.Pattern[str]:
    """A LIKE pattern as it was written: a percent sign or an underscore behind a backslash stands for itself."""
    wild = {"%": ".*", "_": "."}
    parts = [
        re.escape(_ESCAPES.get(found[1], found[1])) if found[1] else wild.get(found[0]) or re.escape(found[0])
        for found in re.finditer(r"\\(.)|.", raw, re.DOTALL)
    ]
    return re.compile("".join(parts), re.IGNORECASE | re.DOTALL)
