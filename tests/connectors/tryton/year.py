"""A company's year, closed month by month in our books and in a running Tryton, which has to say the same each time.

Euros and dollars, contracts by the month and one paid for the year, an upgrade, a refund, credit notes, a contested
charge lost and one won, a bill written off and one voided.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import func, select

from accordant.canonical.refs import ExternalRef
from accordant.connectors.tryton.rpc import Rpc
from accordant.operations.bookkeeper import next_month
from accordant.store.schema import journal_line
from accordant.web.lookout import Lookout
from tests.connectors.ledger_story import Company, Erp, a_company
from tests.connectors.tryton.company import BAD_DEBT, COMPANY, FEES, FX, RECEIVABLE
from tests.connectors.tryton.company import _fiscal_year as fiscal_year
from tests.connectors.tryton.server import Tryton
from tests.integration.operations.bookkit import held

FIRST_MONTH = date(2024, 1, 1)
MONTHS = 12
BOOKS = {"company": 1, "language": "en"}
DISPUTE_FEES = "6110"
#: What the charter of the other stories has no rows for.
_ACCOUNTS = f"""        "{FEES}": {{name: Processing fees, type: expense}}
        "{DISPUTE_FEES}": {{name: Dispute fees, type: expense}}
        "{BAD_DEBT}": {{name: Bad debt, type: expense}}
        "{FX}": {{name: Exchange differences, type: expense}}
"""
_RULES = f"""        - {{role: processing_fees, account: "{FEES}"}}
        - {{role: dispute_fees, account: "{DISPUTE_FEES}"}}
        - {{role: bad_debt, account: "{BAD_DEBT}"}}
        - {{role: fx_realised, account: "{FX}"}}
        - {{role: fx_unrealised, account: "{FX}"}}
"""


class Month(msgspec.Struct, frozen=True, kw_only=True):
    """How one month ended. Amounts are minor units of the books; ``differences`` is what the two do not agree on."""

    month: str
    entries: int
    accounts: Mapping[str, int]
    owed: Mapping[str, int]
    documents: int
    differences: tuple[str, ...]

    def line(self) -> str:
        """One JSON line, without the names of customers."""
        told = {
            "month": self.month,
            "entries": self.entries,
            "documents_in_tryton": self.documents,
            "accounts": len(self.accounts),
            "receivables_minor": sum(self.owed.values()),
            "customers_owing": len(self.owed),
            "differences": list(self.differences),
        }
        return msgspec.json.encode(told).decode()


@dataclass
class Year:
    """The company on its way through the year."""

    one: Company
    rpc: Rpc
    customers: dict[str, str] = field(default_factory=dict)

    @property
    def _billing(self) -> Any:
        return self.one.stripe.account

    def _table(self, kind: str) -> list[dict[str, Any]]:
        return list(self.one.stripe.book.table(kind).values())

    # -- what happens --------------------------------------------------------------------------------------------------

    def sell(self, name: str, *, currency: str, unit_minor: int, interval: str = "month") -> None:
        """A new customer with one subscription."""
        account = self._billing
        product = account.create_product({"name": name, "metadata": {}})
        price = account.create_price(product, currency=currency, unit_amount=unit_minor, interval=interval)
        person = {"name": f"EXAMPLE {name}", "email": f"{name}@example.com", "metadata": {}}
        customer = account.create_customer(person, card=True)
        account.billing.subscribe(customer, [(price, 1)])
        self.customers[name] = customer["id"]

    def reprice(self, name: str, unit_minor: int, *, behavior: str = "always_invoice") -> None:
        """Another price in mid-term."""
        account = self._billing
        running = self.subscription(name)
        product = account.create_product({"name": f"{name} {unit_minor}", "metadata": {}})
        price = account.create_price(product, currency=running["currency"], unit_amount=unit_minor, interval="month")
        change = {"id": running["items"]["data"][0]["id"], "price": price["id"]}
        account.billing.update(running, items=[change], proration_behavior=behavior)

    def subscription(self, name: str) -> dict[str, Any]:
        return next(one for one in self._table("subscription") if one["customer"] == self.customers[name])

    def charge(self, name: str) -> dict[str, Any]:
        """The latest that was paid and left alone."""
        mine = [c for c in self._table("charge") if c["customer"] == self.customers[name] and c["paid"]]
        return [c for c in mine if not c["refunded"] and not c["amount_refunded"] and not c["disputed"]][-1]

    def bill(self, name: str, status: str) -> dict[str, Any]:
        """The latest in a state."""
        mine = [i for i in self._table("invoice") if i["customer"] == self.customers[name]]
        return [i for i in mine if i["status"] == status][-1]

    def dispute(self) -> dict[str, Any]:
        """The one that is not closed."""
        return next(d for d in self._table("dispute") if d["status"] not in {"won", "lost"})

    # -- the end of a month --------------------------------------------------------------------------------------------

    async def live(self, number: int, month_on: date) -> None:
        """One month: its middle, what happens then, its last day, and what was paid out."""
        ends_on = next_month(month_on)
        self._until(datetime(month_on.year, month_on.month, 12, 10, tzinfo=UTC))
        if (plot := PLOT.get(number)) is not None:
            plot(self)
        self._until(datetime(month_on.year, month_on.month, 22, 10, tzinfo=UTC))
        self._billing.pay_out_everything()
        last = ends_on.toordinal() - 1
        self._until(datetime.combine(date.fromordinal(last), time(12), UTC))
        await self.one.post()
        self._clock(datetime.combine(ends_on, time(0, 30), UTC))
        await Lookout(self.one.hub).settle("stripe")
        await self.one.post()

    async def close(self, month_on: date) -> Month:
        """Recognise, revalue, close our month, post what that made, compare, and close Tryton's."""
        keeper = self.one.hub.bookkeeper
        recognised = keeper.recognise(COMPANY, month_on)
        assert recognised.refusals == ()
        revalued = keeper.revalue(COMPANY, month_on)
        assert revalued.refusals == ()
        assert held(self.one.hub.database) == []
        keeper.close(COMPANY, month_on, by="lea")
        await self.one.post()
        assert self.one.left() == [], self.one.left()
        seen = await self.compare(month_on)
        await self._close_theirs(month_on)
        return seen

    async def compare(self, month_on: date) -> Month:
        """Our balances and receivables at the end of a month, and in what Tryton's differ."""
        ends_on = next_month(month_on)
        ours, theirs = self._balances(ends_on), await self._their_balances(ends_on)
        owed, told = self._owed(ends_on), await self._their_receivables(ends_on)
        differences = [
            f"{what} {name}: {mine.get(name, 0)} in the books, {other.get(name, 0)} in Tryton"
            for what, mine, other in (("account", ours, theirs), ("customer", owed, told))
            for name in sorted(mine.keys() | other.keys())
            if mine.get(name, 0) != other.get(name, 0)
        ]
        assert sum(ours.values()) == 0
        assert ours.get(RECEIVABLE, 0) == sum(owed.values())
        during = [["date", ">=", month_on], ["date", "<", ends_on], ["state", "=", "posted"]]
        moves = await self.rpc.find("account.move", during, ["state"], context=BOOKS, limit=None)
        return Month(
            month=f"{month_on:%Y-%m}",
            entries=self._entries(month_on, ends_on),
            accounts=ours,
            owed=owed,
            documents=len(moves),
            differences=tuple(differences),
        )

    async def _close_theirs(self, month_on: date) -> None:
        """Tryton closes no period that has a draft in it, and takes nothing into one that is closed."""
        domain = [["start_date", "=", month_on], ["type", "=", "standard"]]
        (period,) = await self.rpc.find("account.period", domain, ["state"], context=BOOKS)
        await self.rpc.call("account.period", "close", [period["id"]], context=BOOKS)

    def _until(self, moment: datetime) -> None:
        self.one.stripe.advance_to(int(moment.timestamp()))
        self._clock(moment)

    def _clock(self, moment: datetime) -> None:
        self.one.clock.at = max(self.one.clock.at, moment)

    # -- what both say -------------------------------------------------------------------------------------------------

    def _sums(self, column: Any, *conditions: Any) -> dict[str, int]:
        query = select(column, func.sum(journal_line.c.amount_minor)).where(*conditions).group_by(column)
        with self.one.hub.database.read() as connection:
            return {name: int(minor) for name, minor in connection.execute(query) if minor}

    def _balances(self, ends_on: date) -> dict[str, int]:
        return self._sums(journal_line.c.account, journal_line.c.posted_on < ends_on.isoformat())

    def _owed(self, ends_on: date) -> dict[str, int]:
        line = journal_line.c
        sums = self._sums(line.party, line.account == RECEIVABLE, line.posted_on < ends_on.isoformat())
        return {ExternalRef.parse(party).id: minor for party, minor in sums.items()}

    def _entries(self, month_on: date, ends_on: date) -> int:
        line = journal_line.c
        query = select(func.count(line.entry_id.distinct())).where(
            line.posted_on >= month_on.isoformat(), line.posted_on < ends_on.isoformat()
        )
        with self.one.hub.database.read() as connection:
            return int(connection.execute(query).scalar_one())

    async def _their_balances(self, ends_on: date) -> dict[str, int]:
        """Tryton's own: the balance it shows of each account as of a day."""
        as_of = {**BOOKS, "date": date.fromordinal(ends_on.toordinal() - 1)}
        rows = await self.rpc.find("account.account", [], ["code", "balance"], context=as_of, limit=None)
        return {row["code"]: minor for row in rows if (minor := _minor(row["balance"]))}

    async def _their_receivables(self, ends_on: date) -> dict[str, int]:
        """Tryton's own lines of what each customer owes, as of a day."""
        domain = [["account.code", "=", RECEIVABLE], ["date", "<", ends_on], ["move.state", "=", "posted"]]
        fields = ["debit", "credit", "party.code"]
        found: dict[str, int] = {}
        for row in await self.rpc.find("account.move.line", domain, fields, context=BOOKS, limit=None):
            code = row["party."]["code"]
            found[code] = found.get(code, 0) + _minor(row["debit"] - row["credit"])
        return {code: minor for code, minor in found.items() if minor}


def _minor(amount: Decimal) -> int:
    return int(amount * 100)


def _first(year: Year) -> None:
    year.sell("monthly", currency="eur", unit_minor=10_000)
    year.sell("contract", currency="eur", unit_minor=99_999)  # a year's contract, billed by the month
    year.sell("dollar", currency="usd", unit_minor=15_001)
    year.sell("yearly", currency="usd", unit_minor=120_000, interval="year")
    year.sell("careful", currency="eur", unit_minor=4_999)


def _second(year: Year) -> None:
    year.reprice("contract", 149_999)
    year._billing.payments.refund(year.charge("dollar"), amount=5_000, given={})


def _third(year: Year) -> None:
    bill = year.bill("careful", "paid")
    year._billing.invoices.credit(bill, amount=1_500, credit_amount=1_500)
    year._billing.payments.open_dispute(year.charge("dollar"))


def _fourth(year: Year) -> None:
    year._billing.payments.close_dispute(year.dispute(), won=False)
    year._billing.payments.open_dispute(year.charge("monthly"))
    year._billing.payments.set_card(year.customers["careful"], failing=True)


def _fifth(year: Year) -> None:
    year._billing.payments.close_dispute(year.dispute(), won=True)
    year.reprice("dollar", 25_003, behavior="create_prorations")


def _sixth(year: Year) -> None:
    year._billing.invoices.mark_uncollectible(year.bill("careful", "open"))
    year.sell("later", currency="usd", unit_minor=33_333)


def _seventh(year: Year) -> None:
    bill = year.bill("dollar", "paid")
    year._billing.invoices.credit(bill, amount=2_000, refund_amount=2_000)
    year._billing.payments.set_card(year.customers["later"], failing=True)


def _eighth(year: Year) -> None:
    year._billing.invoices.void(year.bill("later", "open"))
    year._billing.payments.set_card(year.customers["later"], failing=False)


def _ninth(year: Year) -> None:
    year.reprice("contract", 89_999)
    year.sell("autumn", currency="eur", unit_minor=7_777)


def _tenth(year: Year) -> None:
    year._billing.payments.refund(year.charge("autumn"), amount=None, given={})


def _eleventh(year: Year) -> None:
    year._billing.billing.cancel(year.subscription("monthly"), invoice_now=True, prorate=True)


def _twelfth(year: Year) -> None:
    year._billing.payments.open_dispute(year.charge("contract"))


PLOT: dict[int, Callable[[Year], None]] = dict(
    enumerate(
        (
            _first, _second, _third, _fourth, _fifth, _sixth, _seventh, _eighth, _ninth, _tenth, _eleventh, _twelfth,
        ),
        start=1,
    )
)  # fmt: skip


def _richer(charter: Path) -> None:
    path = charter / "ledger.yaml"
    text = path.read_text(encoding="utf-8")
    assert len(re.findall(r"^      rules:$", text, re.MULTILINE)) == 1
    text = text.replace("      rules:\n", f"{_ACCOUNTS}      rules:\n{_RULES}")
    # Nothing was before: the first month that can be closed is the first of the year.
    text = text.replace("      currency: EUR\n", f"      currency: EUR\n      closed_before: {FIRST_MONTH}\n")
    path.write_text(text, encoding="utf-8")


async def a_year(tryton: Tryton, erp: Erp, folder: Path, *, months: int, told: Callable[[Month], None]) -> list[Month]:
    """The first months of the year, each closed in both; ``told`` hears of each as it is closed."""
    rpc = tryton.rpc()
    closed = []
    try:
        if months == MONTHS:
            # What is revalued at the end of December is cancelled on the first day of the next year.
            await fiscal_year(rpc, 1, FIRST_MONTH.year + 1, {"company": 1})
        async with a_company(erp, folder, edit=_richer) as one:
            year = Year(one, rpc)
            month_on = FIRST_MONTH
            for number in range(1, months + 1):
                await year.live(number, month_on)
                seen = await year.close(month_on)
                told(seen)
                closed.append(seen)
                month_on = next_month(month_on)
    finally:
        await rpc.close()
    return closed
