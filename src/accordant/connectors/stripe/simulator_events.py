"""How the Stripe stand-in delivers its events: signed, at least once, in whatever order a test wants to suffer.

Retries follow the stand-in's own clock; `drain` waits until everything due was tried. Signatures are made per try.
"""

import asyncio
import hashlib
import hmac
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from accordant.connectors.stripe.simulator_state import Book, SaidEvent

RETRY_AFTER_S = (300, 1_800, 7_200, 18_000, 36_000, 43_200, 43_200, 43_200, 43_200)
ATTEMPTS_KEPT = 200_000
USER_AGENT = "Stripe/1.0 (+https://stripe.com/docs/webhooks)"


def sign(body: bytes, timestamp: int, secrets: Sequence[str]) -> str:
    """The `Stripe-Signature` header: one `v1` per secret that is valid while a secret rolls."""
    payload = f"{timestamp}.".encode() + body
    marks = (f"v1={hmac.new(secret.encode(), payload, hashlib.sha256).hexdigest()}" for secret in secrets)
    return ",".join((f"t={timestamp}", *marks))


@dataclass(frozen=True, slots=True)
class Attempt:
    """One delivery that was tried: `status` is the HTTP status, 0 without an answer, -1 when it was lost on purpose."""

    event_id: str
    event_type: str
    endpoint_id: str
    number: int
    at: int
    status: int
    repeat: bool

    @property
    def delivered(self) -> bool:
        return 200 <= self.status < 300


@dataclass(slots=True)
class _Parcel:
    event: SaidEvent
    endpoint_id: str
    due_at: int
    number: int = 1
    repeat: bool = False


@dataclass(slots=True)
class _Secrets:
    current: str
    former: list[tuple[str, int]] = field(default_factory=list)

    def valid_at(self, now: int) -> tuple[str, ...]:
        return (self.current, *(secret for secret, until in self.former if until > now))


class Deliveries:
    """The webhook side of one book. `signing_clock` gives the second that a signature carries."""

    def __init__(
        self,
        book: Book,
        *,
        signing_clock: Callable[[], int] | None = None,
        concurrency: int = 1,
        timeout_s: float = 10.0,
    ) -> None:
        self.book = book
        self.signing_clock = signing_clock or (lambda: book.now)
        self.concurrency = concurrency
        self.timeout_s = timeout_s
        self.attempts: deque[Attempt] = deque(maxlen=ATTEMPTS_KEPT)
        self._secrets: dict[str, _Secrets] = {}
        self._waiting: deque[_Parcel] = deque()
        self._queue: asyncio.Queue[_Parcel] = asyncio.Queue()
        self._workers: list[asyncio.Task[None]] = []
        self._session: aiohttp.ClientSession | None = None
        self._held = False
        self._lose = 0
        self._delay_s = 0
        self.is_muted = False
        book.listeners.append(self._accept)

    # endpoints

    def set_secret(self, endpoint_id: str, secret: str) -> None:
        self._secrets[endpoint_id] = _Secrets(secret)

    def roll_secret(self, endpoint_id: str, secret: str, *, overlap_s: int) -> None:
        """Sign with both secrets until the overlap has passed, as Stripe does while a secret rolls."""
        held = self._secrets[endpoint_id]
        held.former.append((held.current, self.book.now + overlap_s))
        held.current = secret

    def drop_endpoint(self, endpoint_id: str) -> None:
        self._secrets.pop(endpoint_id, None)

    # controls

    def hold(self) -> None:
        """Keep every delivery back until `release`."""
        self._held = True

    def release(self, order: Sequence[str] | None = None, *, reverse: bool = False) -> None:
        """Let go: the named event ids first and in that order, the others after them, oldest or newest first."""
        place = {event_id: number for number, event_id in enumerate(order or ())}
        unknown = set(place) - {parcel.event.id for parcel in self._waiting}
        if unknown:
            raise ValueError(f"not held: {', '.join(sorted(unknown))}")
        kept = list(self._waiting)
        if reverse:
            kept.reverse()
        kept.sort(key=lambda parcel: place.get(parcel.event.id, len(place)))
        self._waiting = deque(kept)
        self._held = False
        self.pump()

    def lose_next(self, count: int = 1) -> None:
        """The next deliveries never arrive and are never tried again; only the events API still knows them."""
        self._lose += count

    def delay(self, seconds: int) -> None:
        """Deliver what is said from now on that many seconds later, by the stand-in's clock."""
        self._delay_s = seconds

    def retry_now(self) -> None:
        """Bring every waiting retry forward to this second."""
        for parcel in self._waiting:
            parcel.due_at = self.book.now
        self.pump()

    @property
    def held_ids(self) -> tuple[str, ...]:
        return tuple(parcel.event.id for parcel in self._waiting)

    # the loop

    def _accept(self, event: SaidEvent) -> None:
        if self.is_muted:  # as if no endpoint had been registered yet
            event.waiting.clear()
            event.undelivered.clear()
            return
        straight = bool(self._workers) and not self._held and self._delay_s == 0
        for endpoint_id in sorted(event.waiting):
            parcel = _Parcel(event, endpoint_id, self.book.now + self._delay_s)
            if straight:  # past the waiting ones, which may be many while a receiver is down
                self._queue.put_nowait(parcel)
            else:
                self._waiting.append(parcel)

    def pump(self) -> None:
        """Move everything that is due to the workers. Called whenever the clock or the holding changes."""
        if self._held or not self._workers:
            return
        now, later = self.book.now, deque[_Parcel]()
        for parcel in self._waiting:
            if parcel.due_at <= now:
                self._queue.put_nowait(parcel)
            else:
                later.append(parcel)
        self._waiting = later

    async def start(self) -> None:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=self.timeout_s), connector=aiohttp.TCPConnector(limit=0)
        )
        self._workers = [asyncio.create_task(self._work()) for _ in range(self.concurrency)]
        self.pump()

    async def stop(self) -> None:
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        self._workers = []
        if self._session is not None:
            await self._session.close()

    async def drain(self) -> int:
        """Wait until everything due now was tried; how many deliveries still wait for a later second."""
        self.pump()
        await self._queue.join()
        return len(self._waiting)

    async def _work(self) -> None:
        while True:
            parcel = await self._queue.get()
            try:
                await self._try(parcel)
            finally:
                self._queue.task_done()

    async def _try(self, parcel: _Parcel) -> None:
        event, endpoint_id = parcel.event, parcel.endpoint_id
        if self._lose > 0 and not parcel.repeat:
            self._lose -= 1
            self._note(parcel, -1)
            event.waiting.discard(endpoint_id)
            return
        status = await self._post(event, endpoint_id)
        self._note(parcel, status)
        if 200 <= status < 300:
            event.waiting.discard(endpoint_id)
            event.undelivered.discard(endpoint_id)
        elif not parcel.repeat:
            self._plan_retry(parcel)

    def _plan_retry(self, parcel: _Parcel) -> None:
        if parcel.number > len(RETRY_AFTER_S):
            parcel.event.waiting.discard(parcel.endpoint_id)
            return
        due_at = self.book.now + RETRY_AFTER_S[parcel.number - 1]
        self._waiting.append(_Parcel(parcel.event, parcel.endpoint_id, due_at, parcel.number + 1))

    def _note(self, parcel: _Parcel, status: int) -> None:
        event = parcel.event
        self.attempts.append(
            Attempt(event.id, event.type, parcel.endpoint_id, parcel.number, self.book.now, status, parcel.repeat)
        )

    async def _post(self, event: SaidEvent, endpoint_id: str) -> int:
        endpoint = self.book.table("webhook_endpoint").get(endpoint_id)
        secrets = self._secrets.get(endpoint_id)
        if endpoint is None or secrets is None or self._session is None:
            return 0
        body = event.body(self.book.endpoint_versions.get(endpoint_id))
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": sign(body, self.signing_clock(), secrets.valid_at(self.book.now)),
            "User-Agent": USER_AGENT,
        }
        try:
            async with self._session.post(endpoint["url"], data=body, headers=headers, allow_redirects=False) as answer:
                await answer.read()
                return answer.status
        except (aiohttp.ClientError, TimeoutError):
            return 0

    # storms

    async def redeliver(self, times: int = 1, *, concurrency: int = 16, event_ids: Sequence[str] | None = None) -> int:
        """Deliver remembered events again, each try freshly signed; how many of the tries were answered 2xx."""
        chosen = [self.book.events[one] for one in event_ids] if event_ids else list(self.book.events.values())
        gate = asyncio.Semaphore(concurrency)

        async def once(event: SaidEvent, endpoint_id: str) -> bool:
            async with gate:
                status = await self._post(event, endpoint_id)
            self._note(_Parcel(event, endpoint_id, self.book.now, repeat=True), status)
            return 200 <= status < 300

        good = 0
        for _ in range(times):
            tries: list[Any] = [
                once(event, endpoint_id) for event in chosen for endpoint_id in self.book.endpoints_for(event.type)
            ]
            good += sum(await asyncio.gather(*tries))
        return good
