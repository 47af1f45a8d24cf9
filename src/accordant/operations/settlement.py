"""What each payout settled: the owner's list of balance movements is fetched once and enters the inbox like an event.

Fees come of it, which no event tells, and with them the clearing account of a payout returns to zero. Next:
`analytics/settlement.py`, which follows a payout to its collections.
"""

from datetime import datetime, timedelta
from functools import partial

import msgspec

from accordant.canonical.entities import Payout
from accordant.kernel.clock import Clock
from accordant.operations.fetched import fetched
from accordant.operations.reconcile import off_loop
from accordant.ports.connector import Inbound, SettlementLister
from accordant.ports.inbox import Inbox
from accordant.ports.missed import SweepBook
from accordant.ports.settlement import PayoutBook

#: Payouts that changed longer ago are not asked about any more; what they settled can be asked for by name.
ASKED_FOR = timedelta(days=90)
#: Payouts asked about in one round, at most: the rest follows in the next.
ROUND_MAX = 50


class Settling(msgspec.Struct, frozen=True, kw_only=True):
    """A system whose payouts are followed, its reader and its inbound half."""

    system: str
    lister: SettlementLister
    inbound: Inbound


class SettlementReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a round came to: how many payouts were settled by it, and which are not and why not.

    ``waiting``: their owner lists nothing for them yet. ``by_hand``: somebody made them, so their owner never says what
    is in them.
    """

    system: str
    settled: int = 0
    waiting: tuple[str, ...] = ()
    by_hand: tuple[str, ...] = ()


async def settle_payouts(
    source: Settling, *, inbox: Inbox, seen: SweepBook, book: PayoutBook, clock: Clock
) -> SettlementReport:
    """Take in what the system's paid payouts settled, the oldest first; what is known is not asked for again.

    The rooms are not run. Raises as the reader; what was taken in until then stays.
    """
    paid = await off_loop(partial(book.paid, source.system, changed_since=clock() - ASKED_FOR))
    open_ = await off_loop(partial(book.unsettled, source.system, [one.external_id for one in paid]))
    by_hand = tuple(one.external_id for one in paid if one.external_id in open_ and one.automatic is False)
    asked = [one for one in paid if one.external_id in open_ and one.automatic is not False][:ROUND_MAX]
    waiting = [one.external_id for one in asked if not await _take_in(one, source, inbox, seen, now=clock())]
    return SettlementReport(
        system=source.system, settled=len(asked) - len(waiting), waiting=tuple(waiting), by_hand=by_hand
    )


async def _take_in(payout: Payout, source: Settling, inbox: Inbox, seen: SweepBook, *, now: datetime) -> bool:
    """Whether the owner lists anything for the payout."""
    listed = False
    async for body in source.lister.settlements(payout.external_id):
        listed = True
        envelope = source.inbound.read_envelope(body)
        # A page that came before may read otherwise by now: a movement has become available. The first stays.
        if not await off_loop(partial(seen.known, source.system, [envelope.external_id])):
            await off_loop(partial(inbox.accept, [fetched(source.system, envelope, body, now=now)]))
    return listed


def told_of_settlement(report: SettlementReport) -> str:
    """What a round came to, in a sentence or two."""
    told = f"{report.system}: what {report.settled:,} payouts settled was taken in."
    if report.waiting:
        told += f" {len(report.waiting):,} are not broken down by it yet: {', '.join(report.waiting[:5])}."
    if report.by_hand:
        told += (
            f" {len(report.by_hand):,} were made by hand, and it never says what is in those: "
            f"{', '.join(report.by_hand[:5])}."
        )
    return told
