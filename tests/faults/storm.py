"""The drills of quantity: the same events again and again, and a crowd that is slow and sends too much."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from sqlalchemy import func, select

from accordant.bench.load import Flood, flood
from accordant.connectors.stripe.simulator import StripeSimulator
from accordant.connectors.stripe.simulator_events import sign
from accordant.connectors.stripe.simulator_state import SaidEvent
from accordant.demo.company import WEBHOOK_SECRET
from accordant.demo.stage import HOST
from accordant.store.schema import delivery, inbox_event
from tests.faults.drills import report
from tests.faults.report import Report
from tests.faults.site import Site, site
from tests.faults.strikes import Tally

CONNECTIONS = 32
#: Deliveries signed at once: a signature is good for five minutes.
_BATCH = 5_000
_SIGNATURE_GOOD_S = 300.0
_SIGNINGS_MAX = 3
#: The same id with other bytes (a space that means nothing), once for each of so many events.
TWINS = 10
MEMORY_MIB_MAX = 512
#: What honest senders may wait, by the design; and what they may on a machine that runs a test suite beside it: less
#: than the ten seconds after which a sender that dawdles is cut off, for whom they would wait otherwise.
HONEST_P99_S_MAX = 1.0
HONEST_P99_S_MAX_BESIDE_TESTS = 6.0
_MONTHS = 12
#: What a year of an account says at most, but for the first few; the rest is filled up.
_EVENTS_OF_AN_ACCOUNT = 100
_EVENTS_SPARE = 400
_MIB = 1024 * 1024
_BIG_BODY = 50 * _MIB
#: How a body can be too large: the header that says so.
_GIANTS = {
    "50 MiB announced": f"content-length: {_BIG_BODY}\r\n",
    "50 MiB in chunks": "transfer-encoding: chunked\r\n",
    "compressed": f"content-encoding: gzip\r\ncontent-length: {_BIG_BODY}\r\n",
}


async def duplicates(
    store: str, folder: Path, *, events: int, deliveries: int, seconds_max: float | None = None
) -> Report:
    """Repeats of so many ``events`` over 32 connections: a row and an effect each, a conflict for each planted twin."""
    began, tally = time.monotonic(), Tally()
    dice = random.Random(events)
    tally.expect("repeat", "twin")
    async with site(folder, store, past_months=_MONTHS) as made:
        stripe = made.stage.stripe
        accounts = max(1, (events - _EVENTS_SPARE) // _EVENTS_OF_AN_ACCOUNT)
        await asyncio.to_thread(stripe.play_history, accounts=accounts, months=_MONTHS, seed=5)
        _fill_up(stripe, events)
        past = list(stripe.events())
        (version,) = stripe.book.endpoint_versions.values() or (None,)
        await made.start("all")
        await made.open_books()
        sent, flood_s = 0, 0.0
        while sent < deliveries and not (seconds_max is not None and time.monotonic() - began > seconds_max):
            round_of = [past[(sent + number) % len(past)] for number in range(min(_BATCH, deliveries - sent))]
            dice.shuffle(round_of)
            # The catalogue leads: what a plan is called is looked up when a subscription is told, and not awaited.
            round_of.sort(key=lambda event: not event.type.startswith("product."))
            done = await _flooded(made, [event.body(version) for event in round_of])
            sent, flood_s = sent + len(done.latencies_s), flood_s + done.elapsed_s
        twins = [event.body(version).replace(b"{", b"{ ", 1) for event in past[:TWINS]]
        await asyncio.to_thread(flood, _signed(made, twins), host=HOST, port=made.port, connections=CONNECTIONS)
        tally.fired.update({"repeat": max(0, sent - len(past)), "twin": len(twins)})
        verdict = await made.verdict(settle_s=600.0)
        faults = [*verdict.faults, *_rows(made, past, len(twins))]
        faults += [f"{len(past)} events instead of {events}"] if len(past) != events else []
    compared = verdict.compared | {"acknowledgements": sent + len(twins)}
    figures = {"deliveries": sent, "events": len(past), "deliveries_per_s": round(sent / flood_s), "flood_s": flood_s}
    return report("duplicates", store, 1, began, tally, compared, faults, verdict.figures | figures)


async def _flooded(made: Site, bodies: Sequence[bytes]) -> Flood:
    """Sign a batch and send it; once more, where the machine stood still until the signatures were too old."""
    for _ in range(_SIGNINGS_MAX):
        signed_at = time.time()
        try:
            return await asyncio.to_thread(
                flood, _signed(made, bodies), host=HOST, port=made.port, connections=CONNECTIONS
            )
        except RuntimeError:
            if time.time() - signed_at < _SIGNATURE_GOOD_S:
                raise
    raise AssertionError(f"the machine stood still in {_SIGNINGS_MAX} tries")


def _fill_up(stripe: StripeSimulator, events: int) -> None:
    """Let customers change until so many events were said. Raises: AssertionError where there are more already."""
    book = stripe.account.book
    missing = events - len(stripe.events())
    assert missing >= 0, f"{-missing} events too many: fewer accounts have to be played"
    customers = [one for one in book.table("customer").values() if not one.get("deleted")]
    for number in range(missing):
        book.change(customers[number % len(customers)], "customer.updated", name=f"Renamed {number}")


def _signed(made: Site, bodies: Sequence[bytes]) -> list[bytes]:
    at = int(time.time())
    head = f"POST /webhooks/stripe HTTP/1.1\r\nhost: {HOST}:{made.port}\r\ncontent-type: application/json\r\n"
    return [
        f"{head}stripe-signature: {sign(body, at, (WEBHOOK_SECRET,))}\r\ncontent-length: {len(body)}\r\n\r\n".encode()
        + body
        for body in bodies
    ]


def _rows(made: Site, past: Sequence[SaidEvent], twins: int) -> list[str]:
    """What is wrong with the inbox: an event that is not there once, a twin that was not noted as a conflict."""
    with made.stage.database.read() as connection:
        names = Counter(connection.execute(select(inbox_event.c.external_id)).scalars())
        rows = connection.execute(select(delivery.c.outcome, func.count()).group_by(delivery.c.outcome)).all()
        outcomes = {str(outcome): int(count) for outcome, count in rows}
    wrong = [event.id for event in past if names[event.id] != 1]
    found = [f"{len(wrong)} of {len(past)} events are not stored once: {wrong[:3]}"] if wrong else []
    conflicts = outcomes.get("conflict", 0)
    return [*found, *([f"{conflicts} conflicts instead of {twins}"] if conflicts != twins else [])]


async def memory(
    store: str, folder: Path, *, slow: int, bodies: int, seconds: float, p99_s_max: float = HONEST_P99_S_MAX
) -> Report:
    """Connections that never finish, and bodies of 50 MiB: memory stays bounded, and honest senders are served."""
    began, tally = time.monotonic(), Tally()
    fired = tally.fired
    tally.expect("slow head", "slow body", *_GIANTS)
    async with site(folder, store) as made:
        await made.start("all")
        pid = made.process("all").pid
        before = _resident_mib(pid)
        crowd: list[asyncio.StreamWriter] = []
        peak = [before]
        watching = asyncio.create_task(_watch(pid, peak))
        try:
            for first in range(0, slow, 200):
                opened = await asyncio.gather(
                    *(_dawdle(made.port, n, fired) for n in range(first, min(slow, first + 200)))
                )
                crowd += [one for one in opened if one is not None]
            latencies, _ = await asyncio.gather(_honest(made, seconds), _giants(made.port, bodies, fired))
        finally:
            watching.cancel()
            for one in crowd:
                one.transport.abort()
        verdict = await made.verdict()
    p99 = sorted(latencies)[int(len(latencies) * 0.99)] if latencies else float("inf")
    faults = [*verdict.faults]
    faults += [f"{peak[0]:.0f} MiB were resident"] if peak[0] >= MEMORY_MIB_MAX else []
    faults += [f"honest deliveries took {p99:.2f} s (p99)"] if p99 >= p99_s_max else []
    faults += [f"only {len(crowd)} of {slow} slow connections were open"] if len(crowd) < slow else []
    compared = verdict.compared | {"honest deliveries": len(latencies)}
    figures = verdict.figures | {
        "resident_before_mib": round(before, 1), "resident_peak_mib": round(peak[0], 1),
        "honest_p99_ms": round(p99 * 1000, 1), "slow_connections": float(len(crowd)),
    }  # fmt: skip
    return report("memory", store, 1, began, tally, compared, faults, figures)


async def _dawdle(port: int, number: int, fired: Counter[str]) -> asyncio.StreamWriter | None:
    """A sender that stops in the middle of its head, or of its body."""
    try:
        _, writer = await asyncio.open_connection(HOST, port)
    except OSError:
        return None
    head = b"POST /webhooks/stripe HTTP/1.1\r\nhost: hub\r\ncontent-type: application/json\r\n"
    if number % 2:
        writer.write(head)
        fired["slow head"] += 1
    else:
        writer.write(head + b"content-length: 900000\r\n\r\n" + b"{" * 1000)
        fired["slow body"] += 1
    return writer


async def _giants(port: int, count: int, fired: Counter[str]) -> None:
    """Bodies of 50 MiB, announced, in chunks and compressed; each is sent as far as the hub lets it."""
    for number in range(count):
        kind = tuple(_GIANTS)[number % len(_GIANTS)]
        extra = _GIANTS[kind]
        head = f"POST /webhooks/stripe HTTP/1.1\r\nhost: hub\r\ncontent-type: application/json\r\n{extra}\r\n"
        reader, writer = await asyncio.open_connection(HOST, port)
        piece = b"x" * _MIB
        with suppress(OSError):
            writer.write(head.encode())
            for _ in range(50):
                writer.write(b"100000\r\n" + piece + b"\r\n" if "chunks" in kind else piece)
                await writer.drain()
        status = b""
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(5.0):
                status = await reader.readline()
        fired[kind] += not status.startswith(b"HTTP/1.1 2")
        writer.transport.abort()


async def _honest(made: Site, seconds: float) -> list[float]:
    """Life at a modest pace; how long each delivery took."""
    latencies: list[float] = []
    deadline = time.monotonic() + seconds
    number = 0
    while time.monotonic() < deadline:
        await made.live(number, customers=1)
        known = [event.id for event in made.stage.stripe.events()][-12:]
        for event_id in known:
            since = time.monotonic()
            await made.stage.stripe.deliveries.redeliver(1, event_ids=[event_id])
            latencies.append(time.monotonic() - since)
        number += 1
    return latencies


async def _watch(pid: int, peak: list[float]) -> None:
    while True:
        peak[0] = max(peak[0], _resident_mib(pid))
        await asyncio.sleep(0.05)


def _resident_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("the hub is gone")
