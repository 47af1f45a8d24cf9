"""Does a mapping fit what its target says of itself? Each difference with its remedy, and the mapping that still works.

A field that is gone takes nothing with it but itself; one that became narrower still takes the values that fit.
"""

from collections.abc import Iterator, Sequence

import msgspec

from accordant.canonical.charter import FieldPart, FieldType, MappingPart
from accordant.canonical.shapes import DescribedField, DriftKind, SeenShape, TargetDrift
from accordant.mapping.spelling import PLACES_DEFAULT

#: Without these the record itself cannot be found or made: the whole object waits.
_WHOLE = frozenset({DriftKind.OBJECT_MISSING, DriftKind.NO_EXTERNAL_ID})
#: These close the field; the narrower ones only refuse the values that no longer fit.
_CLOSED = frozenset({DriftKind.FIELD_MISSING, DriftKind.RETYPED, DriftKind.READ_ONLY, DriftKind.LEADS_ELSEWHERE})


def find_drift(mapping: MappingPart, described: Sequence[DescribedField] | None) -> tuple[TargetDrift, ...]:
    """Everything in which an object's description differs from what a mapping needs; ``described`` None: no object.

    Field names are compared without case, as targets do.
    """
    if described is None:
        remedy = f"Add {mapping.object} there, or let our user see it."
        kind = DriftKind.OBJECT_MISSING
        problem = f"{mapping.object} is missing, or our user may not see it."
        return (TargetDrift(kind=kind, object=mapping.object, field=None, problem=problem, remedy=remedy),)
    held = {field.name.lower(): field for field in described}
    groups = [field for field in described if field.name.endswith(".*")]

    def said_of(name: str) -> DescribedField | None:
        return held.get(name.lower()) or next((one for one in groups if one.is_of(name)), None)

    found = list(_key(mapping, said_of(mapping.key_field)))
    for name, part in mapping.fields.items():
        found.extend(_field(mapping, name, part, said_of(name)))
    mapped = {name.lower() for name in (mapping.key_field, *mapping.fields)}
    for field in described:
        if field.required and field.writable and field.name.lower() not in mapped:
            remedy = "Map it, give it a default value there, or make it optional."
            found.append(_drift(mapping, DriftKind.REQUIRED, field.name, "must be filled for a new record", remedy))
    return tuple(found)


class Fitted(msgspec.Struct, frozen=True, kw_only=True):
    """A mapping as far as its target takes it today.

    ``mapping`` lacks the closed fields and is as narrow as the target; ``withheld`` says of each closed field why, and
    ``stopped`` why nothing at all can be written (empty where something can).
    """

    mapping: MappingPart
    withheld: dict[str, str]
    stopped: str


def fit(mapping: MappingPart, shape: SeenShape | None) -> Fitted:
    """The part of a mapping that still works. ``shape`` None: nobody has asked the target yet, so all of it.

    What no longer fits is refused in its field and never cut: the charter allowed to cut at another length.
    """
    if shape is None:
        return Fitted(mapping=mapping, withheld={}, stopped="")
    drift = find_drift(mapping, shape.fields)
    closed = {one.field: f"{one.problem} {one.remedy}" for one in drift if one.kind in _CLOSED and one.field}
    stopped = [f"{one.problem} {one.remedy}" for one in drift if one.kind in _WHOLE]
    if mapping.key_field in closed:
        stopped.append(closed.pop(mapping.key_field))
    fields = {name: part for name, part in mapping.fields.items() if name not in closed}
    for held in shape.fields or ():
        fields |= {name: _fitted(part, held) for name, part in fields.items() if held.is_of(name)}
    return Fitted(mapping=msgspec.structs.replace(mapping, fields=fields), withheld=closed, stopped=" ".join(stopped))


def _fitted(part: FieldPart, held: DescribedField) -> FieldPart:
    """A field's part with the narrower limits of the two."""
    if _counts_characters(part, held):
        if part.length is None or (held.length or 0) < part.length:
            return msgspec.structs.replace(part, length=held.length, truncate=False)
    elif part.type is FieldType.CURRENCY and held.places is not None and held.places < _places(part):
        return msgspec.structs.replace(part, places=held.places)
    elif held.picklist is not None and part.values:
        taken = {word: value for word, value in part.values.items() if value in held.picklist}
        # A field without any value left must not become one that takes every word.
        return msgspec.structs.replace(part, values=taken or {"": ""})
    return part


def _counts_characters(part: FieldPart, held: DescribedField) -> bool:
    """Whether a text may be too long for the field: lists of values say themselves what they take."""
    return part.type is FieldType.TEXT and not part.values and held.length is not None and held.picklist is None


def _places(part: FieldPart) -> int:
    return PLACES_DEFAULT if part.places is None else part.places


def _key(mapping: MappingPart, held: DescribedField | None) -> Iterator[TargetDrift]:
    name = mapping.key_field
    if held is None:
        remedy = "Add it as the external id, and let our user edit it."
        yield _drift(mapping, DriftKind.FIELD_MISSING, name, "is missing, or our user may not see it", remedy)
    elif not held.external_id:
        yield _drift(mapping, DriftKind.NO_EXTERNAL_ID, name, "is no external id", "Mark it as external id and unique.")
    elif held.holds and FieldType.TEXT not in held.holds:
        yield _drift(mapping, DriftKind.RETYPED, name, f"is of type {held.type}", "Make it text again.")
    elif not held.writable:
        yield _drift(mapping, DriftKind.READ_ONLY, name, "may not be written", "Let our user edit it.")


def _field(mapping: MappingPart, name: str, part: FieldPart, held: DescribedField | None) -> Iterator[TargetDrift]:
    if held is None:
        remedy = "Add it or give it its name back, or take it out of the mapping."
        yield _drift(mapping, DriftKind.FIELD_MISSING, name, "is missing, or our user may not see it", remedy)
        return
    if held.holds and part.type not in held.holds:
        problem = f"is of type {held.type}, which holds no {part.type}"
        yield _drift(mapping, DriftKind.RETYPED, name, problem, "Change it back, or the type in the mapping.")
        return
    if not held.writable:
        remedy = "Let our user edit it, or take it out of the mapping."
        yield _drift(mapping, DriftKind.READ_ONLY, name, "may not be written", remedy)
    if part.lookup_object and held.refers_to and part.lookup_object not in held.refers_to:
        problem = f"leads to {', '.join(held.refers_to)} and not to {part.lookup_object}"
        yield _drift(mapping, DriftKind.LEADS_ELSEWHERE, name, problem, "Correct the lookup there, or in the mapping.")
    yield from _limits(mapping, name, part, held)


def _limits(mapping: MappingPart, name: str, part: FieldPart, held: DescribedField) -> Iterator[TargetDrift]:
    if _counts_characters(part, held) and part.length is not None and (held.length or 0) < part.length:
        problem = f"holds {held.length} characters, and the mapping says {part.length}"
        remedy = f"Lengthen it there, or set `length: {held.length}` in the mapping."
        yield _drift(mapping, DriftKind.TOO_SHORT, name, problem, remedy)
    if part.type is FieldType.CURRENCY and held.places is not None and held.places < _places(part):
        problem = f"keeps {held.places} decimals, and the mapping says {_places(part)}"
        remedy = f"Give it {_places(part)} there, or set `places: {held.places}` in the mapping."
        yield _drift(mapping, DriftKind.TOO_FEW_PLACES, name, problem, remedy)
    lacking = [] if held.picklist is None else [one for one in part.values.values() if one not in held.picklist]
    if lacking:
        problem = f"does not take {', '.join(map(repr, dict.fromkeys(lacking)))}"
        yield _drift(mapping, DriftKind.VALUE_MISSING, name, problem, "Add these to its list of values.")


def _drift(mapping: MappingPart, kind: DriftKind, field: str, problem: str, remedy: str) -> TargetDrift:
    place = f"{mapping.object}.{field}"
    return TargetDrift(kind=kind, object=mapping.object, field=field, problem=f"{place} {problem}.", remedy=remedy)
