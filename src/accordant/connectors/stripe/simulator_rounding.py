"""How the Stripe stand-in rounds: it has its own arithmetic, so that what it tests cannot be wrong with it."""

from fractions import Fraction


def half_up(value: Fraction) -> int:
    """Round to the nearest integer, halves away from zero, as Stripe rounds amounts."""
    whole = int(abs(value) + Fraction(1, 2))
    return whole if value >= 0 else -whole
