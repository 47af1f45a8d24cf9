"""Targets in memory, one of each destination class: each keeps its own ledger of what was really carried out.

The ledger counts by business identity and reads nothing of the hub: it is the oracle of every test about writing twice.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from accordant.canonical.intents import KEY_REUSED, Applied, RefusalClass, Refused, WireValue, WriteOutcome
from accordant.canonical.matching import Candidate, MatchKey
from accordant.canonical.shapes import DescribedField
from accordant.canonical.targets import CurrentRecord, IdentitySpec, ObjectSpec, Whereabouts
from accordant.kernel.clock import Clock
from accordant.kernel.hashing import fingerprint
from accordant.ports.connector import ALREADY_THERE, DestinationClass, RecordWrite, WriteProtocol, WriteResult
from accordant.ports.last_word import ask_last_word

#: How long a target of class B knows an idempotency key.
KEY_LIFE = timedelta(hours=24)
#: How long a new record of class B or D is missing from its search.
SEARCH_LAG = timedelta(seconds=20)
#: What each class offers, as a manifest would say it.
PROTOCOLS = {
    DestinationClass.NATIVE_UPSERT: WriteProtocol(destination_class=DestinationClass.NATIVE_UPSERT),
    DestinationClass.IDEMPOTENCY_KEY: WriteProtocol(
        destination_class=DestinationClass.IDEMPOTENCY_KEY, key_life=KEY_LIFE, settles_after=SEARCH_LAG
    ),
    DestinationClass.UNIQUE_NUMBER: WriteProtocol(destination_class=DestinationClass.UNIQUE_NUMBER),
    DestinationClass.SEARCH_ONLY: WriteProtocol(
        destination_class=DestinationClass.SEARCH_ONLY, settles_after=SEARCH_LAG
    ),
    DestinationClass.NOTHING: WriteProtocol(destination_class=DestinationClass.NOTHING),
}
_BATCH_MAX = 200


class Lie(StrEnum):
    """An answer that is not true."""

    DONE = "done said, nothing done"
    FAILED = "error said, done"
    OTHER_RECORD = "another record named"


class CallMoment(StrEnum):
    """Where something may happen to a call."""

    READ = "read"
    READ_ANSWER = "answer of a read"
    WRITE = "write"
    WRITE_ANSWER = "answer of a write"


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """One thing a target really did: a record made, or fields of one changed.

    ``identity`` is the business's own: the object and the key, never an idempotency key. ``request`` is the key that
    came along, kept as evidence.
    """

    target: str
    identity: str
    created: bool
    fields: tuple[tuple[str, WireValue, WireValue], ...]
    request: str
    at: datetime


class _Kept(msgspec.Struct):
    """A record as it is stored: ``visible_at`` is when a search finds it."""

    target_id: str
    object: str
    key: str | None
    fields: dict[str, WireValue]
    visible_at: datetime
    changed_at: datetime
    changed_by: str


class _Answered(msgspec.Struct, frozen=True):
    """What was answered under an idempotency key."""

    fingerprint: str
    outcome: WriteOutcome
    until: datetime


def nothing_happens(_moment: CallMoment, _records: int) -> None:
    """Fair weather."""


def nobody_lies(_record: RecordWrite) -> Lie | None:
    """Every answer is true."""
    return None


class MemoryDestination:
    """Implements `ports.connector.Outbound` for any object of any mapping.

    ``weather`` is called around every call with its number of records and may raise what a network raises, ``lie`` for
    every record that is written; ``begun`` is told of each write before it is carried out.
    """

    batch_max = _BATCH_MAX

    def __init__(
        self,
        name: str,
        destination_class: DestinationClass,
        *,
        clock: Clock,
        weather: Callable[[CallMoment, int], None] = nothing_happens,
        lie: Callable[[RecordWrite], Lie | None] = nobody_lies,
        begun: Callable[[ObjectSpec, RecordWrite], None] | None = None,
    ) -> None:
        self.name = name
        self.destination_class = destination_class
        self.weather = weather
        self.lie = lie
        self.begun = begun
        self.effects: list[Effect] = []
        self.calls: Counter[str] = Counter()
        self._clock = clock
        self._records: dict[str, _Kept] = {}
        self._by_key: dict[tuple[str, str], list[str]] = {}
        self._answered: dict[str, _Answered] = {}
        #: Keys that came with another content than before, or again after their life: nobody may send such.
        self.keys_misused: list[str] = []

    # -- the port ------------------------------------------------------------------------------------------------------

    def protocol(self, object_name: str) -> WriteProtocol:
        """See the port."""
        return PROTOCOLS[self.destination_class]

    async def read(self, spec: ObjectSpec, keys: Sequence[str]) -> dict[str, CurrentRecord]:
        """See the port. A new record of class B or D is missing for a while; class E never finds one."""
        self.calls["read"] += 1
        self.weather(CallMoment.READ, len(keys))
        found = {key: self._current(spec, kept) for key in keys if (kept := self._find(spec.name, key)) is not None}
        self.weather(CallMoment.READ_ANSWER, len(keys))
        return found

    def canonical(self, spec: ObjectSpec, fields: Mapping[str, WireValue]) -> dict[str, WireValue]:
        """See the port: these targets keep values just as they come."""
        return {name: value for name, value in fields.items() if name in spec.fields}

    async def write(self, spec: ObjectSpec, records: Sequence[RecordWrite]) -> tuple[WriteResult, ...]:
        """See the port."""
        self.calls["write"] += 1
        self.weather(CallMoment.WRITE, len(records))
        ask_last_word()
        if self.begun is not None:
            for record in records:
                self.begun(spec, record)
        results = tuple(
            WriteResult(outcome=self._told(spec, record), request_id=f"{self.name}-{self.calls['write']}")
            for record in records
        )
        self.weather(CallMoment.WRITE_ANSWER, len(records))
        return results

    async def search(self, spec: IdentitySpec, keys: Collection[MatchKey]) -> tuple[Candidate, ...]:
        """See the port: nobody else makes records here, so none is found by what it says of a customer."""
        return ()

    async def census(self, spec: IdentitySpec, *, after: str = "") -> AsyncIterator[tuple[Candidate, ...]]:
        """See the port; as ``search``."""
        for _ in ():
            yield ()

    async def whereabouts(self, spec: ObjectSpec, target_ids: Sequence[str]) -> dict[str, Whereabouts]:
        """See the port. By its own id every class but E finds a record at once."""
        if self.destination_class is DestinationClass.NOTHING:
            return {}
        return {
            one: Whereabouts(
                target_id=one, deleted=False, merged_into=None, key=kept.key, record=self._current(spec, kept)
            )
            for one in target_ids
            if (kept := self._records.get(one)) is not None
        }

    async def describe(self, object_name: str) -> tuple[DescribedField, ...]:
        """See the port: there is nothing to be told."""
        return ()

    async def keys(self, spec: ObjectSpec) -> AsyncIterator[tuple[str, CurrentRecord]]:
        """See the port."""
        for kept in list(self._records.values()):
            if kept.object == spec.name and kept.key is not None:
                yield kept.key, self._current(spec, kept)

    async def close(self) -> None:
        """Holds nothing open."""

    # -- people and tests ----------------------------------------------------------------------------------------------

    def make(self, object_name: str, key: str, fields: Mapping[str, WireValue]) -> None:
        """A record that a person makes under a key, found at once."""
        now = self._clock()
        target_id = f"{self.name}-{object_name}-{len(self._records) + 1}"
        self._records[target_id] = _Kept(target_id, object_name, key, dict(fields), now, now, "a person")
        self._by_key.setdefault((object_name, key), []).append(target_id)

    def edit(self, target_id: str, field: str, value: WireValue) -> None:
        """What a person does by hand. Raises KeyError for a record there is not."""
        kept = self._records[target_id]
        kept.fields[field] = value
        kept.changed_at, kept.changed_by = self._clock(), "a person"

    def fields_of(self, target_id: str) -> dict[str, WireValue]:
        """What a record holds. Raises KeyError."""
        return dict(self._records[target_id].fields)

    @property
    def record_ids(self) -> tuple[str, ...]:
        """The target's own ids of all records, in the order they were made."""
        return tuple(self._records)

    def held(self) -> dict[str, dict[str, WireValue]]:
        """What is held by business identity; where a record was made twice, the last. A field that was emptied is
        as one that never was.
        """
        return {
            f"{kept.object}/{kept.key}": {name: value for name, value in kept.fields.items() if value is not None}
            for kept in self._records.values()
        }

    def identity_of(self, target_id: str) -> str:
        """The business identity of a record. Raises KeyError."""
        kept = self._records[target_id]
        return f"{kept.object}/{kept.key}"

    def made_twice(self) -> dict[str, int]:
        """Business identities of which there is more than one record, with their number: there must be none."""
        made = Counter(effect.identity for effect in self.effects if effect.created)
        return {identity: count for identity, count in made.items() if count > 1}

    # -- what the classes do -------------------------------------------------------------------------------------------

    def _told(self, spec: ObjectSpec, record: RecordWrite) -> WriteOutcome:
        """Carry out one record, and what is said of it."""
        lie = self.lie(record)
        if lie is Lie.DONE:
            known = self._find(spec.name, record.key)
            return Applied(known.target_id if known else f"{self.name}-none", created=known is None)
        outcome = self._answer(spec, record)
        if lie is Lie.FAILED and isinstance(outcome, Applied):
            return Refused(cause=RefusalClass.TRANSIENT, code="INTERNAL", message="Something went wrong on our side.")
        if lie is Lie.OTHER_RECORD and isinstance(outcome, Applied):
            return Applied(f"{outcome.target_id}-other", created=outcome.created)
        return outcome

    def _answer(self, spec: ObjectSpec, record: RecordWrite) -> WriteOutcome:
        if self.destination_class is not DestinationClass.IDEMPOTENCY_KEY:
            return self._carry_out(spec, record)
        asked = fingerprint({"key": record.key, "id": record.target_id, "fields": record.fields})
        known = self._answered.get(record.idempotency_key)
        if known is not None and (known.fingerprint != asked or self._clock() >= known.until):
            self.keys_misused.append(record.idempotency_key)
        if known is not None and self._clock() < known.until:
            if known.fingerprint != asked:
                return Refused(
                    cause=RefusalClass.BUSINESS_RULE,
                    code=KEY_REUSED,
                    message="This idempotency key was used for another request.",
                )
            return known.outcome
        outcome = self._carry_out(spec, record)
        self._answered[record.idempotency_key] = _Answered(asked, outcome, self._clock() + KEY_LIFE)
        return outcome

    def _carry_out(self, spec: ObjectSpec, record: RecordWrite) -> WriteOutcome:
        if record.target_id is not None:
            kept = self._records.get(record.target_id)
            if kept is None:
                return Refused(
                    cause=RefusalClass.BUSINESS_RULE, code="NOT_FOUND", message=f"There is no {record.target_id}."
                )
        elif self.destination_class is DestinationClass.NATIVE_UPSERT:
            kept = self._find(spec.name, record.key)
        elif self.destination_class is DestinationClass.UNIQUE_NUMBER and self._by_key.get((spec.name, record.key)):
            return Refused(cause=RefusalClass.TRANSIENT, code=ALREADY_THERE, message=f"{record.key} is taken.")
        else:
            kept = None
        if kept is None:
            return self._create(spec, record)
        changed = tuple(
            (name, kept.fields.get(name), value)
            for name, value in sorted(record.fields.items())
            if kept.fields.get(name) != value
        )
        kept.key = record.key
        if changed:
            kept.fields.update(record.fields)
            kept.changed_at, kept.changed_by = self._clock(), "accordant"
            self._note(spec, record, changed, created=False)
        return Applied(kept.target_id, created=False)

    def _create(self, spec: ObjectSpec, record: RecordWrite) -> WriteOutcome:
        now = self._clock()
        target_id = f"{self.name}-{spec.name}-{len(self._records) + 1}"
        lag = PROTOCOLS[self.destination_class].settles_after
        self._records[target_id] = _Kept(
            target_id, spec.name, record.key, dict(record.fields), now + lag, now, "accordant"
        )
        self._by_key.setdefault((spec.name, record.key), []).append(target_id)
        made = tuple((name, None, value) for name, value in sorted(record.fields.items()))
        self._note(spec, record, made, created=True)
        return Applied(target_id, created=True)

    def _note(
        self,
        spec: ObjectSpec,
        record: RecordWrite,
        fields: tuple[tuple[str, WireValue, WireValue], ...],
        *,
        created: bool,
    ) -> None:
        self.effects.append(
            Effect(
                target=self.name,
                identity=f"{spec.name}/{record.key}",
                created=created,
                fields=fields,
                request=record.idempotency_key,
                at=self._clock(),
            )
        )

    def _find(self, object_name: str, key: str) -> _Kept | None:
        """The record of a key as a search of this class finds it now: the one made first, where there are several."""
        if self.destination_class is DestinationClass.NOTHING:
            return None
        now = self._clock()
        ids = self._by_key.get((object_name, key), ())
        return next((self._records[one] for one in ids if self._records[one].visible_at <= now), None)

    def _current(self, spec: ObjectSpec, kept: _Kept) -> CurrentRecord:
        return CurrentRecord(
            target_id=kept.target_id,
            fields={name: kept.fields.get(name) for name in spec.fields},
            changed_at=kept.changed_at,
            changed_by=kept.changed_by,
        )
