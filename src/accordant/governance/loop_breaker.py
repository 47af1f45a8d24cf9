"""The loop breaker: a field that went back and forth too often within an hour is held until a person has looked.

Two automations that overwrite each other would otherwise do so for ever. Pure: it looks at a field's latest turns.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from accordant.canonical.conflicts import FieldMark, Turn
from accordant.canonical.intents import WireValue

#: How often one field of one record may return to a value it had before, after somebody at the target changed it. The
#: next return is not written.
RETURNS_MAX = 5
#: How often it may return in all. Where the owner alone goes back and forth, a person has changed his mind a few times,
#: or something answers to what we write: only the second goes on for ever.
RETURNS_OF_OWNER_MAX = 20
#: Within which span.
SPAN = timedelta(hours=1)
#: Turns that are remembered: twice as many as trip it, and the two ends.
TURNS_MAX = 2 * RETURNS_MAX + 4
#: Returns that are remembered, to whatever value: other turns in between must not hide them.
_REMEMBERED_MAX = 16 * (RETURNS_MAX + 1)


class Trip(msgspec.Struct, frozen=True, kw_only=True):
    """Why a field is held: its two values, how often it returned, between which instants, and the turns themselves."""

    value: WireValue
    other: WireValue
    returns: int
    since_at: datetime
    turns: tuple[Turn, ...]

    def sentence(self, field: str, target: str) -> str:
        """What happened, for the person who has to look."""
        ours = sum(turn.ours for turn in self.turns)
        return (
            f"{field} went back and forth {self.returns} times since {self.since_at:%Y-%m-%d %H:%M} UTC: Accordant "
            f"wrote it {ours} times, and somebody at {target} or its owner changed it as often. Nothing more is "
            "written to it until a person has found who the other one is, and releases it."
        )


def advance(
    mark: FieldMark | None,
    *,
    before: WireValue,
    value: WireValue,
    revision: int,
    at: datetime,
    said_at: datetime | None = None,
) -> FieldMark:
    """The mark after a confirmed write at ``at``. ``before`` is what the target held, None for nothing.

    A turn counts at the time its owner said it, ``said_at``: a year of history that is caught up with in an hour goes
    back and forth as slowly as the year did.
    """
    if mark is None or (not mark.turns and mark.value == value == before):
        # Nothing to go back to, or nothing that moved: what most fields of most writes are.
        return FieldMark(value=value, revision=revision, at=at)
    turned_at = min(at, said_at or at)
    turns = [turn for turn in mark.turns if turn.at > turned_at - SPAN]
    if not turns:
        turns.append(Turn(mark.value, min(mark.at, turned_at), ours=True))
    for turn in (Turn(before, turned_at, ours=False), Turn(value, turned_at, ours=True)):
        if turns[-1].value != turn.value:
            turns.append(turn)
    # One value without a change behind it is what almost every field has: the mark itself says as much.
    kept = tuple(turns[-TURNS_MAX:]) if len(turns) > 1 else ()
    returns = [turn for turn in mark.returns if turn.at > turned_at - SPAN]
    if _is_return(turns, value):
        returns.append(Turn(value, turned_at, ours=turns[-2].ours))
    return FieldMark(value=value, revision=revision, at=at, turns=kept, returns=tuple(returns[-_REMEMBERED_MAX:]))


def _is_return(turns: Sequence[Turn], value: WireValue) -> bool:
    """Whether the last turn is ours and goes back to the value before the last."""
    return len(turns) > 2 and turns[-1].ours and turns[-1].value == value == turns[-3].value


def tripped(
    mark: FieldMark,
    *,
    held: WireValue,
    value: WireValue,
    now: datetime,
    said_at: datetime | None = None,
    released_at: datetime | None = None,
) -> Trip | None:
    """Whether writing ``value`` over ``held`` would be one return too many; what was before a release is forgiven.

    ``said_at`` as in ``advance``.
    """
    turned_at = min(now, said_at or now)
    since = turned_at - SPAN if released_at is None else max(turned_at - SPAN, released_at)
    turns = [turn for turn in mark.turns if turn.at > since]
    for turn in (Turn(held, turned_at, ours=False), Turn(value, turned_at, ours=True)):
        if not turns or turns[-1].value != turn.value:
            turns.append(turn)
    if not _is_return(turns, value):
        return None
    returns = [turn for turn in mark.returns if turn.value == value and turn.at > since]
    by_others = [turn for turn in returns if not turn.ours]
    if len(by_others) < RETURNS_MAX and len(returns) < RETURNS_OF_OWNER_MAX:
        return None
    return Trip(
        value=value,
        other=held,
        returns=len(returns),
        since_at=min(turns[0].at, returns[0].at),
        turns=tuple(turns[:-1]),
    )
