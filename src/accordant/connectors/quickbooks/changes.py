"""Reads from QuickBooks what became of records that were written there: out of its list of changes, or one by its id.
Guarantees that only what carries a key of ours is told, or what is gone and so cannot say whose it was.
Next: inbound.py, which says what it means.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from accordant.canonical.observations import Fate
from accordant.canonical.refs import ExternalRef
from accordant.connectors.quickbooks.api import Api
from accordant.connectors.quickbooks.customers import CUSTOMER, Customers, fate_of, fields_of, key_of
from accordant.connectors.quickbooks.lookups import Lookups
from accordant.connectors.quickbooks.reading import Held, Reading, known_or_void, place_of
from accordant.connectors.quickbooks.records import BILLS, ENTRIES, Form
from accordant.connectors.quickbooks.wire import changed_at
from accordant.connectors.sdk.ledger_native import Place
from accordant.connectors.sdk.plain_json import Row
from accordant.connectors.sdk.receivables import UNSTAMPED_AT
from accordant.connectors.sdk.sightings import ToldRecord
from accordant.kernel.clock import Clock

#: Of these follows what a customer owes.
OF_DEBTS = tuple(form.value for form in Form)
EVERYTHING = (*OF_DEBTS, CUSTOMER)
#: Intuit answers for the last thirty days; the last hour of them is not relied on.
CHANGES_LAST = timedelta(days=30) - timedelta(hours=1)
_DELETED = "Deleted"


class Changes:
    """What changed in one company; ``company`` is the charter's name of it."""

    def __init__(self, api: Api, *, company: str, clock: Clock) -> None:
        self._api = api
        self._clock = clock
        self._reading = Reading(api, Lookups(api, Customers(api), company=company))

    async def rows(self, names: Sequence[str], since: datetime) -> dict[str, list[Row]]:
        """What changed since of each of these entities. Raises as the calls do."""
        return await self._api.changed(names, max(since, self._clock() - CHANGES_LAST))

    async def told(self, rows: Mapping[str, Sequence[Row]]) -> list[ToldRecord]:
        """The records among these rows that carry a key of ours, or are gone."""
        found = [_customer(row) for row in rows.get(CUSTOMER, ()) if key_of(row) is not None]
        for form in Form:
            for row in rows.get(form.value, ()):
                if row.get("status") == _DELETED:
                    found.append(_gone(form, row))
                elif (held := known_or_void(form, row)) is not None:
                    found.append(await self._document(held))
        return found

    async def read(self, ref: ExternalRef) -> ToldRecord | None:
        """One record by its reference; None where it is gone, or does not carry our key any more."""
        if ref.object_type == CUSTOMER:
            row = await self._api.one(CUSTOMER, ref.id) if ref.id.isdecimal() else None
            return None if row is None else _customer(row)
        place = place_of(ref.id)
        held = None if place is None else (await self._reading.at([place])).get(place)
        return None if held is None else await self._document(held)

    async def _document(self, held: Held) -> ToldRecord:
        return ToldRecord(
            id=str(held.place),
            objects=(BILLS, ENTRIES),
            at=changed_at(held.row) or UNSTAMPED_AT,
            fields=await self._reading.fields(held),
        )


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
