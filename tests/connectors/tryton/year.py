"""A company's year, closed month by month in our books and in a running Tryton, which has to say the same each time.

Everything a year has: `year_plot.py` says what happens, `year_desk.py` who closes it, `year_judges.py` who compares.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

import msgspec

from accordant.bootstrap import checked_charter
from accordant.connectors.tryton.rpc import Rpc
from accordant.ledger.schedule import next_month
from accordant.orchestration.saga import SagaKind, SagaPhase
from accordant.ports.inbox import Arrival
from accordant.web.lookout import Lookout
from tests.connectors.ledger_story import Company, Erp, a_company
from tests.connectors.salesforce.crm_kit import prepare_sales
from tests.connectors.tryton.company import COMPANY, RECEIVABLE
from tests.connectors.tryton.company import _fiscal_year as fiscal_year
from tests.connectors.tryton.contract_kit import Contract, Mortal, release, sell
from tests.connectors.tryton.server import Tryton
from tests.connectors.tryton.sister import found_sister
from tests.connectors.tryton.tax_report import keep_taxes
from tests.connectors.tryton.year_charter import FIRST_MONTH, SISTER, write
from tests.connectors.tryton.year_desk import Accountant, Desk
from tests.connectors.tryton.year_judges import (
    Entity,
    Seen,
    differences,
    entries_of,
    on_clearing,
    our_figures,
    strangers_agree,
    their_figures,
)
from tests.connectors.tryton.year_plot import DAY_S, EXPORT, PLOT, TRANSFER, Billing, at, begin
from tests.connectors.tryton.year_trails import Trail, trails
from tests.integration.operations.opening_kit import subscriptions

MONTHS = 12
#: The month whose bill nobody pays, of which something is heard late, and the one in which it is opened again; the one
#: whose bill is paid to the sister. Early in the year, so that the shorter tests have them.
UNPAID, LATE, REOPENED, COLLECTED = 1, 1, 2, 2


class Month(msgspec.Struct, frozen=True, kw_only=True):
    """How one month of a company ended. Amounts are minor units of its books."""

    month: str
    company: str
    entries: int
    documents: int
    receivable_minor: int
    receivable_in_tryton_minor: int
    tax_minor: int
    differences: tuple[str, ...]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The whole of it: months, what strangers say of the books otherwise than Tryton, and where lines lead."""

    months: tuple[Month, ...]
    strangers: tuple[str, ...]
    trails: tuple[Trail, ...]

    @property
    def agrees(self) -> bool:
        """Whether nothing differs and every line leads where it should."""
        return not (any(one.differences for one in self.months) or self.strangers or any(t.lost for t in self.trails))


@dataclass
class Year:
    """The company on its way through the year."""

    one: Company
    rpc: Rpc
    billing: Billing
    desk: Desk
    accountant: Accountant
    entities: tuple[Entity, ...]
    deal: str = ""
    late: list[Arrival] = field(default_factory=list)
    theirs: dict[Entity, Seen] = field(default_factory=dict)

    # -- what happens --------------------------------------------------------------------------------------------------

    async def begin(self) -> None:
        """The first customers, and a contract that comes of a won opportunity."""
        one = self.one
        prepare_sales(one.salesforce)
        mortal = Mortal()
        mortal.is_on = False
        contract = Contract(one, mortal)
        await contract.around(1)
        self.deal = sell(one)
        await contract.around(1)
        release(one)
        await contract.until(SagaKind.CONTRACT_WON, SagaPhase.DONE)
        (subscription,) = subscriptions(one, self.deal)
        self.billing.customers["deal"] = subscription["customer"]
        self.billing.pays_by_card("deal")
        begin(self.billing)
        await one.post()
        one.hub.shelf.remember(checked_charter(one.settings), now=one.clock())

    async def live(self, number: int, month_on: date) -> None:
        """One month: usage of the month before, what happens in its middle, its last day, and what was paid out."""
        billing = self.billing
        self._until(at(number, 3))
        if number > 1:
            billing.bill_usage("meter", 1_234 + number, since=int(at(number - 1, 1, 0).timestamp()))
        if self.late:
            await self._deliver_late()
        self._until(at(number, 12))
        billing.pay_by_bank(EXPORT, older_than_s=20 * DAY_S)
        PLOT[number](billing)
        if number == COLLECTED:
            await self._collected_by_sister()
        if number == REOPENED:
            await self._reopen(date(month_on.year, UNPAID, 1))
        self._until(at(number, 22))
        if number not in {COLLECTED, UNPAID}:
            billing.pay_by_bank(TRANSFER, but_the_oldest=True)
        billing.account.pay_out_everything()
        if number == LATE:
            self._happens_unheard(at(number, 28))
        await self._end(next_month(month_on))

    async def _end(self, ends_on: date) -> None:
        self._until(datetime.combine(date.fromordinal(ends_on.toordinal() - 1), time(12), UTC))
        await self.one.post()
        self._clock(datetime.combine(ends_on, time(0, 30), UTC))
        await Lookout(self.one.hub).settle("stripe")
        await self.one.post()

    def _happens_unheard(self, moment: datetime) -> None:
        """A refund whose news comes only when its month is closed."""
        self._until(moment)
        self.one.take_in()
        self.billing.refund("shop", 1_000)
        self.late = [self.one.arrival(event.body()) for event in self.one.events()]

    async def _deliver_late(self) -> None:
        self.one.hub.inbox.accept(self.late)
        self.late = []
        await self.one.post()
        late = [one for one in self._entries(date.min, date.max) if one.posted_on != one.effective_on]
        refunds = [(one.effective_on, one.posted_on) for one in late if one.cause.rule == "refunded"]
        assert refunds == [(date(2024, LATE, 28), date(2024, LATE + 1, 1))]

    async def _collected_by_sister(self) -> None:
        """A bill is paid to the bank of the other company, and somebody says so."""
        bill = self.billing.bill(TRANSFER, "open")
        await self.one.post()
        day = self.one.clock().date().isoformat()
        told = await self.desk.told(
            "books", "collected", f"stripe:invoice/{bill['id']}", "--by", SISTER, "--on", day, "--reason",
            "Sent to the account in pounds", "--as", "lea",
        )  # fmt: skip
        assert told["sister"]["legal_entity"] == SISTER

    # -- the end of a month --------------------------------------------------------------------------------------------

    async def close(self, month_on: date) -> list[Month]:
        """As a person closes it: nothing held, recognised, revalued, nothing missing, closed; then Tryton's period."""
        assert (await self.desk.told("books", "held", "--try"))["held"] == 0
        for entity in self.entities:
            await self._earn_and_revalue(entity, month_on)
        await self.one.post()
        assert self.one.left() == [], self.one.left()
        await self._payouts_come_to_nothing(next_month(month_on))
        to_close = await self.desk.told("books", "to-close")
        assert all(one["missing"] == [] for one in to_close["months"]), to_close
        return [await self._close_one(entity, month_on) for entity in self.entities]

    async def _payouts_come_to_nothing(self, ends_on: date) -> None:
        """Every unit of each payout is explained, and what is left on clearing is what no payout has taken yet."""
        told = await self.desk.told("payouts", "--limit", "100")
        assert told["payouts"]
        if not self.late:  # what was not heard of yet is not in the books
            kept = {currency: minor for currency, minor in self.billing.kept_at_processor().items() if minor}
            assert on_clearing(self._entries(date.min, ends_on)) == kept

    async def _earn_and_revalue(self, entity: Entity, month_on: date) -> None:
        month = f"{month_on:%Y-%m}"
        await self.desk.told("books", "recognise", entity.name, month)
        await self.desk.told("books", "revalue", entity.name, month)

    async def _close_one(self, entity: Entity, month_on: date) -> Month:
        closed = await self.desk.told("books", "close", entity.name, f"{month_on:%Y-%m}", "--as", "lea")
        assert closed["state"] == "closed"
        assert "lea" in closed["closed_by"]
        seen = await self.compare(entity, month_on)
        await self.accountant.close(entity.id, month_on)
        return seen

    async def compare(self, entity: Entity, month_on: date) -> Month:
        """Our figures at the end of a month and Tryton's, and in what they differ."""
        ends_on = next_month(month_on)
        ours = our_figures(entries_of(self.one.hub.database, entity, before_on=ends_on), year=month_on.year)
        theirs = self.theirs[entity] = await their_figures(self.rpc, entity, before_on=ends_on)
        assert sum(ours.accounts.values()) == 0
        assert ours.accounts.get(RECEIVABLE, 0) == sum(ours.owed.values())
        during = [["date", ">=", month_on], ["date", "<", ends_on], ["company", "=", entity.id]]
        moves = await self.rpc.find("account.move", during, ["state"], context=entity.context, limit=None)
        assert {move["state"] for move in moves} <= {"posted"}
        return Month(
            month=f"{month_on:%Y-%m}",
            company=entity.name,
            entries=len(entries_of(self.one.hub.database, entity, before_on=ends_on, from_on=month_on)),
            documents=len(moves),
            receivable_minor=sum(ours.owed.values()),
            receivable_in_tryton_minor=sum(theirs.owed.values()),
            tax_minor=sum(one.tax for one in theirs.returned.values()),
            differences=differences(ours, theirs),
        )

    # -- a month that was closed too early -----------------------------------------------------------------------------

    async def _reopen(self, month_on: date) -> None:
        """Two people open a closed month for a bill nobody will pay; Tryton's period is still closed and refuses it."""
        month, own = f"{month_on:%Y-%m}", self.entities[0]
        await self.one.post()
        for person, state in (("ann", "closed"), ("ann", "closed"), ("bob", "open")):
            told = await self.desk.told("books", "reopen", COMPANY, month, "--as", person)
            assert told["state"] == state
        bill = self.billing.bills(TRANSFER, "open")[0]
        day = date.fromordinal(next_month(month_on).toordinal() - 1).isoformat()
        await self.desk.told(
            "books", "write-off", f"stripe:invoice/{bill['id']}", "--on", day, "--reason", "Insolvent", "--as", "ann"
        )
        await self.one.post()
        stopped = self.one.left()
        assert {row.state for row in stopped} == {"dead"}, stopped
        assert all("reopen it there" in row.reason for row in stopped)
        await self.accountant.reopen(own.id, month_on)
        await self.accountant.reopen_journals(own.id, month_on)
        # It happened longer ago than what is sent again without a second person's word.
        waived, said = await self.desk.tried(
            "redrive", "--matching", "reopen it there", "--waive-window", "--because", "The month is open again",
            "--as", "bob",
        )  # fmt: skip
        assert waived == 0, said
        code, said = await self.desk.tried(
            "redrive", "--matching", "reopen it there", "--because", "Its period is open again in Tryton", "--defect",
            "The period was closed", "--fix", "reference Tryton, that period", "--yes", "--as", "ann",
        )  # fmt: skip
        assert code == 0, said
        await self.one.post()
        assert self.one.left() == []
        await self._earn_and_revalue(own, month_on)
        await self.one.post()
        again = await self._close_one(own, month_on)
        assert again.differences == (), again

    # -- time ----------------------------------------------------------------------------------------------------------

    def _entries(self, from_on: date, before_on: date) -> list[Any]:
        return entries_of(self.one.hub.database, self.entities[0], from_on=from_on, before_on=before_on)

    def _until(self, moment: datetime) -> None:
        self.one.stripe.advance_to(max(int(moment.timestamp()), self.one.stripe.book.now))
        self._clock(moment)

    def _clock(self, moment: datetime) -> None:
        self.one.clock.at = max(self.one.clock.at, moment)


async def _prepare(rpc: Rpc, *, months: int) -> tuple[Entity, ...]:
    """What the year needs in Tryton beside the company of the other tests."""
    await keep_taxes(rpc)
    sister = await found_sister(rpc)
    for company in (1, sister) if months == MONTHS else ():
        # What is revalued at the end of December is cancelled on the first day of the next year.
        await fiscal_year(rpc, company, FIRST_MONTH.year + 1, {"company": company})
    return Entity(COMPANY, 1, taxes=True), Entity(SISTER, sister, taxes=False)


async def a_year(
    tryton: Tryton, erp: Erp, folder: Path, *, months: int, told: Callable[[Month], None] = lambda _: None
) -> Outcome:
    """The first months of the year, each closed in both; ``told`` hears of each as it is closed."""
    rpc = tryton.rpc()
    closed: list[Month] = []
    try:
        entities = await _prepare(rpc, months=months)
        async with a_company(erp, folder, edit=write) as one:
            desk = Desk(one)
            year = Year(one, rpc, Billing(one.stripe), desk, Accountant(rpc), entities)
            with desk.at():
                await year.begin()
                month_on = FIRST_MONTH
                for number in range(1, months + 1):
                    await year.live(number, month_on)
                    for seen in await year.close(month_on):
                        told(seen)
                        closed.append(seen)
                    month_on = next_month(month_on)
                last = date.fromordinal(month_on.toordinal() - 1)
                return Outcome(
                    months=tuple(closed),
                    strangers=await strangers_agree(one, desk, folder, until=last, theirs=year.theirs),
                    trails=await trails(one, desk, rpc, deal=year.deal, customer=year.billing.customers["deal"]),
                )
    finally:
        await rpc.close()
