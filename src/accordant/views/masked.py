"""Whole answers as an audience may see them: the one way out for pages, files and the command line.

Each value is covered by what it is: a field of a record, a fact or an attribute of an entity; any other text loses the
addresses and numbers in it. Names of things (ids, references, states) stay. Next: `governance/sensitivity.py`.
"""

import re
from collections.abc import Mapping
from typing import TypeVar, cast

import msgspec

from accordant.analytics.facts import Facts
from accordant.canonical.charter import Sensitivity
from accordant.canonical.entities import Entity, PaymentMethod, kind_of
from accordant.canonical.refs import EntityKind, EntityRef, ExternalRef
from accordant.governance.sensitivity import Lens, kind_by_name
from accordant.views.customer import CustomerLine

T = TypeVar("T")

#: Attributes that name things: links and lookups are made of them, and the charter's check keeps persons out of them.
_NAMES = frozenset(
    {
        "id", "ref", "record", "key", "seq", "lane", "external_id", "entity_id", "account_id", "root_id", "target_id",
        "intent_id", "run_id", "idempotency_key", "request_id", "digest", "input_digest", "further", "charter",
        "version", "flow", "target", "object", "system", "object_type", "connection", "field", "fields_named", "kind",
        "state", "event_type", "effect", "rule", "currency", "subject", "hash", "key_field", "cursor", "switch",
        "coupon_id", "price_id", "product_id", "customer_id", "invoice_id", "payment_id", "subscription_id",
    }
)  # fmt: skip
#: Attributes that hold one value of the field a struct names.
_VALUES = frozenset(
    {"before", "after", "desired", "held", "value", "current", "confirmed", "wanted", "kept", "lost", "old", "new",
     "against", "winner_value", "loser_value", "expected", "actual", "found", "today"}
)  # fmt: skip
#: Attributes that hold target fields by name.
_RECORDS = frozenset({"fields", "before", "after", "desired", "held", "current", "confirmed"})
#: Attributes that hold one value of what a struct names in a person's words: the two sides of a comparison.
_SIDES = frozenset({"ours", "theirs"})
#: A struct with one of these is about a party, and then its name is that of a person or a company.
_PARTY_MARKS = frozenset({"account_id", "email", "emails", "tax_ids"})
_PARTY_NAMES = frozenset({"name", "names", "account_name", "customer_name", "party_name"})
_TOLD_BY_NAME = frozenset(
    {Sensitivity.EMAIL, Sensitivity.PHONE, Sensitivity.ADDRESS, Sensitivity.TAX_ID, Sensitivity.ACCOUNT_NUMBER}
)
_REFERENCE = re.compile(r"(?P<system>[^:/\s]+):(?P<object>[^:/\s]+)/")
_ENTITIES = cast("tuple[type, ...]", Entity.__args__)
_Place = tuple[str, str] | None


def masked(value: T, lens: Lens) -> T:
    """``value`` as the audience of ``lens`` may see it: the same shape, with what is personal covered."""
    return cast("T", _walk(value, lens, None))


def _walk(value: object, lens: Lens, place: _Place) -> object:
    match value:
        case ExternalRef() | EntityRef():
            return value
        case Facts():
            return msgspec.structs.replace(value, values=_facts(value.values, lens))
        case CustomerLine():
            return msgspec.structs.replace(_struct(value, lens, place), facts=_facts(value.facts, lens))
        case PaymentMethod():
            return msgspec.structs.replace(value, last4=lens.card_end(value.last4))
        case msgspec.Struct():
            return _entity(value, lens) if isinstance(value, _ENTITIES) else _struct(value, lens, place)
        case _:
            return _plain(value, lens, place)


def _plain(value: object, lens: Lens, place: _Place) -> object:
    match value:
        case str() if type(value) is str:
            return lens.text(value)
        case dict():
            return {key: _walk(item, lens, place) for key, item in value.items()}
        case tuple() if type(value) is tuple:
            return tuple(_walk(item, lens, place) for item in value)
        case list():
            return [_walk(item, lens, place) for item in value]
        case _:
            return value


def _facts(values: Mapping[str, object], lens: Lens) -> dict[str, object]:
    return {name: lens.fact(EntityKind.ACCOUNT, name, value) for name, value in values.items()}


def _entity(value: msgspec.Struct, lens: Lens) -> msgspec.Struct:
    kind = kind_of(cast("Entity", value))
    changed: dict[str, object] = {}
    for name in value.__struct_fields__:
        item = getattr(value, name)
        sensitivity = lens.attribute(kind, name)
        if name in _NAMES or item is None:
            continue
        if sensitivity is None:
            changed[name] = _walk(item, lens, None)
        elif isinstance(item, tuple):
            changed[name] = tuple(lens.cover(one, sensitivity) for one in item)
        elif isinstance(item, dict):
            changed[name] = {key: lens.cover(one, kind_by_name(key) or sensitivity) for key, one in item.items()}
        else:
            changed[name] = lens.cover(item, sensitivity)
    return msgspec.structs.replace(value, **changed)


def _struct(value: msgspec.Struct, lens: Lens, outer: _Place) -> msgspec.Struct:
    place = _place_of(value) or outer
    field = getattr(value, "field", None)
    label = getattr(value, "attribute", None) or getattr(value, "what", None)
    changed: dict[str, object] = {}
    for name in value.__struct_fields__:
        item = getattr(value, name)
        party = _of_party(value, name)
        if party is not None and not isinstance(item, msgspec.Struct | dict):
            several = isinstance(item, tuple)
            changed[name] = tuple(lens.cover(one, party) for one in item) if several else lens.cover(item, party)
        elif isinstance(item, dict) and name in _RECORDS:
            changed[name] = {key: _field(place, key, one, lens) for key, one in item.items()}
        elif name in _SIDES and label is not None:
            changed[name] = lens.cover(item, kind_by_name(label))
        elif name in _VALUES and isinstance(field, str) and not isinstance(item, msgspec.Struct):
            changed[name] = _field(place, field, item, lens)
        elif name not in _NAMES or isinstance(item, msgspec.Struct | tuple | dict):
            changed[name] = _walk(item, lens, place)
    return msgspec.structs.replace(value, **changed)


def _of_party(value: msgspec.Struct, name: str) -> Sensitivity | None:
    """The kind of an attribute that tells a person or a company, in a struct that is about one."""
    if name in _NAMES:
        return None
    if name in _PARTY_NAMES and not _PARTY_MARKS.isdisjoint(value.__struct_fields__):
        return Sensitivity.NAME
    kind = kind_by_name(name)
    return kind if kind in _TOLD_BY_NAME else None


def _field(place: _Place, name: str, value: object, lens: Lens) -> object:
    system, object_name = place or ("", "")
    return lens.field(system, object_name, name, value)


def _place_of(value: msgspec.Struct) -> _Place:
    """The system and object whose record a struct is about, from what it says of itself."""
    target, object_name = getattr(value, "target", None), getattr(value, "object", None)
    if isinstance(target, str) and isinstance(object_name, str):
        return target, object_name
    for name in ("record", "ref"):
        found = _REFERENCE.match(said) if isinstance(said := getattr(value, name, None), str) else None
        if found is not None:
            return found["system"], found["object"]
    return None
