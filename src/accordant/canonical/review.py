"""What a person decides about whose record it is, and what the hub re-links by itself when records move.

`canonical/matching.py` holds the questions; a decision is kept for ever, and undone only by a further decision.
"""

from datetime import datetime
from enum import StrEnum

import msgspec

from accordant.canonical.matching import RecordLink, ReviewCase, ReviewState
from accordant.canonical.refs import EntityRef, ExternalRef


class Relink(msgspec.Struct, frozen=True, kw_only=True):
    """An entity is another record of its target from now on. ``why`` is a sentence; ``old`` still leads to the entity.

    ``path`` are the ids between the two where records were merged into one another.
    """

    entity: EntityRef
    old: ExternalRef
    new: ExternalRef
    path: tuple[str, ...]
    why: str


class ReviewAction(StrEnum):
    """What can be decided.

    Accept: this record is it. Create: none is, make one. Reject: this one is not, never offer it again. Split: a link
    was wrong, take it apart. Merge: two customers are one, under the record of the other. Undo: as if the decision
    before had not been made.
    """

    ACCEPT = "accept"
    CREATE = "create"
    REJECT = "reject"
    SPLIT = "split"
    MERGE = "merge"
    UNDO = "undo"


class ReviewDecision(msgspec.Struct, frozen=True, kw_only=True):
    """One decision on a case, with all it takes to undo it. ``number`` counts those on the case from 1.

    ``target_id`` is the record it is about. ``rejected`` are records that are not offered again because of it,
    ``linked`` and ``unlinked`` those that entered and left the crosswalk. ``*_before`` is what was in force until then:
    None where there was no case, no choice or no link. ``undone`` is the number of the decision an undo takes back.
    """

    case_id: str
    number: int
    action: ReviewAction
    target_id: str | None
    actor: str
    reason: str
    at: datetime
    case_before: ReviewCase | None
    state_before: ReviewState | None
    chosen_before: str | None
    link_before: RecordLink | None
    rejected: tuple[str, ...] = ()
    linked: tuple[str, ...] = ()
    unlinked: tuple[str, ...] = ()
    undone: int | None = None
