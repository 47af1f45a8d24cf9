"""Xero's outbound half: customers and ledger documents read, compared and written by its accounting API.
Guarantees that nothing is made without having been looked for, and that a lost answer is never taken for a refusal.
Source: Xero's own OpenAPI, version 16.1.0. Next: documents.py.
"""

from __future__ import annotations

from collections.abc import Mapping

from accordant.canonical.charter import FieldType
from accordant.connectors.sdk.ledger_documents import FIELDS
from accordant.connectors.sdk.ledger_native import OF_BILLS
from accordant.connectors.sdk.ledger_outbound import LedgerObject, LedgerOutbound
from accordant.connectors.xero import contacts
from accordant.connectors.xero.api import Api
from accordant.connectors.xero.candidates import ContactSearch
from accordant.connectors.xero.contacts import CONTACTS, Contacts
from accordant.connectors.xero.documents import Documents
from accordant.connectors.xero.lookups import Lookups
from accordant.connectors.xero.reading import Reading
from accordant.connectors.xero.records import BILLS, ENTRIES, KEY_FIELD
from accordant.ports.connector import WriteProtocol

#: A document takes some four calls at one a second, and a whole batch has twenty seconds.
BATCH_MAX = 3


class XeroOutbound(LedgerOutbound):
    """Implements ``ports.connector.Outbound`` for the objects of the manifest."""

    def __init__(self, *, api: Api, protocols: Mapping[str, WriteProtocol], company: str, tracking: str) -> None:
        """``company`` is the charter's name of the organisation, ``tracking`` the category that carries products."""
        lookups = Lookups(api, company=company, tracking=tracking)
        documents = Documents(api, lookups, Reading(api, lookups, company=company))
        persons = dict.fromkeys(contacts.FIELDS, FieldType.TEXT)
        entries = {name: kind for name, kind in FIELDS.items() if name not in OF_BILLS}
        super().__init__(
            title="Xero",
            protocols=protocols,
            objects={
                CONTACTS: LedgerObject(
                    records=Contacts(api),
                    key_field=contacts.KEY,
                    fields=persons,
                    unique=True,
                    searched=ContactSearch(api),
                ),
                BILLS: LedgerObject(records=documents, key_field=KEY_FIELD[BILLS], fields=FIELDS, unique=True),
                ENTRIES: LedgerObject(records=documents, key_field=KEY_FIELD[ENTRIES], fields=entries, unique=False),
            },
            party=CONTACTS,
            batch_max=BATCH_MAX,
            close=api.close,
        )
