"""A Zendesk on loopback for tests: one account with organizations and their people, real HTTP, limits, refusals.
Guarantees its own record of what was carried out. No vendor's code; behaviour from Zendesk's Support API, version 2.
Next: simulator_account.py for what is kept and refused.
"""

from __future__ import annotations

import base64
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from accordant.connectors.sdk.faults import Fault
from accordant.connectors.sdk.plain_json import Row, decode
from accordant.connectors.sdk.stand_in import Answer, Call, StandIn
from accordant.connectors.zendesk.simulator_account import Account, Refused

AGENT = ("hub@example.com", "EXAMPLE-TOKEN")
#: Calls a minute of the smallest plan.
PER_MINUTE = 200
_BASE = "/api/v2/"
_ORGANIZATION = "organization"
_MINUTE = timedelta(minutes=1)
_PROOF = "Basic " + base64.b64encode(f"{AGENT[0]}/token:{AGENT[1]}".encode()).decode("ascii")


def _clock() -> datetime:
    return datetime.now(UTC)


class ZendeskSimulator(StandIn):
    """One account behind one port. ``per_minute`` is its limit; ``is_barred`` takes the agent's role away."""

    def __init__(
        self,
        *,
        now: Callable[[], datetime] = _clock,
        per_minute: int = 1_000_000,
        middlewares: Iterable[Any] = (),
    ) -> None:
        super().__init__(middlewares=middlewares)
        self.now = now
        self.account = Account(now)
        self.per_minute = per_minute
        self.is_barred = False
        self._taken: deque[datetime] = deque()

    def refusal(self, fault: Fault) -> Answer:
        """See the base class."""
        pause = {"Retry-After": str(max(1, round(fault.seconds)))}
        if fault.kind == "too_many":
            return Answer(429, {"error": "APIRateLimitExceeded", "description": "Number of allowed requests"}, pause)
        if fault.kind == "busy":
            return Answer(503, {"error": "Unavailable", "description": "Please try again in a moment."}, pause)
        if fault.kind == "expired":
            return _unauthorized()
        return Answer(fault.status, {"error": "InternalError", "description": "An error occurred"})

    def answer(self, call: Call) -> Answer:
        """See the base class."""
        if not call.path.startswith(_BASE):
            return Answer(404, {"error": {"title": "Page not found", "message": "There is nothing here"}})
        if call.headers.get("authorization") != _PROOF:
            return _unauthorized()
        if self.is_barred:
            return Answer(403, {"error": {"title": "Forbidden", "message": "You do not have access to this page"}})
        if (pause := self._pause()) is not None:
            return Answer(
                429,
                {"error": "APIRateLimitExceeded", "description": "Number of allowed API requests per minute exceeded"},
                {"Retry-After": str(pause)},
            )
        try:
            return self._carried(call)
        except Refused as refused:
            return Answer(refused.status, refused.body)
        except (msgspec.DecodeError, KeyError, TypeError, AttributeError, ValueError):
            return Answer(400, {"error": "InvalidRequest", "description": "The request could not be read"})

    def _pause(self) -> int | None:
        """Seconds until a call is taken again; None where this one is."""
        now = self.now()
        while self._taken and self._taken[0] <= now - _MINUTE:
            self._taken.popleft()
        if len(self._taken) >= self.per_minute:
            return max(1, int((self._taken[0] + _MINUTE - now).total_seconds()) + 1)
        self._taken.append(now)
        return None

    def _carried(self, call: Call) -> Answer:
        path = call.path.removeprefix(_BASE)
        if call.method == "GET" and (told := self._asked(path, call.query)) is not None:
            return Answer(200, told)
        name, _, one = path.partition("/")
        if name == "organizations" and (call.method, one) == ("POST", "create_or_update"):
            row, created = self.account.upsert(decode(call.body)[_ORGANIZATION])
            return Answer(201 if created else 200, {_ORGANIZATION: row})
        if name == "organizations" and call.method == "PUT" and one.isdecimal():
            return Answer(200, {_ORGANIZATION: self.account.change(int(one), decode(call.body)[_ORGANIZATION])})
        return Answer(404, {"error": "RecordNotFound", "description": "Not found"})

    def _asked(self, path: str, query: Mapping[str, str]) -> Row | None:
        """The answer to a question; None where there is no such list."""
        account = self.account
        match path:
            case "organizations":
                return _page(account.listed(), path, query)
            case "organization_fields":
                return _page(account.fields, path, query)
            case "organizations/show_many":
                return _list("organizations", account.shown(query))
            case "organizations/search":
                return _list("organizations", account.called(query["external_id"]))
            case "organizations/autocomplete":
                return _list("organizations", account.named(query["name"]))
            case "search":
                return _list("results", account.searched(query["query"]))
            case "users/search":
                return _list("users", account.people(query["query"]))
            case _:
                return None


def _unauthorized() -> Answer:
    return Answer(401, {"error": "Couldn't authenticate you"})


def _list(name: str, rows: list[Row]) -> Row:
    return {name: rows, "count": len(rows), "next_page": None, "previous_page": None}


def _page(rows: list[Row], name: str, query: Mapping[str, str]) -> Row:
    """A page by cursor: the id behind which it goes on."""
    size, after = int(query.get("page[size]", "100")), int(query.get("page[after]") or 0)
    left = [row for row in rows if row["id"] > after]
    page = left[:size]
    cursor = str(page[-1]["id"]) if page else None
    return {name: page, "meta": {"has_more": len(left) > size, "after_cursor": cursor}, "links": {"next": None}}
