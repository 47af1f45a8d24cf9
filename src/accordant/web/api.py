"""The interface for other systems: `POST /api/books/entries` and `/transactions` take orders, through the books' gate.

Whoever asks shows a token of `accordant people add` as a bearer token. Answers are JSON, refusals with every reason.
"""

import asyncio
from collections.abc import Callable
from typing import TypeVar

import msgspec
from litestar import Litestar, Request, Response, post
from litestar.datastructures import State as AppState
from litestar.openapi.config import OpenAPIConfig

from accordant.bootstrap import Hub
from accordant.canonical.people import Person
from accordant.governance.access import AccessRefused, Act, demand
from accordant.kernel.errors import AccordantError, TransientError
from accordant.ledger.orders import EntryOrder, TransactionOrder
from accordant.operations.order_entry import EntryDesk
from accordant.operations.order_transaction import TransactionDesk
from accordant.operations.word_desk import Ordered, OrderOutcome

BODY_BYTES_MAX = 1024 * 1024
_STATUS = {
    OrderOutcome.POSTED: 201,
    OrderOutcome.REPEAT: 200,
    OrderOutcome.HELD: 202,
    OrderOutcome.WOULD_POST: 200,
    OrderOutcome.REFUSED: 422,
    OrderOutcome.KEY_REUSED: 409,
}
_NO_DOCUMENT: OpenAPIConfig | None = None
Order = TypeVar("Order")
Asked = Request[None, None, AppState]


def api_application(hub: Hub) -> Litestar:
    """The interface of one hub."""
    desk = EntryDesk(hub.state, hub.inbox, rulebook=lambda: hub.rulebook, clock=hub.clock)
    transactions = TransactionDesk(hub.state, hub.inbox, rulebook=lambda: hub.rulebook, clock=hub.clock)

    @post("/api/books/entries", status_code=201)
    async def order_entry(request: Asked) -> Response[bytes]:
        """Post an entry, once per key. 201 posted, 200 a repeat or a dry run, 202 taken and held with reasons, 409 the
        key was used for something else, 422 refused with reasons, 401 and 403 for who may not.
        """
        return await _ordered(hub, request, EntryOrder, desk.order)

    @post("/api/books/transactions", status_code=201)
    async def order_transaction(request: Asked) -> Response[bytes]:
        """Post a transaction by its name, once per key, in the books of every company that takes part. Answers as
        above.
        """
        return await _ordered(hub, request, TransactionOrder, transactions.order)

    return Litestar(
        route_handlers=[order_entry, order_transaction],
        openapi_config=_NO_DOCUMENT,
        request_max_body_size=BODY_BYTES_MAX,
    )


async def _ordered(hub: Hub, request: Asked, kind: type[Order], take: Callable[..., Ordered]) -> Response[bytes]:
    person = await asyncio.to_thread(_who, hub, request)
    if isinstance(person, Response):
        return person
    try:
        order = msgspec.json.decode(await request.body(), type=kind)
    except msgspec.MsgspecError as error:
        return _problem(400, f"The order cannot be read: {error}", "Compare it with docs/howto/close-a-month.md.")
    try:
        done = await asyncio.to_thread(take, order, by=person.name)
    except TransientError as error:
        return _problem(503, error.message, "Send it again with the same key.")
    except AccordantError as error:
        return _problem(422, error.message, error.remedy)
    return Response(msgspec.json.encode(done), status_code=_STATUS[done.outcome], media_type="application/json")


def _who(hub: Hub, request: Asked) -> Person | Response[bytes]:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        return _problem(401, "A bearer token is needed.", "Make one with `accordant people add`.")
    try:
        person = hub.people.identify(token.strip())
    except AccessRefused as error:
        return _problem(401, error.message, error.remedy)
    try:
        demand(person, Act.OPERATE)
    except AccessRefused as error:
        return _problem(403, error.message, error.remedy)
    return person


def _problem(status: int, problem: str, remedy: str) -> Response[bytes]:
    body = msgspec.json.encode({"problem": problem, "remedy": remedy})
    headers = {"www-authenticate": "Bearer"} if status == 401 else {}
    return Response(body, status_code=status, media_type="application/json", headers=headers)
