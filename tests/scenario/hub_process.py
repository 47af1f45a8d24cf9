"""The hub as its own process, built and served as `accordant serve` does it; only its clock may be ahead.

Started by `test_kill.py`, which ends it with SIGKILL: nothing here may need a tidy end.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from datetime import timedelta
from pathlib import Path

from accordant.bootstrap import Hub, checked_charter, system_clock
from accordant.demo.company import environment
from accordant.settings import Settings
from accordant.web.server import HubServer, serve


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--charter", type=Path, required=True)
    parser.add_argument("--store", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--ahead-s", type=float, default=0.0)
    given = parser.parse_args()
    ahead = timedelta(seconds=given.ahead_s)
    settings = Settings(home=given.home, charter=given.charter, store=given.store, port=given.port)

    def ready(_: HubServer) -> None:
        sys.stdout.write("listening\n")
        sys.stdout.flush()

    async def run() -> None:
        hub = Hub(settings, checked_charter(settings), environment=environment(), clock=lambda: system_clock() + ahead)
        await serve(hub, host=settings.host, port=settings.port, ready=ready)

    asyncio.run(run())


if __name__ == "__main__":
    main()
