"""What a person decides about whose record it is, and what the hub re-links by itself when records move.

`canonical/matching.py` holds the questions; a decision is kept for ever, and undone only by a further decision.
"""

from datetime import datetime
from enum import StrEnum

import msgspec

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
    """One decision on a case. ``number`` counts those on it from 1; ``target_id`` is the record it is about.

    ``undone`` is the number of the decision that an undo takes back.
    """

    case_id: str
    number: int
    action: ReviewAction
    target_id: str | None
    undone: int | None
    actor: str
    reason: str
    at: datetime
