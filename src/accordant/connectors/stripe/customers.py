"""Customers as they are written to Stripe: who they are and where they live, never what they owe.
Guarantees that no field of the financial state has a place here, so no mapping can reach one. Next: outbound.py.
"""

from __future__ import annotations

from collections.abc import Mapping

from accordant.canonical.charter import FieldType
from accordant.canonical.intents import WireValue
from accordant.canonical.targets import ObjectSpec
from accordant.connectors.sdk.decode import JsonObject
from accordant.connectors.stripe import records
from accordant.connectors.stripe.records import ValueUnreadable

CUSTOMER = "customer"
_ADDRESS = "address."
_ADDRESS_PARTS = ("city", "country", "line1", "line2", "postal_code", "state")
_LOCALES = "preferred_locales"
#: What a mapping may name of a customer, besides the metadata. Balance, discount, tax status and cards are not here.
FIELDS: dict[str, FieldType] = {
    "name": FieldType.TEXT,
    "email": FieldType.TEXT,
    "phone": FieldType.TEXT,
    "description": FieldType.TEXT,
    _LOCALES: FieldType.TEXT,
    **{f"{_ADDRESS}{part}": FieldType.TEXT for part in _ADDRESS_PARTS},
}


def canonical(spec: ObjectSpec, fields: Mapping[str, WireValue]) -> dict[str, WireValue]:
    """Text trimmed, a country in capitals, languages with a comma between. Raises ValueUnreadable."""
    records.known(spec, fields, FIELDS)
    found: dict[str, WireValue] = {}
    for name, value in fields.items():
        said = records.text(spec, name, value)
        if said is not None and name == f"{_ADDRESS}country":
            said = _country(said)
        elif said is not None and name == _LOCALES:
            said = ",".join(part.strip() for part in said.split(",") if part.strip()) or None
        found[name] = said
    return found


def _country(said: str) -> str:
    if len(said) != 2 or not said.isascii() or not said.isalpha():
        raise ValueUnreadable(f"Stripe's country has two letters, not {said!r}.")
    return said.upper()


def fields_of(spec: ObjectSpec, held: JsonObject) -> dict[str, WireValue]:
    """The mapped fields of a customer as Stripe holds it."""
    return {name: _field(name, held) for name in spec.fields}


def _field(name: str, held: JsonObject) -> WireValue:
    if records.metadata_name(name) is not None:
        return records.read_metadata(held, name)
    if name == _LOCALES:
        return ",".join(map(str, held.get(_LOCALES) or ())) or None
    if name.startswith(_ADDRESS):
        address = held.get("address")
        value = address.get(name.removeprefix(_ADDRESS)) if isinstance(address, dict) else None
    else:
        value = held.get(name)
    return value if isinstance(value, str) and value else None


def form(fields: Mapping[str, WireValue], held: JsonObject | None) -> list[tuple[str, str]]:
    """The parameters that make these fields what they are to be. Stripe takes an address as a whole, so one is sent."""
    sent = [(name, records.spelled(fields[name])) for name in sorted(fields) if name in FIELDS and "." not in name]
    sent = [one for one in sent if one[0] != _LOCALES]
    if _LOCALES in fields:
        parts = str(fields[_LOCALES] or "").split(",")
        sent += (
            [(f"{_LOCALES}[{place}]", part) for place, part in enumerate(parts)] if parts != [""] else [(_LOCALES, "")]
        )
    if any(name.startswith(_ADDRESS) for name in fields):
        sent += _address(fields, held)
    return [*sent, *records.metadata_form(fields)]


def _address(fields: Mapping[str, WireValue], held: JsonObject | None) -> list[tuple[str, str]]:
    there = (held or {}).get("address")
    whole: dict[str, str] = {}
    for part in _ADDRESS_PARTS:
        name = f"{_ADDRESS}{part}"
        value = fields[name] if name in fields else (there.get(part) if isinstance(there, dict) else None)
        if value:
            whole[part] = str(value)
    return [(f"address[{part}]", value) for part, value in whole.items()] or [("address", "")]
