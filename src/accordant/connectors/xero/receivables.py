"""Reads from Xero what customers owe: whose invoices or credits changed, and who has become overdue since.
Guarantees that one state of a customer, and of a record that was written there, is one event, however often it is
asked for. Next: changes.py for those records, inbound.py, which says what it means.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

from accordant.canonical.refs import ExternalRef
from accordant.connectors.sdk.ledger_changes import Changed, LedgerReader
from accordant.connectors.sdk.plain_json import Row, amount
from accordant.connectors.sdk.receivables import RECEIVABLE, UNSTAMPED_AT, Told, debts, spell
from accordant.connectors.xero.api import Api
from accordant.connectors.xero.changes import Changes
from accordant.connectors.xero.wire import day, moment, quoted
from accordant.kernel.clock import Clock
from accordant.ports.connector import Page

_DAY = timedelta(days=1)
#: How many contacts are asked for at once: a filter is part of an address, which may not be long.
CONTACTS_MAX = 20
_SALES = 'Type=="ACCREC"'
_CREDITS = 'Type=="ACCRECCREDIT"'
_OPEN = 'Status=="AUTHORISED"'


class XeroReader(LedgerReader):
    """What one connection reads."""

    def __init__(self, api: Api, *, system: str, company: str, clock: Clock) -> None:
        """``company`` is the charter's name of the organisation."""
        super().__init__(Changes(api, company=company), title="Xero", system=system, clock=clock)
        self._api = api
        self._currency = ""

    async def pages(self, object_type: str, *, created_since: datetime | None = None) -> AsyncIterator[Page]:
        """See the port. Everybody with something open, in one page; none of any other type."""
        if object_type != RECEIVABLE:
            return
        asked_at = self._clock()
        groups: dict[str, list[Row]] = {}
        for path, kind in (("Invoices", _SALES), ("CreditNotes", _CREDITS)):
            async for rows in self._api.pages(path, {"where": f"{kind} AND {_OPEN}"}):
                _gather(groups, rows)
        found = [
            (ExternalRef(self._system, RECEIVABLE, contact), spell(await self._told(contact, rows, asked_at)))
            for contact, rows in groups.items()
            if created_since is None or _last(rows) >= created_since
        ]
        yield Page(objects=tuple(found), read_at=asked_at)

    async def close(self) -> None:
        """Release connections."""
        await self._api.close()

    def _is_party(self, one: str) -> bool:
        return one.replace("-", "").isalnum()

    async def _owed_by(self, party: str, at: datetime) -> bytes:
        rows = (await self._of_contacts([party])).get(party, [])
        return spell(await self._told(party, rows, at)) if rows else b""

    async def _owing(self, changed: Changed, since: datetime, until: datetime) -> list[tuple[datetime, bytes]]:
        touched: dict[str, list[Row]] = {}
        for name in Changes.of_debts:
            _gather(touched, changed[name])
        first, last = since.date() - _DAY, until.date()
        late = f"{_SALES} AND {_OPEN} AND DueDate>={_date(first)} AND DueDate<{_date(last)}"
        async for rows in self._api.pages("Invoices", {"where": late}):
            _gather(touched, rows)
        found = []
        for contact, rows in (await self._of_contacts(sorted(touched))).items():
            at = _last(rows, by=until)
            if since <= at < until:
                found.append((at, spell(await self._told(contact, rows, at))))
        return found

    async def _of_contacts(self, contacts: Sequence[str]) -> dict[str, list[Row]]:
        """Every posted invoice and credit note of these contacts."""
        groups: dict[str, list[Row]] = {}
        for start in range(0, len(contacts), CONTACTS_MAX):
            asked = contacts[start : start + CONTACTS_MAX]
            whose = " OR ".join(f"Contact.ContactID==guid({quoted(one)})" for one in asked)
            async for rows in self._api.pages("Invoices", {"where": _SALES, "ContactIDs": ",".join(asked)}):
                _gather(groups, rows)
            async for rows in self._api.pages("CreditNotes", {"where": f"{_CREDITS} AND ({whose})"}):
                _gather(groups, rows)
        return groups

    async def _told(self, contact: str, rows: Sequence[Row], at: datetime) -> Told:
        if not self._currency:
            self._currency = str((await self._api.rows("Organisation"))[0]["BaseCurrency"])
        live = [row for row in rows if row.get("Status") == "AUTHORISED"]
        owed = sum((_open(row) for row in live), Decimal(0))
        late = [(_open(row), _due(row)) for row in live if _open(row) > 0 and _due(row) < at.date()]
        return debts(contact, contact, at=at, currency=self._currency, owed=owed, late=late)


def _gather(groups: dict[str, list[Row]], rows: Sequence[Row]) -> None:
    for row in rows:
        groups.setdefault(str(row["Contact"]["ContactID"]), []).append(row)


def _open(row: Row) -> Decimal:
    """What is open of a row, a credit below zero, in the currency of the books."""
    rate = amount(row.get("CurrencyRate")) or Decimal(1)
    value = amount(row["AmountDue"]) if "AmountDue" in row else -amount(row.get("RemainingCredit"))
    return value if rate == 1 else (value / rate).quantize(Decimal("0.01"))


def _due(row: Row) -> date:
    return day(row.get("DueDate")) or day(row.get("Date")) or UNSTAMPED_AT.date()


def _last(rows: Sequence[Row], *, by: datetime | None = None) -> datetime:
    """When what a customer owes last changed, or became overdue; a change after ``by`` counts, being a later one."""
    moments = [moment(row.get("UpdatedDateUTC")) or UNSTAMPED_AT for row in rows]
    turned = [
        datetime.combine(_due(row) + _DAY, time(), UTC)
        for row in rows
        if row.get("Status") == "AUTHORISED" and _open(row) > 0
    ]
    return max([*moments, *(one for one in turned if by is not None and one < by)])


def _date(on: date) -> str:
    return f"DateTime({on.year}, {on.month}, {on.day})"
