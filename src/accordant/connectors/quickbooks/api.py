"""Calls to the API of QuickBooks Online of one company: queries, changes since, and writes with a request id.
Guarantees that a refusal is told apart from an answer that was lost. Source: Intuit's own documentation and XSDs.
Next: lookups.py and documents.py, which ask.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

from accordant.connectors.quickbooks.errors import NOT_FOUND_CODE, QuickBooksRefused, read_fault
from accordant.connectors.quickbooks.wire import quoted
from accordant.connectors.sdk.http import HttpAnswer, HttpClient
from accordant.connectors.sdk.oauth import OAuthHeader
from accordant.connectors.sdk.plain_json import Json, Row, encode
from accordant.connectors.sdk.refusals import told_by
from accordant.ports.connector import AnswerLost, TargetUnavailable

#: Since August 2025 no older one is answered.
MINOR_VERSION = "75"
PAGE = 500
#: So many records of an entity one answer of changes holds at most.
CHANGES_MAX = 1_000
_JSON = "application/json"
#: Intuit takes up to fifty characters; more of a hash than anybody can hit twice.
_REQUEST_ID_CHARS = 50


class Api:
    """Calls one company, by its realm id."""

    def __init__(self, *, http: HttpClient, session: OAuthHeader, realm: str) -> None:
        self._http = http
        self._session = session
        self._base = f"/v3/company/{realm}"

    async def close(self) -> None:
        """Release connections."""
        await self._http.close()
        await self._session.close()

    async def rows(self, entity: str, where: str = "", *, start: int = 1) -> list[Row]:
        """The records of one page that a query finds. Raises QuickBooksRefused, and as the HTTP client."""
        found = f" where {where}" if where else ""
        # Not SQL of ours: the vendor's query language, with every value quoted by `wire.quoted`.
        asked = f"select * from {entity}{found} startposition {start} maxresults {PAGE}"  # noqa: S608
        told = await self._asked("query", [("query", asked)])
        response = told.get("QueryResponse")
        if not isinstance(response, dict):
            raise TargetUnavailable(f"QuickBooks answered a query of {entity} with something that is no answer to it.")
        return list(response.get(entity) or [])

    async def pages(self, entity: str, where: str = "") -> AsyncIterator[list[Row]]:
        """Every record that a query finds, page by page. Raises as ``rows``."""
        start = 1
        while rows := await self.rows(entity, where, start=start):
            yield rows
            if len(rows) < PAGE:
                return
            start += PAGE

    async def one(self, entity: str, number: str) -> Row | None:
        """One record by QuickBooks' own id; None where it was deleted. Raises as ``rows``."""
        try:
            told = await self._asked(f"{entity.lower()}/{number}", [])
        except QuickBooksRefused as refusal:
            if refusal.fault.code == NOT_FOUND_CODE:
                return None
            raise
        row = told.get(entity)
        return row if isinstance(row, dict) else None

    async def changed(self, entities: Sequence[str], since: datetime) -> dict[str, list[Row]]:
        """What changed since an instant of the last thirty days, the deleted among them, by entity.

        One answer holds no more than a thousand records of an entity: what it may have left out is queried for.
        """
        stamp = since.astimezone(UTC).isoformat(timespec="seconds")
        told = await self._asked("cdc", [("entities", ",".join(entities)), ("changedSince", stamp)])
        found: dict[str, list[Row]] = {}
        for response in told.get("CDCResponse") or []:
            for part in response.get("QueryResponse") or []:
                for entity in entities:
                    found.setdefault(entity, []).extend(part.get(entity) or [])
        for entity, rows in found.items():
            if len(rows) >= CHANGES_MAX:
                known = {str(row["Id"]) for row in rows}
                where = f"MetaData.LastUpdatedTime >= {quoted(stamp)}"
                async for more in self.pages(entity, where):
                    rows += [row for row in more if str(row["Id"]) not in known]
        return found

    async def send(self, entity: str, body: Json, *, key: str) -> Row:
        """One record made or changed, under a request id of this very content: the same request twice is one.

        Raises QuickBooksRefused, AnswerLost, and as the HTTP client.
        """
        content = encode(body)
        path = f"{self._base}/{entity.lower()}"
        answer = await self._http.send(
            "POST",
            path,
            query=[("requestid", request_id(key, path, content)), ("minorversion", MINOR_VERSION)],
            body=content,
            content_type=_JSON,
            headers={"Accept": _JSON},
            correlation_id=key,
        )
        row = _told(answer, entity, writes=True).get(entity)
        if not isinstance(row, dict) or not row.get("Id"):
            raise AnswerLost(f"QuickBooks answered a write of {entity} with something that names no record.")
        return row

    async def _asked(self, path: str, query: list[tuple[str, str]]) -> Row:
        answer = await self._http.send(
            "GET", f"{self._base}/{path}", query=[*query, ("minorversion", MINOR_VERSION)], headers={"Accept": _JSON}
        )
        return _told(answer, path, writes=False)


def request_id(key: str, path: str, content: bytes) -> str:
    """The id of one request: the same for the same content only."""
    return hashlib.sha256(b"\x1f".join((key.encode(), path.encode(), content))).hexdigest()[:_REQUEST_ID_CHARS]


def _told(answer: HttpAnswer, what: str, *, writes: bool) -> Row:
    told = told_by(
        answer,
        what,
        title="QuickBooks",
        writes=writes,
        read_fault=read_fault,
        refusal=QuickBooksRefused,
        consent_remedy="Connect the app to the company of the setting realm_id again; its writes wait until then.",
    )
    if told.get("Fault"):  # some refusals come with status 200
        raise QuickBooksRefused(read_fault(answer.status, answer.body))
    return told
