"""What is malformed, forged, stale or oversized, at the real door: never a 5xx, nothing unsigned kept, nothing lost.

Verdicts as in the design: refused with a 4xx and not stored; or signed, unusable, and so kept, quarantined, 200.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Iterator
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from sqlalchemy import func, select

from accordant.bootstrap import system_clock
from accordant.demo.company import WEBHOOK_SECRET
from accordant.demo.stage import HOST, Stage, stage
from accordant.store.schema import inbox_event, inbox_work
from accordant.views.trouble import trouble
from accordant.web import webhooks

MIB = 1024 * 1024
CUT = 0


@pytest.fixture
async def made(store_url: str, tmp_path: Path) -> AsyncIterator[Stage]:
    async with stage(store=store_url, home=tmp_path, starts_at=system_clock()) as one:
        yield one


class Sender:
    """A sender at the door, honest or not."""

    def __init__(self, made: Stage) -> None:
        self.made = made
        self.url = f"{made.address}/webhooks/stripe"

    def signature(self, body: bytes, *, secret: str = WEBHOOK_SECRET, at: int | None = None, label: str = "v1") -> str:
        stamp = self.made.clock.unix() if at is None else at
        digest = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
        return f"t={stamp},{label}={digest}"

    async def send(self, body: bytes, signature: str | None = None, method: str = "POST", **headers: str) -> int:
        """One delivery; the status of the answer, or CUT when the door answered and hung up while we were sending."""
        sent = {"Stripe-Signature": self.signature(body) if signature is None else signature}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        async with aiohttp.ClientSession(headers={"Content-Type": "application/json", **sent}) as session:
            try:
                async with session.request(method, self.url, data=BytesIO(body)) as answer:
                    await answer.read()
                    return answer.status
            except aiohttp.ClientOSError:
                return CUT

    async def raw(self, data: bytes, timeout_s: float = 5.0) -> int:
        """Bytes straight into the socket: the status of the answer, 0 when the line was cut, -1 on silence."""
        reader, writer = await asyncio.open_connection(HOST, self.made.server.port)
        try:
            writer.write(data)
            async with asyncio.timeout(timeout_s):
                line = await reader.readline()
        except TimeoutError:
            return -1
        finally:
            writer.close()
        return int(line.split()[1]) if line else 0


def event(number: int = 1, **more: Any) -> dict[str, Any]:
    """A usual event: a customer with a name."""
    return {
        "id": f"evt_bad_{number}",
        "object": "event",
        "api_version": "2024-04-10",
        "created": 1_700_000_000 + number,
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "type": "customer.created",
        "data": {
            "object": {
                "id": f"cus_bad_{number}", "object": "customer", "name": "Usual", "created": 1_700_000_000,
                "livemode": False, "currency": "eur", "metadata": {}, "invoice_settings": {},
            }
        },
    } | more  # fmt: skip


def told(number: int, **more: Any) -> bytes:
    return json.dumps(event(number, **more)).encode()


def unusable() -> Iterator[tuple[str, bytes]]:
    """Bodies that a provider could sign and nobody can use: each is kept and quarantined with its reason."""
    yield "empty", b""
    yield "null", b"null"
    yield "list", b"[]"
    yield "text", b'"x"'
    yield "number", b"17"
    yield "not JSON", b"<xml/>"
    usual = told(1)
    for cut in (1, 20, len(usual) // 2, len(usual) - 1):
        yield f"truncated at {cut}", usual[:cut]
    yield "trailing bytes", told(2) + b"}"
    yield "duplicate key", told(3).replace(b'"name": "Usual"', b'"name": "Usual", "name": "Other"')
    yield "duplicate key by escape", told(4).replace(b'"name": "Usual"', b'"name": "Usual", "n\\u0061me": "Other"')
    for number, word in enumerate((b"NaN", b"Infinity", b"-Infinity", b"1e999", b"1.5")):
        yield f"created {word.decode()}", told(10 + number).replace(b'"created": 1700000000,', b'"created": %s,' % word)
    for number, integer in enumerate((2**63, 2**64, -(2**64))):
        yield f"integer {integer}", told(20 + number).replace(b'"created": 1700000000,', b'"created": %d,' % integer)
    yield "integer of 5000 digits", told(25).replace(b'"metadata": {}', b'"metadata": {"n": %s}' % (b"9" * 5000))
    for depth in (101, 501, 100_000):
        deep = b'{"a":' * depth + b"1" + b"}" * depth
        yield f"depth {depth}", told(30 + depth % 7).replace(b'"metadata": {}', b'"metadata": ' + deep)
    yield "UTF-16", json.dumps(event(40)).encode("utf-16")
    yield "UTF-32", json.dumps(event(41)).encode("utf-32")
    yield "byte order mark", b"\xef\xbb\xbf" + told(42)
    yield "not UTF-8", told(43).replace(b"Usual", b"\xff\xfe")
    yield "overlong UTF-8", told(44).replace(b"Usual", b"\xc0\xaf")
    yield "lone surrogate", told(45).replace(b"Usual", b"\\ud800")
    yield "NUL in text", told(46).replace(b"Usual", b"a\\u0000b")
    yield "live event in a test account", told(47, livemode=True)
    yield "object is a list", told(48, data={"object": []})
    yield "no data", told(49, data=None)
    yield "customer without id", told(50, data={"object": {"object": "customer", "name": "X"}})
    yield "id is a number", told(51, id=17)
    yield "type is null", told(52, type=None)
    yield "id of 10000 characters", told(53, id="e" * 10_000)


async def test_signed_and_unusable_is_kept_quarantined_and_answered_200(made: Stage) -> None:
    sender = Sender(made)
    cases = dict(unusable())
    answers = {name: await sender.send(body) for name, body in cases.items()}
    assert {name: status for name, status in answers.items() if status != 200} == {}
    await made.settled()
    with made.database.read() as connection:
        rows = connection.execute(
            select(inbox_work.c.state, inbox_work.c.reason, inbox_event.c.external_id).select_from(
                inbox_work.join(inbox_event, inbox_event.c.seq == inbox_work.c.seq)
            )
        ).all()
    assert len(rows) == len(set(cases.values())), "each body is kept, once"
    assert {row.external_id: row.state for row in rows if row.state != "quarantined"} == {}
    assert all(row.reason for row in rows)
    shown = trouble(made.database, now=made.clock())
    listed = {item.seq for group in shown.groups if group.kind == "quarantined" for item in group.items}
    assert shown.counts.quarantined == len(rows) == len(listed), "each is on the trouble list"
    await _an_honest_customer_still_arrives(made)


async def _an_honest_customer_still_arrives(made: Stage) -> None:
    customer = await made.ask("POST", "customers", name="Ehrlich & Co. KG")
    await made.settled()
    assert made.salesforce.record("Account", customer["id"])["Name"] == "Ehrlich & Co. KG"


async def test_forged_stale_and_oversized_is_refused_and_leaves_nothing(made: Stage) -> None:
    sender = Sender(made)
    body = told(1)
    now = made.clock.unix()
    good = sender.signature(body)
    flipped = body[:-20] + bytes([body[-20] ^ 1]) + body[-19:]
    huge = told(2, padding="x" * MIB)
    limit = webhooks.BODY_BYTES_MAX
    cases = {
        "no signature": (401, partial(sender.send, body, "")),
        "wrong secret": (401, partial(sender.send, body, sender.signature(body, secret="whsec_of_another_tenant"))),
        "secret without its prefix": (
            401,
            partial(sender.send, body, sender.signature(body, secret=WEBHOOK_SECRET[6:])),
        ),
        "v0 only": (401, partial(sender.send, body, sender.signature(body, label="v0"))),
        "truncated": (401, partial(sender.send, body, good[:-1])),
        "upper case": (401, partial(sender.send, body, good.upper())),
        "no stamp": (401, partial(sender.send, body, good.partition(",")[2])),
        "two stamps": (401, partial(sender.send, body, f"t={now},{good}")),
        "stamp is a float": (401, partial(sender.send, body, good.replace(f"t={now}", f"t={now}.0"))),
        "stamp is negative": (401, partial(sender.send, body, good.replace("t=", "t=-"))),
        "stamp in other digits": (
            401,
            partial(sender.send, body, good.replace(f"t={now}", "t=\u0661\u0667\u0660\u0660")),
        ),
        "301 s old": (401, partial(sender.send, body, sender.signature(body, at=now - 302))),
        "a day ahead": (401, partial(sender.send, body, sender.signature(body, at=now + 86_400))),
        "101 signatures": (
            401,
            partial(sender.send, body, f"t={now}," + ",".join(["v1=" + "0" * 64] * 100 + [good[13:]])),
        ),
        "body re-serialized": (401, partial(sender.send, json.dumps(json.loads(body), indent=1).encode(), good)),
        "one bit flipped": (401, partial(sender.send, flipped, good)),
        "one byte over the limit": (413, partial(sender.send, b"x" * (limit + 1))),
        "an event over the limit": (413, partial(sender.send, huge)),
        "gzip": (415, partial(sender.send, body, Content_Encoding="gzip")),
        "XML": (415, partial(sender.send, body, Content_Type="application/xml")),
        "headers of 40 KiB": (431, partial(sender.send, body, **_long_headers())),
        "GET": (405, partial(sender.send, body, method="GET")),
        "PUT": (405, partial(sender.send, body, method="PUT")),
        "DELETE": (405, partial(sender.send, body, method="DELETE")),
    }
    answers = {name: (wanted, await send()) for name, (wanted, send) in cases.items()}
    # Of a body far too large the door need not read the rest: it answers and hangs up, which a sender may see first.
    wrong = {name: pair for name, pair in answers.items() if pair[0] != pair[1] and pair != (413, CUT)}
    assert wrong == {}
    assert _stored(made) == 0
    assert sum(count for (_, what), count in made.server.door.answers.items() if what.startswith("refused")) == len(
        cases
    ), "each refusal is counted"
    await _an_honest_customer_still_arrives(made)


def _long_headers() -> dict[str, str]:
    return {f"X_Long_{number}": "x" * 8_000 for number in range(5)}


def _stored(made: Stage) -> int:
    with made.database.read() as connection:
        return int(connection.execute(select(func.count()).select_from(inbox_event)).scalar_one())


async def test_odd_transport_is_met_without_a_5xx(made: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "BODY_SECONDS_MAX", 0.5)
    sender = Sender(made)
    body = told(1)
    head = f"POST /webhooks/stripe HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n"
    signed = f"{head}Stripe-Signature: {sender.signature(body)}\r\n"
    half = len(body) // 2
    chunked = f"{signed}Transfer-Encoding: chunked\r\n\r\n".encode() + b"%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n" % (
        half,
        body[:half],
        len(body) - half,
        body[half:],
    )
    flood = b"%x\r\n%s\r\n" % (65_536, b"x" * 65_536) * 20
    answers = {
        "unknown connection": await sender.raw(f"{signed.replace('/stripe', '/nobody')}\r\n".encode()),
        "a path below": await sender.raw(f"{signed.replace('/stripe', '/stripe/../x')}\r\n".encode()),
        "chunked": await sender.raw(chunked),
        "chunked without end, too much": await sender.raw(
            f"{signed}Transfer-Encoding: chunked\r\n\r\n".encode() + flood
        ),
        "two lengths": await sender.raw(f"{signed}Content-Length: 5\r\nContent-Length: 6\r\n\r\n12345".encode()),
        "a length that is a lie": await sender.raw(f"{signed}Content-Length: {len(body)}\r\n\r\n".encode() + body[:9]),
        "a length and not a byte": await sender.raw(f"{signed}Content-Length: {len(body)}\r\n\r\n".encode()),
        "a length of 50 MiB": await sender.raw(f"{signed}Content-Length: {50 * MIB}\r\n\r\n".encode()),
        "a length in words": await sender.raw(f"{signed}Content-Length: ten\r\n\r\n".encode()),
        "NUL in a header": await sender.raw(head.encode() + b"Stripe-Signature: t=1\x00,v1=2\r\n\r\n"),
        "other letters in a header": await sender.raw(
            head.encode() + b"Stripe-Signature: t=\xff\xfe,v1=\xc3\xa9\r\n\r\n"
        ),
        "no HTTP at all": await sender.raw(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
    }
    assert {name: status for name, status in answers.items() if status >= 500} == {}
    assert answers.pop("chunked") == 200
    assert {
        name: status for name, status in answers.items() if not 400 <= status < 500 and name != "no HTTP at all"
    } == {}
    await made.settled()
    assert _stored(made) == 1
    await _an_honest_customer_still_arrives(made)


async def test_replays_repeats_and_twins_are_told_apart(made: Stage) -> None:
    sender = Sender(made)
    body = told(1)
    captured = sender.signature(body)
    assert await sender.send(body, captured) == 200
    assert await sender.send(body, captured) == 200  # a retry within tolerance: one row, no second effect
    assert await sender.send(body, sender.signature(body, at=made.clock.unix() + 60)) == 200  # as a provider retries
    assert await sender.send(body, sender.signature(body, at=made.clock.unix() - 4 * 86_400)) == 401
    twin = told(1, created=1_700_000_777)
    assert await sender.send(twin) == 200  # the same id with other bytes: kept beside it, never instead of it
    await made.settled()
    assert _stored(made) == 1
    answers = made.server.door.answers
    assert (answers["stripe", "new"], answers["stripe", "repeat"], answers["stripe", "conflict"]) == (1, 2, 1)
    found = trouble(made.database, now=made.clock())
    assert found.counts.twins == 1
    assert len(made.salesforce.effects_of("Account", "cus_bad_1")) == 1


async def test_an_unknown_event_type_is_parked_and_an_unknown_field_is_no_problem(made: Stage) -> None:
    sender = Sender(made)
    assert await sender.send(told(1, type="invoice.teleported")) == 200
    more = event(2)
    more["data"]["object"] |= {"brand_new_field": {"deep": [1, 2, {"x": None}]}, "name": "مؤسسة \u202e Ünïcode 🎉"}
    assert await sender.send(json.dumps(more).encode()) == 200
    await made.settled()
    with made.database.read() as connection:
        states = dict(
            connection.execute(
                select(inbox_event.c.external_id, inbox_work.c.state).select_from(
                    inbox_work.join(inbox_event, inbox_event.c.seq == inbox_work.c.seq)
                )
            ).all()
        )
    assert states == {"evt_bad_1": "parked", "evt_bad_2": "processed"}
    assert made.salesforce.record("Account", "cus_bad_2")["Name"] == "مؤسسة \u202e Ünïcode 🎉"
