"""What the books need to know of the objects that events are about: the bill behind a refund, the payment between, and
every bill of a contract. Next: `bookkeep.py`.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

from accordant.canonical.books import LedgerPart
from accordant.canonical.entities import Dispute, Entity, Invoice, Payment, Price, Refund, Subscription
from accordant.canonical.events import BusinessEvent, EventType
from accordant.canonical.refs import EntityKind, ExternalRef
from accordant.ledger.meanings.reading import (
    NAMES_BILL,
    Allocations,
    Moved,
    allocations_of,
    bill_of,
    contracts_of,
    intent_of,
    is_draw_of_grant,
    source_of,
)
from accordant.pipeline.workbench import Workbench
from accordant.ports.books import Bookshelf


class BookObjects:
    """The objects that events are about, as this batch sees them: the bill behind a refund, the payment between."""

    def __init__(self, bench: Workbench, shelf: Bookshelf) -> None:
        self.objects: dict[ExternalRef, Entity] = {}
        self.allocations: Allocations = {}
        self._bench = bench
        self._shelf = shelf
        self._moving: dict[tuple[str, str], Moved] = {}
        self._allocating: dict[str, BusinessEvent] = {}
        self._pairs: set[ExternalRef] = set()
        self._roots: dict[ExternalRef, str] = {}
        self._whole: set[str] = set()

    def load(self, events: Iterable[BusinessEvent]) -> set[ExternalRef]:
        """Fetch everything there is, in a few reads whatever their number; what these events are filed under."""
        asked = tuple(events)
        self._load_subjects([event for event in asked if event.subject not in self.objects])
        self._load_allocations(asked)
        files = {ref for event in asked if (ref := bill_of(event, self.objects, self._moving)) is not None}
        # A payment belongs with all that it pays, and may be filed under itself: it named no bill when it was told.
        files |= {ref for ref, one in self.objects.items() if isinstance(one, Payment)}
        files |= {part.bill for shares in self.allocations.values() for part in shares if part.bill is not None}
        self._load_named(EntityKind.INVOICE, {(ref.system, ref.id) for ref in files - self.objects.keys()})
        self._load_named(EntityKind.PRICE, _prices_named(self.objects))
        return files

    def _load_subjects(self, asked: Sequence[BusinessEvent]) -> None:
        # What a person says brings nothing along: whose it is has to be looked up.
        subjects = {event.subject for event in asked} | {event.root for event in asked if event.said is not None}
        bench = self._bench
        bench.load_links(subjects - bench.links.keys())
        bench.load_entities(link.id for ref in subjects if (link := bench.links.get(ref)) is not None)
        for ref in subjects:
            link = bench.links.get(ref)
            stored = None if link is None else bench.entity(link.id)
            if stored is not None:
                self._take(ref, stored.entity, stored.root_id)
        converted = [event for event in asked if event.type is EventType.FUNDS_CONVERTED]
        sources = {(event.subject.system, name) for event in converted if (name := source_of(event, self.objects))}
        for kind in (EntityKind.REFUND, EntityKind.DISPUTE, EntityKind.PAYMENT) if sources else ():
            self._load_named(kind, sources)
        self._load_named(EntityKind.PAYMENT, _payments_named(self.objects))

    def _load_allocations(self, events: Sequence[BusinessEvent]) -> None:
        """Which bills payments pay that do not say so themselves, and which sold the credits that are drawn, by these
        events and by those kept before.
        """
        allocating: dict[str, BusinessEvent] = {one.id: one for one in events if one.type in NAMES_BILL}
        payments = [(ref.system, one) for ref, one in self.objects.items() if isinstance(one, Payment)]
        pairs = {intent_of(system, one) for system, one in payments} | {one.subject for one in allocating.values()}
        pairs |= {one.subject for one in events if is_draw_of_grant(one)}
        if pairs - self._pairs:
            allocating |= {one.id: one for one in self._shelf.allocations(pairs - self._pairs)}
        self._pairs |= pairs
        if allocating.keys() - self._allocating.keys():
            self._allocating |= allocating
            self.allocations = allocations_of(self._allocating.values())

    def root_of(self, event: BusinessEvent) -> str:
        """The account whose lane the event's document takes; what belongs to none stands by itself."""
        for ref in (event.subject, event.root):
            link = self._bench.links.get(ref)
            stored = None if link is None else self._bench.entity(link.id)
            if stored is not None:
                return stored.root_id
        return str(event.root)

    def products(self) -> dict[str, str | None]:
        """What each price sells."""
        return {one.external_id: one.product_id for one in self.objects.values() if isinstance(one, Price)}

    def contracts(self, part: LedgerPart) -> set[str]:
        """What the contracts are called that the bills and the subscriptions known so far may belong to."""
        products = self.products()
        return {name for ref, one in self.objects.items() for name in _contracts_named(ref, one, part, products)}

    def bills_of(self, contracts: Collection[str], part: LedgerPart) -> set[ExternalRef]:
        """Fetch every bill of these contracts: those of their accounts, each account once."""
        if not contracts:
            return set()
        products = self.products()
        roots = {
            self._roots[ref]
            for ref, one in self.objects.items()
            if not _contracts_named(ref, one, part, products).isdisjoint(contracts)
        }
        for stored in self._bench.below(roots - self._whole) if roots - self._whole else ():
            if isinstance(stored.entity, Invoice):
                self._take(stored.source, stored.entity, stored.root_id)
        self._whole |= roots
        self._load_named(EntityKind.PRICE, _prices_named(self.objects))
        products = self.products()
        return {
            ref
            for ref, one in self.objects.items()
            if isinstance(one, Invoice) and not contracts_of(one, ref.system, part, products).isdisjoint(contracts)
        }

    def _take(self, ref: ExternalRef, entity: Entity, root_id: str) -> None:
        self.objects[ref] = entity
        self._roots[ref] = root_id
        if isinstance(entity, Payment | Refund | Dispute):
            self._moving[ref.system, entity.external_id] = Moved(ref, entity)

    def _load_named(self, kind: EntityKind, names: Iterable[tuple[str, str]]) -> None:
        wanted = {(system, kind, name) for system, name in names}
        self._bench.load_named(wanted)
        for name in wanted:
            stored = self._bench.named(*name)
            if stored is not None:
                self._take(stored.source, stored.entity, stored.root_id)


def _payments_named(objects: Mapping[ExternalRef, Entity]) -> set[tuple[str, str]]:
    return {
        (ref.system, one.payment_id)
        for ref, one in objects.items()
        if isinstance(one, Refund | Dispute) and one.payment_id is not None
    }


def _prices_named(objects: Mapping[ExternalRef, Entity]) -> set[tuple[str, str]]:
    return {
        (ref.system, line.price_id)
        for ref, one in objects.items()
        if isinstance(one, Invoice)
        for line in one.lines
        if line.price_id is not None
    }


def _contracts_named(
    ref: ExternalRef, one: Entity, part: LedgerPart, products: Mapping[str, str | None]
) -> frozenset[str]:
    if isinstance(one, Subscription):
        return frozenset({str(ref)})
    return contracts_of(one, ref.system, part, products) if isinstance(one, Invoice) else frozenset()
