"""Where people decide on red flags: one approves, or two, for exactly the packet they looked at; anyone may refuse.

The word, the end of the stop and what is planned because of it are one transaction. Next: `governance/red_flags.py`,
which says whose word counts.
"""

from collections.abc import Callable
from datetime import datetime
from itertools import combinations
from typing import Protocol

import msgspec

from accordant.canonical.people import bare_name, is_unverified
from accordant.canonical.red_flags import FlagDecision, RedFlag, Verdict
from accordant.governance.red_flags import approvals, objection, persons_needed
from accordant.kernel.clock import Clock
from accordant.kernel.errors import RejectedError
from accordant.pipeline.plan import Rulebook
from accordant.pipeline.replan import replan
from accordant.ports.audit import AuditEntry
from accordant.ports.flags import FlagBook, FlagClosed, FlagWord, KeptFlag
from accordant.ports.state import Changes, ConcurrentChange, State

REASON_LENGTH_MAX = 300
_REASON_MIN = 3
_TRIES = 5


class ApprovalRefused(RejectedError):
    """This word does not count for this flag."""

    remedy = "`accordant flags show` says who has approved and how many are needed."


class PacketChanged(RejectedError):
    """Something in the packet changed since it was looked at: an approval of other values counts for nothing."""

    remedy = "Look at it as it is now, then approve that."


class FlagOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a word. ``missing`` is how many more different people have to approve; 0 once writing goes on."""

    flag: RedFlag
    decision: FlagDecision
    is_open: bool
    missing: int


class People(Protocol):
    """Who decides here."""

    @property
    def is_configured(self) -> bool:
        """Whether people have tokens here, so that a typed name decides nothing."""
        ...

    def one_hand(self, requester: str, approver: str) -> str | None:
        """Who alone stands behind two named persons; None where two do, or nobody knows."""
        ...

    def tell_one_hand(self, requester: str, approver: str, *, what: str) -> None:
        """Tell the company where one person alone stands behind both."""
        ...


class FlagDesk:
    """The red flags of one hub. ``digest_of`` is that of a packet as it stands at this moment.

    Where two people have to approve and one person alone gave both their tokens, the trail and an alarm say so.
    """

    def __init__(
        self,
        book: FlagBook,
        state: State,
        *,
        rulebook: Callable[[], Rulebook],
        digest_of: Callable[[str], str | None],
        clock: Clock,
        people: People,
    ) -> None:
        self._book = book
        self._state = state
        self._rulebook = rulebook
        self._digest_of = digest_of
        self._people = people
        self._clock = clock

    def missing(self, flag_id: str) -> int:
        """How many more different people have to approve the packet as it is now. Raises FlagUnknown."""
        kept = self._book.find(flag_id)
        part = self._rulebook().charter.red_flags
        given = approvals(kept.decisions, self._digest_of(flag_id) or "")
        return max(0, persons_needed(part, kept.flag.kind) - len(given)) if kept.is_open else 0

    def approve(self, flag_id: str, *, digest: str, actor: str, reason: str) -> FlagOutcome:
        """Let writing go on, where enough different people have said so of this very packet.

        Raises FlagUnknown, FlagClosed, PacketChanged, ApprovalRefused, and RejectedError without a name or a reason.
        """
        kept = self._open(flag_id, actor, reason)
        if not digest or digest != self._digest_of(flag_id):
            raise PacketChanged
        part = self._rulebook().charter.red_flags
        told = objection(part, kept.decisions, actor=actor.strip(), digest=digest)
        if told is not None:
            raise ApprovalRefused(told)
        decision = self._word(kept, Verdict.APPROVE, actor=actor, reason=reason, digest=digest)
        given = approvals((*kept.decisions, decision), digest)
        missing = max(0, persons_needed(part, kept.flag.kind) - len(given))
        hand = next(
            (hand for one, two in combinations(given, 2) if (hand := self._people.one_hand(one.actor, two.actor))), None
        )
        self._keep(kept, decision, closes=not missing, one_hand=None if missing else hand)
        if hand is not None and not missing:
            what = f"the end of the red flag {kept.flag.id} on {kept.flag.subject}"
            for one, two in combinations(given, 2):
                self._people.tell_one_hand(one.actor, two.actor, what=what)
        return FlagOutcome(flag=kept.flag, decision=decision, is_open=bool(missing), missing=missing)

    def refuse(self, flag_id: str, *, actor: str, reason: str) -> FlagOutcome:
        """Say that it is wrong: writing stays stopped, approvals given before count no more. Raises as ``approve``."""
        kept = self._open(flag_id, actor, reason)
        part = self._rulebook().charter.red_flags
        told = objection(part, (), actor=actor.strip(), digest="")
        if told is not None:
            raise ApprovalRefused(told)
        digest = self._digest_of(flag_id) or ""
        decision = self._word(kept, Verdict.REFUSE, actor=actor, reason=reason, digest=digest)
        self._keep(kept, decision, closes=False, one_hand=None)
        needed = persons_needed(part, kept.flag.kind)
        return FlagOutcome(flag=kept.flag, decision=decision, is_open=True, missing=needed)

    def _open(self, flag_id: str, actor: str, reason: str) -> KeptFlag:
        if not actor.strip() or not _REASON_MIN <= len(reason.strip()) <= REASON_LENGTH_MAX:
            raise RejectedError(
                "A red flag is decided by a named person for a stated reason.",
                remedy=f"Give both: who you are, and why, in at most {REASON_LENGTH_MAX} characters.",
            )
        if is_unverified(actor) and self._people.is_configured:
            raise ApprovalRefused(f"{bare_name(actor)} is a typed name, and people have tokens here.")
        kept = self._book.find(flag_id)
        if not kept.is_open:
            raise FlagClosed
        return kept

    def _word(self, kept: KeptFlag, verdict: Verdict, *, actor: str, reason: str, digest: str) -> FlagDecision:
        return FlagDecision(
            flag=kept.flag.id,
            number=len(kept.decisions) + 1,
            verdict=verdict,
            actor=actor.strip(),
            reason=reason.strip(),
            digest=digest,
            at=self._clock(),
        )

    def _keep(self, kept: KeptFlag, decision: FlagDecision, *, closes: bool, one_hand: str | None) -> None:
        """Keep the word; where it ends the stop, with what is planned for the customer now that it is over."""
        for attempt in range(_TRIES):
            changes = self._changes(kept, closes=closes, now=decision.at)
            changes.flag_words.append(FlagWord(decision=decision, closes=closes))
            changes.audit.append(_entry(kept, decision, closes=closes, one_hand=one_hand))
            try:
                self._state.commit(changes, now=decision.at)
            except ConcurrentChange:
                if attempt == _TRIES - 1:
                    raise
            else:
                return

    def _changes(self, kept: KeptFlag, *, closes: bool, now: datetime) -> Changes:
        account = kept.flag.account_id
        if not closes or account is None:
            return Changes()
        over = frozenset({kept.flag.id})
        return replan([account], rulebook=self._rulebook(), state=self._state, now=now, over=over)


def _entry(kept: KeptFlag, decision: FlagDecision, *, closes: bool, one_hand: str | None) -> AuditEntry:
    return AuditEntry(
        kind=f"operations.flag.{'refused' if decision.verdict is Verdict.REFUSE else 'approved'}",
        actor=decision.actor,
        subject=kept.flag.subject,
        cause=kept.flag.seq,
        at=decision.at,
        body={
            "flag": kept.flag.id,
            "kind": kept.flag.kind.value,
            "packet": decision.digest,
            "closes": closes,
            "reason": decision.reason,
            **({} if one_hand is None else {"one_hand": one_hand}),
        },
    )
