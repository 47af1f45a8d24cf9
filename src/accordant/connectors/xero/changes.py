"""Reads from Xero what became of records that were written there: by the moment of their last change, or one by its id.
Guarantees that only what carries a key of ours is told, and that a contact which was merged says so.
Next: inbound.py, which says what it means.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import ClassVar

from accordant.canonical.observations import Fate
from accordant.connectors.sdk.ledger_changes import Changed, LedgerChanges
from accordant.connectors.sdk.plain_json import Row
from accordant.connectors.sdk.receivables import UNSTAMPED_AT
from accordant.connectors.sdk.sightings import ToldRecord
from accordant.connectors.xero.api import Api
from accordant.connectors.xero.contacts import CONTACTS, KEY, fate_of, fields_of
from accordant.connectors.xero.lookups import Lookups
from accordant.connectors.xero.reading import Held, Place, Reading, held_of, place_of
from accordant.connectors.xero.records import BILLS, ENTRIES, Form
from accordant.connectors.xero.wire import moment

#: What is asked for of each collection.
_WHERE: Mapping[str, Mapping[str, str]] = {
    Form.INVOICE.value: {"where": 'Type=="ACCREC"'},
    Form.CREDIT_NOTE.value: {"where": 'Type=="ACCRECCREDIT"'},
    Form.PAYMENT.value: {},
    Form.JOURNAL.value: {},
    CONTACTS: {"where": f"{KEY}!=null", "includeArchived": "true"},
}


class Changes(LedgerChanges[Held, Place]):
    """What changed in one organisation; ``company`` is the charter's name of it."""

    party: ClassVar[str] = CONTACTS
    documents: ClassVar[tuple[str, ...]] = (BILLS, ENTRIES)
    of_debts: ClassVar[tuple[str, ...]] = (Form.INVOICE.value, Form.CREDIT_NOTE.value)
    everything: ClassVar[tuple[str, ...]] = tuple(_WHERE)

    def __init__(self, api: Api, *, company: str) -> None:
        super().__init__(Reading(api, Lookups(api, company=company, tracking=""), company=company))
        self._api = api

    async def rows(self, names: Sequence[str], since: datetime) -> Changed:
        """See the base class."""
        # The header is read to the second: what changed within that second is looked at once more.
        asked = since - timedelta(seconds=1)
        return {
            name: [row async for rows in self._api.pages(name, _WHERE[name], modified_since=asked) for row in rows]
            for name in names
        }

    async def told(self, rows: Changed) -> list[ToldRecord]:
        """See the base class."""
        found = [_contact(row) for row in rows.get(CONTACTS, ())]
        for form in Form:
            held = [one for row in rows.get(form.value, ()) if (one := held_of(form, row)) is not None]
            found += [await self._document(one) for one in held]
        return found

    async def _customer(self, one: str) -> ToldRecord | None:
        rows = await self._api.rows(f"{CONTACTS}/{one}")
        return _contact(rows[0]) if rows else None

    def _place_of(self, text: str) -> Place | None:
        return place_of(text)

    def _changed_at(self, held: Held) -> datetime | None:
        return moment(held.row.get("UpdatedDateUTC"))


def _contact(row: Row) -> ToldRecord:
    fate = fate_of(row) if row.get(KEY) else Fate.DELETED
    return ToldRecord(
        id=str(row["ContactID"]),
        objects=(CONTACTS,),
        at=moment(row.get("UpdatedDateUTC")) or UNSTAMPED_AT,
        fields=fields_of(row) if fate is Fate.STANDS else None,
        fate=fate,
    )
