"""Commissions on SQL: read for a round, written in its commit; a line goes in once and is never touched again."""

from collections import Counter
from collections.abc import Iterable
from datetime import date, datetime

import msgspec
from sqlalchemy import Connection, func, select, update

from accordant.canonical.deals import Opportunity
from accordant.canonical.entities import Subscription, decode_entity
from accordant.kernel.clock import from_micros, to_micros
from accordant.ledger.commissions import Cash, CashKind, Line, Terms, Total
from accordant.ports.audit import AuditEntry
from accordant.ports.commissions import (
    Case,
    CashState,
    CommissionChanges,
    KeptCash,
    KeptDeferral,
    KeptExpense,
    KeptLine,
    KeptOwner,
    KeptTotal,
)
from accordant.ports.state import ConcurrentChange
from accordant.store import audit, bulk, contracts
from accordant.store.engine import Database
from accordant.store.schema import (
    commission_cash,
    commission_deferral,
    commission_expense,
    commission_line,
    commission_total,
    crosswalk,
    deal_owner,
    entity,
)

CASH = (
    "event", "version", "state", "kind", "payment", "happened_on", "gross_minor", "books_minor", "legal_entity",
    "system", "subject", "root_id", "bill", "currency", "total_minor", "tax_minor", "cause", "reason", "updated_at",
)  # fmt: skip
LINE = (
    "id", "event", "payment", "person", "plan", "terms", "base_minor", "amount_minor", "happened_on", "posted_on",
    "legal_entity", "currency", "bill", "entry_id", "charter", "recorded_at",
)  # fmt: skip
_TOTAL = ("person", "plan", "version", "base_minor", "amount_minor")
_DEFERRAL = ("line_id", "version", "legal_entity", "expensed_minor", "next_on")
_EXPENSE = ("line_id", "version", "month_on", "minor", "entry_id")
_OWNER = ("ref", "since", "owner", "is_won")
_ENCODER = msgspec.json.Encoder(order="sorted")
_TERMS = msgspec.json.Decoder(Terms)
_WAITING = (CashState.DUE.value, CashState.HELD.value)


class SqlCommissionDesk:
    """`ports.commissions.CommissionDesk` on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def cash(self, bills: Iterable[str], events: Iterable[str]) -> dict[str, KeptCash]:
        """See the port."""
        with self._database.read() as connection:
            rows = bulk.select_by_keys(connection, commission_cash, CASH, "bill", bills)
            rows += bulk.select_by_keys(connection, commission_cash, CASH, "event", events)
        return {row[0]: read_cash(row) for row in rows}

    def waiting(self, *, after: str, limit: int) -> tuple[str, ...]:
        """See the port."""
        paid = commission_cash.alias("paid")
        bill = func.coalesce(commission_cash.c.bill, paid.c.bill)
        query = (
            select(bill)
            .outerjoin(paid, (paid.c.payment == commission_cash.c.payment) & (paid.c.kind == CashKind.PAID.value))
            .where(commission_cash.c.state.in_(_WAITING), bill > after)
            .distinct()
            .order_by(bill)
            .limit(limit)
        )
        with self._database.read() as connection:
            return tuple(connection.execute(query).scalars())

    def cases(self, bills: Iterable[str], crm: str) -> tuple[Case, ...]:
        """See the port."""
        names = set(bills)
        with self._database.read() as connection:
            cash = [read_cash(row) for row in bulk.select_by_keys(connection, commission_cash, CASH, "bill", names)]
            known = {one.cash.event for one in cash}
            payments = {one.cash.payment: one.bill for one in cash if one.bill is not None}
            beside = bulk.select_by_keys(connection, commission_cash, CASH, "payment", payments)
            cash += [one for one in _fees(map(read_cash, beside)) if one.cash.event not in known]
            lines = [read_line(row) for row in bulk.select_by_keys(connection, commission_line, LINE, "bill", names)]
            deals = _Deals(connection, names, {one.bill: one.root_id for one in cash if one.bill is not None}, crm)
            return tuple(
                deals.case(
                    bill,
                    tuple(one for one in cash if (one.bill or payments.get(one.cash.payment)) == bill),
                    tuple(one for one in lines if one.bill == bill),
                )
                for bill in sorted(names)
            )

    def totals(self, keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], KeptTotal]:
        """See the port."""
        wanted = set(keys)
        with self._database.read() as connection:
            rows = bulk.select_by_keys(connection, commission_total, _TOTAL, "person", {who for who, _ in wanted})
        return {
            (person, plan): KeptTotal(
                person=person, plan=plan, version=version, total=Total(base_minor=base, amount_minor=amount)
            )
            for person, plan, version, base, amount in rows
            if (person, plan) in wanted
        }

    def deferred(self, legal_entity: str, *, before_on: date, limit: int) -> tuple[tuple[KeptDeferral, Line], ...]:
        """See the port."""
        query = (
            select(*(commission_deferral.c[name] for name in _DEFERRAL), *(commission_line.c[name] for name in LINE))
            .join(commission_line, commission_line.c.id == commission_deferral.c.line_id)
            .where(
                commission_deferral.c.legal_entity == legal_entity,
                commission_deferral.c.next_on < before_on.isoformat(),
            )
            .limit(limit)
        )
        with self._database.read() as connection:
            rows = [tuple(row) for row in connection.execute(query)]
        return tuple((_read_deferral(row[: len(_DEFERRAL)]), read_line(row[len(_DEFERRAL) :]).line) for row in rows)

    def ask_again(self, *, now: datetime) -> int:
        """See the port."""
        with self._database.write() as connection:
            done = connection.execute(
                update(commission_cash)
                .where(commission_cash.c.state == CashState.UNCOUNTED.value)
                .values(state=CashState.DUE.value, version=commission_cash.c.version + 1, updated_at=to_micros(now))
            ).rowcount
            if done:
                told = AuditEntry(
                    kind="commissions.cash.asked_again",
                    actor="accordant",
                    subject="commissions",
                    cause=None,
                    at=now,
                    body={"intents": done},
                )
                audit.append(connection, [told], now=now)
        return done


def _fees(cash: Iterable[KeptCash]) -> list[KeptCash]:
    """The fees of payments of one bill each: the fee of one that pays several is not divided."""
    listed = list(cash)
    paid = Counter(one.cash.payment for one in listed if one.cash.kind is CashKind.PAID)
    return [one for one in listed if one.bill is None and paid[one.cash.payment] == 1]


class _Deals:
    """What stands behind bills: read once for all of them."""

    def __init__(self, connection: Connection, bills: set[str], accounts: dict[str, str], crm: str) -> None:
        self._invoices = contracts.read_bills(connection, bills)
        self._contracts = {
            ref: contract
            for ref, one in self._invoices.items()
            if (contract := contracts.contract_of(ref, one)) is not None
        }
        opened = contracts.deals_by_contract(connection, set(self._contracts.values()))
        companies = contracts.companies_of(connection, set(accounts.values()), crm)
        self._deals = {
            bill: opened.get(self._contracts.get(bill, "")) or companies.get(accounts.get(bill, "")) for bill in bills
        }
        named = {one for one in self._deals.values() if one is not None} | set(self._contracts.values())
        links: dict[str, str] = dict(bulk.select_by_keys(connection, crosswalk, ("ref", "entity_id"), "ref", named))
        states: dict[str, bytes] = dict(
            bulk.select_by_keys(connection, entity, ("id", "state"), "id", set(links.values()))
        )
        self._entities = {ref: decode_entity(states[name]) for ref, name in links.items() if name in states}
        rows = bulk.select_by_keys(connection, deal_owner, _OWNER, "ref", named)
        self._owners: dict[str, list[KeptOwner]] = {}
        for ref, since, owner, is_won in sorted(rows):
            one = KeptOwner(ref=ref, since=from_micros(since), owner=owner, is_won=bool(is_won))
            self._owners.setdefault(ref, []).append(one)

    def case(self, bill: str, cash: tuple[KeptCash, ...], lines: tuple[KeptLine, ...]) -> Case:
        """All there is of one bill."""
        deal = self._deals[bill]
        contract = self._entities.get(self._contracts.get(bill, ""))
        sale = self._entities.get(deal or "")
        return Case(
            bill=bill,
            cash=cash,
            lines=lines,
            invoice=self._invoices.get(bill),
            subscription=contract if isinstance(contract, Subscription) else None,
            deal=deal,
            is_signed=isinstance(sale, Opportunity),
            term_months=sale.term_months if isinstance(sale, Opportunity) else None,
            owners=tuple(self._owners.get(deal or "", ())),
        )


def commit_commissions(connection: Connection, changes: CommissionChanges, *, now: datetime) -> None:
    """Store what a batch adds. Raises ConcurrentChange where somebody was quicker."""
    micros = to_micros(now)
    owners = [(one.ref, to_micros(one.since), one.owner, int(one.is_won)) for one in changes.owners]
    bulk.insert_new(connection, deal_owner, _OWNER, owners)
    cash = [_cash_row(one, micros) for one in changes.cash]
    totals = [
        (one.person, one.plan, one.version, one.total.base_minor, one.total.amount_minor) for one in changes.totals
    ]
    deferrals = [
        (
            one.line_id,
            one.version,
            one.legal_entity,
            one.expensed_minor,
            None if one.next_on is None else one.next_on.isoformat(),
        )
        for one in changes.deferrals
    ]
    for table, columns, rows in (
        (commission_cash, CASH, cash),
        (commission_total, _TOTAL, totals),
        (commission_deferral, _DEFERRAL, deferrals),
    ):
        bulk.upsert(connection, table, columns, rows, only_if_version_follows=True)
    lines = [_line_row(one, micros) for one in changes.lines]
    if bulk.insert_new(connection, commission_line, LINE, lines) != len(lines):
        raise ConcurrentChange("Another worker counted one of these payments meanwhile.")
    bulk.insert(connection, commission_expense, _EXPENSE, [_expense_row(one) for one in changes.expenses])


def read_cash(row: bulk.Row) -> KeptCash:
    """What an event did, in a row of the columns ``event`` to ``updated_at``."""
    fields = dict(zip(CASH, row, strict=True))
    return KeptCash(
        cash=Cash(
            event=fields["event"],
            kind=CashKind(fields["kind"]),
            payment=fields["payment"],
            happened_on=date.fromisoformat(fields["happened_on"]),
            gross_minor=fields["gross_minor"],
            books_minor=fields["books_minor"],
        ),
        version=fields["version"],
        state=CashState(fields["state"]),
        legal_entity=fields["legal_entity"],
        system=fields["system"],
        subject=fields["subject"],
        root_id=fields["root_id"],
        bill=fields["bill"],
        currency=fields["currency"],
        total_minor=fields["total_minor"],
        tax_minor=fields["tax_minor"],
        cause=fields["cause"],
        reason=fields["reason"],
    )


def _cash_row(kept: KeptCash, micros: int) -> bulk.Row:
    cash = kept.cash
    return (
        cash.event, kept.version, kept.state.value, cash.kind.value, cash.payment, cash.happened_on.isoformat(),
        cash.gross_minor, cash.books_minor, kept.legal_entity, kept.system, kept.subject, kept.root_id, kept.bill,
        kept.currency, kept.total_minor, kept.tax_minor, kept.cause, kept.reason, micros,
    )  # fmt: skip


def read_line(row: bulk.Row) -> KeptLine:
    """The line in a row of the columns ``id`` to ``recorded_at``."""
    fields = dict(zip(LINE, row, strict=True))
    return KeptLine(
        id=fields["id"],
        line=Line(
            event=fields["event"],
            payment=fields["payment"],
            person=fields["person"],
            terms=_TERMS.decode(fields["terms"]),
            base_minor=fields["base_minor"],
            amount_minor=fields["amount_minor"],
            happened_on=date.fromisoformat(fields["happened_on"]),
        ),
        legal_entity=fields["legal_entity"],
        currency=fields["currency"],
        bill=fields["bill"],
        posted_on=date.fromisoformat(fields["posted_on"]),
        entry_id=fields["entry_id"],
        charter=fields["charter"],
    )


def _line_row(kept: KeptLine, micros: int) -> bulk.Row:
    line = kept.line
    return (
        kept.id, line.event, line.payment, line.person, line.terms.plan, _ENCODER.encode(line.terms), line.base_minor,
        line.amount_minor, line.happened_on.isoformat(), kept.posted_on.isoformat(), kept.legal_entity, kept.currency,
        kept.bill, kept.entry_id, kept.charter, micros,
    )  # fmt: skip


def _read_deferral(row: bulk.Row) -> KeptDeferral:
    line_id, version, legal_entity, expensed, next_on = row
    return KeptDeferral(
        line_id=line_id,
        version=version,
        legal_entity=legal_entity,
        expensed_minor=expensed,
        next_on=None if next_on is None else date.fromisoformat(next_on),
    )


def _expense_row(kept: KeptExpense) -> bulk.Row:
    return (kept.line_id, kept.version, kept.month_on.isoformat(), kept.minor, kept.entry_id)
