"""How contracts are earned that are not earned as they are billed: ramps as they were agreed, projects by progress.

Neither posts anything by itself: it says how what is billed is earned, and a month's end posts that.
"""

from datetime import date, datetime, time

from accordant.canonical.entities import Subscription
from accordant.canonical.words import ContractTerms
from accordant.kernel.money import Money
from accordant.ledger.bills import Bill
from accordant.ledger.contracts import Contract, progress_of
from accordant.ledger.exchange import converted
from accordant.ledger.meanings.asking import Ask, Occurrence, refused
from accordant.ledger.meanings.reading import Reading, ramp_name
from accordant.ledger.schedule import RevenueSchedule, Span


def ramp_agreed(told: Occurrence, reading: Reading) -> Ask | None:
    """All of a subscription comes to so much over a term, equal from day to day, whatever its steps are billed at.

    Said again, it is an amendment: what is not earned yet is earned over what is left. Source: ASC 606-10-55-184,
    606-10-25-13(a).
    """
    event, terms = told.event, _terms(told)
    subscription = reading.objects.get(event.subject)
    if not isinstance(subscription, Subscription):
        return refused("its subscription is not known", "Let its own event come first.", waits_for=event.subject)
    if event.amount is None or terms is None or terms.starts_on is None or terms.ends_on is None:
        return refused("its price or its term is not said", "Say it again with both.")
    ended_on = _ended_on(subscription, reading)
    if ended_on is not None and ended_on <= told.day:
        return refused(f"its subscription ended on {ended_on}", "Nothing more can be agreed of it.")
    contract = reading.contracts.get(str(event.subject)) or _begun(told, reading, subscription)
    if isinstance(contract, Ask):
        return contract
    refusal = _not_agreed(contract, event.amount)
    if refusal is not None:
        return refusal
    zone = reading.setting.zone
    starts_at, ends_at = (datetime.combine(day, time(), zone) for day in (terms.starts_on, terms.ends_on))
    if contract.name not in reading.contracts:
        reading.contracts[contract.name] = contract
        contract.take_over()
    contract.ended_on = ended_on if ended_on is not None and ended_on < terms.ends_on else None
    contract.agree(told.day, event.amount.amount_minor, starts_at=starts_at, ends_at=ends_at)
    return None


def progress_measured(told: Occurrence, reading: Reading) -> Ask | None:
    """A project is so far: as much of its price as it is now is earned by the end of that day.

    With an amount its whole price is that, also where not all of it is billed. Source: ASC 606-10-25-31, 25-13(b).
    """
    event, terms = told.event, _terms(told)
    bill = reading.posted_bill(event.subject, "the bill")
    if isinstance(bill, Ask):
        return bill
    wanted = None if terms is None else terms.product
    names = [one.contract for one in bill.schedules if one.by_progress and wanted in {None, one.product}]
    found = [reading.contracts[name] for name in dict.fromkeys(names) if name is not None]
    if bill.is_void or not found:
        return refused("the bill has no such project", "Say under ledger.services which products are projects.")
    if len(found) > 1:
        sold = ", ".join(str(one.unbilled.product) for one in found)
        return refused(f"the bill has several projects ({sold})", "Name the product.")
    (contract,) = found
    try:
        progress = progress_of("" if terms is None or terms.progress is None else terms.progress)
    except ValueError:
        return refused("its progress is not between nothing and all", "Write it as in 51.2 or 420000/820000.")
    if event.amount is not None:
        refusal = _not_agreed(contract, event.amount)
        if refusal is not None:
            return refusal
        contract.price_at(event.amount.amount_minor)
    contract.progress = progress
    contract.measure(told.day)
    return None


def _terms(told: Occurrence) -> ContractTerms | None:
    return None if told.event.said is None else told.event.said.terms


def _not_agreed(contract: Contract, price: Money) -> Ask | None:
    """Why a price cannot be that of all of a contract."""
    if price.currency != contract.unbilled.currency:
        return refused(f"it is billed in {contract.unbilled.currency}", "Say the price in that currency.")
    if price.amount_minor < contract.billed:
        billed = Money(contract.billed, price.currency)
        return refused(f"{price} is agreed and {billed} is billed", "Credit at billing what is too much, then say it.")
    return None


def _ended_on(subscription: Subscription, reading: Reading) -> date | None:
    ended = subscription.ended_at if subscription.status == "canceled" else None
    return None if ended is None else ended.astimezone(reading.setting.zone).date()


def _begun(told: Occurrence, reading: Reading, subscription: Subscription) -> Contract | Ask:
    """A ramp nobody agreed on before, with the lines that were billed for it already."""
    event, setting, amount = told.event, reading.setting, told.event.amount
    assert amount is not None  # noqa: S101  the caller has looked; said for the type checker
    own, price = told.books.chart.currency, amount.amount_minor
    rate = reading.rate(amount.currency, told.books, told.day)
    if rate is None and amount.currency != own:
        return refused(f"no rate from {amount.currency} into {own} is known", "Load the rates of that day.")
    products = {one.product_id for one in subscription.items}
    product = products.pop() if len(products) == 1 else None
    at = datetime.combine(told.day, time(), setting.zone)
    unbilled = RevenueSchedule(
        line=f"subscription/{event.subject.id}/unbilled",
        currency=amount.currency,
        spans=(Span(starts_at=at, ends_at=at, minor=0),),
        grain=setting.grains.get(product or "", setting.grain),
        zone=setting.zone,
        product=product,
        billed_minor=price,
        booked_minor=price if rate is None else converted(price, rate),
        contract=str(event.subject),
    )
    contract = Contract(name=str(event.subject), books=told.books, agreed_on=told.day, unbilled=unbilled)
    for bill in reading.bills.values():
        for nth in range(len(bill.schedules)):
            if _is_of(contract, bill, nth, told, reading):
                contract.put(bill, nth)
    return contract


def _is_of(contract: Contract, bill: Bill, at: int, told: Occurrence, reading: Reading) -> bool:
    """Whether a line that was billed before anything was agreed is part of what is agreed now."""
    line, schedule, terms, zone = bill.lines[at], bill.schedules[at], _terms(told), reading.setting.zone
    assert terms is not None  # noqa: S101  the caller has looked; said for the type checker
    starts = line.period_starts_at or datetime.combine(bill.booked_on, time(), zone)
    return (
        ramp_name(bill.ref.system, line.subscription_id) == contract.name
        and not bill.is_void
        and schedule.contract is None
        and not schedule.is_usage
        and schedule.currency == contract.unbilled.currency
        and (terms.starts_on or date.max) <= starts.astimezone(zone).date() < (terms.ends_on or date.min)
    )
