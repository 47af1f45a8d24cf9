"""How one account's recurring revenue moved, read out of the stored events: each is understood again, none is called.

Next: `analytics/movements.py`, which counts.
"""

from collections.abc import Mapping
from datetime import datetime, tzinfo
from typing import Protocol

import msgspec

from accordant.analytics.movements import READ_AGAIN, Movement, StatedSubscription, movements
from accordant.canonical.entities import Subscription
from accordant.canonical.observations import Interpreted, Standpoint
from accordant.pipeline.interpret import interpret
from accordant.ports.connector import Inbound
from accordant.ports.inbox import InboxEvent

#: Events of one account that are read. Whoever changes more often than this is looked at by other means.
EVENTS_MAX = 5_000
_RANK = {Standpoint.CREATION: 0, Standpoint.NOTICE: 1, Standpoint.READING: READ_AGAIN}


class Past(Protocol):
    """What is stored of an account's subscriptions."""

    def of_subscriptions(self, account_id: str, *, limit: int) -> tuple[InboxEvent, ...]:
        """The events that said something of them, oldest first; those that can no longer be read are left out."""
        ...


def tell_movements(
    account_id: str, *, past: Past, connectors: Mapping[str, Inbound], as_of: datetime, zone: tzinfo
) -> tuple[Movement, ...]:
    """Every change of the account's recurring revenue, oldest first. Raises TransientError when the store cannot."""
    return movements(stated_of(account_id, past=past, connectors=connectors), as_of=as_of, zone=zone)


def stated_of(account_id: str, *, past: Past, connectors: Mapping[str, Inbound]) -> list[StatedSubscription]:
    """All that its owner ever said of an account's subscriptions. Raises TransientError when the store cannot.

    An event whose object was read again says two things: what it brought, of its own second, and what was read.
    """
    states: list[StatedSubscription] = []
    for event in past.of_subscriptions(account_id, limit=EVENTS_MAX):
        states += _stated(msgspec.structs.replace(event, readings=()), connectors)
        if event.readings:
            states += _stated(event, connectors)
    return states


def _stated(event: InboxEvent, connectors: Mapping[str, Inbound]) -> list[StatedSubscription]:
    understood = interpret(event, connectors).interpretation
    return [
        StatedSubscription(at=seen.observed_at, rank=_RANK[seen.standpoint], subscription=seen.entity)
        for seen in (understood.observations if isinstance(understood, Interpreted) else ())
        if isinstance(seen.entity, Subscription)
    ]
