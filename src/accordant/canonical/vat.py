"""What the register of value-added tax numbers says of a number: valid, invalid, or no answer at all.

Only the first two are answers. A register that is down, busy or blocks us has said nothing of the number, and what it
has not said is never taken for a yes or a no.
"""

from datetime import datetime
from enum import StrEnum

import msgspec


class VatVerdict(StrEnum):
    """The three ways a question can end."""

    VALID = "valid"
    INVALID = "invalid"
    UNKNOWN = "unknown"


class VatNumber(msgspec.Struct, frozen=True, order=True):
    """A number of a member state: ``country`` as the register spells it (Greece is EL, Northern Ireland XI)."""

    country: str
    number: str

    def __str__(self) -> str:
        return f"{self.country}{self.number}"


class Remedy(StrEnum):
    """What makes an unanswered question worth asking again."""

    TIME = "time"
    PERSON = "person"


class VatAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One question to the register and what came of it.

    ``code`` is the register's own word for why it gave no answer, or ours; empty otherwise. ``remedy`` goes with it,
    and ``everywhere`` says that the next country would get no answer either. ``consultation`` is the number by which
    the register itself proves the question; it gives one only to who says who asks (``requester``). ``answered_on`` is
    its own date as it spells it, ``digest`` the SHA-256 of the raw answer, empty where none came.
    """

    asked: VatNumber
    verdict: VatVerdict
    asked_at: datetime
    requester: str = ""
    code: str = ""
    remedy: Remedy | None = None
    everywhere: bool = False
    consultation: str = ""
    answered_on: str = ""
    name: str = ""
    address: str = ""
    digest: str = ""


class Consultation(msgspec.Struct, frozen=True, kw_only=True):
    """An answer as it is kept: of which customer, and who wanted to know."""

    account_id: str
    asked_by: str
    answer: VatAnswer
