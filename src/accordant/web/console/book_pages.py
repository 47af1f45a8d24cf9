"""What do the books say? Trial balance and what is held, the journal, deferred revenue, and who owes."""

from collections.abc import Iterable, Sequence
from datetime import date
from itertools import groupby

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromQuery

from accordant.kernel.money import Money
from accordant.ledger.balances import AccountBalance, RollForward
from accordant.ledger.modify import reasons_of
from accordant.operations.closing import MonthToClose
from accordant.views.journal import (
    PAGE,
    HeldPosting,
    JournalAsked,
    Receivable,
    aged,
    held_postings,
    open_bills,
    read_journal,
    tie_of_bills,
    tie_of_schedules,
    trial_balance,
)
from accordant.views.revenue import (
    BookedMonth,
    RolledMonth,
    agreed_not_billed,
    booked_months,
    last_months,
    rolled_months,
)
from accordant.views.worth import Party, parties
from accordant.web.console import words
from accordant.web.console.charts import Step, share, steps
from accordant.web.console.frame import Answer, Console, Problem, Visitor, as_file, form_of
from accordant.web.console.threads import in_thread

_MONTHS = 12
#: Entries of one file of the journal; what is beyond is asked for with ``after``.
FILE_PAGE = 10_000
#: Open bills on the page, the longest due first; the files have all.
_BILLS_SHOWN = 200
_COLUMNS = ("opening", "billings", "recognised", "credits", "write_offs", "fx", "closing")


def _company(console: Console, asked: str) -> str | None:
    """The legal entity a page is about; None where the charter keeps no books. Raises Problem for an unknown one."""
    ledger = console.hub.charter.ledger
    if ledger is None or not ledger.legal_entities:
        return None
    if not asked:
        return next(iter(ledger.legal_entities))
    if asked not in ledger.legal_entities:
        known = ", ".join(ledger.legal_entities)
        raise Problem(404, "Not found", f"There is no legal entity {asked!r}.", f"The charter has: {known}.")
    return asked


def _currency(console: Console, company: str) -> str:
    ledger = console.hub.charter.ledger
    assert ledger is not None  # noqa: S101  the company was found in it
    return ledger.legal_entities[company].currency


def _companies(console: Console) -> Sequence[str]:
    ledger = console.hub.charter.ledger
    return () if ledger is None else tuple(ledger.legal_entities)


@get(["/books", "/books.json", "/books.csv"])
@in_thread
def books_page(request: Visitor, console: NamedDependency[Console]) -> Answer:
    """Do the books balance, and what is not in them?"""
    hub = console.hub
    rows = trial_balance(hub.database)
    count, held = held_postings(hub.database)
    header = ("legal_entity", "account", "currency", "debit_minor", "credit_minor", "balance_minor")
    cells = (
        (one.legal_entity, one.account, one.currency, one.debit_minor, one.credit_minor, one.balance_minor)
        for one in rows
    )
    months = _to_close(console)
    whole = {"trial_balance": rows, "held": count, "postings": held, "to_close": months}
    file = as_file(request, whole, name="trial-balance", header=header, rows=cells)
    if file is not None:
        return file
    ledger = hub.charter.ledger
    parts = {} if ledger is None else ledger.legal_entities
    names = {(name, code): one.name for name, part in parts.items() for code, one in part.accounts.items()}
    return console.page(
        request,
        "books.html",
        balances=_balances(rows),
        names=names,
        count=count,
        listed=len(held),
        reasons=_reasons(held),
        kept=ledger is not None,
        months=months,
    )


def _to_close(console: Console) -> tuple[MonthToClose, ...]:
    """The month that each company closes next."""
    found = (console.hub.bookkeeper.to_close(name) for name in _companies(console))
    return tuple(one for one in found if one is not None)


def _balances(rows: Sequence[AccountBalance]) -> list[tuple[str, str, list[AccountBalance], int, int]]:
    """Each company by itself, with the currency of its books, its accounts, and all debits and credits."""
    found = []
    for (company, currency), some in groupby(rows, key=lambda one: (one.legal_entity, one.currency)):
        accounts = list(some)
        debit, credit = sum(one.debit_minor for one in accounts), sum(one.credit_minor for one in accounts)
        found.append((company, currency, accounts, debit, credit))
    return found


def _reasons(held: Sequence[HeldPosting]) -> list[tuple[str, list[tuple[HeldPosting, str]]]]:
    """Held events, each with its reason, by what has to be done: one missing row usually keeps out many."""
    found: dict[str, list[tuple[HeldPosting, str]]] = {}
    for one in held:
        for reason in one.reasons:
            found.setdefault(reason.remedy or reason.reason, []).append((one, reason.reason))
    return sorted(found.items(), key=lambda row: -len(row[1]))


@get(["/books/journal", "/books/journal.json", "/books/journal.csv"])
@in_thread
def journal_page(
    request: Visitor,
    console: NamedDependency[Console],
    *,
    company: FromQuery[str] = "",
    account: FromQuery[str] = "",
    bill: FromQuery[str] = "",
    entry: FromQuery[str] = "",
    customer: FromQuery[str] = "",
    system: FromQuery[str] = "",
    month: FromQuery[str] = "",
    after: FromQuery[str] = "",
) -> Answer:
    """What was posted, why, and what the ERP said to it?"""
    asked = {"company": company, "account": account, "bill": bill, "entry": entry, "customer": customer.strip(),
             "system": system, "month": month}  # fmt: skip
    wanted: dict[str, str | None] = {name: text or None for name, text in asked.items() if name != "month"}
    # A file goes on where the page would, in larger steps: JSON says where the next one begins.
    found = read_journal(
        console.hub.database,
        JournalAsked(**wanted, month_on=_month(month), after=after or None),
        limit=PAGE if form_of(request) == "html" else FILE_PAGE,
    )
    rows = found.entries
    header = ("entry", "posted_on", "effective_on", "legal_entity", "rule", "subject", "event", "account", "currency",
              "amount_minor", "party")  # fmt: skip
    cells = (
        (
            one.entry.id,
            one.entry.posted_on,
            one.entry.effective_on,
            one.entry.legal_entity,
            one.entry.cause.rule,
            one.entry.cause.subject,
            one.entry.cause.event,
            line.account,
            line.amount.currency,
            line.amount.amount_minor,
            line.party,
        )
        for one in rows
        for line in one.entry.postings
    )
    file = as_file(request, found, name="journal", header=header, rows=cells)
    if file is not None:
        return file
    ledger = console.hub.charter.ledger
    return console.page(
        request,
        "journal.html",
        rows=rows,
        parties=_parties(console, (one.root_id for one in rows)),
        asked=asked,
        after=after,
        further=found.further,
        reasons_of=lambda entry: reasons_of(line.dimensions.get("treatment") for line in entry.postings),
        companies=_companies(console),
        systems=() if ledger is None else tuple(ledger.systems),
    )


def _month(text: str) -> date | None:
    """The first day of a month as a form sends it. Raises Problem for what is none."""
    if not text:
        return None
    try:
        return date.fromisoformat(f"{text}-01")
    except ValueError:
        raise Problem(400, "Not understood", f"{text[:20]!r} is no month.", "Write it as in 2027-01.") from None


@get(["/books/revenue", "/books/revenue.json", "/books/revenue.csv"])
@in_thread
def revenue_page(request: Visitor, console: NamedDependency[Console], company: FromQuery[str] = "") -> Answer:
    """How did deferred revenue roll forward, and when is what was billed recognised?"""
    name, hub = _company(console, company), console.hub
    rolled: tuple[RolledMonth, ...] = ()
    booked: tuple[BookedMonth, ...] = ()
    if name is not None:
        today = hub.clock().astimezone(hub.rulebook.zone).date()
        rolled = rolled_months(hub.database, legal_entity=name, months=last_months(today, _MONTHS))
        booked = booked_months(hub.database, legal_entity=name)
    header = ("month", *_COLUMNS)
    cells = ((f"{one.month_on:%Y-%m}", *_figures(one.moved)) for one in rolled)
    remaining = sum(one.remaining for one in booked)
    agreed = 0 if name is None else agreed_not_billed(hub.database, legal_entity=name)
    tie = None if name is None else tie_of_schedules(hub.database, legal_entity=name, remaining=remaining - agreed)
    whole = {"rolled": rolled, "booked": booked, "tie": tie, "agreed_not_billed": agreed}
    file = as_file(request, whole, name="revenue", header=header, rows=cells)
    if file is not None:
        return file
    currency = "EUR" if name is None else _currency(console, name)
    shown = [one for one in rolled if any(_figures(one.moved))]
    months = sorted({month for one in booked for month in one.recognised})
    return console.page(
        request,
        "revenue.html",
        company=name,
        companies=_companies(console),
        currency=currency,
        rolled=shown,
        picture=_bridge(shown, currency) if shown else None,
        booked=booked,
        tie=tie,
        agreed=agreed,
        months=months,
        share=share,
    )


def _figures(moved: RollForward) -> tuple[int, ...]:
    return (*(getattr(moved, column) for column in _COLUMNS[:-1]), moved.closing)


def _bridge(rolled: Sequence[RolledMonth], currency: str) -> str:
    """Opening to closing over all shown months, step by step."""
    total = {column: sum(getattr(one.moved, column) for one in rolled) for column in _COLUMNS[1:-1]}
    level = rolled[0].moved.opening
    columns = [_step("opening", 0, level, currency, stands=True)]
    for column, sign in (("billings", 1), ("recognised", -1), ("credits", -1), ("write_offs", -1), ("fx", 1)):
        columns.append(_step(column.replace("_", "-"), level, level + sign * total[column], currency))
        level += sign * total[column]
    columns.append(_step("closing", 0, level, currency, stands=True))
    first, last = rolled[0].month_on, rolled[-1].month_on
    closing = words.money(Money(level, currency))
    return steps(
        columns,
        name="bridge",
        title="Deferred revenue from opening to closing",
        described=f"From {first:%B %Y} to {last:%B %Y}: {closing} are deferred at the end.",
    )


def _step(label: str, begins: int, ends: int, currency: str, *, stands: bool = False) -> Step:
    told = f"{label}: {words.money(Money(ends - begins, currency))}"
    return Step(label=label, begins=begins, ends=ends, told=told, stands=stands)


@get(["/books/receivables", "/books/receivables.json", "/books/receivables.csv"])
@in_thread
def receivables_page(request: Visitor, console: NamedDependency[Console], company: FromQuery[str] = "") -> Answer:
    """Who owes what, and since when?"""
    name, hub = _company(console, company), console.hub
    today = hub.clock().astimezone(hub.rulebook.zone).date()
    # The page shows the first of them, the files have all.
    limit = _BILLS_SHOWN if form_of(request) == "html" else None
    bills: Sequence[Receivable] = ()
    count, buckets = 0, dict[str, int]()
    if name is not None:
        bills = open_bills(hub.database, legal_entity=name, limit=limit)
        count, buckets = aged(hub.database, legal_entity=name, as_of_on=today)
    header = ("bill", "number", "party", "issued_on", "due_on", "open_minor", "currency")
    cells = (
        (
            one.bill.bill,
            one.number,
            one.bill.party,
            one.bill.issued_on,
            one.bill.due_on,
            one.bill.open_minor,
            one.currency,
        )
        for one in bills
    )
    tie = None if name is None else tie_of_bills(hub.database, legal_entity=name)
    whole = {"aging": buckets, "bills": bills, "tie": tie}
    file = as_file(request, whole, name="receivables", header=header, rows=cells)
    if file is not None:
        return file
    currency = "EUR" if name is None else _currency(console, name)
    return console.page(
        request,
        "receivables.html",
        company=name,
        companies=_companies(console),
        currency=currency,
        bills=bills,
        count=count,
        parties=_parties(console, (one.root_id for one in bills)),
        tie=tie,
        buckets=buckets,
        total=sum(buckets.values()),
        picture=_ages(buckets, currency) if bills else None,
        today=today,
    )


def _ages(buckets: dict[str, int], currency: str) -> str:
    worth = words.money(Money(sum(buckets.values()), currency))
    columns = [_step(words.overdue(name), 0, minor, currency, stands=True) for name, minor in buckets.items()]
    described = f"{worth} are open, by days overdue."
    return steps(columns, name="ages", title="Open receivables by days overdue", described=described)


def _parties(console: Console, account_ids: Iterable[str]) -> dict[str, Party]:
    """Who the customers are, as the other pages name them."""
    with console.hub.database.read() as connection:
        return parties(connection, account_ids, as_of=console.hub.clock(), zone=console.zone)


#: Every page of the books.
PAGES = (books_page, journal_page, revenue_page, receivables_page)
