"""Room 1, the door: a request becomes bytes and headers, within limits of size and rate.

Nothing is parsed here. A 2xx leaves only after the event is on disk; a body we can never use is refused once, with a
4xx, and never with a 5xx, since providers switch an endpoint off after days of failures. Next: `pipeline/receive.py`.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from http import HTTPStatus

import msgspec
import structlog

from accordant.kernel.clock import Clock
from accordant.kernel.errors import TransientError
from accordant.pipeline.receive import Connection, receive
from accordant.ports.connector import SignatureInvalid
from accordant.ports.inbox import Arrival, Reception

BODY_BYTES_MAX = 1024 * 1024
#: A body announced up to this is read without asking, as almost every event is.
SMALL_BYTES_MAX = 16 * 1024
#: What all larger bodies that are being read may hold together: memory is ours to bound, not the senders'.
LARGE_BYTES_MAX = 64 * 1024 * 1024
#: A sender that takes longer than this to send one request is cut off.
BODY_SECONDS_MAX = 10.0
HEADER_BYTES_MAX = 32 * 1024
_ALLOWED_TYPES = ("application/json", "application/x-www-form-urlencoded", "text/plain")

_log = structlog.get_logger("door")


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the sender is told. ``head`` is the same as it goes over the wire, without date and the empty line."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    head: bytes


#: Stores an arrival and then says what became of it: a reception, or the error that kept it from the disk.
HandIn = Callable[[Arrival, Callable[[Reception | Exception], None]], None]
Told = Callable[[Answer], None]


class _Refused(Exception):
    """Answer with this status; the reason is for our log, the sender learns only the status."""

    def __init__(self, status: int, reason: str, *, retry_after_s: float | None = None) -> None:
        self.status = status
        self.reason = reason
        self.retry_after_s = retry_after_s
        super().__init__(reason)


class Door:
    """Takes deliveries for ``/webhooks/{connection}``: ``look`` before the body is read, ``take`` when it is whole.

    ``hand_in`` answers once the arrival is on disk; it and everything here run on the server's loop.
    """

    def __init__(
        self,
        connections: Callable[[], Mapping[str, Connection]],
        hand_in: HandIn,
        clock: Clock,
        on_received: Callable[[], None],
    ) -> None:
        self._connections = connections
        self._hand_in = hand_in
        self._clock = clock
        self._on_received = on_received
        self._windows: dict[str, tuple[int, int]] = {}
        self._held = 0
        #: Answers since the start, by (connection, what became of it): refusals are counted, not stored.
        self.answers: Counter[tuple[str, str]] = Counter()

    def look(self, name: str, method: str, headers: Mapping[str, str], header_bytes: int) -> Answer | None:
        """What to refuse before the body is read, or None. Header names are lower case."""
        try:
            self._check(name, method, headers, header_bytes)
        except _Refused as refusal:
            return self._refuse(name, refusal)
        return None

    def _check(self, name: str, method: str, headers: Mapping[str, str], header_bytes: int) -> None:
        if name not in self._connections():
            raise _Refused(404, "unknown connection")
        if method != "POST":
            raise _Refused(405, "only POST is accepted")
        if header_bytes > HEADER_BYTES_MAX:
            raise _Refused(431, f"{header_bytes} bytes of headers")
        # No provider we connect to compresses what it sends.
        if headers.get("content-encoding", "identity") != "identity":
            raise _Refused(415, "compressed body")
        if not headers.get("content-type", "application/json").startswith(_ALLOWED_TYPES):
            raise _Refused(415, f"content type {headers.get('content-type')!r}")
        declared = headers.get("content-length", "")
        if declared.isascii() and declared.isdigit() and int(declared[:12]) > BODY_BYTES_MAX:
            raise _Refused(413, f"{declared[:12]} bytes announced")

    def hold(self, name: str, size: int) -> Answer | None:
        """Count ``size`` more bytes of a large body that is being read; what to refuse it with, or None.

        What was counted is let go with ``let_go``, whatever became of the body.
        """
        self._held += size
        if self._held > LARGE_BYTES_MAX:
            return self._refuse(name, _Refused(503, "large bodies fill the memory they may have", retry_after_s=5.0))
        return None

    def let_go(self, size: int) -> None:
        """Large bodies of ``size`` bytes are held by their connection no longer."""
        self._held -= size

    def take(self, name: str, headers: Mapping[str, str], body: bytes, told: Told) -> None:
        """Take one delivery that was looked at; ``told`` is called with the answer, at once or when it is stored."""
        try:
            arrival = self._admit(name, headers, body)
            self._hand_in(arrival, partial(self._stored, name, told))
        except _Refused as refusal:
            told(self._refuse(name, refusal))
        except TransientError as error:
            told(self._refuse(name, _come_back(error)))

    def _admit(self, name: str, headers: Mapping[str, str], body: bytes) -> Arrival:
        connection = self._connections().get(name)
        if connection is None:  # taken out of the charter while the body came
            raise _Refused(404, "unknown connection")
        now = self._clock()
        try:
            arrival = receive(connection=connection, headers=headers, body=body, now=now)
        except SignatureInvalid as error:
            raise _Refused(401, error.message) from None
        # Counted after the proof: a stranger must not be able to use up a provider's rate.
        self._hold_rate(connection, int(now.timestamp()))
        return arrival

    def _stored(self, name: str, told: Told, reception: Reception | Exception) -> None:
        if isinstance(reception, Reception):
            word = reception.value
            self.answers[name, word] += 1
            told(_TAKEN[word])
            if reception is Reception.NEW:
                self._on_received()
        elif isinstance(reception, TransientError):
            told(self._refuse(name, _come_back(reception)))
        else:
            _log.error("a delivery could not be stored", connection=name, exc_info=reception)
            told(self.fail(name))

    def fail(self, name: str) -> Answer:
        """What to answer where we are at fault: the sender comes again."""
        return self._refuse(name, _Refused(500, "our own defect"))

    def cut_off(self, name: str, status: int, reason: str) -> Answer:
        """What to answer when the request itself did not come as it should; it is counted as a refusal."""
        return self._refuse(name, _Refused(status, reason))

    def _hold_rate(self, connection: Connection, second: int) -> None:
        window, count = self._windows.get(connection.name, (second, 0))
        count = count + 1 if window == second else 1
        self._windows[connection.name] = (second, count)
        if count > connection.deliveries_per_s:
            raise _Refused(429, f"more than {connection.deliveries_per_s} deliveries a second", retry_after_s=1.0)

    def _refuse(self, name: str, refusal: _Refused) -> Answer:
        known = name if name in self._connections() else "unknown"
        self.answers[known, f"refused_{refusal.status}"] += 1
        count = self.answers[known, f"refused_{refusal.status}"]
        # Sampled: the first ones, then every thousandth, so that a flood of forgeries cannot flood the log.
        if count <= 10 or count % 1000 == 0:
            _log.warning(
                "delivery refused", connection=known, status=refusal.status, reason=refusal.reason, count=count
            )
        return _refused(refusal)


_PHRASES = {
    400: "bad request",
    401: "signature not accepted",
    404: "no such connection",
    405: "method not allowed",
    408: "request timeout",
    413: "body too large",
    415: "content type not accepted",
    429: "too many deliveries",
    431: "headers too large",
    500: "try again later",
    503: "try again later",
}
_HEADERS = (("content-type", "application/json"), ("cache-control", "no-store"))


def _answer(status: int, word: str, *more: tuple[str, str]) -> Answer:
    body = b'{"status":"%s"}' % word.encode()
    headers = (*_HEADERS, *more)
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return Answer(status=status, headers=headers, body=body, head="\r\n".join([*lines, ""]).encode())


_TAKEN = {reception.value: _answer(200, reception.value) for reception in Reception}


def _come_back(error: TransientError) -> _Refused:
    return _Refused(503, error.message, retry_after_s=error.retry_after_s or 1.0)


def _refused(refusal: _Refused) -> Answer:
    more = () if refusal.retry_after_s is None else (("retry-after", str(max(1, math.ceil(refusal.retry_after_s)))),)
    return _answer(refusal.status, _PHRASES[refusal.status], *more)
