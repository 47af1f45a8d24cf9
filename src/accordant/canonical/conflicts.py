"""Conflicts: two values for one owned field at once. Both are kept with their origins, and the rule that chose.

`governance/conflict.py` rules on one; a stand is what a ruling or a person leaves in force for a field.
"""

from datetime import datetime
from enum import StrEnum

import msgspec

from accordant.canonical.intents import WireValue
from accordant.kernel.hashing import fingerprint
from accordant.kernel.ids import derived_id


class Side(StrEnum):
    """The two who speak: the system of record through its flow, and the target itself, where somebody wrote."""

    OWNER = "owner"
    TARGET = "target"


class ConflictRule(StrEnum):
    """What chose the winner. Financial: billing wins whatever the object's rule says. Loop: nobody won too often.

    Posted: what an ERP has posted is written over by nobody, so that only a person there can undo what was done to it.
    """

    SYSTEM_OF_RECORD = "system_of_record"
    FINANCIAL = "financial"
    LATEST = "latest"
    PERSON = "person"
    LOOP = "loop"
    POSTED = "posted"


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A value of one field with its origin: which system says it, since when at the latest, who set it, by which event.

    ``at`` and ``by`` are None where the system does not tell, ``seq`` where no inbox event carried it.
    """

    field: str
    value: WireValue
    system: str
    at: datetime | None = None
    by: str | None = None
    seq: int | None = None


class Ruling(msgspec.Struct, frozen=True, kw_only=True):
    """Which side stays. ``winner`` None: the field is held and a person decides. ``sentence`` is for that person."""

    rule: ConflictRule
    winner: Side | None
    sentence: str


class Contested(msgspec.Struct, frozen=True, kw_only=True):
    """One field with two values: what each side says, what was last confirmed between them, and the ruling.

    Where the owner's side is a value that a person kept (``owner.by``), ``against`` is the owner's own.
    """

    field: str
    owner: Claim
    target: Claim
    against: WireValue = None
    confirmed: WireValue
    confirmed_at: datetime
    revision: int
    ruling: Ruling


class Conflict(msgspec.Struct, frozen=True, kw_only=True):
    """A contested field as it is kept, for ever. ``record`` is ``target:object/key``; ``found_by`` names the room."""

    id: str
    record: str
    flow: str
    target_id: str
    account_id: str
    contested: Contested
    found_at: datetime
    found_by: str


class StandEffect(StrEnum):
    """What a stand does.

    Keep: ``value`` stands until the owner says something else than ``against``. Hold: nothing is written until a person
    decides. Write: a person said that the owner's value goes over ``value``. Release: a person let writing go on after
    the loop breaker had stopped it; what went back and forth before that counts no more.
    """

    KEEP = "keep"
    HOLD = "hold"
    WRITE = "write"
    RELEASE = "release"


class Stand(msgspec.Struct, frozen=True, kw_only=True):
    """What is in force for one field of one record. ``value`` is the target's, ``against`` the owner's."""

    record: str
    field: str
    effect: StandEffect
    value: WireValue
    against: WireValue
    conflict_id: str
    sentence: str
    by: str
    since_at: datetime


class Choice(StrEnum):
    """What a person decides: the owner's value, the target's, or (of a loop) that writing may go on."""

    OWNER = "owner"
    TARGET = "target"
    RELEASE = "release"


class ConflictDecision(msgspec.Struct, frozen=True, kw_only=True):
    """A person's word on a conflict. ``number`` counts the decisions on it from 1; the last one is in force."""

    conflict_id: str
    number: int
    choice: Choice
    actor: str
    reason: str
    at: datetime


class Turn(msgspec.Struct, frozen=True, array_like=True):
    """One value a field took, when that was seen or done, and whether it was our write."""

    value: WireValue
    at: datetime
    ours: bool


class FieldMark(msgspec.Struct, frozen=True, array_like=True):
    """What we last wrote into one field and the target confirmed. ``turns`` are its latest values, oldest first.

    ``returns`` are those of our turns that went back to a value of before, remembered longer than what lay between.
    """

    value: WireValue
    revision: int
    at: datetime
    turns: tuple[Turn, ...] = ()
    returns: tuple[Turn, ...] = ()


class ConflictState(StrEnum):
    """How a conflict stands: a person has to decide, a rule decided, a person did, or what was decided is over."""

    OPEN = "open"
    RULED = "ruled"
    DECIDED = "decided"
    LAPSED = "lapsed"


def state_of(conflict: Conflict, stand: Stand | None, decisions: tuple[ConflictDecision, ...]) -> ConflictState:
    """How a conflict stands, from what is in force for its field and what persons said of it."""
    in_force = stand is not None and stand.conflict_id == conflict.id
    if in_force and stand is not None and stand.effect is StandEffect.HOLD:
        return ConflictState.OPEN
    if decisions:
        return ConflictState.DECIDED if in_force else ConflictState.LAPSED
    # Of a hold only a later ruling on the same field is left.
    return ConflictState.RULED if conflict.contested.ruling.winner is not None else ConflictState.LAPSED


def conflict_of(
    contested: Contested,
    *,
    record: str,
    flow: str,
    target_id: str,
    account_id: str,
    found_at: datetime,
    found_by: str,
) -> Conflict:
    """Name a conflict by what it is, so that whoever meets it again (courier, reconciliation) meets the same one."""
    said = fingerprint([contested.owner.value, contested.target.value, contested.confirmed, contested.ruling.rule])
    return Conflict(
        id=derived_id("cfl", record, contested.field, str(contested.revision), said),
        record=record,
        flow=flow,
        target_id=target_id,
        account_id=account_id,
        contested=contested,
        found_at=found_at,
        found_by=found_by,
    )


def stand_of(conflict: Conflict, *, against: WireValue) -> Stand | None:
    """What a fresh ruling leaves in force; None where the owner's value is simply written."""
    ruling = conflict.contested.ruling
    if ruling.winner is Side.OWNER:
        return None
    return Stand(
        record=conflict.record,
        field=conflict.contested.field,
        effect=StandEffect.HOLD if ruling.winner is None else StandEffect.KEEP,
        value=conflict.contested.target.value,
        against=against,
        conflict_id=conflict.id,
        sentence=ruling.sentence,
        by="accordant",
        since_at=conflict.found_at,
    )


_CONFLICT_DECODER = msgspec.json.Decoder(Conflict)
_STAND_DECODER = msgspec.json.Decoder(Stand)


def decode_conflict(data: bytes) -> Conflict:
    """The conflict stored as ``data``. Raises msgspec.ValidationError when the bytes are not one."""
    return _CONFLICT_DECODER.decode(data)


def decode_stand(data: bytes) -> Stand:
    """The stand stored as ``data``. Raises msgspec.ValidationError when the bytes are not one."""
    return _STAND_DECODER.decode(data)
