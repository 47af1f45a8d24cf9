"""Tryton's outbound half: customers and ledger documents read, compared and written over JSON-RPC.
Guarantees that nothing is made without having been looked for, and that a lost answer is never taken for a refusal.
Source: trytond and its modules account and account_invoice, version 8.2, run in the tests. Next: documents.py.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

from accordant.canonical.charter import FieldType
from accordant.canonical.matching import Member
from accordant.canonical.shapes import DescribedField
from accordant.connectors.sdk.ledger_documents import FIELDS
from accordant.connectors.sdk.ledger_outbound import LedgerObject, LedgerOutbound
from accordant.connectors.tryton import parties
from accordant.connectors.tryton.candidates import PartySearch
from accordant.connectors.tryton.documents import Documents, Journals
from accordant.connectors.tryton.lookups import Lookups
from accordant.connectors.tryton.parties import PARTY, Parties
from accordant.connectors.tryton.reading import Reading
from accordant.connectors.tryton.records import INVOICE, KEY_FIELD, MOVE, OF_INVOICES
from accordant.connectors.tryton.relations import Relations
from accordant.connectors.tryton.rpc import Rpc
from accordant.kernel.errors import RejectedError
from accordant.ports.connector import WriteProtocol

#: A document takes some seven calls, a second or two on a busy server, and a whole batch has twenty seconds.
BATCH_MAX = 3


class TrytonOutbound(LedgerOutbound):
    """Implements ``ports.connector.Outbound`` for the objects of the manifest, ``DocumentFinder``, and
    ``HierarchyLister`` of parties where a type of relation says who stands below whom.
    """

    def __init__(
        self, *, rpc: Rpc, protocols: Mapping[str, WriteProtocol], journals: Journals, parent_relation: str = ""
    ) -> None:
        """``parent_relation`` is the name of the type of relation from a party to the one above it."""
        lookups = Lookups(rpc)
        self._rpc = rpc
        self._relations = Relations(rpc, lookups, type_name=parent_relation)
        self.levels_max: Mapping[str, int | None] = {PARTY: None} if self._relations.is_kept else {}
        self._reading = Reading(rpc, lookups, revenue_journal=journals.revenue)
        documents = Documents(rpc, lookups, self._reading, journals)
        persons = dict.fromkeys(parties.FIELDS, FieldType.TEXT)
        entries = {name: kind for name, kind in FIELDS.items() if name not in OF_INVOICES}
        super().__init__(
            title="Tryton",
            protocols=protocols,
            objects={
                PARTY: LedgerObject(
                    records=Parties(rpc, lookups),
                    key_field=parties.KEY,
                    fields=persons,
                    unique=True,
                    searched=PartySearch(rpc, lookups, self._relations),
                ),
                INVOICE: LedgerObject(records=documents, key_field=KEY_FIELD[INVOICE], fields=FIELDS, unique=False),
                MOVE: LedgerObject(records=documents, key_field=KEY_FIELD[MOVE], fields=entries, unique=False),
            },
            party=PARTY,
            batch_max=BATCH_MAX,
            close=rpc.close,
        )

    async def members(self, object_name: str) -> AsyncIterator[tuple[Member, ...]]:
        """See the port ``HierarchyLister``. Raises RejectedError for an object without a hierarchy."""
        if object_name not in self.levels_max:
            raise RejectedError(
                f"Tryton keeps no hierarchy of {object_name}.",
                remedy=f"Map accounts to {PARTY}, and give the connection's setting parent_relation.",
            )
        async for page in self._relations.members():
            yield page

    async def document_of(self, object_name: str, name: str) -> str | None:
        """See the port ``DocumentFinder``. A line of the journal, a move or an invoice."""
        return await self._reading.document_of(object_name, name)

    async def describe(self, object_name: str) -> tuple[DescribedField, ...]:
        """See the port. It is what we take, since Tryton spreads a document over several records; of Tryton it is
        asked whether the object is there at all, with the field that carries our key.
        """
        described = await super().describe(object_name)
        if described:
            told = await self._rpc.call(object_name, "fields_get", [], context={"language": "en"})
            key = described[0].name
            if not isinstance(told, dict) or key not in told:
                raise RejectedError(f"Tryton's {object_name} has no {key}.", remedy="This connector needs Tryton 8.2.")
        return described
