"""What the hub remembers of accounts, as a table in memory: implements the port `LinkMemory`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from accordant.canonical.intents import WireValue
from accordant.canonical.matching import Candidate, Subject
from accordant.ports.outbox import LeasedIntent, Remembering, SentRequest
from accordant.ports.review import Remembered


@dataclass
class Memory:
    """What the hub remembers, as a table in memory."""

    known: dict[str, str] = field(default_factory=dict)
    directory: dict[str, Candidate] = field(default_factory=dict)
    chosen: set[str] = field(default_factory=set)
    rejected: dict[str, frozenset[str]] = field(default_factory=dict)
    waiting: dict[str, str] = field(default_factory=dict)
    written: set[str] = field(default_factory=set)
    emails: dict[str, str] = field(default_factory=dict)
    first: dict[str, dict[str, WireValue]] = field(default_factory=dict)
    #: The target's ids of documents, by key.
    made: dict[str, str] = field(default_factory=dict)

    def remember(self, system: str, object_name: str, account_ids: Collection[str]) -> dict[str, Remembered]:
        assert system == "crm"
        return {
            one: Remembered(
                target_id=self.known.get(one),
                by_person=one in self.chosen,
                rejected=self.rejected.get(one, frozenset()),
                waiting=self.waiting.get(one),
            )
            for one in account_ids
        }

    def subjects(self, account_ids: Collection[str], *, reference_key: str | None) -> dict[str, Subject]:
        return {
            one: Subject(
                account_id=one,
                external_id=one.removeprefix("acc_"),
                name="Example Robotics",
                emails=(self.emails.get(one, f"{one}@example.com"),),
            )
            for one in account_ids
        }

    def candidates(self, system: str, object_name: str, target_ids: Collection[str]) -> dict[str, Candidate]:
        return {one: self.directory[one] for one in target_ids if one in self.directory}

    def found_there(self, system: str, object_name: str, key: str, target_id: str) -> dict[str, WireValue]:
        return self.first.get(target_id, {})

    def confirmed(self, system: str, object_name: str, keys: Collection[str]) -> dict[str, str]:
        return {key: self.made[key] for key in keys if key in self.made}

    def was_written(self, system: str, target_ids: Collection[str]) -> frozenset[str]:
        return frozenset(self.written & set(target_ids))


@dataclass
class MemoryJobs:
    """Implements `ports.handed_jobs.HandedJobs`."""

    until: dict[tuple[str, str], datetime] = field(default_factory=dict)

    def note(self, target: str, job: str, *, until: datetime) -> None:
        self.until[target, job] = until

    def over(self, target: str, job: str) -> None:
        self.until.pop((target, job), None)

    def left(self, target: str, *, at: datetime) -> tuple[str, ...]:
        return tuple(sorted(job for (name, job), until in self.until.items() if name == target and until <= at))


@dataclass
class MemoryRequests:
    """Implements `ports.outbox.RequestBook`; whoever asks still holds everything."""

    kept: dict[str, SentRequest] = field(default_factory=dict)
    jobs: MemoryJobs = field(default_factory=MemoryJobs)

    def sent(self, records: Collection[str]) -> dict[str, SentRequest]:
        return {record: self.kept[record] for record in records if record in self.kept}

    def note_sent(self, requests: Mapping[str, SentRequest], leased: Sequence[LeasedIntent]) -> frozenset[str]:
        self.kept |= {request.record: request for request in requests.values()}
        return frozenset(one.intent.id for one in leased)

    def settle(self, remember: Remembering | None) -> None:
        """What a settlement does."""
        if remember is None:
            return
        if remember.request is None:
            self.kept.pop(remember.record, None)
        else:
            self.kept[remember.record] = remember.request
