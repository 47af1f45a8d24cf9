"""The `/_sim/` side of the Stripe stand-in: what a test or a demo does to it from another process, as JSON over HTTP.

Never part of Stripe's API; every control is also a method of `StripeWorld`.
"""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from accordant.connectors.stripe.simulator_state import Record, SimulatedRefusal
from accordant.connectors.stripe.simulator_world import StripeWorld

Act = Callable[[Record], Awaitable[Any]]


class Control:
    """Every control by its name in the path; the body is one JSON object."""

    def __init__(self, simulator: StripeWorld) -> None:
        self.simulator = simulator
        self._acts: dict[str, Act] = {
            "advance": self._advance,
            "card": self._card,
            "decline": self._decline,
            "delay": self._delay,
            "dispute": self._dispute,
            "dispute/close": self._close_dispute,
            "drain": self._drain,
            "fault": self._fault,
            "history": self._history,
            "hold": self._hold,
            "lose": self._lose,
            "payout": self._payout,
            "payout/fail": self._fail_payout,
            "rate": self._rate,
            "redeliver": self._redeliver,
            "release": self._release,
            "retry": self._retry,
            "roll": self._roll,
            "state": self._state,
            "webhook": self._webhook,
        }

    async def answer(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["path"]
        act = self._acts.get(name)
        if act is None:
            known = ", ".join(sorted(self._acts))
            return web.json_response({"error": f"No control {name!r}. Known: {known}."}, status=404)
        try:
            text = await request.text()
            given = json.loads(text) if text else {}
            return web.json_response(await act(given))
        except SimulatedRefusal as refusal:
            return web.json_response({"error": refusal.body["message"]}, status=refusal.status)
        except (KeyError, TypeError, ValueError) as error:
            return web.json_response({"error": f"Control {name!r} could not read its body: {error}"}, status=400)

    async def _state(self, given: Record) -> Record:
        simulator = self.simulator
        book = simulator.book
        return {
            "now": book.now,
            "objects": {kind: len(table) for kind, table in book.tables.items()},
            "events": len(book.events),
            "undelivered": sum(1 for event in book.events.values() if event.undelivered),
            "attempts": len(simulator.deliveries.attempts),
            "held": list(simulator.deliveries.held_ids),
            "requests": simulator.door.request_count,
        }

    async def _advance(self, given: Record) -> Record:
        if "to" in given:
            self.simulator.advance_to(int(given["to"]))
        else:
            self.simulator.advance(int(given["seconds"]))
        return {"now": self.simulator.now}

    async def _card(self, given: Record) -> Record:
        self.simulator.set_card(given["customer"], failing=bool(given["failing"]))
        return {}

    async def _decline(self, given: Record) -> Record:
        self.simulator.decline_next_payment(given["customer"], int(given.get("times", 1)))
        return {}

    async def _dispute(self, given: Record) -> Record:
        return self.simulator.open_dispute(given["charge"], reason=given.get("reason", "fraudulent"))

    async def _close_dispute(self, given: Record) -> Record:
        close = self.simulator.win_dispute if given["won"] else self.simulator.lose_dispute
        return close(given["dispute"])

    async def _payout(self, given: Record) -> list[Record]:
        return list(self.simulator.create_payout(given.get("currency")))

    async def _fail_payout(self, given: Record) -> Record:
        return self.simulator.fail_payout(given["payout"])

    async def _webhook(self, given: Record) -> Record:
        return self.simulator.add_webhook(
            given["url"],
            secret=given.get("secret"),
            enabled_events=given.get("enabled_events", ("*",)),
            api_version=given.get("api_version"),
        )

    async def _roll(self, given: Record) -> Record:
        self.simulator.roll_secret(given["endpoint"], given["secret"], overlap_s=int(given.get("overlap_s", 86_400)))
        return {}

    async def _history(self, given: Record) -> Record:
        self.simulator.play_history(
            accounts=int(given["accounts"]),
            months=int(given["months"]),
            seed=int(given.get("seed", 0)),
            deliver=bool(given.get("deliver")),
        )
        return {"now": self.simulator.now}

    async def _hold(self, given: Record) -> Record:
        self.simulator.hold_deliveries()
        return {}

    async def _release(self, given: Record) -> Record:
        self.simulator.release_deliveries(given.get("order"), reverse=bool(given.get("reverse")))
        return {}

    async def _lose(self, given: Record) -> Record:
        self.simulator.lose_next(int(given.get("count", 1)))
        return {}

    async def _delay(self, given: Record) -> Record:
        self.simulator.delay_deliveries(int(given["seconds"]))
        return {}

    async def _retry(self, given: Record) -> Record:
        self.simulator.deliveries.retry_now()
        return {}

    async def _redeliver(self, given: Record) -> Record:
        good = await self.simulator.redeliver_everything(
            int(given.get("times", 1)), concurrency=int(given.get("concurrency", 16))
        )
        return {"answered": good}

    async def _drain(self, given: Record) -> Record:
        return {"waiting": await self.simulator.drain()}

    async def _fault(self, given: Record) -> Record:
        narrow = {name: given[name] for name in ("method", "path", "retry_after_s", "delay_s") if name in given}
        self.simulator.fail_next(given["kind"], int(given.get("times", 1)), **narrow)
        return {}

    async def _rate(self, given: Record) -> Record:
        self.simulator.limit_requests(given["per_second"])
        return {}
