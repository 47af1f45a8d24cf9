"""Commands about the books: what the stored history would post by the charter's ledger part, and what it could not."""

from collections import Counter
from datetime import date, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, assert_never
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cyclopts import App, Parameter

from accordant.canonical.books import ProrationRule
from accordant.cli.options import COMMON, Common, charter_in_force, now, opened_store
from accordant.cli.render import emit, say, shown, table
from accordant.kernel.errors import ConfigurationError
from accordant.kernel.money import Money
from accordant.ledger.tables import AS_IT_STANDS, TableName

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from accordant.canonical.charter import Charter
    from accordant.ledger.draft import Draft
    from accordant.ledger.entries import JournalEntry

books_app = App(
    name="books",
    help="The books as they are kept: journal, trial balance, what is held, month ends; and what a history would post.",
)


class LedgerFormat(StrEnum):
    """How the ledger is written out."""

    BEANCOUNT = "beancount"
    HLEDGER = "hledger"
    CSV = "csv"
    XLSX = "xlsx"
    PARQUET = "parquet"


_Until = Annotated[date | None, Parameter(help="The last day that is read; yesterday if it is left out.")]


@books_app.command
def draft(*, until: _Until = None, common: Common = COMMON) -> int:
    """Trial balance of the books that history would make, and what could not be posted, with the row that is missing.

    Exit code 1 when something could not be posted.
    """
    from accordant.ledger.balances import trial_balance

    made, charter = _draft(common, until)
    rows = trial_balance(made.entries)
    if common.json:
        emit({"entries": len(made.entries), "trial_balance": rows, "unposted": made.unposted})
        return 1 if made.unposted else 0
    names = _account_names(charter)
    table(
        "Trial balance of the draft",
        ("Legal entity", "Account", "Name", "Debit", "Credit", "Balance"),
        (
            (
                row.legal_entity,
                row.account,
                names[row.legal_entity, row.account],
                *(
                    shown(Money(minor, row.currency))
                    for minor in (row.debit_minor, row.credit_minor, row.balance_minor)
                ),
            )
            for row in rows
        ),
        right=("Debit", "Credit", "Balance"),
        whole=("Account",),
    )
    off = Counter[str]()
    for row in rows:
        off[row.currency] += row.balance_minor
    balanced = "balance" if not any(off.values()) else "do NOT balance"
    say(f"{shown(len(made.entries))} entries; debits and credits {balanced}. Nothing was posted: this is a draft.")
    _tell_unposted(made)
    return 1 if made.unposted else 0


@books_app.command
def export(
    file: Annotated[Path, Parameter(help="Where to write it; an existing file is replaced.")],
    /,
    *,
    format_: Annotated[LedgerFormat, Parameter(name="--format", help="beancount, hledger, csv, xlsx or parquet.")],
    table_: Annotated[
        TableName, Parameter(name="--table", help="journal, trial-balance, waterfall, roll-forward, aging or payouts.")
    ] = TableName.JOURNAL,
    draft_: Annotated[bool, Parameter(name="--draft", negative=(), help="What history would post, instead.")] = False,
    until: _Until = None,
    common: Common = COMMON,
) -> int:
    """Write the books as other programs read them: the entries that are posted or those of the draft, or one table.

    Amounts are exact decimals beside their currency. xlsx and parquet need the extra accordant[tables].
    """
    _check_export(format_, table_, is_draft=draft_, until=until)
    if table_ is not TableName.JOURNAL:
        count = _write_table(common, table_, format_, file, until)
        if common.json:
            emit({"file": str(file), "table": table_, "rows": count})
        else:
            say(f"{shown(count)} rows of the {table_.value} are in {file}.")
        return 0
    if not draft_:
        count = _write_posted(common, format_, file, until)
        if common.json:
            emit({"file": str(file), "entries": count, "unposted": 0})
        else:
            say(f"{shown(count)} entries are in {file}.")
        return 0
    made, charter = _draft(common, until)
    opened_on = min((entry.posted_on for entry in made.entries), default=None)
    _write_entries(made.entries, charter, format_, file, opened_on)
    if common.json:
        emit({"file": str(file), "entries": len(made.entries), "unposted": len(made.unposted)})
        return 0
    say(f"{shown(len(made.entries))} entries are in {file}.")
    _tell_unposted(made)
    return 0


def _check_export(format_: LedgerFormat, table_: TableName, *, is_draft: bool, until: date | None) -> None:
    if table_ is TableName.JOURNAL:
        return
    if format_ in {LedgerFormat.BEANCOUNT, LedgerFormat.HLEDGER}:
        raise ConfigurationError(
            f"The {table_.value} is not written as {format_.value}: that is a form for entries.",
            remedy="Take --format csv, xlsx or parquet, or --table journal.",
        )
    if is_draft:
        raise ConfigurationError(
            f"A draft has a journal and no {table_.value} of its own.", remedy="Leave --draft or --table out."
        )
    if until is not None and table_ in AS_IT_STANDS:
        raise ConfigurationError(f"The {table_.value} is kept as it stands today.", remedy="Leave --until out.")


def _write_posted(common: Common, format_: LedgerFormat, file: Path, until: date | None) -> int:
    """Write the ledger as it is kept, entry by entry, however large it is; how many entries."""
    from accordant.views.books import LedgerMissing
    from accordant.views.journal import every_entry, first_posted_on

    count = 0

    def counted(entries: "Iterator[JournalEntry]") -> "Iterator[JournalEntry]":
        nonlocal count
        for count, entry in enumerate(entries, 1):  # noqa: B007  kept for who asked
            yield entry

    with opened_store(common) as database:
        charter = charter_in_force(database)
        if charter is None or charter.ledger is None:
            raise LedgerMissing
        entries = counted(every_entry(database, until=until))
        _write_entries(entries, charter, format_, file, first_posted_on(database))
    return count


def _write_entries(
    entries: "Iterable[JournalEntry]", charter: "Charter", format_: LedgerFormat, file: Path, opened_on: date | None
) -> None:
    from accordant.ledger.export import beancount, hledger
    from accordant.ledger.setting import chart_of
    from accordant.ledger.tables import journal_table
    from accordant.operations.table_files import TableFormat, write_lines, write_table

    assert charter.ledger is not None  # noqa: S101  whoever read the entries has refused a charter without one
    charts = [chart_of(name, entity) for name, entity in charter.ledger.legal_entities.items()]
    opened = opened_on or now().date()
    match format_:
        case LedgerFormat.BEANCOUNT:
            write_lines(beancount(entries, charts, opened_on=opened), file)
        case LedgerFormat.HLEDGER:
            write_lines(hledger(entries, charts), file)
        case LedgerFormat.CSV | LedgerFormat.XLSX | LedgerFormat.PARQUET:
            write_table(journal_table(entries), TableFormat(format_.value), file)
        case _:
            assert_never(format_)


def _write_table(common: Common, name: TableName, format_: LedgerFormat, file: Path, until: date | None) -> int:
    from accordant.operations.table_files import TableFormat, write_table
    from accordant.views.book_tables import book_table
    from accordant.views.books import LedgerMissing

    with opened_store(common) as database:
        charter = charter_in_force(database)
        if charter is None or charter.ledger is None:
            raise LedgerMissing
        last = until or now().astimezone(ZoneInfo(charter.timezone)).date()
        return write_table(book_table(database, charter.ledger, name, until=last), TableFormat(format_.value), file)


@books_app.command
def prorate(
    *,
    old: Annotated[str, Parameter(help="The price of a whole period before the change, as in 49.00.")],
    new: Annotated[str, Parameter(help="The price of a whole period after it.")],
    currency: Annotated[str, Parameter(help="Code of ISO 4217, as in EUR.")],
    starts: Annotated[datetime, Parameter(help="When the paid period starts, as in 2027-01-31T00:00:00.")],
    ends: Annotated[datetime, Parameter(help="When it ends, not included.")],
    at: Annotated[datetime, Parameter(help="When the price changed.")],
    rule: Annotated[ProrationRule, Parameter(help="How billing counts time.")] = ProrationRule.SECOND,
    zone: Annotated[str, Parameter(help="Time zone of the days, as in Europe/Berlin.")] = "UTC",
    credit: Annotated[str | None, Parameter(help="What billing gave back for the old price, zero or negative.")] = None,
    charge: Annotated[str | None, Parameter(help="What billing asked for the new price.")] = None,
    common: Common = COMMON,
) -> int:
    """What a change in mid-term costs by a billing system's rule, and why the lines it invoiced differ.

    Exit code 1 when they do.
    """
    from accordant.ledger.prorate import MidTermChange, explain
    from accordant.ledger.prorate import prorate as by_rule

    place = _zone(zone)
    starts_at, ends_at, changed_at = (_in_zone(moment, place) for moment in (starts, ends, at))
    change = MidTermChange(
        currency=currency,
        old_minor=Money.parse(old, currency).amount_minor,
        new_minor=Money.parse(new, currency).amount_minor,
        starts_at=starts_at,
        ends_at=ends_at,
        changed_at=changed_at,
        zone=place,
    )
    right = by_rule(change, rule)
    told = None
    if credit is not None and charge is not None:
        told = explain(change, rule, credit=Money.parse(credit, currency), charge=Money.parse(charge, currency))
    if common.json:
        emit({"lines": right, "net": right.net, "invoiced": told})
    else:
        part = f"{shown(right.remaining)} of {shown(right.whole)} {rule.value.replace('_', ' ')}s"
        say(f"{part} are left: {shown(right.credit)} and {shown(right.charge)}, {shown(right.net)} in all.")
        if told is not None:
            say(told.why)
    return 0 if told is None or told.agrees else 1


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise ConfigurationError(f"There is no time zone {name!r}.", remedy="Use a name as in Europe/Berlin.") from None


def _in_zone(moment: datetime, zone: ZoneInfo) -> datetime:
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)


def _draft(common: Common, until: date | None) -> "tuple[Draft, Charter]":
    from accordant.views.books import draft_books

    moment = now()
    before_on = moment.date() if until is None else until + timedelta(days=1)
    with opened_store(common) as database:
        charter = charter_in_force(database)
        if charter is None:
            raise ConfigurationError(
                "This store has worked under no charter yet.", remedy="Run `accordant serve` once."
            )
        return draft_books(database, charter, before_on=before_on, now=moment), charter


def _account_names(charter: "Charter") -> dict[tuple[str, str], str]:
    entities = {} if charter.ledger is None else charter.ledger.legal_entities
    return {
        (name, code): account.name for name, entity in entities.items() for code, account in entity.accounts.items()
    }


def _tell_unposted(made: "Draft") -> None:
    """Reasons first, with how many events each keeps out: one missing row is usually the reason for many."""
    reasons = Counter(str(refusal) for one in made.unposted for refusal in one.refusals)
    table(
        "Not posted",
        ("Events", "Why, and what to do"),
        ((shown(count), reason) for reason, count in reasons.most_common()),
        right=("Events",),
    )
