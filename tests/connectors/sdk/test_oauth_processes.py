"""Several processes of one connection: a token that one of them rotates is no lost consent for the others."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from urllib.parse import parse_qsl

import pytest

from accordant.connectors.sdk.faults import Fault
from accordant.connectors.sdk.stand_in import Answer, Call, StandIn

pytestmark = pytest.mark.subprocess

PROCESSES, CALLS = 4, 10
#: A process of its own, as a worker is: it calls until it has enough answers, and ends with 0 where all were good.
WORKER = """
import asyncio, sys
from datetime import UTC, datetime
from pathlib import Path
from accordant.connectors.sdk.addresses import AddressPolicy
from accordant.connectors.sdk.oauth import TokenFile
from accordant.connectors.sdk.oauth_clients import Access, Calling, oauth_clients

async def main(url, kept, calls, number, of):
    calling = Calling(
        clock=lambda: datetime.now(UTC), rate_per_s=1_000, addresses=AddressPolicy(allow_loopback=True)
    )
    access = Access(title="Acme", login_url=url, path="/token", client_id="app", client_secret="s",
                    tokens=TokenFile(Path(kept), first="r-0"))
    http, session = oauth_clients(access, calling, url=url, at_once_max=2)
    Path(kept + ".here" + number).touch()
    while len(list(Path(kept).parent.glob("*.here*"))) < int(of):  # all of them begin at once
        await asyncio.sleep(0.01)
    for _ in range(int(calls)):
        answer = await http.send("GET", "/books")
        assert answer.status == 200, answer
    await http.close()
    await session.close()

asyncio.run(main(*sys.argv[1:]))
"""


class Vendor(StandIn):
    """As strict as any: a refresh token is good for one use, and a new access token ends the one before it."""

    def __init__(self, *, ends_at: set[int]) -> None:
        super().__init__()
        self.refresh_token, self.access_token = "r-0", ""
        self.granted = self.misused = self.refused = self.answered = 0
        self._ends_at = ends_at

    def answer(self, call: Call) -> Answer:
        if call.path == "/token":
            if dict(parse_qsl(call.body.decode())).get("refresh_token") != self.refresh_token:
                self.misused += 1
                return Answer(400, {"error": "invalid_grant"})
            self.granted += 1
            self.refresh_token, self.access_token = f"r-{self.granted}", f"a-{self.granted}"
            told = {"access_token": self.access_token, "refresh_token": self.refresh_token, "expires_in": 1800}
            return Answer(200, told)
        if call.headers.get("authorization") != f"Bearer {self.access_token}":
            self.refused += 1
            return Answer(401, {})
        self.answered += 1
        if self.answered in self._ends_at:
            self.access_token = "nobody has it"
        return Answer(200, {})

    def refusal(self, fault: Fault) -> Answer:
        return Answer(fault.status)


async def test_four_processes_live_through_rotations_without_using_a_token_twice(tmp_path: Path) -> None:
    total = PROCESSES * CALLS
    vendor = Vendor(ends_at={total // 4, total // 2, 3 * total // 4})
    url = await vendor.start()
    try:
        workers = [
            await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", WORKER, url, str(tmp_path / "tokens.json")),
                *(str(CALLS), str(number), str(PROCESSES)),
                stderr=asyncio.subprocess.PIPE,
            )
            for number in range(PROCESSES)
        ]
        ended = [(await worker.communicate(), worker.returncode) for worker in workers]
    finally:
        await vendor.stop()
    assert [code for _, code in ended] == [0] * PROCESSES, [told[1].decode()[-800:] for told, _ in ended]
    assert vendor.answered == total
    # One to begin with, and one for each that ended: whoever came second took what the first had got.
    assert (vendor.granted, vendor.misused) == (4, 0)
    assert vendor.refused >= 3
    assert vendor.refresh_token in (tmp_path / "tokens.json").read_text()
    assert (tmp_path / "tokens.json").stat().st_mode & 0o077 == 0
