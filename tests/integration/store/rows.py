"""Builders of what the store keeps: boring values, where a test names none."""

from datetime import UTC, datetime, timedelta
from threading import Barrier, Thread
from typing import Any

import msgspec

from accordant.canonical.entities import Account
from accordant.canonical.intents import (
    Applied,
    FieldChange,
    IntentState,
    WireValue,
    WriteIntent,
    WriteReceipt,
    plan_intent,
)
from accordant.canonical.observations import Standpoint
from accordant.canonical.refs import EntityKind, EntityRef, ExternalRef
from accordant.kernel.hashing import digest
from accordant.kernel.ids import EntityId
from accordant.ports.audit import AuditEntry
from accordant.ports.connector import Envelope
from accordant.ports.inbox import Arrival
from accordant.ports.outbox import LeasedIntent, Verdict
from accordant.ports.state import Changes, PlannedIntent, StoredEntity

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def an_arrival(name: str, *, body: bytes | None = None, lane: str = "customer/cus_1", **changes: Any) -> Arrival:
    """A delivery of the event ``name``."""
    content = body if body is not None else f'{{"id":"{name}"}}'.encode()
    envelope = Envelope(external_id=name, event_type="customer.updated", lane=lane, occurred_at=NOW)
    given = {"connection": "stripe", "headers": b"{}", "received_at": NOW, **changes}
    return Arrival(envelope=envelope, body=content, digest=digest(content), **given)


def an_account(version: int, name: str = "Example 1", entity_id: str = "acc_1") -> StoredEntity:
    """A version of an account as the registry folds it."""
    return StoredEntity(
        ref=EntityRef(EntityKind.ACCOUNT, EntityId(entity_id)),
        source=ExternalRef("stripe", "customer", entity_id),
        root_id=entity_id,
        version=version,
        observed_at=NOW,
        standpoint=Standpoint.NOTICE,
        digest=digest(name.encode()),
        entity=Account(external_id=entity_id, name=name),
        cause=1,
    )


def an_intent(
    key: str = "cus_1", *, revision: int = 1, lane: str = "", step: int = 0, flow: str = "accounts", at: datetime = NOW
) -> PlannedIntent:
    """An intent for the record ``key`` of the target "crm"; its lane is the record's own where none is named."""
    fields: dict[str, WireValue] = {"Name": f"Example {revision}", "MRR": "12.00"}
    return PlannedIntent(
        intent=plan_intent(
            flow=flow,
            target="crm",
            object_name="Account",
            key_field="Key__c",
            key=key,
            entity=EntityRef(EntityKind.ACCOUNT, EntityId(f"acc_{key}")),
            lane=lane or f"lane/{key}",
            step=step,
            fields=fields,
            changes=(FieldChange("Name", None, fields["Name"]),),
            cause=1,
            planned_at=at,
            revision=revision,
        ),
        shadow=False,
        decision=b"{}",
        charter="v1",
    )


def a_receipt(intent: WriteIntent, attempt: int, *, at: datetime = NOW) -> WriteReceipt:
    """The receipt of a write that created a record."""
    return WriteReceipt(
        intent_id=intent.id,
        attempt=attempt,
        outcome=Applied(target_id="001", created=True),
        before=None,
        after=intent.fields,
        request_id=None,
        settled_at=at,
    )


def a_success(leased: LeasedIntent, *, at: datetime = NOW) -> Verdict:
    """The verdict on a write that created a record."""
    return Verdict(
        leased=leased,
        state=IntentState.APPLIED,
        due_at=at,
        receipt=a_receipt(leased.intent, leased.attempt, at=at),
        target_id="001",
        audit=an_entry(f"crm:Account/{leased.intent.key}"),
    )


def an_entry(subject: str = "crm:Account/1", *, actor: str = "accordant", number: int = 0) -> AuditEntry:
    """A line of the trail."""
    return AuditEntry(
        kind="archive.write.applied",
        actor=actor,
        subject=subject,
        cause=number,
        at=NOW + number * SECOND,
        body={"intent": f"int_{number}", "fields": ["Name", "MRR"]},
    )


def told(changes: Changes) -> Changes:
    """The changes with the lines of the trail that the rooms would have written of them."""
    kinds = [
        *("registry.account.advanced" for _ in [*changes.entities, *changes.standings]),
        *("registry.link.made" for _ in changes.links),
        *("desk.intent.planned" for _ in [*changes.desired, *changes.intents]),
        *("interpreter.event.parked" for _ in changes.parks),
    ]
    lines = [msgspec.structs.replace(an_entry(), kind=kind) for kind in kinds]
    return msgspec.structs.replace(changes, audit=[*changes.audit, *lines])


def race(count: int, step: "Any") -> list[Any]:
    """Run ``step(index)`` in ``count`` threads at once; what each returned, or the exception it raised."""
    results: list[Any] = [None] * count
    start = Barrier(count)

    def run(index: int) -> None:
        start.wait()
        try:
            results[index] = step(index)
        except Exception as error:  # noqa: BLE001  handed to the test
            results[index] = error

    threads = [Thread(target=run, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    return results
