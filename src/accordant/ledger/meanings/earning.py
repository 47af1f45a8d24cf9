"""What a bill promises, line by line, and how that is earned: by time, by progress, when it is used or is drawn.

Every line is a promise of its own; a bundle is as many as it has parts, at their stand-alone prices. Source: ASC
606-10-25-14, 606-10-32-31 to 32-34, 606-10-25-30.
"""

from collections.abc import Sequence

import msgspec

from accordant.canonical.books import BundlePart, Role, ServiceKind
from accordant.canonical.entities import Invoice, InvoiceLine
from accordant.kernel.money import split_minor
from accordant.ledger.entries import JournalEntry
from accordant.ledger.meanings.asking import Occurrence
from accordant.ledger.meanings.reading import Reading, project_name, ramp_name
from accordant.ledger.modify import Modification, allocate, decide, standalone_weights
from accordant.ledger.schedule import RevenueSchedule, straight_line


class Promise(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is owed to the customer: ``name`` is its line, ``net_minor`` its price without tax.

    ``treatment`` is how the change of contract that brought it is accounted for. ``contract`` names the one it is part
    of, where that is earned otherwise than it is billed.
    """

    name: str
    line: InvoiceLine
    product: str | None
    net_minor: int
    treatment: str | None = None
    contract: str | None = None


def promises(bill: Invoice, nets: Sequence[int], told: Occurrence, reading: Reading) -> list[Promise]:
    """What a bill promises; ``nets`` are its lines without tax. Together they are what the lines are, to the unit."""
    found: list[Promise] = []
    for line, net in zip(bill.lines, nets, strict=True):
        product = reading.product(line.price_id)
        whole = Promise(name=line.external_id, line=line, product=product, net_minor=net)
        bundle = reading.setting.bundle(product, told.day)
        found.extend([whole] if bundle is None else _parts(whole, bundle))
    named = [msgspec.structs.replace(one, contract=_contract(one, bill, told, reading)) for one in found]
    return [msgspec.structs.replace(one, treatment=_treatment(bill, one, named, reading)) for one in named]


def _contract(one: Promise, bill: Invoice, told: Occurrence, reading: Reading) -> str | None:
    system = told.event.subject.system
    if reading.is_project(one.product):
        return project_name(system, bill, one.product or "")
    if reading.is_usage(one.product, one.line.price_id):
        return None
    ramp = ramp_name(system, one.line.subscription_id)
    return ramp if ramp in reading.contracts else None


def _parts(whole: Promise, bundle: BundlePart) -> list[Promise]:
    sign = -1 if whole.net_minor < 0 else 1
    minors = allocate(abs(whole.net_minor), standalone_weights(bundle.parts.values()))
    return [
        msgspec.structs.replace(whole, name=f"{whole.name}/{product}", product=product, net_minor=sign * minor)
        for product, minor in zip(bundle.parts, minors, strict=True)
    ]


def _treatment(bill: Invoice, one: Promise, promised: Sequence[Promise], reading: Reading) -> str | None:
    """How a change in mid-term is accounted for. What is added to a subscription, and takes nothing of it away, is
    distinct, and without a discount it costs what it costs alone; what is left stands ready day by day, unless it is a
    project under way, whose every part is one obligation.
    """
    if not _is_change(one, reading):
        return None
    changes = [other for other in promised if _is_change(other, reading) and _are_one(one, other, reading)]
    distinct = tuple(not reading.is_project(other.product) for other in changes)
    discounted = bill.discount is not None and bill.discount.amount_minor != 0
    change = Modification(
        adds_distinct=all(distinct) and all(other.line.amount_minor > 0 for other in (*changes, one)),
        at_standalone_price=not discounted,
        remaining_distinct=distinct,
    )
    return decide(change).treatment


def _is_change(one: Promise, reading: Reading) -> bool:
    """Whether it changes what was agreed before: a change in mid-term, or another bill of a project under way."""
    if reading.is_project(one.product):
        contract = reading.contracts.get(one.contract or "")
        return contract is not None and contract.progress is not None
    return one.line.proration


def _are_one(one: Promise, other: Promise, reading: Reading) -> bool:
    """Whether two changes of a bill are one: of one subscription, or of a project and what is changed beside it."""
    beside = reading.is_project(one.product) or reading.is_project(other.product)
    return beside or one.line.subscription_id == other.line.subscription_id


class Earning(msgspec.Struct, frozen=True, kw_only=True):
    """How one promise is earned, and what of its price a contract had agreed before."""

    schedule: RevenueSchedule
    line: InvoiceLine
    agreed: int = 0


def earnings(
    bill: Invoice, promised: Sequence[Promise], entry: JournalEntry, told: Occurrence, reading: Reading
) -> list[Earning]:
    """One for each promise that comes to anything. What each sold and came to is what the bill's entry says."""
    billed = [one for one in promised if one.net_minor]
    booked = _deferred(entry, [one.net_minor for one in billed])
    sold = [one.dimensions.get("product") for one in entry.postings if one.role is Role.DEFERRED_REVENUE]
    if len(sold) != len(billed):
        sold = [one.product for one in billed]
    setting = reading.setting
    made: list[Earning] = []
    for one, in_books, product in zip(billed, booked, sold, strict=True):
        starts = one.line.period_starts_at or told.event.occurred_at
        ends = max(one.line.period_ends_at or starts, starts)
        if setting.services.get(product or "") is ServiceKind.PREPAID:
            starts = ends
        schedule = straight_line(
            line=f"{bill.external_id}/{one.name}",
            currency=bill.total.currency,
            minor=one.net_minor,
            starts_at=starts,
            ends_at=ends,
            grain=setting.grains.get(product or "", setting.grain),
            zone=setting.zone,
        )
        own = msgspec.structs.replace(
            schedule,
            product=product,
            billed_minor=one.net_minor,
            booked_minor=in_books,
            is_usage=reading.is_usage(product, one.line.price_id),
        )
        agreed = 0
        if one.contract is None and _is_undated(one.line, product, told, reading):
            own = msgspec.structs.replace(own, spans=(), undated_minor=own.minor, by_progress=True)
        if one.contract is not None:
            contract = reading.contract_of(one.contract, own, told)
            is_agreed = contract.holds(one.line, starts)
            own, agreed = contract.bill_line(own, told.day, is_agreed=is_agreed)
        made.append(Earning(schedule=own, line=one.line, agreed=agreed))
    return made


def _is_undated(line: InvoiceLine, product: str | None, told: Occurrence, reading: Reading) -> bool:
    """Whether it is earned by draws alone: prepaid credits without a period, or whose grants say when they end."""
    if reading.setting.services.get(product or "") is not ServiceKind.PREPAID:
        return False
    has_no_period = line.period_ends_at is None or line.period_ends_at == line.period_starts_at
    return has_no_period or reading.granted(told.event.subject) > 0


def _deferred(entry: JournalEntry, nets: Sequence[int]) -> Sequence[int]:
    """What a bill's entry deferred for each of its promises, in the currency of the books."""
    found = [-one.amount.amount_minor for one in entry.postings if one.role is Role.DEFERRED_REVENUE]
    # What is less than a minor unit of the books has no posting: what was deferred is spread again then.
    return found if len(found) == len(nets) else split_minor(sum(found), [max(net, 0) for net in nets])
