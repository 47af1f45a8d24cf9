"""Whose is it? The crosswalk answers first; what it does not know becomes an entity named after its owner's id.

True when you leave: every reference has one entity, the same one in every process and every replay. Next: `fold.py`.
"""

from collections.abc import Mapping

import msgspec

from accordant.canonical.refs import EntityKind, EntityRef, ExternalRef
from accordant.kernel.errors import InvariantBroken
from accordant.kernel.ids import EntityId, derived_id

#: How the ids of a kind begin.
PREFIX_OF_KIND: dict[EntityKind, str] = {
    EntityKind.ACCOUNT: "acc",
    EntityKind.PRODUCT: "prd",
    EntityKind.PRICE: "prc",
    EntityKind.SUBSCRIPTION: "sub",
    EntityKind.INVOICE: "inv",
    EntityKind.CREDIT_NOTE: "crn",
    EntityKind.PAYMENT: "pay",
    EntityKind.REFUND: "rfd",
    EntityKind.DISPUTE: "dsp",
    EntityKind.PAYOUT: "pyo",
    EntityKind.BALANCE_MOVEMENT: "bal",
    EntityKind.BANK_STATEMENT: "bnk",
    EntityKind.CASH_MOVEMENT: "csh",
    EntityKind.LEDGER_DOCUMENT: "doc",
    EntityKind.RECEIVABLE: "rcv",
    EntityKind.COMPANY: "cmp",
    EntityKind.CONTACT: "con",
    EntityKind.OPPORTUNITY: "opp",
}


class Linked(msgspec.Struct, frozen=True, tag=True):
    """The crosswalk knows the reference."""

    entity: EntityRef


class Created(msgspec.Struct, frozen=True, tag=True):
    """Nobody has spoken of this object before: ``entity`` is new, ``link`` the reference to enter in the crosswalk."""

    entity: EntityRef
    link: ExternalRef


#: Every way a reference can be answered. Callers match it exhaustively, so a further arm shows up wherever it counts.
Resolution = Linked | Created


def resolve(ref: ExternalRef, crosswalk: Mapping[ExternalRef, EntityRef], kind: EntityKind) -> Resolution:
    """The entity that an outside object is.

    A new entity's id is derived from the reference, so two workers that meet the object at once name it alike.
    Raises: InvariantBroken when the crosswalk says that the object is of another kind: folding it would mix two things.
    """
    known = crosswalk.get(ref)
    if known is None:
        name = derived_id(PREFIX_OF_KIND[kind], ref.system, ref.object_type, ref.id)
        return Created(EntityRef(kind, EntityId(name)), ref)
    if known.kind is not kind:
        raise InvariantBroken(f"{ref} is {known} in the crosswalk and cannot also be of the kind {kind}.")
    return Linked(known)
