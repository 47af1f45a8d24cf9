"""A bank to be robbed: three companies in three currencies whose bills and payments are known and not in the books yet.

What the books have to come to is added up here, bill by bill, without asking the ledger. Next: `books.py`.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from accordant.canonical.books import (
    AccountRulePart,
    AccountType,
    LedgerAccountPart,
    LedgerPart,
    LegalEntityPart,
    Role,
)
from accordant.canonical.charter import Charter
from accordant.canonical.entities import Account, Entity, Invoice, InvoiceLine, Payment, encode_entity, kind_of
from accordant.canonical.events import BusinessEvent, EventType, business_event
from accordant.canonical.observations import Standpoint
from accordant.canonical.refs import EntityRef, ExternalRef
from accordant.identity.resolve import PREFIX_OF_KIND
from accordant.kernel.hashing import digest
from accordant.kernel.ids import EntityId, derived_id
from accordant.kernel.money import Money, split_minor
from accordant.operations.bookkeeper import Bookkeeper
from accordant.pipeline.bookkeep import Ledger
from accordant.pipeline.plan import Rulebook
from accordant.ports.audit import AuditEntry
from accordant.ports.books import KeptEntry, KeptPosting
from accordant.ports.state import Changes, ConcurrentChange, Link, StoredEntity
from accordant.store.engine import Database, StoreUnavailable
from accordant.store.ledger_desk import SqlLedgerDesk
from accordant.store.state import SqlState

NOW = datetime(2026, 6, 1, tzinfo=UTC)
_START = datetime(2026, 1, 1, tzinfo=UTC)
#: System of its bills -> the company and the currency of its books.
COMPANIES = {
    "billing-de": ("Example GmbH", "EUR"),
    "billing-jp": ("Example KK", "JPY"),
    "billing-us": ("Example Inc", "USD"),
}
_ACCOUNTS = {
    Role.RECEIVABLE: AccountType.ASSET,
    Role.CLEARING: AccountType.ASSET,
    Role.CONTRACT_ASSET: AccountType.ASSET,
    Role.BANK: AccountType.ASSET,
    Role.DEFERRED_REVENUE: AccountType.LIABILITY,
    Role.SALES_TAX: AccountType.LIABILITY,
    Role.CUSTOMER_BALANCE: AccountType.LIABILITY,
    Role.REVENUE: AccountType.REVENUE,
}
_LINES_EACH = 8
#: Of a bill's entry: what is owed, what is deferred line by line, the tax. Of its payment's: the two sides of it.
POSTINGS_EACH = 1 + _LINES_EACH + 1 + 2
_BILLS_OF_CUSTOMER = 10
_BILLS_A_COMMIT = 500
#: What the ids of events begin with, evenly spread.
_LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"


class Whole:
    """What the books have to hold in the end: debits less credits in minor units, and how many of everything."""

    def __init__(self) -> None:
        self.balances: Counter[tuple[str, str, str]] = Counter()
        self.entries = 0
        self.postings = 0

    def add(self, bill: Invoice, paid: Payment, system: str) -> None:
        """Add what a bill and its payment move. What is paid too much stays the customer's."""
        total, tax, money = bill.total.amount_minor, bill.tax, paid.amount.amount_minor
        assert tax is not None
        settled = min(money, total)
        moves = {
            Role.RECEIVABLE: total - settled,
            Role.DEFERRED_REVENUE: tax.amount_minor - total,
            Role.SALES_TAX: -tax.amount_minor,
            Role.CLEARING: money,
            Role.CUSTOMER_BALANCE: settled - money,
        }
        for role, minor in moves.items():
            self.balances[*COMPANIES[system], role.value] += minor
        self.entries += 2
        self.postings += POSTINGS_EACH + (money > total)


def fill(database: Database, bills: int, *, seed: int) -> Whole:
    """Store bills and payments as the registry leaves them, with the events they told; what they have to come to."""
    dice, whole, state = random.Random(seed), Whole(), SqlState(database)
    for first in range(0, bills, _BILLS_A_COMMIT):
        changes = Changes()
        for number in range(first, min(bills, first + _BILLS_A_COMMIT)):
            _lay(number, dice, changes, whole)
        state.commit(changes, now=NOW)
    return whole


def _lay(number: int, dice: random.Random, changes: Changes, whole: Whole) -> None:
    customer = number // _BILLS_OF_CUSTOMER
    system = list(COMPANIES)[customer % len(COMPANIES)]
    root = ExternalRef(system, "customer", f"cus_{customer}")
    account = _stored(root, Account(external_id=root.id), "")
    if number % _BILLS_OF_CUSTOMER == 0:
        _keep(changes, root, account)
    bill, paid = _a_bill(number, root.id, COMPANIES[system][1], dice)
    whole.add(bill, paid, system)
    at = _START + timedelta(minutes=number % 100_000)
    told: tuple[tuple[EventType, ExternalRef, Entity, Money], ...] = (
        (EventType.INVOICE_ISSUED, ExternalRef(system, "invoice", bill.external_id), bill, bill.total),
        (EventType.PAYMENT_APPLIED, ExternalRef(system, "charge", paid.external_id), paid, paid.amount),
    )
    for later, (kind, ref, one, amount) in enumerate(told):
        _keep(changes, ref, _stored(ref, one, account.ref.id))
        event = business_event(kind, subject=ref, root=root, occurred_at=at + timedelta(hours=later), amount=amount)
        changes.business_events.append((number + 1, account.ref.id, event))


def _a_bill(number: int, customer: str, currency: str, dice: random.Random) -> tuple[Invoice, Payment]:
    net = dice.randint(1_000, 9_999_999)
    tax = net * dice.choice((7, 19, 20)) // 100
    money = dice.choice((net + tax, net + tax, dice.randint(1, net), net + tax + dice.randint(1, 500)))
    lines = [
        InvoiceLine(
            external_id=f"il_{index}",
            amount_minor=part,
            period_starts_at=_START,
            period_ends_at=_START + timedelta(days=365),
        )
        for index, part in enumerate(split_minor(net, range(1, _LINES_EACH + 1)))
    ]
    total = Money(net + tax, currency)
    bill = Invoice(
        external_id=f"in_{number}",
        customer_id=customer,
        status="open",
        total=total,
        amount_due=total,
        amount_paid=Money(0, currency),
        amount_remaining=total,
        tax=Money(tax, currency),
        number=f"F-{number}",
        lines=tuple(lines),
    )
    paid = Payment(
        external_id=f"ch_{number}",
        customer_id=customer,
        status="succeeded",
        amount=Money(money, currency),
        refunded=Money(0, currency),
        invoice_id=bill.external_id,
    )
    return bill, paid


def _stored(source: ExternalRef, entity: Entity, root_id: str) -> StoredEntity:
    kind = kind_of(entity)
    name = derived_id(PREFIX_OF_KIND[kind], source.system, source.object_type, source.id)
    return StoredEntity(
        ref=EntityRef(kind, EntityId(name)),
        source=source,
        root_id=root_id or name,
        version=1,
        observed_at=_START,
        standpoint=Standpoint.NOTICE,
        digest=digest(encode_entity(entity)),
        entity=entity,
        cause=1,
    )


def _keep(changes: Changes, source: ExternalRef, stored: StoredEntity) -> None:
    changes.links.append(Link(source=source, entity=stored.ref))
    changes.entities.append(stored)
    kind = f"registry.{stored.ref.kind.value}.created"
    changes.audit.append(
        AuditEntry(kind=kind, actor="bank", subject=str(stored.ref), cause=1, at=NOW, body={"source": str(source)})
    )


@cache
def _rulebook() -> Rulebook:
    accounts = {role.value: LedgerAccountPart(name=role.value, type=kind) for role, kind in _ACCOUNTS.items()}
    part = LedgerPart(
        systems={system: company for system, (company, _) in COMPANIES.items()},
        legal_entities={
            company: LegalEntityPart(
                currency=currency,
                accounts=accounts,
                rules=tuple(AccountRulePart(role=role, account=role.value) for role in _ACCOUNTS),
                tax_codes=("STANDARD",),
                tax_code="STANDARD",
            )
            for company, currency in COMPANIES.values()
        },
    )
    charter = Charter(company="Bank", systems={}, ownership=(), mappings={}, flows=(), ledger=part)
    zone = ZoneInfo("UTC")
    ledger = Ledger(part=part, zone=zone, charter=charter.version)
    return Rulebook(charter=charter, version=charter.version, routes={}, zone=zone, ledger=ledger)


class _Stretch(SqlLedgerDesk):
    """A worker's own part of the events, by their ids: bills and their payments lie in the parts of several workers."""

    def __init__(self, database: Database, begins: str, ends: str, page: int) -> None:
        super().__init__(database)
        self._begins = begins
        self._ends = ends
        self._page = page

    def unread(self, systems: Iterable[str], *, after: str, limit: int) -> tuple[tuple[BusinessEvent, int], ...]:
        found = super().unread(systems, after=max(after, self._begins), limit=min(limit, self._page))
        return tuple(one for one in found if one[0].id < self._ends)

    def all_held(self, *, after: str, limit: int) -> tuple[tuple[KeptPosting, BusinessEvent], ...]:
        found = super().all_held(after=max(after, self._begins), limit=min(limit, self._page))
        return tuple(one for one in found if one[0].event < self._ends)

    def entries(self, *, after: str, limit: int) -> tuple[KeptEntry, ...]:
        """No ERP is told: to go through all of them for nobody would only take time."""
        return ()


class _Forgetful:
    """Marks of a worker that reads all of the past whenever it begins, as one that was killed has to."""

    def read(self, _name: str) -> int | None:
        return None

    def move(self, name: str, position: int, *, now: datetime) -> None:
        """Nothing is kept."""


def work(url: str, number: int, workers: int, page: int) -> None:
    """A worker's whole life: post ``page`` events at a time until all is in the books and nothing waits."""
    database = Database(url)
    for begins, ends in _parts(number, workers):
        desk = _Stretch(database, begins, ends, page)
        keeper = Bookkeeper(desk, SqlState(database), _Forgetful(), rulebook=_rulebook, clock=lambda: NOW)
        while not _is_done(desk):
            try:
                keeper.catch_up()
            except (ConcurrentChange, StoreUnavailable):
                # Somebody else was quicker again and again, or the database is down: as a hub does, begin anew.
                continue
    database.close()


def _parts(number: int, workers: int) -> Iterator[tuple[str, str]]:
    """Its own part of the ids, which are evenly spread, and then all of them: who was killed left something behind."""
    marks = [_LETTERS[one * len(_LETTERS) // workers] for one in range(workers)] + ["~"]
    yield f"bev_{marks[number]}", f"bev_{marks[number + 1]}"
    yield "", "~"


def _is_done(desk: _Stretch) -> bool:
    try:
        return not desk.unread(COMPANIES, after="", limit=1) and not desk.all_held(after="", limit=1)
    except StoreUnavailable:
        return False
