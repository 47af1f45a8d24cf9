"""Counts commissions on what was collected: lines, running totals and their entries, bill after bill, once each.

One order for all customers, apart from the rooms: a person's running total is of all their customers, and workers who
share it would wait for each other with every payment. Next: `ledger/commissions.py`, which computes.
"""

from collections.abc import Sequence
from datetime import date, datetime
from zoneinfo import ZoneInfo

import msgspec

from accordant.canonical.commissions import CommissionsPart
from accordant.kernel.ids import derived_id
from accordant.ledger.commissions import (
    CashKind,
    Collected,
    CommissionRule,
    Credit,
    Line,
    NotCounted,
    Sold,
    Sums,
    TaxOfBill,
    collected,
    credit_for,
    credit_of,
    lines_of,
    plan_version,
)
from accordant.ledger.compose import Books, Refusal, Request, compose
from accordant.ledger.entries import Cause, JournalEntry
from accordant.ledger.patterns import CommissionPart, commissions_owed
from accordant.ledger.periods import posting_day
from accordant.pipeline.bookkeep import Ledger, lay_entry
from accordant.pipeline.workbench import Workbench
from accordant.ports.commissions import (
    Case,
    CashState,
    CommissionDesk,
    KeptCash,
    KeptDeferral,
    KeptLine,
    KeptOwner,
    KeptTotal,
)

#: What money does first: what comes before what goes.
_RANK = {CashKind.PAID: 0, CashKind.FEE: 1, CashKind.REFUNDED: 2, CashKind.DISPUTE_LOST: 3}


class Counting:
    """One round over some bills: lays on the bench what is due of them."""

    def __init__(self, bench: Workbench, ledger: Ledger, plans: CommissionsPart, desk: CommissionDesk) -> None:
        self._bench = bench
        self._ledger = ledger
        self._plans = plans
        self._desk = desk
        self._totals: dict[tuple[str, str], KeptTotal] = {}
        self._sums = Sums({})

    def count(self, bills: Sequence[str], books: dict[str, Books]) -> None:
        """Count what is due or held of these bills; ``books`` are those of each legal entity."""
        cases = self._desk.cases(bills, self._plans.crm)
        people = {line.line.person for case in cases for line in case.lines} | self._payable(cases)
        versions = {plan_version(plan) for plan in self._plans.plans}
        versions |= {line.line.terms.plan for case in cases for line in case.lines}
        self._totals = self._desk.totals((who, plan) for who in people for plan in versions)
        self._sums = Sums({key: one.total for key, one in self._totals.items()})
        for case in cases:
            _Case(case, self._bench, self._ledger, self._plans, self._sums).count(books)
        for (person, plan), total in self._sums.totals.items():
            old = self._totals.get((person, plan))
            if old is None or old.total != total:
                version = 1 if old is None else old.version + 1
                kept = KeptTotal(person=person, plan=plan, version=version, total=total)
                self._bench.changes.books.commissions.totals.append(kept)

    def _payable(self, cases: Sequence[Case]) -> set[str]:
        """Whoever may earn of these bills: their owners, and who is named in a plan."""
        named = {who for plan in self._plans.plans for who in (*plan.people, *plan.shares)}
        return named | {one.owner for case in cases for one in case.owners}


class _Case:
    """One bill."""

    def __init__(self, case: Case, bench: Workbench, ledger: Ledger, plans: CommissionsPart, sums: Sums) -> None:
        self._case = case
        self._bench = bench
        self._ledger = ledger
        self._plans = plans
        self._sums = sums
        self._lines = [kept.line for kept in case.lines]
        self._changes = bench.changes.books.commissions

    def count(self, books: dict[str, Books]) -> None:
        """Everything that is due or held of it, what came before what went."""
        rows = {one.cash.event: one for one in self._case.cash}
        due = [one for one in rows.values() if one.state in {CashState.DUE, CashState.HELD}]
        seen = {name for name, one in rows.items() if one.state is CashState.COUNTED}
        for row in sorted(due, key=lambda one: (one.cash.happened_on, _RANK[one.cash.kind], one.cash.event)):
            result = self._row(row, rows, seen, books)
            if isinstance(result, NotCounted):
                state = CashState.HELD if result.may_change else CashState.UNCOUNTED
                self._keep(row, state, result.reason)
            else:
                self._keep(row, CashState.COUNTED, None)
            seen.add(row.cash.event)

    def _row(
        self, row: KeptCash, rows: dict[str, KeptCash], seen: set[str], books: dict[str, Books]
    ) -> NotCounted | None:
        """What one event adds: its lines and their entry laid on the bench, or why there are none."""
        paid = self._paid(row.cash.payment, rows)
        if paid is None:
            return NotCounted(reason="The payment it is about was not collected yet.", may_change=True)
        standing = self._standing(row, paid, rows, seen)
        entity = books.get(paid.legal_entity)
        if entity is None:
            return NotCounted(reason=f"There is no legal entity {paid.legal_entity}.", may_change=True)
        credit = self._credit(row.cash.payment, paid, entity.chart.currency)
        if isinstance(credit, NotCounted):
            return credit
        trial = Sums(self._sums.totals)
        made = self._lines_of(row, standing, credit, trial)
        posted = self._post(row, made, entity)
        if isinstance(posted, NotCounted):
            return posted
        self._sums.totals = trial.totals
        self._lines += made
        for line in made:
            self._lay(line, row, paid, posted, currency=entity.chart.currency)
        return None

    def _paid(self, payment: str, rows: dict[str, KeptCash]) -> KeptCash | None:
        return next((one for one in rows.values() if _is_payment(one) and one.cash.payment == payment), None)

    def _standing(
        self, row: KeptCash, paid: KeptCash, rows: dict[str, KeptCash], seen: set[str]
    ) -> dict[str, Collected]:
        """What stands of each payment, with the row and all that was counted before it.

        The tax of partial payments is shared among all that were paid, also those that count for nobody.
        """
        told = [one for name, one in rows.items() if _is_payment(one) or name in seen or name == row.cash.event]
        bill = TaxOfBill(total=paid.total_minor, tax=paid.tax_minor)
        return collected(bill, (one.cash for one in told))

    def _credit(self, payment: str, paid: KeptCash, currency: str) -> Credit | NotCounted:
        """On which terms the payment was counted, or is counted now for the first time."""
        before = credit_of(line for line in self._lines if line.payment == payment)
        if before is not None:
            return before
        sold = _sold(self._case, paid.cash.happened_on, self._ledger.zone)
        return credit_for(
            sold, self._plans.plans, legal_entity=paid.legal_entity, currency=currency, day=paid.cash.happened_on
        )

    def _lines_of(self, row: KeptCash, standing: dict[str, Collected], credit: Credit, sums: Sums) -> tuple[Line, ...]:
        """The lines of the event's own payment, and of others of the bill whose share of the tax came out otherwise."""
        made: list[Line] = []
        for payment, stands in standing.items():
            before = [line for line in self._lines if line.payment == payment]
            known = credit if payment == row.cash.payment else credit_of(before)
            if known is not None:
                cash = msgspec.structs.replace(row.cash, payment=payment)
                made += lines_of(cash, stands, known, before, sums, happened_on=row.cash.happened_on)
        return tuple(made)

    def _post(self, row: KeptCash, lines: Sequence[Line], books: Books) -> JournalEntry | date | NotCounted:
        """The entry of an event's lines; its day in the books where they come to nothing; or why it is not posted."""
        parts = _parts(lines)
        if not parts:
            on = posting_day(books.periods, row.cash.happened_on)
            return on if isinstance(on, date) else NotCounted(reason=f"{on.reason} {on.remedy}", may_change=True)
        total = sum(one.minor for one in parts)
        legs = commissions_owed(parts)
        rule = CommissionRule.COUNTED if total >= 0 else CommissionRule.CLAWED_BACK
        cause = Cause(event=row.cash.event, subject=row.subject, rule=rule.value, rule_version=row.version)
        entry = compose(
            Request(
                legs=tuple(legs),
                currency=books.chart.currency,
                source_minor=abs(total),
                total_legs=2,
                happened_on=row.cash.happened_on,
                cause=cause,
                text=f"Commission on {_WORDS[row.cash.kind]} {row.cash.payment.partition('/')[2]}",
                number=row.cash.payment.partition("/")[2],
            ),
            books,
            recorded_at=self._bench.now,
        )
        if not isinstance(entry, JournalEntry):
            return NotCounted(reason=_told(entry), may_change=True)
        lay_entry(
            self._bench,
            self._ledger,
            entry,
            root_id=row.root_id,
            system=row.system,
            bill=self._case.bill,
            cause=row.cause,
        )
        return entry

    def _lay(self, line: Line, row: KeptCash, paid: KeptCash, posted: JournalEntry | date, *, currency: str) -> None:
        """The line as it is kept, and what the months to come expense of it."""
        posted_on = posted if isinstance(posted, date) else posted.posted_on
        name = derived_id("cml", line.event, line.payment, line.person, str(row.version))
        self._changes.lines.append(
            KeptLine(
                id=name,
                line=line,
                legal_entity=paid.legal_entity,
                currency=currency,
                bill=self._case.bill,
                posted_on=posted_on,
                entry_id=posted.id if isinstance(posted, JournalEntry) and line.amount_minor else None,
                charter=self._ledger.charter,
            )
        )
        if line.terms.benefit_months and line.amount_minor:
            self._changes.deferrals.append(
                KeptDeferral(
                    line_id=name,
                    version=1,
                    legal_entity=paid.legal_entity,
                    expensed_minor=0,
                    next_on=posted_on.replace(day=1),
                )
            )

    def _keep(self, row: KeptCash, state: CashState, reason: str | None) -> None:
        """What became of the event; one that is held for the reason it was held for stays as it is."""
        if (row.state, row.reason) == (state, reason):
            return
        self._changes.cash.append(msgspec.structs.replace(row, version=row.version + 1, state=state, reason=reason))
        self._bench.note(
            f"commissions.cash.{state.value}",
            row.cash.event,
            row.cause,
            {"payment": row.cash.payment, "reason": reason, "charter": self._ledger.charter},
        )


_WORDS = {
    CashKind.PAID: "payment",
    CashKind.REFUNDED: "refund of",
    CashKind.DISPUTE_LOST: "lost dispute of",
    CashKind.FEE: "fee of",
}


def _is_payment(one: KeptCash) -> bool:
    return one.cash.kind is CashKind.PAID


def _parts(lines: Sequence[Line]) -> list[CommissionPart]:
    """What the lines come to by person, and whether it is expensed at once."""
    sums: dict[tuple[str, bool], int] = {}
    for line in lines:
        key = line.person, not line.terms.benefit_months
        sums[key] = sums.get(key, 0) + line.amount_minor
    return [
        CommissionPart(person=person, minor=minor, at_once=at_once)
        for (person, at_once), minor in sums.items()
        if minor
    ]


def _told(refusals: Sequence[Refusal]) -> str:
    return " ".join(str(one) for one in refusals)


def _sold(case: Case, day: date, zone: ZoneInfo) -> Sold:
    """The deal behind a bill, as it stood when it was signed and on the day of a payment."""
    invoice, contract = case.invoice, case.subscription
    began = None if contract is None else contract.started_at
    billed = None if invoice is None else invoice.finalized_at or invoice.created_at
    signed = _signed_at(case.owners) if case.is_signed else began or billed
    until = [one for one in case.owners if one.since.astimezone(zone).date() <= day]
    return Sold(
        signed_by=_owner_at(case.owners, signed),
        owned_by=(until or list(case.owners))[-1 if until else 0].owner if case.owners else None,
        reason=None if invoice is None else invoice.billing_reason,
        billed_on=day if billed is None else billed.astimezone(zone).date(),
        began_on=None if began is None else began.astimezone(zone).date(),
        term_months=case.term_months,
    )


def _signed_at(owners: Sequence[KeptOwner]) -> datetime | None:
    return next((one.since for one in owners if one.is_won), None)


def _owner_at(owners: Sequence[KeptOwner], moment: datetime | None) -> str | None:
    """Who owned it then; where nobody is known for then, the first who is known."""
    before = [one for one in owners if moment is not None and one.since <= moment]
    return before[-1].owner if before else owners[0].owner if owners else None
