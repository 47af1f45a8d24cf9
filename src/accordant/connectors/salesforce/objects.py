"""What an org must have for a mapping: objects and fields, and where an org's own description differs from that.
Guarantees that a missing, retyped or too short field is found before the first write, with the step that mends it.
Next: default_mapping.yaml, the mapping that is shipped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum

import msgspec

from accordant.canonical.charter import FieldPart, FieldType, MappingPart
from accordant.connectors.salesforce.soql import checked_name, relationship
from accordant.ports.connector import DescribedField

KEY_LENGTH = 255
TEXT_LENGTH = 255
AMOUNT_DIGITS = 18
AMOUNT_PLACES = 2
_TEXT_TYPES = frozenset({"string", "textarea", "picklist", "combobox", "email", "phone", "url", "encryptedstring"})
# What a field of a type may be in the org: the type we would make, and those that hold its values as well.
_FITTING: dict[str, frozenset[str]] = {
    "string": _TEXT_TYPES,
    "picklist": frozenset({"picklist", "combobox", "string", "textarea"}),
    "double": frozenset({"double", "int", "currency", "percent"}),
    "currency": frozenset({"currency", "double"}),
    "boolean": frozenset({"boolean"}),
    "date": frozenset({"date"}),
    "datetime": frozenset({"datetime"}),
    "reference": frozenset({"reference"}),
}
_TYPE_OF: dict[FieldType, str] = {
    FieldType.TEXT: "string",
    FieldType.NUMBER: "double",
    FieldType.CURRENCY: "currency",
    FieldType.FLAG: "boolean",
    FieldType.DATE: "date",
    FieldType.INSTANT: "datetime",
    FieldType.LOOKUP: "reference",
}


class RequiredField(msgspec.Struct, frozen=True, kw_only=True):
    """One field an org must have. ``type`` is Salesforce's describe type.

    ``length`` counts characters (text only), ``precision`` and ``scale`` decimal digits in all and after the point.
    ``case_sensitive`` matters for a key: "cus_a" and "cus_A" are two customers.
    """

    object: str
    name: str
    type: str
    length: int | None = None
    precision: int | None = None
    scale: int | None = None
    unique: bool = False
    external_id: bool = False
    case_sensitive: bool = False
    picklist: tuple[str, ...] = ()
    reference_to: str | None = None
    relationship: str | None = None

    @property
    def custom(self) -> bool:
        """Whether somebody has to add it; Salesforce comes with the others."""
        return self.name.endswith("__c")


class DriftKind(StrEnum):
    """How an org differs from what a mapping needs."""

    OBJECT_MISSING = "object_missing"
    FIELD_MISSING = "field_missing"
    RETYPED = "retyped"
    TOO_SHORT = "too_short"
    READ_ONLY = "read_only"
    NO_EXTERNAL_ID = "no_external_id"
    VALUE_MISSING = "value_missing"


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """One difference. ``field`` is empty when the whole object is missing; ``remedy`` is for its administrator."""

    kind: DriftKind
    object: str
    field: str
    message: str
    remedy: str


def required_fields(mappings: Sequence[MappingPart]) -> tuple[RequiredField, ...]:
    """Every field the mappings need, keys first, each once; a lookup's own key is asked for on the object it finds.

    Raises NameInvalid (a RejectedError) for a name no org can have.
    """
    needed: dict[tuple[str, str], RequiredField] = {}
    for mapping in mappings:
        key = _key(mapping.object, mapping.key_field)
        needed[key.object, key.name] = key
    for mapping in mappings:
        for name, part in mapping.fields.items():
            field = _required(mapping.object, name, part)
            needed.setdefault((field.object, field.name), field)
            if part.type is FieldType.LOOKUP and part.lookup_object and part.lookup_key:
                key = _key(part.lookup_object, part.lookup_key)
                needed.setdefault((key.object, key.name), key)
    return tuple(needed.values())


def find_drift(
    required: Sequence[RequiredField], described: Mapping[str, Sequence[DescribedField]]
) -> tuple[Drift, ...]:
    """Where an org falls short. ``described`` holds what it says of each object; an object that it lacks is left out.

    Field names are compared without case, as Salesforce does.
    """
    found: list[Drift] = []
    absent: set[str] = set()
    by_name = {name: {field.name.lower(): field for field in fields} for name, fields in described.items()}
    for field in required:
        if field.object not in by_name:
            if field.object not in absent:
                absent.add(field.object)
                found.append(
                    _drift(DriftKind.OBJECT_MISSING, field, "is missing", f"Add the object {field.object}.", name="")
                )
            continue
        found.extend(_field_drift(field, by_name[field.object].get(field.name.lower())))
    return tuple(found)


def _field_drift(field: RequiredField, held: DescribedField | None) -> list[Drift]:
    if held is None:
        remedy = f"Add it: {_wanted(field)}; and let the integration user see and edit it."
        return [_drift(DriftKind.FIELD_MISSING, field, "is missing, or the integration user may not see it", remedy)]
    if held.type not in _FITTING[field.type]:
        return [_drift(DriftKind.RETYPED, field, f"is of type {held.type}", f"Change it back to {_wanted(field)}.")]
    found = []
    if not held.writable:
        found.append(_drift(DriftKind.READ_ONLY, field, "may not be written", "Let the integration user edit it."))
    if field.external_id and not held.external_id:
        found.append(_drift(DriftKind.NO_EXTERNAL_ID, field, "is no external id", "Mark it as external id and unique."))
    if field.length is not None and held.length is not None and held.length < field.length:
        told = f"holds {held.length} characters, and {field.length} are needed"
        remedy = f"Lengthen it to {field.length}, or lower its length in the mapping."
        found.append(_drift(DriftKind.TOO_SHORT, field, told, remedy))
    lacking = [value for value in field.picklist if held.picklist is not None and value not in held.picklist]
    if lacking:
        told = f"does not take {', '.join(map(repr, lacking))}"
        found.append(_drift(DriftKind.VALUE_MISSING, field, told, "Add to its picklist what is missing."))
    return found


def _drift(kind: DriftKind, field: RequiredField, told: str, remedy: str, *, name: str | None = None) -> Drift:
    shown = field.name if name is None else name
    place = f"{field.object}.{shown}" if shown else field.object
    return Drift(kind=kind, object=field.object, field=shown, message=f"{place} {told}.", remedy=remedy)


def _wanted(field: RequiredField) -> str:
    size = f" of {field.length} characters" if field.length is not None else ""
    key = ", external id, unique, case-sensitive" if field.external_id else ""
    target = f" to {field.reference_to}" if field.reference_to else ""
    return f"{field.type}{size}{target}{key}"


def _key(object_name: str, name: str) -> RequiredField:
    return RequiredField(
        object=checked_name(object_name),
        name=checked_name(name),
        type="string",
        length=KEY_LENGTH,
        unique=True,
        external_id=True,
        case_sensitive=True,
    )


def _required(object_name: str, name: str, part: FieldPart) -> RequiredField:
    kind = "picklist" if part.type is FieldType.TEXT and part.values else _TYPE_OF[part.type]
    amount = kind in {"double", "currency"}
    lookup = part.type is FieldType.LOOKUP
    return RequiredField(
        object=checked_name(object_name),
        name=checked_name(name),
        type=kind,
        length=(part.length or TEXT_LENGTH) if kind == "string" else None,
        precision=AMOUNT_DIGITS if amount else None,
        scale=(AMOUNT_PLACES if kind == "currency" else 0) if amount else None,
        picklist=tuple(dict.fromkeys(part.values.values())) if kind == "picklist" else (),
        reference_to=part.lookup_object if lookup else None,
        relationship=relationship(name) if lookup else None,
    )
