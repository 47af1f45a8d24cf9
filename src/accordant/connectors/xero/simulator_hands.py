"""What people do to the stand-in's records on the screen: correct one, archive a contact, merge two into one.
Guarantees what Xero leaves behind: every change has its moment, and a contact that was merged names the other.
Source: Xero's OpenAPI, 16.1.0 (``ContactStatus``, ``MergedToContactID``). Next: simulator_books.py for voids.
"""

from __future__ import annotations

from accordant.connectors.sdk.plain_json import Json
from accordant.connectors.xero.simulator_books import Books, Refused


def correct(books: Books, table: str, one: str, **values: Json) -> None:
    """Somebody overwrites fields of a record."""
    row = books.tables[table][one]
    row |= values
    books.touch(row, one)


def archive(books: Books, contact: str) -> None:
    """Somebody archives a contact: it stays, and takes no document any more."""
    correct(books, "Contacts", contact, ContactStatus="ARCHIVED")


def merge(books: Books, survivor: str, loser: str) -> None:
    """Somebody merges a contact into another, which gets its documents. Raises Refused for one that is archived."""
    contacts = books.tables["Contacts"]
    if survivor == loser or any(contacts[one]["ContactStatus"] != "ACTIVE" for one in (survivor, loser)):
        raise Refused("Only two active contacts can be merged")
    books.show_contact(loser, contacts[survivor])
    correct(books, "Contacts", loser, ContactStatus="ARCHIVED", MergedToContactID=survivor)
    correct(books, "Contacts", survivor)
