"""The world of one schedule: its dice, its clock, what happened in it, and which faults fired where.

Everything that may turn out one way or another is asked here, so that a seed tells the whole story. Next: `stage.py`.
"""

import hashlib
import random
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TypeVar

Choice = TypeVar("Choice")

_TRACE_LINES_MAX = 20_000
#: A moment to the microsecond, without its zone, which is always UTC.
_STAMP_LENGTH = 26


class Fault(StrEnum):
    """What goes wrong. The names are those of the table that is printed."""

    CRASH = "crash"
    REORDER = "reorder"
    DUPLICATE = "duplicate"
    LOSS = "loss"
    DELAY = "delay"
    RATE_STORM = "storm of 429"
    ERROR_STORM = "storm of 5xx"
    TIMEOUT_BEFORE = "time-out before the commit"
    TIMEOUT_AFTER = "time-out after the commit"
    LIE_DONE = "lie: done said, nothing done"
    LIE_FAILED = "lie: error said, done"
    LIE_OTHER_RECORD = "lie: another record named"
    LEASE_EXPIRY = "lease runs out under a living worker"
    CLOCK_STEP = "clock step"
    SWITCH_FLIP = "switch flipped"
    CHARTER_FLIP = "charter flipped"
    HAND_EDIT = "hand edit in a target"
    RESTORE = "restore from backup"
    STORE_AWAY = "store unavailable"
    SWIZZLE = "call over a stopped link"
    REPLAY_CRASH = "crash inside a replay"


class Crash(BaseException):
    """A process is gone: no line of it runs any more. Not an error, so nothing in the application catches it."""

    def __init__(self, where: str) -> None:
        super().__init__(where)
        self.where = where


class World:
    """Dice, clock, trace and faults of one schedule. Nothing here reads real time."""

    def __init__(self, seed: int, *, begins_at: datetime) -> None:
        self.seed = seed
        self.at = begins_at
        #: Faults by name and the place in the code where they struck.
        self.fired: Counter[tuple[Fault, str]] = Counter()
        self.is_calm = False
        self.trace: list[str] = []
        self._dice = random.Random(seed)
        #: Dice for what was thought of later: what they decide moves no other, so a seed goes on telling its old story
        #: wherever they decide for nothing.
        self.aside = random.Random(f"aside {seed}")
        self._digest = hashlib.sha256()

    # -- dice ----------------------------------------------------------------------------------------------------------

    def chance(self, probability: float) -> bool:
        """Whether something happens that is this probable."""
        return self._dice.random() < probability

    def number(self, low: int, high: int) -> int:
        """A whole number, both ends included."""
        return self._dice.randint(low, high)

    def one_of(self, choices: Sequence[Choice]) -> Choice:
        """Any of them."""
        return choices[self._dice.randrange(len(choices))]

    def weighted(self, choices: dict[Choice, int]) -> Choice:
        """Any of them, by weight."""
        return self._dice.choices(list(choices), list(choices.values()))[0]

    def shuffle(self, items: list[Choice]) -> None:
        """Any order."""
        self._dice.shuffle(items)

    def random_bytes(self, count: int) -> bytes:
        """Bytes for keys that guard nothing."""
        return self._dice.randbytes(count)

    def source(self) -> random.Random:
        """A source of its own for the application's jitter, drawn from this seed."""
        return random.Random(self._dice.random())

    # -- clock ---------------------------------------------------------------------------------------------------------

    def __call__(self) -> datetime:
        return self.at

    def passes(self, seconds: float) -> None:
        """Time goes on."""
        self.at += timedelta(seconds=seconds)

    # -- faults and trace ----------------------------------------------------------------------------------------------

    def strikes(self, fault: Fault, where: str, probability: float) -> bool:
        """Whether this fault strikes here; counted and traced where it does. Never in calm weather."""
        if self.is_calm or not self.chance(probability):
            return False
        self.note_fault(fault, where)
        return True

    def note_fault(self, fault: Fault, where: str) -> None:
        """Count a fault that was made to happen."""
        self.fired[fault, where] += 1
        self.tell(f"! {fault}: {where}")

    def tell(self, line: str) -> None:
        """Add a line to the trace."""
        stamped = f"{self.at.isoformat(timespec='microseconds')[:_STAMP_LENGTH]} {line}"
        self._digest.update(stamped.encode() + b"\n")
        if len(self.trace) < _TRACE_LINES_MAX:
            self.trace.append(stamped)

    @property
    def digest(self) -> str:
        """The digest of everything that happened: the same for the same seed."""
        return self._digest.hexdigest()
