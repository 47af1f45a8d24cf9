"""How far a flow may go: the order of phases, the steps between them, and what a connector has earned.

A phase is widened one step at a time and narrowed at once; no setting goes beyond the tier. Next: `decide.py`.
"""

from enum import StrEnum

from accordant.canonical.charter import Phase


class Tier(StrEnum):
    """How well a connector is proved, by its scorecard. Unproved: not even every bronze rule is met."""

    UNPROVED = "unproved"
    BRONZE = "bronze"
    SILVER = "silver"
    GOLD = "gold"
    PLATINUM = "platinum"


#: The widest phase in which records of a connector of this tier may be written (decision 0008).
CAP_OF_TIER: dict[Tier, Phase] = {
    Tier.UNPROVED: Phase.DRAFT,
    Tier.BRONZE: Phase.READ_ONLY,
    Tier.SILVER: Phase.CONTROLLED,
    Tier.GOLD: Phase.AUTOMATED,
    Tier.PLATINUM: Phase.AUTOMATED,
}

_WIDTH: dict[Phase, int] = {phase: width for width, phase in enumerate(Phase)}


def cap_of(source: Tier, target: Tier) -> Phase:
    """The widest phase of a flow between two connectors.

    The target's tier says how far it may be written to. The source is only listened to, for which bronze is enough;
    below that it is not trusted at all.
    """
    return Phase.DRAFT if source is Tier.UNPROVED else CAP_OF_TIER[target]


def is_wider(phase: Phase, other: Phase) -> bool:
    """Whether ``phase`` allows more than ``other``."""
    return _WIDTH[phase] > _WIDTH[other]


def narrower(phase: Phase, other: Phase) -> Phase:
    """The one of two phases that allows less."""
    return other if is_wider(phase, other) else phase


def next_phase(phase: Phase) -> Phase:
    """The phase one step wider; the widest is followed by itself."""
    return tuple(Phase)[min(_WIDTH[phase] + 1, len(Phase) - 1)]


def may_become(before: Phase | None, after: Phase) -> bool:
    """Whether a flow may go from one phase to another: any narrower one at once, wider one step at a time.

    ``before`` is None for a flow that is new: it starts as a draft, so read-only is its first step.
    """
    return not is_wider(after, next_phase(before or Phase.DRAFT))


def spoken(phase: Phase) -> str:
    """The phase as a person says it."""
    return phase.value.replace("_", "-")
