"""Subscriptions as they are written to Stripe: made with their prices, changed with a proration that was chosen.
Guarantees that what cannot be changed in place is refused with the way to it, and that no item is lost on the way.
Next: outbound.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec

from accordant.canonical.charter import FieldType
from accordant.canonical.intents import RefusalClass, Refused, WireValue
from accordant.canonical.targets import ObjectSpec
from accordant.connectors.sdk.decode import JsonObject
from accordant.connectors.stripe import records
from accordant.connectors.stripe.records import ValueUnreadable

SUBSCRIPTION = "subscription"
CUSTOMER_FIELD = "customer"
ITEMS = "items"
START = "start_date"
ITEMS_MAX = 20  # of one subscription: https://docs.stripe.com/api/subscriptions/create (items)
PRORATIONS = ("create_prorations", "always_invoice", "none")
COLLECTIONS = ("charge_automatically", "send_invoice")
ENDED = frozenset({"canceled", "incomplete_expired"})
#: What a mapping may name of a subscription, besides the metadata.
FIELDS: dict[str, FieldType] = {
    CUSTOMER_FIELD: FieldType.LOOKUP,
    ITEMS: FieldType.TEXT,
    "collection_method": FieldType.TEXT,
    "days_until_due": FieldType.NUMBER,
    START: FieldType.DATE,
    "trial_end": FieldType.INSTANT,
    "cancel_at_period_end": FieldType.FLAG,
    "description": FieldType.TEXT,
}
#: Only a subscription that is being made takes these.
_FIXED = (CUSTOMER_FIELD, START)
_PRORATED = frozenset({ITEMS, "trial_end"})


class Item(msgspec.Struct, frozen=True, order=True):
    """One line: a price and how many; None where a price counts use."""

    price: str
    quantity: int | None

    def __str__(self) -> str:
        return self.price if self.quantity is None else f"{self.price}:{self.quantity}"


def items_of(spelled: str) -> tuple[Item, ...]:
    """Lines as a mapping spells them, ``price_1:3,price_2``. Raises ValueUnreadable."""
    found: dict[str, Item] = {}
    for part in (one.strip() for one in spelled.split(",")):
        price, colon, count = part.partition(":")
        price, count = price.strip(), count.strip()
        if not price.replace("_", "").isalnum() or not price.isascii() or (colon and not count.isdecimal()):
            raise ValueUnreadable(
                f"{part!r} is no line of a subscription.", remedy="Write PRICE:QUANTITY, with a comma between lines."
            )
        if price in found:
            raise ValueUnreadable(f"{price} stands twice in the lines of one subscription.", remedy="Add them up.")
        found[price] = Item(price, int(count) if colon else None)
    if len(found) > ITEMS_MAX:
        raise ValueUnreadable(f"{len(found)} lines; a subscription of Stripe's has {ITEMS_MAX} at most.")
    return tuple(sorted(found.values()))


def canonical(spec: ObjectSpec, fields: Mapping[str, WireValue]) -> dict[str, WireValue]:
    """Lines in the order of their prices, moments as the mapping has them. Raises ValueUnreadable."""
    records.known(spec, fields, FIELDS)
    return {name: _canonical(spec, name, value) for name, value in fields.items()}


def _canonical(spec: ObjectSpec, name: str, value: WireValue) -> WireValue:
    match name:
        case "items":
            said = records.text(spec, name, value)
            return None if said is None else ",".join(map(str, items_of(said)))
        case "days_until_due":
            return records.number(spec, name, value)
        case "cancel_at_period_end":
            return records.flag(spec, name, value)
        case "start_date" | "trial_end":
            return records.moment(spec, name, value)
        case "collection_method":
            said = records.text(spec, name, value)
            if said is not None and said not in COLLECTIONS:
                raise ValueUnreadable(f"{said!r} is no way to collect; Stripe has {' and '.join(COLLECTIONS)}.")
            return said
        case _:
            return records.text(spec, name, value)


def fields_of(spec: ObjectSpec, held: JsonObject) -> dict[str, WireValue]:
    """The mapped fields of a subscription as Stripe holds it, its customer expanded."""
    return {name: _field(spec, name, held) for name in spec.fields}


def _field(spec: ObjectSpec, name: str, held: JsonObject) -> WireValue:
    if records.metadata_name(name) is not None:
        return records.read_metadata(held, name)
    value = held.get(name)
    match name:
        case "customer":
            lookup = spec.fields[name].lookup_key
            customer = value if isinstance(value, dict) else {"id": value}
            return records.read_metadata(customer, lookup) if lookup is not None else customer.get("id")
        case "items":
            return ",".join(str(item) for item, _ in held_items(held)) or None
        case "start_date" | "trial_end":
            return records.spelled_moment(spec, name, value)
        case _:
            return value if isinstance(value, str | int | bool) and value != "" else None


def held_items(held: JsonObject) -> list[tuple[Item, str]]:
    """The lines of a subscription with Stripe's own ids of them, in the order of their prices."""
    listed = held.get(ITEMS)
    lines = listed.get("data") if isinstance(listed, dict) else None
    found = []
    for line in lines if isinstance(lines, list) else ():
        quantity = line.get("quantity")
        item = Item(str(line["price"]["id"]), quantity if isinstance(quantity, int) else None)
        found.append((item, str(line["id"])))
    return sorted(found)


def creation(
    fields: Mapping[str, WireValue], customer: str, *, proration: str, now: datetime
) -> list[tuple[str, str]] | Refused:
    """The parameters of a new subscription, or why it cannot be made so."""
    said = fields.get(ITEMS)
    if said is None:
        return _no("ITEMS_MISSING", "A subscription without a line was not sent. Map its items.", ITEMS)
    sent = [("customer", customer)]
    for place, item in enumerate(items_of(str(said))):
        sent += _line(place, item)
    if (start := fields.get(START)) is not None:
        seconds = records.unix_seconds(str(start))
        if seconds > now.timestamp():
            told = f"A subscription that begins on {start} was not sent: Stripe would begin it at once. Send it then."
            return _no("BEGINS_LATER", told, START)
        sent.append(("backdate_start_date", str(seconds)))
    if proration:
        sent.append(("proration_behavior", proration))
    return [*sent, *_plain(fields), *records.metadata_form(fields)]


def change(fields: Mapping[str, WireValue], held: JsonObject, *, proration: str) -> list[tuple[str, str]] | Refused:
    """The parameters that make these fields what they are to be, or why that cannot be."""
    if fixed := [name for name in _FIXED if name in fields]:
        told = f"Stripe fixes {' and '.join(fixed)} of a subscription when it is made: end this one, and make another."
        return _no("FIXED", told, *fixed)
    if held.get("status") in ENDED and any(records.metadata_name(name) is None for name in fields):
        return _no("ENDED", "The subscription has ended in Stripe and takes no change. Make another.", *fields)
    prorated = sorted(_PRORATED & fields.keys())
    if prorated and not proration:
        told = (
            f"{' and '.join(prorated)} of a subscription would change what is billed already; nobody has said how. "
            "Set proration_behavior of this connection, then redrive it."
        )
        return _no("PRORATION_NOT_CHOSEN", told, *prorated)
    sent: list[tuple[str, str]] = []
    if ITEMS in fields:
        if fields[ITEMS] is None:
            return _no("ITEMS_MISSING", "A subscription cannot be left without a line. End it instead.", ITEMS)
        for place, line in enumerate(_changed_lines(items_of(str(fields[ITEMS])), held_items(held))):
            sent += [(f"items[{place}][{name}]", value) for name, value in line.items()]
    if prorated:
        sent.append(("proration_behavior", proration))
    return [*sent, *_plain(fields), *records.metadata_form(fields)]


def _changed_lines(wanted: tuple[Item, ...], held: list[tuple[Item, str]]) -> list[dict[str, str]]:
    """What to say of each line that differs. One price for one other is the same line at another price: Stripe then
    settles the two against each other.
    """
    by_price = {item.price: item for item in wanted}
    kept = {item.price for item, _ in held} & by_price.keys()
    gone = [(item, name) for item, name in held if item.price not in kept]
    new = [item for item in wanted if item.price not in kept]
    lines = [
        {"id": name, **_quantity(by_price[item.price])}
        for item, name in held
        if item.price in kept and by_price[item.price] != item
    ]
    for (_, name), item in zip(gone, new, strict=False):
        lines.append({"id": name, "price": item.price, **_quantity(item)})
    lines += [{"id": name, "deleted": "true"} for _, name in gone[len(new) :]]
    lines += [{"price": item.price, **_quantity(item)} for item in new[len(gone) :]]
    return lines


def _quantity(item: Item) -> dict[str, str]:
    return {} if item.quantity is None else {"quantity": str(item.quantity)}


def _line(place: int, item: Item) -> list[tuple[str, str]]:
    return [(f"items[{place}][{name}]", value) for name, value in {"price": item.price, **_quantity(item)}.items()]


def _plain(fields: Mapping[str, WireValue]) -> list[tuple[str, str]]:
    names = ("cancel_at_period_end", "collection_method", "days_until_due", "description")
    sent = [(name, records.spelled(fields[name])) for name in names if name in fields]
    if "trial_end" in fields:
        ends = fields["trial_end"]
        sent.append(("trial_end", "now" if ends is None else str(records.unix_seconds(str(ends)))))
    return sent


def _no(code: str, message: str, *fields: str) -> Refused:
    return Refused(cause=RefusalClass.BUSINESS_RULE, code=code, message=message, fields=tuple(sorted(fields)))
