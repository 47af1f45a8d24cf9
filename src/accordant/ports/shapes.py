"""What targets said of their objects when they were last asked, and since when something in them does not fit."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from accordant.canonical.shapes import SeenShape
from accordant.ports.audit import AuditEntry


class ShapeChange(msgspec.Struct, frozen=True, kw_only=True):
    """A shape to remember. ``alert`` is the text that goes out with it, None where nobody has to be told."""

    shape: SeenShape
    alert: str | None = None
    entry: AuditEntry | None = None


class ShapeBook(Protocol):
    """Obligations: a shape, its alert and its line in the trail are stored in one transaction."""

    def shapes(self) -> tuple[SeenShape, ...]:
        """Everything remembered, by system and object."""
        ...

    def revision(self) -> int:
        """Grows whenever a shape or its drift changes, and only then: asked before every round of work."""
        ...

    def keep(self, changes: Sequence[ShapeChange]) -> None:
        """Remember these shapes in place of what was remembered of the same objects."""
        ...

    def records_settled_since(self, system: str, object_name: str, since: datetime) -> frozenset[str]:
        """Records of an object, as ``system:Object/key``, with an intent that ended since then."""
        ...
