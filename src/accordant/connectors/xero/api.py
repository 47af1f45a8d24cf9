"""Calls to Xero's accounting API of one organisation: lists with filters, and writes under an idempotency key.
Guarantees that a refusal is told apart from an answer that was lost. Source: Xero's own OpenAPI, version 16.1.0.
Next: lookups.py and documents.py, which ask.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime

from accordant.connectors.sdk.http import HttpAnswer, HttpClient
from accordant.connectors.sdk.oauth import OAuthHeader
from accordant.connectors.sdk.plain_json import Json, Row, encode
from accordant.connectors.sdk.refusals import told_by
from accordant.connectors.xero.errors import XeroRefused, read_fault
from accordant.ports.connector import AnswerLost, TargetUnavailable

BASE = "/api.xro/2.0"
PAGE = 100
#: Where an answer's list is not called as its path is.
_LIST_OF = {"Organisation": "Organisations"}
_JSON = "application/json"


class Api:
    """Calls one organisation. The header that names it goes along with every call."""

    def __init__(self, *, http: HttpClient, session: OAuthHeader) -> None:
        self._http = http
        self._session = session

    async def close(self) -> None:
        """Release connections."""
        await self._http.close()
        await self._session.close()

    async def rows(
        self, path: str, query: Mapping[str, str] | None = None, *, modified_since: datetime | None = None
    ) -> list[Row]:
        """The records of one page; none where there is no such record. Raises XeroRefused and as the HTTP client."""
        headers = {"Accept": _JSON}
        if modified_since is not None:
            headers["If-Modified-Since"] = modified_since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
        answer = await self._http.send("GET", f"{BASE}/{path}", query=list((query or {}).items()), headers=headers)
        if answer.status == 404:
            return []
        told = _told(answer, path, writes=False)
        name = path.split("/", maxsplit=1)[0]
        rows = told.get(_LIST_OF.get(name, name))
        if not isinstance(rows, list):
            raise TargetUnavailable(f"Xero answered a question for {path} with something that is no list.")
        return rows

    async def pages(
        self, path: str, query: Mapping[str, str] | None = None, *, modified_since: datetime | None = None
    ) -> AsyncIterator[list[Row]]:
        """Every record, page by page. Raises as ``rows``."""
        number = 0
        rows: Sequence[Row] = [{}] * PAGE
        while len(rows) == PAGE:
            number += 1
            asked = {**(query or {}), "page": str(number), "pageSize": str(PAGE)}
            rows = await self.rows(path, asked, modified_since=modified_since)
            if rows:
                yield list(rows)

    async def send(self, method: str, path: str, body: Json, *, key: str) -> Row:
        """One record made (PUT) or changed (POST), under an idempotency key of this very content: what a look found
        to be left has another one. Raises XeroRefused, AnswerLost, and as the HTTP client.
        """
        content = encode(body)
        answer = await self._http.send(
            method,
            f"{BASE}/{path}",
            body=content,
            content_type=_JSON,
            headers={"Accept": _JSON, "Idempotency-Key": key_of(key, method, path, content)},
            correlation_id=key,
        )
        told = _told(answer, path, writes=True)
        rows = told.get(path.rsplit("/", maxsplit=1)[-1] if method == "PUT" else path.split("/", maxsplit=1)[0])
        if not isinstance(rows, list) or not rows or not isinstance(rows[0], dict):
            raise AnswerLost(f"Xero answered {method} {path} with something that names no record.")
        return rows[0]


def key_of(key: str, method: str, path: str, content: bytes) -> str:
    """The idempotency key of one request: the same for the same content only. Xero takes up to 128 characters."""
    return hashlib.sha256(b"\x1f".join((key.encode(), method.encode(), path.encode(), content))).hexdigest()


def _told(answer: HttpAnswer, path: str, *, writes: bool) -> Row:
    return told_by(
        answer,
        path,
        title="Xero",
        writes=writes,
        read_fault=read_fault,
        refusal=XeroRefused,
        consent_remedy="Connect the app to the organisation of the setting tenant_id, with the scopes it needs; "
        "its writes wait until then.",
    )
