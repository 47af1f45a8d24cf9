"""What the books say, summed from their entries: trial balance, subledger, roll-forward, waterfall, aging.

Every figure is a sum of postings and nothing else, so each drills down to the entries it was made of.
"""

from collections.abc import Iterable, Sequence
from datetime import date

import msgspec

from accordant.ledger.entries import JournalEntry
from accordant.ledger.schedule import RevenueSchedule, earned_before, lines


class AccountBalance(msgspec.Struct, frozen=True, kw_only=True):
    """One row of a trial balance, in minor units of the entity's currency: ``balance`` is debits less credits."""

    legal_entity: str
    currency: str
    account: str
    debit_minor: int
    credit_minor: int

    @property
    def balance_minor(self) -> int:
        """Debits less credits."""
        return self.debit_minor - self.credit_minor


def trial_balance(entries: Iterable[JournalEntry], *, before_on: date | None = None) -> tuple[AccountBalance, ...]:
    """Debits and credits of each account, by legal entity and code; only what was posted before ``before_on``."""
    sums: dict[tuple[str, str, str], list[int]] = {}
    for one in entries:
        if before_on is not None and one.posted_on >= before_on:
            continue
        for posting in one.postings:
            row = sums.setdefault((one.legal_entity, one.currency, posting.account), [0, 0])
            row[0] += posting.debit_minor
            row[1] += posting.credit_minor
    return tuple(
        AccountBalance(legal_entity=entity, currency=currency, account=account, debit_minor=debit, credit_minor=credit)
        for (entity, currency, account), (debit, credit) in sorted(sums.items())
    )


def subledger(entries: Iterable[JournalEntry], account: str) -> dict[str | None, int]:
    """What each party's postings on ``account`` come to, in minor units; parties at zero are left out.

    The sum over all parties is the account's balance; what belongs to nobody stands under None.
    """
    sums: dict[str | None, int] = {}
    for one in entries:
        for posting in one.postings:
            if posting.account == account:
                sums[posting.party] = sums.get(posting.party, 0) + posting.amount.amount_minor
    return {party: minor for party, minor in sums.items() if minor}


class RollForward(msgspec.Struct, frozen=True, kw_only=True):
    """How deferred revenue moved in a period, in minor units; a liability is shown positive.

    opening + billings - recognised - credits - write_offs + fx = closing (finance.md 3.2, identity REV18).
    """

    opening: int
    billings: int
    recognised: int
    credits: int
    write_offs: int
    fx: int

    @property
    def closing(self) -> int:
        """What is deferred at the end."""
        return self.opening + self.billings - self.recognised - self.credits - self.write_offs + self.fx


#: Which column of the roll-forward the entries of a rule belong to.
_COLUMN = {
    "invoice_issued": "billings",
    "revenue_recognised": "recognised",
    "credits_drawn": "recognised",
    "unbilled_billed": "recognised",
    "credit_note": "credits",
    "refunded": "credits",
    "dispute_opened": "credits",
    "dispute_won": "credits",
    "written_off": "write_offs",
    "recovered": "write_offs",
}


def column_of(rule: str) -> str:
    """Which column of the roll-forward the entries of a rule belong to; what no rule explains is ``fx``."""
    return _COLUMN.get(rule, "fx")


def roll_forward(entries: Sequence[JournalEntry], *, account: str, first_on: date, after_on: date) -> RollForward:
    """Deferred revenue from ``first_on`` until, not including, ``after_on``, from the postings on its account.

    A reversal counts in the column of what it cancels, with the other sign. What no rule explains is shown as ``fx``,
    so that the identity holds by itself and an unexplained amount cannot hide.
    """
    rules = {one.id: one.cause.rule for one in entries}
    opening = 0
    columns = dict.fromkeys(("billings", "recognised", "credits", "write_offs", "fx"), 0)
    for one in entries:
        minor = -sum(posting.amount.amount_minor for posting in one.postings if posting.account == account)
        if not minor or one.posted_on >= after_on:
            continue
        if one.posted_on < first_on:
            opening += minor
            continue
        rule = one.cause.rule if one.reverses is None else rules.get(one.reverses, "")
        column = column_of(rule)
        columns[column] += minor if column in {"billings", "fx"} else -minor
    return RollForward(opening=opening, **columns)


class WaterfallRow(msgspec.Struct, frozen=True, kw_only=True):
    """One month of bookings: what was booked, when it is recognised, and what remains as of a day; minor units."""

    booked_month_on: date
    booked: int
    recognised: dict[date, int]
    recognised_so_far: int

    @property
    def remaining(self) -> int:
        """What is still to be earned."""
        return self.booked - self.recognised_so_far


def waterfall(booked: Iterable[tuple[date, RevenueSchedule]], *, as_of_on: date) -> tuple[WaterfallRow, ...]:
    """The triangle of months booked by months recognised (finance.md 3.2, REV19), for schedules of one currency.

    ``booked`` gives the day each schedule was booked on.
    """
    rows: dict[date, tuple[list[int], dict[date, int]]] = {}
    for booked_on, schedule in booked:
        sums, months = rows.setdefault(booked_on.replace(day=1), ([0, 0], {}))
        sums[0] += schedule.minor
        sums[1] += earned_before(schedule, as_of_on)
        for line in lines(schedule):
            months[line.month_on] = months.get(line.month_on, 0) + line.minor
    return tuple(
        WaterfallRow(
            booked_month_on=month_on,
            booked=sums[0],
            recognised=dict(sorted(months.items())),
            recognised_so_far=sums[1],
        )
        for month_on, (sums, months) in sorted(rows.items())
    )


def remaining_obligation(schedules: Iterable[RevenueSchedule], *, as_of_on: date) -> int:
    """What is contracted and not yet earned, in minor units. Source: ASC 606-10-50-13."""
    return sum(schedule.minor - earned_before(schedule, as_of_on) for schedule in schedules)


class OpenBill(msgspec.Struct, frozen=True, kw_only=True):
    """What is left of one bill; ``due_on`` is None where it is due on receipt."""

    party: str
    bill: str
    open_minor: int
    issued_on: date
    due_on: date | None = None


#: Days overdue at which each bucket begins, and its name (finance.md 6).
AGING_BUCKETS = ((1, "1-30"), (31, "31-60"), (61, "61-90"), (91, "over 90"))


def aging(bills: Iterable[OpenBill], *, as_of_on: date) -> dict[str, int]:
    """Open receivables by days overdue, in minor units: current, then the buckets, each present even at zero."""
    sums = {"current": 0, **{name: 0 for _, name in AGING_BUCKETS}}
    for bill in bills:
        overdue = (as_of_on - (bill.due_on or bill.issued_on)).days
        name = next((name for begins, name in reversed(AGING_BUCKETS) if overdue >= begins), "current")
        sums[name] += bill.open_minor
    return sums
