"""What the tests of the outbound half share: a stand-in, our half beside it, and what passed between them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from aiohttp import web

from accordant.canonical.charter import FieldType
from accordant.canonical.intents import WireValue, WriteOutcome
from accordant.canonical.targets import CurrentRecord, FieldSpec, ObjectSpec
from accordant.connectors.sdk.addresses import AddressPolicy
from accordant.connectors.sdk.http import Exchange, Timeouts
from accordant.connectors.stripe import connector
from accordant.connectors.stripe.outbound import StripeOutbound
from accordant.connectors.stripe.reader import API_VERSION
from accordant.connectors.stripe.simulator import StripeSimulator
from accordant.connectors.stripe.simulator_state import Record
from accordant.connectors.stripe.simulator_world import API_KEY
from accordant.ports.connector import RecordWrite, WriteResult

ACCOUNT_KEY = "metadata.crm_account_id"
CONTRACT_KEY = "metadata.crm_contract_id"
TEXT = FieldSpec(type=FieldType.TEXT)
_NAMES = (
    "name",
    "email",
    "phone",
    "description",
    "preferred_locales",
    "address.line1",
    "address.city",
    "address.country",
    "metadata.segment",
)
CUSTOMER = ObjectSpec(
    name="customer",
    key_field=ACCOUNT_KEY,
    fields=dict.fromkeys(_NAMES, TEXT),
)
SUBSCRIPTION = ObjectSpec(
    name="subscription",
    key_field=CONTRACT_KEY,
    fields={
        "customer": FieldSpec(type=FieldType.LOOKUP, lookup_object="customer", lookup_key=ACCOUNT_KEY),
        "items": TEXT,
        "collection_method": TEXT,
        "days_until_due": FieldSpec(type=FieldType.NUMBER),
        "start_date": FieldSpec(type=FieldType.DATE),
        "trial_end": FieldSpec(type=FieldType.INSTANT),
        "cancel_at_period_end": FieldSpec(type=FieldType.FLAG),
        "description": TEXT,
        "metadata.opportunity": TEXT,
    },
)
NOW = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)
BRISK = Timeouts(connect_s=2.0, silence_s=0.4, total_s=1.0)


async def at_once(_seconds: float) -> None:
    """A pause in a world where waiting takes no time."""


@dataclass
class Account:
    """One account of the stand-in and our outbound half; ``clock`` is the stand-in's."""

    simulator: StripeSimulator
    proration: str = "create_prorations"
    api_version: str = API_VERSION
    calls: list[Exchange] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.outbound = connector.outbound(
            {
                "api_key": API_KEY,
                "api_base": self.simulator.url,
                "live_mode": "false",
                "proration_behavior": self.proration,
                "api_version": self.api_version,
            },
            self.clock,
            rate_per_s=1000,
            timeouts=BRISK,
            addresses=AddressPolicy(allow_loopback=True),
            recorder=self.calls.append,
            sleep=at_once,
        )

    def clock(self) -> datetime:
        return datetime.fromtimestamp(self.simulator.now, UTC)

    async def read(self, spec: ObjectSpec, key: str) -> CurrentRecord | None:
        return (await self.outbound.read(spec, [key])).get(key)

    async def send(self, spec: ObjectSpec, key: str, **fields: WireValue) -> WriteResult:
        """Read and write one record as the courier does, each time anew. A ``__`` in a name stands for its dot."""
        held = await self.read(spec, key)
        wanted = self.outbound.canonical(spec, {name.replace("__", "."): value for name, value in fields.items()})
        differing = {name: value for name, value in wanted.items() if held is None or held.fields.get(name) != value}
        return await self.put(spec, key, differing, held=held, try_key=f"try-{key}-{len(self.calls)}")

    async def put(
        self,
        spec: ObjectSpec,
        key: str,
        fields: dict[str, WireValue],
        *,
        held: CurrentRecord | None = None,
        try_key: str = "",
    ) -> WriteResult:
        target_id = None if held is None else held.target_id
        write = RecordWrite(key=key, fields=fields, idempotency_key=try_key or f"try-{key}", target_id=target_id)
        (result,) = await self.outbound.write(spec, [write])
        return result

    async def outcome(self, spec: ObjectSpec, key: str, **fields: WireValue) -> WriteOutcome:
        return (await self.send(spec, key, **fields)).outcome

    def held(self, kind: str) -> list[Record]:
        return list(self.simulator.book.table(kind).values())

    def price(self, amount: int = 4_900, name: str = "Pro") -> str:
        account = self.simulator.account
        product = account.create_product({"name": name})
        price = account.create_price(product, currency="eur", unit_amount=amount, interval="month")
        return str(price["id"])

    @property
    def posts(self) -> list[Exchange]:
        return [call for call in self.calls if call.method == "POST"]

    @property
    def keys(self) -> list[str]:
        return [call.request_headers["Idempotency-Key"] for call in self.posts]


@asynccontextmanager
async def an_account(proration: str = "create_prorations") -> AsyncIterator[Account]:
    async with StripeSimulator() as simulator:
        account = Account(simulator, proration)
        try:
            yield account
        finally:
            await account.outbound.close()


@asynccontextmanager
async def answering(*answers: tuple[int, str, dict[str, str]]) -> AsyncIterator[StripeOutbound]:
    """A server that finds nothing, and gives writes these answers in turn, the last one for ever."""
    seen: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        if request.method == "GET":
            return web.json_response({"object": "list", "data": [], "has_more": False})
        status, text, headers = answers[min(len(seen), len(answers) - 1)]
        seen.append(request.path)
        return web.Response(status=status, text=text, headers=headers, content_type="application/json")

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    settings = {
        "api_key": API_KEY,
        "api_base": f"http://127.0.0.1:{runner.addresses[0][1]}",
        "live_mode": "false",
    }
    outbound = connector.outbound(
        settings, lambda: NOW, timeouts=BRISK, addresses=AddressPolicy(allow_loopback=True), sleep=at_once
    )
    try:
        yield outbound
    finally:
        await outbound.close()
        await runner.cleanup()


def writes(*names: str) -> Sequence[RecordWrite]:
    return [RecordWrite(key=name, fields={"name": name}, idempotency_key=f"try-{name}") for name in names]
