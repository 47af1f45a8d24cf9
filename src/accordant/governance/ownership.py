"""Whose value is true, and to whom it may be told: entity and fact to one system of record, compiled from the charter.

The charter's check asks the matrix when a charter is loaded, the court when a write is planned and dispatched.
"""

from collections.abc import Iterable
from typing import Self

import msgspec

from accordant.canonical.charter import Charter, Direction, FieldPart, OwnershipPart
from accordant.canonical.facts import FACTS
from accordant.canonical.refs import EntityKind
from accordant.canonical.sources import facts_read
from accordant.governance.financial import financial_facts


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One cell of the matrix. ``by`` is ``entity`` or ``exception``, or ``nobody``, and then there is no owner."""

    entity: EntityKind
    fact: str
    owner: str | None
    by: str


class OwnershipMatrix(msgspec.Struct, frozen=True, kw_only=True):
    """``entities`` holds the system of record of each kind, ``exceptions`` that of single facts.

    ``readers`` are the systems an entity may be told to, ``directions`` which way it moves.
    """

    entities: dict[EntityKind, str]
    exceptions: dict[tuple[EntityKind, str], str]
    readers: dict[EntityKind, frozenset[str]]
    directions: dict[EntityKind, Direction]

    @classmethod
    def from_charter(cls, charter: Charter) -> Self:
        """The matrix of a charter."""
        return cls.from_parts(charter.ownership)

    @classmethod
    def from_parts(cls, parts: Iterable[OwnershipPart]) -> Self:
        """The matrix of these entries. Of two for one kind the first counts; the charter check refuses two."""
        entities: dict[EntityKind, str] = {}
        exceptions: dict[tuple[EntityKind, str], str] = {}
        readers: dict[EntityKind, frozenset[str]] = {}
        directions: dict[EntityKind, Direction] = {}
        for part in parts:
            if part.entity in entities:
                continue
            entities[part.entity] = part.system_of_record
            readers[part.entity] = frozenset(part.readers)
            directions[part.entity] = part.direction
            if part.financial is not None:
                exceptions |= {(part.entity, fact): part.financial for fact in financial_facts(part.entity)}
            exceptions |= {(part.entity, fact): system for fact, system in part.fields.items()}
        return cls(entities=entities, exceptions=exceptions, readers=readers, directions=directions)

    def owner_of(self, entity: EntityKind, fact: str) -> str | None:
        """The system whose value of this fact is true, or None when nobody owns the entity."""
        return self.exceptions.get((entity, fact)) or self.entities.get(entity)

    def owned_by(self, system: str) -> tuple[EntityKind, ...]:
        """The kinds whose system of record is ``system``, field exceptions aside."""
        return tuple(kind for kind, owner in self.entities.items() if owner == system)

    def objection(self, entity: EntityKind, fact: str, *, source: str, target: str) -> str | None:
        """Why ``source`` may not tell ``target`` this fact, as a sentence without its end; None when it may."""
        owner = self.owner_of(entity, fact)
        if owner is None:
            return f"the charter names no system of record for {entity}"
        if owner != source:
            return f"{entity}.{fact} belongs to {owner}, not to {source}"
        return self.closed_to(entity, target)

    def closed_to(self, entity: EntityKind, target: str) -> str | None:
        """Why nothing of an entity may be told to ``target``, whoever owns it; None when something may."""
        direction = self.directions.get(entity, Direction.OUTBOUND)
        if direction is Direction.INBOUND:
            return f"{entity} is inbound: it is taken in and told to nobody"
        if target == self.entities.get(entity):
            return None if direction is Direction.BOTH else f"{entity} is outbound: nothing is written back to {target}"
        if target not in self.readers.get(entity, frozenset()):
            return f"{target} is not among the readers of {entity}"
        return None

    def cells(self) -> tuple[Cell, ...]:
        """Every fact of every kind that flows out, with its owner: the matrix written out."""
        return tuple(self._cell(entity, fact) for entity, facts in FACTS.items() for fact in facts)

    def _cell(self, entity: EntityKind, fact: str) -> Cell:
        exception = self.exceptions.get((entity, fact))
        by = "nobody" if entity not in self.entities else "entity" if exception is None else "exception"
        return Cell(entity=entity, fact=fact, owner=self.owner_of(entity, fact), by=by)


def facts_of(field: FieldPart) -> tuple[str, ...]:
    """The facts a mapped field is made of: the source of a flow must own each of them."""
    return facts_read(field)
