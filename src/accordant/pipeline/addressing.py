"""Whom a ledger document names at a target: the key of the record that stands for its customer there.

Where several billing customers share a record, the documents of each go to it. What is posted stays with the record it
was posted to, whatever was decided since. Next: `pipeline/plan.py`, which decides documents.
"""

from collections.abc import Mapping

import msgspec

from accordant.canonical.charter import MappingPart
from accordant.canonical.documents import LedgerDocument, sorted_lines
from accordant.canonical.intents import WireValue
from accordant.canonical.refs import ExternalRef
from accordant.governance.ownership import facts_of
from accordant.pipeline.bookkeep import Ledger, recall_documents
from accordant.pipeline.match import Matcher, Seated, seat_of
from accordant.pipeline.workbench import ACTOR, LaidDocument, Workbench
from accordant.ports.state import DesiredRecord

#: What a ledger document calls a customer, see `ledger/documents.py`.
_CUSTOMER = "customer"
#: The facts of a document that name customers.
_NAMING = frozenset({"party", "lines"})


class Addressing:
    """Whom the documents of one batch name at each target."""

    def __init__(self, bench: Workbench, matchers: Mapping[str, Matcher]) -> None:
        self._bench = bench
        self._matchers = matchers
        if matchers and bench.documents:
            refs = {_ref(laid, name) for laid in bench.documents for name in _named(laid.document)}
            bench.load_links(refs - bench.links.keys())
            owners = {bench.links[ref].id for ref in refs if ref in bench.links}
            bench.matching.fetch(owners | {laid.root_id for laid in bench.documents})

    def address(self, laid: LaidDocument, target: str) -> tuple[LedgerDocument, tuple[str, ...]]:
        """A document as a target is to hold it, and the accounts it is of: that of its lane comes first."""
        matcher = self._matchers.get(target)
        if matcher is None:
            return laid.document, (laid.root_id,)
        keys = {name: self._key(laid, name, matcher) for name in _named(laid.document)}
        lines = (
            line if line.party is None else msgspec.structs.replace(line, party=keys[line.party])
            for line in laid.document.lines
        )
        party = laid.document.party
        document = msgspec.structs.replace(
            laid.document, party=None if party is None else keys[party], lines=sorted_lines(lines)
        )
        seat = seat_of(laid.root_id, matcher, self._bench)
        lead = laid.root_id if seat is None else seat.members[0]
        return document, tuple(dict.fromkeys((lead, laid.root_id)))

    def _key(self, laid: LaidDocument, name: str, matcher: Matcher) -> str:
        owner = self._bench.links.get(_ref(laid, name))
        seat: Seated | None = None if owner is None else seat_of(owner.id, matcher, self._bench)
        return name if seat is None else seat.key


def recall_readdressed(bench: Workbench, matchers: Mapping[str, Matcher], ledger: Ledger | None) -> None:
    """Lay the documents of accounts on the bench again whose record may be another one from now on: one linked in this
    batch, and of those that were fetched whole one that shares a record, or whose record a person chose.
    """
    if ledger is None or not ledger.is_told:
        return
    fresh = {link.account_id for link in bench.matching.changes.links}
    wanted = fresh | {
        name
        for name in bench.touched
        if bench.is_whole(name)
        for matcher in matchers.values()
        if (link := bench.matching.link_of(name, matcher.system, matcher.object)) is not None
        and (link.actor != ACTOR or (account := bench.account(name)) is None or link.key != account.external_id)
    }
    if wanted:
        laid = {one.document.external_id for one in bench.documents}
        kept = (one for one in bench.books.entries_of(wanted) if one.entry.id not in laid)
        recall_documents(bench, kept, bench.books, again=True)


def as_posted(fields: Mapping[str, WireValue], mapping: MappingPart, old: DesiredRecord | None) -> dict[str, WireValue]:
    """The fields of a document that is posted, naming whom it named when it was."""
    kept = {} if old is None else old.fields
    naming = {name for name, part in mapping.fields.items() if not _NAMING.isdisjoint(facts_of(part))}
    return {name: kept.get(name, value) if name in naming else value for name, value in fields.items()}


def _named(document: LedgerDocument) -> frozenset[str]:
    names = {document.party, *(line.party for line in document.lines)}
    return frozenset(name for name in names if name is not None)


def _ref(laid: LaidDocument, name: str) -> ExternalRef:
    return ExternalRef(laid.system, _CUSTOMER, name)
