"""Zendesk's outbound half: what an agent has to know of a customer, on the organization of that customer.
Guarantees that only what a mapping names is touched, and that a value Zendesk dropped in silence is told as refused.
Source: Zendesk's Support API, version 2. Next: candidates.py for whose an organization is, errors.py for refusals.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import ClassVar

from accordant.canonical.charter import FieldType
from accordant.canonical.intents import Applied, RefusalClass, Refused, WireValue, WriteOutcome
from accordant.canonical.matching import Candidate, MatchKey
from accordant.canonical.shapes import DescribedField
from accordant.canonical.targets import CurrentRecord, IdentitySpec, ObjectSpec, Whereabouts
from accordant.connectors.sdk.plain_json import Json, Row
from accordant.connectors.sdk.values import ValueUnreadable, canonical, to_json, to_wire
from accordant.connectors.sdk.writing import write_in_turn
from accordant.connectors.zendesk import candidates, errors
from accordant.connectors.zendesk.api import PAGE, Api
from accordant.connectors.zendesk.errors import NAME_TAKEN, ZendeskRefused
from accordant.kernel.errors import InvariantBroken, RejectedError
from accordant.ports.connector import DestinationClass, RecordWrite, WriteProtocol, WriteResult

ORGANIZATION, KEY, NAME = "organization", "external_id", "name"
LIST = "organizations"
CUSTOM = "organization_fields"
#: Fields that every organization has; whatever else a mapping names is a field of the account's own.
STANDARD = (NAME, "details", "notes")
NAME_LENGTH_MAX = 255
#: One call each, some three a second, and a whole batch has twenty seconds.
BATCH_MAX = 20
#: What a field of the account's own takes, by its type at Zendesk.
_HOLDS = {
    "text": {FieldType.TEXT},
    "textarea": {FieldType.TEXT},
    "regexp": {FieldType.TEXT},
    "dropdown": {FieldType.TEXT},
    "checkbox": {FieldType.FLAG},
    "date": {FieldType.DATE},
    "integer": {FieldType.NUMBER},
    "decimal": {FieldType.CURRENCY, FieldType.NUMBER},
}


class ZendeskOutbound:
    """Implements ``ports.connector.Outbound`` for organizations."""

    batch_max = BATCH_MAX
    _protocol: ClassVar[WriteProtocol] = WriteProtocol(destination_class=DestinationClass.NATIVE_UPSERT)

    def __init__(self, api: Api) -> None:
        self._api = api
        # Keys last read that another organization holds in other letters: Zendesk would overwrite that one.
        self._twins: dict[str, str] = {}

    async def close(self) -> None:
        """Release connections."""
        await self._api.close()

    def protocol(self, object_name: str) -> WriteProtocol:  # noqa: ARG002  there is one object
        """See the port: an organization is made or changed by its external id in one call."""
        return self._protocol

    def canonical(self, spec: ObjectSpec, fields: Mapping[str, WireValue]) -> dict[str, WireValue]:
        """Desired values as ``read`` will give them back. Raises RejectedError for a wrong type."""
        return {name: canonical(spec.fields[name].type, value) for name, value in fields.items()}

    # -- reading ------------------------------------------------------------------------------------------------------

    async def read(self, spec: ObjectSpec, keys: Sequence[str]) -> dict[str, CurrentRecord]:
        """See the port. An external id is the same to Zendesk in any letters; to us it is not."""
        _check(spec)
        asked = dict.fromkeys(key for key in keys if key)
        found: dict[str, CurrentRecord] = {}
        others: dict[str, str] = {}
        async for row in self._by_key(asked):
            key = str(row.get(KEY) or "")
            if key in asked:
                found.setdefault(key, _record(spec, row))
            others[key.casefold()] = key
        for key in asked:
            twin = None if key in found else others.get(key.casefold())
            if twin is None:
                self._twins.pop(key, None)
            else:
                self._twins[key] = twin
        return found

    async def keys(self, spec: ObjectSpec) -> AsyncIterator[tuple[str, CurrentRecord]]:
        """See the port."""
        _check(spec)
        async for rows in self._api.pages(LIST, LIST):
            for row in rows:
                if row.get(KEY):
                    yield str(row[KEY]), _record(spec, row)

    async def whereabouts(self, spec: ObjectSpec, target_ids: Sequence[str]) -> dict[str, Whereabouts]:
        """See the port. Zendesk forgets a deleted organization, and one that was merged into another is deleted."""
        _check(spec)
        found: dict[str, Whereabouts] = {}
        async for row in self._by("ids", dict.fromkeys(one for one in target_ids if one.isdecimal())):
            record = _record(spec, row)
            found[record.target_id] = Whereabouts(
                target_id=record.target_id, deleted=False, merged_into=None, key=row.get(KEY) or None, record=record
            )
        return found

    async def describe(self, object_name: str) -> tuple[DescribedField, ...]:
        """See the port: the fields every organization has, and those of this account that are in use."""
        if object_name != ORGANIZATION:
            return ()
        own = [row async for rows in self._api.pages(CUSTOM, CUSTOM) for row in rows if row.get("active", True)]
        return (
            _field(KEY, "text", is_key=True),
            *(_field(name, "text", length=NAME_LENGTH_MAX if name == NAME else None) for name in STANDARD),
            *(_field(f"{CUSTOM}.{row['key']}", str(row["type"]), options=_options(row)) for row in own),
        )

    async def _by_key(self, keys: Iterable[str]) -> AsyncIterator[Row]:
        several = []
        for key in keys:
            if "," not in key:
                several.append(key)
                continue
            for row in await self._api.rows(f"{LIST}/search", LIST, {KEY: key}):  # a list of keys would be parted at it
                yield row
        async for row in self._by("external_ids", several):
            yield row

    async def _by(self, parameter: str, values: Iterable[str]) -> AsyncIterator[Row]:
        for chunk in _chunks(values):
            for row in await self._api.rows(f"{LIST}/show_many", LIST, {parameter: ",".join(chunk)}):
                yield row

    # -- whose it is --------------------------------------------------------------------------------------------------

    async def search(self, spec: IdentitySpec, keys: Collection[MatchKey]) -> tuple[Candidate, ...]:
        """See the port. An organization is found by its people's e-mail, its domains, its name and its own id."""
        if spec.object != ORGANIZATION:
            return ()
        found: dict[int, Row] = {}
        emails: dict[int, set[str]] = {}
        for question in candidates.questions(keys):
            for row in await self._api.rows(question.path, question.list, question.query):
                if question.of_people:
                    if isinstance(row.get("organization_id"), int):
                        emails.setdefault(row["organization_id"], set()).add(str(row.get("email") or ""))
                elif isinstance(row.get("id"), int) and row.get("result_type", ORGANIZATION) == ORGANIZATION:
                    found[row["id"]] = row
        missing = [str(one) for one in sorted(emails.keys() - found.keys())]
        async for row in self._by("ids", missing):
            found[row["id"]] = row
        return tuple(candidates.read(spec, found[one], emails.get(one, ())) for one in sorted(found))

    async def census(self, spec: IdentitySpec, *, after: str = "") -> AsyncIterator[tuple[Candidate, ...]]:
        """See the port. Zendesk lists organizations in the order of their ids; those before ``after`` are passed by."""
        if spec.object != ORGANIZATION:
            return
        begin = int(after) if after.isdecimal() else 0
        async for rows in self._api.pages(LIST, LIST):
            page = tuple(candidates.read(spec, row) for row in rows if row["id"] > begin)
            if page:
                yield page

    # -- writing ------------------------------------------------------------------------------------------------------

    async def write(self, spec: ObjectSpec, records: Sequence[RecordWrite]) -> tuple[WriteResult, ...]:
        """See the port. One organization after the other: a job of many tells hours later what became of each."""
        _check(spec)
        if len(records) > self.batch_max:
            raise InvariantBroken(f"{len(records)} records in one call; {self.batch_max} can be written in time.")
        return await write_in_turn(records, lambda record: self._write_one(spec, record))

    async def _write_one(self, spec: ObjectSpec, record: RecordWrite) -> WriteOutcome:
        names = tuple(sorted(record.fields))
        if (twin := self._twins.get(record.key)) is not None:
            said = f"Zendesk has the organization {twin!r}, which it takes for {record.key!r}: it was not overwritten."
            remedy = "Give one of them another external id, then redrive it."
            return Refused(cause=RefusalClass.BUSINESS_RULE, code="TWIN", message=f"{said} {remedy}", fields=(KEY,))
        try:
            wanted = self.canonical(spec, record.fields)
            try:
                row, created = await self._send(spec, record, wanted)
            except ZendeskRefused as refusal:
                if errors.classify(refusal.fault)[1] != NAME_TAKEN or not isinstance(wanted.get(NAME), str):
                    raise
                row, created = await self._send(
                    spec, record, {**wanted, NAME: _with_key(str(wanted[NAME]), record.key)}
                )
        except ZendeskRefused as refusal:
            return errors.refused(f"the organization {record.key!r}", refusal.fault, fields=names)
        except ValueUnreadable as error:
            said = f"The organization {record.key!r} was not sent: {error.message} {error.remedy}"
            return Refused(cause=RefusalClass.DATA_QUALITY, code="VALUE_UNREADABLE", message=said, fields=names)
        return _outcome(spec, record, wanted, row, created=created)

    async def _send(self, spec: ObjectSpec, record: RecordWrite, wanted: Mapping[str, WireValue]) -> tuple[Row, bool]:
        values = _values(spec, wanted)
        if record.target_id is None:
            body = {KEY: record.key, **values}
            return await self._api.send("POST", f"{LIST}/create_or_update", body, key=record.idempotency_key)
        body = {KEY: None if record.frees else record.key, **values}
        return await self._api.send("PUT", f"{LIST}/{record.target_id}", body, key=record.idempotency_key)


def _outcome(
    spec: ObjectSpec, record: RecordWrite, wanted: Mapping[str, WireValue], row: Row, *, created: bool
) -> WriteOutcome:
    """What Zendesk answered is what it keeps: an own field it does not know, and a value it does not like, it drops
    without a word.
    """
    kept = _record(spec, row).fields
    dropped = tuple(sorted(name for name, value in wanted.items() if kept.get(name) != value))
    if dropped:
        said = f"Zendesk took the organization {record.key!r} without {', '.join(dropped)}."
        remedy = (
            "Compare the fields with those of the account: a name, a type or an option is missing. Then redrive it."
        )
        return Refused(cause=RefusalClass.DATA_QUALITY, code="NOT_KEPT", message=f"{said} {remedy}", fields=dropped)
    return Applied(target_id=str(row["id"]), created=created)


def _check(spec: ObjectSpec) -> None:
    if spec.name != ORGANIZATION:
        raise RejectedError(f"Zendesk's {spec.name} is not written by this connector.", remedy=f"Map {ORGANIZATION}.")
    if spec.key_field != KEY:
        raise RejectedError(
            f"The key of an organization is {KEY}, not {spec.key_field!r}.", remedy=f"Write key_field: {KEY}."
        )
    odd = next((name for name in spec.fields if name not in STANDARD and not name.startswith(f"{CUSTOM}.")), None)
    if odd is not None:
        raise RejectedError(
            f"An organization has no field {odd!r}.",
            remedy=f"Name {', '.join(STANDARD)}, or a field of your own as {CUSTOM}.KEY.",
        )


def _chunks(values: Iterable[str]) -> Iterator[list[str]]:
    """At most so many as one question takes."""
    chunk: list[str] = []
    for value in values:
        chunk.append(value)
        if len(chunk) == PAGE:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _values(spec: ObjectSpec, wanted: Mapping[str, WireValue]) -> Row:
    values: Row = {}
    for name, value in wanted.items():
        sent = to_json(spec.fields[name].type, value)
        custom = name.removeprefix(f"{CUSTOM}.")
        if custom == name:
            values[name] = "" if sent is None else sent
        else:
            values.setdefault(CUSTOM, {})[custom] = sent
    return values


def _with_key(name: str, key: str) -> str:
    """A name that is free: Zendesk keeps no two organizations of one name."""
    mark = f" ({key})"
    return f"{name[: NAME_LENGTH_MAX - len(mark)]}{mark}"


def _record(spec: ObjectSpec, row: Row) -> CurrentRecord:
    own = row.get(CUSTOM) or {}
    fields: dict[str, WireValue] = {}
    for name, field in spec.fields.items():
        held: Json = row.get(name) if name in STANDARD else own.get(name.removeprefix(f"{CUSTOM}."))
        if name == NAME and isinstance(held, str):
            held = held.removesuffix(f" ({row.get(KEY)})")
        if field.type is FieldType.DATE and isinstance(held, str):
            held = held[:10]  # a day comes back as its midnight
        try:
            fields[name] = to_wire(field.type, held)
        except ValueUnreadable:
            fields[name] = str(held)  # of another type than mapped: told as it stands, so that it differs
    return CurrentRecord(
        target_id=str(row["id"]), fields=fields, changed_at=_instant(row.get("updated_at")), changed_by=None
    )


def _instant(text: Json) -> datetime | None:
    try:
        at = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return at if at.tzinfo is not None else None


def _options(row: Row) -> tuple[str, ...] | None:
    options = row.get("custom_field_options")
    if row.get("type") != "dropdown" or not isinstance(options, list):
        return None
    return tuple(str(one.get("value")) for one in options)


def _field(
    name: str, kind: str, *, is_key: bool = False, length: int | None = None, options: tuple[str, ...] | None = None
) -> DescribedField:
    return DescribedField(
        name=name,
        type=kind,
        writable=True,
        external_id=is_key,
        length=length,
        picklist=options,
        holds=frozenset(_HOLDS.get(kind, set())),
        required=name == NAME,
        unique=is_key,
    )
