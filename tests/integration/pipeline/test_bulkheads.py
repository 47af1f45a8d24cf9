"""A target that hangs takes nobody along: the one beside it is written as quickly as without it (EF8).

Two targets side by side behind one running hub; the one that hangs answers no call for as long as the test lasts.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from accordant.bootstrap import Hub, checked_charter, system_clock
from accordant.canonical.targets import CurrentRecord, ObjectSpec
from accordant.connectors.stripe.simulator_history import HistoryEvent, history
from accordant.demo.company import environment, write_charter
from accordant.demo.stage import HOST
from accordant.kernel.hashing import digest
from accordant.ports.connector import DestinationClass, RecordWrite
from accordant.ports.inbox import Arrival
from accordant.settings import Settings
from accordant.testing.destinations import MemoryDestination
from accordant.web.server import HubServer

pytestmark = pytest.mark.slow

CUSTOMERS = 80
WAIT_S_MAX = 60.0
#: A hub that waits for the one that hangs waits for its time-out, which is tens of seconds; what a busy machine adds to
#: the slowest write in a hundred is less than this.
SLOWER_S_MAX = 3.0
_SECOND = """\
  crm_two:
    connector: salesforce
    owner: RevOps
    stand_in: true
    settings:
      flow: client_credentials
      instance_url: http://127.0.0.1:9
      client_id: env:SALESFORCE_CLIENT_ID
      client_secret: env:SALESFORCE_CLIENT_SECRET
ownership:
"""
_ITS_FLOW = """\
flows:
  - name: accounts_two
    entity: account
    source: stripe
    target: crm_two
    phase: controlled
    write_fields: all
    verify: The Account's billing section in the second org.
"""


class Hanging(MemoryDestination):
    """Takes every call and answers none."""

    asked = 0

    async def read(self, spec: ObjectSpec, keys: Sequence[str]) -> dict[str, CurrentRecord]:
        self.asked += 1
        await asyncio.Event().wait()
        raise AssertionError


class Timed(MemoryDestination):
    """Notes when each customer's account was written."""

    def __init__(self) -> None:
        super().__init__("salesforce", DestinationClass.NATIVE_UPSERT, clock=system_clock, begun=self._begins)
        self.at: dict[str, float] = {}
        self.is_done = asyncio.Event()

    def _begins(self, spec: ObjectSpec, record: RecordWrite) -> None:
        self.at[record.key] = time.perf_counter()
        if len(self.at) == CUSTOMERS:
            self.is_done.set()


def charter(folder: Path) -> Path:
    """The company's charter, with a second CRM that reads its accounts."""
    made = write_charter(folder, stripe_url=f"http://{HOST}:9", salesforce_url=f"http://{HOST}:9")
    file = made / "accordant.yaml"
    text = file.read_text(encoding="utf-8").replace("ownership:\n", _SECOND, 1).replace("flows:\n", _ITS_FLOW, 1)
    file.write_text(text.replace("readers: [salesforce]", "readers: [salesforce, crm_two]", 1), encoding="utf-8")
    return made


def arrival(hub: Hub, event: HistoryEvent) -> Arrival:
    return Arrival(
        connection="stripe", envelope=hub.inbounds["stripe"].read_envelope(event.body), headers=b"{}", body=event.body,
        digest=digest(event.body), received_at=system_clock(),
    )  # fmt: skip


async def p99(folder: Path, second: MemoryDestination, events: Sequence[HistoryEvent]) -> float:
    """How long a customer that comes alone waits for its account in the first CRM: the slowest in a hundred, in s."""
    settings = Settings(home=folder, charter=charter(folder / "charter"), store=f"sqlite:///{folder / 'store.db'}")
    hub, first = Hub(settings, checked_charter(settings), environment=environment(), clock=system_clock), Timed()
    targets: Any = {"salesforce": first, "crm_two": second}
    for name, target in targets.items():
        await hub.outbounds[name].close()
        hub.outbounds[name] = target
    server = HubServer(hub, host=HOST, port=0)
    await server.start()
    given: list[float] = []
    try:
        for event in events:
            given.append(time.perf_counter())
            await asyncio.to_thread(hub.inbox.accept, [arrival(hub, event)])
            server.wake()
            await asyncio.sleep(0.02)
        async with asyncio.timeout(WAIT_S_MAX):
            await first.is_done.wait()
    finally:
        await server.stop()
    waits = sorted(done - since for done, since in zip(sorted(first.at.values()), given, strict=True))
    return waits[int(len(waits) * 0.99)]


async def test_a_target_that_hangs_does_not_delay_the_one_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("accordant.web.server._DRAIN_S", 0.5)  # nobody waits at the end for what never answers
    told = [one for one in history(accounts=CUSTOMERS, months=1, seed=5) if one.type == "customer.created"][:CUSTOMERS]
    well = MemoryDestination("crm_two", DestinationClass.NATIVE_UPSERT, clock=system_clock)
    beside = await p99(tmp_path / "well", well, told)
    assert len(well.effects) > CUSTOMERS / 2
    stuck = Hanging("crm_two", DestinationClass.NATIVE_UPSERT, clock=system_clock)
    alone = await p99(tmp_path / "stuck", stuck, told)
    print(f"p99 beside one that answers {beside * 1000:.0f} ms, beside one that hangs {alone * 1000:.0f} ms")
    assert stuck.asked
    assert stuck.effects == []
    assert alone < beside + SLOWER_S_MAX
