"""What the tests of the Salesforce stand-in share: a clock that stands, a running org, a client and plain requests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from requests import PreparedRequest, Session
from requests.adapters import HTTPAdapter
from simple_salesforce.api import Salesforce

from accordant.connectors.salesforce.simulator import SalesforceSimulator

V = "/services/data/v59.0"
EXTERNAL = "Stripe_Customer_Id__c"


class Clock:
    """A clock that moves only when told."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 9, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@contextmanager
def running(simulator: SalesforceSimulator) -> Iterator[SalesforceSimulator]:
    simulator.define_field("Account", EXTERNAL, length=64, external_id=True, unique=True)
    simulator.define_field("Account", "Tier__c", "picklist", picklist=("Gold", "Silver"), restricted=True)
    simulator.define_object("Subscription__c", "Subscription")
    simulator.define_field("Subscription__c", "Key__c", external_id=True, unique=True)
    simulator.define_field("Subscription__c", "Account__c", "reference", reference_to="Account")
    simulator.define_field("Subscription__c", "MRR__c", "currency", scale=2)
    simulator.start_in_thread()
    try:
        yield simulator
    finally:
        simulator.stop_thread()


class PlainAdapter(HTTPAdapter):
    """simple-salesforce builds https addresses only; the stand-in speaks plain HTTP on loopback."""

    def send(self, request: PreparedRequest, *args: Any, **kwargs: Any) -> Any:
        request.url = (request.url or "").replace("https://", "http://", 1)
        return super().send(request, *args, **kwargs)


@contextmanager
def client(simulator: SalesforceSimulator) -> Iterator[Any]:
    with Session() as session:
        session.mount("https://127.0.0.1", PlainAdapter())
        yield Salesforce(
            instance_url=simulator.url, session_id=simulator.issue_token(), version="59.0", session=session
        )


def send(
    simulator: SalesforceSimulator, method: str, path: str, body: object = None, **headers: str
) -> tuple[int, dict[str, str], Any]:
    """One request without a client between: status, headers, decoded body."""
    raw = body.encode() if isinstance(body, str) else json.dumps(body).encode() if body is not None else None
    if "Authorization" not in headers:
        headers["Authorization"] = f"Bearer {simulator.issue_token()}"
    headers.setdefault("Content-Type", "application/json")
    request = Request(simulator.url + path, method=method, data=raw, headers=headers)  # noqa: S310 - our own address
    try:
        with urlopen(request, timeout=5) as response:  # noqa: S310 - an address of our own
            content, status, got = response.read(), response.status, dict(response.headers)
    except HTTPError as refused:
        with refused:
            content, status, got = refused.read(), refused.code, dict(refused.headers)
    return status, got, json.loads(content) if content else None


def upsert(simulator: SalesforceSimulator, rows: list[dict[str, Any]], *, all_or_none: bool = False) -> tuple[int, Any]:
    for one in rows:
        one.setdefault("attributes", {"type": "Account"})
    body = {"allOrNone": all_or_none, "records": rows}
    status, _, answer = send(simulator, "PATCH", f"{V}/composite/sobjects/Account/{EXTERNAL}", body)
    return status, answer


def control(simulator: SalesforceSimulator, order: str, **arguments: Any) -> int:
    return send(simulator, "POST", f"/_sim/{order}", arguments)[0]
