"""Stripe's API as the outbound half calls it: forms in, JSON out, one version, one key for each write.
Guarantees that a key never goes out with two contents: what is sent is part of it. Next: outbound.py.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from urllib.parse import quote, urlencode

from accordant.canonical.intents import IDEMPOTENCY_KEY_LENGTH_MAX
from accordant.connectors.sdk.decode import JsonObject, PayloadMalformed, decode_strict
from accordant.connectors.sdk.http import HttpAnswer, HttpClient
from accordant.connectors.stripe.errors import refusal, translated
from accordant.kernel.errors import InvariantBroken
from accordant.kernel.hashing import fingerprint
from accordant.ports.connector import TargetUnavailable

PAGE_SIZE = 100
#: More pages than any account has; a listing that goes on behind them is broken.
PAGES_MAX = 1_000_000
_FORM = "application/x-www-form-urlencoded"
_PRINT_DIGITS = 12

#: Parameters of a form in Stripe's notation: ``address[city]``, ``items[0][price]``.
Form = Sequence[tuple[str, str]]


class Calls:
    """The calls of one connection."""

    def __init__(self, http: HttpClient, *, api_version: str) -> None:
        self._http = http
        self._headers = {"Stripe-Version": api_version}

    def __repr__(self) -> str:
        return f"Calls({self._http!r})"

    async def close(self) -> None:
        """Release connections."""
        await self._http.close()

    async def one(self, collection: str, name: str, *, expand: Iterable[str] = ()) -> JsonObject | None:
        """One object; None where Stripe itself says that there is none. Raises as ``Outbound.read``."""
        query = [("expand[]", field) for field in expand]
        return await self._read(f"/v1/{collection}/{quote(name, safe='')}", query)

    async def listed(self, collection: str, query: Form, *, pages_max: int = PAGES_MAX) -> AsyncIterator[JsonObject]:
        """The objects of a list, newest first, up to so many pages. A list shows a write at once."""
        after: list[tuple[str, str]] = []
        for _ in range(pages_max):
            page = await self._page(f"/v1/{collection}", [("limit", str(PAGE_SIZE)), *query, *after])
            objects = _objects(page)
            for one in objects:
                yield one
            if page.get("has_more") is not True or not objects:
                return
            last = ("starting_after", str(objects[-1]["id"]))
            if after == [last]:
                raise TargetUnavailable(f"Stripe repeats a page of {collection}.")
            after = [last]

    async def searched(
        self, collection: str, question: str, *, expand: Iterable[str] = ()
    ) -> AsyncIterator[JsonObject]:
        """The objects that match, as far as Stripe's search knows them: a minute late, in an outage an hour."""
        query = [("limit", str(PAGE_SIZE)), ("query", question), *(("expand[]", f"data.{one}") for one in expand)]
        further: list[tuple[str, str]] = []
        for _ in range(PAGES_MAX):
            page = await self._page(f"/v1/{collection}/search", [*query, *further])
            for one in _objects(page):
                yield one
            following = page.get("next_page")
            if page.get("has_more") is not True or not isinstance(following, str):
                return
            if further == [("page", following)]:
                raise TargetUnavailable(f"Stripe repeats a page of a search in {collection}.")
            further = [("page", following)]

    async def post(self, path: str, form: Form, *, key: str, correlation_id: str) -> HttpAnswer:
        """One write, sent once. Answers of 4xx and 5xx are given back. Raises as ``HttpClient.send``.

        Two different forms never share a key: Stripe refuses the second (https://docs.stripe.com/api/idempotent_requests).
        """
        mark = fingerprint([path, *map(list, form)])[:_PRINT_DIGITS]
        return await self._http.send(
            "POST",
            path,
            body=urlencode(list(form)).encode(),
            content_type=_FORM,
            headers={
                **self._headers,
                "Idempotency-Key": f"{key[: IDEMPOTENCY_KEY_LENGTH_MAX - _PRINT_DIGITS - 1]}-{mark}",
            },
            correlation_id=correlation_id,
            gives_failures=True,
        )

    async def _page(self, path: str, query: Form) -> JsonObject:
        page = await self._read(path, query)
        if page is None:
            # The object a page starts after was deleted meanwhile, or the address is not Stripe's.
            raise TargetUnavailable(f"Stripe's list {path} changed while it was read.")
        return page

    @translated
    async def _read(self, path: str, query: Form) -> JsonObject | None:
        answer = await self._http.send("GET", path, query=query, headers=self._headers)
        if answer.status != 200:
            refused = refusal(answer)
            if refused.is_absence:
                return None
            raise refused
        return object_of(answer.body)


def object_of(body: bytes) -> JsonObject:
    """The object an answer spells. Raises TargetUnavailable where it is none."""
    try:
        value = decode_strict(body)
    except PayloadMalformed as error:
        raise TargetUnavailable(f"Stripe's answer cannot be read: {error.message}") from None
    if not isinstance(value, dict):
        raise TargetUnavailable("Stripe's answer is no object.")
    return value


def _objects(page: JsonObject) -> list[JsonObject]:
    listed = page.get("data")
    if not isinstance(listed, list) or not all(
        isinstance(one, dict) and isinstance(one.get("id"), str) for one in listed
    ):
        raise TargetUnavailable("Stripe's answer is no list of objects.")
    return listed


def segment(name: str) -> str:
    """An id as one segment of a path. Raises InvariantBroken for one that is none of Stripe's."""
    if not name.isascii() or not name.replace("_", "").isalnum():
        raise InvariantBroken(f"{name!r} is no id of Stripe's.")
    return name
