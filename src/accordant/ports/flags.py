"""Where red flags are kept, and what people say of them. Next: `operations/flag_desk.py`."""

from typing import Protocol

import msgspec

from accordant.canonical.red_flags import FlagDecision, RedFlag
from accordant.kernel.errors import RejectedError
from accordant.ports.audit import AuditEntry


class FlagUnknown(RejectedError):
    """There is no such red flag."""

    remedy = "`accordant flags list` has those that are open."


class FlagClosed(RejectedError):
    """This red flag was approved already, or somebody decided on it at this very moment."""

    remedy = "Look at it as it is now."


class KeptFlag(msgspec.Struct, frozen=True, kw_only=True):
    """A flag with what was said of it. ``is_open``: it stops its customer's writes."""

    flag: RedFlag
    decisions: tuple[FlagDecision, ...]
    is_open: bool


def flag_entry(flag: RedFlag) -> AuditEntry:
    """The line of the trail for a flag; the values that do not fit are in the flag itself."""
    return AuditEntry(
        kind="court.flag.raised",
        actor="accordant",
        subject=flag.subject,
        cause=flag.seq,
        at=flag.raised_at,
        body={
            "flag": flag.id,
            "kind": flag.kind.value,
            "account": flag.account_id,
            "flows": list(flag.flows),
            "related": list(flag.related),
        },
    )


class FlagWord(msgspec.Struct, frozen=True, kw_only=True):
    """A word to be kept; ``closes``: it is the last one needed."""

    decision: FlagDecision
    closes: bool


class FlagBook(Protocol):
    """Obligations: a flag is never changed once raised. Words are kept by `State.commit`, with what they lead to."""

    def find(self, flag_id: str) -> KeptFlag:
        """A flag by its id. Raises FlagUnknown."""
        ...
