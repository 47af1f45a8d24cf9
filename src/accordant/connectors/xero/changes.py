"""Reads from Xero what became of records that were written there: by the moment of their last change, or one by its id.
Guarantees that only what carries a key of ours is told, and that a contact which was merged says so.
Next: inbound.py, which says what it means.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from accordant.canonical.observations import Fate
from accordant.canonical.refs import ExternalRef
from accordant.connectors.sdk.plain_json import Row
from accordant.connectors.sdk.receivables import UNSTAMPED_AT
from accordant.connectors.sdk.sightings import ToldRecord
from accordant.connectors.xero.api import Api
from accordant.connectors.xero.contacts import CONTACTS, KEY, fate_of, fields_of
from accordant.connectors.xero.lookups import Lookups
from accordant.connectors.xero.reading import Held, Reading, held_of, place_of
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
#: Of these follows what a customer owes.
OF_DEBTS = (Form.INVOICE.value, Form.CREDIT_NOTE.value)
EVERYTHING = tuple(_WHERE)


class Changes:
    """What changed in one organisation; ``company`` is the charter's name of it."""

    def __init__(self, api: Api, *, company: str) -> None:
        self._api = api
        self._reading = Reading(api, Lookups(api, company=company, tracking=""), company=company)

    async def rows(self, names: Sequence[str], since: datetime) -> dict[str, list[Row]]:
        """What changed since of each of these collections. Raises as the calls do."""
        # The header is read to the second: what changed within that second is looked at once more.
        asked = since - timedelta(seconds=1)
        return {
            name: [row async for rows in self._api.pages(name, _WHERE[name], modified_since=asked) for row in rows]
            for name in names
        }

    async def told(self, rows: Mapping[str, Sequence[Row]]) -> list[ToldRecord]:
        """The records among these rows that carry a key of ours."""
        found = [_contact(row) for row in rows.get(CONTACTS, ())]
        for form in Form:
            held = [one for row in rows.get(form.value, ()) if (one := held_of(form, row)) is not None]
            found += [await self._document(one) for one in held]
        return found

    async def read(self, ref: ExternalRef) -> ToldRecord | None:
        """One record by its reference; None where it is gone, or does not carry our key any more."""
        if ref.object_type == CONTACTS:
            rows = await self._api.rows(f"{CONTACTS}/{ref.id}")
            return _contact(rows[0]) if rows else None
        place = place_of(ref.id)
        held = None if place is None else (await self._reading.at([place])).get(place)
        return None if held is None else await self._document(held)

    async def _document(self, held: Held) -> ToldRecord:
        return ToldRecord(
            id=str(held.place),
            objects=(BILLS, ENTRIES),
            at=moment(held.row.get("UpdatedDateUTC")) or UNSTAMPED_AT,
            fields=await self._reading.fields(held),
        )


def _contact(row: Row) -> ToldRecord:
    fate = fate_of(row) if row.get(KEY) else Fate.DELETED
    return ToldRecord(
        id=str(row["ContactID"]),
        objects=(CONTACTS,),
        at=moment(row.get("UpdatedDateUTC")) or UNSTAMPED_AT,
        fields=fields_of(row) if fate is Fate.STANDS else None,
        fate=fate,
    )
