"""A worker of its own process that lingers between taking a batch and committing it, and says when it has taken one.

Started by `test_workers.py`, which stops it (SIGSTOP) in that very moment.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from datetime import datetime
from pathlib import Path

from accordant.bootstrap import Hub, checked_charter
from accordant.demo.company import environment
from accordant.ports.inbox import InboxEvent
from accordant.runtime.logs import configure_logs
from accordant.settings import Role, read_settings
from accordant.store.inbox import SqlInbox
from accordant.store.leases import Guard
from accordant.web.server import HubServer, serve


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


class LingeringInbox(SqlInbox):
    """Takes its time over what it hands out."""

    linger_s = 0.0

    def under(self, guard: Guard) -> LingeringInbox:
        made = LingeringInbox(self._database, self._vault, guard=guard)
        made.linger_s = self.linger_s
        return made

    def claim(self, *, limit: int, now: datetime, partitions: frozenset[int] | None = None) -> tuple[InboxEvent, ...]:
        taken = super().claim(limit=limit, now=now, partitions=partitions)
        if taken:
            say(f"took {len(taken)}")
            time.sleep(self.linger_s)
        return taken


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--store", required=True)
    parser.add_argument("--linger-s", type=float, required=True)
    given = parser.parse_args()
    configure_logs("text")
    settings = read_settings(
        os.environ, home=given.home, charter=given.home / "charter", store=given.store, roles=Role.WORKER
    )

    def ready(_: HubServer) -> None:
        say("at work")

    async def run() -> None:
        hub = Hub(settings, checked_charter(settings), environment=environment())
        inbox = LingeringInbox(hub.database, hub.vault)
        inbox.linger_s = given.linger_s
        hub.inbox = inbox
        await serve(hub, host=settings.host, port=settings.port, ready=ready)

    asyncio.run(run())


if __name__ == "__main__":
    main()
