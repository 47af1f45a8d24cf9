"""Whose a customer of QuickBooks is: the queries that find one, and its row as a candidate.
Guarantees that no value can change a query, and that only active customers are told of.
Source: Intuit's query language, which knows no OR. Next: outbound.py, which asks.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterator

from accordant.canonical.matching import Candidate, MatchKey
from accordant.canonical.targets import IdentitySpec
from accordant.connectors.quickbooks.api import Api
from accordant.connectors.quickbooks.customers import CUSTOMER, fields_of, key_of
from accordant.connectors.quickbooks.wire import listed, quoted
from accordant.connectors.sdk.ledger_search import (
    check_fields,
    filled,
    host,
    mail_words,
    name_words,
    place,
    references,
)
from accordant.connectors.sdk.plain_json import Row

_PHONES = ("PrimaryPhone", "AlternatePhone", "Mobile")
_ADDRESSES = ("BillAddr", "ShipAddr")


class CustomerSearch:
    """Implements ``ledger_outbound.Searched`` for customers.

    A tax number cannot be asked for, and is shown only in part: it is found by reading everybody, where it is whole.
    """

    def __init__(self, api: Api) -> None:
        self._api = api

    async def search(self, spec: IdentitySpec, keys: Collection[MatchKey]) -> tuple[Candidate, ...]:
        """See the protocol. A page for each query: what more customers share tells nothing apart."""
        check_fields("QuickBooks", spec)
        found: dict[int, Candidate] = {}
        for where in _queries(keys):
            rows = await self._api.rows(CUSTOMER, where)
            found |= {int(row["Id"]): read_candidate(spec, row) for row in rows}
        return tuple(found[one] for one in sorted(found))

    async def census(self, spec: IdentitySpec, *, after: str) -> AsyncIterator[tuple[Candidate, ...]]:
        """See the protocol. Those up to ``after`` are read again and left out: an id is no number to a query."""
        check_fields("QuickBooks", spec)
        last = int(after) if after.isdecimal() else 0
        async for rows in self._api.pages(CUSTOMER):
            behind = [row for row in rows if int(row["Id"]) > last]
            if behind:
                yield tuple(read_candidate(spec, row) for row in behind)


def _queries(keys: Collection[MatchKey]) -> Iterator[str]:
    """A phone or a place is spelled in too many ways to be asked for."""
    for word in mail_words(keys):
        yield f"PrimaryEmailAddr like {quoted(f'%{word}%')}"
    for word in name_words(keys):
        yield f"DisplayName like {quoted(f'%{word}%')}"
    if ids := [one for one in references(keys) if one.isdecimal()]:
        yield f"Id in {listed(ids)}"


def read_candidate(spec: IdentitySpec, row: Row) -> Candidate:
    """One customer as a candidate, with the one above it."""
    postcode, country = place(row.get(name) for name in _ADDRESSES)
    name = fields_of(row)["name"]
    # What is hidden but for its end tells nothing apart, and is read by nobody as a number.
    taxed = filled(row.get("PrimaryTaxIdentifier"), row.get("BusinessNumber"))
    return Candidate(
        system=spec.system,
        object=spec.object,
        id=str(row["Id"]),
        name=str(name) if name else None,
        emails=filled((row.get("PrimaryEmailAddr") or {}).get("Address")),
        domains=host((row.get("WebAddr") or {}).get("URI")),
        tax_ids=taxed,
        cross_references=filled(key_of(row)),
        phones=filled(*((row.get(name) or {}).get("FreeFormNumber") for name in _PHONES)),
        postcode=postcode,
        country=country,
        parent_id=(row.get("ParentRef") or {}).get("value") or None,
    )
