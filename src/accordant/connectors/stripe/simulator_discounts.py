"""Coupons and their discounts in the Stripe stand-in: given to a customer or a subscription, redeemed, run out.

What a discount takes off an invoice is decided in `simulator_invoices.py`.
"""

from accordant.connectors.stripe import simulator_shapes as shapes
from accordant.connectors.stripe.simulator_calendar import next_boundary
from accordant.connectors.stripe.simulator_state import Book, Record, SimulatedRefusal


class Discounts:
    """The discounts of one book; at most one on a holder, as the older API version shows it."""

    def __init__(self, book: Book) -> None:
        self.book = book

    def give(self, holder: Record, coupon: Record | None, *, says: bool = True) -> None:
        """Give a subscription or a customer a coupon's discount, or take it away with None."""
        book = self.book
        old = holder["discount"]
        kind = "customer.subscription.updated" if holder["object"] == "subscription" else "customer.updated"
        if coupon is None:
            if old is not None:
                book.say("customer.discount.deleted", old)
            fields: Record = {"discount": None}
        else:
            made = self._redeem(holder, coupon)
            fields = {"discount": made}
            if says:
                book.say("customer.discount.created", made)
        if holder["object"] == "subscription":
            fields["discounts"] = [fields["discount"]["id"]] if coupon is not None else []
        book.change(holder, kind if says else None, **fields)

    def _redeem(self, holder: Record, coupon: Record) -> Record:
        book = self.book
        if not coupon["valid"]:
            raise SimulatedRefusal(400, f"Coupon {coupon['id']} is expired or was redeemed too often.", param="coupon")
        coupon["times_redeemed"] += 1
        if coupon["max_redemptions"] and coupon["times_redeemed"] >= coupon["max_redemptions"]:
            coupon["valid"] = False
        end = None
        if coupon["duration"] == "repeating":
            months = coupon["duration_in_months"] or 1
            end = next_boundary(book.now, "month", months, book.now)
        subscribed = holder["object"] == "subscription"
        made = shapes.discount(
            book.new_id("di"),
            book.now,
            coupon_record=coupon,
            customer_id=holder["customer"] if subscribed else holder["id"],
            subscription_id=holder["id"] if subscribed else None,
            end=end,
        )
        return book.add(made)

    def drop_ended(self, subscription: Record) -> None:
        discount = subscription["discount"]
        if discount is not None and discount["end"] is not None and discount["end"] <= self.book.now:
            self.give(subscription, None)
