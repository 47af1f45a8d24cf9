"""The items of subscriptions in the Stripe stand-in: what stands together, and what was used of metered ones.

Nothing is said of a report of use; the invoice of the next period holds a line for the one that is over. Source:
docs.stripe.com/billing/subscriptions/usage-based. Next room: `simulator_billing.py`.
"""

from collections.abc import Sequence

from accordant.connectors.stripe import simulator_shapes as shapes
from accordant.connectors.stripe.simulator_state import Book, Record, SimulatedRefusal

Span = tuple[int, int]


def is_metered(item: Record) -> bool:
    """Whether an item of a subscription costs by what is used of it."""
    return bool(item["price"]["recurring"]["usage_type"] == "metered")


def one_currency(customer: Record, items: Sequence[tuple[Record, int]]) -> str:
    """The currency that all items of a subscription share with their customer. Raises a 400 where they do not."""
    if not items:
        raise SimulatedRefusal(400, "Missing required param: items.", code="parameter_missing", param="items")
    currencies = {price["currency"] for price, _ in items}
    spans = {(price["recurring"] or {}).get("interval") for price, _ in items}
    if len(currencies) > 1 or len(spans) > 1:
        raise SimulatedRefusal(400, "All prices of a subscription share one currency and one interval.", param="items")
    if None in spans:
        raise SimulatedRefusal(400, "The price specified is set to `type=one_time`.", param="items[0][price]")
    currency: str = currencies.pop()
    if customer["currency"] not in (None, currency):
        raise SimulatedRefusal(
            400, f"You cannot combine currencies on a single customer, whose currency is {customer['currency']}."
        )
    return currency


class Usage:
    """The reports of one book, by the item of the subscription they are for."""

    def __init__(self, book: Book) -> None:
        self.book = book

    def record(self, item: Record, *, quantity: int, timestamp: int | None = None) -> Record:
        """So much was used, now or at ``timestamp``. Raises a 400 for an item that is not metered."""
        if not is_metered(item):
            raise SimulatedRefusal(400, f"Cannot create a usage record for {item['id']}: its price is not metered.")
        if quantity < 0:
            raise SimulatedRefusal(400, "Invalid non-negative integer", param="quantity")
        told = {
            "id": self.book.new_id("mbur"),
            "object": "usage_record",
            "livemode": False,
            "quantity": quantity,
            "subscription_item": item["id"],
            "timestamp": self.book.now if timestamp is None else timestamp,
        }
        self.book.private_of(item["id"]).setdefault("usage", []).append(told)
        return told

    def lines(self, subscription: Record, span: Span | None) -> list[Record]:
        """A line for each metered item with what was used from the first second of ``span`` until before the last."""
        if span is None:
            return []
        metered = [item for item in subscription["items"]["data"] if is_metered(item)]
        return [self._line(subscription, item, span) for item in metered]

    def _line(self, subscription: Record, item: Record, span: Span) -> Record:
        told = self.book.private_of(item["id"]).get("usage", ())
        quantity = sum(one["quantity"] for one in told if span[0] <= one["timestamp"] < span[1])
        price = item["price"]
        product = self.book.table("product").get(price["product"])
        return shapes.line_item(
            self.book.new_id("il"),
            amount=price["unit_amount"] * quantity,
            currency=price["currency"],
            description=f"{quantity} × {product['name'] if product else price['product']}",
            start=span[0],
            end=span[1],
            price_record=price,
            quantity=quantity,
            subscription_id=subscription["id"],
            subscription_item_id=item["id"],
        )
