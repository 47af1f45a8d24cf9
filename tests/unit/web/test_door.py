"""The door without a connection: what it admits, what it refuses with which status, and that 200 means stored."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from accordant.connectors.stripe.inbound import StripeInbound
from accordant.connectors.stripe.simulator_events import sign
from accordant.kernel.errors import TransientError
from accordant.pipeline.receive import Connection
from accordant.ports.inbox import Arrival, Reception
from accordant.runtime.group_commit import QueueFull
from accordant.web.webhooks import BODY_BYTES_MAX, HEADER_BYTES_MAX, Answer, Door

NOW = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)
SECRET = "whsec_EXAMPLE_signing_secret"
BODY = json.dumps({"id": "evt_1", "object": "event", "type": "customer.created", "created": 1773480413,
                   "data": {"object": {"id": "cus_1", "object": "customer"}}}).encode()  # fmt: skip


@dataclass
class Front:
    """A door with an inbox that answers what it is told and remembers what happened in which order."""

    answers: Sequence[Reception | Exception] = (Reception.NEW,)
    deliveries_per_s: int = 100
    at: datetime = NOW
    log: list[str] = field(default_factory=list)
    arrivals: list[Arrival] = field(default_factory=list)
    #: Hands over answers only when somebody calls them, where it is a list.
    held: list[Callable[[], None]] | None = None
    turns_away: Exception | None = None

    def __post_init__(self) -> None:
        connection = Connection(
            name="stripe",
            inbound=StripeInbound(live=None),
            secrets=(SECRET.encode(),),
            deliveries_per_s=self.deliveries_per_s,
        )
        self.door = Door(
            lambda: {"stripe": connection}, self._hand_in, lambda: self.at, lambda: self.log.append("woken")
        )

    def _hand_in(self, arrival: Arrival, told: Callable[[Reception | Exception], None]) -> None:
        self.log.append("handed in")
        if self.turns_away is not None:
            raise self.turns_away
        self.arrivals.append(arrival)
        answer = self.answers[min(len(self.arrivals), len(self.answers)) - 1]

        def store() -> None:
            self.log.append("stored" if isinstance(answer, Reception) else "failed")
            told(answer)

        if self.held is None:
            store()
        else:
            self.held.append(store)

    def ask(
        self,
        *,
        body: bytes = BODY,
        name: str = "stripe",
        method: str = "POST",
        headers: Mapping[str, str] | None = None,
        signature: str | None = None,
    ) -> list[Said]:
        """One delivery; the answers given so far, of which there is never more than one."""
        stamp = signature if signature is not None else sign(body, int(self.at.timestamp()), (SECRET,))
        given = {"content-type": "application/json", "stripe-signature": stamp, **(headers or {})}
        size = sum(len(name) + len(value) for name, value in given.items())
        said: list[Said] = []

        def told(answer: Answer) -> None:
            self.log.append("answered")
            said.append(Said(answer.status, dict(answer.headers), json.loads(answer.body)["status"]))

        refusal = self.door.look(name, method, given, size)
        if refusal is None:
            self.door.take(name, given, body, told)
        else:
            told(refusal)
        return said

    def status(self, **asked: Any) -> int:
        (said,) = self.ask(**asked)
        return said.status


@dataclass
class Said:
    """What the sender was told."""

    status: int
    headers: dict[str, str]
    word: str


# -- admitted ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reception", list(Reception))
def test_whatever_became_of_it_a_stored_delivery_is_answered_with_200(reception: Reception) -> None:
    front = Front(answers=(reception,))
    (said,) = front.ask()
    assert (said.status, said.word) == (200, reception.value)
    (arrival,) = front.arrivals
    assert arrival.body == BODY
    assert (arrival.connection, arrival.envelope.external_id, arrival.received_at) == ("stripe", "evt_1", NOW)
    # Only something new gives the rooms work.
    assert front.log.count("woken") == (reception is Reception.NEW)
    assert front.door.answers == {("stripe", reception.value): 1}


def test_not_a_byte_of_the_answer_leaves_before_the_event_is_stored() -> None:
    front = Front(held=[])
    said = front.ask()
    assert said == []
    assert front.log == ["handed in"]
    assert front.held is not None
    front.held.pop()()
    assert [one.status for one in said] == [200]
    assert front.log == ["handed in", "stored", "answered", "woken"]


def test_cookies_and_tokens_are_not_kept() -> None:
    front = Front()
    secret = {"authorization": "Bearer EXAMPLE", "cookie": "session=EXAMPLE", "proxy-authorization": "Basic EXAMPLE"}
    assert front.status(headers={**secret, "user-agent": "Stripe/1.0"}) == 200
    kept = json.loads(front.arrivals[0].headers)
    assert kept.keys() == {"content-type", "stripe-signature", "user-agent"}


def test_a_body_that_is_signed_but_unusable_is_kept() -> None:
    front = Front()
    assert front.status(body=b"not JSON at all") == 200
    assert front.arrivals[0].envelope.defect


# -- refused -----------------------------------------------------------------------------------------------------------


def test_a_signature_that_is_not_the_providers_is_refused_without_a_reason() -> None:
    front = Front()
    (said,) = front.ask(signature=sign(BODY, int(NOW.timestamp()), ("whsec_somebody_else_entirely",)))
    assert (said.status, said.word) == (401, "signature not accepted")
    assert front.log == ["answered"]
    (old,) = front.ask(signature=sign(BODY, int((NOW - timedelta(hours=1)).timestamp()), (SECRET,)))
    assert (old.status, old.word) == (401, "signature not accepted")
    assert front.arrivals == []
    assert front.door.answers == {("stripe", "refused_401"): 2}


@pytest.mark.parametrize("name", ["other", "", "stripe/extra", "STRIPE"])
def test_an_unknown_connection_is_not_found_and_counted_under_no_name_of_the_senders(name: str) -> None:
    front = Front()
    assert front.status(name=name) == 404
    assert front.door.answers == {("unknown", "refused_404"): 1}


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_only_post_is_allowed(method: str) -> None:
    front = Front()
    assert front.status(method=method) == 405
    assert front.arrivals == []


def test_a_body_announced_too_large_is_refused_before_it_is_read() -> None:
    front = Front()
    for size in (BODY_BYTES_MAX + 1, 10**30):
        assert front.status(body=b"", headers={"content-length": str(size)}) == 413
    assert front.log == ["answered"] * 2


@pytest.mark.parametrize(
    "headers", [{"content-type": "multipart/form-data"}, {"content-type": "image/png"}, {"content-encoding": "gzip"}]
)
def test_other_content_is_refused(headers: dict[str, str]) -> None:
    front = Front()
    assert front.status(headers=headers) == 415
    assert front.arrivals == []


def test_headers_too_large_are_refused() -> None:
    front = Front()
    assert front.status(headers={"x-filler": "x" * HEADER_BYTES_MAX}) == 431
    assert front.arrivals == []


def test_beyond_its_rate_a_sender_is_asked_to_slow_down_and_strangers_do_not_count() -> None:
    front = Front(deliveries_per_s=2)
    for _ in range(5):
        assert front.status(signature="t=1,v1=00") == 401
    assert [front.status() for _ in range(3)] == [200, 200, 429]
    (said,) = front.ask()
    assert (said.status, said.headers["retry-after"]) == (429, "1")
    assert len(front.arrivals) == 2
    front.at += timedelta(seconds=1)
    assert front.status() == 200


@pytest.mark.parametrize(
    ("error", "wait"), [(TransientError("The store is full."), "1"), (TransientError(retry_after_s=7.2), "8")]
)
def test_a_store_that_cannot_is_said_with_a_time_to_come_back(error: TransientError, wait: str) -> None:
    front = Front(answers=(error, Reception.NEW))
    (said,) = front.ask()
    assert (said.status, said.word, said.headers["retry-after"]) == (503, "try again later", wait)
    assert "woken" not in front.log
    assert front.status() == 200


def test_who_comes_when_too_many_wait_is_asked_to_come_back() -> None:
    front = Front(turns_away=QueueFull(retry_after_s=0.1))
    (said,) = front.ask()
    assert (said.status, said.headers["retry-after"]) == (503, "1")


def test_a_defect_of_ours_is_not_taken_for_a_refusal() -> None:
    assert Front(answers=(ValueError("ours"),)).status() == 500


def test_no_answer_is_cached() -> None:
    front = Front()
    for (said,) in (front.ask(), front.ask(method="GET")):
        assert said.headers["cache-control"] == "no-store"
