"""Target records: which fields of which object a flow keeps, and what a target holds of one record now."""

import msgspec

from accordant.canonical.charter import FieldType, MappingPart
from accordant.canonical.intents import WireValue


class FieldSpec(msgspec.Struct, frozen=True, kw_only=True):
    """How a target field is written and read; a lookup names the object and the external-id field it finds its record
    by.
    """

    type: FieldType
    lookup_object: str | None = None
    lookup_key: str | None = None


class ObjectSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One target object as the charter maps it."""

    name: str
    key_field: str
    fields: dict[str, FieldSpec]


class CurrentRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What a target holds of one record now, in wire values of the mapped fields."""

    target_id: str
    fields: dict[str, WireValue]


def object_spec(mapping: MappingPart) -> ObjectSpec:
    """The specification of the object a mapping writes."""
    return ObjectSpec(
        name=mapping.object,
        key_field=mapping.key_field,
        fields={
            name: FieldSpec(type=part.type, lookup_object=part.lookup_object, lookup_key=part.lookup_key)
            for name, part in mapping.fields.items()
        },
    )
