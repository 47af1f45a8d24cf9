"""A Xero on loopback for tests: one organisation with books of its own, real HTTP, limits, signed notices, refusals.
Guarantees its own ledger, so that a test need not believe the hub. No vendor's code; behaviour from Xero's OpenAPI.
Next: simulator_books.py for what is refused, simulator_lists.py for lists.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections import deque
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec

from accordant.connectors.sdk.faults import Fault
from accordant.connectors.sdk.plain_json import Json, Row, decode
from accordant.connectors.sdk.stand_in import Answer, Call, StandIn
from accordant.connectors.sdk.stand_in_tokens import TokenDesk
from accordant.connectors.xero import simulator_hands
from accordant.connectors.xero.simulator_books import Books, Refused, spelled_day
from accordant.connectors.xero.simulator_filter import FilterInvalid
from accordant.connectors.xero.simulator_lists import listed

TENANT = "aef86862-2015-4b6b-88bc-d89032cecc50"
CLIENT = ("EXAMPLE-CLIENT", "EXAMPLE-SECRET")
#: How long an idempotency key is known: developers report about six minutes, Xero itself says nothing.
KEY_LIFE = timedelta(minutes=6)
TOKEN_LIFE = timedelta(minutes=30)
#: The previous refresh token is taken this long, in case the answer with its successor was lost.
GRACE = timedelta(minutes=30)
#: What was consented to, told beside every token.
SCOPE = "offline_access accounting.transactions accounting.contacts accounting.settings.read"
_BASE = "/api.xro/2.0/"
_MINUTE, _DAY = timedelta(minutes=1), timedelta(days=1)


def _clock() -> datetime:
    return datetime.now(UTC)


class XeroSimulator(StandIn):
    """One organisation behind one port. ``per_minute`` and ``per_day`` are its limits."""

    def __init__(
        self,
        *,
        now: Callable[[], datetime] = _clock,
        currency: str = "EUR",
        per_minute: int = 1_000_000,
        per_day: int = 1_000_000,
        middlewares: Iterable[Any] = (),
    ) -> None:
        super().__init__(middlewares=middlewares)
        self.now = now
        self.books = Books(now, currency=currency)
        self.per_minute = per_minute
        self.per_day = per_day
        self.tokens = TokenDesk(now, client=CLIENT, life=TOKEN_LIFE, grace=GRACE, says={"scope": SCOPE})
        self._taken: deque[datetime] = deque()
        self._answered: dict[str, tuple[str, datetime, Answer]] = {}
        self._sequence = 0

    # -- control -------------------------------------------------------------------------------------------------------

    def expire_tokens(self) -> None:
        """End every session: the next call of each gets 401."""
        self.tokens.expire_all()

    def lock(self, until: date | None) -> None:
        """An accountant locks the books up to a day."""
        self.books.lock_date = until

    def correct(self, table: str, one: str, **values: Json) -> None:
        """Somebody overwrites fields of a record."""
        simulator_hands.correct(self.books, table, one, **values)

    def archive(self, contact: str) -> None:
        """Somebody archives a contact."""
        simulator_hands.archive(self.books, contact)

    def merge(self, survivor: str, loser: str) -> None:
        """Somebody merges a contact into another. Raises Refused."""
        simulator_hands.merge(self.books, survivor, loser)

    def notice(self, key: bytes, *changes: tuple[str, str, str]) -> tuple[bytes, dict[str, str]]:
        """A signed delivery: changes as (category, resource id, type); without one it is the test of a receiver."""
        first = self._sequence + 1 if changes else 0
        events = [
            {
                "resourceUrl": f"{self.url}{_BASE}{category.capitalize()}s/{one}",
                "resourceId": one,
                "tenantId": TENANT,
                "tenantType": "ORGANISATION",
                "eventCategory": category,
                "eventType": kind,
                "eventDateUtc": self.now().replace(tzinfo=None).isoformat(timespec="milliseconds"),
            }
            for category, one, kind in changes
        ]
        self._sequence += len(changes)
        body = json.dumps(
            {
                "events": events,
                "firstEventSequence": first,
                "lastEventSequence": self._sequence if changes else 0,
                "entropy": "S0m3r4Nd0mt3xt",
            }
        ).encode()
        signature = base64.b64encode(hmac.digest(key, body, hashlib.sha256)).decode()
        return body, {"x-xero-signature": signature}

    # -- answering -----------------------------------------------------------------------------------------------------

    def refusal(self, fault: Fault) -> Answer:
        """See the base class."""
        pause = {"Retry-After": str(max(1, round(fault.seconds)))}
        if fault.kind == "too_many":
            return Answer(429, None, {**pause, "X-Rate-Limit-Problem": "minute"})
        if fault.kind == "busy":
            return Answer(503, {"Title": "Service Unavailable", "Detail": "The Xero API is currently offline"}, pause)
        if fault.kind == "expired":
            return _unauthorized()
        return Answer(
            fault.status, {"ErrorNumber": 0, "Type": "InternalErrorException", "Message": "An error occurred"}
        )

    def answer(self, call: Call) -> Answer:
        """See the base class."""
        if call.path == "/connect/token":
            return self.tokens.grant(call)
        if not call.path.startswith(_BASE):
            return Answer(404)
        if not self.tokens.knows(call):
            return _unauthorized()
        if call.headers.get("xero-tenant-id") != TENANT:
            return Answer(
                403, {"Type": None, "Title": "Forbidden", "Status": 403, "Detail": "AuthenticationUnsuccessful"}
            )
        if (limited := self._limited()) is not None:
            return limited
        return self._with_limits(self._remembered(call))

    def _limited(self) -> Answer | None:
        now = self.now()
        while self._taken and self._taken[0] <= now - _DAY:
            self._taken.popleft()
        in_minute = sum(1 for one in self._taken if one > now - _MINUTE)
        for problem, used, limit, window in (
            ("day", len(self._taken), self.per_day, _DAY),
            ("minute", in_minute, self.per_minute, _MINUTE),
        ):
            if used >= limit:
                oldest = self._taken[-limit]
                pause = max(1, int((oldest + window - now).total_seconds()) + 1)
                return Answer(429, None, {"Retry-After": str(pause), "X-Rate-Limit-Problem": problem})
        self._taken.append(now)
        return None

    def _with_limits(self, answer: Answer) -> Answer:
        left = {"X-DayLimit-Remaining": str(self.per_day - len(self._taken))}
        return Answer(answer.status, answer.body, {**answer.headers, **left})

    def _remembered(self, call: Call) -> Answer:
        """A write under a key that is known is answered as it was; one with another content is refused."""
        key = call.headers.get("idempotency-key")
        if key is None or call.method == "GET":
            return self._carried(call)
        if len(key) > 128:
            return _refused(Refused("Idempotency-Key must not exceed 128 characters"))
        content = hashlib.sha256(f"{call.method} {call.path}".encode() + call.body).hexdigest()
        known = self._answered.get(key)
        if known is not None and known[1] > self.now():
            if known[0] != content:
                return _refused(Refused("The Idempotency key was used with a different request"))
            return known[2]
        answer = self._carried(call)
        self._answered[key] = (content, self.now() + KEY_LIFE, answer)
        return answer

    def _carried(self, call: Call) -> Answer:
        parts = call.path.removeprefix(_BASE).split("/")
        try:
            if call.method == "GET":
                return self._asked(parts, call)
            return Answer(200, self._written(call.method, parts, decode(call.body)))
        except Refused as refused:
            return _refused(refused)
        except FilterInvalid as error:
            return _refused(Refused(str(error), kind="QueryParseException"))
        except (msgspec.DecodeError, KeyError, TypeError, AttributeError) as error:
            return _refused(Refused(f"The request could not be read: {error!r}", kind="PostDataInvalidException"))

    def _written(self, method: str, parts: list[str], body: Any) -> Row:
        name, one = parts[0], parts[1] if len(parts) > 1 else None
        if name == "CreditNotes" and parts[2:] == ["Allocations"] and method == "PUT":
            return {"Allocations": [self.books.allocate(parts[1], _only(body["Allocations"]))]}
        if name == "Payments" and one is not None and method == "POST":
            return {name: [self.books.change(name, one, body)]}  # the one that is written without its collection
        given = _only(body[name])
        if name == "Contacts":
            return {name: [self.books.put_contact(given, one if method == "POST" else None)]}
        if one is not None and method == "POST":
            return {name: [self.books.change(name, one, given)]}
        if method != "PUT":
            raise Refused(f"{method} {name} is not supported by this stand-in")
        if name in {"Invoices", "CreditNotes"}:
            return {name: [self.books.put_bill(name, given)]}
        return {name: [self.books.put_payment(given) if name == "Payments" else self.books.put_journal(given)]}

    def _asked(self, parts: list[str], call: Call) -> Answer:
        name, query, books = parts[0], call.query, self.books
        if name == "Organisation":
            row: Row = {"Name": "Example organisation", "BaseCurrency": books.currency}
            if books.lock_date is not None:  # not there at all while nothing is locked
                row["PeriodLockDate"] = spelled_day(books.lock_date)
            return Answer(200, {"Organisations": [row]})
        if name == "TrackingCategories":
            rows: list[Row] = [
                {"Name": category, "Options": [{"Name": one, "Status": "ACTIVE"} for one in options]}
                for category, options in books.tracking.items()
            ]
            return Answer(200, {name: rows})
        if name not in books.tables:
            return Answer(404)
        if len(parts) > 1:
            found = books.tables[name].get(parts[1])
            return Answer(404) if found is None else Answer(200, {name: [found]})
        return Answer(200, listed(books, name, query, call.headers.get("if-modified-since")))


def _only(elements: list[Row]) -> Row:
    """Refuses several, so that none of them is left out in silence."""
    if len(elements) != 1:
        raise Refused(f"This stand-in takes one element in a call, not {len(elements)}")
    return elements[0]


def _unauthorized() -> Answer:
    return Answer(401, {"Type": None, "Title": "Unauthorized", "Status": 401, "Detail": "TokenExpired: token expired"})


def _refused(refused: Refused) -> Answer:
    elements = [{"ValidationErrors": [{"Message": one} for one in refused.sentences]}]
    message = "A validation exception occurred" if refused.kind == "ValidationException" else str(refused)
    body: Row = {"ErrorNumber": 10, "Type": refused.kind, "Message": message}
    if refused.kind == "ValidationException":
        body["Elements"] = elements
    return Answer(400, body)
