"""What a rehearsal comes to: differences between two charters, and their counts. Values only, personal ones covered.

`operations/rehearse.py` makes them, `store/rehearsals.py` keeps them, the console and the command line show them.
"""

from datetime import datetime
from enum import StrEnum

import msgspec

from accordant.canonical.intents import WireValue
from accordant.kernel.money import Money


class DifferenceKind(StrEnum):
    """How a record or a field would differ from today; drawn up in docs/howto/rehearse-a-change.md.

    ``new`` and ``gone`` are of whole records; ``released`` and ``withheld`` leave the value and change whether it is
    sent; ``left_out`` is no longer part of the record, ``held`` cannot be spelled, ``refused`` belongs to another.
    """

    NEW = "new"
    GONE = "gone"
    CHANGED = "changed"
    CLEARED = "cleared"
    RELEASED = "released"
    WITHHELD = "withheld"
    LEFT_OUT = "left_out"
    HELD = "held"
    REFUSED = "refused"


class RehearsalOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What to rehearse. ``flow`` limits what is compared, ``since`` to accounts that events since then spoke of.

    ``until`` lets history end there: both charters are then judged as of the past, by what was known. ``quick`` takes
    held entities as they are. ``sample`` is how many differences the answer itself holds.
    """

    flow: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    quick: bool = False
    sample: int = 20


class RehearsalTicket(msgspec.Struct, frozen=True, kw_only=True):
    """A rehearsal that somebody ordered, for whichever process of the hub comes first. ``folder`` is its name only."""

    id: str
    folder: str
    before: str
    after: str
    actor: str
    ordered_at: datetime
    order: RehearsalOrder


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One field of one record that would differ, personal values covered. ``field`` is None for a record as a whole.

    ``is_sent``: the value would be sent, not only compared. ``is_there``: the target was last seen to hold it already.
    ``money`` is after less before, where both are amounts of one currency; None beside ``is_amount`` is an amount that
    nobody can tell.
    """

    record: str
    flow: str
    target: str
    object: str
    key: str
    account_id: str
    kind: DifferenceKind
    field: str | None = None
    before: WireValue = None
    after: WireValue = None
    is_sent: bool = False
    is_there: bool = False
    reason: str | None = None
    is_amount: bool = False
    money: Money | None = None


class LeftOut(msgspec.Struct, frozen=True, kw_only=True):
    """Stored events that take no part, since they changed nothing yet: they wait, stand aside, or were erased."""

    waiting: int = 0
    set_aside: int = 0
    erased: int = 0


class Walked(msgspec.Struct, frozen=True, kw_only=True):
    """How far history was walked: up to the event ``last``, with what was seen until then, to go on from there."""

    last: int = 0
    events: int = 0
    left_out: LeftOut = LeftOut()
    stopped: int = 0
    stopped_sample: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()


class RehearsalProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a rehearsal is: in its first part events are walked, in its second accounts compared.

    ``since_at`` is when the part began here, with ``from_done`` done already; the rest follows from that.
    """

    is_comparing: bool
    done: int
    total: int
    since_at: datetime
    from_done: int
    seen_at: datetime
    walked: Walked | None = None

    def remaining_s(self) -> float | None:
        """Seconds until the part ends at its pace so far; None before anything is known."""
        done, took = self.done - self.from_done, (self.seen_at - self.since_at).total_seconds()
        return took / done * max(0, self.total - self.done) if done > 0 and took > 0 else None


class FlowCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many differences there are of one kind in one field of one flow."""

    flow: str
    target: str
    object: str
    field: str | None
    kind: DifferenceKind
    count: int
    sent: int
    there: int
    money: tuple[Money, ...] = ()


class Rehearsal(msgspec.Struct, frozen=True, kw_only=True):
    """What a rehearsal came to. ``before`` and ``after`` are versions of charters.

    ``walked`` is False where history was not walked again and stored entities were taken as they are (quick).
    ``records`` were compared; ``differing`` of them differ. ``unlike`` are entities whose history tells something else
    than what is held of them: their accounts are judged by what is held, which is what adopting the charter does.
    ``due`` are records that would be written even without a change. ``unnamed`` cannot be named under the new charter.
    ``stopped`` are events that are understood today and would not be. ``unknown_money`` counts differences of amounts
    whose currency the record does not say.
    """

    id: str
    before: str
    after: str
    walked: bool
    started_at: datetime
    finished_at: datetime
    flow: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    events: int = 0
    left_out: LeftOut = LeftOut()
    entities: int = 0
    stopped: int = 0
    stopped_sample: tuple[str, ...] = ()
    unlike: int = 0
    unlike_sample: tuple[str, ...] = ()
    accounts: int = 0
    records: int = 0
    differing: int = 0
    due: int = 0
    unnamed: int = 0
    unnamed_sample: tuple[str, ...] = ()
    differences: int = 0
    counts: tuple[FlowCount, ...] = ()
    unknown_money: int = 0
    sample: tuple[Difference, ...] = ()
