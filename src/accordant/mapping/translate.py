"""From facts to the record a target should hold: compiled once per mapping, checked before any flow may use it.

An unknown fact is left out and never written over; a fact known to be empty clears its field. Next room:
``difference``.
"""

import difflib
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from accordant.canonical.charter import FieldPart, FieldType, MappingPart
from accordant.canonical.facts import FACTS, Fact, FactType
from accordant.canonical.intents import WireValue
from accordant.mapping.spelling import FACTS_FOR_FIELD, Speller, Unspellable, spell_key, speller_of


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


class CompiledMapping(msgspec.Struct, frozen=True):
    """A mapping made ready for many translations: field, source and speller in the order of the field names."""

    key_field: str
    key_source: str
    spellers: tuple[tuple[str, str, Speller], ...]


def compile_mapping(mapping: MappingPart) -> CompiledMapping:
    """Choose the speller of every field once; worth it from the second translation on."""
    return CompiledMapping(
        key_field=mapping.key_field,
        key_source=mapping.key_source,
        spellers=tuple((name, part.source, speller_of(part)) for name, part in sorted(mapping.fields.items())),
    )


def translate(values: Mapping[str, Fact], mapping: CompiledMapping | MappingPart) -> Translation:
    """The record these facts make. A fact absent from ``values`` is unknown and its field is left out; None clears.

    Never raises: what cannot be spelled is a problem with field, source and reason, and the rest of the record stands.
    """
    compiled = compile_mapping(mapping) if isinstance(mapping, MappingPart) else mapping
    problems: list[FieldProblem] = []
    named = spell_key(values.get(compiled.key_source))
    if isinstance(named, Unspellable):
        problems.append(FieldProblem(compiled.key_field, compiled.key_source, named.reason))
    fields: dict[str, WireValue] = {}
    for name, source, speller in compiled.spellers:
        if source not in values:
            continue
        spelled = speller(values[source])
        if isinstance(spelled, Unspellable):
            problems.append(FieldProblem(name, source, spelled.reason))
        else:
            fields[name] = spelled
    key = named if isinstance(named, str) else None
    return Translation(key, fields, tuple(problems))


def check_mapping(mapping: MappingPart) -> tuple[MappingDefect, ...]:
    """Everything in a mapping that can never work, by field name; an empty answer is a go."""
    vocabulary = FACTS.get(mapping.entity)
    if vocabulary is None:
        kinds = ", ".join(sorted(FACTS))
        reason = f"Entities of kind {mapping.entity} have no facts that could be written."
        return (MappingDefect(mapping.key_field, reason, f"Map one of: {kinds}."),)
    defects = list(_key_defects(mapping, vocabulary))
    for name, part in sorted(mapping.fields.items()):
        defects.extend(_source_defects(name, part, vocabulary))
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


def _source_defects(name: str, part: FieldPart, vocabulary: Mapping[str, FactType]) -> Iterator[MappingDefect]:
    fact_type = vocabulary.get(part.source)
    if fact_type is None:
        yield _unknown(name, part.source, vocabulary)
    elif fact_type not in FACTS_FOR_FIELD[part.type]:
        fitting = " or ".join(kind.value for kind in FieldType if fact_type in FACTS_FOR_FIELD[kind])
        reason = f"A field of type {part.type} cannot hold `{part.source}`, which is of type {fact_type}."
        yield MappingDefect(name, reason, f"Make the field's type {fitting}, or choose another source.")


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
    if not is_text and (part.length is not None or part.truncate or part.values):
        reason = f"`length`, `truncate` and `values` mean nothing on a field of type {part.type}."
        yield MappingDefect(name, reason, "Remove them, or make the field's type text.")


def _unknown(field: str, source: str, vocabulary: Iterable[str]) -> MappingDefect:
    near = difflib.get_close_matches(source, vocabulary, n=3)
    listed = ", ".join(near or sorted(vocabulary))
    remedy = f"Did you mean {listed}?" if near else f"Choose one of: {listed}."
    return MappingDefect(field, f"There is no fact called `{source}`.", remedy)
