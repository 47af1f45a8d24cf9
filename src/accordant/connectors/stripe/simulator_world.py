"""The world behind the Stripe stand-in: one account, its clock, its deliveries, and what a test does to them.

No HTTP server in here; `simulator.py` puts it on the network.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from aiohttp.typedefs import Middleware

from accordant.connectors.stripe.simulator_account import SimulatedAccount
from accordant.connectors.stripe.simulator_commands import Commands
from accordant.connectors.stripe.simulator_events import Attempt, Deliveries
from accordant.connectors.stripe.simulator_history import play_history
from accordant.connectors.stripe.simulator_http import FAULTS, Door, Fault
from accordant.connectors.stripe.simulator_reading import Reading
from accordant.connectors.stripe.simulator_state import START_AT, Record, SaidEvent
from accordant.connectors.stripe.simulator_versions import PINNED, VERSIONS

API_KEY = "sk_test_simulated"


class StripeWorld:
    """One simulated Stripe account and everything that can be done to it; `simulator.StripeSimulator` puts it on HTTP.

    `now` is the first second of its clock (Unix seconds); the clock moves only by `advance`, `advance_to` or, when
    asked for with `follow_wall_clock`, with real time. `signing_clock` gives the second in a webhook's signature:
    by default this clock, so that a test that controls both sides agrees with itself; give `time.time` (as an
    integer) when the receiver checks against real time. `middlewares` see every exchange: a contract judge sits there.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        now: int = START_AT,
        api_version: str = PINNED,
        api_key: str = API_KEY,
        webhook_url: str | None = None,
        webhook_secret: str = "whsec_simulated",  # noqa: S107 - a toy secret of a stand-in
        signing_clock: Callable[[], int] | None = None,
        delivery_concurrency: int = 1,
        dunning_outcome: str = "canceled",
        middlewares: Sequence[Middleware] = (),
    ) -> None:
        if api_version not in VERSIONS:
            raise ValueError(f"The stand-in speaks {' and '.join(VERSIONS)}, not {api_version}.")
        self.account = SimulatedAccount(seed=seed, now=now, api_version=api_version, dunning_outcome=dunning_outcome)
        self.book = self.account.book
        self.api_key = api_key
        self.deliveries = Deliveries(self.book, signing_clock=signing_clock, concurrency=delivery_concurrency)
        self.commands = Commands(self.account, self.deliveries)
        self.door = Door(self.book, self.commands, Reading(self.account), api_key=api_key)
        self.url = ""
        self.middlewares = tuple(middlewares)
        self.follower: asyncio.Task[None] | None = None
        if webhook_url is not None:
            self.add_webhook(webhook_url, secret=webhook_secret)

    # the clock

    @property
    def now(self) -> int:
        return self.book.now

    def advance(self, seconds: int) -> None:
        """Let time pass: renewals, invoices, retries, trial ends, payout arrivals, each at its own second."""
        self.advance_to(self.book.now + seconds)

    def advance_to(self, instant: int) -> None:
        self.book.advance_to(instant)
        self.deliveries.pump()

    def follow_wall_clock(self, read: Callable[[], int], *, every_s: float = 1.0) -> None:
        """Keep this clock at the given one until `stop`; asked for, never by default."""

        async def follow() -> None:
            while True:
                self.advance_to(max(self.book.now, read()))
                await asyncio.sleep(every_s)

        self.follower = asyncio.get_running_loop().create_task(follow())

    # what happens outside the API

    def set_card(self, customer_id: str, *, failing: bool, decline_code: str = "insufficient_funds") -> None:
        self.account.payments.set_card(customer_id, failing=failing, decline_code=decline_code)

    def decline_next_payment(self, customer_id: str, times: int = 1) -> None:
        self.account.payments.decline_next(customer_id, times)

    def open_dispute(self, charge_id: str, *, reason: str = "fraudulent") -> Record:
        return self.account.payments.open_dispute(self.book.get("charge", charge_id), reason=reason)

    def win_dispute(self, dispute_id: str) -> Record:
        return self.account.payments.close_dispute(self.book.get("dispute", dispute_id), won=True)

    def lose_dispute(self, dispute_id: str) -> Record:
        return self.account.payments.close_dispute(self.book.get("dispute", dispute_id), won=False)

    def create_payout(self, currency: str | None = None) -> tuple[Record, ...]:
        """Pay out what is available: in one currency, or in each."""
        if currency is None:
            return self.account.pay_out_everything()
        payout = self.account.payments.create_payout(currency)
        return () if payout is None else (payout,)

    def fail_payout(self, payout_id: str) -> Record:
        return self.account.payments.fail_payout(self.book.get("payout", payout_id))

    def play_history(self, *, accounts: int, months: int, seed: int = 0, deliver: bool = False) -> None:
        """Live a company's past up to a later `now`; its events are in the events API, delivered only when asked."""
        self.deliveries.is_muted = not deliver
        try:
            play_history(self.account, accounts=accounts, months=months, seed=seed)
        finally:
            self.deliveries.is_muted = False

    # webhooks

    def add_webhook(
        self,
        url: str,
        *,
        secret: str | None = None,
        enabled_events: Sequence[str] = ("*",),
        api_version: str | None = None,
    ) -> Record:
        """Register an endpoint; the answer holds its id and its secret."""
        return self.commands.add_endpoint(
            url, enabled_events=list(enabled_events), api_version=api_version, secret=secret
        )

    def roll_secret(self, endpoint_id: str, secret: str, *, overlap_s: int = 86_400) -> None:
        self.deliveries.roll_secret(endpoint_id, secret, overlap_s=overlap_s)

    def hold_deliveries(self) -> None:
        self.deliveries.hold()

    def release_deliveries(self, order: Sequence[str] | None = None, *, reverse: bool = False) -> None:
        """Deliver what was held: the named event ids first, in that order, then the rest, newest first if `reverse`."""
        self.deliveries.release(order, reverse=reverse)

    def lose_next(self, count: int = 1) -> None:
        self.deliveries.lose_next(count)

    def delay_deliveries(self, seconds: int) -> None:
        self.deliveries.delay(seconds)

    async def redeliver_everything(self, times: int = 1, *, concurrency: int = 16) -> int:
        """A storm of repeats, each with a fresh signature; how many were answered 2xx."""
        return await self.deliveries.redeliver(times, concurrency=concurrency)

    async def drain(self) -> int:
        """Wait until everything due was tried; how many deliveries still wait (held, delayed or to be retried)."""
        return await self.deliveries.drain()

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        return tuple(self.deliveries.attempts)

    def events(self, event_type: str | None = None) -> tuple[SaidEvent, ...]:
        """Everything said so far, oldest first."""
        return tuple(event for event in self.book.events.values() if event_type in (None, event.type))

    # faults of the API

    def fail_next(self, kind: str, times: int = 1, **narrow: Any) -> None:
        """Let the next requests suffer: see `simulator_http.FAULTS`; narrow by `method` and `path`."""
        if kind not in FAULTS:
            raise ValueError(f"A fault is one of {', '.join(FAULTS)}, not {kind!r}.")
        self.door.faults.append(Fault(kind, times, **narrow))

    def limit_requests(self, per_second: int | None) -> None:
        self.door.requests_per_s = per_second
