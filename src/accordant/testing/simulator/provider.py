"""A provider with a past: what it has said, what it still answers when it is asked, and deliveries it signs.

Its history comes from the stand-in's own state machine, kept to what the accounts of the past are about.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, cached_property, lru_cache

import msgspec

from accordant.canonical.refs import ExternalRef
from accordant.connectors.stripe import connector as billing
from accordant.connectors.stripe.reader import COLLECTIONS
from accordant.connectors.stripe.simulator_account import SimulatedAccount
from accordant.connectors.stripe.simulator_events import sign
from accordant.connectors.stripe.simulator_history import Company
from accordant.connectors.stripe.simulator_reading import Reading
from accordant.connectors.stripe.simulator_state import SaidEvent, SimulatedRefusal
from accordant.connectors.stripe.simulator_versions import PINNED
from accordant.kernel.clock import Clock
from accordant.ports.connector import Inbound, Page

SECRET = "whsec_simulated_provider_secret"  # noqa: S105  signs deliveries that never leave this process
SETTINGS = {"live_mode": "false", "webhook_secrets": SECRET}
#: Which connector's systems this provider stands in for.
CONNECTOR = "stripe"
#: As many bodies as all short pasts have, several times; those of a long one are more than are told again.
_BODIES_MAX = 8_192
_MICRO = timedelta(microseconds=1)
_CATALOGUE = ("product.", "price.", "coupon.")


@dataclass(frozen=True)
class Past:
    """What was said, oldest first, and the account that can still be asked."""

    account: SimulatedAccount
    said: tuple[SaidEvent, ...]
    bodies: tuple[bytes, ...]

    @property
    def ended_at(self) -> datetime:
        """A day after everything that was said."""
        return datetime.fromtimestamp(self.account.book.now, UTC) + timedelta(days=1)

    @cached_property
    def _reading(self) -> Reading:
        return Reading(self.account)

    def answer(self, ref: ExternalRef) -> bytes:
        """The object as its owner returns it now; empty when it no longer has it."""
        expand = ("discounts.source.coupon",) if ref.object_type == "subscription" else ()
        try:
            found = self._reading.one(f"/v1/{COLLECTIONS[ref.object_type]}/{ref.id}", PINNED, expand)
        except SimulatedRefusal:
            return b""
        return b"" if found is None or found.get("deleted") else msgspec.json.encode(found)


@lru_cache(maxsize=64)
def a_past(seed: int, accounts: int, months: int) -> Past:
    """A small company's past. The same arguments give the same bytes."""
    account = SimulatedAccount(seed=seed)
    said: list[SaidEvent] = []
    account.book.listeners.append(said.append)
    for _ in Company(account, accounts=accounts, months=months, seed=seed, forgets=False).unfold():
        pass
    told = [(event, event.body()) for event in said]
    spoken_of = b"".join(body for event, body in told if not event.type.startswith(_CATALOGUE))
    kept = [
        (event, body) for event, body in told if not event.type.startswith(_CATALOGUE) or _object_id(body) in spoken_of
    ]
    return Past(account, tuple(event for event, _ in kept), tuple(body for _, body in kept))


def _object_id(body: bytes) -> bytes:
    found: str = msgspec.json.decode(body)["data"]["object"]["id"]
    return found.encode()


class RememberingInbound:
    """The real interpreter of this provider's deliveries, asked once for each body.

    What bytes mean depends on nothing else and changes never (`pipeline/interpret.py`), and the same pasts are told in
    schedule after schedule. Signatures are proved each time: they name the moment.
    """

    def __init__(self) -> None:
        real = billing.inbound(SETTINGS)
        self.verify = real.verify
        self.read_envelope = lru_cache(maxsize=_BODIES_MAX)(real.read_envelope)
        self.interpret = lru_cache(maxsize=_BODIES_MAX)(real.interpret)
        self.interpret_object = real.interpret_object


@cache
def inbound() -> Inbound:
    """The real interpreter of this provider's deliveries."""
    return RememberingInbound()


def headers_of(body: bytes, at: datetime) -> dict[str, str]:
    """What a delivery carries besides its body."""
    return {"stripe-signature": sign(body, int(at.timestamp()), (SECRET,))}


class PastReader:
    """Implements `ports.connector.Reader` on a past: every answer has a moment of its own.

    ``call`` is called before each answer and may raise what a network raises.
    """

    def __init__(self, past: Past, clock: Clock, *, system: str, call: Callable[[], None] = lambda: None) -> None:
        self.past = past
        self._system = system
        self._clock = clock
        self._call = call
        self._asked = 0

    async def read(self, ref: ExternalRef) -> tuple[bytes, datetime]:
        """See the port."""
        self._call()
        self._asked += 1
        return self.past.answer(ref), self._clock() + self._asked * _MICRO

    async def pages(self, object_type: str, *, created_since: datetime | None = None) -> AsyncIterator[Page]:
        """See the port: one page with everything."""
        self._call()
        refs = [
            ExternalRef(self._system, object_type, name)
            for name, record in self.past.account.book.table(object_type).items()
            if created_since is None or datetime.fromtimestamp(record.get("created", 0), UTC) >= created_since
        ]
        found = [(ref, self.past.answer(ref)) for ref in reversed(refs)]
        yield Page(objects=tuple((ref, body) for ref, body in found if body), read_at=self._clock())

    async def close(self) -> None:
        """Holds nothing open."""
