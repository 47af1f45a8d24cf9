"""From facts to the record a target should hold: compiled once per mapping, checked before any flow may use it.

An unknown fact is left out and never written over; a fact known to be empty clears its field. Next room:
``difference``.
"""

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from accordant.canonical.charter import FieldPart, FieldType, MappingPart
from accordant.canonical.facts import FACTS, Fact, FactType
from accordant.canonical.intents import WireValue
from accordant.canonical.refs import EntityKind
from accordant.canonical.sources import PathInvalid, PathType, path_type
from accordant.kernel.errors import ConfigurationError
from accordant.mapping.expressions import UNKNOWN, ExpressionDefect, Unknown, compile_expression
from accordant.mapping.spelling import FACTS_FOR_FIELD, Speller, Unspellable, spell_key, speller_of

PLACES_MAX = 8


class FieldProblem(msgspec.Struct, frozen=True):
    """One field that could not be filled: it is left out of the record, the others are not."""

    field: str
    source: str
    reason: str


class Translation(msgspec.Struct, frozen=True):
    """The record a target should hold. ``key`` is None when it cannot be named, and then it is not written at all."""

    key: str | None
    fields: dict[str, WireValue]
    problems: tuple[FieldProblem, ...] = ()


class MappingDefect(msgspec.Struct, frozen=True):
    """One sentence of a mapping that can never work, and what to write instead."""

    field: str
    reason: str
    remedy: str


class CompiledField(msgspec.Struct, frozen=True):
    """One field made ready. ``said`` is what it is made of, as a person wrote it."""

    name: str
    said: str
    read: "Read"
    spell: Speller


#: Finds the value a field is made of, in the facts and in the owner's entity.
Read = Callable[[Mapping[str, Fact], msgspec.Struct | None], Fact | Unknown | Unspellable]


class CompiledMapping(msgspec.Struct, frozen=True):
    """A mapping made ready for many translations, its fields in the order of their names."""

    key_field: str
    key_source: str
    fields: tuple[CompiledField, ...]


def compile_mapping(mapping: MappingPart, zone: tzinfo = UTC) -> CompiledMapping:
    """Choose reader and speller of every field once; worth it from the second translation on.

    ``zone`` is the company's. Raises ConfigurationError for a field that ``check_mapping`` refuses.
    """
    return CompiledMapping(
        key_field=mapping.key_field,
        key_source=mapping.key_source,
        fields=tuple(
            CompiledField(name, said_of(part), _reader(mapping.entity, name, part), speller_of(part, zone))
            for name, part in sorted(mapping.fields.items())
        ),
    )


def said_of(part: FieldPart) -> str:
    """What a field is made of, as it stands in the charter."""
    return part.source or part.path or part.expression


def translate(
    values: Mapping[str, Fact], mapping: CompiledMapping | MappingPart, entity: msgspec.Struct | None = None
) -> Translation:
    """The record these facts make. A fact absent from ``values`` is unknown and its field is left out; None clears.

    ``entity`` is the owner's entity, for fields that are read by a path; without one they are left out. Never raises:
    what cannot be spelled is a problem with field, source and reason, and the rest of the record stands.
    """
    compiled = compile_mapping(mapping) if isinstance(mapping, MappingPart) else mapping
    problems: list[FieldProblem] = []
    named = spell_key(values.get(compiled.key_source))
    if isinstance(named, Unspellable):
        problems.append(FieldProblem(compiled.key_field, compiled.key_source, named.reason))
    fields: dict[str, WireValue] = {}
    for field in compiled.fields:
        value = field.read(values, entity)
        if isinstance(value, Unknown):
            continue
        spelled = value if isinstance(value, Unspellable) else field.spell(value)
        if isinstance(spelled, Unspellable):
            problems.append(FieldProblem(field.name, field.said, spelled.reason))
        else:
            fields[field.name] = spelled
    key = named if isinstance(named, str) else None
    return Translation(key, fields, tuple(problems))


def _reader(entity: EntityKind, name: str, part: FieldPart) -> Read:
    if part.expression:
        compiled = compile_expression(part.expression, entity, part.type)
        if isinstance(compiled, ExpressionDefect):
            raise ConfigurationError(f"{name}: {compiled.reason}", remedy=compiled.remedy)
        evaluate = compiled.evaluate
        return lambda values, _: evaluate(values)
    if part.path:
        return _path_reader(path_type(entity, part.path))
    source = part.source
    return lambda values, _: values.get(source, UNKNOWN)


def _path_reader(path: PathType) -> Read:
    def read(_: Mapping[str, Fact], entity: msgspec.Struct | None) -> Fact | Unknown:
        value: Any = entity  # typed by path_type when the mapping was compiled
        for step in path.steps:
            if value is None:
                return UNKNOWN
            value = getattr(value, step)
        if value is None:
            return UNKNOWN
        if path.key is None:
            fact: Fact = value
            return fact
        # A map is stated whole, so a key that is not in it is known to be empty.
        return value.get(path.key)  # type: ignore[no-any-return]

    return read


def check_mapping(mapping: MappingPart) -> tuple[MappingDefect, ...]:
    """Everything in a mapping that can never work, by field name; an empty answer is a go."""
    vocabulary = FACTS.get(mapping.entity)
    if vocabulary is None:
        kinds = ", ".join(sorted(FACTS))
        reason = f"Entities of kind {mapping.entity} have no facts that could be written."
        return (MappingDefect(mapping.key_field, reason, f"Map one of: {kinds}."),)
    defects = list(_key_defects(mapping, vocabulary))
    for name, part in sorted(mapping.fields.items()):
        defects.extend(_origin_defects(name, part, mapping.entity))
        defects.extend(_setting_defects(name, part))
    return tuple(defects)


def _key_defects(mapping: MappingPart, vocabulary: Mapping[str, FactType]) -> Iterator[MappingDefect]:
    key_type = vocabulary.get(mapping.key_source)
    if key_type is None:
        yield _unknown(mapping.key_field, mapping.key_source, vocabulary)
    elif key_type is not FactType.TEXT:
        reason = f"The key is filled from `{mapping.key_source}`, which is not text."
        yield MappingDefect(mapping.key_field, reason, "Use `external_id` as `key_source`.")
    if mapping.key_field in mapping.fields:
        reason = "The key field is also listed among the fields, so it would be written twice."
        yield MappingDefect(mapping.key_field, reason, "Take it out of `fields`; `key_source` fills it.")


def _origin_defects(name: str, part: FieldPart, entity: EntityKind) -> Iterator[MappingDefect]:
    """Exactly one of source, path and expression, of a type the field can hold."""
    given = [word for word in ("source", "path", "expression") if getattr(part, word)]
    if len(given) != 1:
        said = f"has {' and '.join(given)}" if given else "says nothing of what it is made of"
        yield MappingDefect(name, f"The field {said}.", "Give exactly one of source, path and expression.")
        return
    found = _fact_type(name, part, entity)
    if isinstance(found, MappingDefect):
        yield found
    elif found not in FACTS_FOR_FIELD[part.type]:
        fitting = " or ".join(kind.value for kind in FieldType if found in FACTS_FOR_FIELD[kind])
        reason = f"A field of type {part.type} cannot hold `{said_of(part)}`, which is of type {found}."
        yield MappingDefect(name, reason, f"Make the field's type {fitting}, or choose another {given[0]}.")


def _fact_type(name: str, part: FieldPart, entity: EntityKind) -> FactType | MappingDefect:
    if part.source:
        vocabulary = FACTS[entity]
        return vocabulary.get(part.source) or _unknown(name, part.source, vocabulary)
    if part.path:
        try:
            return path_type(entity, part.path).type
        except PathInvalid as error:
            return MappingDefect(name, error.message, error.remedy)
    compiled = compile_expression(part.expression, entity, part.type)
    if isinstance(compiled, ExpressionDefect):
        return MappingDefect(name, compiled.reason, compiled.remedy)
    return compiled.type


def _setting_defects(name: str, part: FieldPart) -> Iterator[MappingDefect]:
    is_text = part.type in {FieldType.TEXT, FieldType.LOOKUP}
    if part.type is FieldType.LOOKUP:
        if not part.lookup_object or not part.lookup_key:
            reason = "A lookup must say which object it points to and by which external-id field it finds the record."
            yield MappingDefect(name, reason, "Set `lookup_object` and `lookup_key`.")
        if part.truncate:
            yield MappingDefect(name, "A lookup that is cut finds another record, or none.", "Remove `truncate`.")
    elif part.lookup_object or part.lookup_key:
        reason = f"`lookup_object` and `lookup_key` mean nothing on a field of type {part.type}."
        yield MappingDefect(name, reason, "Make the field's type lookup, or remove them.")
    if part.length is not None and part.length < 1:
        yield MappingDefect(name, f"A length of {part.length} leaves no room.", "Give the length in characters.")
    if part.truncate and part.length is None:
        yield MappingDefect(name, "`truncate` has no length to cut at.", "Set `length`, or remove `truncate`.")
    if part.places is not None and (part.type is not FieldType.CURRENCY or not 0 <= part.places <= PLACES_MAX):
        reason = f"`places` is {part.places} on a field of type {part.type}."
        yield MappingDefect(name, reason, f"Give 0 to {PLACES_MAX} on a field of type currency, or remove it.")
    if part.timezone and (part.type is not FieldType.DATE or not _is_zone(part.timezone)):
        reason = f"`timezone` is {part.timezone!r} on a field of type {part.type}."
        yield MappingDefect(name, reason, "Give an IANA name such as Europe/Berlin on a date field, or remove it.")
    if not is_text and (part.length is not None or part.truncate or part.values):
        reason = f"`length`, `truncate` and `values` mean nothing on a field of type {part.type}."
        yield MappingDefect(name, reason, "Remove them, or make the field's type text.")


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _unknown(field: str, source: str, vocabulary: Iterable[str]) -> MappingDefect:
    near = difflib.get_close_matches(source, vocabulary, n=3)
    listed = ", ".join(near or sorted(vocabulary))
    remedy = f"Did you mean {listed}?" if near else f"Choose one of: {listed}."
    return MappingDefect(field, f"There is no fact called `{source}`.", remedy)
