"""What a batch knows and decides of matching: loaded once, then as the batch itself has changed it. In memory only.

Next: `match.py`, which reads from it and lays its results on it.
"""

from collections.abc import Collection, Iterable, Mapping

from accordant.canonical.matching import PENDING_PREFIX, Candidate, MatchKey, RecordLink, ReviewCase
from accordant.ports.directory import DirectoryEntry, Found
from accordant.ports.matching import MatchBook, MatchChanges, MatchState

_NOTHING = MatchState(links=(), written={}, rejected=frozenset(), cases={}, scanned=frozenset())


class MatchTable:
    """One batch's view of links, questions and the directory."""

    def __init__(self, book: MatchBook, changes: MatchChanges) -> None:
        self.known = _NOTHING
        self.changes = changes
        self._book = book
        self._links: dict[tuple[str, str, str], RecordLink] = {}
        self._foreseen: dict[tuple[str, str, frozenset[MatchKey]], Found] = {}
        self._ways: dict[tuple[str, str, str], Candidate | None] = {}
        self._put: dict[tuple[str, str], dict[str, DirectoryEntry]] = {}

    def load(self, account_ids: Iterable[str]) -> None:
        """Fetch what was decided about accounts, once for the batch."""
        self.known = self._book.of_accounts(account_ids)
        self._links.update({(link.account_id, link.system, link.object): link for link in self.known.links})

    def fetch(self, account_ids: Collection[str]) -> None:
        """Fetch the links of accounts that the batch decides nothing about, and of those they share a record with."""
        decided = {account_id for account_id, _, _ in self._links}
        if missing := set(account_ids) - decided:
            for link in self._book.of_accounts(missing).links:
                self._links.setdefault((link.account_id, link.system, link.object), link)

    def link_of(self, account_id: str, system: str, object_name: str) -> RecordLink | None:
        """The link of an account, as this batch sees it."""
        return self._links.get((account_id, system, object_name))

    def sharers(self, link: RecordLink) -> tuple[RecordLink, ...]:
        """All links to the record that this one leads to, itself included."""
        return tuple(
            one
            for one in self._links.values()
            if (one.system, one.object, one.key) == (link.system, link.object, link.key)
        )

    def holders(self, system: str, object_name: str, record_id: str) -> tuple[RecordLink, ...]:
        """The links that lead to a record, those of this batch included; the one that came first comes first."""
        stored = self._book.holders(system, object_name, record_id)
        self._links = {(one.account_id, one.system, one.object): one for one in stored} | self._links
        key = record_id.removeprefix(PENDING_PREFIX) if record_id.startswith(PENDING_PREFIX) else None
        found = [
            one
            for one in self._links.values()
            if (one.system, one.object) == (system, object_name)
            and (one.key == key if key is not None else one.target_id == record_id)
        ]
        return tuple(sorted(found, key=lambda one: (one.linked_at, one.account_id)))

    def foresee(self, system: str, object_name: str, asked: Mapping[str, frozenset[MatchKey]]) -> None:
        """Ask the directory for many customers at once: what it has under the keys of each.

        ``asked`` has the id of each customer's own way into the directory.
        """
        place = (system, object_name)
        ways = self._book.records(system, object_name, asked)
        self._ways.update({(*place, name): ways.get(name) for name in asked})
        questions = sorted({keys for keys in asked.values() if keys}, key=sorted)
        answers = self._book.lookup_many(system, object_name, questions) if questions else []
        self._foreseen.update({(*place, keys): found for keys, found in zip(questions, answers, strict=True)})

    def way(self, system: str, object_name: str, record_id: str) -> Candidate | None:
        """A customer's own way into the directory, as this batch sees it; None where it has none."""
        name = (system, object_name, record_id)
        if name not in self._ways:
            self._ways[name] = self._book.records(system, object_name, [record_id]).get(record_id)
        return self._ways[name]

    def lookup(self, system: str, object_name: str, keys: frozenset[MatchKey]) -> Found:
        """What the directory has under these keys, with what this very batch has decided to create."""
        name = (system, object_name, keys)
        if name not in self._foreseen:
            self._foreseen[name] = self._book.lookup_many(system, object_name, [keys])[0]
        found = self._foreseen[name]
        here = self._put.get((system, object_name), {})
        # What this batch has put is found by its new keys only, and what it took away by none.
        records = {
            record_id: record
            for record_id, record in found.records.items()
            if record_id not in here and (system, object_name, record_id) not in self.changes.astray
        }
        records |= {one.record.id: one.record for one in here.values() if not keys.isdisjoint(one.keys)}
        # What leads on to another record of this batch leads nowhere without it.
        led_to = {record.merged_into for record in records.values()}
        records |= {one.record.id: one.record for one in here.values() if one.record.id in led_to}
        return Found(records=records, crowded=found.crowded)

    def put_link(self, link: RecordLink) -> None:
        """Lay down which record an account's facts go to."""
        self._links[link.account_id, link.system, link.object] = link
        self.changes.links.append(link)

    def leave(self, link: RecordLink) -> None:
        """An account's facts no longer go to the record of ``link``: what others add up there changes with it."""
        for one in self._book.holders(link.system, link.object, f"{PENDING_PREFIX}{link.key}"):
            if one.account_id != link.account_id:
                self.changes.left_behind.add(one.account_id)

    def put_case(self, case: ReviewCase) -> None:
        """Lay down a question to a person."""
        self.known.cases[case.id] = case
        self.changes.cases.append(case)

    def lapse_case(self, case_id: str, reason: str) -> None:
        """Take a question back that has answered itself."""
        self.known.cases.pop(case_id, None)
        self.changes.lapsed[case_id] = reason

    def put_way(self, entry: DirectoryEntry) -> None:
        """Lay down a customer's way to its record, so that it is found before it is there."""
        record = entry.record
        self._ways[record.system, record.object, record.id] = record
        self._put.setdefault((record.system, record.object), {})[record.id] = entry
        self.changes.astray.discard((record.system, record.object, record.id))
        self.changes.directory.append(entry)

    def drop_way(self, system: str, object_name: str, record_id: str) -> None:
        """Take a customer's way out of the directory: it leads to no record any more."""
        self._ways[system, object_name, record_id] = None
        if self._put.get((system, object_name), {}).pop(record_id, None) is not None:
            kept = [one for one in self.changes.directory if one.record.id != record_id or one.record.system != system]
            self.changes.directory[:] = kept
        self.changes.astray.add((system, object_name, record_id))
