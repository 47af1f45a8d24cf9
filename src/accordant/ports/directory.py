"""The directory: what is known of the records a target holds, found by normalised keys. Filled by a scan, kept by our
own writes.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from accordant.canonical.matching import Candidate, MatchKey

#: Records that one key may lead to: a key that more of them share tells nothing apart.
FANOUT_MAX = 50


class DirectoryEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A record and the keys under which it is to be found, as `identity.keys` makes them."""

    record: Candidate
    keys: frozenset[MatchKey]


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What a question found. ``records`` by id, those into which they were merged included; ``crowded`` are the keys
    that more than FANOUT_MAX records share, of which only so many are given.
    """

    records: dict[str, Candidate]
    crowded: frozenset[MatchKey] = frozenset()


class Directory(Protocol):
    """Obligations: a record is found under every key it was put with, from the commit of ``put`` on."""

    def lookup(self, system: str, object_name: str, keys: Iterable[MatchKey]) -> Found:
        """The records of one object that have any of these keys; deleted ones included, they say so."""
        ...

    def lookup_many(self, system: str, object_name: str, questions: Sequence[frozenset[MatchKey]]) -> list[Found]:
        """The same for many customers at once: an answer for each question, in their order."""
        ...

    def records(self, system: str, object_name: str, ids: Iterable[str]) -> dict[str, Candidate]:
        """The records with these ids."""
        ...

    def put(self, entries: Sequence[DirectoryEntry], *, now: datetime) -> None:
        """Add records, or replace what was known of them, keys included."""
        ...

    def remove(self, system: str, object_name: str, ids: Iterable[str]) -> int:
        """Forget records; how many there were."""
        ...

    def count(self, system: str, object_name: str) -> int:
        """How many records are known of one object, deleted and merged ones not counted."""
        ...
