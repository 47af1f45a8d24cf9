"""How a target describes its own objects, in the hub's words, and where that differs from what a mapping needs."""

from datetime import datetime
from enum import StrEnum

import msgspec

from accordant.canonical.charter import FieldType


class DescribedField(msgspec.Struct, frozen=True, kw_only=True):
    """A field as the target describes it.

    ``type`` is the target's own word; ``holds`` says which of our types it takes, empty where nobody knows. ``length``
    counts characters, ``places`` decimals, ``digits`` those before the point; None where there is no such limit.
    ``picklist`` are the only values it takes, None where it takes any. ``required`` needs a value on creation;
    ``refers_to`` are the objects a lookup may lead to. A name that ends in ``.*`` stands for every field of that group:
    the target takes any.
    """

    name: str
    type: str
    writable: bool
    external_id: bool
    length: int | None
    picklist: tuple[str, ...] | None
    holds: frozenset[FieldType] = frozenset()
    places: int | None = None
    digits: int | None = None
    required: bool = False
    unique: bool = False
    refers_to: tuple[str, ...] = ()

    def is_of(self, name: str) -> bool:
        """Whether it is the field of that name, in any case, or stands for it."""
        own, asked = self.name.lower(), name.lower()
        return own == asked or (own.endswith(".*") and asked.startswith(own[:-1]))


class DriftKind(StrEnum):
    """How a target differs from what a mapping needs."""

    OBJECT_MISSING = "object_missing"
    FIELD_MISSING = "field_missing"
    RETYPED = "retyped"
    READ_ONLY = "read_only"
    NO_EXTERNAL_ID = "no_external_id"
    TOO_SHORT = "too_short"
    TOO_FEW_PLACES = "too_few_places"
    VALUE_MISSING = "value_missing"
    LEADS_ELSEWHERE = "leads_elsewhere"
    REQUIRED = "required"


class TargetDrift(msgspec.Struct, frozen=True, kw_only=True):
    """One way in which a target is not what the mapping takes it for. ``field`` is None for a whole object.

    ``problem`` is a sentence with the place, ``remedy`` one for the target's administrator.
    """

    kind: DriftKind
    object: str
    field: str | None
    problem: str
    remedy: str


class SeenShape(msgspec.Struct, frozen=True, kw_only=True):
    """What a target said of one object when it was last asked; ``fields`` is None when it has no such object.

    ``digest`` is that of the fields, ``drift`` what of them did not fit then, since ``drifted_at``.
    """

    system: str
    object: str
    fields: tuple[DescribedField, ...] | None
    digest: str
    seen_at: datetime
    drift: tuple[TargetDrift, ...] = ()
    drifted_at: datetime | None = None
