"""The kinds of red flag, as the charter and the flags themselves name them. Next: `red_flags.py`."""

from enum import StrEnum


class RedFlagKind(StrEnum):
    """What does not fit.

    Credit over total: credit notes for more than their invoice. Unexplained reversal: an invoice that was paid is not
    any more, or more was given back than was paid, and nothing tells why. Key reuse: one key came again and again for
    something else. Unsourced change: money changed at a target, by no event of ours and in nobody's name; or a record
    there has our key, and we never wrote it.
    """

    CREDIT_OVER_TOTAL = "credit_over_total"
    UNEXPLAINED_REVERSAL = "unexplained_reversal"
    KEY_REUSE = "key_reuse"
    UNSOURCED_CHANGE = "unsourced_change"
