"""`accordant bench ledger` and `accordant bench recognise`: entries composed and stored, schedule lines recognised.

Bills and payments are in the store before, as the registry leaves them; what is measured is the step of the books: read
what is known of the bills, compose, store with the trail. Next: `pipeline/bookkeep.py`, `operations/recognise.py`.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from multiprocessing import get_context
from threading import Barrier
from typing import NamedTuple
from zoneinfo import ZoneInfo

from accordant.bench.arena import arena
from accordant.bench.figures import Run
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
from accordant.kernel.errors import InvariantBroken
from accordant.kernel.hashing import digest
from accordant.kernel.ids import EntityId, derived_id
from accordant.kernel.money import Money
from accordant.operations.bookkeeper import Bookkeeper
from accordant.pipeline.bookkeep import Ledger, bookkeep
from accordant.pipeline.plan import Rulebook
from accordant.pipeline.workbench import Workbench
from accordant.ports.audit import AuditEntry
from accordant.ports.state import Changes, Link, StoredEntity
from accordant.runtime.event_loop import rarely_collected
from accordant.store.cursors import Cursors
from accordant.store.engine import Database
from accordant.store.ledger_desk import SqlLedgerDesk
from accordant.store.migrate import migrate
from accordant.store.state import SqlState
from accordant.views.journal import trial_balance

COMPANY = "Example GmbH"
#: Events of a batch as its registry tells them: inbox sequence number, account, event.
Batch = list[tuple[int, str, BusinessEvent]]
_BATCH = 1_000
_BILLS_EACH = 12
_LINES_EACH = 10
_START = datetime(2026, 1, 1, tzinfo=UTC)
_NOW = datetime(2026, 6, 1, tzinfo=UTC)
_ACCOUNTS = {
    Role.RECEIVABLE: AccountType.ASSET,
    Role.CLEARING: AccountType.ASSET,
    Role.BANK: AccountType.ASSET,
    Role.DEFERRED_REVENUE: AccountType.LIABILITY,
    Role.SALES_TAX: AccountType.LIABILITY,
    Role.CUSTOMER_BALANCE: AccountType.LIABILITY,
    Role.CONTRACT_ASSET: AccountType.ASSET,
    Role.REVENUE: AccountType.REVENUE,
    Role.FX_REALISED: AccountType.EXPENSE,
    Role.FX_UNREALISED: AccountType.EXPENSE,
}


class Sale(NamedTuple):
    """What differs from bill to bill: when it is issued, in what currency, and whether it is paid."""

    at: datetime
    currency: str = "EUR"
    is_paid: bool = True


def _alike(number: int) -> Sale:
    return Sale(at=_START + timedelta(minutes=number % 100_000))


def _unpaid(number: int) -> Sale:
    return _alike(number)._replace(is_paid=False)


def ledger(store: str, n: int, seed: int, workers: int = 0) -> Run:
    """Entries a second: ``n`` of them, a bill and its payment in turn, in batches of about a thousand.

    ``workers`` is how many processes share them, each with the bills of its own customers as a hub's workers have their
    own lanes; where none is named, two on PostgreSQL, as in production, and one on SQLite.
    """
    del seed  # every bill is alike: nothing is left to chance
    count = workers or (1 if store == "sqlite" else 2)
    with arena(store) as place:
        database = Database(place.store)
        migrate(database)
        batches = list(history(SqlState(database), n // 2, lines=1))
        spawn = get_context("spawn")
        with spawn.Manager() as manager, ProcessPoolExecutor(count, mp_context=spawn) as pool:
            # Nobody begins before everybody has loaded the product.
            begins = manager.Barrier(count)
            shares = [batches[worker::count] for worker in range(count)]
            done = [pool.submit(_work, place.store, share, begins) for share in shares]
            spans = [span for one in done for span in one.result()]
        _check(database, entries=n // 2 * 2)
        database.close()
    took = max(ended for _, ended in spans) - min(began for began, _ in spans)
    return Run(value=n // 2 * 2 / took, latencies_s=[ended - began for began, ended in spans])


def _work(store: str, batches: list[Batch], begins: Barrier) -> list[tuple[float, float]]:
    """A worker's share of the batches; when each began and ended, by the machine's own clock."""
    spans = []
    with closing(Database(store)) as database, rarely_collected():  # as in a hub
        state = SqlState(database)
        state.policy()
        begins.wait()
        for events in batches:
            began = time.monotonic()
            post(state, events)
            spans.append((began, time.monotonic()))
    return spans


def recognise(store: str, n: int, seed: int) -> Run:
    """Seconds to recognise one month of ``n`` schedule lines, ten of each bill."""
    del seed
    with arena(store) as place:
        database = Database(place.store)
        migrate(database)
        state = SqlState(database)
        for events in history(state, n // _LINES_EACH, lines=_LINES_EACH, sale=_unpaid):
            post(state, events)
        keeper = Bookkeeper(SqlLedgerDesk(database), state, Cursors(database), rulebook=rulebook, clock=lambda: _NOW)
        with rarely_collected():
            started = time.perf_counter()
            done = keeper.recognise(COMPANY, date(2026, 5, 1))
            took = time.perf_counter() - started
        if done.lines < n // _LINES_EACH * _LINES_EACH or done.refusals:
            raise InvariantBroken(f"The benchmark recognised something else: {done}.")
        _check(database)
        database.close()
    return Run(value=took, latencies_s=[took])


def _check(database: Database, *, entries: int | None = None) -> None:
    rows = trial_balance(database)
    held = SqlLedgerDesk(database).all_held(after="", limit=1)
    debits = sum(row.debit_minor for row in rows)
    if not rows or held or sum(row.balance_minor for row in rows) != 0:
        raise InvariantBroken("The measured books do not balance, or something is held.")
    if entries is not None and debits != entries * 120_00:
        raise InvariantBroken(f"The measured books hold {debits} instead of {entries * 120_00}.")


def _part() -> LedgerPart:
    return LedgerPart(
        systems={"billing": COMPANY},
        legal_entities={
            COMPANY: LegalEntityPart(
                currency="EUR",
                accounts={
                    role.value: LedgerAccountPart(name=role.value, type=kind) for role, kind in _ACCOUNTS.items()
                },
                rules=tuple(AccountRulePart(role=role, account=role.value) for role in _ACCOUNTS),
                tax_codes=("DE19",),
                tax_code="DE19",
            )
        },
    )


_LEDGER = Ledger(part=_part(), zone=ZoneInfo("UTC"), charter="bench")


def rulebook() -> Rulebook:
    """The rules that the measured books are kept by: one company, one account a role."""
    charter = Charter(company="Bench", systems={}, ownership=(), mappings={}, flows=(), ledger=_LEDGER.part)
    return Rulebook(charter=charter, version=charter.version, routes={}, zone=_LEDGER.zone, ledger=_LEDGER)


def post(state: SqlState, events: Batch) -> None:
    """Post a batch as the rooms do."""
    bench = Workbench(state, _NOW)
    bench.changes.business_events.extend(events)
    bookkeep(bench, _LEDGER, state.books)
    state.commit(bench.collect(), now=_NOW)


def history(state: SqlState, bills: int, *, lines: int, sale: Callable[[int], Sale] = _alike) -> Iterator[Batch]:
    """Bills and their payments, stored as the registry stores them; their events in batches of whole customers."""
    events: Batch = []
    changes = Changes()
    for number in range(bills):
        customer = f"cus_{number // _BILLS_EACH}"
        root = ExternalRef("billing", "customer", customer)
        account = _entity(root, Account(external_id=customer), "")
        if number % _BILLS_EACH == 0:
            _keep(changes, root, account)
        sold = sale(number)
        bill = _a_bill(number, customer, lines, sold)
        ref = ExternalRef("billing", "invoice", bill.external_id)
        _keep(changes, ref, _entity(ref, bill, account.ref.id))
        told = [(EventType.INVOICE_ISSUED, ref)]
        if sold.is_paid:
            payment = _a_payment(number, customer, sold)
            ref = ExternalRef("billing", "charge", payment.external_id)
            _keep(changes, ref, _entity(ref, payment, account.ref.id))
            told.append((EventType.PAYMENT_APPLIED, ref))
        for later, (kind, subject) in enumerate(told):
            happened = business_event(
                kind, subject=subject, root=root, occurred_at=sold.at + timedelta(seconds=later), amount=bill.total
            )
            events.append((number + 1, account.ref.id, happened))
        if len(events) >= _BATCH and (number + 1) % _BILLS_EACH == 0:
            state.commit(changes, now=_NOW)
            yield events
            events, changes = [], Changes()
    if events:
        state.commit(changes, now=_NOW)
        yield events


def _a_bill(number: int, customer: str, lines: int, sold: Sale) -> Invoice:
    net, tax = 100_00, 20_00
    total = Money(net + tax, sold.currency)
    parts = [
        InvoiceLine(
            external_id=f"il_{index}",
            amount_minor=net // lines,
            period_starts_at=_START,
            period_ends_at=_START + timedelta(days=365),
        )
        for index in range(lines)
    ]
    return Invoice(
        external_id=f"in_{number}",
        customer_id=customer,
        status="paid",
        total=total,
        amount_due=total,
        amount_paid=total,
        amount_remaining=Money(0, sold.currency),
        tax=Money(tax, sold.currency),
        number=f"F-{number}",
        lines=tuple(parts),
    )


def _a_payment(number: int, customer: str, sold: Sale) -> Payment:
    return Payment(
        external_id=f"ch_{number}",
        customer_id=customer,
        status="succeeded",
        amount=Money(120_00, sold.currency),
        refunded=Money(0, sold.currency),
        invoice_id=f"in_{number}",
    )


def _entity(source: ExternalRef, entity: Entity, root_id: str) -> StoredEntity:
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
        AuditEntry(kind=kind, actor="bench", subject=str(stored.ref), cause=1, at=_NOW, body={"source": str(source)})
    )
