"""Customers as Tryton's parties: read and written by our key, which one that we made has as its code too.
Guarantees that only what a mapping names is touched, that a party which was there before keeps its number, and that an
address there always is, since an invoice needs one. Next: marks.py for the key, outbound.py.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime

from accordant.canonical.intents import Applied, RefusalClass, Refused, WireValue, WriteOutcome
from accordant.canonical.targets import CurrentRecord, ObjectSpec, Whereabouts
from accordant.connectors.sdk.ledger_documents import Unusable, canonical_texts, for_a_person
from accordant.connectors.tryton import errors, marks
from accordant.connectors.tryton.lookups import Lookups
from accordant.connectors.tryton.marks import ARCHIVED_TOO
from accordant.connectors.tryton.rpc import PAGE, Rpc, TrytonRefused
from accordant.connectors.tryton.wire import Json
from accordant.ports.connector import ALREADY_THERE, RecordWrite

PARTY = "party.party"
KEY = "code"
#: What a mapping may name of a party.
FIELDS = ("name", "email", "country")
_READ = (
    *marks.KEY_FIELDS,
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
#: How many codes of one customer are tried: each was taken by a party that is archived, or is another's by now.
_CODES_MAX = 20


class Parties:
    """The parties of one connection."""

    def __init__(self, rpc: Rpc, lookups: Lookups) -> None:
        self._rpc = rpc
        self._lookups = lookups

    def canonical(self, spec: ObjectSpec, fields: Mapping[str, WireValue]) -> dict[str, WireValue]:
        """Text is trimmed, a country is two capitals. Raises ValueUnreadable."""
        return canonical_texts(PARTY, fields, takes=FIELDS, mapped=spec.fields)

    async def read(self, spec: ObjectSpec, keys: Sequence[str]) -> dict[str, CurrentRecord]:
        """What is held under these keys. An archived party is in use no longer, so ``whereabouts`` tells of it."""
        if not keys:
            return {}
        found = marks.by_key(await self._rows([marks.carrying(keys)], limit=None), keys)
        return {key: _record(spec, row) for key, row in found.items()}

    async def keys(self, spec: ObjectSpec) -> AsyncIterator[tuple[str, CurrentRecord]]:
        """Every party that was given a key, in use."""
        last = 0
        domain = ["identifiers.code", "like", f"{marks.MARK}%"]
        while rows := await self._rows([domain, ["id", ">", last]], limit=PAGE):
            for row in rows:
                if (key := marks.key_of(row)) is not None:
                    yield key, _record(spec, row)
            last = rows[-1]["id"]

    async def whereabouts(self, spec: ObjectSpec, target_ids: Sequence[str]) -> dict[str, Whereabouts]:
        """What became of parties; one that was merged names the other, one that was archived counts as deleted."""
        ids = [int(one) for one in target_ids if one.isdecimal()]
        rows = await self._rows([["id", "in", ids], ARCHIVED_TOO], limit=None)
        return {
            str(row["id"]): Whereabouts(
                target_id=str(row["id"]),
                deleted=not row["active"],
                merged_into=None if row.get("replaced_by") is None else str(row["replaced_by"]),
                key=marks.key_of(row),
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
        values = await self._new(self.canonical(spec, record.fields), record.key)
        context = await self._lookups.context()
        code: str | None = record.key
        for _ in range(_CODES_MAX):
            sent = [{KEY: code, **values}]
            try:
                made = await self._rpc.call(
                    PARTY, "create", sent, context=context, correlation_id=record.idempotency_key
                )
            except TrytonRefused as refusal:
                if errors.classify(refusal.fault)[1] != ALREADY_THERE:
                    raise
                if (code := await self._next_code(record.key)) is None:
                    raise
            else:
                return Applied(target_id=str(made[0]), created=True, number=str(code))
        raise Unusable(for_a_person("CODES_TAKEN", f"{_CODES_MAX} parties of Tryton were {record.key!r} already.", KEY))

    async def _new(self, wanted: Mapping[str, WireValue], key: str) -> dict[str, Json]:
        address: dict[str, Json] = {}
        if (country := wanted.get("country")) is not None:
            address["country"] = await self._country(str(country))
        values: dict[str, Json] = {
            "identifiers": [["create", [{"code": marks.mark_of(key)}]]],
            "addresses": [["create", [address]]],
        }
        if wanted.get("name") is not None:
            values["name"] = wanted["name"]
        if (email := wanted.get("email")) is not None:
            values["contact_mechanisms"] = [["create", [{"type": "email", "value": email}]]]
        return values

    async def _next_code(self, key: str) -> str | None:
        """A code for a party whose key is the code of another that is archived, or was given to somebody else.

        None where a party in use carries the key: then it is there already.
        """
        codes = [key, *(f"{key}-{count}" for count in range(2, _CODES_MAX + 2))]
        rows = await self._rows([[KEY, "in", codes], ARCHIVED_TOO], limit=None)
        if any(row["active"] and marks.carries(row, key) for row in rows):
            return None
        taken = {row[KEY] for row in rows}
        return next((code for code in codes if code not in taken), None)

    async def _change(self, party: int, record: RecordWrite) -> WriteOutcome:
        context = await self._lookups.context()
        fields = [*marks.KEY_FIELDS, "addresses", "contact_mechanisms.type", "contact_mechanisms.value"]
        held = await self._rpc.call(PARTY, "read", [party], fields, context=context)
        if not held:
            message = f"Tryton no longer has the party {record.key!r}; it is looked for again."
            return Refused(cause=RefusalClass.TRANSIENT, code="GONE", message=message)
        values: dict[str, Json] = {}
        if (step := _marking(held[0], record)) is not None:
            values["identifiers"] = [step]
        for name, value in record.fields.items():
            values |= await self._changed(name, value, held[0])
        if not held[0]["addresses"]:
            values.setdefault("addresses", [["create", [{}]]])
        await self._rpc.call(PARTY, "write", [party], values, context=context, correlation_id=record.idempotency_key)
        return Applied(target_id=str(party), created=False, number=held[0][KEY])

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
        return await self._rpc.find(PARTY, domain, _READ, context=await self._lookups.context(), limit=limit)


def _marking(held: Mapping[str, Json], record: RecordWrite) -> list[Json] | None:
    """What has to be done to the identifiers of a party so that it carries our key, or carries it no longer.

    Raises Unusable where it carries that of another customer.
    """
    own, other = marks.marks_in(held), marks.key_of(held)
    wanted = marks.MARK if record.frees else marks.mark_of(record.key)
    if other is not None and other != record.key:
        message = (
            f"The party {held[KEY]!r} of Tryton carries the key of another customer, {other!r}: archive its identifier "
            f"{marks.mark_of(other)!r} there if the two are one."
        )
        raise Unusable(for_a_person("KEY_OF_ANOTHER", message, KEY))
    if own:
        return None if own[0]["code"] == wanted else ["write", [own[0]["id"]], {"code": wanted}]
    return ["create", [{"code": wanted}]]


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
