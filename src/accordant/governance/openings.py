"""May a record be opened? Its conditions hold, and a person has released it where the charter asks for that. Pure.

Asked only about the first write of a record: what is open is the target's own, and no condition takes it back.
Next: `decide.py`, whose rule speaks for it.
"""

from collections.abc import Callable

import msgspec

from accordant.canonical.charter import Trigger
from accordant.canonical.intents import WriteIntent

#: What is said where only a person's word is missing.
RELEASE_DUE = "It waits for a person to release it, as it is."


class OpeningVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be said of one opening. ``unmet`` are the sentences of what does not hold; ``is_there``: it was opened
    before. ``is_released`` is about the very content that would be written.
    """

    unmet: tuple[str, ...] = ()
    is_there: bool = False
    is_released: bool = False


#: Asks about the record of a write with what is known at this moment.
AskOpening = Callable[[WriteIntent], OpeningVerdict | None]


def nobody_opens(_intent: WriteIntent) -> OpeningVerdict | None:
    """Where nothing can be looked up: every opening holds."""
    return None


def held_because(flow: str, trigger: Trigger | None, verdict: OpeningVerdict | None) -> str:
    """Why the first write of a record waits, in sentences; empty where it may go. ``trigger`` None: nothing was asked
    for by the charter.
    """
    if verdict is None:
        return "" if trigger is None else f"{flow} holds: whether this may be opened was not looked up."
    if verdict.is_there:
        return ""
    told = list(verdict.unmet)
    if trigger is Trigger.MANUAL and not verdict.is_released:
        told.append(RELEASE_DUE)
    return " ".join(told)
