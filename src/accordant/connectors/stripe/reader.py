"""Reads objects and events from Stripe, one or page by page, raw: what they mean is decided in inbound.py.
Guarantees: only GET, a pinned API version, every page asked for once, and an end even if the other side repeats itself.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import TypeVar
from urllib.parse import quote

import msgspec

from accordant.canonical.refs import ExternalRef
from accordant.connectors.sdk.http import HttpAnswer, HttpClient
from accordant.connectors.stripe.errors import refusal, translated
from accordant.connectors.stripe.settlement import settlement_body
from accordant.kernel.clock import Clock, to_micros
from accordant.kernel.errors import InvariantBroken
from accordant.ports.connector import Page, TargetUnavailable, WebhookEndpoint

API_VERSION = "2026-10-28.endive"
PAGE_SIZE = 100
PAGES_MAX = 1_000_000
# The version in which a discount's coupon moved into its source, where it has to be asked for.
_COUPON_MOVED = "2025-09-30"
# Since this version a charge does not name the bill it pays; what ties the two is an object of its own:
# https://docs.stripe.com/api/invoice-payment/list
_BILL_MOVED = "2025-03-31"

#: Stripe's word for an object -> its collection.
COLLECTIONS: dict[str, str] = {
    "customer": "customers",
    "product": "products",
    "price": "prices",
    "subscription": "subscriptions",
    "invoice": "invoices",
    "credit_note": "credit_notes",
    "charge": "charges",
    "refund": "refunds",
    "dispute": "disputes",
    "payout": "payouts",
    "balance_transaction": "balance_transactions",
}

_Query = Sequence[tuple[str, str]]
T = TypeVar("T")


class _Listed(msgspec.Struct):
    data: list[msgspec.Raw]
    has_more: bool


class _Head(msgspec.Struct):
    id: str
    deleted: bool = False


class _Charge(msgspec.Struct):
    payment_intent: str | None = None
    invoice: str | None = None


class _Paid(msgspec.Struct):
    payment_intent: str | None = None


class _Link(msgspec.Struct):
    """What ties a payment to the bill it pays."""

    invoice: str
    payment: _Paid


class _Endpoint(msgspec.Struct):
    id: str
    url: str
    status: str
    enabled_events: frozenset[str]
    api_version: str | None = None


_LISTED = msgspec.json.Decoder(_Listed)
_HEAD = msgspec.json.Decoder(_Head)
_CHARGE = msgspec.json.Decoder(_Charge)
_LINK = msgspec.json.Decoder(_Link)
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ENDPOINT = msgspec.json.Decoder(_Endpoint)


class StripeReader:
    """The reader. ``system`` names the connection in the references it hands out."""

    def __init__(self, http: HttpClient, *, system: str, clock: Clock, api_version: str = API_VERSION) -> None:
        self._http = http
        self._system = system
        self._clock = clock
        self._version = api_version

    async def read(self, ref: ExternalRef) -> tuple[bytes, datetime]:
        """One object and the moment it was asked for; see the port. Raises also ReadRefused."""
        path = f"/v1/{_collection(ref.object_type)}/{_segment(ref.id)}"
        asked_at = self._clock()
        answer = await self._get(path, [("expand[]", field) for field in self._expanded(ref.object_type)])
        if answer is None or _head(answer.body).deleted:
            return b"", asked_at
        if ref.object_type == "charge" and (intent := self._unbilled(answer.body)) is not None:
            return _billed(
                answer.body, (await self._bills([("payment[payment_intent]", intent)])).get(intent)
            ), asked_at
        return answer.body, asked_at

    def pages(self, object_type: str, *, created_since: datetime | None = None) -> AsyncIterator[Page]:
        """Every object of a type, newest first; see the port."""
        query: list[tuple[str, str]] = []
        if created_since is not None:
            query.append(("created[gte]", _seconds(created_since)))
        if object_type == "subscription":
            query.append(("status", "all"))  # Stripe leaves out canceled ones otherwise
        return self._charges(query) if object_type == "charge" else self._pages(object_type, query)

    def movements_of(self, payout_id: str) -> AsyncIterator[Page]:
        """Every balance movement that one automatic payout settled. Raises as ``read``."""
        return self._pages("balance_transaction", [("payout", payout_id)])

    async def settlements(self, payout_id: str) -> AsyncIterator[bytes]:
        """The same as bodies for the inbox; see `ports.connector.SettlementLister`.

        Stripe tells it of automatic payouts only, once it has reconciled them:
        https://docs.stripe.com/api/balance_transactions/list (parameter ``payout``).
        """
        number = 0
        async for page in self.movements_of(payout_id):
            yield settlement_body(payout_id, number, [body for _, body in page.objects])
            number += 1

    async def events(
        self, *, since: datetime, until: datetime, event_type: str | None = None, undelivered: bool = False
    ) -> AsyncIterator[tuple[bytes, ...]]:
        """Events of a span of time, newest first, of the last 30 days; see the port.

        Each comes in the version that was the account's own when it happened, whatever version is asked for.
        """
        query = [("created[gte]", _seconds(since)), ("created[lt]", _seconds(until))]
        if event_type is not None:
            query.append(("type", event_type))
        if undelivered:
            query.append(("delivery_success", "false"))
        async for raw, _ in self._lists("/v1/events", "event", query):
            yield tuple(body for _, body in raw)

    async def endpoints(self) -> tuple[WebhookEndpoint, ...]:
        """The account's webhook endpoints; see the port. Stripe never shows their secrets here."""
        found: list[WebhookEndpoint] = []
        async for raw, _ in self._lists("/v1/webhook_endpoints", "webhook_endpoint", ()):
            found += [_endpoint(body) for _, body in raw]
        return tuple(found)

    async def _charges(self, query: _Query) -> AsyncIterator[Page]:
        """Charges with the bills they pay. All of history asks for all ties at once, a part of it charge by charge."""
        bills = None if query or self._version < _BILL_MOVED else await self._bills(())
        async for page in self._pages("charge", query):
            objects = []
            for ref, body in page.objects:
                intent = self._unbilled(body)
                if intent is None:
                    objects.append((ref, body))
                    continue
                known = bills if bills is not None else await self._bills([("payment[payment_intent]", intent)])
                objects.append((ref, _billed(body, known.get(intent))))
            yield Page(objects=tuple(objects), read_at=page.read_at)

    def _unbilled(self, body: bytes) -> str | None:
        """The payment intent of a charge that does not say what it pays."""
        charge = _decoded(_CHARGE, body, "charge")
        is_silent = self._version >= _BILL_MOVED and charge.invoice is None
        return charge.payment_intent if is_silent else None

    async def _bills(self, query: _Query) -> dict[str, str]:
        """Payment intent -> the bill it pays; one that pays several names none: its shares are told by events."""
        found: dict[str, set[str]] = {}
        chosen = [("payment[type]", "payment_intent"), *query] if query else []
        async for raw, _ in self._lists("/v1/invoice_payments", "invoice_payment", chosen):
            links = (_decoded(_LINK, body, "payment of a bill") for _, body in raw)
            for link in links:
                if link.payment.payment_intent:
                    found.setdefault(link.payment.payment_intent, set()).add(link.invoice)
        return {intent: min(bills) for intent, bills in found.items() if len(bills) == 1}

    async def _pages(self, object_type: str, query: _Query) -> AsyncIterator[Page]:
        expanded = [("expand[]", f"data.{field}") for field in self._expanded(object_type)]
        path = f"/v1/{_collection(object_type)}"
        async for raw, asked_at in self._lists(path, object_type, [*query, *expanded]):
            objects = tuple((ExternalRef(self._system, object_type, name), body) for name, body in raw)
            yield Page(objects=objects, read_at=asked_at)

    async def _lists(
        self, path: str, object_type: str, query: _Query
    ) -> AsyncIterator[tuple[list[tuple[str, bytes]], datetime]]:
        """The pages of a list that hold anything: ids with bodies, and when each page was asked for."""
        after: list[tuple[str, str]] = []
        for _ in range(PAGES_MAX):
            asked_at = self._clock()
            answer = await self._get(path, [("limit", str(PAGE_SIZE)), *query, *after])
            if answer is None:
                # The object the page starts after was deleted meanwhile, or the address is not Stripe's.
                raise TargetUnavailable(f"Stripe's list of {object_type} objects changed while it was read.")
            page = _listed(answer.body)
            raw = [(_head(bytes(one)).id, bytes(one)) for one in page.data]
            if raw:
                yield raw, asked_at
            if not page.has_more or not raw:
                return
            last = ("starting_after", raw[-1][0])
            if after == [last]:
                raise TargetUnavailable(f"Stripe repeats a page of {object_type} objects.")
            after = [last]
        raise InvariantBroken(f"A list of {object_type} objects has more than {PAGES_MAX} pages.")

    async def close(self) -> None:
        """Release connections."""
        await self._http.close()

    @translated
    async def _get(self, path: str, query: _Query) -> HttpAnswer | None:
        """The answer; None where Stripe itself says that there is no such object."""
        answer = await self._http.send("GET", path, query=query, headers={"Stripe-Version": self._version})
        if answer.status == 200:
            return answer
        refused = refusal(answer)
        if refused.is_absence:
            return None
        raise refused

    def _expanded(self, object_type: str) -> tuple[str, ...]:
        """What an entity needs and Stripe sends only when asked."""
        if object_type == "subscription":
            return ("discounts.source.coupon",) if self._version >= _COUPON_MOVED else ("discounts",)
        return ()


def _billed(body: bytes, bill: str | None) -> bytes:
    """A charge as older versions tell it: it names the bill it pays."""
    if bill is None:
        return body
    return msgspec.json.encode({**_FIELDS.decode(body), "invoice": bill})


def _collection(object_type: str) -> str:
    try:
        return COLLECTIONS[object_type]
    except KeyError:
        raise InvariantBroken(f"Stripe's {object_type!r} is not among the objects this connector reads.") from None


def _seconds(moment: datetime) -> str:
    return str(to_micros(moment) // 1_000_000)


def _endpoint(body: bytes) -> WebhookEndpoint:
    one = _decoded(_ENDPOINT, body, "webhook endpoint")
    return WebhookEndpoint(
        id=one.id,
        url=one.url,
        is_enabled=one.status == "enabled",
        api_version=one.api_version,
        event_types=one.enabled_events,
    )


def _segment(name: str) -> str:
    """The id as one segment of a path; an id of dots would be another path."""
    encoded = quote(name, safe="")
    return encoded.replace(".", "%2E") if not encoded.strip(".") else encoded


def _head(body: bytes) -> _Head:
    return _decoded(_HEAD, body, "object with an id")


def _listed(body: bytes) -> _Listed:
    return _decoded(_LISTED, body, "list of objects")


def _decoded(decoder: msgspec.json.Decoder[T], body: bytes, word: str) -> T:
    """Raises TargetUnavailable for an answer of another shape."""
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise TargetUnavailable(f"Stripe's answer is no {word}.") from None
