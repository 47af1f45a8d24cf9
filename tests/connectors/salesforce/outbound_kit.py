"""What the tests of the outbound half share: an org ready for the shipped mapping, and a server that plays a script."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from accordant.canonical.intents import WireValue
from accordant.canonical.refs import EntityKind
from accordant.canonical.targets import ObjectSpec, object_spec
from accordant.connectors.salesforce.connector import default_mappings, outbound
from accordant.connectors.salesforce.objects import required_fields
from accordant.connectors.salesforce.outbound import SalesforceOutbound
from accordant.connectors.salesforce.simulator import SalesforceSimulator
from accordant.connectors.sdk.addresses import AddressPolicy
from accordant.connectors.sdk.http import Exchange, Timeouts
from accordant.ports.connector import RecordWrite

NOW = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)
CUSTOMER = "Billing_Customer_Id__c"
ACCOUNT, SUBSCRIPTION, INVOICE, PAYMENT, ACTIVITY, *_ = (object_spec(mapping) for mapping in default_mappings())
BRISK = Timeouts(connect_s=2.0, silence_s=0.4, total_s=1.0)


def clock() -> datetime:
    return NOW


def prepare(simulator: SalesforceSimulator, *, case_sensitive: bool = True) -> None:
    """Give a stand-in every object and field the shipped mapping needs."""
    for one in required_fields(default_mappings()):
        if one.object.endswith("__c") and one.object.lower() not in simulator.org.objects:
            simulator.define_object(one.object)
        if not one.custom:
            continue
        options: dict[str, Any] = {"external_id": one.external_id, "unique": one.unique}
        if one.external_id:
            options["case_sensitive"] = case_sensitive
        for name in ("length", "precision", "scale", "reference_to", "relationship"):
            value = getattr(one, name)
            if value is not None:
                options[name] = value
        if one.picklist:
            options |= {"picklist": one.picklist, "restricted": True}
        simulator.define_field(one.object, one.name, one.type, **options)


@dataclass
class Org:
    """A running stand-in, our outbound half beside it, and every call that passed between them."""

    simulator: SalesforceSimulator
    outbound: SalesforceOutbound
    calls: list[Exchange] = field(default_factory=list)

    def sent(self, method: str) -> int:
        return sum(1 for call in self.calls if call.method == method)


async def at_once(_seconds: float) -> None:
    """How a client sleeps that waits for nothing: others get their turn."""
    await asyncio.sleep(0)


def connect(url: str, calls: list[Exchange] | None = None, **more: Any) -> SalesforceOutbound:
    settings = {
        "instance_url": url,
        "flow": "client_credentials",
        "client_id": "EXAMPLE-CLIENT",
        "client_secret": "EXAMPLE-SECRET",
    }
    more.setdefault("timeouts", BRISK)
    return outbound(
        settings,
        clock,
        rate_per_s=10_000,
        addresses=AddressPolicy(allow_loopback=True),
        recorder=None if calls is None else calls.append,
        **more,
    )


@asynccontextmanager
async def an_org(*, case_sensitive: bool = True, **options: Any) -> AsyncIterator[Org]:
    """An org with the shipped mapping's fields. ``options`` go to the stand-in."""
    simulator = SalesforceSimulator(**options)
    prepare(simulator, case_sensitive=case_sensitive)
    calls: list[Exchange] = []
    made = connect(await simulator.start(), calls)
    try:
        yield Org(simulator, made, calls)
    finally:
        await made.close()
        await simulator.stop()


def a_write(key: str, /, **fields: WireValue) -> RecordWrite:
    return RecordWrite(key=key, fields=fields, idempotency_key=f"accordant-{key}")


def customers(count: int, **fields: WireValue) -> list[RecordWrite]:
    return [a_write(f"cus_{n:04d}", Name=f"EXAMPLE-{n}", **fields) for n in range(count)]


def only(kind: EntityKind, *names: str) -> ObjectSpec:
    """The shipped specification narrowed to some fields."""
    spec = ACCOUNT if kind is EntityKind.ACCOUNT else SUBSCRIPTION
    return ObjectSpec(name=spec.name, key_field=spec.key_field, fields={name: spec.fields[name] for name in names})


# -- a server that says what it is told --------------------------------------------------------------------------------

Script = Callable[[asyncio.StreamWriter], Any]


def said(status: int, body: Any = b"", *headers: str, length: int | None = None) -> bytes:
    """A whole answer; ``length`` lies about it."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(raw) if length is None else length}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + raw


@dataclass
class Teller:
    """Answers call after call from its script, the last line for ever; token requests are granted aside."""

    script: Sequence[bytes | Script]
    url: str = ""
    requests: list[tuple[str, bytes]] = field(default_factory=list)
    tokens: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                size = next((int(line[15:]) for line in head.splitlines() if line.lower().startswith("content-len")), 0)
                body = await reader.readexactly(size)
                line = head.splitlines()[0]
                if "/services/oauth2/token" in line:
                    self.tokens += 1
                    writer.write(said(200, {"access_token": f"EXAMPLE-TOKEN-{self.tokens}"}))
                    continue
                self.requests.append((line, body))
                told = self.script[min(len(self.requests), len(self.script)) - 1]
                if isinstance(told, bytes):
                    writer.write(told)
                    await writer.drain()
                else:
                    await told(writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def a_teller(*script: bytes | Script) -> AsyncIterator[tuple[Teller, SalesforceOutbound]]:
    teller = Teller(script)
    server = await asyncio.start_server(teller.serve, "127.0.0.1", 0)
    teller.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    made = connect(teller.url)
    try:
        yield teller, made
    finally:
        await made.close()
        server.close()
