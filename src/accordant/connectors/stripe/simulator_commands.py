"""What the Stripe stand-in's API can be asked to do: one function per write, found by method and path.

It reads parameters and calls the state machine; no rule of billing lives here. Reads are in `simulator_reading.py`.
"""

from collections.abc import Callable
from typing import Any

from accordant.connectors.stripe import simulator_searching as searching
from accordant.connectors.stripe import simulator_shapes as shapes
from accordant.connectors.stripe.simulator_account import SimulatedAccount
from accordant.connectors.stripe.simulator_events import Deliveries
from accordant.connectors.stripe.simulator_params import Params
from accordant.connectors.stripe.simulator_payments import DAY_S
from accordant.connectors.stripe.simulator_state import Record, SimulatedRefusal

Command = Callable[[str, Params], Record]


class Commands:
    """The writes of one account. Every command takes the id in the path (empty for a create) and the parameters."""

    def __init__(self, account: SimulatedAccount, deliveries: Deliveries) -> None:
        self.account = account
        self.book = account.book
        self.payments = account.payments
        self.invoices = account.invoices
        self.billing = account.billing
        self.deliveries = deliveries
        self._routes = self._table()

    def find(self, method: str, path: str) -> tuple[Command, str] | None:
        """The command of `POST /v1/customers/cus_1` and the id in it."""
        parts = path.strip("/").split("/")[1:]
        shape = "/".join([*parts[:1], *(["{}"] if len(parts) > 1 else []), *parts[2:]])
        command = self._routes.get(f"{method} {shape}")
        return None if command is None else (command, parts[1] if len(parts) > 1 else "")

    def _table(self) -> dict[str, Command]:
        return {
            "POST customers": self.create_customer,
            "POST customers/{}": self.update_customer,
            "DELETE customers/{}": self.delete_customer,
            "DELETE customers/{}/discount": self.delete_customer_discount,
            "POST products": self.create_product,
            "POST products/{}": self.update_product,
            "DELETE products/{}": self.delete_product,
            "POST prices": self.create_price,
            "POST prices/{}": self.update_price,
            "POST coupons": self.create_coupon,
            "POST tax_rates": self.create_tax_rate,
            "POST coupons/{}": self.update_coupon,
            "DELETE coupons/{}": self.delete_coupon,
            "POST payment_methods/{}/attach": self.attach_payment_method,
            "POST payment_methods/{}/detach": self.detach_payment_method,
            "POST subscriptions": self.create_subscription,
            "POST subscriptions/{}": self.update_subscription,
            "DELETE subscriptions/{}": self.cancel_subscription,
            "DELETE subscriptions/{}/discount": self.delete_subscription_discount,
            "POST subscription_items": self.create_subscription_item,
            "POST subscription_items/{}": self.update_subscription_item,
            "DELETE subscription_items/{}": self.delete_subscription_item,
            "POST subscription_items/{}/usage_records": self.record_usage,
            "POST invoiceitems": self.create_invoice_item,
            "DELETE invoiceitems/{}": lambda one, _: self.invoices.delete_item(self.book.get("invoiceitem", one)),
            "POST invoices": self.create_invoice,
            "POST invoices/{}": self.update_invoice,
            "DELETE invoices/{}": lambda one, _: self.invoices.delete_draft(self.book.get("invoice", one)),
            "POST invoices/{}/pay": self.pay_invoice,
            "POST invoices/{}/finalize": lambda one, _: self.invoices.finalize(self.book.get("invoice", one)),
            "POST invoices/{}/void": lambda one, _: self.invoices.void(self.book.get("invoice", one)),
            "POST invoices/{}/mark_uncollectible": lambda one, _: self.invoices.mark_uncollectible(
                self.book.get("invoice", one)
            ),
            "POST payment_intents": self.create_payment_intent,
            "POST refunds": self.create_refund,
            "POST refunds/{}": self.update_refund,
            "POST credit_notes": self.create_credit_note,
            "POST credit_notes/{}": self.update_credit_note,
            "POST credit_notes/{}/void": lambda one, _: self.invoices.void_credit(self.book.get("credit_note", one)),
            "POST disputes/{}": self.update_dispute,
            "POST disputes/{}/close": lambda one, _: self.payments.close_dispute(
                self.book.get("dispute", one), won=False
            ),
            "POST payouts": self.create_payout,
            "POST webhook_endpoints": self.create_endpoint,
            "POST webhook_endpoints/{}": self.update_endpoint,
            "DELETE webhook_endpoints/{}": self.delete_endpoint,
        }

    # customers and their cards

    def create_customer(self, _: str, given: Params) -> Record:
        fields: dict[str, Any] = {
            name: given.text(name) for name in ("name", "email", "phone", "description", "tax_exempt")
        }
        fields |= {"address": dict(given.table("address").tree), "metadata": given.metadata({})}
        fields["preferred_locales"] = given.words("preferred_locales")
        method = given.text("payment_method")
        customer = self.account.create_customer(fields)
        if method is not None:
            self._give_card(customer, method)
        if given.has("coupon"):
            self.billing.discounts.give(customer, self.book.get("coupon", given.needed("coupon"), param="coupon"))
        return customer

    def _give_card(self, customer: Record, method: str) -> Record:
        """Stripe's test cards keep their meaning: `pm_card_chargeCustomerFail` attaches and then declines."""
        card = self.payments.attach_card(customer)
        failing = "fail" in method.lower() or "decline" in method.lower()
        self.payments.set_card(customer["id"], failing=failing, decline_code="generic_decline")
        return card

    def update_customer(self, one: str, given: Params) -> Record:
        customer = self.book.get("customer", one)
        fields: dict[str, Any] = {
            name: given.text(name)
            for name in ("name", "email", "phone", "description", "tax_exempt")
            if given.has(name)
        }
        if given.has("address"):
            fields["address"] = shapes.address(given.table("address").tree)
        if given.has("preferred_locales"):
            fields["preferred_locales"] = given.words("preferred_locales")
        if given.has("metadata"):
            fields["metadata"] = given.metadata(customer["metadata"])
        if given.has("balance"):
            fields["balance"] = given.integer("balance")
        method = given.table("invoice_settings").text("default_payment_method")
        if method is not None:
            self.book.get("payment_method", method, param="invoice_settings[default_payment_method]")
            fields["invoice_settings"] = {**customer["invoice_settings"], "default_payment_method": method}
        searching.note_change(self.book, customer)
        self.book.change(customer, "customer.updated", **fields)
        return customer

    def delete_customer(self, one: str, _: Params) -> Record:
        return self.account.delete_customer(self.book.get("customer", one))

    def delete_customer_discount(self, one: str, _: Params) -> Record:
        return self._without_discount(self.book.get("customer", one))

    def delete_subscription_discount(self, one: str, _: Params) -> Record:
        return self._without_discount(self.book.get("subscription", one))

    def _without_discount(self, holder: Record) -> Record:
        gone = holder["discount"]
        if gone is None:
            raise SimulatedRefusal(404, f"No active discount for {holder['id']}", code="resource_missing")
        self.billing.discounts.give(holder, None)
        return {**gone, "deleted": True}

    def attach_payment_method(self, one: str, given: Params) -> Record:
        customer = self.book.get("customer", given.needed("customer"), param="customer")
        return self._give_card(customer, one)

    def detach_payment_method(self, one: str, _: Params) -> Record:
        method = self.book.get("payment_method", one)
        customer = self.book.table("customer").get(method["customer"] or "")
        previous = self.book.change(method, customer=None)
        self.book.say("payment_method.detached", method, previous)
        if customer is not None and customer["invoice_settings"]["default_payment_method"] == one:
            self.payments.set_default(customer, None)
        return method

    # the catalogue

    def create_product(self, _: str, given: Params) -> Record:
        names = ("id", "description", "statement_descriptor", "tax_code", "unit_label", "url")
        fields: dict[str, Any] = {name: given.text(name) for name in names}
        fields |= {"name": given.needed("name"), "metadata": given.metadata({})}
        if given.has("active"):
            fields["active"] = given.flag("active")
        return self.account.create_product(fields)

    def update_product(self, one: str, given: Params) -> Record:
        product = self.book.get("product", one)
        fields: dict[str, Any] = {
            name: given.text(name) for name in ("name", "description", "unit_label", "url") if given.has(name)
        }
        if given.has("active"):
            fields["active"] = given.flag("active")
        if given.has("metadata"):
            fields["metadata"] = given.metadata(product["metadata"])
        if given.has("default_price"):
            fields["default_price"] = given.text("default_price")
        self.book.change(product, "product.updated", updated=self.book.now, **fields)
        return product

    def delete_product(self, one: str, _: Params) -> Record:
        product = self.book.get("product", one)
        if any(price["product"] == one for price in self.book.table("price").values()):
            raise SimulatedRefusal(
                400, "This product cannot be deleted because it has one or more user-created prices."
            )
        self.book.say("product.deleted", product)
        self.book.forget("product", (one,))
        return {"id": one, "object": "product", "deleted": True}

    def create_price(self, _: str, given: Params) -> Record:
        if given.has("product_data"):
            product = self.create_product("", given.table("product_data"))
        else:
            product = self.book.get("product", given.needed("product"), param="product")
        amount = given.integer("unit_amount")
        if amount is None:
            raise SimulatedRefusal(
                400, "Missing required param: unit_amount.", code="parameter_missing", param="unit_amount"
            )
        recurring = given.table("recurring")
        fields = {name: given.text(name) for name in ("nickname", "lookup_key", "tax_behavior")}
        return self.account.create_price(
            product,
            currency=given.needed("currency"),
            unit_amount=amount,
            interval=recurring.needed("interval") if given.has("recurring") else None,
            interval_count=recurring.integer("interval_count") or 1,
            given={**fields, "usage_type": recurring.text("usage_type"), "metadata": given.metadata({})},
        )

    def update_price(self, one: str, given: Params) -> Record:
        price = self.book.get("price", one)
        fields: dict[str, Any] = {name: given.text(name) for name in ("nickname", "lookup_key") if given.has(name)}
        if given.has("active"):
            fields["active"] = given.flag("active")
        if given.has("metadata"):
            fields["metadata"] = given.metadata(price["metadata"])
        self.book.change(price, "price.updated", **fields)
        return price

    def create_coupon(self, _: str, given: Params) -> Record:
        percent = given.text("percent_off")
        fields: dict[str, Any] = {name: given.text(name) for name in ("id", "name", "currency", "duration")}
        fields |= {name: given.integer(name) for name in ("amount_off", "duration_in_months", "max_redemptions")}
        fields["percent_off"] = None if percent is None else float(percent)  # a percentage, shown as a JSON number
        fields["metadata"] = given.metadata({})
        return self.account.create_coupon(fields)

    def create_tax_rate(self, _: str, given: Params) -> Record:
        fields: dict[str, Any] = {name: given.text(name) for name in ("country", "description", "jurisdiction")}
        fields |= {name: given.needed(name) for name in ("display_name", "percentage")}
        return self.account.create_tax_rate({**fields, "inclusive": given.flag("inclusive")})

    def update_coupon(self, one: str, given: Params) -> Record:
        coupon = self.book.get("coupon", one)
        fields: dict[str, Any] = {"name": given.text("name")} if given.has("name") else {}
        if given.has("metadata"):
            fields["metadata"] = given.metadata(coupon["metadata"])
        self.book.change(coupon, "coupon.updated", **fields)
        return coupon

    def delete_coupon(self, one: str, _: Params) -> Record:
        self.book.say("coupon.deleted", self.book.get("coupon", one))
        self.book.forget("coupon", (one,))
        return {"id": one, "object": "coupon", "deleted": True}

    # subscriptions

    def create_subscription(self, _: str, given: Params) -> Record:
        customer = self.book.get("customer", given.needed("customer"), param="customer")
        items = [
            (self.book.get("price", item.needed("price"), param="items[0][price]"), item.integer("quantity") or 1)
            for item in given.tables("items")
        ]
        names = ("collection_method", "description", "default_payment_method")
        fields: dict[str, Any] = {name: given.text(name) for name in names}
        fields |= {"days_until_due": given.integer("days_until_due"), "metadata": given.metadata({})}
        fields["cancel_at_period_end"] = given.flag("cancel_at_period_end") or False
        fields["backdate_start_date"] = self._backdated(given)
        rates = given.words("default_tax_rates") or ()
        fields["default_tax_rates"] = [self.book.get("tax_rate", one, param="default_tax_rates") for one in rates]
        if fields["collection_method"] == "send_invoice" and fields["days_until_due"] is None:
            raise SimulatedRefusal(400, "`days_until_due` is needed with send_invoice.", param="days_until_due")
        return self.billing.subscribe(
            customer,
            items,
            trial_end=self._trial_end(given),
            coupon=self._coupon(given),
            payment_behavior=given.text("payment_behavior") or "allow_incomplete",
            prorates=self._proration(given) != "none",
            given=fields,
        )

    def _backdated(self, given: Params) -> int | None:
        """When it began, if that is past; what it would have cost since is billed unless prorations are off."""
        began = given.integer("backdate_start_date")
        if began is not None and began > self.book.now:
            raise SimulatedRefusal(400, "The start date must be in the past.", param="backdate_start_date")
        return began

    def _trial_end(self, given: Params) -> int | None:
        if given.text("trial_end") == "now":
            return self.book.now
        days = given.integer("trial_period_days")
        return given.integer("trial_end") if days is None else self.book.now + days * DAY_S

    def _coupon(self, given: Params) -> Record | None:
        named = given.text("coupon")
        for discount in given.tables("discounts") if isinstance(given.tree.get("discounts"), list) else ():
            named = discount.text("coupon")
        return None if named is None else self.book.get("coupon", named, param="coupon")

    def update_subscription(self, one: str, given: Params) -> Record:
        subscription = self.book.get("subscription", one)
        searching.note_change(self.book, subscription)
        if subscription["status"] == "canceled" and given.tree.keys() <= {"metadata", "expand"}:
            # All that an ended one still takes.
            changed = given.metadata(subscription["metadata"])
            self.book.change(subscription, "customer.subscription.updated", metadata=changed)
            return subscription
        fields: dict[str, Any] = {
            name: given.text(name)
            for name in ("description", "default_payment_method", "collection_method")
            if given.has(name)
        }
        if given.has("cancel_at_period_end"):
            fields["cancel_at_period_end"] = given.flag("cancel_at_period_end")
        if given.has("metadata"):
            fields["metadata"] = given.metadata(subscription["metadata"])
        if given.has("days_until_due"):
            fields["days_until_due"] = given.integer("days_until_due")
        if given.has("pause_collection"):
            pause = given.table("pause_collection")
            held = {"behavior": pause.text("behavior"), "resumes_at": pause.integer("resumes_at")}
            fields["pause_collection"] = held if pause.tree else None
        coupon = self._coupon(given)
        if coupon is not None:
            self.billing.discounts.give(subscription, coupon)
        elif given.tree.get("coupon") == "" or given.tree.get("discounts") == "":
            self.billing.discounts.give(subscription, None)
        return self.billing.update(
            subscription,
            items=[self._item_change(item) for item in given.tables("items")],
            proration_behavior=self._proration(given),
            proration_date=given.integer("proration_date"),
            fields=fields,
            trial_end=self._trial_end(given) if given.has("trial_end") else None,
        )

    @staticmethod
    def _proration(given: Params) -> str:
        asked = given.text("proration_behavior") or "create_prorations"
        if asked not in ("create_prorations", "always_invoice", "none"):
            raise SimulatedRefusal(400, f"Invalid proration_behavior: {asked}", param="proration_behavior")
        return asked

    @staticmethod
    def _item_change(item: Params) -> dict[str, Any]:
        change: dict[str, Any] = {name: item.text(name) for name in ("id", "price") if item.has(name)}
        if item.has("quantity"):
            change["quantity"] = item.integer("quantity")
        if item.flag("deleted"):
            change["deleted"] = True
        return change

    def cancel_subscription(self, one: str, given: Params) -> Record:
        return self.billing.cancel(
            self.book.get("subscription", one),
            invoice_now=given.flag("invoice_now") or False,
            prorate=given.flag("prorate") or False,
        )

    def create_subscription_item(self, _: str, given: Params) -> Record:
        subscription = self.book.get("subscription", given.needed("subscription"), param="subscription")
        self._change_item(subscription, given, {})
        item: Record = subscription["items"]["data"][-1]
        return item

    def update_subscription_item(self, one: str, given: Params) -> Record:
        item = self.book.get("subscription_item", one)
        self._change_item(self.book.get("subscription", item["subscription"]), given, {"id": one})
        return item

    def delete_subscription_item(self, one: str, given: Params) -> Record:
        item = self.book.get("subscription_item", one)
        self._change_item(self.book.get("subscription", item["subscription"]), given, {"id": one, "deleted": True})
        return {"id": one, "object": "subscription_item", "deleted": True}

    def record_usage(self, one: str, given: Params) -> Record:
        quantity = given.integer("quantity")
        if quantity is None:
            raise SimulatedRefusal(400, "Missing required param: quantity.", code="parameter_missing", param="quantity")
        item = self.book.get("subscription_item", one)
        return self.billing.usage.record(item, quantity=quantity, timestamp=given.integer("timestamp"))

    def _change_item(self, subscription: Record, given: Params, change: dict[str, Any]) -> None:
        self.billing.update(
            subscription,
            items=[{**self._item_change(given), **change}],
            proration_behavior=self._proration(given),
            proration_date=given.integer("proration_date"),
        )

    # invoices

    def create_invoice_item(self, _: str, given: Params) -> Record:
        customer = self.book.get("customer", given.needed("customer"), param="customer")
        price_id = given.text("price") or given.table("pricing").text("price")
        price = None if price_id is None else self.book.get("price", price_id, param="price")
        quantity = given.integer("quantity") or 1
        amount = given.integer("amount")
        if amount is None:
            if price is None:
                raise SimulatedRefusal(
                    400, "One of amount or price is needed.", code="parameter_missing", param="amount"
                )
            amount = price["unit_amount"] * quantity
        currency = price["currency"] if price else given.needed("currency").lower()
        line = shapes.line_item(
            "il_pending",
            amount=amount,
            currency=currency,
            description=given.text("description") or (price["nickname"] if price else None) or "Invoice item",
            start=self.book.now,
            end=self.book.now,
            price_record=price,
            quantity=quantity,
            subscription_id=given.text("subscription"),
        )
        named = given.text("invoice")
        target = None if named is None else self.book.get("invoice", named, param="invoice")
        return self.invoices.add_item(customer, line, invoice=target)

    def create_invoice(self, _: str, given: Params) -> Record:
        customer = self.book.get("customer", given.needed("customer"), param="customer")
        currency = given.text("currency") or customer["currency"] or "usd"
        lines: list[Record] = []
        if given.text("pending_invoice_items_behavior") == "include":
            waiting = self.invoices.pending_items(customer["id"], currency, given.text("subscription"))
            lines = [self.invoices.line_of(item, None) for item in waiting]
        invoice = self.invoices.draft(
            customer,
            currency=currency,
            lines=lines,
            billing_reason="manual",
            collection_method=given.text("collection_method") or "charge_automatically",
            given={
                "auto_advance": given.flag("auto_advance") or False,
                "description": given.text("description"),
                "metadata": given.metadata({}),
                "days_until_due": given.integer("days_until_due"),
            },
        )
        self.book.say("invoice.created", invoice)
        if invoice["auto_advance"]:
            self.invoices.open_later(invoice)
        return invoice

    def update_invoice(self, one: str, given: Params) -> Record:
        invoice = self.book.get("invoice", one)
        fields: dict[str, Any] = {name: given.text(name) for name in ("description", "footer") if given.has(name)}
        if given.has("metadata"):
            fields["metadata"] = given.metadata(invoice["metadata"])
        if given.has("auto_advance"):
            fields["auto_advance"] = given.flag("auto_advance")
        self.book.change(invoice, "invoice.updated", **fields)
        return invoice

    def pay_invoice(self, one: str, given: Params) -> Record:
        return self.invoices.pay(self.book.get("invoice", one), out_of_band=given.flag("paid_out_of_band") or False)

    # money back and forth

    def create_payment_intent(self, _: str, given: Params) -> Record:
        customer = self.book.get("customer", given.needed("customer"), param="customer")
        amount = given.integer("amount")
        if amount is None or amount <= 0:
            raise SimulatedRefusal(400, "Invalid positive integer", code="parameter_invalid_integer", param="amount")
        intent = self.payments.open_intent(
            amount=amount,
            currency=given.needed("currency").lower(),
            customer=customer,
            invoice_id=None,
            description=given.text("description"),
        )
        if given.flag("confirm"):
            charge = self.payments.attempt(intent, description=intent["description"])
            if charge is None or charge["status"] != "succeeded":
                raise SimulatedRefusal(
                    402,
                    "Your card was declined.",
                    code="card_declined",
                    kind="card_error",
                    decline_code="generic_decline",
                )
        return intent

    def create_refund(self, _: str, given: Params) -> Record:
        charge_id = given.text("charge")
        if charge_id is None:
            intent = self.book.get("payment_intent", given.needed("payment_intent"), param="payment_intent")
            charge_id = intent["latest_charge"] or ""
        charge = self.book.get("charge", charge_id, param="charge")
        fields = {"reason": given.text("reason"), "metadata": given.metadata({})}
        return self.payments.refund(charge, amount=given.integer("amount"), given=fields)

    def update_refund(self, one: str, given: Params) -> Record:
        refund = self.book.get("refund", one)
        self.book.change(refund, "charge.refund.updated", metadata=given.metadata(refund["metadata"]))
        return refund

    def create_credit_note(self, _: str, given: Params) -> Record:
        lines = []
        for line in given.tables("lines"):
            entry: dict[str, Any] = {name: line.text(name) for name in ("invoice_line_item", "description")}
            entry |= {name: line.integer(name) for name in ("amount", "unit_amount", "quantity") if line.has(name)}
            lines.append(entry)
        return self.invoices.credit(
            self.book.get("invoice", given.needed("invoice"), param="invoice"),
            amount=given.integer("amount"),
            lines=lines,
            refund_amount=given.integer("refund_amount") or 0,
            credit_amount=given.integer("credit_amount") or 0,
            out_of_band_amount=given.integer("out_of_band_amount") or 0,
            given={"memo": given.text("memo"), "reason": given.text("reason"), "metadata": given.metadata({})},
        )

    def update_credit_note(self, one: str, given: Params) -> Record:
        note = self.book.get("credit_note", one)
        fields: dict[str, Any] = {"memo": given.text("memo")} if given.has("memo") else {}
        if given.has("metadata"):
            fields["metadata"] = given.metadata(note["metadata"])
        self.book.change(note, "credit_note.updated", **fields)
        return note

    def update_dispute(self, one: str, given: Params) -> Record:
        dispute = self.book.get("dispute", one)
        if given.has("metadata"):
            dispute["metadata"] = given.metadata(dispute["metadata"])
        submit = given.flag("submit")
        return self.payments.submit_evidence(dispute, given.table("evidence").tree, submit=submit is not False)

    def create_payout(self, _: str, given: Params) -> Record:
        payout = self.payments.create_payout(
            given.needed("currency").lower(), automatic=False, amount=given.integer("amount")
        )
        if payout is None:
            raise SimulatedRefusal(
                400, "You have insufficient funds in your Stripe account.", code="balance_insufficient"
            )
        return payout

    # webhook endpoints

    def create_endpoint(self, _: str, given: Params) -> Record:
        return self.add_endpoint(
            given.needed("url"), enabled_events=given.words("enabled_events"), api_version=given.text("api_version")
        )

    def add_endpoint(
        self, url: str, *, enabled_events: list[str], api_version: str | None = None, secret: str | None = None
    ) -> Record:
        """Register a webhook endpoint; only this answer shows its secret."""
        book = self.book
        endpoint = shapes.webhook_endpoint(
            book.new_id("we"), book.now, url=url, enabled_events=enabled_events or ["*"], api_version=api_version
        )
        made = secret or "whsec_" + book.new_id("secret").removeprefix("secret_")
        book.add(endpoint)
        book.endpoint_versions[endpoint["id"]] = api_version or book.api_version
        self.deliveries.set_secret(endpoint["id"], made)
        return {**endpoint, "secret": made}

    def update_endpoint(self, one: str, given: Params) -> Record:
        endpoint = self.book.get("webhook_endpoint", one)
        if given.has("url"):
            endpoint["url"] = given.needed("url")
        if given.has("enabled_events"):
            endpoint["enabled_events"] = given.words("enabled_events")
        if given.has("disabled"):
            endpoint["status"] = "disabled" if given.flag("disabled") else "enabled"
        return endpoint

    def delete_endpoint(self, one: str, _: Params) -> Record:
        self.book.get("webhook_endpoint", one)
        self.deliveries.drop_endpoint(one)
        self.book.endpoint_versions.pop(one, None)
        self.book.forget("webhook_endpoint", (one,))
        return {"id": one, "object": "webhook_endpoint", "deleted": True}
