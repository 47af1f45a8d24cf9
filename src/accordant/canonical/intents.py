"""Write intents and receipts: what the hub decided to write, kept before the call, and what came of it, after."""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

import msgspec

from accordant.canonical.refs import EntityKind, EntityRef
from accordant.kernel.hashing import fingerprint
from accordant.kernel.ids import IntentId, derived_id

#: A value as a target field holds it: text, whole number, flag or nothing. Amounts and days are text.
WireValue = str | int | bool | None

IDEMPOTENCY_KEY_LENGTH_MAX = 255  # the least any provider we write to allows for its own header


class IntentState(StrEnum):
    """The life of an intent; drawn in docs/explanation/states.md."""

    PENDING = "pending"
    LEASED = "leased"
    UNCERTAIN = "uncertain"
    APPLIED = "applied"
    ALREADY_APPLIED = "already_applied"
    SHADOWED = "shadowed"
    HELD = "held"
    SUPERSEDED = "superseded"
    CANCELLED = "cancelled"
    DEAD = "dead"


class FieldChange(msgspec.Struct, frozen=True, order=True):
    """One field, what it was and what it becomes. ``before`` is None where nothing was known of it."""

    field: str
    before: WireValue
    after: WireValue


class WriteIntent(msgspec.Struct, frozen=True, kw_only=True):
    """A decided, not yet performed change of one target record.

    ``fields`` is the whole desired record of the owned fields; ``changes`` is what differs from the record last
    desired. The courier sends only what differs from what the target holds when it gets there. ``cause`` is the inbox
    sequence number, or None for a repair. ``step`` orders writes of one lane: lower steps must be confirmed first.
    ``address`` is the target's own id of the record, where it is known to be there without our key.
    """

    id: IntentId
    idempotency_key: str
    flow: str
    target: str
    object: str
    key_field: str
    key: str
    entity: EntityRef
    lane: str
    step: int
    fields: dict[str, WireValue]
    changes: tuple[FieldChange, ...]
    input_digest: str
    cause: int | None
    planned_at: datetime
    revision: int
    address: str | None = None


def changed_names(changes: Iterable[FieldChange]) -> str:
    """The names of changed fields as one text, one a line: what an index can hold beside the revision."""
    return "\n".join(change.field for change in changes)


def plan_intent(
    *,
    flow: str,
    target: str,
    object_name: str,
    key_field: str,
    key: str,
    entity: EntityRef,
    lane: str,
    step: int,
    fields: dict[str, WireValue],
    changes: tuple[FieldChange, ...],
    cause: int | None,
    planned_at: datetime,
    revision: int,
    address: str | None = None,
) -> WriteIntent:
    """Name an intent by what it does: target record and revision of the desired record, never by the attempt.

    The same revision planned twice is the same intent; the fingerprint of its input is kept beside the key, so a key
    that comes back with another input is recognised as key reuse.
    """
    name = derived_id("int", target, object_name, key, str(revision))
    return WriteIntent(
        id=IntentId(name),
        idempotency_key=f"accordant-{name}",
        flow=flow,
        target=target,
        object=object_name,
        key_field=key_field,
        key=key,
        entity=entity,
        lane=lane,
        step=step,
        fields=fields,
        changes=changes,
        input_digest=fingerprint(fields),
        cause=cause,
        planned_at=planned_at,
        revision=revision,
        address=address,
    )


class RefusalClass(StrEnum):
    """Why a target refused: decides what happens next (requirement 108)."""

    TRANSIENT = "transient"
    DATA_QUALITY = "data_quality"
    BUSINESS_RULE = "business_rule"
    AUTHORIZATION = "authorization"


#: A target's refusal of an idempotency key that it knows from another request: no try of ours may ever cause it.
KEY_REUSED = "KEY_REUSED"
#: A target gives under this key, again and again, the failure of an earlier request: only another key can do anything.
KEY_SPENT = "KEY_SPENT"

#: A target has no record yet that this one stands below, and which is written in a lane of its own.
RECORD_ABOVE_MISSING = "RECORD_ABOVE_MISSING"


class Applied(msgspec.Struct, frozen=True, tag=True):
    """The target took the write. ``created`` tells a new record from a changed one.

    ``number`` is the one under which people find it there, where the target gives its documents numbers.
    """

    target_id: str
    created: bool
    number: str | None = None


class AlreadyApplied(msgspec.Struct, frozen=True, tag=True):
    """The target held every desired value already: success, nothing was sent. ``probed`` after an unknown outcome.

    ``number`` as for one that was applied.
    """

    target_id: str
    probed: bool = False
    number: str | None = None


class Refused(msgspec.Struct, frozen=True, tag=True):
    """The target said no; nothing was written. Units: ``retry_after_s`` in seconds where the target named a time."""

    cause: RefusalClass
    code: str
    message: str
    fields: tuple[str, ...] = ()
    retry_after_s: float | None = None


class Uncertain(msgspec.Struct, frozen=True, tag=True):
    """The request may have been carried out and the answer was lost: probe before anything else."""

    reason: str


class Compared(msgspec.Struct, frozen=True, tag=True):
    """The flow may not write: the target was read and compared, nothing was sent. ``differing`` names the fields."""

    differing: tuple[str, ...]


class Yielded(msgspec.Struct, frozen=True, tag=True):
    """Nothing was sent: what differs is the target's own value, which a conflict's rule or a person lets stand."""

    target_id: str
    fields: tuple[str, ...]


WriteOutcome = Applied | AlreadyApplied | Refused | Uncertain | Compared | Yielded


class WriteReceipt(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one attempt at one intent, with the owned fields before and after. Kept for ever."""

    intent_id: IntentId
    attempt: int
    outcome: WriteOutcome
    before: dict[str, WireValue] | None
    after: dict[str, WireValue] | None
    request_id: str | None
    settled_at: datetime


#: In which order the kinds of one account, or of one company, are written: what looks up another record comes after it.
STEP_OF_KIND: dict[EntityKind, int] = {
    EntityKind.PRODUCT: 0,
    EntityKind.ACCOUNT: 0,
    EntityKind.SUBSCRIPTION: 1,
    EntityKind.INVOICE: 2,
    EntityKind.PAYMENT: 3,
    EntityKind.REFUND: 4,
    EntityKind.COMPANY: 0,
    EntityKind.OPPORTUNITY: 1,
}
#: Kinds of which a record elsewhere is no copy: what it opens there is the other system's own from then on.
OPENING_KINDS = frozenset({EntityKind.COMPANY, EntityKind.OPPORTUNITY})
