"""What a bill promises, line by line, and how that is earned: by time, when it is used, or when it is drawn.

Every line is a promise of its own; a bundle is as many as it has parts, at their stand-alone prices. Source: ASC
606-10-25-14, 606-10-32-31 to 32-34, 606-10-25-30.
"""

from collections.abc import Sequence
from datetime import date

import msgspec

from accordant.canonical.books import BundlePart, Role, ServiceKind
from accordant.canonical.entities import Invoice, InvoiceLine
from accordant.kernel.money import split_minor
from accordant.ledger.entries import JournalEntry
from accordant.ledger.meanings.asking import Occurrence
from accordant.ledger.meanings.reading import Reading
from accordant.ledger.modify import Modification, allocate, decide, standalone_weights
from accordant.ledger.schedule import RevenueSchedule, straight_line


class Promise(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is owed to the customer: ``name`` is its line, ``net_minor`` its price without tax.

    ``treatment`` is how the change of contract that brought it is accounted for.
    """

    name: str
    line: InvoiceLine
    product: str | None
    net_minor: int
    treatment: str | None = None


def promises(bill: Invoice, nets: Sequence[int], day: date, reading: Reading) -> list[Promise]:
    """What a bill promises; ``nets`` are its lines without tax. Together they are what the lines are, to the unit."""
    found: list[Promise] = []
    for line, net in zip(bill.lines, nets, strict=True):
        product = reading.product(line.price_id)
        whole = Promise(
            name=line.external_id, line=line, product=product, net_minor=net, treatment=_treatment(bill, line)
        )
        bundle = reading.setting.bundle(product, day)
        found.extend([whole] if bundle is None else _parts(whole, bundle))
    return found


def _parts(whole: Promise, bundle: BundlePart) -> list[Promise]:
    sign = -1 if whole.net_minor < 0 else 1
    minors = allocate(abs(whole.net_minor), standalone_weights(bundle.parts.values()))
    return [
        msgspec.structs.replace(whole, name=f"{whole.name}/{product}", product=product, net_minor=sign * minor)
        for product, minor in zip(bundle.parts, minors, strict=True)
    ]


def _treatment(bill: Invoice, line: InvoiceLine) -> str | None:
    """How a change in mid-term is accounted for. What is added to a subscription, and takes nothing of it away, is
    distinct, and without a discount it costs what it costs alone; what is left stands ready day by day.
    """
    if not line.proration:
        return None
    replaces = any(
        one.proration and one.amount_minor < 0 and one.subscription_id == line.subscription_id for one in bill.lines
    )
    discounted = bill.discount is not None and bill.discount.amount_minor != 0
    change = Modification(
        adds_distinct=line.amount_minor > 0 and not replaces,
        at_standalone_price=not discounted,
        remaining_distinct=(True,),
    )
    return decide(change).treatment


def schedules(
    bill: Invoice, promised: Sequence[Promise], entry: JournalEntry, told: Occurrence, reading: Reading
) -> list[RevenueSchedule]:
    """A schedule for each promise that comes to anything. What each sold and came to is what the bill's entry says."""
    billed = [one for one in promised if one.net_minor]
    booked = _deferred(entry, [one.net_minor for one in billed])
    sold = [one.dimensions.get("product") for one in entry.postings if one.role is Role.DEFERRED_REVENUE]
    if len(sold) != len(billed):
        sold = [one.product for one in billed]
    setting = reading.setting
    made: list[RevenueSchedule] = []
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
        made.append(
            msgspec.structs.replace(
                schedule,
                product=product,
                billed_minor=one.net_minor,
                booked_minor=in_books,
                is_usage=reading.is_usage(product, one.line.price_id),
            )
        )
    return made


def _deferred(entry: JournalEntry, nets: Sequence[int]) -> Sequence[int]:
    """What a bill's entry deferred for each of its promises, in the currency of the books."""
    found = [-one.amount.amount_minor for one in entry.postings if one.role is Role.DEFERRED_REVENUE]
    # What is less than a minor unit of the books has no posting: what was deferred is spread again then.
    return found if len(found) == len(nets) else split_minor(sum(found), [max(net, 0) for net in nets])
