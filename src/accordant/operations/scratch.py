"""States to rehearse on: the rooms read and commit here, and nothing of it reaches the store that is live.

`ScratchState` begins with nothing but the crosswalk, which is a fact no replay undoes; `Undecided` shows any state as
if no record had been decided yet, so that a plan lays down every record. Next: `rehearse.py`.
"""

from collections.abc import Callable, Iterable
from datetime import date, datetime
from typing import TypeVar, cast

from accordant.analytics.movements import MovedRevenue
from accordant.canonical.clearances import CheckKind, Clearance
from accordant.canonical.conflicts import Stand
from accordant.canonical.events import BusinessEvent
from accordant.canonical.refs import EntityKind, EntityRef, ExternalRef
from accordant.kernel.errors import InvariantBroken
from accordant.ledger.exchange import Rate
from accordant.ledger.periods import Period
from accordant.ports.books import Bookshelf, Dossiers, KeptEntry, KeptPosting
from accordant.ports.commissions import CommissionDesk
from accordant.ports.matching import MatchBook
from accordant.ports.state import (
    Changes,
    DesiredRecord,
    Link,
    Policy,
    State,
    StoredEntity,
    StoredStanding,
    WrittenRecord,
)

Key = TypeVar("Key")
Answer = TypeVar("Answer")


class _Overlay:
    """Everything as it is in the state beneath."""

    def __init__(self, beneath: State) -> None:
        self._beneath = beneath

    @property
    def books(self) -> Bookshelf:
        """See the port."""
        return self._beneath.books

    @property
    def matches(self) -> MatchBook:
        """See the port."""
        return self._beneath.matches

    def links(self, refs: Iterable[ExternalRef]) -> dict[ExternalRef, EntityRef]:
        """See the port."""
        return self._beneath.links(refs)

    def entities(self, ids: Iterable[str]) -> dict[str, StoredEntity]:
        """See the port."""
        return self._beneath.entities(ids)

    def entities_of(self, account_ids: Iterable[str]) -> tuple[StoredEntity, ...]:
        """See the port."""
        return self._beneath.entities_of(account_ids)

    def named(self, names: Iterable[tuple[str, EntityKind, str]]) -> dict[tuple[str, EntityKind, str], StoredEntity]:
        """See the port."""
        return self._beneath.named(names)

    def standings(self, account_ids: Iterable[str]) -> dict[str, StoredStanding]:
        """See the port."""
        return self._beneath.standings(account_ids)

    def desired(self, refs: Iterable[str]) -> dict[str, DesiredRecord]:
        """See the port."""
        return self._beneath.desired(refs)

    def switches(self) -> frozenset[str]:
        """See the port."""
        return self._beneath.switches()

    def with_credit_notes(self, account_ids: Iterable[str]) -> frozenset[str]:
        """See the port."""
        return self._beneath.with_credit_notes(account_ids)

    def policy(self) -> Policy:
        """See the port."""
        return self._beneath.policy()

    def flags(self, ids: Iterable[str]) -> frozenset[str]:
        """See the port."""
        return self._beneath.flags(ids)

    def written(self, refs: Iterable[ExternalRef]) -> dict[ExternalRef, WrittenRecord]:
        """See the port."""
        return self._beneath.written(refs)

    def confirmed(self, records: Iterable[str]) -> dict[str, str]:
        """See the port."""
        return self._beneath.confirmed(records)

    def references(self, entity_ids: Iterable[str]) -> dict[str, tuple[ExternalRef, ...]]:
        """See the port."""
        return self._beneath.references(entity_ids)

    def releases(self, records: Iterable[str]) -> dict[str, frozenset[str]]:
        """See the port."""
        return self._beneath.releases(records)

    def under_way(self, records: Iterable[str]) -> frozenset[str]:
        """See the port."""
        return self._beneath.under_way(records)

    def stands(self, refs: Iterable[str]) -> dict[str, dict[str, Stand]]:
        """See the port."""
        return self._beneath.stands(refs)

    def clearances(self, account_ids: Iterable[str]) -> dict[str, dict[CheckKind, Clearance]]:
        """See the port."""
        return self._beneath.clearances(account_ids)

    def moved(self, account_ids: Iterable[str]) -> dict[str, MovedRevenue]:
        """See the port."""
        return self._beneath.moved(account_ids)


class _ScratchBooks:
    """`ports.books.Bookshelf` of a rehearsal; ``periods`` says whose are closed."""

    def __init__(self, own: Bookshelf, *, live: Bookshelf, periods: Bookshelf) -> None:
        self._own = own
        self._live = live
        self._periods = periods

    @property
    def commissions(self) -> CommissionDesk:
        """See the port: what was counted stays outside, and a rehearsal counts nothing."""
        return self._own.commissions

    def dossiers(self, bills: Iterable[str], events: Iterable[str]) -> Dossiers:
        """See the port."""
        return self._own.dossiers(bills, events)

    def held(
        self, root_ids: Iterable[str], arrived: Iterable[ExternalRef]
    ) -> tuple[tuple[KeptPosting, BusinessEvent], ...]:
        """See the port."""
        return self._own.held(root_ids, arrived)

    def allocations(self, names: Iterable[ExternalRef]) -> tuple[BusinessEvent, ...]:
        """See the port."""
        return self._own.allocations(names)

    def kept_entries(self, ids: Iterable[str]) -> tuple[KeptEntry, ...]:
        """See the port."""
        return self._own.kept_entries(ids)

    def entries_of(self, root_ids: Iterable[str]) -> tuple[KeptEntry, ...]:
        """See the port."""
        return self._own.entries_of(root_ids)

    def periods(self) -> tuple[Period, ...]:
        """See the port."""
        return self._periods.periods()

    def rate_of(self, of: str, in_: str, day: date) -> Rate | None:
        """See the port."""
        return self._live.rate_of(of, in_, day)


class ScratchState(_Overlay):
    """`ports.state.State` on an empty store of its own. What persons decided is read from the live state."""

    def __init__(self, empty: State, *, live: State, now: datetime) -> None:
        super().__init__(empty)
        self._live = live
        self._now = now

    @property
    def matches(self) -> MatchBook:
        """See the port: whose record it is was decided once, and is not decided again."""
        return self._live.matches

    @property
    def books(self) -> Bookshelf:
        """See the port: a rehearsal posts into books of its own, and what people closed is closed there too."""
        return _ScratchBooks(self._beneath.books, live=self._live.books, periods=self._live.books)

    def links(self, refs: Iterable[ExternalRef]) -> dict[ExternalRef, EntityRef]:
        """See the port. What the live crosswalk knows is entered here, so that names find it too."""
        wanted = set(refs)
        known = self._beneath.links(wanted)
        found = self._live.links(wanted - known.keys())
        if found:
            entered = [Link(source=source, entity=entity) for source, entity in found.items()]
            self._beneath.commit(Changes(links=entered), now=self._now)
        return known | found

    def switches(self) -> frozenset[str]:
        """See the port: what a person stopped today is stopped in a rehearsal too."""
        return self._live.switches()

    def policy(self) -> Policy:
        """See the port: a phase reaches as far as it was granted, and what people have to look at first is not written
        in a rehearsal either.
        """
        return self._live.policy()

    def flags(self, ids: Iterable[str]) -> frozenset[str]:
        """See the port: what was raised once is not raised by a rehearsal."""
        return self._live.flags(ids)

    def written(self, refs: Iterable[ExternalRef]) -> dict[ExternalRef, WrittenRecord]:
        """See the port: an echo repeats what was really written."""
        return self._live.written(refs)

    def confirmed(self, records: Iterable[str]) -> dict[str, str]:
        """See the port: what is open today is open."""
        return self._live.confirmed(records)

    def references(self, entity_ids: Iterable[str]) -> dict[str, tuple[ExternalRef, ...]]:
        """See the port."""
        return self._live.references(entity_ids)

    def releases(self, records: Iterable[str]) -> dict[str, frozenset[str]]:
        """See the port: what a person let go goes in a rehearsal too."""
        return self._live.releases(records)

    def under_way(self, records: Iterable[str]) -> frozenset[str]:
        """See the port: what went out did so whatever is rehearsed."""
        return self._live.under_way(records)

    def stands(self, refs: Iterable[str]) -> dict[str, dict[str, Stand]]:
        """See the port: what a person decided of a field stands in a rehearsal too."""
        return self._live.stands(refs)

    def clearances(self, account_ids: Iterable[str]) -> dict[str, dict[CheckKind, Clearance]]:
        """See the port: what compliance found counts in a rehearsal too."""
        return self._live.clearances(account_ids)

    def moved(self, account_ids: Iterable[str]) -> dict[str, MovedRevenue]:
        """See the port: what was counted over the whole history is the same in a rehearsal of a part of it."""
        return self._live.moved(account_ids)

    def commit(self, changes: Changes, *, now: datetime) -> None:
        """See the port. What only the trail and the courier need is let go: nobody will be sent anything."""
        kept = Changes(
            links=changes.links,
            entities=changes.entities,
            restamps=changes.restamps,
            standings=changes.standings,
            desired=changes.desired,
            business_events=changes.business_events,
            books=changes.books,
        )
        self._beneath.commit(kept, now=now)


class RebuiltState(ScratchState):
    """`ports.state.State` on an empty store in which the books are built again from their past.

    Other than in a rehearsal periods are closed when they were closed, and not before.
    """

    @property
    def books(self) -> Bookshelf:
        """See the port."""
        own = self._beneath.books
        return _ScratchBooks(own, live=self._live.books, periods=own)


class Undecided(_Overlay):
    """A state as if no record had been decided. It is never committed to, so what two charters ask is read once."""

    def __init__(self, beneath: State) -> None:
        super().__init__(beneath)
        self._read: dict[tuple[str, frozenset[object]], object] = {}

    def entities(self, ids: Iterable[str]) -> dict[str, StoredEntity]:
        """See the port."""
        return self._once("entities", ids, super().entities)

    def entities_of(self, account_ids: Iterable[str]) -> tuple[StoredEntity, ...]:
        """See the port."""
        return self._once("entities_of", account_ids, super().entities_of)

    def named(self, names: Iterable[tuple[str, EntityKind, str]]) -> dict[tuple[str, EntityKind, str], StoredEntity]:
        """See the port."""
        return self._once("named", names, super().named)

    def standings(self, account_ids: Iterable[str]) -> dict[str, StoredStanding]:
        """See the port."""
        return self._once("standings", account_ids, super().standings)

    def _once(self, what: str, asked: Iterable[Key], read: Callable[[Iterable[Key]], Answer]) -> Answer:
        """The answer to a question, which is put the first time only; nobody changes an answer."""
        keys = frozenset(asked)
        place: tuple[str, frozenset[object]] = (what, keys)
        if place not in self._read:
            self._read[place] = read(keys)
        return cast("Answer", self._read[place])

    def desired(self, refs: Iterable[str]) -> dict[str, DesiredRecord]:
        """Nothing was decided yet."""
        del refs
        return {}

    def commit(self, changes: Changes, *, now: datetime) -> None:
        """Raises InvariantBroken: what is computed on this is looked at, never stored."""
        raise InvariantBroken(f"A rehearsal tried to commit {len(changes.desired)} records at {now}.")
