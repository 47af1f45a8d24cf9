"""The search of the Stripe stand-in: a query language of few words, and an index that is late, as Stripe's is.

A clause it does not know is refused. How late it is follows the stand-in's clock.
"""

import re
from collections.abc import Callable

from accordant.connectors.stripe.simulator_state import Book, Record, SimulatedRefusal

#: Collections that can be searched here.
SEARCHED = frozenset(("customers", "subscriptions"))
LAG_S = 20
CLAUSES_MAX = 10
_METADATA = re.compile(r"""metadata\[(["'])(?P<name>[^"']+)\1\]:(["'])(?P<value>(?:[^\\]|\\.)*)\3\Z""")
_EMAIL = re.compile(r"""email:(["'])(?P<value>(?:[^\\]|\\.)*)\1\Z""")
_JOINS = re.compile(r"""\s+(AND|OR)\s+(?=(?:metadata\[|email:))""")
_BEFORE = "before_change"


def note_change(book: Book, record: Record) -> None:
    """Keep what a record is before it changes: the index shows that for a while, the oldest of several."""
    private = book.private_of(record["id"])
    if _BEFORE not in private or book.now >= private[_BEFORE][0] + LAG_S:
        private[_BEFORE] = (book.now, dict(record["metadata"]), record.get("email"))


class Searching:
    """The index of one account."""

    def __init__(self, book: Book) -> None:
        self.book = book

    def search(self, kind: str, query: str) -> list[Record]:
        """The records that match as the index knows them, newest first, each as it is now."""
        matches = _parse(query)
        found = [one for one in self.book.table(kind).values() if (seen := self._indexed(one)) and matches(*seen)]
        return found[::-1]

    def _indexed(self, record: Record) -> tuple[dict[str, str], str | None] | None:
        if self.book.now < record["created"] + LAG_S:
            return None
        changed = self.book.private_of(record["id"]).get(_BEFORE)
        if changed is not None and self.book.now < changed[0] + LAG_S:
            return changed[1], changed[2]
        return record["metadata"], record.get("email")


Matches = Callable[[dict[str, str], str | None], bool]


def _parse(query: str) -> Matches:
    parts = _JOINS.split(query.strip())
    clauses, joins = [_clause(one) for one in parts[::2]], set(parts[1::2])
    if len(clauses) > CLAUSES_MAX:
        raise SimulatedRefusal(400, f"A query has at most {CLAUSES_MAX} clauses.", param="query")
    if len(joins) > 1:
        raise SimulatedRefusal(400, "AND and OR cannot be used together.", param="query")
    joined = all if joins == {"AND"} else any
    return lambda metadata, email: joined(one(metadata, email) for one in clauses)


def _clause(spelled: str) -> Matches:
    if (said := _METADATA.match(spelled)) is not None:
        name, value = said["name"], _bare(said["value"])
        return lambda metadata, _: metadata.get(name) == value
    if (said := _EMAIL.match(spelled)) is not None:
        mail = _bare(said["value"]).casefold()
        return lambda _, email: email is not None and email.casefold() == mail
    raise SimulatedRefusal(400, f"The query cannot be read at: {spelled[:60]}", param="query")


def _bare(quoted: str) -> str:
    return re.sub(r"\\(.)", r"\1", quoted)
