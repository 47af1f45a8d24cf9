"""Tables of the books that people take elsewhere, as the store holds them; each legal entity in its own currency."""

from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from typing import assert_never

from accordant.canonical.books import LedgerPart
from accordant.ledger.tables import AMOUNT, COUNT, DAY, TEXT, BookTable, Cell, TableName, exact, journal_table
from accordant.store.engine import Database
from accordant.views.commissions import every_statement
from accordant.views.journal import every_entry, open_bills, trial_balance
from accordant.views.payouts import every_payout
from accordant.views.revenue import booked_months, last_months, rolled_months

MONTHS = 12
_STATED = ("opening", "earned", "clawed_back", "paid", "closing", "collected")
_MOVED = ("opening", "billings", "recognised", "credits", "write_offs", "fx", "closing")


#: The columns of each table that is not the journal, with what their cells are.
_COLUMNS = {
    TableName.TRIAL_BALANCE: (
        ("legal_entity", TEXT), ("account", TEXT), ("name", TEXT), ("currency", TEXT), ("debit", AMOUNT),
        ("credit", AMOUNT), ("balance", AMOUNT),
    ),
    TableName.WATERFALL: (
        ("legal_entity", TEXT), ("billed_in", DAY), ("recognised_in", DAY), ("amount", AMOUNT), ("currency", TEXT),
    ),
    TableName.ROLL_FORWARD: (
        ("legal_entity", TEXT), ("month", DAY), *((one, AMOUNT) for one in _MOVED), ("currency", TEXT),
    ),
    TableName.AGING: (
        ("legal_entity", TEXT), ("bill", TEXT), ("number", TEXT), ("party", TEXT), ("issued_on", DAY),
        ("due_on", DAY), ("days_overdue", COUNT), ("open", AMOUNT), ("currency", TEXT), ("original", AMOUNT),
        ("original_currency", TEXT),
    ),
    TableName.PAYOUTS: (
        ("system", TEXT), ("payout", TEXT), ("status", TEXT), ("arrives_on", DAY), ("paid_out", AMOUNT),
        ("currency", TEXT), ("unexplained", AMOUNT), ("booked_on", DAY), ("booking", TEXT), ("movement", TEXT),
        ("type", TEXT), ("amount", AMOUNT), ("fee", AMOUNT), ("net", AMOUNT), ("movement_currency", TEXT),
        ("source", TEXT), ("payment", TEXT), ("bill", TEXT), ("customer", TEXT), ("merchant", TEXT),
    ),
    TableName.COMMISSIONS: (
        ("legal_entity", TEXT), ("month", DAY), ("person", TEXT), *((one, AMOUNT) for one in _STATED),
        ("currency", TEXT),
    ),
}  # fmt: skip


def book_table(database: Database, ledger: LedgerPart, name: TableName, *, until: date) -> BookTable:
    """One table of every legal entity; ``until`` is the last day that counts."""
    currencies = {company: entity.currency for company, entity in ledger.legal_entities.items()}
    match name:
        case TableName.JOURNAL:
            return journal_table(every_entry(database, until=until))
        case TableName.TRIAL_BALANCE:
            rows = _balances(database, ledger, until)
        case TableName.WATERFALL:
            rows = _recognised(database, currencies)
        case TableName.ROLL_FORWARD:
            rows = _rolled(database, currencies, until)
        case TableName.AGING:
            rows = _owed(database, currencies, until)
        case TableName.PAYOUTS:
            rows = _paid_out(database)
        case TableName.COMMISSIONS:
            rows = _stated(database, until)
        case _:
            assert_never(name)
    return BookTable(name=name.value, columns=_COLUMNS[name], rows=rows)


def _balances(database: Database, ledger: LedgerPart, until: date) -> Iterator[tuple[Cell, ...]]:
    for one in trial_balance(database, before_on=until + timedelta(days=1)):
        entity = ledger.legal_entities.get(one.legal_entity)
        account = None if entity is None else entity.accounts.get(one.account)
        figures = (exact(minor, one.currency) for minor in (one.debit_minor, one.credit_minor, one.balance_minor))
        yield one.legal_entity, one.account, None if account is None else account.name, one.currency, *figures


def _recognised(database: Database, currencies: Mapping[str, str]) -> Iterator[tuple[Cell, ...]]:
    """What was billed in a month, by the month it was recognised in; without one is what remains."""
    for name, currency in currencies.items():
        for one in booked_months(database, legal_entity=name):
            for month, minor in sorted(one.recognised.items()):
                yield name, one.booked_month_on, date.fromisoformat(f"{month}-01"), exact(minor, currency), currency
            yield name, one.booked_month_on, None, exact(one.remaining, currency), currency


def _rolled(database: Database, currencies: Mapping[str, str], until: date) -> Iterator[tuple[Cell, ...]]:
    for name, currency in currencies.items():
        for one in rolled_months(database, legal_entity=name, months=last_months(until, MONTHS)):
            yield name, one.month_on, *(exact(getattr(one.moved, part), currency) for part in _MOVED), currency


def _paid_out(database: Database) -> Iterator[tuple[Cell, ...]]:
    """A row for each movement of each payout; one of which no movement is known has a row of its own."""
    for system, one in every_payout(database):
        made, off = one.payout, one.difference.to_decimal() if one.is_listed else None
        booked = (None, None) if (line := one.arrival.line) is None else (line.booked_on, line.reference)
        amount = (made.amount.to_decimal(), made.amount.currency)
        paid = (system, made.external_id, made.status, made.arrives_on, *amount, off, *booked)
        if not one.lines:
            yield *paid, *(None,) * 11
        for traced in one.lines:
            moved = traced.movement
            figures = (part.to_decimal() for part in (moved.amount, moved.fee, moved.net))
            yield (
                *paid, moved.external_id, moved.type, *figures, moved.net.currency, moved.source_id,
                traced.payment_id, traced.invoice_id, traced.customer_id, traced.merchant,
            )  # fmt: skip


def _stated(database: Database, until: date) -> Iterator[tuple[Cell, ...]]:
    for month_on, one in every_statement(database, until=until):
        figures = (exact(getattr(one, part), one.currency) for part in _STATED)
        yield one.legal_entity, month_on, one.person, *figures, one.currency


def _owed(database: Database, currencies: Mapping[str, str], today: date) -> Iterator[tuple[Cell, ...]]:
    for name in currencies:
        for one in open_bills(database, legal_entity=name):
            bill = one.bill
            due_on = bill.due_on or bill.issued_on
            yield (
                name, bill.bill, one.number, bill.party, bill.issued_on, due_on, max(0, (today - due_on).days),
                exact(bill.open_minor, one.currency), one.currency,
                exact(one.original_minor, one.original_currency), one.original_currency,
            )  # fmt: skip
