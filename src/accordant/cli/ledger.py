"""Commands about the books that are kept: what was posted, what is held, and the end of a month."""

import asyncio
import re
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from accordant.cli.books import books_app as books_app  # noqa: PLC0414  given on with what is added here
from accordant.cli.operate import Who
from accordant.cli.options import COMMON, Common, charter_in_force, now, opened_hub, opened_store, person
from accordant.cli.render import counted, emit, say, shown, table
from accordant.kernel.errors import ConfigurationError
from accordant.kernel.money import Money
from accordant.ledger.modify import reasons_of

if TYPE_CHECKING:
    from accordant.ledger.periods import Period
    from accordant.views.journal import JournalRow

Company = Annotated[str, Parameter(help="The legal entity, as in the charter.")]
Month = Annotated[str, Parameter(help="The month, as in 2027-01.")]
_Until = Annotated[date | None, Parameter(help="The last day that counts; all of them if it is left out.")]
_Only = Annotated[str | None, Parameter(name="--company", help="One legal entity; all of them if it is left out.")]


@books_app.command
def journal(
    entry: Annotated[str | None, Parameter(help="One entry, by its id; the latest if it is left out.")] = None,
    /,
    *,
    company: _Only = None,
    account: Annotated[str | None, Parameter(help="Only entries that touch this account.")] = None,
    bill: Annotated[str | None, Parameter(help="Only entries of this bill, as in billing:invoice/in_1.")] = None,
    customer: Annotated[str | None, Parameter(help="Only entries of this customer, by its id in any system.")] = None,
    system: Annotated[str | None, Parameter(help="Only what follows from events of this system.")] = None,
    month: Annotated[str | None, Parameter(help="Only what is posted in this month, as in 2027-01.")] = None,
    after: Annotated[str | None, Parameter(help="Go on behind this place, as the answer before named it.")] = None,
    limit: Annotated[int, Parameter(help="How many at most.")] = 20,
    common: Common = COMMON,
) -> int:
    """Entries with their lines, the event behind each, and what became of it at the ERP. Exit code 1 without any."""
    from accordant.views.journal import JournalAsked, read_journal

    asked = JournalAsked(
        company=company,
        account=account,
        bill=bill,
        entry=entry,
        customer=customer,
        system=system,
        month_on=None if month is None else month_of(month),
        after=after,
    )
    with opened_store(common) as database:
        page = read_journal(database, asked, limit=limit)
    if common.json:
        emit(page)
        return 0 if page.entries else 1
    for row in page.entries:
        _tell_entry(row)
    if not page.entries:
        say("No such entry is in the books.")
    if page.further is not None:
        say(f"There are more: go on with --after {page.further}")
    return 0 if page.entries else 1


def _tell_entry(row: "JournalRow") -> None:
    entry = row.entry
    late = "" if entry.posted_on == entry.effective_on else f", for {entry.effective_on}"
    table(
        f"{entry.text} ({entry.legal_entity}, {entry.posted_on}{late})",
        ("Account", "Debit", "Credit", "For", "Party"),
        (
            (
                line.account,
                shown(Money(line.debit_minor, entry.currency)) if line.debit_minor else "",
                shown(Money(line.credit_minor, entry.currency)) if line.credit_minor else "",
                "" if line.role is None else line.role.value.replace("_", " "),
                line.party or "",
            )
            for line in entry.postings
        ),
        right=("Debit", "Credit"),
        whole=("Account",),
    )
    say(f"{entry.id}: {entry.cause.rule} of {entry.cause.subject}, event {entry.cause.event}.")
    for reason in reasons_of(line.dimensions.get("treatment") for line in entry.postings):
        say(f"A change in mid-term. {reason}")
    for sent in row.sent:
        why = f": {sent.reason}" if sent.reason else ""
        say(f"{sent.target} {sent.object}: {sent.state.value}{why}" + (f", {sent.target_id}" if sent.target_id else ""))


@books_app.command(name="trial-balance")
def trial_balance(*, company: _Only = None, until: _Until = None, common: Common = COMMON) -> int:
    """Debits and credits of each account as they are posted. Exit code 1 when they do not balance."""
    from accordant.views.journal import trial_balance as read

    before_on = None if until is None else until + timedelta(days=1)
    with opened_store(common) as database:
        rows = read(database, legal_entity=company, before_on=before_on)
        charter = charter_in_force(database)
    off: dict[str, int] = {}
    for row in rows:
        off[row.legal_entity] = off.get(row.legal_entity, 0) + row.balance_minor
    if common.json:
        emit({"trial_balance": rows, "off": off})
        return 1 if any(off.values()) else 0
    parts = {} if charter is None or charter.ledger is None else charter.ledger.legal_entities
    names = {(name, code): one.name for name, part in parts.items() for code, one in part.accounts.items()}
    table(
        "Trial balance",
        ("Legal entity", "Account", "Name", "Debit", "Credit", "Balance"),
        (
            (
                row.legal_entity,
                row.account,
                names.get((row.legal_entity, row.account), ""),
                *(shown(Money(one, row.currency)) for one in (row.debit_minor, row.credit_minor, row.balance_minor)),
            )
            for row in rows
        ),
        right=("Debit", "Credit", "Balance"),
        whole=("Account",),
    )
    say("Debits and credits do NOT balance." if any(off.values()) else "Debits and credits balance.")
    return 1 if any(off.values()) else 0


@books_app.command
def held(
    *,
    try_now: Annotated[bool, Parameter(name="--try", negative=(), help="Post what can be posted now first.")] = False,
    limit: Annotated[int, Parameter(help="How many at most.")] = 20,
    common: Common = COMMON,
) -> int:
    """What is not in the books, why, and what to do. Exit code 1 when anything is."""
    if try_now:
        asyncio.run(_try_now(common))
    from accordant.views.journal import held_postings

    with opened_store(common) as database:
        count, rows = held_postings(database, limit=limit)
    if common.json:
        emit({"held": count, "postings": rows})
        return 1 if count else 0
    table(
        f"{shown(count)} events are held",
        ("Day", "Event", "Of", "Why, and what to do"),
        ((row.happened_on, f"{row.type} {row.event}", row.subject, " ".join(map(str, row.reasons))) for row in rows),
        whole=("Day",),
    )
    if not count:
        say("Everything that means something to the books is posted.")
    return 1 if count else 0


async def _try_now(common: Common) -> None:
    async with opened_hub(common) as hub:
        done = await asyncio.to_thread(hub.bookkeeper.catch_up)
    if common.json:
        return
    say(
        f"{shown(done.posted)} of {shown(done.tried)} held events are posted; {shown(done.read)} of the past were read."
    )


@books_app.command
def recognise(company: Company, month: Month, /, *, common: Common = COMMON) -> int:
    """Recognise what is earned by the end of a month; run again, it goes on where it stopped.

    Exit code 1 when a row is missing for it.
    """
    return asyncio.run(_recognise(common, company, month_of(month)))


async def _recognise(common: Common, company: str, month_on: date) -> int:
    async with opened_hub(common) as hub:
        done = await asyncio.to_thread(hub.bookkeeper.recognise, company, month_on)
    if common.json:
        emit(done)
    else:
        worth = ", ".join(shown(Money(minor, currency)) for currency, minor in done.minor.items())
        lines, entries = counted(done.lines, "line"), counted(done.entries, "entry", "entries")
        say(f"{worth} of {lines} recognised, in {entries}." if done.lines else "Nothing is left to recognise.")
        for refusal in done.refusals:
            say(str(refusal))
    return 1 if done.refusals else 0


@books_app.command(name="to-close")
def to_close(*, company: _Only = None, common: Common = COMMON) -> int:
    """Which month of each company is closed next, what it lacks and what to do. Exit code 1 if something is missing."""
    return asyncio.run(_to_close(common, company))


async def _to_close(common: Common, company: str | None) -> int:
    async with opened_hub(common) as hub:
        names = list(hub.bookkeeper.legal_entities) if company is None else [company]
        found = [await asyncio.to_thread(hub.bookkeeper.to_close, name) for name in names]
    months = [one for one in found if one is not None]
    if common.json:
        emit({"months": months})
    for one in () if common.json else months:
        say(f"{one.legal_entity}: {one.month_on:%Y-%m} is closed next; {counted(one.waiting, 'month')} over and open.")
        for step in one.missing:
            say(f"  {step.what} {step.remedy}")
        if not one.missing:
            say(f'  Nothing is missing. Run `accordant books close "{one.legal_entity}" {one.month_on:%Y-%m}`.')
    if not (months or common.json):
        say("No month with anything in it is over and open.")
    return 1 if any(one.missing for one in months) else 0


@books_app.command
def close(company: Company, month: Month, /, *, who: Who = None, common: Common = COMMON) -> int:
    """Close a month: nothing is posted into it any more, what comes late goes into the next that is open."""
    return asyncio.run(_close(common, company, month_of(month), person(who, common=common)))


async def _close(common: Common, company: str, month_on: date, by: str) -> int:
    async with opened_hub(common) as hub:
        *before, period = await asyncio.to_thread(hub.bookkeeper.close, company, month_on, by=by)
    empty = ""
    if before:
        empty = f", and with it {counted(len(before), 'month')} from {before[0].starts_on:%Y-%m} on without an entry"
    _tell_period(period, common, f"{period.starts_on:%Y-%m} of {company} is closed, by {by}{empty}.")
    return 0


@books_app.command
def reopen(company: Company, month: Month, /, *, who: Who = None, common: Common = COMMON) -> int:
    """Open a closed month again. It takes two people: the first asks, the second opens."""
    return asyncio.run(_reopen(common, company, month_of(month), person(who, common=common)))


async def _reopen(common: Common, company: str, month_on: date, by: str) -> int:
    async with opened_hub(common) as hub:
        period = await asyncio.to_thread(hub.bookkeeper.reopen, company, month_on, by=by)
    opened = period.state.value == "open"
    told = (
        f"is open again, by {' and '.join(period.reopened_by)}" if opened else f"waits for a second person after {by}"
    )
    _tell_period(period, common, f"{period.starts_on:%Y-%m} of {company} {told}.")
    return 0


def _tell_period(period: "Period", common: Common, text: str) -> None:
    if common.json:
        emit(period)
    else:
        say(text)


def month_of(text: str) -> date:
    """The first day of a month as people write it. Raises ConfigurationError."""
    if re.fullmatch(r"\d{4}-\d{2}", text):
        try:
            return date.fromisoformat(f"{text}-01")
        except ValueError:
            pass
    raise ConfigurationError(f"{text!r} is no month.", remedy="Write it as in 2027-01.")


@books_app.command
def rates(
    file: Annotated[Path, Parameter(help="eurofxref-hist.zip or .csv, as the European Central Bank publishes it.")],
    /,
    *,
    who: Who = None,
    common: Common = COMMON,
) -> int:
    """Keep reference rates that came out after those that ship. What waits for one is posted by the next round."""
    from accordant.store.kept_rates import keep_rates

    try:
        body = file.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"{file} cannot be read: {error.strerror}.", remedy="Give the downloaded file."
        ) from error
    with opened_store(common) as database:
        kept = keep_rates(database, body, actor=person(who, common=common), now=now())
    if common.json:
        emit(kept)
    else:
        say(f"{kept.lists:,} lists are new; the newest that is known is of {kept.newest_on}.")
    return 0
