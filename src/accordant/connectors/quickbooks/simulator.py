"""A QuickBooks Online on loopback for tests: one company with books of its own, real HTTP, limits, signed notices.
Guarantees its own ledger, so that a test need not believe the hub. No vendor's code; behaviour from its documentation.
Next: simulator_books.py for what is refused, simulator_query.py for queries.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec

from accordant.connectors.quickbooks import simulator_hands
from accordant.connectors.quickbooks.simulator_books import TRANSACTIONS, Books, Refused, aware
from accordant.connectors.quickbooks.simulator_query import answered
from accordant.connectors.sdk.faults import Fault
from accordant.connectors.sdk.plain_json import Json, Row, decode
from accordant.connectors.sdk.stand_in import Answer, Call, StandIn
from accordant.connectors.sdk.stand_in_tokens import TokenDesk

REALM = "9130357992221046"
CLIENT = ("EXAMPLE-CLIENT", "EXAMPLE-SECRET")
TOKEN_LIFE = timedelta(hours=1)
REFRESH_LIFE = timedelta(days=100)
#: The former refresh token is taken for a day after its successor was given.
GRACE = timedelta(hours=24)
CHANGES_LAST, CHANGES_MAX = timedelta(days=30), 1_000
_PATH = re.compile(rf"/v3/company/{REALM}/(\w+)(?:/(\d+))?")
_ENTITIES = {name.lower(): name for name in ("Customer", "Account", "Item", "Preferences", *TRANSACTIONS)}
#: What Intuit's own client asks first: where to ask for tokens.
_DISCOVERY = "/.well-known/openid_configuration"
_TOKENS = "/oauth2/v1/tokens/bearer"
_MINUTE = timedelta(minutes=1)
#: Operations as CloudEvents call them.
_DONE = {
    "Create": "created",
    "Update": "updated",
    "Delete": "deleted",
    "Merge": "merged",
    "Void": "voided",
    "Emailed": "emailed",
}


def _clock() -> datetime:
    return datetime.now(UTC)


class QuickBooksSimulator(StandIn):
    """One company behind one port. ``per_minute`` is its limit of calls, ``changes_max`` of changes in one answer."""

    def __init__(
        self,
        *,
        now: Callable[[], datetime] = _clock,
        currency: str = "EUR",
        per_minute: int = 1_000_000,
        changes_max: int = CHANGES_MAX,
        middlewares: Iterable[Any] = (),
    ) -> None:
        super().__init__(middlewares=middlewares)
        self.now = now
        self.books = Books(now, currency=currency)
        self.tokens = TokenDesk(
            now,
            client=CLIENT,
            life=TOKEN_LIFE,
            grace=GRACE,
            says={"x_refresh_token_expires_in": int(REFRESH_LIFE.total_seconds())},
        )
        self.per_minute = per_minute
        self.changes_max = changes_max
        self._taken: deque[datetime] = deque()
        self._answered: dict[str, Answer] = {}

    # -- control -------------------------------------------------------------------------------------------------------

    def close_books(self, until: date | None) -> None:
        """An accountant closes the books up to a day."""
        self.books.closed_until = until

    def correct(self, entity: str, one: str, **values: Json) -> None:
        """Somebody overwrites members of a record."""
        simulator_hands.correct(self.books, entity, one, **values)

    def deactivate(self, customer: str) -> None:
        """Somebody makes a customer inactive."""
        simulator_hands.deactivate(self.books, customer)

    def merge(self, survivor: str, loser: str) -> None:
        """Somebody merges a customer into another. Raises Refused."""
        simulator_hands.merge(self.books, survivor, loser)

    def notice(
        self, key: bytes, *changes: tuple[str, str, str], cloud: bool, merged: str | None = None
    ) -> tuple[bytes, dict[str, str]]:
        """A signed delivery: changes as (entity, id, operation), spelled as CloudEvents or as before them.

        ``merged`` is the id that a merge took away.
        """
        at = self.now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
        told: Any
        if cloud:
            told = [
                {
                    "specversion": "1.0",
                    "id": f"event-{number}",
                    "source": "intuit.dsnBgbseACLLRZNxo2dfc4evmEJdxde58xeeYcZliOU=",
                    "type": f"qbo.{entity.lower()}.{_DONE[operation]}.v1",
                    "datacontenttype": "application/json",
                    "time": at,
                    "intuitentityid": one,
                    "intuitaccountid": REALM,
                    "data": {"deletedid": merged} if operation == "Merge" else {},
                }
                for number, (entity, one, operation) in enumerate(changes)
            ]
        else:
            entities = [
                {"name": entity, "id": one, "operation": operation, "lastUpdated": at}
                | ({"deletedId": merged} if operation == "Merge" and merged is not None else {})
                for entity, one, operation in changes
            ]
            told = {"eventNotifications": [{"realmId": REALM, "dataChangeEvent": {"entities": entities}}]}
        body = json.dumps(told).encode()
        signature = base64.b64encode(hmac.digest(key, body, hashlib.sha256)).decode()
        return body, {"intuit-signature": signature}

    # -- answering -----------------------------------------------------------------------------------------------------

    def refusal(self, fault: Fault) -> Answer:
        """See the base class."""
        pause = {"Retry-After": str(max(1, round(fault.seconds)))}
        if fault.kind == "too_many":
            return self._fault(429, "THROTTLE", "3001", "ThrottleExceeded", pause)
        if fault.kind == "busy":
            return self._fault(503, "SERVICE", "10000", "Service unavailable", pause)
        if fault.kind == "expired":
            return self._fault(401, "AUTHENTICATION", "3200", "AuthenticationFailed")
        return self._fault(fault.status, "SystemFault", "10000", "An application error has occurred")

    def answer(self, call: Call) -> Answer:
        """See the base class."""
        if call.path == _TOKENS:
            return self.tokens.grant(call)
        if call.path == _DISCOVERY:
            return Answer(200, self._discovery())
        if not self.tokens.knows(call):
            return self._fault(401, "AUTHENTICATION", "3200", "AuthenticationFailed")
        found = _PATH.fullmatch(call.path)
        if found is None:
            return self._fault(403, "AUTHORIZATION", "3100", "ApplicationAuthorizationFailed")
        now = self.now()
        while self._taken and self._taken[0] <= now - _MINUTE:
            self._taken.popleft()
        if len(self._taken) >= self.per_minute:
            return self._fault(429, "THROTTLE", "3001", "ThrottleExceeded")
        self._taken.append(now)
        request = call.query.get("requestid") if found[1] != "query" else None
        if call.method == "POST" and request in self._answered:
            return self._answered[request]
        answer = self._carried(call, found[1], found[2])
        if call.method == "POST" and request is not None and answer.status == 200:
            self._answered[request] = answer
        return answer

    def _discovery(self) -> Row:
        ways = {"authorization": "connect/oauth2", "revocation": "v2/oauth2/tokens/revoke", "userinfo": "v1/userinfo"}
        told = {f"{name}_endpoint": f"{self.url}/{path}" for name, path in ways.items()}
        return {**told, "issuer": self.url, "token_endpoint": f"{self.url}{_TOKENS}", "jwks_uri": f"{self.url}/jwks"}

    def _carried(self, call: Call, name: str, one: str | None) -> Answer:
        try:
            if call.method == "POST" and name != "query":
                entity = _ENTITIES[name]
                row = self._written(entity, call.query, decode(call.body))
                return Answer(200, {entity: row, "time": self.now().isoformat()})
            self.books.sum_up()
            if name == "query":
                asked = call.query.get("query") or call.body.decode()  # the vendor takes it either way
                told = answered(asked, self.books.tables)
                return Answer(200, {"QueryResponse": told, "time": self.now().isoformat()})
            if name == "cdc":
                return self._changed(call)
            entity = _ENTITIES[name]
            if entity == "Preferences" and one is None:
                (one,) = self.books.tables[entity]
            found = self.books.tables[entity].get(str(one))
            if found is None:
                raise Refused("610", "Object Not Found", "Something you're trying to use has been made inactive.")
            return Answer(200, {entity: found, "time": self.now().isoformat()})
        except Refused as refused:
            return self._fault(400, "ValidationFault", refused.code, refused.message, detail=refused.detail)
        except (msgspec.DecodeError, KeyError, TypeError, AttributeError, ValueError) as error:
            return self._fault(
                400, "ValidationFault", "2010", "Request has invalid or unsupported property", detail=repr(error)
            )

    def _written(self, entity: str, query: Mapping[str, str], given: Row) -> Row:
        """Made or changed; voided, which is said in two ways; or deleted."""
        operation = query.get("operation")
        if operation == "delete":
            return self.books.remove(entity, given)
        if operation == "void" or (operation == "update" and query.get("include") == "void"):
            return self.books.cancel(entity, given)
        if operation not in {None, "update"}:
            raise Refused("500", "Unsupported Operation", f"Operation {operation} is not supported")
        return self.books.put(entity, given)

    def _changed(self, call: Call) -> Answer:
        since = aware(call.query["changedSince"])
        if since < self.now() - CHANGES_LAST:
            raise Refused("2170", "Invalid Enumeration", "changedSince is more than 30 days ago")
        parts = []
        for entity in call.query["entities"].split(","):
            rows = [row for row in self.books.tables[entity].values() if _at(row) >= since]
            rows += [row for name, row in self.books.deleted if name == entity and _at(row) >= since]
            if len(rows) > self.changes_max:
                rows = sorted(rows, key=_at, reverse=True)[: self.changes_max]
            parts.append({entity: rows, "startPosition": 1, "maxResults": len(rows)} if rows else {})
        return Answer(200, {"CDCResponse": [{"QueryResponse": parts}]})

    def _fault(
        self,
        status: int,
        kind: str,
        code: str,
        message: str,
        headers: dict[str, str] | None = None,
        *,
        detail: str = "",
    ) -> Answer:
        error = {"Message": message, "Detail": detail or message, "code": code}
        return Answer(
            status, {"Fault": {"Error": [error], "type": kind}, "time": self.now().isoformat()}, headers or {}
        )


def _at(row: Row) -> datetime:
    return aware(row["MetaData"]["LastUpdatedTime"])
