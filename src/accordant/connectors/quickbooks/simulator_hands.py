"""What people do to the stand-in's records on the screen: correct one, make a customer inactive, merge two into one.
Guarantees what QuickBooks leaves behind: nothing of a list is deleted, it is inactive and says so in its name; and no
customer says into which it was merged. Next: simulator_books.py for voids and deletions.
"""

from __future__ import annotations

from accordant.connectors.quickbooks.simulator_books import TRANSACTIONS, Books, Refused
from accordant.connectors.sdk.plain_json import Json

_DELETED = " (deleted)"


def correct(books: Books, entity: str, one: str, **values: Json) -> None:
    """Somebody overwrites members of a record."""
    row = books.tables[entity][one]
    row |= values
    books.touch(row)


def deactivate(books: Books, customer: str) -> None:
    """Somebody makes a customer inactive: it stays, under another name, and takes no document any more."""
    row = books.tables["Customer"][customer]
    correct(books, "Customer", customer, Active=False, DisplayName=f"{row['DisplayName']}{_DELETED}")


def merge(books: Books, survivor: str, loser: str) -> None:
    """Somebody merges a customer into another, which gets its documents. Raises Refused for one that is inactive."""
    customers = books.tables["Customer"]
    if survivor == loser or not all(customers[one]["Active"] for one in (survivor, loser)):
        raise Refused("610", "Object Not Found", "Something you're trying to use has been made inactive.")
    for entity in TRANSACTIONS:
        for row in books.tables[entity].values():
            if (row.get("CustomerRef") or {}).get("value") == loser:
                row["CustomerRef"] = {"value": survivor}
            for line in row["Line"]:
                party = (line.get("JournalEntryLineDetail") or {}).get("Entity") or {}
                if (party.get("EntityRef") or {}).get("value") == loser:
                    party["EntityRef"] = {"value": survivor}
    deactivate(books, loser)
    correct(books, "Customer", survivor)
