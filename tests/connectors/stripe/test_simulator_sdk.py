"""Two judges nobody here wrote: the official Stripe SDK drives the stand-in, Stripe's specification reads its answers.

What the stand-in computes is tested in test_simulator.py; here it is whether Stripe's own software believes it.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
import stripe
from aiohttp import web

from accordant.connectors.stripe.simulator import StripeSimulator
from accordant.connectors.stripe.simulator_state import Record
from accordant.connectors.stripe.simulator_versions import CURRENT, PINNED
from accordant.connectors.stripe.simulator_world import API_KEY
from accordant.testing.contracts import ContractJudge, Specification, load_specification

DAY = 86_400
T = TypeVar("T")
SECRET = "whsec_sdk"


def sdk(simulator: StripeSimulator, version: str = PINNED, retries: int = 0) -> stripe.StripeClient:
    return stripe.StripeClient(
        API_KEY,
        base_addresses={"api": simulator.url},
        stripe_version=version,
        max_network_retries=retries,
        http_client=stripe.RequestsClient(timeout=3) if retries else stripe.RequestsClient(),
    )


async def using(work: Callable[[], T]) -> T:
    """The SDK blocks, the stand-in lives in this loop: let the SDK work in a thread."""
    return await asyncio.to_thread(work)


@pytest.fixture
async def hook() -> AsyncIterator[tuple[str, list[tuple[bytes, str]]]]:
    got: list[tuple[bytes, str]] = []

    async def take(request: web.Request) -> web.Response:
        got.append((await request.read(), request.headers["Stripe-Signature"]))
        return web.Response()

    application = web.Application()
    application.router.add_post("/hook", take)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/hook", got
    await runner.cleanup()


@pytest.fixture
async def simulator() -> AsyncIterator[StripeSimulator]:
    async with StripeSimulator() as made:
        yield made


@pytest.fixture(scope="module")
def specification(contracts: Path) -> Specification:
    return load_specification(contracts / "stripe" / "spec3-2024-04-10.json.gz")


def live_a_life(simulator: StripeSimulator, client: stripe.StripeClient) -> str:
    """Touch every kind of object once, most of them through the SDK; the customer's id."""
    api = client.v1
    customer = api.customers.create(
        {
            "name": "Ünal Çelik GmbH",
            "email": "pay@celik.example",
            "payment_method": "pm_card_visa",
            "address": {"city": "Köln", "country": "DE"},
            "metadata": {"account": "A-1"},
        }
    )
    product = api.products.create({"name": "Pro"})
    small, large = (
        api.prices.create(
            {"product": product.id, "unit_amount": amount, "currency": "eur", "recurring": {"interval": "month"}}
        )
        for amount in (4_900, 9_900)
    )
    coupon = api.coupons.create({"percent_off": 25.5, "duration": "forever"})
    subscription = api.subscriptions.create(
        {"customer": customer.id, "items": [{"price": small.id}], "discounts": [{"coupon": coupon.id}]}
    )
    _bill_with_tax(api, small.id)
    simulator.advance(10 * DAY)
    item = subscription["items"].data[0].id
    api.subscriptions.update(
        subscription.id, {"items": [{"id": item, "price": large.id}], "proration_behavior": "always_invoice"}
    )
    api.subscriptions.update(subscription.id, {"items": [{"id": item, "quantity": 3}]})
    later, first = api.charges.list({"customer": customer.id}).data
    api.refunds.create({"charge": later.id, "amount": 10, "reason": "requested_by_customer"})
    oldest = api.invoices.list({"subscription": subscription.id}).data[-1]
    api.credit_notes.create({"invoice": oldest.id, "amount": 100, "credit_amount": 100})
    dispute = simulator.open_dispute(first.id)
    api.disputes.update(dispute["id"], {"evidence": {"uncategorized_text": "They used it."}})
    simulator.win_dispute(dispute["id"])
    simulator.advance(5 * DAY)
    simulator.create_payout()
    simulator.decline_next_payment(customer.id)
    simulator.advance(40 * DAY)
    sent = api.invoices.create({"customer": customer.id, "collection_method": "send_invoice", "days_until_due": 30})
    api.invoice_items.create({"customer": customer.id, "invoice": sent.id, "amount": 500, "currency": "eur"})
    api.invoices.finalize_invoice(sent.id)
    api.invoices.void_invoice(sent.id)
    return customer.id


def _bill_with_tax(api: Any, price: str) -> None:
    """Tax inside the price, tax on top of it, and a customer who owes it himself."""
    for is_inside, exempt in ((True, "none"), (False, "none"), (False, "reverse")):
        rate = {"display_name": "VAT", "percentage": 19, "inclusive": is_inside, "country": "DE"}
        rates = [api.tax_rates.create(rate).id]
        buyer = api.customers.create({"name": "EXAMPLE-2", "payment_method": "pm_card_visa", "tax_exempt": exempt})
        api.subscriptions.create({"customer": buyer.id, "items": [{"price": price}], "default_tax_rates": rates})


def read_everything(client: stripe.StripeClient) -> int:
    """List and retrieve every kind; how many objects were read."""
    api, count = client.v1, 0
    names = (
        "balance_transactions charges coupons credit_notes customers disputes events invoice_items invoices "
        "payment_intents payouts prices products refunds subscriptions tax_rates webhook_endpoints"
    )
    for name in names.split():
        service: Any = getattr(api, name)
        for one in service.list({"limit": 100}).data:
            service.retrieve(one.id)
            count += 1
    payout = api.payouts.list().data[0]
    parts = api.balance_transactions.list({"payout": payout.id, "expand": ["data.source"]}).data
    assert sum(part.net for part in parts) == 0
    sources: list[Any] = [part.source for part in parts]
    assert {source.object for source in sources} >= {"charge", "refund", "dispute", "payout"}
    api.balance.retrieve()
    return count


async def test_every_request_and_answer_keeps_stripes_specification(specification: Specification) -> None:
    judge = ContractJudge(specification)
    async with StripeSimulator(middlewares=[judge.middleware]) as simulator:
        client = sdk(simulator)
        await using(lambda: live_a_life(simulator, client))
        read = await using(lambda: read_everything(client))
        assert read > 50
        assert judge.checked > read
        judge.verify()


_EVENT_PATHS = {"invoiceitem": "invoiceitems", "subscription": "subscriptions"}


async def test_every_event_and_its_object_keep_stripes_specification(
    specification: Specification, simulator: StripeSimulator
) -> None:
    await using(lambda: live_a_life(simulator, sdk(simulator)))
    kinds = set()
    for event in simulator.events():
        body = json.loads(event.body())
        shown = body["data"]["object"]
        found = list(specification.check_response("GET", f"/v1/events/{event.id}", 200, body=event.body()))
        kinds.add(shown["object"])
        if "id" in shown and shown["object"] != "discount":
            path = f"/v1/{_EVENT_PATHS.get(shown['object'], shown['object'] + 's')}/{shown['id']}"
            found += specification.check_response("GET", path, 200, body=json.dumps(shown).encode())
        assert not found, f"{event.type}: {found[0]}"
    assert {"subscription", "invoice", "charge", "dispute", "payout", "refund", "credit_note"} <= kinds


def test_the_specification_would_notice(specification: Specification) -> None:
    wrong = json.dumps({"id": "cus_1", "object": "customer", "created": "yesterday", "livemode": False}).encode()
    assert specification.check_response("GET", "/v1/customers/cus_1", 200, body=wrong)


_TYPES: dict[str, type] = {
    "balance_transaction": stripe.BalanceTransaction,
    "charge": stripe.Charge,
    "coupon": stripe.Coupon,
    "credit_note": stripe.CreditNote,
    "customer": stripe.Customer,
    "discount": stripe.Discount,
    "dispute": stripe.Dispute,
    "invoice": stripe.Invoice,
    "invoice_payment": stripe.InvoicePayment,
    "invoiceitem": stripe.InvoiceItem,
    "line_item": stripe.InvoiceLineItem,
    "payment_intent": stripe.PaymentIntent,
    "payment_method": stripe.PaymentMethod,
    "payout": stripe.Payout,
    "price": stripe.Price,
    "product": stripe.Product,
    "refund": stripe.Refund,
    "subscription": stripe.Subscription,
    "subscription_item": stripe.SubscriptionItem,
    "tax_rate": stripe.TaxRate,
}


# Not in Stripe's own fixtures either: they appear when they apply.
_WHEN_IT_APPLIES = {
    ("charge", "transfer"),
    ("invoice", "id"),  # `invoice.upcoming` has none
    ("payment_intent", "payment_record"),
    ("refund", "failure_balance_transaction"),
    ("refund", "pending_reason"),
}


def misfits(shown: Record, where: str) -> list[str]:
    """Where an object of the current version has a field the SDK's type lacks, or lacks one it must have."""
    kind = _TYPES.get(shown.get("object", ""))
    found = []
    if kind is not None:
        fields = {name: words for name, words in kind.__annotations__.items() if name != "OBJECT_NAME"}
        found += [f"{where}.{name} is unknown to the SDK" for name in shown if name not in fields]
        needed = {name for name, words in fields.items() if "Optional[" not in str(words)[:20]}
        absent = {name for name in needed - set(shown) if (shown["object"], name) not in _WHEN_IT_APPLIES}
        found += [f"{where}.{name} is missing" for name in sorted(absent)]
    for name, value in shown.items():
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, dict):
                found += misfits(part, f"{where}.{name}")
    return found


async def test_the_current_version_has_the_fields_of_the_sdks_types() -> None:
    async with StripeSimulator(api_version=CURRENT) as simulator:
        client = sdk(simulator, CURRENT)
        await using(lambda: live_a_life(simulator, client))
        found = {
            line
            for event in simulator.events()
            for line in misfits(json.loads(event.body())["data"]["object"], event.type)
        }
        assert not found, sorted(found)[:20]

        def links() -> list[Any]:
            invoice = client.v1.invoices.list({"limit": 1, "status": "paid", "expand": ["data.payments"]}).data[0]
            assert invoice.parent is not None
            assert invoice.payments is not None
            (payment,) = invoice.payments.data
            asked = {"payment": {"type": "payment_intent", "payment_intent": payment.payment.payment_intent}}
            return [one.invoice for one in client.v1.invoice_payments.list(asked).data] + [invoice.id]  # type: ignore[arg-type]

        found_invoice, invoice_id = await using(links)
        assert found_invoice == invoice_id


def test_the_misfit_finder_would_notice() -> None:
    found = misfits({"object": "refund", "colour": "red"}, "x")
    assert found[0] == "x.colour is unknown to the SDK"
    assert "x.amount is missing" in found


async def test_the_sdk_believes_every_signature(hook: tuple[str, list[tuple[bytes, str]]]) -> None:
    url, got = hook
    async with StripeSimulator(webhook_url=url, webhook_secret=SECRET, signing_clock=wall) as simulator:
        await using(lambda: live_a_life(simulator, sdk(simulator)))
        assert await simulator.drain() == 0
        assert len(got) == len(simulator.events())
        for body, header in got:
            event = stripe.Webhook.construct_event(body, header, SECRET)
            assert event.id.startswith("evt_")
        body, header = got[0]
        with pytest.raises(stripe.SignatureVerificationError):
            stripe.Webhook.construct_event(body + b" ", header, SECRET)
        with pytest.raises(stripe.SignatureVerificationError):
            stripe.Webhook.construct_event(body, header, "whsec_other")


async def test_both_secrets_are_believed_while_one_rolls(hook: tuple[str, list[tuple[bytes, str]]]) -> None:
    url, got = hook
    async with StripeSimulator(webhook_url=url, webhook_secret=SECRET, signing_clock=wall) as simulator:
        (endpoint,) = simulator.book.table("webhook_endpoint")
        simulator.roll_secret(endpoint, "whsec_new")
        await using(lambda: sdk(simulator).v1.products.create({"name": "P"}))
        await simulator.drain()
        for secret in (SECRET, "whsec_new"):
            stripe.Webhook.construct_event(*got[0], secret)


def wall() -> int:
    from time import time

    return int(time())


async def test_the_sdk_pages_through_everything_newest_first(simulator: StripeSimulator) -> None:
    def work() -> tuple[list[str], list[str], list[str]]:
        api = sdk(simulator).v1
        made = [api.customers.create({"name": f"c{number}"}).id for number in range(23)]
        forward = [one.id for one in api.customers.list({"limit": 5}).auto_paging_iter()]
        oldest_first = [
            one.data.object["id"]
            for one in api.events.list({"limit": 4, "ending_before": first(api)}).auto_paging_iter()
        ]
        return made, forward, oldest_first

    def first(api: Any) -> str:
        oldest: str = api.events.list({"limit": 100}).data[-1].id
        return oldest

    made, forward, oldest_first = await using(work)
    assert forward == made[::-1]
    assert oldest_first == made[1:]  # the recovery order: walking back from a known event gives time order


async def test_the_sdk_retries_and_the_customer_exists_once(simulator: StripeSimulator) -> None:
    client = sdk(simulator, retries=3)
    for kind in ("timeout_after_commit", "rate_limit", "server_error"):
        simulator.fail_next(kind, delay_s=0.01, retry_after_s=0, method="POST")
    before = simulator.door.request_count
    customer = await using(lambda: client.v1.customers.create({"name": "Once"}))
    assert simulator.door.request_count - before == 4
    (event,) = simulator.events("customer.created")
    assert event.as_object()["data"]["object"]["id"] == customer.id


async def test_refusals_arrive_as_the_sdks_own_errors(simulator: StripeSimulator) -> None:
    def work() -> None:
        api = sdk(simulator).v1
        with pytest.raises(stripe.InvalidRequestError) as missing:
            api.customers.retrieve("cus_none")
        assert (missing.value.code, missing.value.http_status) == ("resource_missing", 404)
        customer = api.customers.create({"payment_method": "pm_card_chargeCustomerFail"})
        price = api.prices.create(
            {"currency": "jpy", "unit_amount": 500, "recurring": {"interval": "month"}, "product_data": {"name": "P"}}
        )
        with pytest.raises(stripe.CardError):
            api.subscriptions.create(
                {"customer": customer.id, "items": [{"price": price.id}], "payment_behavior": "error_if_incomplete"}
            )
        api.customers.create({"name": "A"}, {"idempotency_key": "k"})
        with pytest.raises(stripe.IdempotencyError):
            api.customers.create({"name": "B"}, {"idempotency_key": "k"})
        with pytest.raises(stripe.AuthenticationError):
            stripe.StripeClient("sk_wrong", base_addresses={"api": simulator.url}).v1.customers.list()
        simulator.fail_next("rate_limit")
        with pytest.raises(stripe.RateLimitError):
            api.customers.list()

    await using(work)


async def test_expansion_and_deletion_through_the_sdk(simulator: StripeSimulator) -> None:
    def work() -> None:
        client = sdk(simulator)
        customer_id = live_a_life(simulator, client)
        api = client.v1
        subscription: Any = api.subscriptions.list(
            {"customer": customer_id, "expand": ["data.customer", "data.latest_invoice.payment_intent.latest_charge"]}
        ).data[0]
        assert subscription.customer.name == "Ünal Çelik GmbH"
        assert subscription.latest_invoice.payment_intent.latest_charge.object == "charge"
        same: Any = api.subscriptions.retrieve(subscription.id, {"expand": ["items.data.price.product"]})
        assert same["items"].data[0].price.product.name == "Pro"
        api.subscriptions.update(subscription.id, {"cancel_at_period_end": True, "metadata": {"why": "price"}})
        api.subscriptions.cancel(subscription.id)
        assert api.subscriptions.list({"customer": customer_id}).data == []
        assert len(api.subscriptions.list({"customer": customer_id, "status": "all"}).data) == 1
        api.customers.delete(customer_id)
        gone: Any = api.customers.retrieve(customer_id)
        assert gone.deleted

    await using(work)
    assert simulator.events()[-1].type == "customer.deleted"
