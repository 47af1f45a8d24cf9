"""Two values for one owned field: exactly one stays, the other is kept, and a sentence says which rule decided.

Pure, like every rule: `pipeline/contest.py` asks it for the courier and for reconciliation alike.
"""

from datetime import datetime
from typing import assert_never

import msgspec

from accordant.canonical.charter import Winner
from accordant.canonical.conflicts import Claim, ConflictRule, FieldMark, Ruling, Side
from accordant.canonical.documents import DocumentState
from accordant.canonical.intents import WireValue


class WinnerRule(msgspec.Struct, frozen=True, kw_only=True):
    """The winner rule of a flow's entity; ``financial`` are the target fields for which billing wins always, ``posted``
    those of a document that its target has posted and lets nobody write over.
    """

    winner: Winner
    financial: frozenset[str]
    posted: frozenset[str] = frozenset()


def is_contested(held: WireValue, desired: WireValue, *, confirmed: WireValue) -> bool:
    """Whether somebody changed the field at the target: it holds neither what was last confirmed nor what is wanted.

    All three in the target's own spelling.
    """
    return held not in (confirmed, desired)


def rule_on(rule: WinnerRule, field: str, *, owner: Claim, target: Claim, mark: FieldMark, unchanged: bool) -> Ruling:
    """The one winner of a contested field.

    ``unchanged`` says that the owner's value is the one last confirmed, so that only the target moved since then.
    """
    if field in rule.posted and target.value != DocumentState.DRAFT:  # a draft may still be posted
        return Ruling(rule=ConflictRule.POSTED, winner=None, sentence=_posted(field, owner, target))
    if field in rule.financial:
        return Ruling(
            rule=ConflictRule.FINANCIAL,
            winner=Side.OWNER,
            sentence=f"{field} is part of the financial state: {owner.system} wins always, whoever wrote last.",
        )
    match rule.winner:
        case Winner.SYSTEM_OF_RECORD:
            whose = f"{owner.system} is the system of record for {field}"
            kept = f"{owner.by} kept this value of {field} for {owner.system}, the system of record"
            return Ruling(
                rule=ConflictRule.SYSTEM_OF_RECORD,
                winner=Side.OWNER,
                sentence=f"{kept if owner.by else whose}: it is written again.",
            )
        case Winner.PERSON:
            return Ruling(
                rule=ConflictRule.PERSON,
                winner=None,
                sentence=f"Somebody changed {field} at {target.system}, and the charter lets a person decide. "
                "It is left as it is until then.",
            )
        case Winner.LATEST:
            return _latest(field, owner, target, mark, unchanged=unchanged)
        case _:
            assert_never(rule.winner)


def _posted(field: str, owner: Claim, target: Claim) -> str:
    """What a person has to do where the hub cannot: what was taken back at most ERPs cannot be brought back."""
    if target.value == DocumentState.CANCELLED:
        return (
            f"Somebody took this document back at {target.system}, and the books still hold it. Cancel it in the "
            f"books, or post it there again by hand; then decide for {owner.system}."
        )
    return (
        f"Somebody changed {field} of this document by hand at {target.system}, and what is posted is not written "
        f"over. Undo the change there, or cancel the document in the books; then decide for {owner.system}."
    )


def _latest(field: str, owner: Claim, target: Claim, mark: FieldMark, *, unchanged: bool) -> Ruling:
    """The later value stays, where both sides can be trusted with a time; else the system of record does."""
    if unchanged:
        # We confirmed the owner's value, and only then the target changed: no clock of either side is needed.
        return _later(field, target, f"{owner.system} has said nothing new since {_say(mark.at)}")
    if owner.at is None:
        return _untimed(field, owner, f"Nobody can say when {owner.system} changed {field}")
    if target.at is None:
        return _untimed(field, owner, f"{target.system} does not say when {field} was changed")
    if target.at < _second(mark.at):
        stamp = f"{target.system} says {_say(target.at)}, which is before our own last write there"
        return _untimed(field, owner, stamp)
    if _second(owner.at) == _second(target.at):
        return _untimed(field, owner, f"Both sides changed {field} within the second {_say(owner.at)}")
    if target.at > owner.at:
        return _later(field, target, f"{owner.system} changed it at {_say(owner.at)}, {target.system} only after that")
    return Ruling(
        rule=ConflictRule.LATEST,
        winner=Side.OWNER,
        sentence=f"The later value of {field} stays: {owner.system} changed it at {_say(owner.at)}, "
        f"{target.system} at {_say(target.at)} or before.",
    )


def _later(field: str, target: Claim, why: str) -> Ruling:
    return Ruling(
        rule=ConflictRule.LATEST,
        winner=Side.TARGET,
        sentence=f"The later value of {field} stays, the one at {target.system}: {why}.",
    )


def _untimed(field: str, owner: Claim, why: str) -> Ruling:
    return Ruling(
        rule=ConflictRule.SYSTEM_OF_RECORD,
        winner=Side.OWNER,
        sentence=f"The later value of {field} should stay, and the times cannot be compared: {why}. "
        f"So the system of record, {owner.system}, wins.",
    )


def _second(instant: datetime) -> datetime:
    """Providers stamp to the second."""
    return instant.replace(microsecond=0)


def _say(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M:%S} UTC"
