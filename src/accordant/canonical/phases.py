"""What widens a flow: the proposal somebody made, the evidence it stands on, and the grant another person gave.

Immutable values. `governance/grants.py` says how far a grant reaches, `operations/widen.py` makes them.
"""

from datetime import datetime

import msgspec

from accordant.canonical.charter import Automation, Phase


class EvidenceItem(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that has to hold before a flow is widened.

    ``figure`` is what was counted, in words; ``text`` a sentence with the next step where it does not hold; ``query``
    the command that shows it again.
    """

    name: str
    is_green: bool
    figure: str
    text: str
    query: str


class EvidencePack(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the hub collected about a flow at one moment, for one step from a phase to the next.

    ``meaning`` is the digest of what the charter says the flow does. ``tables`` hold the details behind the items:
    the name of a table, then its rows, the first of which names the columns. ``waived`` says why no evidence is asked
    for; empty where it is.
    """

    flow: str
    before: Phase
    wished: Phase
    automation: Automation
    company: str
    charter: str
    meaning: str
    write_fields: tuple[str, ...]
    collected_at: datetime
    since: datetime
    items: tuple[EvidenceItem, ...]
    tables: dict[str, tuple[tuple[str, ...], ...]]
    waived: str = ""

    @property
    def is_green(self) -> bool:
        """Whether everything holds. A pack without items proves nothing."""
        return bool(self.waived) or (bool(self.items) and all(item.is_green for item in self.items))

    @property
    def red(self) -> tuple[EvidenceItem, ...]:
        """What does not hold."""
        return () if self.waived else tuple(item for item in self.items if not item.is_green)


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """A wish to widen one flow by one step, exactly as it will be granted. ``evidence`` is the digest of its pack."""

    flow: str
    wished: Phase
    automation: Automation
    write_fields: tuple[str, ...]
    meaning: str
    evidence: str
    requested_by: str
    requested_at: datetime
    expires_at: datetime
    reason: str


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """How far a flow may go until the next grant, whatever the charter wishes.

    ``is_narrowing`` is one that a person or the charter took back: it needs no proposal, so ``proposal`` and
    ``evidence`` are those of the grant it takes from, or empty. ``write_fields`` and ``meaning`` are what was approved.
    """

    flow: str
    phase: Phase
    automation: Automation
    write_fields: tuple[str, ...]
    meaning: str
    evidence: str
    proposal: str
    requested_by: str
    granted_by: str
    granted_at: datetime
    reason: str
    is_narrowing: bool = False
