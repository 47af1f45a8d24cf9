"""The closing comparison: billing, hub and CRM, field by field, and whether every write can be asked why.

Billing is recounted from its own API (`recount.py`), the CRM is read from the stand-in itself; only the middle is ours.
"""

import asyncio
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation

import msgspec
from rich.console import Console
from rich.table import Table

from accordant.canonical.charter import FieldType, MappingPart
from accordant.canonical.facts import MOVEMENT_FACTS
from accordant.canonical.refs import EntityKind
from accordant.connectors.salesforce.connector import default_mappings
from accordant.connectors.salesforce.simulator import SalesforceSimulator
from accordant.demo import backstage
from accordant.demo.company import SALES
from accordant.demo.recount import (
    Books,
    Shown,
    account_fields,
    movement_fields,
    product_fields,
    read_books,
    subscription_fields,
)
from accordant.demo.recount_bills import (
    customer_refunded,
    invoice_fields,
    issued,
    payment_activity,
    payment_fields,
    refund_activity,
)
from accordant.demo.stage import Stage
from accordant.views.trouble import Trouble, trouble

_SHOWN_MAX = 8
#: Whose customer it is, of what belongs to none.
NOBODY = ""
_Records = dict[tuple[str, str], Mapping[str, object]]
#: What the records of one mapping should show, by the owner's id: whose they are, and their fields.
_Told = dict[str, tuple[str, dict[str, Shown]]]


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One field of one record on which the three do not agree, as they show it."""

    object: str
    key: str
    field: str
    billing: str
    hub: str
    crm: str


class FieldLine(msgspec.Struct, frozen=True, kw_only=True):
    """One mapped field over all records. ``filled`` counts those where billing has a value to show."""

    object: str
    entity: EntityKind
    field: str
    compared: int
    filled: int
    differ: int


class Closing(msgspec.Struct, frozen=True, kw_only=True):
    """What the story came to. ``left_out`` are records that wait behind the dead letter, with its reason."""

    lines: tuple[FieldLine, ...]
    differences: tuple[Difference, ...]
    missing: tuple[str, ...]
    surplus: tuple[str, ...]
    left_out: dict[str, str]
    trouble: Trouble
    explained: backstage.Explained
    intake: backstage.Intake
    effects: int
    doubled: tuple[str, ...]

    @property
    def dead_letters(self) -> tuple[str, ...]:
        """Dead letters as the console's trouble list shows them: what, and why."""
        return tuple(
            f"{item.name}: {item.reason}"
            for group in self.trouble.groups
            if group.kind == "dead"
            for item in group.items
        )

    @property
    def faults(self) -> tuple[str, ...]:
        """Why the demonstration does not hold; empty when it does."""
        found = [f"{one.object} {one.key} {one.field}" for one in self.differences]
        found += [f"{one} is not in Salesforce" for one in self.missing]
        found += [f"{one} is in Salesforce and not in billing" for one in self.surplus]
        found += [f"{one} was written twice" for one in self.doubled]
        found += [f"{one.object} {one.field} was never compared" for one in self.lines if one.compared == 0]
        found += [f"{one} is unexplained" for one in self.explained.unexplained]
        found += [f"the trail does not hold: {one}" for one in self.explained.chain_faults]
        if len(self.dead_letters) != 1:
            found.append(f"{len(self.dead_letters)} dead letters instead of one")
        # Parked events are of types the hub does not read (coupons, for one): kept and shown, no defect of the story.
        others = [f"{one.kind}: {one.reason}" for one in self.trouble.groups if one.kind not in {"dead", "parked"}]
        found += [f"unexpected in the trouble list: {one}" for one in others]
        if self.intake.unsettled:
            found.append(f"{self.intake.unsettled} events are not settled")
        return tuple(found)


async def compare(stage: Stage) -> Closing:
    """Read both systems and the hub, and compare every field the charter maps.

    What is counted by the hour is left out where nobody can have it counted now.
    """
    is_counted = await stage.count_movements()
    books = await read_books(stage)
    # A month that passes in seconds makes every flow late for a moment; the watch looks again by itself, but rarely.
    await asyncio.to_thread(stage.watch_lag)
    mappings = default_mappings() if is_counted else tuple(map(_without_movements, default_mappings()))
    parked = backstage.parked_keys(stage.database)
    wanted: dict[tuple[str, str], dict[str, Shown]] = {}
    kinds: dict[tuple[str, str], EntityKind] = {}
    left_out: dict[str, str] = {}
    for mapping in mappings:
        for key, (customer, fields) in _recounted(books, mapping).items():
            if customer in parked:
                left_out[f"{mapping.object} {key}"] = parked[customer]
            else:
                wanted[mapping.object, key] = fields
                kinds[mapping.object, key] = mapping.entity
    hub: _Records = dict(backstage.desired(stage.database, "salesforce"))
    crm = crm_records(stage.salesforce, mappings)
    lines, differences = _compare_fields(mappings, wanted, kinds, hub, crm)
    return Closing(
        lines=lines,
        differences=differences,
        missing=tuple(f"{name} {key}" for name, key in wanted if (name, key) not in crm),
        surplus=tuple(
            f"{name} {key}" for name, key in crm if (name, key) not in wanted and f"{name} {key}" not in left_out
        ),
        left_out=left_out,
        trouble=trouble(stage.database, now=stage.clock()),
        explained=backstage.explained(stage.database),
        intake=backstage.intake(stage.database),
        effects=_written_by_the_hub(stage.salesforce),
        doubled=doubled_effects(stage.salesforce),
    )


def _recounted(books: Books, mapping: MappingPart) -> _Told:
    """What each record of a mapping should show, by what billing itself says."""
    match mapping.entity:
        case EntityKind.ACCOUNT:
            return {
                one["id"]: (one["id"], account_fields(books, one) | movement_fields(books, one))
                for one in books.customers
            }
        case EntityKind.PRODUCT:
            return {name: (NOBODY, product_fields(one)) for name, one in books.products.items()}
        case EntityKind.SUBSCRIPTION:
            return {one["id"]: (one["customer"], subscription_fields(books, one)) for one in books.subscriptions}
        case EntityKind.INVOICE:
            return {one["id"]: (one["customer"], invoice_fields(one)) for one in issued(books)}
        case EntityKind.PAYMENT:
            fields = payment_activity if mapping.object == "Task" else payment_fields
            return {one["id"]: (one["customer"], fields(one)) for one in books.charges}
        case _:
            return {one["id"]: (customer_refunded(books, one), refund_activity(books, one)) for one in books.refunds}


def _without_movements(mapping: MappingPart) -> MappingPart:
    fields = {name: part for name, part in mapping.fields.items() if part.source not in MOVEMENT_FACTS}
    return msgspec.structs.replace(mapping, fields=fields)


def crm_records(salesforce: SalesforceSimulator, mappings: tuple[MappingPart, ...]) -> _Records:
    """Every live record of the CRM that has an external id, by object and that id; a lookup shows the external id of
    what it points to. What has none is nobody's in billing: sales keeps it.
    """
    found: _Records = {}
    for mapping in mappings:
        for record in salesforce.org.live(salesforce.org.object(mapping.object)):
            if record.values.get(mapping.key_field) is None:
                continue
            values: dict[str, object] = dict(record.values)
            for name, part in mapping.fields.items():
                if part.type is FieldType.LOOKUP and values.get(name) is not None:
                    values[name] = salesforce.record(str(part.lookup_object), str(values[name]))[str(part.lookup_key)]
            found[mapping.object, str(record.values.get(mapping.key_field))] = values
    return found


def _written_by_the_hub(salesforce: SalesforceSimulator) -> int:
    """Changes by the org's own ledger, without those that people made by hand."""
    people = {salesforce.org.user_id(one) for one in (SALES,)}
    return sum(effect.user not in people for effects in salesforce.effects.values() for effect in effects)


def doubled_effects(salesforce: SalesforceSimulator) -> tuple[str, ...]:
    """Writes that changed nothing, by the stand-in's own ledger, and keys that were created more than once."""
    found = [
        f"{effect.object} {record_id}, write {effect.sequence}"
        for record_id, effects in salesforce.effects.items()
        for effect in effects
        if effect.action != "create" and not effect.changed
    ]
    for mapping in default_mappings():
        records = salesforce.org.live(salesforce.org.object(mapping.object))
        keys = [key for one in records if (key := one.values.get(mapping.key_field)) is not None]
        found += [f"{mapping.object} {key}" for key in set(keys) if keys.count(key) > 1]
    return tuple(found)


def _compare_fields(
    mappings: tuple[MappingPart, ...],
    wanted: Mapping[tuple[str, str], Mapping[str, object]],
    kinds: Mapping[tuple[str, str], EntityKind],
    hub: _Records,
    crm: _Records,
) -> tuple[tuple[FieldLine, ...], tuple[Difference, ...]]:
    lines: list[FieldLine] = []
    differences: list[Difference] = []
    for mapping in mappings:
        places = [place for place in wanted if place[0] == mapping.object and kinds[place] is mapping.entity]
        keys = [key for name, key in places if (name, key) in crm]
        for field, part in mapping.fields.items():
            before = len(differences)
            filled = 0
            for key in keys:
                place = (mapping.object, key)
                billing, middle, target = (
                    _plain(side.get(place, {}).get(field), part.type) for side in (wanted, hub, crm)
                )
                filled += billing != ""
                if not billing == middle == target:
                    differences.append(
                        Difference(object=mapping.object, key=key, field=field, billing=billing, hub=middle, crm=target)
                    )
            lines.append(
                FieldLine(
                    object=mapping.object,
                    entity=mapping.entity,
                    field=field,
                    compared=len(keys),
                    filled=filled,
                    differ=len(differences) - before,
                )
            )
    return tuple(lines), tuple(differences)


def _plain(value: object, kind: FieldType) -> str:
    """One spelling for a value however its side spells it: "490.00", Decimal("490") and 490 are one amount."""
    if kind is FieldType.FLAG:
        return "yes" if value else "no"
    if value is None:
        return ""
    if kind in {FieldType.CURRENCY, FieldType.NUMBER}:
        try:
            return format(Decimal(str(value)).normalize(), "f")
        except InvalidOperation:
            return repr(value)
    return str(value)


# -- on the terminal -------------------------------------------------------------------------------------------------


def show(closing: Closing, console: Console) -> None:
    """Print the comparison as a person reads it."""
    table = Table(title="Billing, hub and CRM: every field the charter maps", title_justify="left")
    table.add_column("Field in Salesforce", no_wrap=True)
    for heading in ("Compared", "Filled", "Agree", "Differ"):
        table.add_column(heading, justify="right", no_wrap=True)
    last: tuple[str, EntityKind] | None = None
    for line in closing.lines:
        if (line.object, line.entity) != last:
            table.add_row(f"[bold]{line.object}[/bold] ({line.entity})")
            last = line.object, line.entity
        style = "red" if line.differ or not line.compared else None
        counts = (line.compared, line.filled, line.compared - line.differ, line.differ)
        table.add_row(f"  {line.field}", *map(str, counts), style=style)
    console.print(table)
    for one in closing.differences[:_SHOWN_MAX]:
        console.print(
            f"[red]✗[/red] {one.object} {one.key} {one.field}: "
            f"billing {one.billing or '(empty)'}, hub {one.hub or '(empty)'}, CRM {one.crm or '(empty)'}",
            highlight=False,
        )
    _show_rest(closing, console)


def _show_rest(closing: Closing, console: Console) -> None:
    told = closing.explained
    compared = sum(line.compared for line in closing.lines)
    _say(console, not closing.differences, f"{compared} values compared, {len(closing.differences)} differ.")
    _say(
        console,
        not closing.missing and not closing.surplus,
        f"{len(closing.missing)} records are missing in Salesforce, {len(closing.surplus)} are too many.",
    )
    for letter in closing.dead_letters:
        _say(console, len(closing.dead_letters) == 1, f"Dead letter: {letter}")
    if closing.left_out:
        names = ", ".join(closing.left_out)
        console.print(f"  Left out of the comparison, because they wait behind it: {names}.", highlight=False)
    _say(
        console,
        not told.unexplained,
        f"Every write explained: {told.receipts} receipts, each with intent, decision and cause "
        f"({told.receipts - told.by_calendar} a source event, {told.by_calendar} a new day).",
    )
    _say(console, not told.chain_faults, f"The audit trail holds: {told.chain_entries} entries, hash by hash.")
    _say(
        console,
        not closing.doubled,
        f"{closing.intake.deliveries} deliveries were {closing.intake.events} events and "
        f"{closing.effects} changes in Salesforce; none was made twice.",
    )
    if closing.intake.parked:
        kinds = sorted({group.reason for group in closing.trouble.groups if group.kind == "parked"})
        console.print(
            f"  {closing.intake.parked} events are parked, and nothing waits for them: {' '.join(kinds)}",
            highlight=False,
        )
    for fault in closing.faults[:_SHOWN_MAX]:
        console.print(f"[red]✗[/red] {fault}", highlight=False)


def _say(console: Console, holds: bool, sentence: str) -> None:  # noqa: FBT001  the mark before the sentence
    mark = "[green]✓[/green]" if holds else "[red]✗[/red]"
    console.print(f"{mark} {sentence}", highlight=False)
