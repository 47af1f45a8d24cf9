"""The story of the demo, chapter by chapter. Every check looks into the billing system and Salesforce themselves.

The same story is the end-to-end test; what it came to is counted in `report.py`. Next: `live.py`, which runs it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from accordant.canonical.review import ReviewAction
from accordant.demo.report import Closing, compare, doubled_effects, show
from accordant.demo.stage import Stage
from accordant.operations.review import Decided
from accordant.store.review import SqlReviews
from accordant.views.trouble import trouble

#: The company had customers before the story begins.
PAST_ACCOUNTS = 10
PAST_MONTHS = 8
#: Days that pass from the first chapter to the last; the story begins that long ago, so that it ends about now.
STORY_DAYS = 109
STORM_ROUNDS = 2
#: How long the audience waits for a value to appear.
LOOK_SECONDS_MAX = 20.0
_SAME_SECOND_TRIES = 10
_EARLY_IN_SECOND = 0.4


class CheckFailed(Exception):
    """The story is not true: the message says what was to be seen and what was there."""


class Cast(msgspec.Struct):
    """Who plays: customers and prices by name. Filled as the chapters go."""

    customers: dict[str, str] = {}
    prices: dict[str, str] = {}
    subscriptions: dict[str, str] = {}


class Play:
    """One performance: the stage, the cast, and where the audience reads."""

    def __init__(self, stage: Stage, console: Console) -> None:
        self.stage = stage
        self.console = console
        self.cast = Cast()
        #: What was seen, in the order it was seen.
        self.seen: list[str] = []

    def say(self, sentence: str) -> None:
        """Tell the audience that a check held."""
        self.seen.append(sentence)
        self.console.print(f"  [green]✓[/green] {sentence}", highlight=False)

    def check(self, holds: bool, sentence: str, found: object = None) -> None:  # noqa: FBT001  a check reads as one
        """Hold the story to its word. Raises: CheckFailed."""
        if not holds:
            raise CheckFailed(f"Not true: {sentence}" + ("" if found is None else f" Found: {found!r}."))
        self.say(sentence)

    def account(self, name: str) -> dict[str, Any]:
        """What Salesforce holds of a customer; empty before it arrives."""
        return self._record("Account", self.cast.customers[name])

    def billed_accounts(self) -> list[dict[str, Any]]:
        """The Accounts that are some billing customer's."""
        org = self.stage.salesforce.org
        found = (dict(one.values) for one in org.live(org.object("Account")))
        return [one for one in found if one.get("Billing_Customer_Id__c") is not None]

    def known_to_sales(self, website: str) -> list[str]:
        """The ids of the Accounts with a website, which billing does not know."""
        org = self.stage.salesforce.org
        return sorted(one.id for one in org.live(org.object("Account")) if website in str(one.values.get("Website")))

    def subscription(self, name: str) -> dict[str, Any]:
        """What Salesforce holds of a customer's subscription; empty before it arrives."""
        return self._record("Billing_Subscription__c", self.cast.subscriptions[name])

    def _record(self, object_name: str, key: str) -> dict[str, Any]:
        try:
            return dict(self.stage.salesforce.record(object_name, key))
        except KeyError:
            return {}

    async def shows(self, name: str, field: str, value: object, words: str) -> None:
        """Wait until the Account shows a value, and say how long it took."""
        took = await self.stage.until(
            lambda: self.account(name).get(field) == value,
            f"{name}: {field} = {value!r} in Salesforce",
            LOOK_SECONDS_MAX,
        )
        self.say(f"{name}: Salesforce shows {words} within {max(took, 0.05):.1f} s.")

    async def new_customer(self, name: str, email: str, **more: str) -> str:
        """A customer with a working card."""
        made = await self.stage.ask("POST", "customers", name=name, email=email, payment_method="pm_card_visa", **more)
        self.cast.customers[name] = made["id"]
        return str(made["id"])

    async def subscribe(self, name: str, price: str, quantity: int = 1, **more: str | int) -> dict[str, Any]:
        """Start a subscription; the first payment follows at once."""
        form: dict[str, str | int] = {
            "items[0][price]": self.cast.prices[price],
            "items[0][quantity]": quantity,
            **more,
        }
        made = await self.stage.ask(
            "POST",
            "subscriptions",
            customer=self.cast.customers[name],
            **form,
        )
        self.cast.subscriptions[name] = made["id"]
        return made

    async def charges(self, name: str) -> list[dict[str, Any]]:
        """A customer's charges, newest first, as billing lists them."""
        return await self.stage.list_all("charges", customer=self.cast.customers[name])


#: Label, product, currency, minor units a cycle, cycle.
CATALOGUE = (
    ("Growth EUR", "Growth", "eur", 49_000, "month"),
    ("Scale EUR", "Scale", "eur", 129_000, "month"),
    ("Growth USD", "Growth", "usd", 52_000, "month"),
    ("Growth JPY", "Growth", "jpy", 720_000, "year"),
)
MUELLER = "Müller & Söhne GmbH"
TOKYO = "東京精機株式会社"
NORTHWIND = "Northwind Traders, Inc."
THISTLE = "Thistle & Daughters Ltd"
LODZ = "Łódź Packaging Sp. z o.o."
REFUSED = "Éclair & Fils S.A."


async def a_company_with_a_past(play: Play) -> None:
    """Ten customers and their last months arrive as a provider would send them: signed, in bulk, not in order."""
    stage = play.stage
    stage.stripe.hold_deliveries()
    stage.stripe.play_history(accounts=PAST_ACCOUNTS, months=PAST_MONTHS, seed=7, deliver=True)
    stage.clock.leap(timedelta(seconds=max(0, stage.stripe.now - stage.clock.unix())))
    count = len(stage.stripe.deliveries.held_ids)
    stage.stripe.release_deliveries()
    await stage.settled()
    held = len(play.billed_accounts())
    play.check(held == PAST_ACCOUNTS, f"{count} events of the past arrived and became {held} Accounts.", held)


async def new_customers_subscribe(play: Play) -> None:
    """Three companies sign up, in three currencies; sales sees them without asking anybody."""
    stage = play.stage
    products = {name: await stage.ask("POST", "products", name=name) for name in ("Growth", "Scale")}
    for label, product, currency, amount, interval in CATALOGUE:
        price = await stage.ask(
            "POST",
            "prices",
            product=products[product]["id"],
            currency=currency,
            unit_amount=amount,
            **{"recurring[interval]": interval},
        )
        play.cast.prices[label] = price["id"]
    await play.new_customer(MUELLER, "rechnung@mueller-soehne.example")
    await play.subscribe(MUELLER, "Growth EUR")
    await play.shows(MUELLER, "Billing_MRR__c", Decimal("490.00"), "Active with 490.00 EUR a month")
    (known,) = play.known_to_sales("mueller-soehne.example")
    play.check(
        play.account(MUELLER)["Id"] == known, f"{MUELLER}: found by its domain and name in the Account that sales had."
    )
    await play.new_customer(TOKYO, "keiri@tokyo-seiki.example")
    await play.subscribe(TOKYO, "Growth JPY")
    await play.shows(TOKYO, "Billing_MRR__c", Decimal("60000.00"), "60000 JPY a month, an annual price by the month")
    await play.new_customer(NORTHWIND, "ap@northwind.example")
    await play.subscribe(NORTHWIND, "Growth USD", quantity=3)
    await play.new_customer(LODZ, "faktury@lodz-packaging.example")
    await play.subscribe(LODZ, "Growth EUR")
    await a_person_says_whose_record_it_is(play)
    await stage.settled()
    linked = play.subscription(NORTHWIND).get("Account__c")
    play.check(linked == play.account(NORTHWIND)["Id"], f"{NORTHWIND}: the subscription hangs on its Account.", linked)


async def a_person_says_whose_record_it_is(play: Play) -> None:
    """Sales has one company twice: nothing is written until a person has said which of the two it is."""
    stage = play.stage
    desk = SqlReviews(stage.database)
    await stage.until(lambda: bool(desk.open_cases(limit=1)), f"{LODZ}: a person is asked whose record it is")
    (asked,) = desk.open_cases(limit=2)
    play.check(play.account(LODZ) == {}, f"{LODZ}: nothing is written, and a person is asked: {asked.case.why}")
    first, second = play.known_to_sales("lodz-packaging.example")
    answer = await stage.hub.review_room.decide(
        ReviewAction.ACCEPT, asked.case.id, actor="RevOps", reason="The other was made by mistake.", target_id=first
    )
    play.check(isinstance(answer, Decided), f"{LODZ}: RevOps decided.", answer)
    stage.wake()
    await play.shows(LODZ, "Billing_MRR__c", Decimal("490.00"), "Active with 490.00 EUR a month")
    other = stage.salesforce.record("Account", second)
    play.check(other.get("Billing_Customer_Id__c") is None, f"{LODZ}: the other Account is as sales left it.", other)


async def upgrade_in_mid_term(play: Play) -> None:
    """Ten days into the month a customer moves to the larger plan; billing prorates, and the CRM follows at once."""
    stage = play.stage
    await stage.pass_days(10)
    subscription = await stage.ask("GET", f"subscriptions/{play.cast.subscriptions[MUELLER]}")
    item = subscription["items"]["data"][0]["id"]
    await stage.ask(
        "POST",
        f"subscriptions/{subscription['id']}",
        proration_behavior="always_invoice",
        **{"items[0][id]": item, "items[0][price]": play.cast.prices["Scale EUR"]},
    )
    await play.shows(MUELLER, "Billing_MRR__c", Decimal("1290.00"), "1290.00 EUR a month on the plan Scale")
    await stage.settled()
    paid = await play.charges(MUELLER)
    prorated = Decimal(paid[0]["amount"]) / 100
    play.check(
        Decimal(0) < prorated < Decimal(800), f"Billing charged {prorated} EUR for the rest of the month.", prorated
    )
    account = play.account(MUELLER)
    play.check(
        account["Billing_Lifetime_Value__c"] == sum(Decimal(one["amount"]) for one in paid) / 100,
        f"Lifetime value in Salesforce is the sum of both charges: {account['Billing_Lifetime_Value__c']} EUR.",
        account["Billing_Lifetime_Value__c"],
    )


async def a_payment_fails_and_recovers(play: Play) -> None:
    """A card is declined at renewal. Sales sees it before the customer calls, and sees it healed."""
    stage = play.stage
    stage.stripe.set_card(play.cast.customers[NORTHWIND], failing=True)
    await stage.pass_days(22)
    await play.shows(NORTHWIND, "Billing_Status__c", "Past due", "Past due")
    account = play.account(NORTHWIND)
    play.check(
        account["Billing_At_Risk_MRR__c"] == Decimal("1560.00")
        and account["Billing_Payment_Method_Status__c"] == "Failing",
        f"{NORTHWIND}: 1560.00 USD a month are at risk, and the payment method is Failing.",
        account["Billing_At_Risk_MRR__c"],
    )
    stage.stripe.set_card(play.cast.customers[NORTHWIND], failing=False)
    unpaid = await stage.list_all("invoices", customer=play.cast.customers[NORTHWIND], status="open")
    for invoice in unpaid:
        await stage.ask("POST", f"invoices/{invoice['id']}/pay")
    await play.shows(NORTHWIND, "Billing_Status__c", "Active", "Active again")
    await stage.settled()
    left = play.account(NORTHWIND)["Billing_Past_Due_Amount__c"]
    play.check(left == 0, f"{NORTHWIND}: nothing is past due any more.", left)


async def cancel_at_period_end(play: Play) -> None:
    """A customer cancels, pays until the period ends, and is gone after it: Cancelling, then Churned."""
    stage = play.stage
    await stage.ask("POST", f"subscriptions/{play.cast.subscriptions[LODZ]}", cancel_at_period_end="true")
    await play.shows(LODZ, "Billing_Status__c", "Cancelling", "Cancelling, with no renewal ahead")
    await stage.settled()
    renewal = play.account(LODZ).get("Billing_Next_Renewal__c")
    play.check(renewal is None, f"{LODZ}: no next renewal.", renewal)
    await stage.pass_days(31)
    await play.shows(LODZ, "Billing_Status__c", "Churned", "Churned after the last paid day")
    await stage.settled()
    play.check(play.account(LODZ)["Billing_MRR__c"] == 0, f"{LODZ}: no recurring revenue left.")
    ended = play.subscription(LODZ)
    play.check(ended["Status__c"] == "Cancelled", f"{LODZ}: the subscription ended on {ended.get('Ended__c')}.", ended)


async def late_by_the_calendar_alone(play: Play) -> None:
    """An invoice sent by mail stays unpaid. No event says so on the day it becomes late; sales sees it all the same."""
    stage = play.stage
    made = await stage.ask("POST", "customers", name=THISTLE, email="accounts@thistle.example")
    play.cast.customers[THISTLE] = made["id"]
    await play.subscribe(THISTLE, "Growth EUR", collection_method="send_invoice", days_until_due=7)
    await stage.settled()
    owed = play.account(THISTLE)["Billing_Past_Due_Amount__c"]
    play.check(owed == 0, f"{THISTLE}: nothing is past due before the day.", owed)
    await stage.pass_days(9)
    await play.shows(THISTLE, "Billing_Past_Due_Amount__c", Decimal("490.00"), "490.00 EUR past due")
    await stage.settled()


async def subscribe_again(play: Play) -> None:
    """They come back. The same Account wakes up; nobody makes a second one."""
    stage = play.stage
    accounts = stage.salesforce.count("Account")
    await stage.pass_days(5)
    await play.subscribe(LODZ, "Growth EUR", quantity=2)
    await play.shows(LODZ, "Billing_Status__c", "Active", "Active again")
    await stage.settled()
    play.check(stage.salesforce.count("Account") == accounts, f"There are {accounts} Accounts, as before.", accounts)


async def refund(play: Play) -> None:
    """Support refunds a part of the last payment; lifetime value falls by exactly that."""
    stage = play.stage
    before = play.account(MUELLER)["Billing_Lifetime_Value__c"]
    last = (await play.charges(MUELLER))[0]
    await stage.ask("POST", "refunds", charge=last["id"], amount=12_345)
    after = before - Decimal("123.45")
    await play.shows(MUELLER, "Billing_Lifetime_Value__c", after, f"a lifetime value of {after} EUR, down by 123.45")
    await stage.settled()


async def set_seats(play: Play, name: str, seats: int) -> None:
    """Change the number of seats of a customer's subscription, without a proration."""
    subscription = play.cast.subscriptions[name]
    found = await play.stage.ask("GET", f"subscriptions/{subscription}")
    await play.stage.ask(
        "POST",
        f"subscriptions/{subscription}",
        proration_behavior="none",
        **{"items[0][id]": found["items"]["data"][0]["id"], "items[0][quantity]": seats},
    )


async def duplicate_storm(play: Play) -> None:
    """Everything that was ever delivered comes again, and again. Nothing may happen."""
    stage = play.stage
    # What is counted by the hour has its own time: counted in the middle of the storm it would look like a write of it.
    await stage.count_movements()
    await stage.settled()
    effects = stage.salesforce.org.effect_count
    taken = await stage.stripe.redeliver_everything(STORM_ROUNDS)
    await stage.settled()
    made = stage.salesforce.org.effect_count - effects
    play.check(made == 0, f"{taken} repeats were accepted; Salesforce saw no write.", made)


async def two_states_in_one_second(play: Play) -> None:
    """Seats go to five and to seven within one second, and the newer state arrives first. Time alone cannot tell."""
    stage = play.stage
    for _ in range(_SAME_SECOND_TRIES):
        await stage.settled()
        await _early_in_a_second(stage)
        stage.stripe.hold_deliveries()
        for seats in (5, 7):
            await set_seats(play, NORTHWIND, seats)
        said = stage.stripe.events("customer.subscription.updated")[-2:]
        stage.stripe.release_deliveries(reverse=True)
        if said[0].created == said[1].created:
            break
    else:
        raise CheckFailed("Not true: two changes never fell into one second.")
    await stage.settled()
    seats_seen = play.subscription(NORTHWIND)["Quantity__c"]
    play.check(
        seats_seen == 7,
        f"{NORTHWIND}: two changes of one second, delivered backwards; Salesforce shows the last, 7 seats.",
        seats_seen,
    )


async def _early_in_a_second(stage: Stage) -> None:
    into_second = stage.clock().microsecond / 1_000_000
    if into_second > _EARLY_IN_SECOND:
        await asyncio.sleep(1.02 - into_second)
    stage.stripe.advance_to(max(stage.stripe.now, stage.clock.unix()))


async def crm_outage(play: Play) -> None:
    """Salesforce is unreachable for a while. Billing goes on, nothing is lost, nothing is written twice."""
    stage = play.stage
    await stage.salesforce.go_down()
    taken = len(stage.stripe.attempts)
    for name, country in ((MUELLER, "AT"), (TOKYO, "JP"), (LODZ, "PL")):
        await stage.ask("POST", f"customers/{play.cast.customers[name]}", name=f"{name} ({country})")
    await play.subscribe(TOKYO, "Growth JPY", quantity=2)
    await stage.stripe.drain()
    tries = list(stage.stripe.attempts)[taken:]
    play.check(
        bool(tries) and all(one.delivered for one in tries),
        f"Salesforce is down; all {len(tries)} deliveries of billing were taken in all the same.",
    )
    await stage.until(lambda: stage.hub.breakers["salesforce"].failures > 0, "the courier notices the outage")
    await stage.salesforce.come_up()
    stage.clock.leap(timedelta(seconds=30))  # the courier's pause, which the audience need not sit through
    await stage.settled()
    play.check(
        play.account(MUELLER)["Name"] == f"{MUELLER} (AT)", "Salesforce is back and caught up with what it missed."
    )
    doubled = doubled_effects(stage.salesforce)
    play.check(not doubled, "By its own ledger no write was made twice.", doubled)


async def a_record_salesforce_will_never_take(play: Play) -> None:
    """One customer breaks a validation rule. It waits for a person, with the reason; nobody else waits with it."""
    stage = play.stage
    stage.stripe.hold_deliveries()
    key = await play.new_customer(REFUSED, "compta@eclair.example")
    reason = "Accounts from this region need a VAT number before billing data may be stored."
    stage.salesforce.reject("Account", key, message=reason)
    await play.subscribe(REFUSED, "Growth EUR")
    stage.stripe.release_deliveries()
    await stage.ask("POST", f"customers/{play.cast.customers[MUELLER]}", name=MUELLER)
    await play.shows(MUELLER, "Name", MUELLER, "a change made after the refusal")
    await stage.settled()
    play.check(not play.account(REFUSED), f"{REFUSED}: Salesforce holds nothing, as it said.")
    found = trouble(stage.database, now=stage.clock())
    dead = [item for group in found.groups if group.kind == "dead" for item in group.items]
    play.check(
        len(dead) == 1 and reason in dead[0].reason, f"One dead letter, with Salesforce's own reason: {reason}", dead
    )
    took = await stage.until(
        lambda: any(reason in text for text in stage.alerts.texts), "the alert reaches the chat of the people on call"
    )
    play.say(f"The people on call were told within {max(took, 0.05):.1f} s.")


async def a_month_later(play: Play) -> None:
    """Everybody renews once more; then the books are compared."""
    await play.stage.pass_days(30)
    play.say("A month has passed, with renewals, retries and payouts.")


Chapter = Callable[[Play], Awaitable[None]]
CHAPTERS: tuple[tuple[str, Chapter], ...] = (
    ("A company with a past", a_company_with_a_past),
    ("New customers subscribe", new_customers_subscribe),
    ("An upgrade in mid-term, prorated", upgrade_in_mid_term),
    ("A payment fails, is past due, recovers", a_payment_fails_and_recovers),
    ("Cancelled at the period's end", cancel_at_period_end),
    ("Late by the calendar alone", late_by_the_calendar_alone),
    ("Back again", subscribe_again),
    ("A refund", refund),
    ("A storm of duplicates", duplicate_storm),
    ("Two states in one second, delivered backwards", two_states_in_one_second),
    ("Salesforce is down for a while", crm_outage),
    ("A record Salesforce will never take", a_record_salesforce_will_never_take),
    ("A month later", a_month_later),
)


async def play_story(play: Play, pace: float) -> Closing:
    """Play every chapter and compare the books. Raises: CheckFailed, NotSettled."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=play.console, transient=True, disable=not play.console.is_terminal) as progress:
        bar = progress.add_task("The story", total=len(CHAPTERS))
        for number, (title, chapter) in enumerate(CHAPTERS, 1):
            progress.update(bar, description=title)
            play.console.print(f"\n[bold]{number}. {title}[/bold]  [dim]{chapter.__doc__}[/dim]", highlight=False)
            await chapter(play)
            progress.advance(bar)
            if pace:
                await asyncio.sleep(pace)
    closing = await compare(play.stage)
    play.console.print()
    show(closing, play.console)
    return closing


def story_begins(now: datetime) -> datetime:
    """When the company's past begins, so that the story ends about ``now``."""
    past = timedelta(days=PAST_MONTHS * 31 + STORY_DAYS)
    return (now - past).astimezone(UTC).replace(microsecond=0)
