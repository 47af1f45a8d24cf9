"""A Salesforce on loopback for demos and tests: real HTTP, real refusals, faults on request. No vendor's code.
Guarantees its own count of committed writes (``effects``), so a test need not believe the hub.
Next: simulator_rest.py for the resources, sdk/faults.py for the faults.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import hmac
import json
import secrets
import threading
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from aiohttp import web

from accordant.connectors.salesforce import simulator_hands as hands
from accordant.connectors.salesforce.simulator_bulk import BulkJobs
from accordant.connectors.salesforce.simulator_composite import Composite
from accordant.connectors.salesforce.simulator_fields import Field, Json, Refusal
from accordant.connectors.salesforce.simulator_records import Effect, FieldChange, Org, Rejection
from accordant.connectors.salesforce.simulator_rest import Answer, Rest, read_call
from accordant.connectors.salesforce.simulator_schema import SObject
from accordant.connectors.salesforce.simulator_tokens import ConnectedApp, GrantRefused, Tokens
from accordant.connectors.sdk.faults import Fault, FaultList

#: Six megabytes for a call; a job's file may be larger, and is here up to this.
BODY_BYTES_MAX = 32 * 1024 * 1024
ORG_ID = "00DSiM000000001EAA"
_HTML = "<html><head><title>Login | Salesforce</title></head><body>Please log in</body></html>"


def _clock() -> datetime:
    return datetime.now(UTC)


class SalesforceSimulator:
    """One org behind one port. Define fields and faults before or while it runs, from its own event loop.

    ``now`` is the org's clock, ``daily_calls_max`` its API limit, ``page_rows_max`` the most rows a query page holds,
    ``middlewares`` goes to the aiohttp application (a contract judge in tests).
    """

    def __init__(
        self,
        *,
        app: ConnectedApp | None = None,
        now: Callable[[], datetime] = _clock,
        daily_calls_max: int = 5_000_000,
        page_rows_max: int = 2000,
        middlewares: Iterable[Any] = (),
    ) -> None:
        self.org = Org(now)
        self.rest = Rest(self.org, page_rows_max=page_rows_max)
        self.rest.calls_limit = daily_calls_max
        Composite(self.rest)
        self.bulk = BulkJobs(self.rest)
        self.tokens = Tokens(app or ConnectedApp(), now, lambda: secrets.token_urlsafe(32))
        self.faults = FaultList()
        self.url = ""
        self._middlewares = tuple(middlewares)
        self._runner: web.AppRunner | None = None
        self._site: web.TCPSite | None = None
        self._address = ("127.0.0.1", 0)
        self._refusing = self._answering_503 = False
        self._thread: tuple[threading.Thread, asyncio.AbstractEventLoop] | None = None
        self._waking: set[asyncio.Task[None]] = set()

    # -- life ---------------------------------------------------------------------------------------------------------

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Listen, and return the base address. Port 0 takes a free one."""
        app = web.Application(client_max_size=BODY_BYTES_MAX, middlewares=self._middlewares)
        app.router.add_route("*", "/{tail:.*}", self._serve)
        # A caller that hangs on a fault must not hold the end of a test for a minute.
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2, handler_cancellation=True)
        await self._runner.setup()
        self._address = (host, port)
        await self._listen()
        return self.url

    async def _listen(self) -> None:
        if self._runner is None:
            raise RuntimeError("the Salesforce stand-in is not started: call start first")
        self._site = web.TCPSite(self._runner, *self._address, reuse_address=True)
        await self._site.start()
        bound = self._runner.addresses[0]
        self._address = (self._address[0], bound[1])
        self.url = f"http://{self._address[0]}:{bound[1]}"

    async def stop(self) -> None:
        """Stop listening and drop every connection."""
        for task in self._waking:
            task.cancel()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = self._site = None

    def start_in_thread(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Run on an own event loop in a thread, for callers that block. Returns the base address."""
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, name="salesforce-stand-in", daemon=True)
        thread.start()
        self._thread = (thread, loop)
        return asyncio.run_coroutine_threadsafe(self.start(host, port), loop).result(10)

    def stop_thread(self) -> None:
        """End what ``start_in_thread`` began."""
        if self._thread is None:
            return
        thread, loop = self._thread
        asyncio.run_coroutine_threadsafe(self.stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
        self._thread = None

    async def go_down(self, seconds: float | None = None, *, refuse: bool = True) -> None:
        """Be unreachable (connection refused) or answer 503 to everything, for a while or until ``come_up``."""
        self._refusing, self._answering_503 = refuse, not refuse
        if refuse and self._site is not None:
            await self._site.stop()
            self._site = None
        if seconds is not None:
            task = asyncio.get_running_loop().create_task(self._wake(seconds))
            self._waking.add(task)
            task.add_done_callback(self._waking.discard)

    async def _wake(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self.come_up()

    async def come_up(self) -> None:
        """Listen and answer again, on the same port."""
        self._refusing = self._answering_503 = False
        if self._site is None:
            await self._listen()

    # -- control ------------------------------------------------------------------------------------------------------

    @property
    def effects(self) -> dict[str, list[Effect]]:
        """Every committed write by record id, oldest first: the stand-in's own ledger."""
        return self.org.effects

    def effects_of(self, object_name: str, key: str) -> list[Effect]:
        """Committed writes of one record, known by id, external id or name. Raises ``KeyError``."""
        return self.org.effects.get(self.org.find(object_name, key).id, [])

    def record(self, object_name: str, key: str) -> dict[str, Json]:
        """Values of one live record. Raises ``KeyError``."""
        return dict(self.org.find(object_name, key).values)

    def count(self, object_name: str) -> int:
        """Number of live records of an object."""
        return sum(1 for _ in self.org.live(self.org.object(object_name)))

    def history(self, object_name: str, key: str) -> tuple[FieldChange, ...]:
        """Who changed which field of a record, oldest first. Raises ``KeyError``."""
        return self.org.history(object_name, key)

    def define_object(self, name: str, label: str = "") -> SObject:
        """Add a custom object."""
        return self.org.define_object(name, label)

    def define_field(self, object_name: str, name: str, kind: str = "string", **options: Json) -> Field:
        """Add or replace a field. ``kind`` is the describe type; options are those of ``Field``."""
        options.setdefault("label", name.removesuffix("__c").replace("_", " "))
        if kind == "reference":
            options.setdefault("relationship", name.removesuffix("__c") + "__r")
        return self.org.add_field(object_name, Field(name=name, type=kind, **options))

    def rename_field(self, object_name: str, old: str, new: str) -> None:
        """Rename a field and keep its values."""
        self.org.rename_field(object_name, old, new)

    def delete_field(self, object_name: str, name: str) -> None:
        """Delete a field with its values."""
        self.org.delete_field(object_name, name)

    def create(self, object_name: str, user: str = "seed@example.com", **values: Json) -> str:
        """Put a record in, checked like any other. Returns its id. Raises ``Refusal``."""
        target = self.org.object(object_name)
        return self.org.create(target, self.org.clean(target, values), self.org.user_id(user)).id

    def edit(self, object_name: str, key: str, field: str, value: Json, user: str) -> None:
        """A person changes one field by hand. Raises ``KeyError`` or ``Refusal``."""
        record = self.org.find(object_name, key)
        cleaned = self.org.clean(record.object, {field: value})
        self.org.update(record, cleaned, self.org.user_id(user))

    def merge(self, object_name: str, survivor: str, losers: Sequence[str], user: str) -> None:
        """A person merges one or two records into another. Raises ``KeyError`` or ``Refusal``."""
        found = [self.org.find(object_name, key) for key in losers]
        hands.merge(self.org, self.org.find(object_name, survivor), found, self.org.user_id(user))

    def split(self, object_name: str, key: str, field: str, user: str, **values: Json) -> str:
        """A person gives a record's external id to a new record. Returns its id. Raises ``KeyError`` or ``Refusal``."""
        record = self.org.find(object_name, key)
        return hands.split(self.org, record, field, values, self.org.user_id(user)).id

    def delete(self, object_name: str, key: str, user: str) -> None:
        """A person throws a record into the recycle bin. Raises ``KeyError`` or ``Refusal``."""
        self.org.delete(self.org.find(object_name, key), self.org.user_id(user))

    def undelete(self, object_name: str, record_id: str, user: str) -> None:
        """A person brings a record back. Raises ``KeyError`` or ``Refusal``."""
        hands.undelete(self.org, self.org.find(object_name, record_id), self.org.user_id(user))

    def purge(self, object_name: str, record_id: str) -> None:
        """Empty the recycle bin of one record: nothing remembers it then. Raises ``KeyError``."""
        record = self.org.find(object_name, record_id)
        if record.deleted:
            del self.org.records[record.object.name][record.id]

    def reject(
        self,
        object_name: str,
        key: str,
        *,
        code: str = "FIELD_CUSTOM_VALIDATION_EXCEPTION",
        message: str = "",
        times: int | None = None,
    ) -> None:
        """Refuse writes to the record of that id, external id or name, for ever or so many times."""
        default = {
            "UNABLE_TO_LOCK_ROW": "unable to obtain exclusive access to this record",
        }.get(code, f"A validation rule refuses {key}")
        self.org.rejections.append(Rejection(self.org.object(object_name).name, key, code, message or default, times))

    def accept_all(self) -> None:
        """Withdraw every ``reject``."""
        self.org.rejections.clear()

    def fault(self, kind: str, **options: Json) -> Fault:
        """Order a fault: ``faults.KINDS`` names them, ``Fault`` the options."""
        return self.faults.add(Fault(kind, **options))

    def issue_token(self, user: str = "integration@example.com") -> str:
        """A session id without the OAuth dance."""
        return self.tokens.issue(user)

    # -- serving ------------------------------------------------------------------------------------------------------

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        body = await request.read()
        if path.startswith("/_sim/"):
            return await self._control(path.removeprefix("/_sim/"), body)
        if self._refusing:
            # The listener is closed, but a caller may still hold a connection from before.
            return _cut(request)
        if self._answering_503:
            return _error(503, "SERVER_UNAVAILABLE", "We are down for maintenance. Sorry for the inconvenience.")
        fault = self.faults.strike(request.method, path)
        if fault is not None and (early := await self._before(request, fault)) is not None:
            return early
        answer = self._answer(request, body)
        return answer if fault is None else await self._after(request, fault, answer)

    def _answer(self, request: web.Request, body: bytes) -> web.Response:
        if request.path == "/services/oauth2/token":
            return self._token(request, body)
        if request.path.rstrip("/") == "/services/data":
            return _json(200, [{"label": "Winter '24", "url": "/services/data/v59.0", "version": "59.0"}])
        user = self.tokens.user_of(request.headers.get("Authorization", ""))
        if user is None:
            return _error(401, "INVALID_SESSION_ID", "Session expired or invalid")
        if self.rest.calls_used >= self.rest.calls_limit:
            return self._with_limit(_error(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."))
        self.rest.calls_used += 1
        headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            is_file = request.content_type == "text/csv"
            decoded = body.decode() if is_file else json.loads(body, parse_float=Decimal) if body else None
            call = read_call(request.method, request.raw_path, self.org.user_id(user), decoded, headers)
            answer = self.rest.handle(call)
        except (ValueError, RecursionError) as problem:
            answer = Answer(400, [{"message": str(problem), "errorCode": "JSON_PARSER_ERROR"}])
        except Refusal as refusal:
            answer = Answer(refusal.status, [refusal.as_call_error()])
        if answer.text is not None:
            return self._with_limit(web.Response(status=answer.status, text=answer.text, content_type="text/csv"))
        return self._with_limit(_json(answer.status, answer.body, answer.headers))

    def _with_limit(self, response: web.Response) -> web.Response:
        response.headers["Sforce-Limit-Info"] = f"api-usage={self.rest.calls_used}/{self.rest.calls_limit}"
        return response

    def _token(self, request: web.Request, body: bytes) -> web.Response:
        if request.method != "POST":
            return _json(400, {"error": "invalid_request", "error_description": "must use HTTP POST"})
        try:
            user = self.tokens.grant(body.decode("utf-8", "replace"), request.headers.get("Authorization", ""))
        except GrantRefused as refused:
            return _json(400, {"error": refused.error, "error_description": refused.description})
        identity = f"{self.url}/id/{ORG_ID}/{self.org.user_id(user)}"
        issued = str(int(self.org.now().timestamp() * 1000))
        secret = self.tokens.app.client_secret.encode()
        signature = base64.b64encode(hmac.digest(secret, f"{identity}{issued}".encode(), hashlib.sha256)).decode()
        return _json(
            200,
            {
                "access_token": self.tokens.issue(user),
                "scope": "api",
                "instance_url": self.url,
                "id": identity,
                "token_type": "Bearer",
                "issued_at": issued,
                "signature": signature,
            },
        )

    async def _before(self, request: web.Request, fault: Fault) -> web.StreamResponse | None:
        """What a fault does before the call is carried out; ``None`` lets the call through."""
        retry = {"Retry-After": str(max(1, round(fault.seconds)))}
        answers = {
            "error_before": lambda: _error(fault.status, "UNKNOWN_EXCEPTION", "An unexpected error occurred."),
            "busy": lambda: _error(503, "SERVER_UNAVAILABLE", "Server too busy", retry),
            "too_many": lambda: _error(429, "REQUEST_LIMIT_EXCEEDED", "Too many requests", retry),
            "expired": lambda: _error(401, "INVALID_SESSION_ID", "Session expired or invalid"),
        }
        if fault.kind in answers:
            return answers[fault.kind]()
        if fault.kind in ("slow", "timeout_before"):
            await asyncio.sleep(fault.seconds)
        return _cut(request) if fault.kind in ("reset_before", "timeout_before") else None

    async def _after(self, request: web.Request, fault: Fault, answer: web.Response) -> web.StreamResponse:
        """What a fault makes of the answer of a call that was carried out."""
        if fault.kind == "timeout_after":
            await asyncio.sleep(fault.seconds)
        if fault.kind in ("reset_after", "timeout_after"):
            return _cut(request)
        if fault.kind == "error_after":
            return _error(fault.status, "UNKNOWN_EXCEPTION", "An unexpected error occurred.")
        if fault.kind == "html":
            return web.Response(status=200, text=_HTML, content_type="text/html")
        if fault.kind == "truncated" and isinstance(answer.body, bytes):
            half = answer.body[: max(1, len(answer.body) // 2)]
            return web.Response(status=answer.status, body=half, content_type="application/json")
        return answer

    async def _control(self, order: str, body: bytes) -> web.Response:
        """The ``/_sim/`` door: the Python methods above, by name, with their arguments as JSON."""
        try:
            asked = json.loads(body or b"{}", parse_float=Decimal)
            if order == "effects":
                return _json(200, {"count": self.org.effect_count, "records": _effects(self.effects)})
            if order == "struck":
                return _json(200, dict(self.faults.struck))
            if order in ("go_down", "come_up"):
                await getattr(self, order)(**{name: _plain(value) for name, value in asked.items()})
                return _json(200, {"ok": True})
            if order not in _CONTROLS:
                known = ", ".join(sorted({*_CONTROLS, "effects", "struck", "go_down", "come_up"}))
                return _json(404, {"error": f"no control named {order}: choose one of {known}"})
            # A value of a record keeps its digits; everything else is a number of seconds or of times.
            keeps = order in ("create", "edit", "split")
            result = getattr(self, order)(**{name: value if keeps else _plain(value) for name, value in asked.items()})
        except (KeyError, TypeError, ValueError, Refusal) as problem:
            return _json(400, {"error": str(problem)})
        return _json(200, {"ok": True, "result": result if isinstance(result, str | int | dict) else None})

    def expire_tokens(self) -> None:
        """End every session: the next call of each gets 401."""
        self.tokens.expire_all()

    def set_limits(self, *, daily_calls_max: int | None = None, token_calls_max: int | None = None) -> None:
        """Change the daily API limit, and how many calls a new token lives."""
        if daily_calls_max is not None:
            self.rest.calls_limit = daily_calls_max
        self.tokens.calls_max = token_calls_max


_CONTROLS = frozenset(
    {
        "define_object",
        "define_field",
        "rename_field",
        "delete_field",
        "create",
        "edit",
        "merge",
        "split",
        "delete",
        "undelete",
        "purge",
        "reject",
        "accept_all",
        "fault",
        "record",
        "count",
        "expire_tokens",
        "set_limits",
    }
)


def _plain(value: Json) -> Json:
    """JSON's numbers and lists as the Python methods take them."""
    if isinstance(value, Decimal):
        return float(value)
    return tuple(value) if isinstance(value, list) else value


def _effects(effects: dict[str, list[Effect]]) -> dict[str, Json]:
    return {
        record_id: [
            {"object": one.object, "action": one.action, "fields": sorted(one.changed), "user": one.user, "at": one.at}
            for one in log
        ]
        for record_id, log in effects.items()
    }


def _json(status: int, body: Json, headers: dict[str, str] | None = None) -> web.Response:
    if body is None and status == 204:
        return web.Response(status=status, headers=headers)
    raw = json.dumps(body, default=float, separators=(",", ":")).encode()
    return web.Response(status=status, body=raw, headers=headers, content_type="application/json", charset="utf-8")


def _error(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> web.Response:
    return _json(status, [{"message": message, "errorCode": code}], headers)


def _cut(request: web.Request) -> web.StreamResponse:
    """Drop the connection without an answer, as a dying proxy does."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


def example_org() -> SalesforceSimulator:
    """An org that billing is connected to: keys on the standard objects, and a subscription object below Account."""
    made = SalesforceSimulator()
    made.define_field("Account", "Stripe_Customer_Id__c", length=64, external_id=True, unique=True)
    made.define_field("Opportunity", "Stripe_Subscription_Id__c", length=64, external_id=True, unique=True)
    made.define_object("Subscription__c", "Subscription")
    made.define_field("Subscription__c", "Stripe_Subscription_Id__c", length=64, external_id=True, unique=True)
    made.define_field("Subscription__c", "Account__c", "reference", reference_to="Account")
    statuses = ("trialing", "active", "past_due", "unpaid", "paused", "canceled")
    made.define_field("Subscription__c", "Status__c", "picklist", picklist=statuses, restricted=True)
    made.define_field("Subscription__c", "MRR__c", "currency", scale=2)
    made.define_field("Subscription__c", "Current_Period_End__c", "date")
    return made


async def _run(host: str, port: int) -> None:
    simulator = example_org()
    url = await simulator.start(host, port)
    print(f"Salesforce stand-in on {url}, session id {simulator.issue_token()}", flush=True)  # noqa: T201
    await asyncio.Event().wait()


def main() -> None:
    """``python -m accordant.connectors.salesforce.simulator --port N``."""
    options = argparse.ArgumentParser(description="A Salesforce stand-in on loopback, for development only.")
    options.add_argument("--host", default="127.0.0.1")
    options.add_argument("--port", type=int, default=0)
    given = options.parse_args()
    try:
        asyncio.run(_run(given.host, given.port))
    except KeyboardInterrupt:
        return


if __name__ == "__main__":
    main()
