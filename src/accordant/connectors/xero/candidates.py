"""Whose a contact is: the questions that find one, and its row as a candidate.
Guarantees that only active contacts are told of, and that a search costs few of the day's calls.
Source: Xero's own OpenAPI, version 16.1.0 (``searchTerm``, ``where``, ``IDs``). Next: outbound.py, which asks.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Collection, Iterator, Mapping

from accordant.canonical.matching import Candidate, MatchKey
from accordant.canonical.observations import Fate
from accordant.canonical.targets import IdentitySpec
from accordant.connectors.sdk.ledger_search import (
    check_fields,
    filled,
    host,
    mail_words,
    name_words,
    place,
    references,
    tax_numbers,
)
from accordant.connectors.sdk.plain_json import Row
from accordant.connectors.xero.api import PAGE, Api
from accordant.connectors.xero.contacts import CONTACTS, KEY, fate_of, fields_of
from accordant.connectors.xero.wire import quoted

#: The address that says where a company is, before the one for its post.
_ADDRESSES = ("STREET", "POBOX")
_GUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class ContactSearch:
    """Implements ``ledger_outbound.Searched`` for contacts."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def search(self, spec: IdentitySpec, keys: Collection[MatchKey]) -> tuple[Candidate, ...]:
        """See the protocol. A page for each question: what more contacts share tells nothing apart."""
        check_fields("Xero", spec)
        found: dict[str, Candidate] = {}
        for question in _questions(keys):
            rows = await self._api.rows(CONTACTS, {**question, "page": "1", "pageSize": str(PAGE)})
            found |= {str(row["ContactID"]): read_candidate(spec, row) for row in rows if fate_of(row) is Fate.STANDS}
        return tuple(found[one] for one in sorted(found))

    async def census(self, spec: IdentitySpec, *, after: str) -> AsyncIterator[tuple[Candidate, ...]]:
        """See the protocol. Xero cannot be asked for what lies behind an id: those before it are read and left out."""
        check_fields("Xero", spec)
        async for rows in self._api.pages(CONTACTS, {"order": "ContactID"}):
            live = [row for row in rows if str(row["ContactID"]) > after and fate_of(row) is Fate.STANDS]
            if live:
                yield tuple(read_candidate(spec, row) for row in live)


def _questions(keys: Collection[MatchKey]) -> Iterator[Mapping[str, str]]:
    """A phone or a place is spelled in too many ways to be asked for."""
    for word in (*mail_words(keys), *name_words(keys)):
        yield {"searchTerm": word}
    if numbers := tax_numbers(keys):
        alike = " OR ".join(f"TaxNumber.Contains({quoted(number)})" for number in numbers)
        yield {"where": f"TaxNumber!=null AND ({alike})"}
    if ids := [one for one in references(keys) if _GUID.fullmatch(one)]:
        yield {"IDs": ",".join(ids)}


def read_candidate(spec: IdentitySpec, row: Row) -> Candidate:
    """One contact as a candidate; its people's addresses are its own too."""
    people = [one.get("EmailAddress") for one in row.get("ContactPersons") or []]
    placed = {str(one.get("AddressType")): one for one in row.get("Addresses") or []}
    postcode, country = place(placed.get(kind) for kind in _ADDRESSES)
    phones = (
        "".join(filled(one.get("PhoneCountryCode"), one.get("PhoneAreaCode"), one.get("PhoneNumber")))
        for one in row.get("Phones") or []
    )
    name = fields_of(row)["name"]
    return Candidate(
        system=spec.system,
        object=spec.object,
        id=str(row["ContactID"]),
        name=str(name) if name else None,
        emails=filled(row.get("EmailAddress"), *people),
        domains=host(row.get("Website")),
        tax_ids=filled(row.get("TaxNumber")),
        cross_references=filled(row.get(KEY)),
        phones=filled(*phones),
        postcode=postcode,
        country=country,
    )
