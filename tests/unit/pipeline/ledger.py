"""A target of the tests' own: native upsert (class A), its own ledger of what was carried out, and faults on order."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from accordant.canonical.charter import FieldPart, FieldType, MappingPart, Winner
from accordant.canonical.intents import Applied, FieldChange, IntentState, Refused, WireValue, WriteOutcome, plan_intent
from accordant.canonical.matching import Candidate, MatchKey
from accordant.canonical.refs import EntityKind, EntityRef
from accordant.canonical.shapes import DescribedField
from accordant.canonical.targets import CurrentRecord, IdentitySpec, ObjectSpec, Whereabouts
from accordant.governance.conflict import WinnerRule
from accordant.kernel.errors import AccordantError, RejectedError
from accordant.kernel.ids import EntityId
from accordant.pipeline.contest import Umpire
from accordant.ports.conflicts import FieldsKnown
from accordant.ports.connector import DestinationClass, RecordWrite, WriteProtocol, WriteResult
from accordant.ports.outbox import LeasedIntent

NOW = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)


@dataclass
class LedgerTarget:
    """Implements the port `Outbound`; ``ledger`` counts effects by what they did, not by our keys."""

    batch_max: int = 200
    records: dict[str, CurrentRecord] = field(default_factory=dict)
    ledger: list[tuple[str, dict[str, WireValue]]] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    #: Refusals by key, each used once.
    refusals: dict[str, list[Refused]] = field(default_factory=dict)
    #: Raised by the next calls, in order, before anything is done; None lets a call pass.
    read_errors: list[AccordantError | None] = field(default_factory=list)
    write_errors: list[AccordantError | None] = field(default_factory=list)
    #: Raised by the next writes after everything was done.
    late_errors: list[AccordantError | None] = field(default_factory=list)
    on_read: Callable[[], None] | None = None
    #: Records that others made, found whatever is searched for.
    strangers: list[Candidate] = field(default_factory=list)
    #: What became of records, by the target's own id.
    fates: dict[str, Whereabouts] = field(default_factory=dict)

    def protocol(self, object_name: str) -> WriteProtocol:
        return WriteProtocol(destination_class=DestinationClass.NATIVE_UPSERT)

    async def read(self, spec: ObjectSpec, keys: Sequence[str]) -> dict[str, CurrentRecord]:
        self.calls.append("read")
        if self.on_read is not None:
            self.on_read()
        _raise_next(self.read_errors)
        return {key: self.records[key] for key in keys if key in self.records}

    def canonical(self, spec: ObjectSpec, fields: Mapping[str, WireValue]) -> dict[str, WireValue]:
        for name, value in fields.items():
            if value == "unspeakable":
                raise RejectedError(f"{name} cannot hold {value!r}.")
        return {name: value.strip() if isinstance(value, str) else value for name, value in fields.items()}

    async def write(self, spec: ObjectSpec, records: Sequence[RecordWrite]) -> tuple[WriteResult, ...]:
        self.calls.append("write")
        assert len(records) <= self.batch_max
        _raise_next(self.write_errors)
        results = tuple(WriteResult(outcome=self._upsert(one), request_id=f"req-{len(self.calls)}") for one in records)
        _raise_next(self.late_errors)
        return results

    def _upsert(self, record: RecordWrite) -> WriteOutcome:
        if waiting := self.refusals.get(record.key):
            return waiting.pop(0)
        held = self.records.get(record.key)
        target_id = held.target_id if held is not None else f"001{record.key}"
        fields = {**(held.fields if held is not None else {}), **record.fields}
        self.records[record.key] = CurrentRecord(target_id=target_id, fields=fields)
        self.ledger.append((record.key, dict(record.fields)))
        return Applied(target_id=target_id, created=held is None)

    async def search(self, spec: IdentitySpec, keys: Collection[MatchKey]) -> tuple[Candidate, ...]:
        self.calls.append("search")
        return tuple(self.strangers)

    async def census(self, spec: IdentitySpec, *, after: str = "") -> AsyncIterator[tuple[Candidate, ...]]:
        page = tuple(one for one in self.strangers if one.id > after)
        if page:
            yield page

    async def whereabouts(self, spec: ObjectSpec, target_ids: Sequence[str]) -> dict[str, Whereabouts]:
        self.calls.append("whereabouts")
        return {target_id: self.fates[target_id] for target_id in target_ids if target_id in self.fates}

    async def describe(self, object_name: str) -> tuple[DescribedField, ...]:
        return ()

    async def keys(self, spec: ObjectSpec) -> AsyncIterator[tuple[str, CurrentRecord]]:
        for key, record in self.records.items():
            yield key, record

    async def close(self) -> None:
        """Holds nothing open."""


def _raise_next(errors: list[AccordantError | None]) -> None:
    error = errors.pop(0) if errors else None
    if error is not None:
        raise error


def pause(attempt: int, asked_s: float | None) -> timedelta:
    """Ten seconds a try, or what was asked for if that is longer."""
    return timedelta(seconds=max(10.0 * attempt, asked_s or 0.0))


def mapping(kind: EntityKind) -> MappingPart:
    name = "Account" if kind is EntityKind.ACCOUNT else "Subscription"
    fields = {"Name": FieldPart(source="name"), "MRR": FieldPart(source="mrr", type=FieldType.CURRENCY)}
    return MappingPart(entity=kind, object=name, key_field="Key", fields=fields)


MAPPINGS = {"accounts": mapping(EntityKind.ACCOUNT), "subscriptions": mapping(EntityKind.SUBSCRIPTION)}


def umpires(winner: Winner = Winner.SYSTEM_OF_RECORD) -> dict[str, Umpire]:
    """Who rules on a conflict: the same winner for both flows; MRR is money, and billing's in any case."""
    rule = WinnerRule(winner=winner, financial=frozenset({"MRR"}))
    return dict.fromkeys(MAPPINGS, Umpire(source="billing", rule=rule))


def leased(
    key: str = "cus_1",
    *,
    lane: str = "",
    step: int = 0,
    shadow: bool = False,
    attempt: int = 1,
    was: IntentState = IntentState.PENDING,
    revision: int = 1,
    known: FieldsKnown = FieldsKnown(),  # noqa: B008  frozen, and empty
    said_at: datetime | None = None,
    changes: tuple[FieldChange, ...] = (),
    **fields: WireValue,
) -> LeasedIntent:
    """A leased intent for one record of the target ``crm``."""
    flow = "subscriptions" if step else "accounts"
    kind = MAPPINGS[flow].entity
    intent = plan_intent(
        flow=flow,
        target="crm",
        object_name=MAPPINGS[flow].object,
        key_field="Key",
        key=key,
        entity=EntityRef(kind, EntityId(f"acc_{key}")),
        lane=lane or f"crm:{key}",
        step=step,
        fields=fields or {"Name": "Example", "MRR": "12.00"},
        changes=changes,
        cause=7,
        planned_at=NOW,
        revision=revision,
    )
    return LeasedIntent(intent=intent, shadow=shadow, attempt=attempt, was=was, token=1, known=known, said_at=said_at)
