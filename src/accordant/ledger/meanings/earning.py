"""How the lines of a posted bill are earned. What each sold and what it came to in the books is what its entry says."""

from collections.abc import Sequence

import msgspec

from accordant.canonical.books import Role
from accordant.canonical.entities import Invoice
from accordant.kernel.money import split_minor
from accordant.ledger.entries import JournalEntry
from accordant.ledger.meanings.asking import Occurrence
from accordant.ledger.meanings.reading import Reading
from accordant.ledger.schedule import RevenueSchedule, straight_line


def schedules(
    bill: Invoice, nets: Sequence[int], entry: JournalEntry, told: Occurrence, reading: Reading
) -> list[RevenueSchedule]:
    """A schedule for each line that comes to anything; ``nets`` are the lines without tax, in minor units."""
    billed = [(line, net) for line, net in zip(bill.lines, nets, strict=True) if net]
    booked = _deferred(entry, [net for _, net in billed])
    sold = [one.dimensions.get("product") for one in entry.postings if one.role is Role.DEFERRED_REVENUE]
    if len(sold) != len(billed):
        sold = [reading.product(line.price_id) for line, _ in billed]
    setting = reading.setting
    made: list[RevenueSchedule] = []
    for (line, net), in_books, product in zip(billed, booked, sold, strict=True):
        starts = line.period_starts_at or told.event.occurred_at
        one = straight_line(
            line=f"{bill.external_id}/{line.external_id}",
            currency=bill.total.currency,
            minor=net,
            starts_at=starts,
            ends_at=max(line.period_ends_at or starts, starts),
            grain=setting.grains.get(product or "", setting.grain),
            zone=setting.zone,
        )
        made.append(msgspec.structs.replace(one, product=product, billed_minor=net, booked_minor=in_books))
    return made


def _deferred(entry: JournalEntry, nets: Sequence[int]) -> Sequence[int]:
    """What a bill's entry deferred for each of its lines, in the currency of the books."""
    found = [-one.amount.amount_minor for one in entry.postings if one.role is Role.DEFERRED_REVENUE]
    # A line of less than a minor unit of the books has no posting: what was deferred is spread again then.
    return found if len(found) == len(nets) else split_minor(sum(found), [max(net, 0) for net in nets])
