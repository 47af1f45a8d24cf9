"""The door on bare exchanges: what it admits, what it refuses with which status, and that 200 means stored."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum

import pytest

from accordant.connectors.stripe.inbound import StripeInbound
from accordant.connectors.stripe.simulator_events import sign
from accordant.kernel.errors import TransientError
from accordant.pipeline.receive import Connection
from accordant.ports.inbox import Arrival, Reception
from accordant.runtime.group_commit import QueueFull
from accordant.web import webhooks
from accordant.web.exchange import ProtocolClosed
from accordant.web.webhooks import BODY_BYTES_MAX, HEADER_BYTES_MAX, Door

NOW = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)
SECRET = "whsec_EXAMPLE_signing_secret"
BODY = json.dumps({"id": "evt_1", "object": "event", "type": "customer.created", "created": 1773480413,
                   "data": {"object": {"id": "cus_1", "object": "customer"}}}).encode()  # fmt: skip


class End(Enum):
    """How a body ends: whole, never, or with the sender gone."""

    COMPLETE = "complete"
    NEVER = "never"
    GONE = "gone"


@dataclass
class Front:
    """A door with an inbox that answers what it is told and remembers what happened in which order."""

    answers: Sequence[Reception | Exception] = (Reception.NEW,)
    deliveries_per_s: int = 100
    at: datetime = NOW
    log: list[str] = field(default_factory=list)
    arrivals: list[Arrival] = field(default_factory=list)
    delay: Callable[[], Awaitable[None]] | None = None

    def __post_init__(self) -> None:
        connection = Connection(
            name="stripe",
            inbound=StripeInbound(live=None),
            secrets=(SECRET.encode(),),
            deliveries_per_s=self.deliveries_per_s,
        )
        self.door = Door(
            lambda: {"stripe": connection}, self._submit, lambda: self.at, lambda: self.log.append("woken")
        )

    async def _submit(self, arrival: Arrival) -> Reception:
        self.log.append("submitted")
        if self.delay is not None:
            await self.delay()
        self.arrivals.append(arrival)
        answer = self.answers[min(len(self.arrivals), len(self.answers)) - 1]
        self.log.append("stored" if isinstance(answer, Reception) else "failed")
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def ask(
        self,
        pieces: Sequence[bytes] | None = None,
        *,
        body: bytes = BODY,
        path: str = "/webhooks/stripe",
        method: str = "POST",
        headers: Mapping[str, str] | None = None,
        signature: str | None = None,
        end: End = End.COMPLETE,
    ) -> Said:
        stamp = signature if signature is not None else sign(body, int(self.at.timestamp()), (SECRET,))
        given = {"content-type": "application/json", "stripe-signature": stamp, **(headers or {})}
        sent = Sent(pieces if pieces is not None else [body], end)
        answer = await self.door.take(Asked(path, method, given), sent)
        self.log.append("answered")
        return Said(answer.status, dict(answer.headers), json.loads(answer.body)["status"])


@dataclass
class Asked:
    """A request before its body, as the server hands it over."""

    path: str
    method: str
    headers: Mapping[str, str]
    http_version: str = "1.1"
    server: str = "127.0.0.1:8080"
    client: str = "127.0.0.1:50000"
    scheme: str = "http"
    query_string: str = ""


@dataclass
class Sent:
    """A body as the server hands it over: whole on a call, in pieces when iterated."""

    pieces: Sequence[bytes]
    end: End

    async def __call__(self) -> bytes:
        if self.end is End.NEVER:
            await asyncio.Event().wait()
        if self.end is End.GONE:
            raise ProtocolClosed
        return b"".join(self.pieces)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            yield piece
        if self.end is End.NEVER:
            await asyncio.Event().wait()


@dataclass
class Said:
    """What the sender was told."""

    status: int
    headers: dict[str, str]
    word: str


# -- admitted ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reception", list(Reception))
async def test_whatever_became_of_it_a_stored_delivery_is_answered_with_200(reception: Reception) -> None:
    front = Front(answers=(reception,))
    said = await front.ask()
    assert (said.status, said.word) == (200, reception.value)
    (arrival,) = front.arrivals
    assert arrival.body == BODY
    assert (arrival.connection, arrival.envelope.external_id, arrival.received_at) == ("stripe", "evt_1", NOW)
    # Only something new gives the rooms work.
    assert front.log.count("woken") == (reception is Reception.NEW)
    assert front.door.answers == {("stripe", reception.value): 1}


async def test_not_a_byte_of_the_answer_leaves_before_the_event_is_stored() -> None:
    release = asyncio.Event()

    async def hold() -> None:
        await release.wait()

    front = Front(delay=hold)
    asked = asyncio.create_task(front.ask())
    for _ in range(20):
        await asyncio.sleep(0)
    assert front.log == ["submitted"]
    assert not asked.done()
    release.set()
    assert (await asked).status == 200
    assert front.log == ["submitted", "stored", "woken", "answered"]


async def test_the_bytes_arrive_untouched_in_pieces() -> None:
    front = Front()
    pieces = [BODY[:1], BODY[1:9], b"", BODY[9:]]
    assert (await front.ask(pieces)).status == 200
    assert front.arrivals[0].body == BODY


async def test_cookies_and_tokens_are_not_kept_and_twice_sent_headers_are() -> None:
    front = Front()
    secret = {"authorization": "Bearer EXAMPLE", "cookie": "session=EXAMPLE", "proxy-authorization": "Basic EXAMPLE"}
    assert (await front.ask(headers={**secret, "user-agent": "Stripe/1.0"})).status == 200
    kept = json.loads(front.arrivals[0].headers)
    assert kept.keys() == {"content-type", "stripe-signature", "user-agent"}


async def test_a_body_that_is_signed_but_unusable_is_kept() -> None:
    front = Front()
    assert (await front.ask(body=b"not JSON at all")).status == 200
    assert front.arrivals[0].envelope.defect


# -- refused -----------------------------------------------------------------------------------------------------------


async def test_a_signature_that_is_not_the_providers_is_refused_without_a_reason() -> None:
    front = Front()
    said = await front.ask(signature=sign(BODY, int(NOW.timestamp()), ("whsec_somebody_else_entirely",)))
    assert (said.status, said.word) == (401, "signature not accepted")
    assert front.log == ["answered"]
    old = await front.ask(signature=sign(BODY, int((NOW - timedelta(hours=1)).timestamp()), (SECRET,)))
    assert (old.status, old.word) == (401, "signature not accepted")
    assert front.arrivals == []
    assert front.door.answers == {("stripe", "refused_401"): 2}


@pytest.mark.parametrize("path", ["/webhooks/other", "/webhooks/", "/webhooks/stripe/extra", "/webhooks/STRIPE"])
async def test_an_unknown_connection_is_not_found_and_counted_under_no_name_of_the_senders(path: str) -> None:
    front = Front()
    assert (await front.ask(path=path)).status == 404
    assert front.door.answers == {("unknown", "refused_404"): 1}


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_only_post_is_allowed(method: str) -> None:
    front = Front()
    assert (await front.ask(method=method)).status == 405
    assert front.arrivals == []


async def test_a_sender_that_never_finishes_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "BODY_SECONDS_MAX", 0.02)
    front = Front()
    said = await front.ask([b"{"], end=End.NEVER)
    assert said.status == 408
    assert front.arrivals == []


async def test_a_sender_that_sends_nothing_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "BODY_SECONDS_MAX", 0.02)
    front = Front()
    async with asyncio.timeout(5):
        assert (await front.ask([], headers={"content-length": "99"}, end=End.NEVER)).status == 408


async def test_a_sender_that_hangs_up_is_no_delivery() -> None:
    front = Front()
    assert (await front.ask([b"{"], headers={"content-length": "99"}, end=End.GONE)).status == 400
    # In pieces the end and the break look alike; the signature knows them apart.
    assert (await front.ask([BODY[:9]])).status == 401
    assert front.arrivals == []


async def test_a_body_announced_too_large_is_refused_before_it_is_read() -> None:
    front = Front()
    for size in (BODY_BYTES_MAX + 1, 10**30):
        assert (await front.ask([], headers={"content-length": str(size)})).status == 413


@pytest.mark.parametrize("pieces", [1, 3])
async def test_a_body_streamed_too_large_is_refused(pieces: int) -> None:
    front = Front()
    size = BODY_BYTES_MAX // pieces + 1
    assert (await front.ask([b"x" * size] * pieces)).status == 413
    assert front.arrivals == []


async def test_a_body_of_exactly_the_limit_is_taken() -> None:
    front = Front()
    body = BODY + b" " * (BODY_BYTES_MAX - len(BODY))
    assert (await front.ask(body=body, headers={"content-length": str(len(body))})).status == 200


async def test_what_all_large_bodies_hold_together_is_bounded_and_small_ones_pass(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(webhooks, "LARGE_BYTES_MAX", 1_000_000)
    front = Front()
    piece, announced = b"x" * 400_000, {"content-length": "900000"}
    dawdlers = [asyncio.create_task(front.ask([piece], headers=announced, end=End.NEVER)) for _ in range(2)]
    await asyncio.sleep(0)
    said = await front.ask([piece], headers=announced)
    assert (said.status, said.headers["retry-after"]) == (503, "5")
    assert (await front.ask(headers={"content-length": str(len(BODY))})).status == 200
    for dawdler in dawdlers:
        dawdler.cancel()
    await asyncio.gather(*dawdlers, return_exceptions=True)
    large = BODY + b" " * 400_000
    assert (await front.ask(body=large, headers={"content-length": str(len(large))})).status == 200


async def test_a_large_body_that_ends_early_is_no_delivery() -> None:
    front = Front()
    assert (await front.ask([b"x" * 50_000], headers={"content-length": "50001"})).status == 400
    assert front.arrivals == []


@pytest.mark.parametrize(
    "headers", [{"content-type": "multipart/form-data"}, {"content-type": "image/png"}, {"content-encoding": "gzip"}]
)
async def test_other_content_is_refused(headers: dict[str, str]) -> None:
    front = Front()
    assert (await front.ask(headers=headers)).status == 415
    assert front.arrivals == []


async def test_headers_too_large_are_refused() -> None:
    front = Front()
    assert (await front.ask(headers={"x-filler": "x" * HEADER_BYTES_MAX})).status == 431
    assert front.arrivals == []


async def test_beyond_its_rate_a_sender_is_asked_to_slow_down_and_strangers_do_not_count() -> None:
    front = Front(deliveries_per_s=2)
    for _ in range(5):
        assert (await front.ask(signature="t=1,v1=00")).status == 401
    assert [(await front.ask()).status for _ in range(3)] == [200, 200, 429]
    said = await front.ask()
    assert (said.status, said.headers["retry-after"]) == (429, "1")
    assert len(front.arrivals) == 2
    front.at += timedelta(seconds=1)
    assert (await front.ask()).status == 200


@pytest.mark.parametrize(
    ("error", "wait"),
    [
        (TransientError("The store is full."), "1"),
        (TransientError(retry_after_s=7.2), "8"),
        (QueueFull(retry_after_s=0.1), "1"),
    ],
)
async def test_a_store_that_cannot_is_said_with_a_time_to_come_back(error: TransientError, wait: str) -> None:
    front = Front(answers=(error, Reception.NEW))
    said = await front.ask()
    assert (said.status, said.word, said.headers["retry-after"]) == (503, "try again later", wait)
    assert "woken" not in front.log
    assert (await front.ask()).status == 200


async def test_no_answer_is_cached() -> None:
    front = Front()
    for said in (await front.ask(), await front.ask(method="GET")):
        assert said.headers["cache-control"] == "no-store"
