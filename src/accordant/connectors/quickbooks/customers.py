"""Customers of QuickBooks Online: their key stands behind the display name, since there is no other field to ask for.
Guarantees that only what a mapping names is touched, that nothing overwrites a change it has not seen (SyncToken), and
that two customers of one name are both there. Next: outbound.py.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence

from accordant.canonical.intents import Applied, RefusalClass, Refused, WireValue, WriteOutcome
from accordant.canonical.matching import Member
from accordant.canonical.observations import Fate
from accordant.canonical.targets import CurrentRecord, ObjectSpec, Whereabouts
from accordant.connectors.quickbooks import errors
from accordant.connectors.quickbooks.api import Api
from accordant.connectors.quickbooks.errors import QuickBooksRefused
from accordant.connectors.quickbooks.wire import changed_at, quoted
from accordant.connectors.sdk.ledger_documents import canonical_texts
from accordant.connectors.sdk.plain_json import Json, Row
from accordant.ports.connector import RecordWrite

CUSTOMER = "Customer"
KEY = "DisplayName"
#: What a mapping may name of a customer.
FIELDS = ("name", "email", "country")
NAME_CHARS_MAX = 400
#: QuickBooks takes a customer and four levels of customers below it.
LEVELS_MAX = 5
_KEYED = re.compile(r"(.*?) ?\(([^()]+)\)(?: \(deleted\))?", re.DOTALL)
#: What QuickBooks refuses in a name.
_FORBIDDEN = re.compile(r"[:\t\n\r]+")
_EVERYBODY = "Active in (true, false)"


class Customers:
    """The customers of one company."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def canonical(self, spec: ObjectSpec, fields: Mapping[str, WireValue]) -> dict[str, WireValue]:
        """See ``canonical_customer``."""
        return canonical_customer(spec, fields)

    async def read(self, spec: ObjectSpec, keys: Sequence[str]) -> dict[str, CurrentRecord]:
        """What is held under these keys. One that was made inactive takes no document, and counts as deleted."""
        found = {}
        for key in keys:
            row = await self.row(key)
            if row is not None:
                found[key] = _record(spec, row)
        return found

    async def row(self, key: str) -> Row | None:
        """A customer by key. A name that ends alike is told apart here, since a query compares without case."""
        rows = await self._api.rows(CUSTOMER, f"{KEY} like {quoted(f'%({key})')}")
        return next((row for row in rows if key_of(row) == key), None)

    async def keys(self, spec: ObjectSpec) -> AsyncIterator[tuple[str, CurrentRecord]]:
        """Every active customer with a key."""
        async for rows in self._api.pages(CUSTOMER):
            for row in rows:
                if (key := key_of(row)) is not None:
                    yield key, _record(spec, row)

    async def members(self) -> AsyncIterator[tuple[Member, ...]]:
        """Every customer with the one above it; one that was made inactive counts as deleted."""
        async for rows in self._api.pages(CUSTOMER, _EVERYBODY):
            yield tuple(
                Member(
                    id=str(row["Id"]),
                    parent_id=(row.get("ParentRef") or {}).get("value") or None,
                    deleted=fate_of(row) is not Fate.STANDS,
                )
                for row in rows
            )

    async def whereabouts(self, spec: ObjectSpec, target_ids: Sequence[str]) -> dict[str, Whereabouts]:
        """What became of customers; one that was made inactive counts as deleted."""
        found = {}
        for one in target_ids:
            row = await self._api.one(CUSTOMER, one) if one.isdecimal() else None
            if row is not None:
                found[one] = Whereabouts(
                    target_id=one,
                    deleted=fate_of(row) is not Fate.STANDS,
                    merged_into=None,  # it does not say into which
                    key=key_of(row),
                    record=_record(spec, row),
                )
        return found

    async def write(self, spec: ObjectSpec, record: RecordWrite) -> WriteOutcome:
        """Make or change one customer. Raises as the calls do."""
        place = f"the customer {record.key!r}"
        wanted = self.canonical(spec, record.fields)
        try:
            if record.target_id is None:
                wanted.setdefault("name", None)  # without a display name there is no customer, and no key
                made = await self._api.send(CUSTOMER, _values(wanted, record.key), key=record.idempotency_key)
                return Applied(target_id=str(made["Id"]), created=True, number=record.key)
            held = await self._api.one(CUSTOMER, record.target_id)
            if held is None:
                message = f"QuickBooks no longer has {place}; it is looked for again."
                return Refused(cause=RefusalClass.TRANSIENT, code=errors.GONE, message=message)
            if key_of(held) != record.key:
                wanted.setdefault("name", held[KEY])  # a record that was matched takes our key
            change: Json = {"Id": held["Id"], "SyncToken": held["SyncToken"], "sparse": True}
            await self._api.send(CUSTOMER, change | _values(wanted, record.key), key=record.idempotency_key)
            return Applied(target_id=record.target_id, created=False, number=record.key)
        except QuickBooksRefused as refusal:
            return errors.refused(place, refusal.fault, fields=tuple(sorted(record.fields)))


def key_of(row: Row) -> str | None:
    """The key behind a display name; None where there is none."""
    found = _KEYED.fullmatch(str(row.get(KEY) or ""))
    return None if found is None else found[2]


def canonical_customer(spec: ObjectSpec, fields: Mapping[str, WireValue]) -> dict[str, WireValue]:
    """Text is trimmed, a name without colons, a country two capitals. Raises ValueUnreadable."""
    found = canonical_texts(CUSTOMER, fields, takes=FIELDS, mapped=spec.fields)
    if isinstance(name := found.get("name"), str):
        plain = " ".join(_FORBIDDEN.sub(" ", name).split())
        found["name"] = plain[:NAME_CHARS_MAX].strip() or None
    return found


def _values(wanted: Mapping[str, WireValue], key: str) -> Row:
    values: Row = {}
    if "name" in wanted:
        values[KEY] = f"{wanted['name'] or ''} ({key})".strip()
        values["CompanyName"] = wanted["name"] or ""
    if "email" in wanted:
        values["PrimaryEmailAddr"] = {"Address": wanted["email"] or ""}
    if "country" in wanted:
        values["BillAddr"] = {"Country": wanted["country"] or ""}
    return values


def fields_of(row: Row) -> dict[str, WireValue]:
    """What a customer says, in the fields of a mapping."""
    found = _KEYED.fullmatch(str(row.get(KEY) or ""))
    return {
        "name": (found[1] if found else row.get(KEY)) or None,
        "email": (row.get("PrimaryEmailAddr") or {}).get("Address") or None,
        "country": (row.get("BillAddr") or {}).get("Country") or None,
    }


def fate_of(row: Row) -> Fate:
    """What became of a customer: QuickBooks deletes none, it makes it inactive, also where it was merged."""
    return Fate.STANDS if row.get("Active", True) else Fate.DELETED


def _record(spec: ObjectSpec, row: Row) -> CurrentRecord:
    fields = fields_of(row)
    return CurrentRecord(
        target_id=str(row["Id"]),
        fields={name: fields[name] for name in spec.fields if name in fields},
        changed_at=changed_at(row),
        changed_by=None,
    )
