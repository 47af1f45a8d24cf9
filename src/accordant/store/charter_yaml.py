"""Strict YAML: what a charter's files may say and nothing else. Every value keeps its place; every trap is a defect.

No anchors, tags, merge keys, second documents, duplicate keys, floats or yes/no; limits on size, depth and count.
"""

import re
from collections.abc import Iterator
from typing import Any

import msgspec
import yaml

from accordant.governance.findings import Severity, place
from accordant.kernel.errors import InvariantBroken

FILE_BYTES_MAX = 1 << 20
DEPTH_MAX = 20
VALUES_MAX = 50_000

#: libyaml where it is built in, else the same grammar in Python.
_LOADER: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
#: What one reader of YAML or another takes for a number: octal, hexadecimal, grouped, with a point or an exponent.
_OTHER_NUMBER = re.compile(
    r"[-+]?(0[0-9_]+|0[xob][0-9a-fA-F_]+|[0-9][0-9_]*\.?[0-9_]*([eE][-+]?[0-9]+)?|\.[0-9]+([eE][-+]?[0-9]+)?|\.inf|\.nan)",
    re.IGNORECASE,
)
_BOOLEAN_TRAPS = frozenset({"yes", "no", "on", "off", "y", "n", "true", "false"})
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_INTEGER_MAX = (1 << 63) - 1


class Place(msgspec.Struct, frozen=True):
    """Where something stands, for a person: file relative to the folder, line and column from 1."""

    file: str
    line: int
    column: int


class CharterDefect(msgspec.Struct, frozen=True, kw_only=True):
    """One thing wrong with a charter's files. ``path`` is the place in the charter, as in ``flows[0].phase``."""

    file: str
    line: int
    column: int
    path: str
    problem: str
    remedy: str
    severity: Severity = Severity.ERROR

    def __str__(self) -> str:
        what = f"{self.path}: {self.problem}" if self.path else self.problem
        return f"{self.file}:{self.line}:{self.column}: {what} {self.remedy}"


def defect_at(where: Place, path: str, problem: str, remedy: str) -> CharterDefect:
    """A defect at a place."""
    return CharterDefect(
        file=where.file, line=where.line, column=where.column, path=path, problem=problem, remedy=remedy
    )


class Spoiled:
    """Stands where a value was refused, so that it is not refused a second time for its type."""


SPOILED = Spoiled()

#: What a file can say. Keys are always text.
Value = dict[str, "Value"] | list["Value"] | str | int | bool | None | Spoiled


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """One file as read. ``places`` tells where each path stands (a key where there is one, else the value)."""

    file: str
    value: Value
    places: dict[str, Place]
    defects: tuple[CharterDefect, ...]


class _Stopped(Exception):
    """Reading cannot go on; the defect is recorded."""


def read_yaml(raw: bytes, file: str) -> Document:
    """Read one file. Never raises: whatever is wrong is a defect with its place, and what can be read is returned."""
    start = Place(file, 1, 1)
    if len(raw) > FILE_BYTES_MAX:
        remedy = f"Keep a file under {FILE_BYTES_MAX // 1024} KiB; split it by its first-level keys."
        return _unreadable(start, f"The file has {len(raw)} bytes.", remedy)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        return _unreadable(Place(file, line, 1), "The file is not UTF-8 text.", "Save it as UTF-8.")
    reader = _Reader(text, file)
    value = reader.read()
    return Document(file=file, value=value, places=reader.places, defects=tuple(reader.defects))


def _unreadable(where: Place, problem: str, remedy: str) -> Document:
    return Document(file=where.file, value=SPOILED, places={}, defects=(defect_at(where, "", problem, remedy),))


def _place_of(mark: Any, file: str) -> Place:  # noqa: ANN401  a mark of either parser, or none
    return Place(file, mark.line + 1, mark.column + 1) if mark is not None else Place(file, 1, 1)


class _Reader:
    """Builds values from the parser's events; nothing is resolved by the library, so nothing is guessed by it."""

    def __init__(self, text: str, file: str) -> None:
        self.places: dict[str, Place] = {}
        self.defects: list[CharterDefect] = []
        self._file = file
        self._events: Iterator[yaml.Event] = yaml.parse(text, Loader=_LOADER)
        self._values = 0

    def read(self) -> Value:
        value: Value = SPOILED
        try:
            self._next()  # the stream begins
            event = self._next()
            if isinstance(event, yaml.StreamEndEvent):
                self._refuse(event, "", "The file is empty.", "Delete it, or restore what it held.")
                return SPOILED
            value = self._value(self._next(), "", 0)
            self._next()  # the document ends
            event = self._next()
            if not isinstance(event, yaml.StreamEndEvent):
                self._refuse(event, "", "The file holds a second document.", "Remove the line `---`, or use two files.")
        except _Stopped:
            return SPOILED
        except yaml.MarkedYAMLError as error:
            where = _place_of(error.problem_mark or error.context_mark, self._file)
            self.defects.append(defect_at(where, "", f"This is not YAML: {error.problem}.", "Correct the line."))
            return SPOILED
        except yaml.YAMLError as error:
            problem = f"This is not YAML: {str(error).splitlines()[0]}."
            self.defects.append(defect_at(Place(self._file, 1, 1), "", problem, "Save it as plain UTF-8 text."))
            return SPOILED
        return value

    def _next(self) -> yaml.Event:
        return next(self._events)

    def _place(self, event: yaml.Event) -> Place:
        return _place_of(event.start_mark, self._file)

    def _refuse(self, event: yaml.Event, path: str, problem: str, remedy: str) -> None:
        self.defects.append(defect_at(self._place(event), path, problem, remedy))

    def _value(self, event: yaml.Event, path: str, depth: int) -> Value:
        self.places.setdefault(path, self._place(event))
        self._values += 1
        if depth > DEPTH_MAX or self._values > VALUES_MAX:
            remedy = f"A charter is at most {DEPTH_MAX} levels deep and has at most {VALUES_MAX} values a file."
            self._refuse(event, path, "The file is nested too deeply or too large.", remedy)
            raise _Stopped
        if isinstance(event, yaml.AliasEvent):
            self._refuse(event, path, f"The alias *{event.anchor} repeats something by reference.", "Write it out.")
            return SPOILED
        anchor, tag = getattr(event, "anchor", None), getattr(event, "tag", None)
        if anchor is not None:
            self._refuse(event, path, f"The anchor &{anchor} is not used in a charter.", "Remove it.")
        if tag is not None:
            self._refuse(
                event, path, f"The tag {tag} is not used in a charter.", "Remove it; quote text that needs it."
            )
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(path, depth)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(path, depth)
        return self._scalar(event, path)

    def _sequence(self, path: str, depth: int) -> Value:
        items: list[Value] = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            items.append(self._value(event, place(path, len(items)), depth + 1))
        return items

    def _mapping(self, path: str, depth: int) -> Value:
        found: dict[str, Value] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            key = self._key(event, path, depth)
            inner = place(path, key) if key is not None else f"{path}?"
            first = self.places.get(inner) if key in found else None
            if first is not None:
                remedy = f"Keep one; the first is in line {first.line}."
                self._refuse(event, inner, f"The key {key!r} stands here twice.", remedy)
            self.places.setdefault(inner, self._place(event))
            value = self._value(self._next(), inner, depth + 1)
            if key is not None and key not in found:
                found[key] = value
        return found

    def _key(self, event: yaml.Event, path: str, depth: int) -> str | None:
        """A key's text as it is written, so that ``no`` stays Norway."""
        if not isinstance(event, yaml.ScalarEvent) or event.anchor is not None or event.tag is not None:
            self._refuse(event, path, "A key is plain text, without anchor or tag.", "Write a plain word as the key.")
            if not isinstance(event, yaml.ScalarEvent):
                self._value(event, f"{path}?", depth + 1)
            return None
        if event.value == "<<" and event.implicit[0]:
            self._refuse(event, path, "Keys are not merged with `<<`.", "Write the keys out.")
            return None
        if not event.value:
            self._refuse(event, path, "The key is empty.", "Write a word before the colon.")
            return None
        return str(event.value)

    def _scalar(self, event: yaml.Event, path: str) -> Value:
        if not isinstance(event, yaml.ScalarEvent):  # the grammar leaves nothing else
            raise InvariantBroken(f"The YAML parser answered {event!r} where a value begins.")
        text = str(event.value)
        if not event.implicit[0]:  # quoted, or a block of text: it is text, whatever it says
            return text
        if text in _NULLS:
            return None
        if text in {"true", "false"}:
            return text == "true"
        if text.lower() in _BOOLEAN_TRAPS:
            remedy = "Write true or false; in quotes, if the word itself is meant."
            self._refuse(event, path, f"{text} means yes or no to some readers and a word to others.", remedy)
            return SPOILED
        if _INTEGER.fullmatch(text) and abs(int(text[:20])) <= _INTEGER_MAX and len(text) <= 20:
            return int(text)
        if _OTHER_NUMBER.fullmatch(text):
            remedy = "Write a plain whole number; put everything else, such as a version or an id, in quotes."
            self._refuse(event, path, f"{text[:40]} is read as different numbers by different readers.", remedy)
            return SPOILED
        return text
