"""Recounts, from the billing system's own API and in plain lines, what Salesforce should show of each customer.

It shares nothing with the hub on purpose: neither its entities nor its figures, so that the two can disagree.
Next: `report.py`, which compares.
"""

import json
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import Any

import msgspec

from accordant.demo.stage import Stage

Object = dict[str, Any]
#: What a field should show; None is an empty field.
Shown = str | int | bool | Decimal | None

_ACCOUNT_WORDS = {
    "active": "Active",
    "trialing": "Trial",
    "past_due": "Past due",
    "unpaid": "Unpaid",
    "paused": "Paused",
    "incomplete": "First payment open",
    "cancelling": "Cancelling",
}
_SUBSCRIPTION_WORDS = {
    "active": "Active",
    "trialing": "Trial",
    "past_due": "Past due",
    "unpaid": "Unpaid",
    "paused": "Paused",
    "incomplete": "Incomplete",
    "incomplete_expired": "Never started",
    "canceled": "Cancelled",
}
_URGENT_FIRST = ("unpaid", "past_due", "active", "cancelling", "trialing", "paused", "incomplete")
_OVER = ("canceled", "incomplete_expired")
_MONTHS_IN = {"month": Fraction(1), "year": Fraction(12), "week": Fraction(84, 365), "day": Fraction(12, 365)}
_NO_DECIMALS = ("jpy",)
_DAYS_PAST_DUE_COUNTS = 30
_MOVEMENTS_SHOWN = 6


class Books(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the billing system says, as it says it, and when it was asked."""

    asked_at: datetime
    customers: tuple[Object, ...]
    subscriptions: tuple[Object, ...]
    charges: tuple[Object, ...]
    invoices: tuple[Object, ...]
    refunds: tuple[Object, ...]
    products: dict[str, Object]
    #: Every state of a subscription that was ever told, in the order in which it was, with its second.
    told: tuple[tuple[int, Object], ...]

    def of(self, objects: Iterable[Object], customer_id: str) -> list[Object]:
        """Those of one customer, oldest first."""
        return sorted((one for one in objects if one["customer"] == customer_id), key=lambda one: one["created"])


async def read_books(stage: Stage) -> Books:
    """Read the billing system's lists, page by page."""
    return Books(
        customers=tuple(await stage.list_all("customers")),
        subscriptions=tuple(await stage.list_all("subscriptions", status="all")),
        charges=tuple(await stage.list_all("charges")),
        invoices=tuple(await stage.list_all("invoices")),
        refunds=tuple(await stage.list_all("refunds")),
        products={one["id"]: one for one in await stage.list_all("products")},
        # The list of events reaches back thirty days, the story further: this is what the billing system keeps itself.
        told=tuple(
            (event.created, json.loads(event.body())["data"]["object"])
            for event in stage.stripe.book.events.values()
            if event.type.startswith("customer.subscription.")
        ),
        asked_at=stage.clock(),
    )


def account_fields(books: Books, customer: Object) -> dict[str, Shown]:
    """Every field of the Account of one customer."""
    subscriptions = books.of(books.subscriptions, customer["id"])
    charges = books.of(books.charges, customer["id"])
    invoices = books.of(books.invoices, customer["id"])
    live = sorted((one for one in subscriptions if one["status"] not in _OVER), key=lambda one: one["start_date"])
    counting = [one for one in live if one["status"] != "incomplete"]
    paid = [one for one in charges if one["status"] == "succeeded"]
    failed = [one for one in charges if one["status"] == "failed"]
    currency = customer["currency"]
    fields: dict[str, Shown] = {
        "Name": customer["name"],
        "Billing_Status__c": _account_word(live, subscriptions, paid),
        "Billing_Plan__c": _plans(books, counting),
        "Billing_Cycle__c": _cycle(counting),
        "Billing_Next_Renewal__c": _next_renewal(live),
        "Billing_Subscription_Count__c": len(counting),
        "Billing_Last_Payment_Date__c": day_of(paid[-1]["created"]) if paid else None,
        "Billing_Last_Payment_Amount__c": amount_of(paid[-1]["amount"], paid[-1]["currency"]) if paid else None,
        "Billing_Payment_Method_Status__c": _method(customer, paid, failed, books.asked_at.date()),
        "Billing_Failed_Payments__c": len(failed),
        "Billing_Days_To_First_Payment__c": _days(customer["created"], paid[0]["created"]) if paid else None,
        "Billing_Customer_Since__c": day_of(paid[0]["created"]) if paid else None,
        "Billing_Discount__c": _discounts(live, books.asked_at),
    }
    if currency is None:
        return fields
    late = [one for one in live if one["status"] == "past_due"]
    fields |= {
        "Billing_Currency__c": currency.upper(),
        "Billing_MRR__c": amount_of(sum(_mrr(books, one) for one in live), currency),
        "Billing_At_Risk_MRR__c": amount_of(sum(_mrr(books, one) for one in late), currency),
        "Billing_Lifetime_Value__c": amount_of(sum(one["amount"] - one["amount_refunded"] for one in paid), currency),
        "Billing_Past_Due_Amount__c": amount_of(_past_due(invoices, books.asked_at), currency),
    }
    return fields


def movement_fields(books: Books, customer: Object) -> dict[str, Shown]:
    """What the Account of one customer shows of how its revenue moved, once the hub has counted."""
    moved, currency = _moved(books, customer["id"]), customer["currency"]
    if currency is None:
        return {}
    gained = sum(after - before for _, before, after in moved if 0 < before < after)
    return {
        "Billing_MRR_History__c": "; ".join(_movement(moved, at, currency) for at in _latest(moved)) or None,
        "Billing_Expansion_Total__c": amount_of(gained, currency),
    }


def _moved(books: Books, customer_id: str) -> list[tuple[int, int, int]]:
    """Every change of what a customer pays a month: when, from what, to what. Late invoices do not count here."""
    told = [(at, one) for at, one in books.told if one["customer"] == customer_id]
    moments = {at for at, _ in told}
    for _, one in told:
        ends = [one["cancel_at"], one["ended_at"], one["start_date"], (one["discount"] or {}).get("end")]
        if one["cancel_at_period_end"] or (one["discount"] and one["discount"]["coupon"]["duration"] == "once"):
            ends.append(one["current_period_end"])
        moments |= {end for end in ends if end}
    found: list[tuple[int, int, int]] = []
    before = 0
    for moment in sorted(one for one in moments if one <= books.asked_at.timestamp()):
        then = msgspec.structs.replace(books, invoices=(), asked_at=datetime.fromtimestamp(moment, UTC))
        known = {one["id"]: one for at, one in told if at <= moment}
        after = sum(_mrr(then, one) for one in known.values() if not _is_over_at(one, moment))
        if after != before:
            found.append((moment, before, after))
        before = after
    return found


def _is_over_at(one: Object, moment: int) -> bool:
    ends = [one["ended_at"], one["cancel_at"], one["current_period_end"] if one["cancel_at_period_end"] else None]
    return any(end and end <= moment for end in ends)


def _latest(moved: list[tuple[int, int, int]]) -> list[int]:
    """The places of the newest changes, the newest first, as many as are shown."""
    return list(range(len(moved) - 1, max(len(moved) - 1 - _MOVEMENTS_SHOWN, -1), -1))


def _movement(moved: list[tuple[int, int, int]], place: int, currency: str) -> str:
    at, before, after = moved[place]
    word = "expansion" if after > before else "contraction"
    if not before:
        word = "reactivation" if place else "new"
    elif not after:
        word = "churn"
    return (
        f"{day_of(at)} {word} {'+' if after > before else ''}{amount_of(after - before, currency):,} {currency.upper()}"
    )


def subscription_fields(books: Books, one: Object) -> dict[str, Shown]:
    """Every field of one subscription's record; the account is named by the billing system's customer id."""
    over = one["status"] in _OVER
    return {
        "Account__c": one["customer"],
        "Status__c": _SUBSCRIPTION_WORDS[one["status"]],
        "Plan__c": _plans(books, [one]),
        "MRR__c": amount_of(_mrr(books, one), one["currency"]),
        "Currency__c": one["currency"].upper(),
        "Quantity__c": sum(item["quantity"] for item in one["items"]["data"]),
        "Billing_Cycle__c": _cycle([one]),
        "Started__c": day_of(one["start_date"]),
        "Trial_Ends__c": day_of(one["trial_end"]) if one["trial_end"] else None,
        "Next_Renewal__c": None if over else _next_renewal([one]),
        "Cancels_At_Period_End__c": one["cancel_at_period_end"],
        "Ended__c": day_of(one["ended_at"]) if one["ended_at"] else None,
        "Discount__c": None if over else _discounts([one], books.asked_at),
    }


def product_fields(one: Object) -> dict[str, Shown]:
    """Every field of one product's record."""
    return {"Name": one["name"], "IsActive": one["active"]}


def _account_word(live: list[Object], subscriptions: list[Object], paid: list[Object]) -> str:
    """The most urgent state of what runs; without it, whether they ever paid or subscribed."""
    words = {_word(one) for one in live}
    for word in _URGENT_FIRST:
        if word in words:
            return _ACCOUNT_WORDS[word]
    ended = [one for one in subscriptions if one["status"] == "canceled"]
    was_customer = [one for one in ended if paid or not one["trial_end"] or one["ended_at"] > one["trial_end"]]
    if was_customer:
        return "Churned"
    return "One-time" if paid else "Prospect"


def _word(one: Object) -> str:
    if one["status"] != "active":
        return str(one["status"])
    if one["pause_collection"]:
        return "paused"
    return "cancelling" if one["cancel_at_period_end"] or one["cancel_at"] else "active"


def _plans(books: Books, subscriptions: list[Object]) -> str | None:
    items = [item for one in subscriptions for item in one["items"]["data"]]
    names = dict.fromkeys(
        item["price"]["nickname"] or books.products[item["price"]["product"]]["name"] for item in items
    )
    return ", ".join(names) or None


def _cycle(subscriptions: list[Object]) -> str | None:
    rhythms = {
        (item["price"]["recurring"]["interval"], item["price"]["recurring"]["interval_count"])
        for one in subscriptions
        for item in one["items"]["data"]
    }
    if len(rhythms) != 1:
        return "mixed" if rhythms else None
    words = {("month", 1): "monthly", ("year", 1): "annual", ("week", 1): "weekly", ("day", 1): "daily"}
    interval, count = rhythms.pop()
    return words.get((interval, count), f"every {count} {interval}s")


def _next_renewal(subscriptions: list[Object]) -> str | None:
    renewing = [
        one["current_period_end"]
        for one in subscriptions
        if one["status"] in ("active", "past_due", "trialing")
        and not one["cancel_at_period_end"]
        and not one["cancel_at"]
        and not one["pause_collection"]
    ]
    return day_of(min(renewing)) if renewing else None


def _mrr(books: Books, one: Object) -> int:
    """Minor units a month: price times quantity over the months of the cycle, less the discount, rounded half up."""
    if one["status"] not in ("active", "past_due") or one["pause_collection"]:
        return 0
    if one["status"] == "past_due" and _days_late(books, one) > _DAYS_PAST_DUE_COUNTS:
        return 0
    whole, shortest = Fraction(0), Fraction(1200)
    for item in one["items"]["data"]:
        rhythm = item["price"]["recurring"]
        months = _MONTHS_IN[rhythm["interval"]] * rhythm["interval_count"]
        whole += Fraction(item["price"]["unit_amount"] * item["quantity"]) / months
        shortest = min(shortest, months)
    if _in_force(one, books.asked_at) and (one["discount"]["coupon"]["duration"] != "once" or shortest >= 12):
        coupon = one["discount"]["coupon"]
        if coupon["percent_off"]:
            whole -= whole * Fraction(str(coupon["percent_off"])) / 100
        else:
            whole = max(Fraction(0), whole - Fraction(coupon["amount_off"]) / shortest)
    return int(whole + Fraction(1, 2))


def _days_late(books: Books, one: Object) -> int:
    """Days since the oldest unpaid invoice of a subscription was to be paid."""
    unpaid = [
        invoice["due_date"] or invoice["status_transitions"]["finalized_at"] or invoice["created"]
        for invoice in books.invoices
        if invoice["subscription"] == one["id"] and invoice["status"] == "open" and invoice["amount_remaining"] > 0
    ]
    return (books.asked_at.date() - _date(min(unpaid))).days if unpaid else 0


def _in_force(one: Object, now: datetime) -> bool:
    discount = one["discount"]
    if not discount:
        return False
    if discount["coupon"]["duration"] == "once":
        return bool(now.timestamp() < one["current_period_end"])
    return discount["end"] is None or now.timestamp() < discount["end"]


def _discounts(subscriptions: list[Object], now: datetime) -> str | None:
    texts = []
    for one in subscriptions:
        if not _in_force(one, now):
            continue
        coupon, end = one["discount"]["coupon"], one["discount"]["end"]
        size = (
            f"{Decimal(str(coupon['percent_off'])).normalize():f}% off"
            if coupon["percent_off"]
            else f"{amount_of(coupon['amount_off'], coupon['currency'])} {coupon['currency'].upper()} off"
        )
        texts.append(
            f"{size} until {day_of(end)}" if coupon["duration"] == "repeating" else f"{size} {coupon['duration']}"
        )
    return ", ".join(dict.fromkeys(texts)) or None


def _method(customer: Object, paid: list[Object], failed: list[Object], today: date) -> str:
    if failed and (not paid or failed[-1]["created"] > paid[-1]["created"]):
        return "Failing"
    if paid:
        card = paid[-1]["payment_method_details"]["card"]
        first_of_next = date(card["exp_year"] + card["exp_month"] // 12, card["exp_month"] % 12 + 1, 1)
        good_until = first_of_next - timedelta(days=1)
        if good_until < today:
            return "Expired"
        return "Expiring" if good_until < today + timedelta(days=30) else "On file"
    return "On file" if customer["invoice_settings"]["default_payment_method"] else "None"


def _past_due(invoices: list[Object], now: datetime) -> int:
    """What is owed on invoices whose day is over, or whose collection has been tried in vain since they were due."""
    owed = 0
    for one in invoices:
        if one["status"] != "open" or one["amount_remaining"] <= 0:
            continue
        due = one["due_date"] or one["status_transitions"]["finalized_at"] or one["created"]
        tried = one["attempt_count"] > 0
        if (tried and due <= now.timestamp()) or (not tried and _date(due) < now.date()):
            owed += one["amount_remaining"]
    return owed


def amount_of(minor: int, currency: str) -> Decimal:
    """Minor units as an amount with its currency's places."""
    places = 0 if currency in _NO_DECIMALS else 2
    return Decimal(minor).scaleb(-places).quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP)


def _date(unix: int) -> date:
    return datetime.fromtimestamp(unix, UTC).date()


def day_of(unix: int) -> str:
    """The UTC day of a Unix second."""
    return _date(unix).isoformat()


def _days(start: int, end: int) -> int:
    return max(0, (_date(end) - _date(start)).days)
