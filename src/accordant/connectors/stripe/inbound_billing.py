"""Stripe's billing nouns as canonical entities, in every shape they had: customer, product, price, subscription,
invoice, credit note. The current shape is read first, then the older ones; what neither states is None.
Next: inbound.py, which says which event means what.
"""

from __future__ import annotations

from datetime import datetime

from accordant.canonical.entities import (
    Account,
    CreditNote,
    Discount,
    Invoice,
    InvoiceLine,
    Price,
    Product,
    RecurringPrice,
    Subscription,
    SubscriptionItem,
)
from accordant.connectors.sdk.decode import JsonObject
from accordant.connectors.stripe import shapes
from accordant.connectors.stripe.shapes import Unfit
from accordant.kernel.money import Money

SUBSCRIPTION_STATUSES = frozenset(
    ("trialing", "active", "past_due", "unpaid", "paused", "incomplete", "incomplete_expired", "canceled")
)
INVOICE_STATUSES = frozenset(("draft", "open", "paid", "void", "uncollectible"))
CREDIT_NOTE_STATUSES = frozenset(("issued", "void"))
INTERVALS = frozenset(("day", "week", "month", "year"))
#: Stripe named a discount, and neither its coupon nor its size: the object has to be read to know them.
DURATION_UNSTATED = "unstated"


def account(part: JsonObject) -> Account:
    """A customer. ``deleted`` objects hold nothing but their id."""
    if part.get("deleted") is True:
        return Account(external_id=shapes.identifier(part), deleted=True)
    code = shapes.currency_or_none(part)
    address = shapes.inner(part, "address")
    return Account(
        external_id=shapes.identifier(part),
        name=shapes.text_or_none(part, "name"),
        email=shapes.text_or_none(part, "email"),
        phone=shapes.text_or_none(part, "phone"),
        postcode=shapes.text_or_none(address, "postal_code"),
        country=shapes.text_or_none(address, "country"),
        currency=code,
        balance_minor=shapes.minor_or_none(part, "balance", code),
        delinquent=shapes.flag_or_none(part, "delinquent"),
        has_payment_method=_has_payment_method(part),
        tax_ids=tuple(shapes.text(item, "value") for item in shapes.objects(part, "tax_ids")),
        metadata=shapes.texts(part, "metadata"),
        created_at=shapes.instant(part, "created"),
    )


def _has_payment_method(part: JsonObject) -> bool | None:
    """Whether a default way to pay is on file; None where the object does not say."""
    settings = shapes.inner(part, "invoice_settings")
    if shapes.reference(part, "default_source") or shapes.reference(settings, "default_payment_method"):
        return True
    return False if "default_source" in part or "default_payment_method" in settings else None


def product(part: JsonObject) -> Product:
    """A product."""
    if part.get("deleted") is True:
        return Product(external_id=shapes.identifier(part), deleted=True)
    return Product(
        external_id=shapes.identifier(part),
        name=shapes.text(part, "name"),
        active=shapes.flag_or_none(part, "active"),
    )


def price(part: JsonObject) -> Price:
    """A price; also a plan, which is what a recurring price was called before 2020."""
    if part.get("deleted") is True:
        return Price(external_id=shapes.identifier(part), deleted=True)
    return Price(
        external_id=shapes.identifier(part),
        product_id=shapes.required_reference(part, "product"),
        name=shapes.text_or_none(part, "nickname"),
        active=shapes.flag_or_none(part, "active"),
        recurring=_recurring(part),
    )


def _recurring(part: JsonObject) -> RecurringPrice | None:
    """What recurs, from a price or a plan; None for a one-time price.

    ``unit_minor`` is None where the amount of one unit is not one number: tiers, and packages of several units.
    """
    rhythm = part if "interval" in part else shapes.inner(part, "recurring")
    if not rhythm:
        shapes.currency(part)
        return None
    code = shapes.currency(part)
    packed = part.get("transform_quantity") or part.get("transform_usage")
    tiered = part.get("billing_scheme") == "tiered"
    key = "amount" if "interval" in part else "unit_amount"
    return RecurringPrice(
        currency=code,
        unit_minor=None if packed or tiered else shapes.unit_or_none(part, key, code),
        interval=shapes.word(rhythm, "interval", INTERVALS),
        interval_count=_count(rhythm),
        metered=rhythm.get("usage_type") == "metered",
        tax_inclusive=part.get("tax_behavior") == "inclusive",
    )


def _count(rhythm: JsonObject) -> int:
    count = shapes.integer(rhythm, "interval_count")
    if count < 1:
        raise Unfit("The interval count is not positive.", where="interval_count")
    return count


def subscription(part: JsonObject) -> Subscription:
    """A subscription. Its period stands on the items since 2025-03-31 and on itself before; both come out on both."""
    span = _period(part, "current_period_start", "current_period_end")
    items = tuple(
        _item(raw, f"items.data[{index}]", span) for index, raw in enumerate(shapes.required_objects(part, "items"))
    )
    starts_at, ends_at = span if span[1] else _common_period(items)
    reason = shapes.text_or_none(shapes.inner(part, "cancellation_details"), "reason")
    return Subscription(
        external_id=shapes.identifier(part),
        customer_id=shapes.required_reference(part, "customer"),
        status=shapes.word(part, "status", SUBSCRIPTION_STATUSES),
        currency=_subscription_currency(part, items),
        items=items,
        discounts=discounts(part),
        started_at=shapes.instant_or_none(part, "start_date" if "start_date" in part else "start"),
        trial_ends_at=shapes.instant_or_none(part, "trial_end"),
        period_starts_at=starts_at,
        period_ends_at=ends_at,
        cancel_at_period_end=shapes.flag(part, "cancel_at_period_end"),
        cancels_at=shapes.instant_or_none(part, "cancel_at"),
        canceled_at=shapes.instant_or_none(part, "canceled_at"),
        ended_at=shapes.instant_or_none(part, "ended_at"),
        cancellation_reason=reason,
        collection_paused=bool(shapes.inner(part, "pause_collection")),
        latest_invoice_id=shapes.reference(part, "latest_invoice"),
        metadata=shapes.texts(part, "metadata"),
    )


_Period = tuple[datetime | None, datetime | None]


def _period(part: JsonObject, start: str, end: str) -> _Period:
    return shapes.instant_or_none(part, start), shapes.instant_or_none(part, end)


def _common_period(items: tuple[SubscriptionItem, ...]) -> _Period:
    """Of items with different rhythms the period that ends first: what comes next is what people ask for."""
    ending = [(item.period_ends_at, item.period_starts_at) for item in items if item.period_ends_at]
    if not ending:
        return None, None
    ends_at, starts_at = min(ending, key=lambda pair: pair[0])
    return starts_at, ends_at


def _subscription_currency(part: JsonObject, items: tuple[SubscriptionItem, ...]) -> str | None:
    stated = shapes.currency_or_none(part)
    return stated or next((item.recurring.currency for item in items if item.recurring), None)


def _item(part: JsonObject, path: str, span: _Period) -> SubscriptionItem:
    try:
        what = shapes.inner(part, "price") or shapes.inner(part, "plan")
        if not what:
            raise Unfit("The item names neither a price nor a plan.", where="price")
        own = _period(part, "current_period_start", "current_period_end")
        sold = what.get("product")
        name = shapes.text_or_none(what, "nickname")
        if name is None and type(sold) is dict:
            name = shapes.text_or_none(sold, "name")
        return SubscriptionItem(
            external_id=shapes.identifier(part),
            price_id=shapes.identifier(what),
            product_id=shapes.reference(what, "product"),
            plan_name=name,
            quantity=shapes.integer_or_none(part, "quantity"),
            recurring=_recurring(what),
            period_starts_at=own[0] or span[0],
            period_ends_at=own[1] or span[1],
        )
    except Unfit as error:
        raise error.below(path) from None


def discounts(part: JsonObject) -> tuple[Discount, ...]:
    """The reductions in force: ``discounts`` (ids or objects), or the single ``discount`` of older versions."""
    listed = part.get("discounts")
    single = shapes.inner(part, "discount")
    if not listed:
        return (_discount(single, "discount"),) if single else ()
    if type(listed) is not list:
        raise Unfit("The field discounts holds no list.", where="discounts")
    found: list[Discount] = []
    for index, entry in enumerate(listed):
        path = f"discounts[{index}]"
        if type(entry) is dict:
            found.append(_discount(entry, path))
        elif type(entry) is str and entry == single.get("id"):
            found.append(_discount(single, "discount"))
        elif type(entry) is str and entry:
            found.append(Discount(coupon_id=entry, duration=DURATION_UNSTATED))
        else:
            raise Unfit("A discount is neither an id nor an object.", where=path)
    return tuple(found)


def _discount(part: JsonObject, path: str) -> Discount:
    try:
        # The coupon moved into ``source`` in 2025-09-30, where it is an id unless expanded.
        holder = part if "coupon" in part else shapes.inner(part, "source")
        coupon = holder.get("coupon")
        ends_at = shapes.instant_or_none(part, "end")
        if type(coupon) is not dict:
            named = shapes.reference(holder, "coupon") or shapes.identifier(part)
            return Discount(coupon_id=named, duration=DURATION_UNSTATED, ends_at=ends_at)
        off = None
        if coupon.get("amount_off") is not None:
            off = shapes.money(coupon, "amount_off", shapes.currency(coupon))
        return Discount(
            coupon_id=shapes.identifier(coupon),
            duration=shapes.word(coupon, "duration", frozenset(("forever", "repeating", "once"))),
            percent=shapes.decimal_or_none(coupon, "percent_off"),
            amount_off=off,
            ends_at=ends_at,
        )
    except Unfit as error:
        raise error.below(path) from None


def invoice(part: JsonObject) -> Invoice:
    """An invoice. The subscription moved into ``parent`` in 2025-03-31; taxes moved into ``total_taxes``."""
    code = shapes.currency(part)
    moments = shapes.inner(part, "status_transitions")
    lines = shapes.objects(part, "lines")
    return Invoice(
        external_id=shapes.identifier(part),
        customer_id=shapes.reference(part, "customer"),
        status=_invoice_status(part),
        total=shapes.money(part, "total", code),
        amount_due=shapes.money(part, "amount_due", code),
        amount_paid=shapes.money(part, "amount_paid", code),
        amount_remaining=shapes.money(part, "amount_remaining", code),
        tax=_tax(part, code),
        discount=_off(part, code),
        number=shapes.text_or_none(part, "number"),
        subscription_id=shapes.reference(part, "subscription") or _parent_subscription(part),
        billing_reason=shapes.text_or_none(part, "billing_reason"),
        attempt_count=shapes.integer_or_none(part, "attempt_count") or 0,
        due_at=shapes.instant_or_none(part, "due_date"),
        finalized_at=shapes.instant_or_none(moments, "finalized_at"),
        paid_at=shapes.instant_or_none(moments, "paid_at"),
        next_attempt_at=shapes.instant_or_none(part, "next_payment_attempt"),
        created_at=shapes.instant_or_none(part, "created"),
        lines=tuple(_line(line, f"lines.data[{index}]", code) for index, line in enumerate(lines)),
        reverse_charge=_reverse_charge(part),
        lines_complete="lines" in part and not shapes.is_cut(part, "lines"),
        deleted=part.get("deleted") is True,
    )


def _invoice_status(part: JsonObject) -> str:
    # Invoices of versions before 2018-11-08 said only whether they were paid.
    if "status" not in part and part.get("paid") is True:
        return "paid"
    return shapes.word(part, "status", INVOICE_STATUSES)


def _tax(part: JsonObject, code: str) -> Money | None:
    if part.get("tax") is not None:
        return shapes.money(part, "tax", code)
    listed = shapes.objects(part, "total_taxes") or shapes.objects(part, "total_tax_amounts")
    if not listed:
        return None
    return Money(sum(shapes.money(item, "amount", code).amount_minor for item in listed), code)


def _reverse_charge(part: JsonObject) -> bool:
    """Whether the customer owes the tax: by Stripe's own reason, or by what the customer was when it was billed."""
    listed = shapes.objects(part, "total_taxes") or shapes.objects(part, "total_tax_amounts")
    reasons = [one.get("taxability_reason") for one in listed]
    return "reverse_charge" in reasons or (not reasons and part.get("customer_tax_exempt") == "reverse")


def _off(part: JsonObject, code: str) -> Money | None:
    if "total_discount_amounts" not in part:
        return None
    listed = shapes.objects(part, "total_discount_amounts")
    return Money(sum(shapes.money(item, "amount", code).amount_minor for item in listed), code)


def _parent_subscription(part: JsonObject) -> str | None:
    details = shapes.inner(shapes.inner(part, "parent"), "subscription_details")
    return shapes.reference(details, "subscription")


def _line(part: JsonObject, path: str, code: str) -> InvoiceLine:
    try:
        if shapes.currency(part) != code:
            raise Unfit(f"The line is not in the invoice's currency {code}.", where="currency")
        parent = shapes.inner(part, "parent")
        origin = shapes.inner(parent, str(parent.get("type")))
        span = shapes.inner(part, "period")
        return InvoiceLine(
            external_id=shapes.identifier(part),
            amount_minor=shapes.money(part, "amount", code).amount_minor,
            description=shapes.text_or_none(part, "description"),
            price_id=_line_price(part),
            subscription_id=shapes.reference(part, "subscription") or shapes.reference(origin, "subscription"),
            quantity=shapes.integer_or_none(part, "quantity"),
            proration=shapes.flag(part, "proration") or shapes.flag(origin, "proration"),
            period_starts_at=shapes.instant_or_none(span, "start"),
            period_ends_at=shapes.instant_or_none(span, "end"),
            included_tax_minor=_included_tax(part, code),
            credits_minor=_credits(part, code),
        )
    except Unfit as error:
        raise error.below(path) from None


def _credits(part: JsonObject, code: str) -> int:
    """What billing credits pay of a line. Discounts stand in the same list, and once more at the bill."""
    listed = shapes.objects(part, "pretax_credit_amounts")
    applied = [one for one in listed if one.get("type") == "credit_balance_transaction"]
    return sum(shapes.money(one, "amount", code).amount_minor for one in applied)


def _included_tax(part: JsonObject, code: str) -> int:
    """The tax that a line's amount includes: ``tax_amounts`` became ``taxes`` in 2025-03-31."""
    listed = [one for one in shapes.objects(part, "taxes") if one.get("tax_behavior") == "inclusive"]
    listed = listed or [one for one in shapes.objects(part, "tax_amounts") if one.get("inclusive") is True]
    return sum(shapes.money(one, "amount", code).amount_minor for one in listed)


def _line_price(part: JsonObject) -> str | None:
    details = shapes.inner(shapes.inner(part, "pricing"), "price_details")
    return shapes.reference(part, "price") or shapes.reference(details, "price") or shapes.reference(part, "plan")


def credit_note(part: JsonObject) -> CreditNote:
    """A credit note."""
    code = shapes.currency(part)
    return CreditNote(
        external_id=shapes.identifier(part),
        customer_id=shapes.required_reference(part, "customer"),
        invoice_id=shapes.required_reference(part, "invoice"),
        status=shapes.word(part, "status", CREDIT_NOTE_STATUSES),
        total=shapes.money(part, "total", code),
        number=shapes.text_or_none(part, "number"),
        reason=shapes.text_or_none(part, "reason"),
        to_balance=_kept_for_customer(part, code),
        created_at=shapes.instant(part, "created"),
    )


def _kept_for_customer(part: JsonObject, code: str) -> Money | None:
    """What of a credit note went to the customer's balance: what was paid and neither sent back nor paid elsewhere.

    Stripe names the movement of the balance and not its amount; before 2024 a note went one way only.
    """
    if shapes.reference(part, "customer_balance_transaction") is None:
        return None
    paid = shapes.minor_or_none(part, "post_payment_amount", code)
    elsewhere = shapes.minor_or_none(part, "out_of_band_amount", code) or 0
    listed = part.get("refunds")
    back = (
        [shapes.minor_or_none(one, "amount_refunded", code) or 0 for one in listed if type(one) is dict]
        if (type(listed) is list)
        else []
    )
    whole = shapes.money(part, "total", code).amount_minor if paid is None else paid
    return Money(whole - elsewhere - sum(back), code)
