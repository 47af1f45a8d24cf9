"""Target records: which fields of which object a flow keeps, and what a target holds of one record now."""

from datetime import datetime

import msgspec

from accordant.canonical.charter import FieldType, MappingPart, RecordAttribute
from accordant.canonical.intents import WireValue


class FieldSpec(msgspec.Struct, frozen=True, kw_only=True):
    """How a target field is written and read; a lookup names the object and the external-id field it finds its record
    by. ``once``: only a record that is being made is given it.
    """

    type: FieldType
    lookup_object: str | None = None
    lookup_key: str | None = None
    once: bool = False


class ObjectSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One target object as the charter maps it."""

    name: str
    key_field: str
    fields: dict[str, FieldSpec]


class IdentitySpec(msgspec.Struct, frozen=True, kw_only=True):
    """Which records of a system tell whose they are, and by which of their fields; ``key_field`` holds our own key.

    ``fields`` are those the charter names; the connector knows the usual ones itself.
    """

    system: str
    object: str
    key_field: str
    fields: dict[RecordAttribute, str] = {}


class CurrentRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What a target holds of one record now, in wire values of the mapped fields.

    ``changed_at`` and ``changed_by`` say when the record was last changed there and by whom, None where the target
    does not tell; they are of the whole record, not of one field.
    """

    target_id: str
    fields: dict[str, WireValue]
    changed_at: datetime | None = None
    changed_by: str | None = None


class Whereabouts(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a record that is known by the target's own id.

    ``key`` is what its key field holds now, ``record`` its mapped fields; both are as it was left where ``deleted``.
    ``merged_into`` is the record it was merged into, which may itself be merged by now. A record that the target has
    forgotten altogether is absent from the answer.
    """

    target_id: str
    deleted: bool
    merged_into: str | None
    key: str | None
    record: CurrentRecord


def object_spec(mapping: MappingPart) -> ObjectSpec:
    """The specification of the object a mapping writes."""
    return ObjectSpec(
        name=mapping.object,
        key_field=mapping.key_field,
        fields={
            name: FieldSpec(
                type=part.type, lookup_object=part.lookup_object, lookup_key=part.lookup_key, once=part.once
            )
            for name, part in mapping.fields.items()
        },
    )
