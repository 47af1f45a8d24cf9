"""Calls to Zendesk's Support API of one account: organizations read by keys and pages, made and changed one by one.
Guarantees that a refusal is told apart from an answer that was lost. Source: Zendesk's Support API, version 2.
Next: outbound.py, which asks.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

from accordant.connectors.sdk.http import HttpClient
from accordant.connectors.sdk.plain_json import Row, encode
from accordant.connectors.sdk.refusals import told_by
from accordant.connectors.zendesk.errors import ZendeskRefused, read_fault
from accordant.ports.connector import AnswerLost, TargetUnavailable

BASE = "/api/v2"
#: Records of a page, and ids or external ids of one question: the most that Zendesk takes.
PAGE = 100
_JSON = "application/json"
_CREATED = 201
_REMEDY = (
    "Give the agent of this connection a role that may read and keep organizations, and turn token access on; its "
    "writes wait until then."
)


class Api:
    """Calls one account."""

    def __init__(self, http: HttpClient) -> None:
        self._http = http

    async def close(self) -> None:
        """Release connections."""
        await self._http.close()

    async def rows(self, path: str, name: str, query: Mapping[str, str] | None = None) -> list[Row]:
        """The list ``name`` of one answer. Raises ZendeskRefused and as the HTTP client."""
        return _rows(await self._ask(path, query), name)

    async def pages(self, path: str, name: str) -> AsyncIterator[list[Row]]:
        """The list ``name``, page by page, by cursors: a record that is added meanwhile moves none of the others.

        Source: https://developer.zendesk.com/api-reference/introduction/pagination/. Raises as ``rows``.
        """
        query: dict[str, str] = {"page[size]": str(PAGE)}
        while True:
            told = await self._ask(path, query)
            yield _rows(told, name)
            place = told.get("meta") or {}
            if not place.get("has_more"):
                return
            query["page[after]"] = str(place.get("after_cursor"))

    async def send(self, method: str, path: str, organization: Row, *, key: str) -> tuple[Row, bool]:
        """One organization as it is after it was made or changed, and whether it was made.

        Raises ZendeskRefused, AnswerLost, and as the HTTP client.
        """
        answer = await self._http.send(
            method,
            f"{BASE}/{path}",
            body=encode({"organization": organization}),
            content_type=_JSON,
            headers={"Accept": _JSON},
            correlation_id=key,
        )
        told = told_by(
            answer,
            path,
            title="Zendesk",
            writes=True,
            read_fault=read_fault,
            refusal=ZendeskRefused,
            consent_remedy=_REMEDY,
        ).get("organization")
        if not isinstance(told, dict) or not isinstance(told.get("id"), int):
            raise AnswerLost(f"Zendesk answered {method} {path} with something that names no organization.")
        return told, answer.status == _CREATED

    async def _ask(self, path: str, query: Mapping[str, str] | None) -> Row:
        answer = await self._http.send(
            "GET", f"{BASE}/{path}", query=list((query or {}).items()), headers={"Accept": _JSON}
        )
        return told_by(
            answer,
            path,
            title="Zendesk",
            writes=False,
            read_fault=read_fault,
            refusal=ZendeskRefused,
            consent_remedy=_REMEDY,
        )


def _rows(told: Row, name: str) -> list[Row]:
    rows = told.get(name)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise TargetUnavailable(f"Zendesk answered a question for {name} with something that is no list.")
    return rows
