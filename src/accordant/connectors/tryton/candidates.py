"""Whose a party is: the questions that find one, and its row as a candidate.
Guarantees that no value can change a question, and that only parties in use are told of.
Next: outbound.py, which asks.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterator, Mapping

from accordant.canonical.charter import RecordAttribute
from accordant.canonical.matching import Candidate, KeyKind, MatchKey
from accordant.canonical.targets import IdentitySpec
from accordant.connectors.tryton import marks
from accordant.connectors.tryton.lookups import Lookups
from accordant.connectors.tryton.parties import PARTY
from accordant.connectors.tryton.relations import Relations
from accordant.connectors.tryton.rpc import PAGE, Rpc
from accordant.connectors.tryton.wire import Json
from accordant.kernel.errors import RejectedError

#: Rows one question may bring: what more parties share tells nothing apart.
ROWS_MAX = 200
_WORD_LENGTH_MIN = 3  # shorter words begin too many names
_ID_MAX = 2**31 - 1
_READ = (
    *marks.KEY_FIELDS,
    "name",
    "identifiers.type",
    "identifiers.code_compact",
    "tax_identifier.type",
    "tax_identifier.code_compact",
    "contact_mechanisms.type",
    "contact_mechanisms.value",
    "addresses.postal_code",
    "addresses.country.code",
)
#: A type that names no country of its own: https://ec.europa.eu/taxation_customs/vies
_EUROPEAN = "eu_"
_VAT = "_vat"
_PHONES = frozenset({"phone", "mobile"})
_WILD = str.maketrans({"\\": "\\\\", "%": "\\%", "_": "\\_"})


class PartySearch:
    """Implements ``ledger_outbound.Searched`` for parties; of those above them ``relations`` tells.

    A field that the charter names for an attribute is a text of the party itself, beside what Tryton has for it.
    """

    def __init__(self, rpc: Rpc, lookups: Lookups, relations: Relations) -> None:
        self._rpc = rpc
        self._lookups = lookups
        self._relations = relations

    async def search(self, spec: IdentitySpec, keys: Collection[MatchKey]) -> tuple[Candidate, ...]:
        """See the protocol. One question for each kind of key, so that many of one name hide nobody."""
        await self._check(spec)
        found: dict[int, dict[str, Json]] = {}
        for kind in KeyKind:
            alike = [clause for key in sorted(keys) if key.kind is kind for clause in _clauses(spec, key)]
            if alike:
                found |= {row["id"]: row for row in await self._rows(spec, [["OR", *alike]], ROWS_MAX)}
        return await self._told(spec, [found[one] for one in sorted(found)])

    async def census(self, spec: IdentitySpec, *, after: str) -> AsyncIterator[tuple[Candidate, ...]]:
        """See the protocol."""
        await self._check(spec)
        last = int(after) if after.isdecimal() else 0
        while rows := await self._rows(spec, [["id", ">", last]], PAGE):
            yield await self._told(spec, rows)
            last = rows[-1]["id"]

    async def _check(self, spec: IdentitySpec) -> None:
        """The charter's own fields are there. Raises RejectedError, which Tryton itself would say as a failure."""
        if not spec.fields:
            return
        known = await self._rpc.call(PARTY, "fields_get", sorted(spec.fields.values()), context={"language": "en"})
        if missing := sorted(set(spec.fields.values()) - known.keys()):
            raise RejectedError(
                f"Tryton's {PARTY} has no field {missing[0]!r}.",
                remedy="Correct identity.fields of this system in the charter.",
            )

    async def _rows(self, spec: IdentitySpec, domain: list[Json], limit: int) -> list[dict[str, Json]]:
        fields = [*_READ, *spec.fields.values()]
        return await self._rpc.find(PARTY, domain, fields, context=await self._lookups.context(), limit=limit)

    async def _told(self, spec: IdentitySpec, rows: list[dict[str, Json]]) -> tuple[Candidate, ...]:
        above = await self._relations.above([row["id"] for row in rows])
        return tuple(read_candidate(spec, row, above.get(row["id"])) for row in rows)


def _clauses(spec: IdentitySpec, key: MatchKey) -> Iterator[list[Json]]:
    """How a party with this key may be found. A phone or a place is spelled in too many ways to be asked for."""
    value = _escaped(key.value)
    match key.kind:
        case KeyKind.EMAIL:
            yield _mechanism("email", value)
            yield from _own(spec, RecordAttribute.EMAIL, value)
        case KeyKind.DOMAIN:
            for pattern in (f"%@{value}", f"%.{value}"):
                yield _mechanism("email", pattern)
                yield from _own(spec, RecordAttribute.EMAIL, pattern)
            yield _mechanism("website", f"%{value}%")
            yield from _own(spec, RecordAttribute.WEBSITE, f"%{value}%")
        case KeyKind.TAX_ID:
            number = _escaped(key.value.rpartition(":")[2])
            yield ["identifiers", "where", [["type", "!=", None], ["code_compact", "ilike", f"%{number}%"]]]
            yield from _own(spec, RecordAttribute.TAX_ID, f"%{number}%")
        case KeyKind.NAME:
            for word in key.value.split():
                if len(word) >= _WORD_LENGTH_MIN:
                    yield ["name", "ilike", f"{_escaped(word)}%"]
                    yield from _own(spec, RecordAttribute.NAME, f"{_escaped(word)}%")
        case KeyKind.CROSS_REFERENCE:
            yield marks.carrying([key.value])
            if key.value.isdecimal() and int(key.value) <= _ID_MAX:
                yield ["id", "=", int(key.value)]
        case _:
            return


def _mechanism(kind: str, pattern: str) -> list[Json]:
    return ["contact_mechanisms", "where", [["type", "=", kind], ["value", "ilike", pattern]]]


def _own(spec: IdentitySpec, attribute: RecordAttribute, pattern: str) -> Iterator[list[Json]]:
    if (name := spec.fields.get(attribute)) is not None:
        yield [name, "ilike", pattern]


def _escaped(text: str) -> str:
    """A text as it stands in a pattern, whatever signs it holds."""
    return text.translate(_WILD)


def read_candidate(spec: IdentitySpec, row: Mapping[str, Json], parent: int | None) -> Candidate:
    """One party as a candidate; its number is one under which billing may know it."""
    key = marks.key_of(row)
    mechanisms = row["contact_mechanisms."]
    address = next(iter(row["addresses."]), None) or {}
    taxed = dict.fromkeys(_tax_numbers(row))
    place = (address.get("country.") or {}).get("code") or next((country for country, _ in taxed if country), None)

    def own(attribute: RecordAttribute) -> tuple[str, ...]:
        value = row.get(spec.fields.get(attribute, ""))
        return (value.strip(),) if isinstance(value, str) and value.strip() else ()

    def texts(attribute: RecordAttribute, kinds: Collection[str]) -> tuple[str, ...]:
        held = (str(one["value"]) for one in mechanisms if one["type"] in kinds)
        return tuple(dict.fromkeys((*held, *own(attribute))))

    return Candidate(
        system=spec.system,
        object=spec.object,
        id=str(row["id"]),
        name=next(iter(own(RecordAttribute.NAME)), None) or row["name"] or None,
        emails=texts(RecordAttribute.EMAIL, {"email"}),
        domains=texts(RecordAttribute.WEBSITE, {"website"}),
        tax_ids=tuple(dict.fromkeys((*(number for _, number in taxed), *own(RecordAttribute.TAX_ID)))),
        cross_references=() if key is None else (key,),
        numbers=(str(row["code"]),),
        phones=texts(RecordAttribute.PHONE, _PHONES),
        postcode=next(iter(own(RecordAttribute.POSTCODE)), None) or address.get("postal_code") or None,
        country=next(iter(own(RecordAttribute.COUNTRY)), None) or place,
        parent_id=None if parent is None else str(parent),
    )


def _tax_numbers(row: Mapping[str, Json]) -> Iterator[tuple[str, str]]:
    """The numbers by which a party is taxed, each with its country, empty where the number itself says it: the one that
    Tryton itself takes, and any of VAT.
    """
    taxed = row.get("tax_identifier.")
    vats = [one for one in row["identifiers."] if str(one["type"] or "").endswith(_VAT)]
    for one in ([] if taxed is None else [taxed]) + vats:
        kind, number = str(one["type"]), str(one["code_compact"]).upper()
        country = "" if kind.startswith(_EUROPEAN) else kind.partition("_")[0].upper()
        # Of VAT the country is the beginning of the number, which Tryton leaves out where it can.
        is_short = kind.endswith(_VAT) and not number.startswith(country)
        yield country, f"{country}{number}" if is_short else number
