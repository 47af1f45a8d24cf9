"""The subscriptions of the Stripe stand-in: started, changed with second-exact proration, renewed, dunned, ended.

One action says the several events Stripe says for it, in one second of the book's clock. Next: `simulator_commands.py`.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from accordant.connectors.stripe import simulator_shapes as shapes
from accordant.connectors.stripe.simulator_calendar import day_words, next_boundary
from accordant.connectors.stripe.simulator_discounts import Discounts
from accordant.connectors.stripe.simulator_invoices import Invoices
from accordant.connectors.stripe.simulator_items import Span, Usage, is_metered, one_currency
from accordant.connectors.stripe.simulator_payments import DAY_S, Payments
from accordant.connectors.stripe.simulator_rounding import half_up
from accordant.connectors.stripe.simulator_state import Book, Record, SimulatedRefusal

UPCOMING_S = 7 * DAY_S
TRIAL_WARNING_S = 3 * DAY_S
INCOMPLETE_S = 23 * 3_600
ENDED = ("canceled", "incomplete_expired")
DUNNING_OUTCOMES = ("canceled", "unpaid", "past_due")


class Billing:
    """The subscription side of one book.

    `dunning_outcome` is what the account chose for a subscription whose last retry failed.
    """

    def __init__(
        self, book: Book, payments: Payments, invoices: Invoices, *, dunning_outcome: str = "canceled"
    ) -> None:
        if dunning_outcome not in DUNNING_OUTCOMES:
            raise ValueError(f"dunning_outcome is one of {', '.join(DUNNING_OUTCOMES)}, not {dunning_outcome!r}")
        self.book = book
        self.payments = payments
        self.invoices = invoices
        self.discounts = Discounts(book)
        self.usage = Usage(book)
        self.dunning_outcome = dunning_outcome
        invoices.on_paid = self._invoice_paid
        invoices.on_failed = self._invoice_failed

    # starting

    def subscribe(
        self,
        customer: Record,
        items: Sequence[tuple[Record, int]],
        *,
        trial_end: int | None = None,
        coupon: Record | None = None,
        payment_behavior: str = "allow_incomplete",
        prorates: bool = True,
        given: Mapping[str, Any] | None = None,
    ) -> Record:
        """Start a subscription and bill its first period. Raises a 402 with `error_if_incomplete` and no money.

        One that began earlier (`backdate_start_date`) is billed for the time since, unless nothing is prorated.
        """
        book, given = self.book, given or {}
        currency = one_currency(customer, items)
        subscription_id = book.new_id("sub")
        held = [
            shapes.subscription_item(
                book.new_id("si"), book.now, subscription=subscription_id, price_record=price, quantity=quantity
            )
            for price, quantity in items
        ]
        subscription = shapes.subscription(
            subscription_id, book.now, customer_id=customer["id"], currency=currency, items=held, given=given
        )
        if payment_behavior == "error_if_incomplete" and trial_end is None:
            self._insist_on_payment(customer)
        book.add(subscription)
        for item in held:
            book.add(item)
        self._first_period(subscription, trial_end)
        if coupon is not None:
            self.discounts.give(subscription, coupon, says=False)
        first = self._first_invoice(subscription, customer, prorates=prorates)
        book.say("customer.subscription.created", subscription)
        if customer["currency"] is None:
            book.change(customer, "customer.updated", currency=currency)
        if subscription["discount"]:
            book.say("customer.discount.created", subscription["discount"])
        book.say("invoice.created", first)
        self.invoices.open(first)
        if subscription["collection_method"] == "send_invoice" and subscription["status"] == "incomplete":
            book.change(subscription, "customer.subscription.updated", status="active")
        return subscription

    def _insist_on_payment(self, customer: Record) -> None:
        private = self.book.private_of(customer["id"])
        no_card = customer["invoice_settings"]["default_payment_method"] is None
        if no_card or private.get("failing") or private.get("declines", 0) > 0:
            raise SimulatedRefusal(
                402, "Your card was declined.", code="card_declined", kind="card_error", decline_code="generic_decline"
            )

    def _first_period(self, subscription: Record, trial_end: int | None) -> None:
        now = self.book.now
        if trial_end is not None and trial_end > now:
            subscription.update(
                status="trialing",
                trial_start=now,
                trial_end=trial_end,
                billing_cycle_anchor=trial_end,
                current_period_end=trial_end,
            )
            if trial_end - TRIAL_WARNING_S > now:
                self.book.at(trial_end - TRIAL_WARNING_S, lambda: self._warn_of_trial_end(subscription, trial_end))
        else:
            subscription["current_period_end"] = self._boundary_after(subscription, now)
        self._plan_renewal(subscription)

    def _first_invoice(self, subscription: Record, customer: Record, *, prorates: bool) -> Record:
        trial = subscription["status"] == "trialing"
        lines = self.lines_of(subscription, free=trial, pending=False)
        if prorates and not trial:
            lines = self._lines_since(subscription) + lines
        invoice = self._invoice(subscription, customer, "subscription_create", lines)
        if not trial:
            self.book.at(self.book.now + INCOMPLETE_S, lambda: self._expire_incomplete(subscription, invoice))
        return invoice

    def _invoice(self, subscription: Record, customer: Record, reason: str, lines: Sequence[Record]) -> Record:
        invoice = self.invoices.draft(
            customer,
            currency=subscription["currency"],
            lines=lines,
            billing_reason=reason,
            subscription=subscription,
            period=(subscription["current_period_start"], subscription["current_period_end"])
            if reason != "subscription_create"
            else (self.book.now, self.book.now),
            collection_method=subscription["collection_method"],
            given={"days_until_due": subscription["days_until_due"]},
        )
        subscription["latest_invoice"] = invoice["id"]
        for line in lines:
            if line["type"] == "subscription":
                self.book.private_of(line["subscription_item"])["last_line"] = (invoice["id"], line["id"])
        return invoice

    def lines_of(
        self, subscription: Record, *, free: bool = False, pending: bool = True, used: Span | None = None
    ) -> list[Record]:
        """What an invoice holds now: waiting items first, one line per item, and what was ``used`` of metered ones."""
        lines = []
        if pending:
            waiting = self.invoices.pending_items(
                subscription["customer"], subscription["currency"], subscription["id"]
            )
            lines = [self.invoices.line_of(item, None) for item in waiting]
        licensed = [item for item in subscription["items"]["data"] if not is_metered(item)]
        lines += [self._period_line(subscription, item, free=free) for item in licensed]
        return lines + self.usage.lines(subscription, used)

    def _period_line(self, subscription: Record, item: Record, *, free: bool = False) -> Record:
        price, quantity = item["price"], item["quantity"]
        name = self._name_of(price)
        recurring = price["recurring"]
        span = recurring["interval"] if recurring["interval_count"] == 1 else (
            f"{recurring['interval_count']} {recurring['interval']}s"
        )  # fmt: skip
        words = (
            f"Trial period for {name}"
            if free
            else f"{quantity} × {name} (at {shapes.money_words(price['unit_amount'], price['currency'])} / {span})"
        )
        return shapes.line_item(
            self.book.new_id("il"),
            amount=0 if free else price["unit_amount"] * quantity,
            currency=price["currency"],
            description=words,
            start=subscription["current_period_start"],
            end=subscription["current_period_end"],
            price_record=price,
            quantity=quantity,
            subscription_id=subscription["id"],
            subscription_item_id=item["id"],
        )

    def _lines_since(self, subscription: Record) -> list[Record]:
        """What the time between a start in the past and now would have cost, by the second of the period before."""
        start, now = subscription["start_date"], self.book.now
        lines = []
        licensed = [item for item in subscription["items"]["data"] if not is_metered(item)]
        for item in licensed if start < now else ():
            price, quantity = item["price"], item["quantity"]
            span = subscription["current_period_end"] - subscription["current_period_start"]
            lines.append(
                shapes.line_item(
                    self.book.new_id("il"),
                    amount=(price["unit_amount"] * quantity * (now - start) + span // 2) // span,
                    currency=price["currency"],
                    description=f"Time on {quantity} × {self._name_of(price)} before today",
                    start=start,
                    end=now,
                    price_record=price,
                    quantity=quantity,
                    subscription_id=subscription["id"],
                    subscription_item_id=item["id"],
                    proration=True,
                )
            )
        return lines

    def _name_of(self, price: Record) -> str:
        found = self.book.table("product").get(price["product"])
        name: str = found["name"] if found else price["product"]
        return name

    def _boundary_after(self, subscription: Record, after: int) -> int:
        recurring = subscription["items"]["data"][0]["price"]["recurring"]
        return next_boundary(
            subscription["billing_cycle_anchor"], recurring["interval"], recurring["interval_count"], after
        )

    # renewing

    def _plan_renewal(self, subscription: Record) -> None:
        book = self.book
        end = subscription["current_period_end"]
        book.at(end, lambda: self._period_over(subscription, end))
        if end - UPCOMING_S > book.now + DAY_S:
            book.at(end - UPCOMING_S, lambda: self._say_upcoming(subscription, end))

    def _say_upcoming(self, subscription: Record, end: int) -> None:
        if not self._still_runs(subscription, end) or subscription["cancel_at_period_end"]:
            return
        customer = self.book.get("customer", subscription["customer"])
        preview = shapes.invoice(
            "upcoming",
            self.book.now,
            customer_record=customer,
            currency=subscription["currency"],
            lines=self.lines_of(subscription, pending=False, used=(subscription["current_period_start"], end)),
            billing_reason="upcoming",
            collection_method=subscription["collection_method"],
            subscription_record=subscription,
            period=(subscription["current_period_start"], end),
        )
        preview["discount"] = subscription["discount"]
        self.invoices.total_up(preview)
        del preview["id"]
        preview["next_payment_attempt"] = end + 3_600
        preview["lines"]["url"] = f"/v1/invoices/upcoming/lines?subscription={subscription['id']}"
        self.book.say("invoice.upcoming", preview)

    def _still_runs(self, subscription: Record, end: int) -> bool:
        return subscription["status"] not in ENDED and subscription["current_period_end"] == end

    def _warn_of_trial_end(self, subscription: Record, trial_end: int) -> None:
        if subscription["status"] == "trialing" and subscription["trial_end"] == trial_end:
            self.book.say("customer.subscription.trial_will_end", subscription)

    def _period_over(self, subscription: Record, end: int) -> None:
        if not self._still_runs(subscription, end):
            return
        if subscription["cancel_at_period_end"]:
            self.end(subscription, "cancellation_requested")
            if any(map(is_metered, subscription["items"]["data"])):
                self._bill_rest(subscription)
        elif subscription["status"] != "incomplete":
            self._renew(subscription, end)

    def _renew(self, subscription: Record, start: int) -> None:
        book = self.book
        self.discounts.drop_ended(subscription)
        customer = book.get("customer", subscription["customer"])
        before = {name: subscription[name] for name in ("current_period_start", "current_period_end", "latest_invoice")}
        over = (subscription["current_period_start"], start)
        subscription["current_period_start"] = start
        subscription["current_period_end"] = self._boundary_after(subscription, start)
        if subscription["status"] == "trialing":
            before["status"] = "trialing"
            subscription["status"] = "active"
        invoice = self._invoice(subscription, customer, "subscription_cycle", self.lines_of(subscription, used=over))
        book.say("customer.subscription.updated", subscription, before)
        self._hold_back(subscription, invoice)
        book.say("invoice.created", invoice)
        self.invoices.open_later(invoice)
        self._plan_renewal(subscription)

    def _hold_back(self, subscription: Record, invoice: Record) -> None:
        """An unpaid or paused subscription still drafts its invoices, and leaves them."""
        paused = subscription["pause_collection"]
        if subscription["status"] == "unpaid" or (paused and paused["behavior"] == "keep_as_draft"):
            invoice["auto_advance"] = False
        elif paused:
            ending = self.invoices.void if paused["behavior"] == "void" else self.invoices.mark_uncollectible
            invoice["auto_advance"] = False

            def close() -> None:
                if invoice["status"] == "draft":
                    self.invoices.finalize(invoice)
                    ending(invoice)

            self.book.at(self.book.now + 3_600, close)

    # changing

    def change_items(
        self,
        subscription: Record,
        changes: Sequence[Mapping[str, Any]],
        *,
        proration_behavior: str = "create_prorations",
        proration_date: int | None = None,
    ) -> dict[str, Any]:
        """Apply item changes (`id`, `price`, `quantity`, `deleted`) and prorate them to the second.

        Returns the previous attributes, for the one `customer.subscription.updated` the caller says, and leaves
        the proration lines as pending invoice items. A new interval starts a new cycle now.
        """
        before = _snapshot_items(subscription)
        old_recurring = _cycle_of(subscription)
        pairs = self._replace_items(subscription, changes)
        previous: Record = {
            "items": before,
            "plan": before["data"][0]["plan"],
            "quantity": before["data"][0].get("quantity"),
        }
        first = subscription["items"]["data"][0]
        subscription.update(plan=first["plan"], quantity=first.get("quantity"))
        new_cycle = _cycle_of(subscription) != old_recurring
        if subscription["status"] == "trialing":
            return previous
        moment = self.book.now if proration_date is None else proration_date
        if proration_behavior != "none":
            self._prorate(subscription, pairs, moment, charges=not new_cycle)
        if new_cycle:
            previous.update(self._restart_cycle(subscription))
        return previous

    def _replace_items(
        self, subscription: Record, changes: Sequence[Mapping[str, Any]]
    ) -> list[tuple[Record | None, Record | None]]:
        """The pairs of what an item was and what it is; None where one side does not exist."""
        book = self.book
        held: list[Record] = subscription["items"]["data"]
        pairs: list[tuple[Record | None, Record | None]] = []
        for change in changes:
            item = next((entry for entry in held if entry["id"] == change.get("id")), None)
            if change.get("id") and item is None:
                raise SimulatedRefusal(
                    400, f"No such subscription_item: '{change['id']}'", param="items", code="resource_missing"
                )
            price = book.get("price", change["price"], param="items[0][price]") if change.get("price") else None
            if item is None:
                if price is None:
                    raise SimulatedRefusal(400, "A new item needs a price.", param="items", code="parameter_missing")
                item = shapes.subscription_item(
                    book.new_id("si"), book.now, subscription=subscription["id"], price_record=price,
                    quantity=change.get("quantity", 1),
                )  # fmt: skip
                held.append(book.add(item))
                pairs.append((None, item))
                continue
            old = dict(item)
            if change.get("deleted"):
                held.remove(item)
                book.forget("subscription_item", (item["id"],))
                pairs.append((old, None))
                continue
            if price is not None:
                item.update(price=price, plan=shapes.plan_of(price))
            if "quantity" in change:
                item["quantity"] = change["quantity"]
            pairs.append((old, item))
        if not held:
            raise SimulatedRefusal(400, "A subscription must have at least one active plan.", param="items")
        subscription["items"]["total_count"] = len(held)
        return pairs

    def _prorate(
        self, subscription: Record, pairs: Sequence[tuple[Record | None, Record | None]], moment: int, *, charges: bool
    ) -> None:
        customer = self.book.get("customer", subscription["customer"])
        for old, new in pairs:
            same = old and new and old["price"] is new["price"] and old.get("quantity") == new.get("quantity")
            if same or is_metered(old or new or {}):
                continue
            if old is not None:
                self.invoices.add_item(customer, self._proration_line(subscription, old, moment, credit=True))
            if new is not None and charges:
                self.invoices.add_item(customer, self._proration_line(subscription, new, moment, credit=False))

    def _proration_line(self, subscription: Record, item: Record, moment: int, *, credit: bool) -> Record:
        """Price × quantity × the seconds that are left / the seconds of the period, discount already inside."""
        start, end = subscription["current_period_start"], subscription["current_period_end"]
        price, quantity = item["price"], item["quantity"]
        share = Fraction(max(end - moment, 0), end - start)
        discount = subscription["discount"]
        if discount and discount["coupon"]["percent_off"] is not None:
            share *= 1 - Fraction(str(discount["coupon"]["percent_off"])) / 100
        amount = half_up(price["unit_amount"] * quantity * share)
        last = self.book.private_of(item["id"]).get("last_line")
        named = f"{quantity} × {self._name_of(price)}" if quantity != 1 else self._name_of(price)
        return shapes.line_item(
            "il_pending",
            amount=-amount if credit else amount,
            currency=price["currency"],
            description=f"{'Unused' if credit else 'Remaining'} time on {named} after {day_words(moment)}",
            start=moment,
            end=end,
            price_record=price,
            quantity=quantity,
            subscription_id=subscription["id"],
            subscription_item_id=item["id"],
            proration=True,
            credited={"invoice": last[0], "invoice_line_items": [last[1]]} if credit and last else None,
            discountable=False,
        )

    def _restart_cycle(self, subscription: Record) -> Record:
        now = self.book.now
        names = ("billing_cycle_anchor", "current_period_start", "current_period_end")
        previous = {name: subscription[name] for name in names}
        subscription.update(billing_cycle_anchor=now, current_period_start=now)
        subscription["current_period_end"] = self._boundary_after(subscription, now)
        self._plan_renewal(subscription)
        return previous

    def update(
        self,
        subscription: Record,
        *,
        items: Sequence[Mapping[str, Any]] = (),
        proration_behavior: str = "create_prorations",
        proration_date: int | None = None,
        fields: Mapping[str, Any] | None = None,
        trial_end: int | None = None,
    ) -> Record:
        """Change a subscription: one `customer.subscription.updated` with everything that was different before."""
        book = self.book
        if subscription["status"] in ENDED:
            raise SimulatedRefusal(
                404, f"No such subscription: '{subscription['id']}'", code="resource_missing", param="id"
            )
        previous: Record = {}
        if trial_end is not None:
            previous.update(self._move_trial(subscription, trial_end))
        if items:
            previous.update(
                self.change_items(
                    subscription, items, proration_behavior=proration_behavior, proration_date=proration_date
                )
            )
        previous.update(book.change(subscription, **self._cancel_fields(subscription, dict(fields or {}))))
        if previous:
            bill_now = "current_period_start" in previous
            invoice = self._bill_change(
                subscription, whole=bill_now, asked=proration_behavior == "always_invoice" and bool(items)
            )
            if invoice is not None:
                previous["latest_invoice"] = book.private_of(invoice["id"])["replaced"]
            book.say("customer.subscription.updated", subscription, previous)
            if invoice is not None:
                book.say("invoice.created", invoice)
                self.invoices.open(invoice)
        return subscription

    def _move_trial(self, subscription: Record, trial_end: int) -> Record:
        """End a trial now, or move its end."""
        now = self.book.now
        if subscription["status"] != "trialing":
            raise SimulatedRefusal(400, "Only a subscription in its trial can move its trial_end.", param="trial_end")
        names = ("trial_end", "billing_cycle_anchor", "current_period_end")
        previous = {name: subscription[name] for name in names}
        if trial_end <= now:
            previous["status"] = "trialing"
            subscription.update(trial_end=now, status="active")
            return {**previous, **self._restart_cycle(subscription)}
        subscription.update(trial_end=trial_end, billing_cycle_anchor=trial_end, current_period_end=trial_end)
        self._plan_renewal(subscription)
        return previous

    def _cancel_fields(self, subscription: Record, fields: dict[str, Any]) -> dict[str, Any]:
        if "cancel_at_period_end" in fields and fields["cancel_at_period_end"] != subscription["cancel_at_period_end"]:
            going = fields["cancel_at_period_end"]
            details = subscription["cancellation_details"]
            fields["cancel_at"] = subscription["current_period_end"] if going else None
            fields["canceled_at"] = self.book.now if going else None
            fields["cancellation_details"] = {**details, "reason": "cancellation_requested" if going else None}
        return fields

    def _bill_change(
        self, subscription: Record, *, whole: bool, asked: bool, used: Span | None = None
    ) -> Record | None:
        """The invoice of a change, when one is due now: a new cycle's first period, or the prorations alone."""
        if not (whole or asked):
            return None
        customer = self.book.get("customer", subscription["customer"])
        if whole:
            lines = self.lines_of(subscription)
        else:
            waiting = self.invoices.pending_items(customer["id"], subscription["currency"], subscription["id"])
            lines = [self.invoices.line_of(item, None) for item in waiting] + self.usage.lines(subscription, used)
        if not lines:
            return None
        replaced = subscription["latest_invoice"]
        invoice = self._invoice(subscription, customer, "subscription_update", lines)
        self.book.private_of(invoice["id"])["replaced"] = replaced
        return invoice

    # ending

    def cancel(self, subscription: Record, *, invoice_now: bool = False, prorate: bool = False) -> Record:
        if subscription["status"] in ENDED:
            raise SimulatedRefusal(
                404, f"No such subscription: '{subscription['id']}'", code="resource_missing", param="id"
            )
        if prorate and subscription["status"] != "trialing":
            pairs = [(item, None) for item in subscription["items"]["data"]]
            self._prorate(subscription, pairs, self.book.now, charges=False)
        self.end(subscription, "cancellation_requested")
        if invoice_now:
            self._bill_rest(subscription)
        return subscription

    def _bill_rest(self, subscription: Record) -> None:
        used = (subscription["current_period_start"], self.book.now)
        invoice = self._bill_change(subscription, whole=False, asked=True, used=used)
        if invoice is not None:
            self.book.say("invoice.created", invoice)
            self.invoices.open(invoice)

    def end(self, subscription: Record, reason: str) -> None:
        book = self.book
        details = {**subscription["cancellation_details"], "reason": reason}
        subscription.update(
            status="canceled",
            ended_at=book.now,
            canceled_at=subscription["canceled_at"] or book.now,
            cancellation_details=details,
        )
        book.say("customer.subscription.deleted", subscription)
        latest = book.table("invoice").get(subscription["latest_invoice"] or "")
        if latest is not None and latest["status"] in ("draft", "open"):
            book.change(latest, "invoice.updated", auto_advance=False, next_payment_attempt=None)

    def _expire_incomplete(self, subscription: Record, invoice: Record) -> None:
        if subscription["status"] != "incomplete":
            return
        self.book.change(
            subscription, "customer.subscription.updated", status="incomplete_expired", ended_at=self.book.now
        )
        if invoice["status"] == "open":
            self.invoices.void(invoice)

    # what invoices tell

    def _invoice_paid(self, invoice: Record) -> None:
        subscription = self.book.table("subscription").get(invoice["subscription"] or "")
        if subscription is None or subscription["latest_invoice"] != invoice["id"]:
            return
        if subscription["status"] in ("incomplete", "past_due", "unpaid"):
            self.book.change(subscription, "customer.subscription.updated", status="active")

    def _invoice_failed(self, invoice: Record, *, exhausted: bool) -> None:
        subscription = self.book.table("subscription").get(invoice["subscription"] or "")
        if subscription is None or subscription["status"] in ("incomplete", *ENDED):
            return
        if subscription["status"] == "active":
            self.book.change(subscription, "customer.subscription.updated", status="past_due")
        if not exhausted:
            return
        if self.dunning_outcome == "canceled":
            self.end(subscription, "payment_failed")
        elif self.dunning_outcome == "unpaid":
            self.book.change(subscription, "customer.subscription.updated", status="unpaid")


def _cycle_of(subscription: Record) -> tuple[str, int]:
    recurring = subscription["items"]["data"][0]["price"]["recurring"]
    return recurring["interval"], recurring["interval_count"]


def _snapshot_items(subscription: Record) -> Record:
    items: Record = subscription["items"]
    return {**items, "data": [dict(item) for item in items["data"]]}
