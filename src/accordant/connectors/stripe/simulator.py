"""A Stripe to develop against: real HTTP on loopback, its own clock, signed webhooks, faults on request.

A development aid: it is not Stripe, moves no money, and shares no code with the connector it is used to test.
Start here; the rooms behind it are `simulator_account.py` (state), `simulator_http.py` (door), `simulator_events.py`.
"""

import argparse
import asyncio
import ipaddress
import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from aiohttp import web

from accordant.connectors.stripe.simulator_control import Control
from accordant.connectors.stripe.simulator_state import START_AT
from accordant.connectors.stripe.simulator_versions import PINNED, VERSIONS
from accordant.connectors.stripe.simulator_world import API_KEY, StripeWorld


class StripeSimulator(StripeWorld):
    """One simulated Stripe account over HTTP: the API, its webhooks, and the controls under `/_sim/`."""

    _runner: web.AppRunner | None = None

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Listen, and return the base address (`http://127.0.0.1:54321`). Port 0 is a free one. Loopback only."""
        if host != "localhost" and not ipaddress.ip_address(host).is_loopback:
            raise ValueError(f"The stand-in listens on loopback only, not on {host}.")
        application = web.Application(client_max_size=1 << 22, middlewares=self.middlewares)
        application.router.add_route("*", "/v1/{path:.*}", self.door.answer)
        application.router.add_route("*", "/_sim/{path:.*}", Control(self).answer)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        await self.deliveries.start()
        bound = self._runner.addresses[0][1]
        self.url = f"http://{host}:{bound}"
        return self.url

    async def stop(self) -> None:
        if self.follower is not None:
            self.follower.cancel()
        await self.deliveries.stop()
        if self._runner is not None:
            await self._runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()


def wall_clock() -> int:
    return int(time.time())


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m accordant.connectors.stripe.simulator", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--api-key", default=API_KEY)
    parser.add_argument("--api-version", default=PINNED, choices=VERSIONS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--now", type=int, default=START_AT, help="first second of its clock, Unix seconds")
    parser.add_argument("--wall-clock", action="store_true", help="its clock follows real time")
    parser.add_argument("--own-signing-clock", action="store_true", help="sign webhooks with its clock, not real time")
    parser.add_argument("--webhook-url")
    parser.add_argument("--webhook-secret", default="whsec_simulated")
    return parser.parse_args(words)


async def serve(words: Sequence[str] | None = None) -> None:
    """Run as a process until it is ended; the first line it prints is its address."""
    given = _arguments(words)
    simulator = StripeSimulator(
        seed=given.seed,
        now=wall_clock() if given.wall_clock else given.now,
        api_version=given.api_version,
        api_key=given.api_key,
        webhook_url=given.webhook_url,
        webhook_secret=given.webhook_secret,
        signing_clock=None if given.own_signing_clock else wall_clock,
    )
    url = await simulator.start(given.host, given.port)
    if given.wall_clock:
        simulator.follow_wall_clock(wall_clock)
    sys.stdout.write(f"{url}\n")
    sys.stdout.flush()
    try:
        await asyncio.Event().wait()
    finally:
        await simulator.stop()


if __name__ == "__main__":
    try:
        asyncio.run(serve())
    except KeyboardInterrupt:
        sys.exit(0)
