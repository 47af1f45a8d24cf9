"""Customers as Xero's contacts: read and written by their number, which Xero keeps unique.
Guarantees that only what a mapping names is touched, and that two customers of one name are both there.
Next: outbound.py.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence

from accordant.canonical.intents import Applied, RefusalClass, Refused, WireValue, WriteOutcome
from accordant.canonical.observations import Fate
from accordant.canonical.targets import CurrentRecord, ObjectSpec, Whereabouts
from accordant.connectors.sdk.ledger_documents import canonical_texts
from accordant.connectors.sdk.plain_json import Json, Row
from accordant.connectors.xero import errors
from accordant.connectors.xero.api import Api
from accordant.connectors.xero.errors import NAME_TAKEN, XeroRefused
from accordant.connectors.xero.wire import moment, quoted
from accordant.ports.connector import RecordWrite

CONTACTS = "Contacts"
KEY = "ContactNumber"
#: What a mapping may name of a contact, and what it is called at Xero.
FIELDS = {"name": "Name", "email": "EmailAddress", "country": "Country"}
_STREET = "STREET"


class Contacts:
    """The contacts of one organisation."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def canonical(self, spec: ObjectSpec, fields: Mapping[str, WireValue]) -> dict[str, WireValue]:
        """See ``canonical_contact``."""
        return canonical_contact(spec, fields)

    async def read(self, spec: ObjectSpec, keys: Sequence[str]) -> dict[str, CurrentRecord]:
        """What is held under these numbers. One that was archived takes no document, and counts as deleted."""
        if not keys:
            return {}
        where = " OR ".join(f"{KEY}=={quoted(key)}" for key in keys)
        rows = await self._api.rows(CONTACTS, {"where": where})
        return {row[KEY]: _record(spec, row) for row in rows if fate_of(row) is Fate.STANDS}

    async def keys(self, spec: ObjectSpec) -> AsyncIterator[tuple[str, CurrentRecord]]:
        """Every contact that has a number."""
        async for rows in self._api.pages(CONTACTS, {"where": f"{KEY}!=null", "order": "Name"}):
            for row in rows:
                if row.get(KEY):
                    yield row[KEY], _record(spec, row)

    async def whereabouts(self, spec: ObjectSpec, target_ids: Sequence[str]) -> dict[str, Whereabouts]:
        """What became of contacts; one that was merged names the other, one that was archived counts as deleted."""
        found = {}
        for one in target_ids:
            for row in await self._api.rows(f"{CONTACTS}/{one}"):
                merged = row.get("MergedToContactID")
                found[one] = Whereabouts(
                    target_id=one,
                    deleted=row.get("ContactStatus") != "ACTIVE",
                    merged_into=str(merged) if merged else None,
                    key=row.get(KEY),
                    record=_record(spec, row),
                )
        return found

    async def write(self, spec: ObjectSpec, record: RecordWrite) -> WriteOutcome:
        """Make or change one contact. A name that another customer has takes the number behind it."""
        wanted = self.canonical(spec, record.fields)
        values = _values(wanted)
        try:
            try:
                row = await self._send(record, values)
            except XeroRefused as refusal:
                if errors.classify(refusal.fault)[1] != NAME_TAKEN:
                    raise
                values["Name"] = _with_number(str(wanted.get("name")), record.key)
                row = await self._send(record, values)
        except XeroRefused as refusal:
            return errors.refused(f"the contact {record.key!r}", refusal.fault, fields=tuple(sorted(record.fields)))
        if record.target_id is not None and not record.frees and row.get(KEY) != record.key:
            message = f"The contact {record.target_id} of Xero did not take the number {record.key!r}."
            return Refused(cause=RefusalClass.BUSINESS_RULE, code="NUMBER_FIXED", message=message, fields=(KEY,))
        return Applied(target_id=str(row["ContactID"]), created=record.target_id is None, number=record.key)

    async def _send(self, record: RecordWrite, values: Row) -> Row:
        key = record.idempotency_key
        if record.target_id is None:
            return await self._api.send("PUT", CONTACTS, {CONTACTS: [{KEY: record.key, **values}]}, key=key)
        changed: Json = {"ContactID": record.target_id, KEY: "" if record.frees else record.key, **values}
        return await self._api.send("POST", f"{CONTACTS}/{record.target_id}", {CONTACTS: [changed]}, key=key)


def canonical_contact(spec: ObjectSpec, fields: Mapping[str, WireValue]) -> dict[str, WireValue]:
    """Text is trimmed, a country is two capitals. Raises ValueUnreadable."""
    return canonical_texts(CONTACTS, fields, takes=FIELDS, mapped=spec.fields)


def _values(wanted: Mapping[str, WireValue]) -> Row:
    values: Row = {FIELDS[name]: value or "" for name, value in wanted.items() if name != "country"}
    if "country" in wanted:
        values["Addresses"] = [{"AddressType": _STREET, "Country": wanted["country"] or ""}]
    return values


def _with_number(name: str, key: str) -> str:
    return f"{name} ({key})"


def _record(spec: ObjectSpec, row: Row) -> CurrentRecord:
    fields = fields_of(row)
    return CurrentRecord(
        target_id=str(row["ContactID"]),
        fields={name: fields[name] for name in spec.fields if name in fields},
        changed_at=moment(row.get("UpdatedDateUTC")),
        changed_by=None,
    )


def fields_of(row: Row) -> dict[str, WireValue]:
    """What a contact says, in the fields of a mapping."""
    name = str(row.get("Name") or "")
    streets = [one for one in row.get("Addresses") or [] if one.get("AddressType") == _STREET]
    return {
        "name": name.removesuffix(f" ({row.get(KEY)})") or None,
        "email": row.get("EmailAddress") or None,
        "country": (streets[0].get("Country") if streets else None) or None,
    }


def fate_of(row: Row) -> Fate:
    """What became of a contact: one that was merged names the other, and none but an active one takes a document."""
    if row.get("MergedToContactID"):
        return Fate.MERGED
    return Fate.STANDS if row.get("ContactStatus") == "ACTIVE" else Fate.DELETED
