"""What a change of contract does to revenue: the decision order of ASC 606-10-25-12 and 25-13 (IFRS 15.20 and 15.21).

Pure; the answer names the paragraph, so that whoever is asked why can say it.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from fractions import Fraction

import msgspec

from accordant.kernel.errors import InvariantBroken
from accordant.kernel.money import AmountInvalid, round_half_up, split_minor


class Treatment(StrEnum):
    """How a change is accounted for."""

    SEPARATE = "separate"
    PROSPECTIVE = "prospective"
    CATCH_UP = "catch_up"
    BY_OBLIGATION = "by_obligation"


class Modification(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a change.

    ``adds_distinct``: it adds services that are distinct; ``at_standalone_price``: for what they cost alone, give or
    take what fits the circumstances. ``remaining_distinct`` says of each remaining obligation whether it is distinct
    from what was delivered; a service that stands ready day by day always is.
    """

    adds_distinct: bool
    at_standalone_price: bool
    remaining_distinct: tuple[bool, ...]


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """The treatment and the paragraph that calls for it."""

    treatment: Treatment
    because: str


#: Why each treatment is called for, with its paragraph: what an entry keeps is the treatment, and this says the rest.
REASONS: Mapping[Treatment, str] = {
    Treatment.SEPARATE: "Distinct services are added at their stand-alone price: a contract of its own (606-10-25-12).",
    Treatment.PROSPECTIVE: "What remains is distinct from what was delivered: the rest of the price over the rest of "
    "the term (606-10-25-13(a)).",
    Treatment.CATCH_UP: "What remains is part of one obligation partly done: its progress is measured again "
    "(606-10-25-13(b)).",
    Treatment.BY_OBLIGATION: "Some of what remains is distinct and some is not: each obligation by its own kind "
    "(606-10-25-13(c)).",
}


def decide(change: Modification) -> Decision:
    """Which treatment a change gets. The order is that of the standard: the first that applies decides."""
    if change.adds_distinct and change.at_standalone_price:
        treatment = Treatment.SEPARATE
    elif all(change.remaining_distinct):
        treatment = Treatment.PROSPECTIVE
    elif not any(change.remaining_distinct):
        treatment = Treatment.CATCH_UP
    else:
        treatment = Treatment.BY_OBLIGATION
    return Decision(treatment=treatment, because=REASONS[treatment])


def reasons_of(treatments: Iterable[str | None]) -> tuple[str, ...]:
    """Why changes of these kept treatments are accounted for so, each once; unknown words say nothing."""
    known = dict.fromkeys(one for one in treatments if one in set(Treatment))
    return tuple(REASONS[Treatment(one)] for one in known)


def prospective(*, unearned_minor: int, change_minor: int) -> int:
    """What the rest of the term earns: what was not earned yet and what the change adds or takes away, minor units.

    Example 7 of the standard: 80,000 for the third year and 200,000 for three more make 280,000 over four years.
    """
    return unearned_minor + change_minor


def catch_up(*, progress: Fraction, price_minor: int, recognised_minor: int) -> int:
    """What is recognised at once when progress is measured again: progress x new price - recognised, half up.

    Example 8 of the standard. Raises InvariantBroken for a progress outside 0 to 1.
    """
    if not 0 <= progress <= 1:
        raise InvariantBroken(f"A progress of {progress} is not between nothing and all.")
    return round_half_up(progress * price_minor) - recognised_minor


def allocate(price_minor: int, standalone_minor: Sequence[int]) -> tuple[int, ...]:
    """The price split over obligations in proportion to their stand-alone prices, by the largest remainder.

    Source: ASC 606-10-32-31. The parts sum to the price. Raises AmountInvalid when no stand-alone price is known.
    """
    return split_minor(price_minor, standalone_minor)


def standalone_weights(prices: Iterable[str]) -> tuple[int, ...]:
    """Stand-alone prices, as decimal texts, in proportion as whole numbers. Raises AmountInvalid for what is none."""
    try:
        found = [Fraction(price) for price in prices]
    except ValueError:
        raise AmountInvalid("A stand-alone price is no decimal number.") from None
    if not found or min(found) <= 0:
        raise AmountInvalid("A stand-alone price is not above zero.")
    whole = math.lcm(*(price.denominator for price in found))
    return tuple(int(price * whole) for price in found)
