"""Which events a worker gets together, and when one of them is taken for what kills it.

A try is counted before it begins, and given back where the worker lived on: what is left are deaths. A death accuses
all that was in work; they come again in smaller company, and only what dies alone is set aside. Next: `inbox.py`.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import takewhile
from math import isqrt
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, select, text, update

from accordant.kernel.clock import to_micros
from accordant.ports.audit import AuditEntry
from accordant.ports.inbox import WorkState
from accordant.store import bulk
from accordant.store.alerts import raise_alert
from accordant.store.schema import inbox_work, parked_lane

#: An event in whose work so many processes died is set aside, where the charter says nothing else
#: (``lanes.receives_max``).
CLAIMS_MAX = 5
#: From so many on it is handed out alone. Every further one is a death of which nothing else can be the cause.
SUSPECT_CLAIMS = 2
#: Batches that are remembered as given back: the last, and what was handed out between its tries.
_GIVEN_BACK_MAX = 8


class Claimable(NamedTuple):
    """An event that is due: its tries without an answer so far, and when it was last answered for, if ever."""

    seq: int
    attempts: int
    lane: str
    settled_at: int | None


# Made once: to make a question, and its key among the compiled ones, takes longer than to ask it.
_READY = (
    select(*(inbox_work.c[name] for name in Claimable._fields))
    .where(
        # Written out, not bound: a partial index is taken only where the query shows the index's own condition.
        text("inbox_work.state = 'received'"),
        inbox_work.c.due_at <= bindparam("now"),
        inbox_work.c.lane.not_in(select(parked_lane.c.lane)),
    )
    .order_by(inbox_work.c.seq)
    .limit(bindparam("most"))
)
_READY_OF_SHARE = _READY.where(inbox_work.c.partition.in_(bindparam("share", expanding=True)))


def ready(connection: Connection, limit: int, now: datetime, partitions: frozenset[int] | None) -> list[Claimable]:
    """The oldest events that are due in open lanes, in order of arrival; None for all partitions."""
    bound: dict[str, int | list[int]] = {"now": to_micros(now), "most": limit}
    if partitions is None:
        return [Claimable._make(row) for row in connection.execute(_READY, bound)]
    rows = connection.execute(_READY_OF_SHARE, bound | {"share": sorted(partitions)})
    return [Claimable._make(row) for row in rows]


class Hand:
    """What one process knows of the events it took: those it gave back alive, and whether a suspect is next."""

    def __init__(self) -> None:
        self._given_back: deque[frozenset[int]] = deque(maxlen=_GIVEN_BACK_MAX)
        self._is_suspects_turn = False

    def give_back(self, seqs: Iterable[int]) -> None:
        """These were not answered for, and their worker lives: their next try is the one that was counted already."""
        self._given_back.append(frozenset(seqs))

    def take(self, connection: Connection, work: Sequence[Claimable], limit: int) -> list[Claimable]:
        """Choose what is handed out together, and count the try; the events as they stand then."""
        # One whose count is gone was answered for since, and is tried anew.
        known = {one.seq for one in work if one.attempts and any(one.seq in seqs for seqs in self._given_back)}
        if known:
            work = [one._replace(attempts=one.attempts - 1) if one.seq in known else one for one in work]
        chosen = together(work, limit, is_suspects_turn=self._is_suspects_turn)
        counted = [one.seq for one in chosen if one.seq not in known]
        if counted:
            _count(connection, counted)
        return [one._replace(attempts=one.attempts + 1) for one in chosen]

    def took(self, taken: Sequence[Claimable]) -> None:
        """These were handed out, and the count of it is in the store."""
        gone = {one.seq for one in taken}
        for _ in range(len(self._given_back)):
            if left := self._given_back.popleft() - gone:
                self._given_back.append(left)
        # Neighbours first: a process that has just died is not struck again by what may have killed it before it has
        # done anything else, and suspects get every second turn, however much there is to do.
        self._is_suspects_turn = bool(taken) and not self._is_suspects_turn


def together(work: Sequence[Claimable], limit: int, *, is_suspects_turn: bool) -> list[Claimable]:
    """What of ``work``, in order of arrival, is handed out together.

    Who was struck once goes in a company of the square root of ``limit``, who was struck more often alone. Of a lane
    nothing goes before what is earlier in it.
    """
    if not any(one.attempts for one in work):
        return list(work)
    suspects, others = _parted(work)
    if suspects and (is_suspects_turn or not others):
        # Who was struck least is cleared first: a culprit keeps no other suspect waiting.
        return [min(suspects, key=lambda one: (one.attempts, one.seq))]
    is_struck = bool(others[0].attempts)
    alike = takewhile(lambda one: bool(one.attempts) is is_struck, others)
    return list(alike)[: isqrt(limit) if is_struck else limit]


def _parted(work: Sequence[Claimable]) -> tuple[list[Claimable], list[Claimable]]:
    """The suspects that are first of their lane, and everything that no suspect of its lane goes before."""
    suspects: list[Claimable] = []
    others: list[Claimable] = []
    begun, waiting = set[str](), set[str]()
    for one in work:
        if one.lane in waiting:
            continue
        if one.attempts < SUSPECT_CLAIMS:
            others.append(one)
        else:
            waiting.add(one.lane)
            if one.lane not in begun:
                suspects.append(one)
        begun.add(one.lane)
    return suspects, others


def _count(connection: Connection, seqs: list[int]) -> None:
    if connection.dialect.name == "sqlite":
        sql = "UPDATE inbox_work SET attempts = attempts + 1 WHERE seq = ?"
        connection.exec_driver_sql(sql, [(seq,) for seq in seqs])
    else:
        connection.exec_driver_sql(
            "UPDATE inbox_work SET attempts = attempts + 1 WHERE seq = ANY(%s::bigint[])", (seqs,)
        )


def give_up(connection: Connection, one: Claimable, now: datetime) -> AuditEntry:
    """Set an event aside, stop its lane and tell; the line of the trail that says so."""
    alone = one.attempts - SUSPECT_CLAIMS
    reason = (
        f"Processing stopped {one.attempts} times without an answer, the last {alone} times while nothing else was in "
        "work; the event is set aside and its lane waits."
    )
    connection.execute(
        update(inbox_work)
        .where(inbox_work.c.seq == one.seq)
        .values(state=WorkState.DEAD, reason=reason, settled_at=to_micros(now))
    )
    bulk.insert_new(
        connection,
        parked_lane,
        ("lane", "direction", "cause", "reason", "parked_at"),
        [(one.lane, "inbound", f"event/{one.seq}", reason, to_micros(now))],
    )
    raise_alert(connection, kind="lane.parked", subject=one.lane, body=reason, at=now)
    return AuditEntry(
        kind="interpreter.event.given_up",
        actor="accordant",
        subject=f"event/{one.seq}",
        cause=one.seq,
        at=now,
        body={"reason": reason, "attempts": one.attempts},
    )
