"""Red flags: what does not fit together and is not for a program to explain. Writing stops, and people decide.

Immutable values. `governance/red_flags.py` raises them, `operations/flag_desk.py` lets people decide (requirements 148
to 153).
"""

from datetime import datetime
from enum import StrEnum

import msgspec

from accordant.canonical.intents import WireValue
from accordant.canonical.red_flag_kinds import RedFlagKind
from accordant.kernel.hashing import fingerprint
from accordant.kernel.ids import derived_id


class RedFlag(msgspec.Struct, frozen=True, kw_only=True):
    """One red flag, as it was raised. ``subject`` is the invoice, payment, event or record that it is about.

    ``account_id`` is the customer whose writes stop, None where nobody knows whose it is; ``flows`` narrows that to
    these flows, empty means all of the customer's. ``related`` are further objects behind it, ``seq`` the inbox event
    that brought it, ``said_at`` its provider's stamp. ``before`` and ``after`` are the values that do not fit, in
    ``system``; amounts in minor units with their currency. ``target_id`` is the record's own id at a target and
    ``changed_by`` who changed it there last, both None where it is about no such record or the target does not tell.
    """

    id: str
    kind: RedFlagKind
    account_id: str | None
    subject: str
    system: str
    why: str
    raised_at: datetime
    flows: tuple[str, ...] = ()
    related: tuple[str, ...] = ()
    seq: int | None = None
    said_at: datetime | None = None
    before: dict[str, WireValue] = {}
    after: dict[str, WireValue] = {}
    target_id: str | None = None
    changed_by: str | None = None


class FlagStop(msgspec.Struct, frozen=True, kw_only=True):
    """What an open flag stops: the flows of one customer, all of them where none is named."""

    flag: str
    kind: RedFlagKind
    account_id: str | None
    flows: tuple[str, ...]
    why: str


class Verdict(StrEnum):
    """A person's word: writing may go on, or it stays stopped and former words for it count no more."""

    APPROVE = "approve"
    REFUSE = "refuse"


class FlagDecision(msgspec.Struct, frozen=True, kw_only=True):
    """A person's word on a flag, for exactly the packet with this ``digest``. ``number`` counts from 1."""

    flag: str
    number: int
    verdict: Verdict
    actor: str
    reason: str
    digest: str
    at: datetime


def red_flag(
    kind: RedFlagKind,
    *,
    account_id: str | None,
    subject: str,
    system: str,
    why: str,
    raised_at: datetime,
    flows: tuple[str, ...] = (),
    related: tuple[str, ...] = (),
    seq: int | None = None,
    said_at: datetime | None = None,
    before: dict[str, WireValue] | None = None,
    after: dict[str, WireValue] | None = None,
    target_id: str | None = None,
    changed_by: str | None = None,
) -> RedFlag:
    """A flag named by what does not fit: the same misfit met again, by a replay, is the same flag."""
    misfit = fingerprint({"after": after or {}, "related": sorted(related)})
    return RedFlag(
        id=derived_id("flg", kind.value, subject, misfit),
        kind=kind,
        account_id=account_id,
        subject=subject,
        system=system,
        why=why,
        raised_at=raised_at,
        flows=flows,
        related=tuple(sorted(related)),
        seq=seq,
        said_at=said_at,
        before=before or {},
        after=after or {},
        target_id=target_id,
        changed_by=changed_by,
    )


def stop_of_flag(flag: RedFlag) -> FlagStop:
    """What a flag stops while it is open."""
    return FlagStop(flag=flag.id, kind=flag.kind, account_id=flag.account_id, flows=flag.flows, why=flag.why)
