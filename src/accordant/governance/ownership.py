"""Whose value is true: entity and fact to the one system of record, compiled once from the charter."""

from typing import Self

import msgspec

from accordant.canonical.charter import Charter
from accordant.canonical.refs import EntityKind


class OwnershipMatrix(msgspec.Struct, frozen=True, kw_only=True):
    """``entities`` holds the system of record of each kind, ``exceptions`` that of single facts."""

    entities: dict[EntityKind, str]
    exceptions: dict[tuple[EntityKind, str], str]

    @classmethod
    def from_charter(cls, charter: Charter) -> Self:
        """The matrix of a charter. Of two entries for one kind the first counts; the charter check refuses two."""
        entities: dict[EntityKind, str] = {}
        exceptions: dict[tuple[EntityKind, str], str] = {}
        for part in charter.ownership:
            entities.setdefault(part.entity, part.system_of_record)
            for fact, system in part.fields.items():
                exceptions.setdefault((part.entity, fact), system)
        return cls(entities=entities, exceptions=exceptions)

    def owner_of(self, entity: EntityKind, fact: str) -> str | None:
        """The system whose value of this fact is true, or None when nobody owns the entity."""
        return self.exceptions.get((entity, fact)) or self.entities.get(entity)

    def owned_by(self, system: str) -> tuple[EntityKind, ...]:
        """The kinds whose system of record is ``system``, field exceptions aside."""
        return tuple(kind for kind, owner in self.entities.items() if owner == system)
