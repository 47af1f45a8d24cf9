"""Lists of Xero's stand-in: what a question finds, in which order, and a page of it with the count of all.
Guarantees that a filter it does not know is refused, and never left out in silence. Source: Xero's OpenAPI, 16.1.0.
Next: simulator_filter.py for the ``where`` language.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from accordant.connectors.sdk.plain_json import Row
from accordant.connectors.xero.simulator_books import ID_FIELD, STATUS_FIELD, Books
from accordant.connectors.xero.simulator_filter import FilterInvalid, compiled, value_of

PAGE, PAGE_MAX = 100, 1_000
#: What is told with a page alone.
_ONLY_IN_PAGES = {
    "Invoices": frozenset({"LineItems"}),
    "CreditNotes": frozenset({"LineItems"}),
    "ManualJournals": frozenset({"JournalLines"}),
    "Contacts": frozenset({"MergedToContactID"}),
}
#: Filters of one collection, and the field that each lists values of.
_LISTED = {
    "Invoices": {
        "IDs": "InvoiceID",
        "InvoiceNumbers": "InvoiceNumber",
        "ContactIDs": "Contact.ContactID",
        "Statuses": "Status",
    },
    "Contacts": {"IDs": "ContactID"},
}
#: What a term is searched in, without a difference between large and small letters.
_SEARCHED = {"Contacts": ("Name", "FirstName", "LastName", "ContactNumber", "EmailAddress")}
_EVERYWHERE = frozenset({"where", "order", "page", "pageSize", "unitdp", "summaryOnly", "includeArchived"})


def listed(books: Books, name: str, query: Mapping[str, str], since: str | None) -> Row:
    """The answer to a question for a collection; ``since`` is the header. Raises FilterInvalid, KeyError."""
    table = books.tables[name]
    words = _LISTED.get(name, {})
    searched = _SEARCHED.get(name, ())
    if unknown := query.keys() - _EVERYWHERE - words.keys() - ({"searchTerm"} if searched else set()):
        raise FilterInvalid(f"This stand-in knows no parameter {min(unknown)} of {name}")
    test = compiled(query["where"]) if query.get("where") else lambda _row: True
    rows = [row for row in table.values() if test(row) and _since(books, row[ID_FIELD[name]], since)]
    for word, field in words.items():
        if wanted := query.get(word):
            rows = [row for row in rows if str(value_of(row, field)) in wanted.split(",")]
    if term := query.get("searchTerm", "").casefold():
        rows = [row for row in rows if any(term in str(row.get(field) or "").casefold() for field in searched)]
    if name == "Contacts" and query.get("includeArchived", "").lower() != "true":
        rows = [row for row in rows if row[STATUS_FIELD[name]] != "ARCHIVED"]
    rows = _ordered(rows, query.get("order"))
    if "page" in query:
        return _page(name, rows, query)
    return {name: [_summary(name, row) for row in rows]}


def _since(books: Books, one: str, header: str | None) -> bool:
    if header is None:
        return True
    since = datetime.fromisoformat(header).replace(tzinfo=UTC)
    return books.changed.get(one, since) >= since


def _ordered(rows: list[Row], order: str | None) -> list[Row]:
    """By fields such as ``Name`` or ``UpdatedDateUTC DESC``, the last of them first since sorting is stable."""
    for part in reversed((order or "").split(",")):
        if not part.strip():
            continue
        field, _, way = part.strip().partition(" ")
        if way.strip().upper() not in {"", "ASC", "DESC"}:
            raise FilterInvalid(f"No property or operator expected at {way!r}")
        known = [row for row in rows if value_of(row, field) is not None]
        known.sort(key=lambda row: _comparable(value_of(row, field)), reverse=way.strip().upper() == "DESC")
        rows = [*known, *(row for row in rows if value_of(row, field) is None)]
    return rows


def _comparable(value: Any) -> Any:
    return value.casefold() if isinstance(value, str) else value


def _page(name: str, rows: list[Row], query: Mapping[str, str]) -> Row:
    number, size = int(query["page"]), int(query.get("pageSize", PAGE))
    if number < 1 or not 1 <= size <= PAGE_MAX:
        raise FilterInvalid(f"page {number} of {size}")
    told = {"page": number, "pageSize": size, "pageCount": -(-len(rows) // size), "itemCount": len(rows)}
    return {"pagination": told, name: rows[(number - 1) * size : number * size]}


def _summary(name: str, row: Row) -> Row:
    left_out = _ONLY_IN_PAGES.get(name, frozenset())
    return {field: value for field, value in row.items() if field not in left_out}
