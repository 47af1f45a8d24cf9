"""What may be sent to a target that offers less than an upsert: when a write may go, under which key, and when never.

True when you leave: no request goes out a second time before it is known that the first did nothing. The classes are
those of `ports/connector.py`. Pure. Next: `pipeline/deliver.py`, which asks.
"""

from datetime import datetime, timedelta
from typing import assert_never

import msgspec

from accordant.canonical.intents import IDEMPOTENCY_KEY_LENGTH_MAX, WireValue
from accordant.kernel.hashing import fingerprint
from accordant.ports.connector import DestinationClass, WriteProtocol
from accordant.ports.epochs import Epoch
from accordant.ports.outbox import LeasedIntent, SentRequest

#: So long before its declared end a key is not relied on any more (EF4).
KEY_MARGIN = timedelta(hours=1)
#: Past the end of a wait, so that the next look does not come a moment too early.
_TICK = timedelta(seconds=1)
_PRINT_DIGITS = 16


class Go(msgspec.Struct, frozen=True):
    """It may be sent."""


class Wait(msgspec.Struct, frozen=True):
    """Whether an earlier request arrived cannot be known before ``until``."""

    until: datetime
    why: str


class AskPerson(msgspec.Struct, frozen=True):
    """Whether an earlier request arrived can never be known here."""

    why: str


Step = Go | Wait | AskPerson


def next_step(
    protocol: WriteProtocol,
    sent: SentRequest | None,
    leased: LeasedIntent,
    *,
    found: bool,
    waited: timedelta,
    epoch: Epoch,
    now: datetime,
) -> Step:
    """What may be done for one record. ``found``: the target shows it, or it is known under its own id.

    ``sent`` is the last request for the record that is remembered, and ``waited`` for how long this process has known
    it without finding the record; ``epoch`` says when the store was last put back from a backup: what went out before
    that may be forgotten.
    """
    match protocol.destination_class:
        case DestinationClass.NATIVE_UPSERT | DestinationClass.UNIQUE_NUMBER:
            return Go()
        case DestinationClass.IDEMPOTENCY_KEY | DestinationClass.SEARCH_ONLY:
            return Go() if found else _unseen(protocol, sent, leased, waited, now)
        case DestinationClass.NOTHING:
            return _at_most_once(sent, leased, epoch)
        case _:
            assert_never(protocol.destination_class)


def _unseen(
    protocol: WriteProtocol, sent: SentRequest | None, leased: LeasedIntent, waited: timedelta, now: datetime
) -> Step:
    """Not found, which says nothing while a request may not have come to light."""
    if sent is None or waited > protocol.settles_after or _was_refused(sent):
        return Go()
    is_ours = sent.answered_at is None and sent.intent_id == leased.intent.id
    if is_ours and protocol.key_life is not None and _is_trusted(protocol, sent, now):
        # The same request under the same key: the target answers what it answered, and does nothing again.
        return Go()
    rest = protocol.settles_after - waited + _TICK
    why = f"A write to this record went out at {sent.sent_at:%H:%M:%S}; whether it arrived shows after a while."
    return Wait(now + rest, why)


def _at_most_once(sent: SentRequest | None, leased: LeasedIntent, epoch: Epoch) -> Step:
    target = leased.intent.target
    if sent is not None and sent.answered_at is None:
        return AskPerson(
            f"A write went out at {sent.sent_at:%Y-%m-%d %H:%M:%S} UTC and no answer came. {target} cannot be asked "
            "what became of it, so it is not sent again: look there, and write what is missing by hand."
        )
    if sent is None and epoch.noticed_at is not None and _may_be_forgotten(leased, epoch, epoch.noticed_at):
        return AskPerson(
            f"It may have been written before the store was restored at {epoch.noticed_at:%Y-%m-%d %H:%M:%S} UTC, and "
            f"{target} cannot be asked: look there, and write what is missing by hand."
        )
    return Go()


def _may_be_forgotten(leased: LeasedIntent, epoch: Epoch, noticed_at: datetime) -> bool:
    """Whether the cause of a write may have been acted on before the restore.

    The cause has its source's stamp, and the watch of whoever noticed the restore may be wrong: one that is behind
    would take for new what was done. So how far the source had been heard by its own clock counts as well, whichever
    is later.
    """
    heard_to = noticed_at if epoch.said_to is None else max(noticed_at, epoch.said_to)
    return leased.said_at is None or leased.said_at <= heard_to


def request_for(
    protocol: WriteProtocol,
    sent: SentRequest | None,
    leased: LeasedIntent,
    *,
    record: str,
    fields: dict[str, WireValue],
    target_id: str | None,
    epoch: Epoch,
    now: datetime,
) -> SentRequest:
    """The request that is about to go out, as it is remembered: its key is never one of another content (EF4).

    The same content for the same intent keeps its key until it is answered and as long as the target knows it; past
    that, and after a restore, it gets the next: under a key that was answered a target only repeats itself.
    """
    intent = leased.intent
    content = fingerprint({"key": intent.key, "id": target_id, "fields": fields})
    is_again = sent is not None and (sent.intent_id, sent.fingerprint) == (intent.id, content)
    if sent is not None and is_again and sent.answered_at is None and _is_trusted(protocol, sent, now):
        return msgspec.structs.replace(sent, sent_at=now)
    generation = sent.generation + 1 if sent is not None and is_again else 0
    return SentRequest(
        record=record,
        intent_id=intent.id,
        idempotency_key=_key(intent.idempotency_key, content, epoch, generation),
        fingerprint=content,
        generation=generation,
        first_sent_at=now,
        sent_at=now,
        target_id=sent.target_id if sent is not None else None,
    )


def key_of(leased: LeasedIntent, *, epoch: Epoch) -> str:
    """The key of a write of which nothing is remembered: after a restore another than before.

    A restored store counts the revisions of a record anew, and what is written then is not what was written before.
    """
    key = leased.intent.idempotency_key + (f"-{epoch.name}" if epoch.noticed_at is not None else "")
    return key[:IDEMPOTENCY_KEY_LENGTH_MAX]


def _is_trusted(protocol: WriteProtocol, sent: SentRequest, now: datetime) -> bool:
    """Whether the target still knows the key for certain, and may do something under it."""
    if not sent.idempotency_key:
        return False
    if protocol.key_life is None:
        return True
    return timedelta() <= now - sent.first_sent_at < protocol.key_life - KEY_MARGIN


def _was_refused(sent: SentRequest) -> bool:
    """Whether the target has said no to it: then there is nothing that could come to light."""
    return sent.answered_at is not None and sent.target_id is None


def _key(base: str, content: str, epoch: Epoch, generation: int) -> str:
    is_first = epoch.noticed_at is None and not generation
    key = f"{base}-{content[:_PRINT_DIGITS]}" + ("" if is_first else f"-{epoch.name}.{generation}")
    return key[:IDEMPOTENCY_KEY_LENGTH_MAX]
