"""What a batch knows and decides of matching: loaded once, then as the batch itself has changed it. In memory only.

Next: `match.py`, which reads from it and lays its results on it.
"""

from collections.abc import Iterable

from accordant.canonical.matching import PENDING_PREFIX, MatchKey, RecordLink, ReviewCase
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

    def load(self, account_ids: Iterable[str]) -> None:
        """Fetch what was decided about accounts, once for the batch."""
        self.known = self._book.of_accounts(account_ids)
        self._links.update({(link.account_id, link.system, link.object): link for link in self.known.links})

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

    def lookup(self, system: str, object_name: str, keys: Iterable[MatchKey]) -> Found:
        """What the directory has under these keys, with what this very batch has decided to create."""
        asked = frozenset(keys)
        found = self._book.lookup(system, object_name, asked)
        here = [
            one for one in self.changes.directory if (one.record.system, one.record.object) == (system, object_name)
        ]
        found.records.update({one.record.id: one.record for one in here if not asked.isdisjoint(one.keys)})
        # What leads on to another record of this batch leads nowhere without it.
        led_to = {record.merged_into for record in found.records.values()}
        found.records.update({one.record.id: one.record for one in here if one.record.id in led_to})
        return found

    def put_link(self, link: RecordLink) -> None:
        """Lay down which record an account's facts go to."""
        self._links[link.account_id, link.system, link.object] = link
        self.changes.links.append(link)

    def put_case(self, case: ReviewCase) -> None:
        """Lay down a question to a person."""
        self.known.cases[case.id] = case
        self.changes.cases.append(case)

    def lapse_case(self, case_id: str, reason: str) -> None:
        """Take a question back that has answered itself."""
        self.known.cases.pop(case_id, None)
        self.changes.lapsed[case_id] = reason

    def put_directory(self, entry: DirectoryEntry) -> None:
        """Lay down a record that is to be created, so that it is found before it is there."""
        self.changes.directory.append(entry)
