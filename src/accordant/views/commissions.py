"""Commission statements: what each person began a month with, earned, lost again, was paid, and is owed at its end.

Reads what is kept; whether it ties to the account and to what was collected is said beside it.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import date

import msgspec
from sqlalchemy import Connection, func, select

from accordant.canonical.books import Role
from accordant.ledger.commissions import Cash, CashKind, TaxOfBill, Terms, collected, months_after
from accordant.ledger.entries import JournalEntry
from accordant.ledger.patterns import SALESPERSON
from accordant.ledger.transactions import Transaction
from accordant.store.engine import Database
from accordant.store.schema import commission_cash, commission_line, journal_entry, journal_line
from accordant.views.keyed import AnyRow, rows_by_key

#: Lines of one month that a page shows.
LINES_MAX = 500
_ENTRY = msgspec.json.Decoder(JournalEntry)
_TERMS = msgspec.json.Decoder(Terms)


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """One person's month in one company, in minor units of its books. ``collected`` is what counted in it; ``closing``
    is what is owed at its end.
    """

    legal_entity: str
    person: str
    currency: str
    opening: int
    collected: int
    earned: int
    clawed_back: int
    paid: int
    closing: int


class _Sums(msgspec.Struct, kw_only=True):
    """What a person's month comes to, while it is added up."""

    currency: str
    opening: int = 0
    collected: int = 0
    earned: int = 0
    clawed_back: int = 0
    paid: int = 0


_Found = dict[tuple[str, str], _Sums]


class Tie(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a company's statements tie, in minor units: what they owe to the account, and what counted to the money
    that came and stayed, computed anew from each payment of the month's bills.
    """

    legal_entity: str
    currency: str
    owed: int
    account: int
    counted: int
    collected: int

    @property
    def is_whole(self) -> bool:
        """Nothing is off."""
        return self.owed == self.account and self.counted == self.collected


class StatementLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a month, with what it leads to: the payment, its bill and the entry."""

    person: str
    plan: str
    payment: str
    bill: str
    base: int
    amount: int
    happened_on: date
    posted_on: date
    currency: str
    entry_id: str | None


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """Money that counts for nobody so far, by reason: how often, and how much of it in each currency of bills."""

    state: str
    reason: str
    count: int
    gross: int
    currency: str


class Month(msgspec.Struct, frozen=True, kw_only=True):
    """All statements of a month; ``waiting`` is of all time."""

    month_on: date
    statements: tuple[Statement, ...]
    ties: tuple[Tie, ...]
    lines: tuple[StatementLine, ...]
    waiting: tuple[Waiting, ...]


def commission_month(database: Database, month_on: date) -> Month:
    """The statements of a month, person by person, with their lines and what they tie to."""
    after_on = months_after(month_on.replace(day=1), 1)
    first, after = month_on.replace(day=1).isoformat(), after_on.isoformat()
    with database.read() as connection:
        statements = _statements(connection, first, after)
        return Month(
            month_on=month_on.replace(day=1),
            statements=statements,
            ties=_ties(connection, statements, first, after),
            lines=_lines(connection, first, after),
            waiting=_waiting(connection),
        )


def every_statement(database: Database, *, until: date) -> Iterator[tuple[date, Statement]]:
    """The statements of every month since the first, each with its month."""
    with database.read() as connection:
        earliest = connection.execute(select(func.min(commission_line.c.posted_on))).scalar()
    month_on = None if earliest is None else date.fromisoformat(earliest).replace(day=1)
    while month_on is not None and month_on <= until:
        after_on = months_after(month_on, 1)
        with database.read() as connection:
            found = _statements(connection, month_on.isoformat(), after_on.isoformat())
        yield from ((month_on, one) for one in found)
        month_on = after_on


def _statements(connection: Connection, first: str, after: str) -> tuple[Statement, ...]:
    found: _Found = {}
    _add_lines(connection, found, first, after)
    _add_paid(connection, found, first, after)
    return tuple(
        Statement(
            legal_entity=company,
            person=person,
            closing=sums.opening + sums.earned + sums.clawed_back - sums.paid,
            **msgspec.structs.asdict(sums),
        )
        for (company, person), sums in sorted(found.items())
        if any((sums.opening, sums.collected, sums.earned, sums.clawed_back, sums.paid))
    )


def _of(found: _Found, legal_entity: str, person: str, currency: str) -> _Sums:
    return found.setdefault((legal_entity, person), _Sums(currency=currency))


def _add_lines(connection: Connection, found: _Found, first: str, after: str) -> None:
    line = commission_line.c
    by = (line.legal_entity, line.person, line.currency)
    before = select(*by, func.sum(line.amount_minor).label("amount")).where(line.posted_on < first).group_by(*by)
    for row in connection.execute(before):
        _of(found, row.legal_entity, row.person, row.currency).opening += int(row.amount)
    is_back = line.amount_minor < 0
    within = (
        select(*by, is_back.label("is_back"), func.sum(line.amount_minor).label("amount"),
               func.sum(line.base_minor).label("base"))
        .where(line.posted_on >= first, line.posted_on < after)
        .group_by(*by, is_back)
    )  # fmt: skip
    for row in connection.execute(within):
        one = _of(found, row.legal_entity, row.person, row.currency)
        one.collected += int(row.base)
        if row.is_back:
            one.clawed_back += int(row.amount)
        else:
            one.earned += int(row.amount)


def _add_paid(connection: Connection, found: _Found, first: str, after: str) -> None:
    """What persons said was paid out; what takes that back stands against it."""
    entry = journal_entry.c
    is_paid = entry.rule == Transaction.COMMISSION_PAID.value
    is_back = entry.reverses.in_(select(entry.id).where(is_paid))
    query = select(entry.posted_on, entry.body).where(is_paid | is_back, entry.posted_on < after)
    for row in connection.execute(query):
        made = _ENTRY.decode(row.body)
        for posting in made.postings:
            person = posting.dimensions.get(SALESPERSON)
            if posting.role is not Role.COMMISSIONS_PAYABLE or person is None:
                continue
            one = _of(found, made.legal_entity, person, made.currency)
            if row.posted_on < first:
                one.opening -= posting.amount.amount_minor
            else:
                one.paid += posting.amount.amount_minor


def _ties(connection: Connection, statements: Iterable[Statement], first: str, after: str) -> tuple[Tie, ...]:
    owed: dict[tuple[str, str], int] = {}
    for one in statements:
        key = one.legal_entity, one.currency
        owed[key] = owed.get(key, 0) + one.closing
    line = journal_line.c
    query = (
        select(line.legal_entity, func.sum(line.amount_minor).label("minor"))
        .where(line.role == Role.COMMISSIONS_PAYABLE.value, line.posted_on < after)
        .group_by(line.legal_entity)
    )
    accounts = {row.legal_entity: -int(row.minor) for row in connection.execute(query)}
    return tuple(
        Tie(
            legal_entity=company,
            currency=currency,
            owed=minor,
            account=accounts.get(company, 0),
            **dict(zip(("counted", "collected"), _money(connection, company, first, after), strict=True)),
        )
        for (company, currency), minor in sorted(owed.items())
    )


def _money(connection: Connection, company: str, first: str, after: str) -> tuple[int, int]:
    """Of the bills with a line in the month: what all their lines counted, and what came for them and stayed."""
    line, cash = commission_line.c, commission_cash.c
    bills = set(
        connection.execute(
            select(line.bill).where(line.legal_entity == company, line.posted_on >= first, line.posted_on < after)
        ).scalars()
    )
    lines = rows_by_key(connection, (line.bill, line.payment, line.base_minor, line.terms), line.bill, bills)
    counted = sum(int(row.base_minor) for row in lines)
    deducts = {(row.bill, row.payment): _TERMS.decode(row.terms).deduct_fees for row in lines}
    columns = (
        cash.event, cash.bill, cash.kind, cash.payment, cash.happened_on, cash.gross_minor, cash.books_minor,
        cash.total_minor, cash.tax_minor, cash.state,
    )  # fmt: skip
    rows = rows_by_key(connection, columns, cash.bill, bills)
    fees = rows_by_key(connection, columns, cash.payment, {payment for _, payment in deducts})
    by_bill: dict[str, list[AnyRow]] = {}
    for row in rows:
        by_bill.setdefault(row.bill, []).append(row)
    owner = {payment: bill for bill, payment in deducts}
    for row in fees:
        if row.bill is None:
            by_bill.setdefault(owner[row.payment], []).append(row)
    stays = 0
    for bill, told in by_bill.items():
        stays += _kept(bill, told, deducts)
    return counted, stays


def _kept(bill: str, told: list[AnyRow], deducts: Mapping[tuple[str, str], bool]) -> int:
    """What came for a bill and stayed, of the payments that count."""
    paid = [row for row in told if row.kind == CashKind.PAID.value]
    counts = [row for row in told if row.kind == CashKind.PAID.value or row.state == "counted"]
    tax = TaxOfBill(total=max(row.total_minor for row in paid), tax=max(row.tax_minor for row in paid))
    standing = collected(
        tax,
        (
            Cash(
                event=row.event,
                kind=CashKind(row.kind),
                payment=row.payment,
                happened_on=date.fromisoformat(row.happened_on),
                gross_minor=row.gross_minor,
                books_minor=row.books_minor,
            )
            for row in counts
        ),
    )
    return sum(
        one.counted(deduct_fees=deducts[bill, payment])
        for payment, one in standing.items()
        if (bill, payment) in deducts
    )


def _lines(connection: Connection, first: str, after: str) -> tuple[StatementLine, ...]:
    line = commission_line.c
    query = (
        select(line.person, line.plan, line.payment, line.bill, line.base_minor, line.amount_minor, line.happened_on,
               line.posted_on, line.currency, line.entry_id)
        .where(line.posted_on >= first, line.posted_on < after)
        .order_by(line.person, line.posted_on, line.id)
        .limit(LINES_MAX)
    )  # fmt: skip
    return tuple(
        StatementLine(
            person=row.person,
            plan=row.plan.rpartition("/")[0],
            payment=row.payment,
            bill=row.bill,
            base=row.base_minor,
            amount=row.amount_minor,
            happened_on=date.fromisoformat(row.happened_on),
            posted_on=date.fromisoformat(row.posted_on),
            currency=row.currency,
            entry_id=row.entry_id,
        )
        for row in connection.execute(query)
    )


def _waiting(connection: Connection) -> tuple[Waiting, ...]:
    cash = commission_cash.c
    by = (cash.state, cash.reason, cash.currency)
    query = (
        select(*by, func.count().label("payments"), func.sum(cash.gross_minor).label("gross"))
        .where(cash.state.in_(("held", "uncounted")), cash.kind == CashKind.PAID.value)
        .group_by(*by)
        .order_by(*by)
    )
    return tuple(
        Waiting(
            state=row.state,
            reason=row.reason or "",
            count=int(row.payments),
            gross=int(row.gross),
            currency=row.currency,
        )
        for row in connection.execute(query)
    )
