"""The outbound half of QuickBooks Online: customers and ledger documents read, compared and written by its API.
Guarantees that nothing is made without having been looked for, and that a lost answer is never taken for a refusal.
Source: Intuit's own documentation and XSDs. Next: documents.py.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import ClassVar

from accordant.canonical.charter import FieldType
from accordant.canonical.matching import Member
from accordant.connectors.quickbooks import customers
from accordant.connectors.quickbooks.api import Api
from accordant.connectors.quickbooks.candidates import CustomerSearch
from accordant.connectors.quickbooks.customers import CUSTOMER, Customers
from accordant.connectors.quickbooks.documents import Documents
from accordant.connectors.quickbooks.lookups import Lookups
from accordant.connectors.quickbooks.reading import Reading
from accordant.connectors.quickbooks.records import BILLS, ENTRIES, KEY_FIELD
from accordant.connectors.sdk.ledger_documents import FIELDS
from accordant.connectors.sdk.ledger_native import OF_BILLS
from accordant.connectors.sdk.ledger_outbound import LedgerObject, LedgerOutbound
from accordant.kernel.errors import RejectedError
from accordant.ports.connector import WriteProtocol

#: A document takes some four calls of up to a second each, and a whole batch has twenty seconds.
BATCH_MAX = 5


class QuickBooksOutbound(LedgerOutbound):
    """Implements ``ports.connector.Outbound`` for the objects of the manifest; of customers ``HierarchyLister``."""

    levels_max: ClassVar[Mapping[str, int | None]] = {CUSTOMER: customers.LEVELS_MAX}

    def __init__(self, *, api: Api, protocols: Mapping[str, WriteProtocol], company: str) -> None:
        """``company`` is the charter's name of the company behind the connection."""
        persons = self._customers = Customers(api)
        lookups = Lookups(api, persons, company=company)
        documents = Documents(api, lookups, Reading(api, lookups))
        entries = {name: kind for name, kind in FIELDS.items() if name not in OF_BILLS}
        texts = dict.fromkeys(customers.FIELDS, FieldType.TEXT)
        super().__init__(
            title="QuickBooks",
            protocols=protocols,
            objects={
                CUSTOMER: LedgerObject(
                    records=persons,
                    key_field=customers.KEY,
                    fields=texts,
                    unique=True,
                    searched=CustomerSearch(api),
                ),
                BILLS: LedgerObject(records=documents, key_field=KEY_FIELD[BILLS], fields=FIELDS, unique=False),
                ENTRIES: LedgerObject(records=documents, key_field=KEY_FIELD[ENTRIES], fields=entries, unique=False),
            },
            party=CUSTOMER,
            batch_max=BATCH_MAX,
            close=api.close,
        )

    async def members(self, object_name: str) -> AsyncIterator[tuple[Member, ...]]:
        """See the port. Raises RejectedError for another object: only customers stand below each other."""
        if object_name not in self.levels_max:
            raise RejectedError(
                f"QuickBooks keeps no hierarchy of {object_name}.", remedy=f"Map accounts to {CUSTOMER}."
            )
        async for page in self._customers.members():
            yield page
