"""Facts in words: the cycle of a price, discounts, and the one sentence that answers "are they paying us?".

Pure and in English; amounts and days come out the same everywhere.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, tzinfo

from accordant.analytics.movements import Movement
from accordant.canonical.entities import Discount
from accordant.canonical.facts import Fact
from accordant.kernel.money import Money

_CYCLES = {"month": "monthly", "year": "annual", "week": "weekly", "day": "daily"}
_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
_RECENT_DAYS = 60  # beyond two months a date says more than a number of days

_OPENINGS = {
    "unpaid": "Does not pay: billing has given up collecting.",
    "past_due": "Is behind with paying.",
    "active": "Pays.",
    "cancelling": "Pays, but has cancelled.",
    "trialing": "Does not pay yet: on trial.",
    "paused": "Does not pay now: paused.",
    "incomplete": "Has not paid yet: the first payment is open.",
    "churned": "No longer pays.",
    "one_time": "Has paid, without a subscription.",
    "prospect": "Has never paid.",
}
_METHOD_WARNINGS = {
    "none": "no payment method on file",
    "expiring": "payment method expires soon",
    "expired": "payment method has expired",
    "failing": "the latest attempt to collect failed",
}
_LIVE = frozenset({"unpaid", "past_due", "active", "cancelling", "trialing", "paused", "incomplete"})
_GONE = frozenset({"churned", "one_time"})


def cycle_text(interval: str, count: int) -> str:
    """How often a price is charged: monthly, annual, "every 3 months"; twelve months are a year."""
    if interval == "month" and count % 12 == 0 and count > 0:
        interval, count = "year", count // 12
    if count == 1:
        return _CYCLES.get(interval, f"every {interval}")
    return f"every {count} {interval}s"


def discount_text(discounts: Iterable[Discount]) -> str:
    """Discounts as one text, each once: "20% off forever, 10.00 EUR off until 2026-03-01". Empty without any."""
    return ", ".join(dict.fromkeys(_one_discount(discount) for discount in discounts))


def movement_text(latest: Iterable[Movement], zone: tzinfo) -> str:
    """Movements as one text: "2026-02-03 expansion +200.00 EUR; 2026-01-03 new +100.00 EUR". Days end in ``zone``."""
    return "; ".join(
        f"{one.at.astimezone(zone).date().isoformat()} {one.kind.value} "
        f"{'+' if one.difference.amount_minor > 0 else ''}{one.difference}"
        for one in latest
    )


def _one_discount(discount: Discount) -> str:
    if discount.percent is not None:
        plain = discount.percent.rstrip("0").rstrip(".") if "." in discount.percent else discount.percent
        size = f"{plain}% off"
    elif discount.amount_off is not None:
        size = f"{discount.amount_off} off"
    else:
        size = f"coupon {discount.coupon_id}"
    if discount.duration == "repeating":
        until = "" if discount.ends_at is None else f" until {discount.ends_at.astimezone(UTC).date().isoformat()}"
        return f"{size}{until}"
    return f"{size} {discount.duration}"


def sentence(values: Mapping[str, Fact], *, as_of: datetime, zone: tzinfo = UTC) -> str:
    """Whether an account pays, what, and until when, for a person: the opening answers, the rest is left out where
    unknown.

    "Pays. Pro annual, 1,200.00 EUR MRR, renews 14 March, last payment 3 days ago."
    """
    status = str(values.get("status", ""))
    opening = _OPENINGS.get(status, "Whether they pay is not known.")
    if status in {"active", "cancelling"} and values.get("last_payment_on") is None:
        opening = "Is active, but no payment has been seen yet."
    if values.get("deleted") is True:
        opening = f"Deleted in billing. {opening}"
    details = ", ".join(_details(values, status, as_of.astimezone(zone).date()))
    return f"{opening} {details[0].upper()}{details[1:]}." if details else opening


def _details(values: Mapping[str, Fact], status: str, today: date) -> Iterable[str]:
    past_due, value = values.get("past_due_amount"), values.get("lifetime_value")
    if isinstance(past_due, Money) and past_due.amount_minor > 0:
        yield f"{past_due} past due"
    if status in _LIVE:
        yield from _live_details(values, status, today)
    last_on = values.get("last_payment_on")
    if isinstance(last_on, date):
        yield f"last payment {_ago(last_on, today)}"
    if status in _GONE and isinstance(value, Money):
        yield f"{value} in all"


def _live_details(values: Mapping[str, Fact], status: str, today: date) -> Iterable[str]:
    plan, cycle, mrr = values.get("plan_name"), values.get("billing_cycle"), values.get("mrr")
    named = " ".join(str(part) for part in (plan, cycle if cycle != "mixed" else None) if part)
    if named:
        yield named
    if isinstance(mrr, Money) and (mrr.amount_minor or status in {"active", "cancelling", "past_due"}):
        yield f"{mrr} MRR"
    renews_on = values.get("next_renewal_on")
    if isinstance(renews_on, date):
        yield f"{'first charge' if status == 'trialing' else 'renews'} {_on(renews_on, today)}"
    elif status == "cancelling":
        yield "does not renew"
    warning = _METHOD_WARNINGS.get(str(values.get("payment_method_status")))
    if warning:
        yield warning


def _on(day: date, today: date) -> str:
    year = "" if day.year == today.year else f" {day.year}"
    return f"{day.day} {_MONTHS[day.month - 1]}{year}"


def _ago(day: date, today: date) -> str:
    days = (today - day).days
    if days == 0:
        return "today"
    if days == 1:
        return "yesterday"
    return f"{days} days ago" if 0 < days <= _RECENT_DAYS else f"on {_on(day, today)}"
