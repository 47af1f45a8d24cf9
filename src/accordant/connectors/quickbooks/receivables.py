"""Reads from QuickBooks what customers owe: whose documents changed, and who has become overdue since.
Guarantees that one state of a customer, and of a record that was written there, is one event, however often it is
asked for. Next: changes.py for those records, inbound.py, which says what it means.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime, time, timedelta

from accordant.canonical.refs import ExternalRef
from accordant.connectors.quickbooks.api import Api
from accordant.connectors.quickbooks.changes import Changes
from accordant.connectors.quickbooks.customers import CUSTOMER
from accordant.connectors.quickbooks.wire import changed_at, day, quoted
from accordant.connectors.sdk.ledger_changes import Changed, LedgerReader
from accordant.connectors.sdk.plain_json import Row, amount
from accordant.connectors.sdk.receivables import RECEIVABLE, UNSTAMPED_AT, Told, debts, spell
from accordant.kernel.clock import Clock
from accordant.ports.connector import Page

_DAY = timedelta(days=1)


class QuickBooksReader(LedgerReader):
    """What one connection reads."""

    def __init__(self, api: Api, *, system: str, company: str, clock: Clock) -> None:
        """``company`` is the charter's name of the company behind the connection."""
        changes = Changes(api, company=company, clock=clock)
        super().__init__(changes, title="QuickBooks", system=system, clock=clock)
        self._api = api
        self._currency = ""

    async def pages(self, object_type: str, *, created_since: datetime | None = None) -> AsyncIterator[Page]:
        """See the port. Everybody with something open; none of any other type."""
        if object_type != RECEIVABLE:
            return
        async for rows in self._api.pages(CUSTOMER, "Active in (true, false)"):
            asked_at = self._clock()
            owing = [row for row in rows if amount(row.get("Balance"))]
            if created_since is not None:
                owing = [row for row in owing if (changed_at(row) or UNSTAMPED_AT) >= created_since]
            found = [
                (ExternalRef(self._system, RECEIVABLE, str(row["Id"])), spell(await self._told(row, asked_at)))
                for row in owing
            ]
            yield Page(objects=tuple(found), read_at=asked_at)

    async def close(self) -> None:
        """Release connections."""
        await self._api.close()

    def _is_party(self, one: str) -> bool:
        return one.isdecimal()

    async def _owed_by(self, party: str, at: datetime) -> bytes:
        row = await self._api.one(CUSTOMER, party)
        return b"" if row is None else spell(await self._told(row, at))

    async def _owing(self, changed: Changed, since: datetime, until: datetime) -> list[tuple[datetime, bytes]]:
        moments: dict[str, datetime] = {}
        for row in (row for name in Changes.of_debts for row in changed.get(name, ())):
            for customer in _customers(row):
                moments[customer] = max(moments.get(customer, UNSTAMPED_AT), changed_at(row) or UNSTAMPED_AT)
        first, last = since.date() - _DAY, until.date()
        late = f"Balance > '0' and DueDate >= '{first}' and DueDate < '{last}'"
        async for rows in self._api.pages("Invoice", late):
            for row in rows:
                turned = datetime.combine((day(row.get("DueDate")) or first) + _DAY, time(), UTC)
                for customer in _customers(row):
                    if turned < until:
                        moments[customer] = max(moments.get(customer, UNSTAMPED_AT), turned)
        found = []
        for customer, at in sorted(moments.items()):
            held = await self._api.one(CUSTOMER, customer) if since <= at < until else None
            if held is not None:
                found.append((at, spell(await self._told(held, at))))
        return found

    async def _told(self, customer: Row, at: datetime) -> Told:
        if not self._currency:
            preferences = (await self._api.rows("Preferences"))[0]
            self._currency = str(preferences["CurrencyPrefs"]["HomeCurrency"]["value"])
        own = str(customer["Id"])
        owed = amount(customer.get("Balance"))
        where = f"CustomerRef = {quoted(own)} and Balance > '0' and DueDate < '{at.date()}'"
        rows = [row async for page in self._api.pages("Invoice", where) for row in page]
        late = [(amount(row.get("Balance")), day(row.get("DueDate"))) for row in rows]
        return debts(own, own, at=at, currency=self._currency, owed=owed, late=late)


def _customers(row: Row) -> Iterable[str]:
    """Whose debts a document changed: its customer, or those that the lines of a journal name."""
    if row.get("CustomerRef"):
        yield str(row["CustomerRef"]["value"])
    for line in row.get("Line") or []:
        entity = (line.get("JournalEntryLineDetail") or {}).get("Entity") or {}
        if entity.get("Type") == CUSTOMER:
            yield str(entity["EntityRef"]["value"])
