"""What an org must have for a mapping: objects and fields, and which of our types each of Salesforce's types holds.
Guarantees that a retyped field is told from one that only looks different.
Next: outbound.py, which describes; the mappings that are shipped stand beside this module.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from accordant.canonical.charter import FieldPart, FieldType, MappingPart
from accordant.canonical.shapes import DescribedField
from accordant.connectors.salesforce.soql import checked_name, relationship
from accordant.connectors.salesforce.wire import Json

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
#: Salesforce's describe type -> what a field of that type holds of ours.
HOLDS: dict[str, frozenset[FieldType]] = {
    held: frozenset(kind for kind, made in _TYPE_OF.items() if held in _FITTING[made])
    for held in frozenset().union(*_FITTING.values()) | {"id", "multipicklist", "time", "base64", "anyType"}
}
#: Types whose description says how many digits they keep.
NUMBERS = frozenset({"double", "currency", "percent"})


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
    if kind == "string" and (part.length or 0) > TEXT_LENGTH:
        kind = "textarea"
    amount = kind in {"double", "currency"}
    lookup = part.type is FieldType.LOOKUP
    return RequiredField(
        object=checked_name(object_name),
        name=checked_name(name),
        type=kind,
        length=(part.length or TEXT_LENGTH) if kind in {"string", "textarea"} else None,
        precision=AMOUNT_DIGITS if amount else None,
        scale=(AMOUNT_PLACES if kind == "currency" else 0) if amount else None,
        picklist=tuple(dict.fromkeys(part.values.values())) if kind == "picklist" else (),
        reference_to=part.lookup_object if lookup else None,
        relationship=relationship(name) if lookup else None,
    )


def described(field: dict[str, Json]) -> DescribedField:
    """One field of a describe answer, as the port tells it."""
    values = field.get("picklistValues") if field.get("restrictedPicklist") is True else None
    length, kind = field.get("length"), str(field.get("type", ""))
    scale, precision = field.get("scale"), field.get("precision")
    digits = (precision - scale, scale) if isinstance(scale, int) and isinstance(precision, int) and precision else None
    leads_to = field.get("referenceTo")
    return DescribedField(
        name=str(field["name"]),
        type=kind,
        holds=HOLDS.get(kind, frozenset()),
        places=digits[1] if digits is not None and kind in NUMBERS else None,
        digits=digits[0] if digits is not None and kind in NUMBERS else None,
        required=field.get("nillable") is False and field.get("defaultedOnCreate") is not True,
        unique=field.get("unique") is True,
        refers_to=tuple(map(str, leads_to)) if isinstance(leads_to, list) else (),
        writable=field.get("createable") is True and field.get("updateable") is True,
        external_id=field.get("externalId") is True,
        length=length if isinstance(length, int) and length > 0 else None,
        picklist=None
        if not isinstance(values, list)
        else tuple(str(one["value"]) for one in values if isinstance(one, dict) and one.get("active") is not False),
    )
