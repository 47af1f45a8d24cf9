"""Customers as Tryton's parties: read and written by their code, which Tryton keeps unique.
Guarantees that only what a mapping names is touched, and that an address there always is, since an invoice needs one.
Next: outbound.py.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime

from accordant.canonical.intents import Applied, RefusalClass, Refused, WireValue, WriteOutcome
from accordant.canonical.targets import CurrentRecord, ObjectSpec, Whereabouts
from accordant.connectors.sdk.ledger_documents import Unusable, canonical_texts
from accordant.connectors.tryton import errors
from accordant.connectors.tryton.lookups import Lookups
from accordant.connectors.tryton.rpc import PAGE, Rpc, TrytonRefused
from accordant.connectors.tryton.wire import Json
from accordant.ports.connector import RecordWrite

PARTY = "party.party"
KEY = "code"
#: What a mapping may name of a party.
FIELDS = ("name", "email", "country")
_READ = (
    "code",
    "name",
    "addresses.country.code",
    "contact_mechanisms.type",
    "contact_mechanisms.value",
    "write_date",
    "create_date",
    "write_uid.login",
    "create_uid.login",
    "active",
    "replaced_by",
)
#: Deleted ones are found too where this is said.
_ALL = {"active_test": False}


class Parties:
    """The parties of one connection."""

    def __init__(self, rpc: Rpc, lookups: Lookups) -> None:
        self._rpc = rpc
        self._lookups = lookups

    def canonical(self, spec: ObjectSpec, fields: Mapping[str, WireValue]) -> dict[str, WireValue]:
        """Text is trimmed, a country is two capitals. Raises ValueUnreadable."""
        return canonical_texts(PARTY, fields, takes=FIELDS, mapped=spec.fields)

    async def read(self, spec: ObjectSpec, keys: Sequence[str]) -> dict[str, CurrentRecord]:
        """What is held under these codes, archived parties too."""
        rows = await self._rows([[KEY, "in", list(keys)]], limit=None)
        return {row[KEY]: _record(spec, row) for row in rows}

    async def keys(self, spec: ObjectSpec) -> AsyncIterator[tuple[str, CurrentRecord]]:
        """Every party."""
        last = 0
        while rows := await self._rows([["id", ">", last]], limit=PAGE):
            for row in rows:
                yield row[KEY], _record(spec, row)
            last = rows[-1]["id"]

    async def whereabouts(self, spec: ObjectSpec, target_ids: Sequence[str]) -> dict[str, Whereabouts]:
        """What became of parties; one that was merged names the other."""
        ids = [int(one) for one in target_ids if one.isdecimal()]
        rows = await self._rows([["id", "in", ids]], limit=None)
        return {
            str(row["id"]): Whereabouts(
                target_id=str(row["id"]),
                deleted=not row["active"],
                merged_into=None if row.get("replaced_by") is None else str(row["replaced_by"]),
                key=row[KEY],
                record=_record(spec, row),
            )
            for row in rows
        }

    async def write(self, spec: ObjectSpec, record: RecordWrite) -> WriteOutcome:
        """Make or change one party. Raises as ``Rpc.call``."""
        place = f"the party {record.key!r}"
        try:
            if record.target_id is None:
                return await self._create(spec, record)
            return await self._change(int(record.target_id), record)
        except Unusable as error:
            return error.refusal
        except TrytonRefused as refusal:
            return errors.refused(place, refusal.fault, fields=tuple(sorted(record.fields)))

    async def _create(self, spec: ObjectSpec, record: RecordWrite) -> WriteOutcome:
        wanted = self.canonical(spec, record.fields)
        address: dict[str, Json] = {}
        if (country := wanted.get("country")) is not None:
            address["country"] = await self._country(str(country))
        values: dict[str, Json] = {KEY: record.key, "addresses": [["create", [address]]]}
        if wanted.get("name") is not None:
            values["name"] = wanted["name"]
        if (email := wanted.get("email")) is not None:
            values["contact_mechanisms"] = [["create", [{"type": "email", "value": email}]]]
        context = await self._lookups.context()
        made = await self._rpc.call(PARTY, "create", [values], context=context, correlation_id=record.idempotency_key)
        return Applied(target_id=str(made[0]), created=True, number=record.key)

    async def _change(self, party: int, record: RecordWrite) -> WriteOutcome:
        context = await self._lookups.context()
        fields = [KEY, "addresses", "contact_mechanisms.type", "contact_mechanisms.value"]
        held = await self._rpc.call(PARTY, "read", [party], fields, context=context)
        if not held:
            message = f"Tryton no longer has the party {record.key!r}; it is looked for again."
            return Refused(cause=RefusalClass.TRANSIENT, code="GONE", message=message)
        if held[0][KEY] != record.key:
            # Tryton fixes the code of a party when it is made.
            message = f"The party {held[0][KEY]!r} of Tryton cannot take the code {record.key!r}: make another there."
            return Refused(cause=RefusalClass.BUSINESS_RULE, code="CODE_FIXED", message=message, fields=(KEY,))
        values: dict[str, Json] = {}
        for name, value in record.fields.items():
            values |= await self._changed(name, value, held[0])
        await self._rpc.call(PARTY, "write", [party], values, context=context, correlation_id=record.idempotency_key)
        return Applied(target_id=str(party), created=False, number=record.key)

    async def _changed(self, name: str, value: WireValue, held: Mapping[str, Json]) -> dict[str, Json]:
        """The values that make one field what it is to be. Only the first address and the first e-mail are ours."""
        if name == "country":
            country = None if value is None else await self._country(str(value))
            addresses = held["addresses"]
            step = ["write", [addresses[0]], {"country": country}] if addresses else ["create", [{"country": country}]]
            return {"addresses": [step]}
        if name == "email":
            mails = [one["id"] for one in held["contact_mechanisms."] if one["type"] == "email"]
            if value is None:
                return {"contact_mechanisms": [["delete", mails[:1]]]} if mails else {}
            made: Json = {"type": "email", "value": value}
            return {"contact_mechanisms": [["write", mails[:1], {"value": value}] if mails else ["create", [made]]]}
        return {name: value}

    async def _country(self, code: str) -> int:
        return await self._lookups.country(code)

    async def _rows(self, domain: list[Json], *, limit: int | None) -> list[dict[str, Json]]:
        context = {**await self._lookups.context(), **_ALL}
        return await self._rpc.find(PARTY, domain, _READ, context=context, limit=limit)


def _record(spec: ObjectSpec, row: Mapping[str, Json]) -> CurrentRecord:
    mails = [one["value"] for one in row["contact_mechanisms."] if one["type"] == "email"]
    addresses = row["addresses."]
    country = addresses[0].get("country.") if addresses else None
    fields: dict[str, WireValue] = {
        "name": row["name"] or None,
        "email": mails[0] if mails else None,
        "country": country["code"] if country else None,
    }
    user = row.get("write_uid.") or row.get("create_uid.")
    changed_at: datetime | None = row.get("write_date") or row.get("create_date")
    return CurrentRecord(
        target_id=str(row["id"]),
        fields={name: fields[name] for name in spec.fields if name in fields},
        changed_at=changed_at,
        changed_by=user["login"] if user else None,
    )
