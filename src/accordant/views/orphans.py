"""Customers who go on paying while their record is gone from a target: nobody there sees them any more.

A record that was deleted is a question to a person anyway; one with a live subscription is a red flag beside it.
"""

import msgspec
from sqlalchemy import Connection, and_, select, text

from accordant.canonical.matching import ReviewCase
from accordant.canonical.standing import decode_standing
from accordant.store.schema import review_case, standing

# Written out, not bound: SQLite takes a partial index only when it can see the index's own condition in the query.
_OPEN = text("review_case.state = 'open'")
_ENDED = frozenset({"canceled", "incomplete_expired"})
_CASE = msgspec.json.Decoder(ReviewCase)


class Orphan(msgspec.Struct, frozen=True, kw_only=True):
    """A record that is gone, and how many subscriptions of its customer live."""

    case: ReviewCase
    live_subscriptions: int


def orphans(connection: Connection) -> tuple[Orphan, ...]:
    """Every open question about a record that was deleted whose customer has a live subscription, oldest first."""
    rows = connection.execute(
        select(review_case.c.body, standing.c.state)
        .join(standing, standing.c.account_id == review_case.c.account_id)
        .where(and_(_OPEN, review_case.c.record_gone.is_(True)))
        .order_by(review_case.c.opened_at, review_case.c.id)
    )
    found = []
    for body, state in rows:
        live = sum(one.status not in _ENDED for one in decode_standing(state).subscriptions)
        if live:
            found.append(Orphan(case=_CASE.decode(body), live_subscriptions=live))
    return tuple(found)
