"""Commands that put into the books what no system tells: transactions by name, words about a bill, closing rates."""

import asyncio
from datetime import date
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from accordant.cli.ledger import Company, Month, month_of
from accordant.cli.ledger import books_app as books_app  # noqa: PLC0414  given on with what is added here
from accordant.cli.operate import Who
from accordant.cli.options import COMMON, Common, charter_in_force, opened_hub, opened_store, person
from accordant.cli.render import counted, emit, say, shown, table
from accordant.kernel.errors import ConfigurationError
from accordant.kernel.money import Money
from accordant.ledger.transactions import Transaction

if TYPE_CHECKING:
    from accordant.ledger.orders import TransactionOrder
    from accordant.operations.bill_desk import BillOrder
    from accordant.operations.word_desk import Ordered

_On = Annotated[date, Parameter(name="--on", help="The day it happened, as in 2027-01-31.")]
_Key = Annotated[str, Parameter(help="What names it: the same key again is the same order, posted once.")]
_Bill = Annotated[str, Parameter(help="The bill, as in billing:invoice/in_1.")]
_Try = Annotated[bool, Parameter(name="--dry-run", negative=(), help="Only say what would be posted.")]


@books_app.command
def post(
    transaction: Annotated[Transaction, Parameter(help="What it is.")],
    amounts: Annotated[list[str], Parameter(help="Its amounts by name, as in gross=100.00 fee=3.20.")],
    /,
    *,
    system: Annotated[str, Parameter(help="A system of the charter, in whose company's books it belongs.")],
    currency: Annotated[str, Parameter(help="The currency of the amounts, as in EUR.")],
    on: _On,
    key: _Key,
    text: Annotated[str, Parameter(help="What the journal says of it.")],
    customer: Annotated[str | None, Parameter(help="The billing customer's id, of a seller.")] = None,
    sister: Annotated[str | None, Parameter(help="The other legal entity that takes part.")] = None,
    withholding: Annotated[str | None, Parameter(help="The row of `books law` that says how much is kept.")] = None,
    to: Annotated[str | None, Parameter(help="Who is paid a commission, by the CRM's id.")] = None,
    dry_run: _Try = False,
    who: Who = None,
    common: Common = COMMON,
) -> int:
    """Post a transaction by its name, in the books of every company that takes part. Exit code 1 when it is refused."""
    from accordant.ledger.orders import TransactionOrder

    order = TransactionOrder(
        key=key,
        system=system,
        transaction=transaction,
        happened_on=on,
        currency=currency,
        amounts=_amounts(amounts),
        text=text,
        customer=customer,
        sister=sister,
        withholding=withholding,
        person=to,
        dry_run=dry_run,
    )
    return asyncio.run(_post(order, common, person(who, common=common)))


async def _post(order: "TransactionOrder", common: Common, by: str) -> int:
    from accordant.operations.order_transaction import TransactionDesk

    async with opened_hub(common) as hub:
        desk = TransactionDesk(hub.state, hub.inbox, rulebook=lambda: hub.rulebook, clock=hub.clock)
        done = await asyncio.to_thread(desk.order, order, by=by)
    return _tell(done, common)


@books_app.command(name="write-off")
def write_off(
    bill: _Bill,
    /,
    *,
    on: _On,
    reason: Annotated[str, Parameter(help="Why nobody will pay it.")],
    amount: Annotated[str | None, Parameter(help="How much of it; all that is open if it is left out.")] = None,
    key: _Key = "write-off",
    who: Who = None,
    common: Common = COMMON,
) -> int:
    """Write off what is open of a bill: what was earned is bad debt, the rest never was. Exit code 1 when refused."""
    from accordant.operations.bill_desk import BillOrder, BillWord

    order = BillOrder(word=BillWord.WRITTEN_OFF, bill=bill, key=key, happened_on=on, reason=reason, amount=amount)
    return asyncio.run(_say(order, common, person(who, common=common)))


@books_app.command
def collected(
    bill: _Bill,
    /,
    *,
    by: Annotated[str, Parameter(help="The legal entity to whose bank the money came.")],
    on: _On,
    reason: Annotated[str, Parameter(help="How it came there.")],
    amount: Annotated[str | None, Parameter(help="How much; all that is open if it is left out.")] = None,
    key: _Key = "collected",
    who: Who = None,
    common: Common = COMMON,
) -> int:
    """Settle a bill that the customer paid to a sister company, in both companies' books. Exit code 1 when refused."""
    from accordant.operations.bill_desk import BillOrder, BillWord

    word = BillWord.COLLECTED_BY_SISTER
    order = BillOrder(word=word, bill=bill, key=key, happened_on=on, reason=reason, amount=amount, sister=by)
    return asyncio.run(_say(order, common, person(who, common=common)))


@books_app.command
def draw(
    bill: _Bill,
    amount: Annotated[str, Parameter(help="How much was used, as in 10.00, in the bill's currency.")],
    /,
    *,
    on: _On,
    key: _Key,
    reason: Annotated[str, Parameter(help="What it was used for.")],
    who: Who = None,
    common: Common = COMMON,
) -> int:
    """Earn prepaid credits of a bill that were used. Exit code 1 when refused."""
    from accordant.operations.bill_desk import BillOrder, BillWord

    order = BillOrder(word=BillWord.CREDITS_DRAWN, bill=bill, key=key, happened_on=on, reason=reason, amount=amount)
    return asyncio.run(_say(order, common, person(who, common=common)))


@books_app.command
def progress(
    bill: _Bill,
    done: Annotated[str, Parameter(help="Per cent, as in 51.2, or the cost so far by all expected: 420000/820000.")],
    /,
    *,
    on: _On,
    key: _Key,
    reason: Annotated[str, Parameter(help="How it was measured.")],
    price: Annotated[str | None, Parameter(help="What the whole project comes to, where not all is billed.")] = None,
    product: Annotated[str | None, Parameter(help="Its product, where the bill sells several projects.")] = None,
    who: Who = None,
    common: Common = COMMON,
) -> int:
    """Say how far the project of a bill is: so much of its price is earned by then. Exit code 1 when refused."""
    from accordant.canonical.words import ContractTerms
    from accordant.operations.bill_desk import BillOrder, BillWord

    terms = ContractTerms(progress=done, product=product)
    word = BillWord.PROGRESS_MEASURED
    order = BillOrder(word=word, bill=bill, key=key, happened_on=on, reason=reason, amount=price, terms=terms)
    return asyncio.run(_say(order, common, person(who, common=common)))


@books_app.command
def ramp(
    subscription: Annotated[str, Parameter(help="The subscription, as in billing:subscription/sub_1.")],
    price: Annotated[str, Parameter(help="What all its steps come to together, without tax, as in 450000.00.")],
    /,
    *,
    starts: Annotated[date, Parameter(name="--from", help="The first day of the whole term, as in 2027-01-01.")],
    ends: Annotated[date, Parameter(name="--until", help="The first day after it, as in 2030-01-01.")],
    on: _On,
    key: _Key,
    reason: Annotated[str, Parameter(help="Where it was agreed, as in the order form's number.")],
    who: Who = None,
    common: Common = COMMON,
) -> int:
    """Say that a subscription's steps of price are for an equal service: all of it is earned evenly over the term. Said
    again, it is an amendment from that day on. Exit code 1 when refused.
    """
    from accordant.canonical.words import ContractTerms
    from accordant.operations.bill_desk import BillOrder, BillWord

    terms, word = ContractTerms(starts_on=starts, ends_on=ends), BillWord.RAMP_AGREED
    order = BillOrder(word=word, bill=subscription, key=key, happened_on=on, reason=reason, amount=price, terms=terms)
    return asyncio.run(_say(order, common, person(who, common=common)))


@books_app.command
def withdraw(
    event: Annotated[str, Parameter(help="The event of what was said, as `books held` and `books journal` name it.")],
    /,
    *,
    reason: Annotated[str, Parameter(help="Why it does not hold.")],
    who: Who = None,
    common: Common = COMMON,
) -> int:
    """Take back what a person said of a bill or ordered: cancelled where it is posted, no longer waiting where held."""
    return asyncio.run(_withdraw(common, event, reason, person(who, common=common)))


async def _withdraw(common: Common, event: str, reason: str, by: str) -> int:
    from accordant.operations.withdraw import WithdrawalDesk

    async with opened_hub(common) as hub:
        desk = WithdrawalDesk(hub.state, hub.inbox, rulebook=lambda: hub.rulebook, clock=hub.clock)
        done = await asyncio.to_thread(desk.withdraw, event, reason, by=by)
    if common.json or done.refusals:
        return _tell(done, common)
    say("It is withdrawn." if done.outcome.value == "posted" else "It was withdrawn before.")
    return 0


async def _say(order: "BillOrder", common: Common, by: str) -> int:
    from accordant.operations.bill_desk import BillDesk

    async with opened_hub(common) as hub:
        desk = BillDesk(hub.state, hub.inbox, rulebook=lambda: hub.rulebook, clock=hub.clock)
        done = await asyncio.to_thread(desk.say, order, by=by)
    return _tell(done, common)


@books_app.command
def revalue(company: Company, month: Month, /, *, common: Common = COMMON) -> int:
    """Bring what is owed and held in other currencies to the closing rate of a month; the next month begins by
    cancelling it. Run again, it posts what has changed since. Exit code 1 when a rate or a row is missing.
    """
    return asyncio.run(_revalue(common, company, month_of(month)))


async def _revalue(common: Common, company: str, month_on: date) -> int:
    async with opened_hub(common) as hub:
        done = await asyncio.to_thread(hub.bookkeeper.revalue, company, month_on)
        ledger = hub.rulebook.ledger
    if common.json:
        emit(done)
    elif done.refusals:
        for refusal in done.refusals:
            say(str(refusal))
    elif ledger is not None:
        worth = shown(Money(abs(done.minor), ledger.part.legal_entities[company].currency))
        if done.entries:
            outcome = "lost" if done.minor < 0 else "gained"
            say(f"{worth} {outcome} by the closing rate, in {counted(len(done.entries), 'entry', 'entries')}.")
        else:
            say("Everything owed and held in other currencies is at the closing rate.")
    return 1 if done.refusals else 0


@books_app.command
def law(*, common: Common = COMMON) -> int:
    """What the law fixes, by day: the rows that transactions may name, each with its source."""
    from accordant.ledger.law import law_facts

    rows = law_facts()
    if common.json:
        emit({"facts": rows})
        return 0
    table(
        "What the law fixes",
        ("Name", "Value", "From", "Until", "Source"),
        ((one.name, one.value, one.from_on, one.until_on or "in force", one.source) for one in rows),
        whole=("From", "Until"),
    )
    return 0


@books_app.command
def changes(*, common: Common = COMMON) -> int:
    """What billing invoiced for changes in mid-term, held against its rule. Exit code 1 when a line differs."""
    from zoneinfo import ZoneInfo

    from accordant.views.prorations import checked_changes

    with opened_store(common) as database:
        charter = charter_in_force(database)
        if charter is None or charter.ledger is None:
            raise ConfigurationError("The charter in force keeps no books.", remedy="Add `ledger` to it.")
        found = checked_changes(database, charter.ledger, zone=ZoneInfo(charter.timezone))
    off = [one for one in found if one.difference is not None and not one.difference.agrees]
    if common.json:
        emit({"changes": found, "off": len(off)})
        return 1 if off else 0
    table(
        "Changes in mid-term",
        ("Changed", "Bill", "Given back", "Asked for", "Off", "Why"),
        (
            (
                one.changed_at,
                one.number or one.bill,
                shown(one.credit),
                shown(one.charge),
                "" if one.difference is None else shown(one.difference.credit + one.difference.charge),
                one.unknown if one.difference is None else one.difference.why,
            )
            for one in found
        ),
        right=("Given back", "Asked for", "Off"),
    )
    say(f"{shown(len(off))} of {shown(len(found))} differ from the rule.")
    return 1 if off else 0


def _amounts(given: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for one in given:
        name, equals, amount = one.partition("=")
        if not equals or name in found:
            raise ConfigurationError(f"{one!r} is no amount by name.", remedy="Write each once, as in gross=100.00.")
        found[name] = amount
    return found


def _tell(done: "Ordered", common: Common) -> int:
    refused = done.outcome.value in {"refused", "key_reused", "held"}
    if common.json:
        emit(done)
        return 1 if refused else 0
    for refusal in done.refusals:
        say(str(refusal))
    for entry in (done.entry, done.sister):
        if entry is not None:
            worth = shown(Money(entry.total_minor, entry.currency))
            say(f"{done.outcome.value.replace('_', ' ')}: {entry.id}, {worth} in {entry.legal_entity}.")
    if done.entry is None and done.outcome.value in {"posted", "repeat"}:
        say("noted: from that day on it is earned so, with the next `accordant books recognise`.")
    if done.outcome.value == "held":
        say("It is taken and held: it is posted once nothing of this stands in its way, or withdrawn.")
    if done.outcome.value == "key_reused":
        say("The key stands for something else. Give this one a key of its own.")
    return 1 if refused else 0
