"""Which party stands below which: relations of one type, where Tryton's module party_relationship is active.
Guarantees that without the setting nothing is asked, and that a wrong one is named with its remedy.
Source: trytond_party_relationship, version 8.2. Next: outbound.py.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection

from accordant.canonical.matching import Member
from accordant.connectors.tryton.lookups import Lookups
from accordant.connectors.tryton.marks import ARCHIVED_TOO
from accordant.connectors.tryton.parties import PARTY
from accordant.connectors.tryton.rpc import PAGE, Rpc, TrytonRefused
from accordant.connectors.tryton.wire import Json
from accordant.kernel.errors import RejectedError

#: Tryton's own view of relations, each from both its ends.
RELATION = "party.relation.all"
TYPE = "party.relation.type"


class Relations:
    """The relations of one type. ``type_name`` is the English name of the one that leads from a party to that above
    it, empty where Tryton keeps no hierarchy of customers.
    """

    def __init__(self, rpc: Rpc, lookups: Lookups, *, type_name: str) -> None:
        self._rpc = rpc
        self._lookups = lookups
        self._type_name = type_name
        self._type: int | None = None

    @property
    def is_kept(self) -> bool:
        """Whether there is a hierarchy."""
        return bool(self._type_name)

    async def above(self, parties: Collection[int]) -> dict[int, int]:
        """The party directly above each of these, today; the oldest relation where a party has several.

        Raises RejectedError for a type that Tryton does not have.
        """
        if not self._type_name or not parties:
            return {}
        kind = await self._type_id()
        domain: list[Json] = [["type", "=", kind], ["from_", "in", sorted(parties)]]
        context = await self._lookups.context()
        rows = await self._rpc.find(RELATION, domain, ["from_", "to"], context=context, limit=None)
        found: dict[int, int] = {}
        for row in rows:
            found.setdefault(row["from_"], row["to"])
        return found

    async def members(self) -> AsyncIterator[tuple[Member, ...]]:
        """Every party with the one above it; one that was archived counts as deleted. Raises as ``above``."""
        last = 0
        while True:
            context = await self._lookups.context()
            domain: list[Json] = [["id", ">", last], ARCHIVED_TOO]
            rows = await self._rpc.find(PARTY, domain, ["active"], context=context, limit=PAGE)
            if not rows:
                return
            above = await self.above([row["id"] for row in rows])
            yield tuple(
                Member(
                    id=str(row["id"]),
                    parent_id=str(above[row["id"]]) if row["id"] in above else None,
                    deleted=not row["active"],
                )
                for row in rows
            )
            last = rows[-1]["id"]

    async def _type_id(self) -> int:
        if self._type is None:
            context = await self._lookups.context()
            try:
                rows = await self._rpc.find(TYPE, [["name", "=", self._type_name]], ["name"], context=context)
            except TrytonRefused:
                raise
            except RejectedError as error:
                raise RejectedError(
                    f"This Tryton keeps no relations of parties, and the setting parent_relation names "
                    f"{self._type_name!r}.",
                    remedy="Activate the module party_relationship there, or take the setting away.",
                ) from error
            if len(rows) != 1:
                what = "no type of relation" if not rows else "several types of relations"
                raise RejectedError(
                    f"Tryton has {what} of the name {self._type_name!r}.",
                    remedy="Give in parent_relation the English name of the type that leads from a party to the one "
                    "above it.",
                )
            self._type = int(rows[0]["id"])
        return self._type
