"""Questions to Salesforce in SOQL, and its rows as records of the mapped fields.
Guarantees that no key or name can change the question, and that a question fits into an address.
Next: outbound.py, which asks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from urllib.parse import quote_plus

from accordant.canonical.charter import FieldType
from accordant.canonical.intents import WireValue
from accordant.canonical.targets import CurrentRecord, FieldSpec, ObjectSpec, Whereabouts
from accordant.connectors.salesforce.wire import Json
from accordant.connectors.sdk.values import ValueUnreadable, to_wire
from accordant.kernel.errors import RejectedError

KEYS_MAX = 200
MERGED_INTO = "MasterRecordId"
# Of the whole record; every object has them. Salesforce keeps no such stamp of one field.
CHANGED_AT = ("LastModifiedDate",)
CHANGED_BY = ("LastModifiedBy", "Name")
QUESTION_BYTES_MAX = 7_500  # Salesforce takes 16 KiB of address and headers, many a proxy on the way only 8
# Only these can be merged; elsewhere the field that names the survivor does not exist, and asking for it is refused.
_MERGEABLE = frozenset({"account", "case", "contact", "lead"})
#: The lookups of activities lead to records of several objects; of each other lookup the org knows the object.
_SEVERAL = frozenset({"whatid", "whoid"})
_ACTIVITIES = frozenset({"task", "event"})
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,79}")
_ESCAPED = {
    "\\": "\\\\",
    "'": "\\'",
    '"': '\\"',
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\b": "\\b",
    "\f": "\\f",
}
_ESCAPES = str.maketrans(_ESCAPED)


class NameInvalid(RejectedError):
    """The charter names an object or a field that Salesforce cannot have."""

    remedy = "Correct the name in the mapping; an API name holds letters, digits and underscores only."


def checked_name(name: str) -> str:
    """``name`` if it can be an API name. Raises NameInvalid: nothing else may stand in an address or a question."""
    if not _NAME.fullmatch(name):
        raise NameInvalid(f"{name[:80]!r} is not the API name of a Salesforce object or field.")
    return name


def checked_path(path: str) -> str:
    """``path`` if it can lead to a field, over one parent or more: ``Product2.Price__c``. Raises NameInvalid."""
    for step in path.split("."):
        checked_name(step)
    return path


def quoted(text: str) -> str:
    """``text`` as a SOQL string."""
    return f"'{text.translate(_ESCAPES)}'"


def relationship(field: str) -> str:
    """How a lookup leads on: ``Account__c`` over ``Account__r``, ``AccountId`` over ``Account``. Raises NameInvalid."""
    checked_name(field)
    if field.endswith("__c"):
        return f"{field[:-3]}__r"
    if field.endswith("Id") and len(field) > 2:
        return field[:-2]
    raise NameInvalid(f"The lookup field {field!r} ends neither in __c nor in Id, so it leads nowhere.")


def lookup_key(field: str, spec: FieldSpec) -> str:
    """The external-id field a lookup finds its record by. Raises NameInvalid when the mapping names none."""
    if not spec.lookup_key:
        raise NameInvalid(
            f"The lookup field {field!r} has no lookup_key.",
            remedy="Name in the mapping the external-id field of the object it looks up.",
        )
    return checked_name(spec.lookup_key)


def is_activity(object_name: str) -> bool:
    """Whether records of this object are put away after a year: only ``queryAll`` finds those."""
    return object_name.lower() in _ACTIVITIES


def leads_to(spec: ObjectSpec, name: str) -> str | None:
    """The object a lookup has to name because the field could lead to others; None for any other field."""
    field = spec.fields[name]
    if field.type is not FieldType.LOOKUP or not is_activity(spec.name) or name.lower() not in _SEVERAL:
        return None
    if not field.lookup_object:
        raise NameInvalid(
            f"The lookup field {name!r} has no lookup_object, and it may lead to several.",
            remedy="Name in the mapping the object it leads to.",
        )
    return checked_name(field.lookup_object)


def columns(spec: ObjectSpec) -> dict[str, tuple[str, ...]]:
    """The path each mapped field is read by; a lookup is read as the external id of the record it leads to."""
    paths: dict[str, tuple[str, ...]] = {}
    for name, field in spec.fields.items():
        if field.type is FieldType.LOOKUP:
            paths[name] = (relationship(name), lookup_key(name, field))
        else:
            paths[name] = (checked_name(name),)
    return paths


def select(spec: ObjectSpec, *, more: Sequence[str] = (), where: str = "") -> str:
    """The question up to its condition, which begins with the field ``where``, or else with the key."""
    key = checked_name(spec.key_field)
    own = [_selected(path, leads_to(spec, name)) for name, path in columns(spec).items()]
    names = dict.fromkeys(["Id", key, *own, ".".join(CHANGED_AT), ".".join(CHANGED_BY), *more])
    # Every name went through checked_name, every value goes through quoted.
    return f"SELECT {', '.join(names)} FROM {checked_name(spec.name)} WHERE {where or key}"  # noqa: S608


def _selected(path: tuple[str, ...], leads_to: str | None) -> str:
    # https://developer.salesforce.com/docs/atlas.en-us.soql_sosl.meta/soql_sosl/sforce_api_calls_soql_select_typeof.htm
    return ".".join(path) if leads_to is None else f"TYPEOF {path[0]} WHEN {leads_to} THEN {path[1]} END"


def _more(spec: ObjectSpec) -> tuple[str, ...]:
    """What ``queryAll`` has to say of rows beside their fields: it finds deleted ones too."""
    return ("IsDeleted",) if is_activity(spec.name) else ()


def by_keys(spec: ObjectSpec, keys: Iterable[str]) -> Iterator[str]:
    """Questions for the records of ``keys``, each for at most KEYS_MAX of them and short enough for an address."""
    return any_of(select(spec, more=_more(spec)), keys)


def by_ids(spec: ObjectSpec, ids: Iterable[str]) -> Iterator[str]:
    """Questions for what became of records, to be put to ``queryAll``: it looks into the recycle bin too."""
    more = ["IsDeleted", *((MERGED_INTO,) if spec.name.lower() in _MERGEABLE else ())]
    return any_of(select(spec, more=more, where="Id"), ids)


def any_of(question: str, values: Iterable[str]) -> Iterator[str]:
    """``question``, which ends with a field, asked for any of ``values``: as often as their number and length need."""
    head = f"{question} IN ("
    base = len(quote_plus(head)) + len(quote_plus(") ORDER BY Id"))
    chunk: list[str] = []
    size = base
    for value in values:
        text = quoted(value)
        cost = len(quote_plus(text)) + 3  # its comma, encoded
        if chunk and (len(chunk) == KEYS_MAX or size + cost > QUESTION_BYTES_MAX):
            yield f"{head}{','.join(chunk)}) ORDER BY Id"
            chunk, size = [], base
        chunk.append(text)
        size += cost
    if chunk:
        yield f"{head}{','.join(chunk)}) ORDER BY Id"


def every_key(spec: ObjectSpec) -> str:
    """The question for all records that have a key."""
    return f"{select(spec, more=_more(spec))} != null ORDER BY Id"


def is_deleted(row: Json) -> bool:
    """Whether a row lies in the recycle bin, where it was asked."""
    return _value(row, ("IsDeleted",)) is True


def read_row(spec: ObjectSpec, paths: dict[str, tuple[str, ...]], row: Json) -> tuple[str, CurrentRecord]:
    """Key and record of one row. A plain value of another type than mapped is told as it stands, so that it differs.

    Raises RejectedError where a field holds no plain value at all.
    """
    key = _value(row, (spec.key_field,))
    target_id = _value(row, ("Id",))
    if not isinstance(target_id, str):
        raise RejectedError(f"Salesforce answered with a {spec.name} that has no Id.")
    fields: dict[str, WireValue] = {}
    for name, path in paths.items():
        held = _value(row, path)
        try:
            fields[name] = to_wire(spec.fields[name].type, held)
        except ValueUnreadable as error:
            if isinstance(held, dict | list):
                said = f"{spec.name}.{name} is mapped as {spec.fields[name].type}, but {error.message}"
                raise RejectedError(said, remedy=error.remedy) from error
            fields[name] = held if isinstance(held, str | int) else str(held)
    changed_by = _value(row, CHANGED_BY)
    record = CurrentRecord(
        target_id=target_id,
        fields=fields,
        changed_at=_instant(_value(row, CHANGED_AT)),
        changed_by=changed_by if isinstance(changed_by, str) and changed_by else None,
    )
    return str(key or ""), record


def _instant(text: Json) -> datetime | None:
    """A stamp of Salesforce's own; one that cannot be read is no reason to refuse the record."""
    if not isinstance(text, str):
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo is not None else None


def read_whereabouts(spec: ObjectSpec, paths: dict[str, tuple[str, ...]], row: Json) -> Whereabouts:
    """What became of the record of one row. Raises as ``read_row``."""
    key, record = read_row(spec, paths, row)
    merged_into = _value(row, (MERGED_INTO,))
    return Whereabouts(
        target_id=record.target_id,
        deleted=is_deleted(row),
        merged_into=merged_into if isinstance(merged_into, str) and merged_into else None,
        key=key or None,
        record=record,
    )


def _value(row: Json, path: Sequence[str]) -> Json:
    node = row
    for step in path:
        if not isinstance(node, dict):
            return None
        # Salesforce takes a name in any case and answers with its own spelling.
        node = node[step] if step in node else {name.lower(): item for name, item in node.items()}.get(step.lower())
    return node
