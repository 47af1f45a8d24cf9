"""What a charter is checked against, and what the check says: the facts of a connector, and one defect with its remedy.

Next: `charter.py`, which asks every check.
"""

from enum import StrEnum

import msgspec

from accordant.governance.phases import Tier


class Category(StrEnum):
    """The part of the business a system stands for: who it is decides what it may own."""

    BILLING = "billing"
    CRM = "crm"
    ERP = "erp"
    SUPPORT = "support"
    OTHER = "other"


class ConnectorFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the charter check knows of a connector, taken from its manifest and scorecard.

    ``settings`` are all it knows, ``required`` those it cannot do without, ``secret`` those given by reference.
    ``matchable`` are the objects whose records tell whose they are and can all be read.
    ``signing`` is the setting that holds the webhook secret, None where nothing is received; ``event_types`` are those
    that are understood. ``declared`` of a connector without code: what it could do and why it does not, and what to do
    meanwhile. Units: calls per second.
    """

    name: str
    category: Category
    tier: Tier
    settings: frozenset[str]
    required: frozenset[str] = frozenset()
    secret: frozenset[str] = frozenset()
    signing: str | None = None
    is_source: bool = False
    is_target: bool = False
    matchable: frozenset[str] = frozenset()
    event_types: frozenset[str] = frozenset()
    rate_per_s_max: int
    declared: tuple[str, str] | None = None


class Severity(StrEnum):
    """An error refuses the charter, and the one before it stays in force; a warning is shown."""

    ERROR = "error"
    WARNING = "warning"


class Defect(msgspec.Struct, frozen=True, kw_only=True):
    """One thing wrong with a charter.

    ``where`` is the place in the charter, as in ``flows[0].phase``. ``flows`` names those that cannot go because of it;
    None means every flow.
    """

    where: str
    problem: str
    remedy: str
    severity: Severity = Severity.ERROR
    flows: tuple[str, ...] | None = None


def place(*steps: str | int) -> str:
    """A place in the charter: ``place("flows", 0, "phase")`` is ``flows[0].phase``."""
    text = ""
    for step in steps:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text
