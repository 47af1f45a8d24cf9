"""Reads from QuickBooks what became of records that were written there: out of its list of changes, or one by its id.
Guarantees that only what carries a key of ours is told, or what is gone and so cannot say whose it was.
Next: inbound.py, which says what it means.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import ClassVar

from accordant.canonical.observations import Fate
from accordant.connectors.quickbooks.api import Api
from accordant.connectors.quickbooks.customers import CUSTOMER, Customers, fate_of, fields_of, key_of
from accordant.connectors.quickbooks.lookups import Lookups
from accordant.connectors.quickbooks.reading import Held, Place, Reading, known_or_void, place_of
from accordant.connectors.quickbooks.records import BILLS, ENTRIES, Form
from accordant.connectors.quickbooks.wire import changed_at
from accordant.connectors.sdk.ledger_changes import Changed, LedgerChanges
from accordant.connectors.sdk.plain_json import Row
from accordant.connectors.sdk.receivables import UNSTAMPED_AT
from accordant.connectors.sdk.sightings import ToldRecord
from accordant.kernel.clock import Clock

#: Intuit answers for the last thirty days; the last hour of them is not relied on.
CHANGES_LAST = timedelta(days=30) - timedelta(hours=1)
_DELETED = "Deleted"
_DOCUMENTS = tuple(form.value for form in Form)


class Changes(LedgerChanges[Held, Place]):
    """What changed in one company; ``company`` is the charter's name of it."""

    party: ClassVar[str] = CUSTOMER
    documents: ClassVar[tuple[str, ...]] = (BILLS, ENTRIES)
    of_debts: ClassVar[tuple[str, ...]] = _DOCUMENTS
    everything: ClassVar[tuple[str, ...]] = (*_DOCUMENTS, CUSTOMER)

    def __init__(self, api: Api, *, company: str, clock: Clock) -> None:
        super().__init__(Reading(api, Lookups(api, Customers(api), company=company)))
        self._api = api
        self._clock = clock

    async def rows(self, names: Sequence[str], since: datetime) -> Changed:
        """See the base class."""
        return await self._api.changed(names, max(since, self._clock() - CHANGES_LAST))

    async def told(self, rows: Changed) -> list[ToldRecord]:
        """See the base class."""
        found = [_customer(row) for row in rows.get(CUSTOMER, ()) if key_of(row) is not None]
        for form in Form:
            for row in rows.get(form.value, ()):
                if row.get("status") == _DELETED:
                    found.append(_gone(form, row))
                elif (held := known_or_void(form, row)) is not None:
                    found.append(await self._document(held))
        return found

    async def _customer(self, one: str) -> ToldRecord | None:
        row = await self._api.one(CUSTOMER, one) if one.isdecimal() else None
        return None if row is None else _customer(row)

    def _place_of(self, text: str) -> Place | None:
        return place_of(text)

    def _changed_at(self, held: Held) -> datetime | None:
        return changed_at(held.row)


def _customer(row: Row) -> ToldRecord:
    fate = fate_of(row) if key_of(row) is not None else Fate.DELETED
    return ToldRecord(
        id=str(row["Id"]),
        objects=(CUSTOMER,),
        at=changed_at(row) or UNSTAMPED_AT,
        fields=fields_of(row) if fate is Fate.STANDS else None,
        fate=fate,
    )


def _gone(form: Form, row: Row) -> ToldRecord:
    """What was deleted is told without what it held: whether it was ours, the hub knows."""
    return ToldRecord(
        id=str(Place(form, str(row["Id"]))),
        objects=(BILLS, ENTRIES),
        at=changed_at(row) or UNSTAMPED_AT,
        fate=Fate.DELETED,
    )
