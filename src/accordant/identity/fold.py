"""Is it newer than what we hold? One observation against one held state, and nothing else decides what an entity is.

No order of arrival can bring back an older state; what stamps cannot order is a tie, and its owner is asked.
Next: `pipeline/register.py`, which stores the outcome.
"""

from datetime import datetime, timedelta

import msgspec

from accordant.canonical.entities import Entity, Subscription
from accordant.canonical.observations import Observation, Standpoint
from accordant.identity.lifecycle import is_later

#: Which standpoint sees further within one second.
_RANK = {Standpoint.CREATION: 0, Standpoint.NOTICE: 1, Standpoint.READING: 2}
#: How far a provider's clock and ours may be apart: a reading is stamped by ours, a notice by the provider's, and what
#: lies closer together than this is not ordered by the two.
CLOCKS_DIFFER = timedelta(seconds=2)
_SECOND = timedelta(seconds=1)
#: A subscription in one of these never lives again under the same id.
_ENDED_STATUSES = frozenset({"canceled", "incomplete_expired"})


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """The state that is held of one entity. ``version`` counts its changes from 1, ``digest`` is of its bytes."""

    version: int
    observed_at: datetime
    standpoint: Standpoint
    digest: bytes
    entity: Entity


class Advanced(msgspec.Struct, frozen=True, tag=True):
    """The observation is newer and says something else: ``held`` is the next version."""

    held: Held


class Unchanged(msgspec.Struct, frozen=True, tag=True):
    """The observation says what is held. ``held`` carries the newer of the two stamps and the same version."""

    held: Held


class Superseded(msgspec.Struct, frozen=True, tag=True):
    """The observation is older than what is held and changes nothing."""

    reason: str


class Tie(msgspec.Struct, frozen=True, tag=True):
    """Nothing in the observation says whether it is newer: nothing changes until its owner has been asked."""

    reason: str


Fold = Advanced | Unchanged | Superseded | Tie


def fold(current: Held | None, observation: Observation, digest: bytes) -> Fold:
    """Put an observation to the held state. ``digest`` is that of the observed entity's canonical bytes.

    The same state is never a question, whatever its stamp: the newer stamp is kept, so that an older notice that is
    still on its way is recognised as older.
    """
    if current is None:
        return Advanced(_state(1, observation, digest))
    if current.digest == digest:
        if not _is_newer(current, observation):
            return Unchanged(current)
        return Unchanged(_state(current.version, observation, digest))
    if _is_gone(current.entity) and _is_gone(observation.entity):
        if observation.standpoint is Standpoint.READING and _tells_nothing(observation.entity):
            return Unchanged(current)
        if current.standpoint is Standpoint.READING and _tells_nothing(current.entity):
            return _fold_farewell(current, observation, digest)
    if observation.standpoint is Standpoint.READING:
        return _fold_reading(current, observation, digest)
    return _fold_notice(current, observation, digest)


def _fold_farewell(current: Held, observation: Observation, digest: bytes) -> Fold:
    """The owner, asked, only said that it is gone; the notice of the deletion carries its last state, and that stays.

    Whichever of the two comes first, so that no order of arrival forgets what was known.
    """
    told = _state(current.version + 1, observation, digest)
    if _is_newer(current, observation):
        return Advanced(told)
    return Advanced(msgspec.structs.replace(told, observed_at=current.observed_at, standpoint=current.standpoint))


def _fold_reading(current: Held, reading: Observation, digest: bytes) -> Fold:
    """A reading is as new as the moment it was asked for, to the microsecond of our own clock."""
    if current.standpoint is Standpoint.READING:
        if reading.observed_at > current.observed_at:
            return Advanced(_state(current.version + 1, reading, digest))
        if reading.observed_at < current.observed_at:
            return Superseded(f"It was read again from its owner later, at {_say(current.observed_at)}.")
        # Two answers to questions of one microsecond: no clock can order them, a third question can.
        return Tie(f"Two readings of {_say(current.observed_at)} differ.")
    # The held notice was stamped in a later second than the question: the answer does not know of it.
    if _second(reading.observed_at) < _second(current.observed_at):
        return Superseded(
            f"A notice of {_say(current.observed_at)} is held, which is after this reading was asked for."
        )
    # Also within the second of the notice: who asks because of a notice has received it, so the answer contains it.
    # Who reads in bulk, without a notice, stamps the reading a second early, so that this line cannot favour it.
    # A reading may also bring back what was ended or deleted, because it is the answer to exactly that doubt.
    return Advanced(_state(current.version + 1, reading, digest))


def _fold_notice(current: Held, notice: Observation, digest: bytes) -> Fold:
    """A notice is stamped by its provider to the second; inside one second its place is unknown."""
    stamped_at, held_at = _second(notice.observed_at), _second(current.observed_at)
    if stamped_at > held_at:
        # No event of the same object follows its end, so one of the two stamps is wrong, whichever came first.
        if is_ended(current.entity) and not is_ended(notice.entity):
            return Tie(f"It had ended by {_say(held_at)}, and a notice of {_say(stamped_at)} says that it lives.")
        return Advanced(_state(current.version + 1, notice, digest))
    if stamped_at == held_at:
        return _fold_same_second(current, notice, digest)
    if current.standpoint is Standpoint.READING:
        read_at = _say(current.observed_at)
        if current.observed_at - stamped_at < _SECOND + CLOCKS_DIFFER:
            # The stamp is of the provider's clock and the question of ours: the change may have come after it.
            return Tie(f"It was read at {read_at}, and a notice of {_say(stamped_at)} says something else.")
        return Superseded(f"It was read from its owner at {read_at}, after this notice.")
    if is_ended(notice.entity) and not is_ended(current.entity):
        # The same doubt as above with the two notices arriving the other way round.
        return Tie(f"It had ended by {_say(stamped_at)}, and a notice of {_say(held_at)} says that it lives.")
    return Superseded(f"A newer notice, of {_say(held_at)}, is held.")


def _fold_same_second(current: Held, notice: Observation, digest: bytes) -> Fold:
    """Two different states of one second: a birth comes first, and some steps of a life are never taken back."""
    second = _say(_second(notice.observed_at))
    if notice.standpoint is Standpoint.CREATION:
        return Superseded(f"It is the notice of the creation, and another state of the same second, {second}, is held.")
    if current.standpoint is Standpoint.CREATION:
        return Advanced(_state(current.version + 1, notice, digest))
    if current.standpoint is Standpoint.NOTICE:
        later = is_later(notice.entity, current.entity)
        if later is not None:
            earlier = f"Within the second {second} its state can only have come before the one that is held."
            return Advanced(_state(current.version + 1, notice, digest)) if later else Superseded(earlier)
    # Against a held reading too: the change may have come after the question and within its second.
    return Tie(f"Two different states carry the stamp {second}.")


def is_ended(entity: Entity) -> bool:
    """Whether this is the last state its id can have: deleted, or a subscription that is over."""
    if isinstance(entity, Subscription):
        return entity.status in _ENDED_STATUSES
    return _is_gone(entity)


def _is_gone(entity: Entity) -> bool:
    return bool(getattr(entity, "deleted", False))


def _tells_nothing(entity: Entity) -> bool:
    """Whether of a deleted object nothing is said but its id."""
    return all(
        field.name in {"external_id", "deleted"} or getattr(entity, field.name) in (None, (), {}, field.default)
        for field in msgspec.structs.fields(entity)
    )


def _is_newer(current: Held, observation: Observation) -> bool:
    """Whether a stamp outranks the held one: by second, then by standpoint, then by the moment."""
    held_second, seen_second = _second(current.observed_at), _second(observation.observed_at)
    if held_second != seen_second:
        return seen_second > held_second
    if observation.standpoint is not current.standpoint:
        return _RANK[observation.standpoint] > _RANK[current.standpoint]
    return observation.observed_at > current.observed_at


def _state(version: int, observation: Observation, digest: bytes) -> Held:
    return Held(
        version=version,
        observed_at=observation.observed_at,
        standpoint=observation.standpoint,
        digest=digest,
        entity=observation.entity,
    )


def _second(instant: datetime) -> datetime:
    return instant.replace(microsecond=0) if instant.microsecond else instant


def _say(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M:%S} UTC"
