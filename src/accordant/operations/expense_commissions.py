"""Deferred commissions expensed up to the end of a month: one entry for each batch of lines, whole or not at all.

What was expensed of each line is known, so a run that was interrupted, or a clawback of an old payment, comes to the
difference and to nothing twice. Source: ASC 340-40-35-1 (amortised as what the asset is for is delivered).
"""

from collections.abc import Sequence
from datetime import date, timedelta

import msgspec

from accordant.kernel.hashing import fingerprint
from accordant.ledger.commissions import CommissionRule, Line, expensed_before, months_after
from accordant.ledger.compose import Books, Refusal, Request, compose
from accordant.ledger.entries import Cause, JournalEntry
from accordant.ledger.patterns import commission_expensed
from accordant.pipeline.bookkeep import Ledger, lay_entry
from accordant.pipeline.workbench import Workbench
from accordant.ports.commissions import KeptDeferral, KeptExpense


class Expensed(msgspec.Struct, frozen=True, kw_only=True):
    """What a batch came to, in minor units of the books, or why it came to nothing."""

    minor: int = 0
    refusals: tuple[Refusal, ...] = ()


def expense_batch(
    bench: Workbench, due: Sequence[tuple[KeptDeferral, Line]], books: Books, ledger: Ledger, *, month_on: date
) -> Expensed:
    """Lay on the bench what these lines, all of one company, have to have expensed by the end of a month and have not.

    With a refusal nothing is laid down.
    """
    after_on = months_after(month_on.replace(day=1), 1)
    parts = [
        (kept, line, expensed_before(line.amount_minor, line.terms, after_on) - kept.expensed_minor)
        for kept, line in due
    ]
    total = sum(minor for _, _, minor in parts)
    month, company = f"{month_on:%Y-%m}", books.chart.legal_entity
    entry: JournalEntry | None = None
    if total:
        made_of = fingerprint(sorted([kept.line_id, kept.version] for kept, _ in due))
        system = ledger.system_of(company)
        cause = Cause(
            event=f"commissions/{month}/{made_of}",
            subject=f"{system}:commissions/{month}",
            rule=CommissionRule.AMORTISED.value,
        )
        request = Request(
            legs=tuple(commission_expensed(total)),
            currency=books.chart.currency,
            source_minor=abs(total),
            happened_on=after_on - timedelta(days=1),
            cause=cause,
            text=f"Commissions expensed in {month_on:%B %Y}, {len(due)} lines",
            number=month,
        )
        made = compose(request, books, recorded_at=bench.now)
        if not isinstance(made, JournalEntry):
            return Expensed(refusals=made)
        entry = made
        lay_entry(bench, ledger, entry, root_id=f"books/{company}", system=system, told={"lines": len(due)})
    else:
        bench.note("commissions.expense.nothing", f"{company}/{month}", None, {"lines": len(due)})
    changes = bench.changes.books.commissions
    for kept, line, minor in parts:
        is_over = after_on >= months_after(line.terms.benefit_on.replace(day=1), line.terms.benefit_months)
        changes.deferrals.append(
            msgspec.structs.replace(
                kept,
                version=kept.version + 1,
                # Where a batch comes to nothing its lines cancel each other, and no entry has to say so.
                expensed_minor=kept.expensed_minor + minor,
                next_on=None if is_over else after_on,
            )
        )
        if minor and entry is not None:
            changes.expenses.append(
                KeptExpense(
                    line_id=kept.line_id, version=kept.version + 1, month_on=month_on, minor=minor, entry_id=entry.id
                )
            )
    return Expensed(minor=total)
