"""Salesforce's REST resources over the stand-in's records, without a socket: a call comes in, an answer goes out.
Guarantees the same statuses, shapes and errors whether a call arrives alone or inside a composite one.
Next: simulator_composite.py for many records or calls at once; simulator.py for the socket.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from urllib.parse import parse_qsl, unquote, urlsplit

from accordant.connectors.salesforce.simulator_fields import Json, Refusal
from accordant.connectors.salesforce.simulator_records import Org, Record
from accordant.connectors.salesforce.simulator_schema import SObject
from accordant.connectors.salesforce.simulator_soql import Query, parse

_VERSIONED = re.compile(r"/?(?:services/data/)?v(\d{2,3}\.\d)(?:/(.*))?")
CURSORS_MAX = 200


@dataclass(frozen=True, slots=True)
class Call:
    """One REST call. ``parts`` are the unquoted path segments after the version; ``body`` is decoded JSON."""

    method: str
    version: str
    parts: tuple[str, ...]
    user: str
    query: dict[str, str] = field(default_factory=dict)
    body: Json = None
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def base(self) -> str:
        """Path up to and with the API version."""
        return f"/services/data/v{self.version}"

    @property
    def number(self) -> float:
        """API version as a number, for behaviour that changed with one."""
        return float(self.version)


@dataclass(frozen=True, slots=True)
class Answer:
    """What comes back. ``body`` is JSON to be, or ``None`` for an empty body; ``text`` is a file instead of it."""

    status: int
    body: Json = None
    headers: dict[str, str] = field(default_factory=dict)
    text: str | None = None

    @property
    def failed(self) -> bool:
        """Whether the call was refused."""
        return self.status >= 400


def read_call(method: str, url: str, user: str, body: Json = None, headers: dict[str, str] | None = None) -> Call:
    """Take a URL apart. Raises ``Refusal`` NOT_FOUND when it is not below an API version."""
    split = urlsplit(url)
    found = _VERSIONED.fullmatch(split.path)
    if found is None:
        raise Refusal("NOT_FOUND", "The requested resource does not exist")
    parts = tuple(unquote(part) for part in (found[2] or "").strip("/").split("/") if part)
    query = dict(parse_qsl(split.query, keep_blank_values=True))
    return Call(method.upper(), found[1], parts, user, query, body, headers or {})


class Rest:
    """Dispatches calls to resources. ``extra`` adds resources (composite) by their first path segment."""

    def __init__(self, org: Org, *, page_rows_max: int = 2000) -> None:
        self.org = org
        self.page_rows_max = page_rows_max
        self.calls_limit = 0
        self.calls_used = 0
        self.resources: dict[str, Callable[[Call], Answer]] = {
            "sobjects": self._sobjects,
            "query": self._query,
            "queryAll": self._query,
            "limits": self._limits,
        }
        self._cursors: dict[str, tuple[Query, list[Record], int]] = {}
        self._cursor_number = 0

    def handle(self, call: Call) -> Answer:
        """Answer one call; refusals become Salesforce's error array."""
        try:
            if not call.parts:
                return Answer(200, {name: f"{call.base}/{name}" for name in self.resources})
            return self.resources.get(call.parts[0], _unknown)(call)
        except Refusal as refusal:
            return Answer(refusal.status, [refusal.as_call_error()])

    # -- rows ---------------------------------------------------------------------------------------------------------

    def _sobjects(self, call: Call) -> Answer:
        if len(call.parts) == 1:
            only(call, "GET")
            listed = [one.summary(call.base) for one in self.org.objects.values()]
            return Answer(200, {"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": listed})
        target = self.org.object(call.parts[1])
        if len(call.parts) == 2:
            return self._object(call, target)
        if len(call.parts) == 3:
            if call.parts[2] == "describe":
                only(call, "GET")
                return Answer(200, target.describe(call.base))
            return self._row(call, self.org.by_id(target, call.parts[2]))
        if len(call.parts) == 4:
            return self._external(call, target)
        raise Refusal("NOT_FOUND", "The requested resource does not exist")

    def _object(self, call: Call, target: SObject) -> Answer:
        only(call, "GET", "POST")
        if call.method == "GET":
            recent = [
                {"Id": one.id, "attributes": attributes(call.base, one)} for one in list(self.org.live(target))[-5:]
            ]
            return Answer(200, {"objectDescribe": target.summary(call.base), "recentItems": recent})
        created = self.org.create(target, self.org.clean(target, sent(call)), call.user)
        location = {"Location": f"{call.base}/{target.url}/{created.id}"}
        return Answer(201, {"id": created.id, "success": True, "errors": []}, location)

    def _row(self, call: Call, record: Record) -> Answer:
        only(call, "GET", "PATCH", "DELETE")
        if call.method == "GET":
            return Answer(200, render(call, record))
        self._check_unmodified(call, record)
        if call.method == "DELETE":
            self.org.delete(record, call.user)
        else:
            self.org.update(record, self.org.clean(record.object, sent(call)), call.user)
        return Answer(204)

    def _check_unmodified(self, call: Call, record: Record) -> None:
        header = call.headers.get("if-unmodified-since")
        if header is None:
            return
        modified = datetime.strptime(record.values["LastModifiedDate"], "%Y-%m-%dT%H:%M:%S.%f%z")
        try:
            since = parsedate_to_datetime(header)
        except ValueError:
            raise Refusal("INVALID_HEADER", f"If-Unmodified-Since is no HTTP date: {header}") from None
        if modified > since:
            raise Refusal("PRECONDITION_FAILED", "The record has been modified since the date in the header")

    def _external(self, call: Call, target: SObject) -> Answer:
        only(call, "GET", "PATCH", "DELETE")
        one = self.org.external_field(target, call.parts[2])
        if one.name == "Id":
            return self._row(call, self.org.by_id(target, call.parts[3]))
        value = target.checks[one.name](call.parts[3])
        ids = self.org.by_external(target, one, value)
        if len(ids) > 1:
            return Answer(300, [f"{call.base}/{target.url}/{found}" for found in ids])
        if call.method == "PATCH":
            cleaned = self.org.clean(target, sent(call), one.name)
            return self._upsert(call, target, ids, {one.name: value, **cleaned})
        if not ids:
            raise Refusal("NOT_FOUND", "The requested resource does not exist")
        return self._row(call, self.org.records[target.name][ids[0]])

    def _upsert(self, call: Call, target: SObject, ids: list[str], cleaned: dict[str, Json]) -> Answer:
        if ids:
            record = self.org.update(self.org.records[target.name][ids[0]], cleaned, call.user)
        else:
            record = self.org.create(target, cleaned, call.user)
        if call.number < 46:
            if ids:
                return Answer(204)
            return Answer(201, {"id": record.id, "success": True, "errors": []})
        body = {"id": record.id, "success": True, "errors": [], "created": not ids}
        return Answer(200 if ids else 201, body)

    # -- queries and limits -------------------------------------------------------------------------------------------

    def _query(self, call: Call) -> Answer:
        only(call, "GET")
        if len(call.parts) == 2:
            return self._more(call)
        if "q" not in call.query:
            raise Refusal("MALFORMED_QUERY", "a query must be given in the parameter q")
        query = parse(self.org, call.query["q"])
        rows = query.run(self.org, deleted=call.parts[0] == "queryAll")
        if not query.columns:
            return Answer(200, {"totalSize": len(rows), "done": True, "records": []})
        return self._page(call, query, rows, 0)

    def _page(self, call: Call, query: Query, rows: list[Record], start: int) -> Answer:
        size = self.page_rows_max
        asked = re.search(r"batchSize=(\d+)", call.headers.get("sforce-query-options", ""))
        if asked:
            size = min(max(int(asked[1]), 200), 2000, self.page_rows_max)
        records = [_render_columns(call, query, row) for row in rows[start : start + size]]
        body: dict[str, Json] = {"totalSize": len(rows), "done": start + size >= len(rows), "records": records}
        if not body["done"]:
            self._cursor_number += 1
            cursor = f"01gSiM{self._cursor_number:012d}-{start + size}"
            self._cursors[cursor] = (query, rows, start + size)
            if len(self._cursors) > CURSORS_MAX:
                self._cursors.pop(next(iter(self._cursors)))
            body["nextRecordsUrl"] = f"{call.base}/query/{cursor}"
        return Answer(200, body)

    def _more(self, call: Call) -> Answer:
        found = self._cursors.get(call.parts[1])
        if found is None:
            raise Refusal("INVALID_QUERY_LOCATOR", "invalid query locator")
        return self._page(call, *found)

    def _limits(self, call: Call) -> Answer:
        only(call, "GET")
        left = max(self.calls_limit - self.calls_used, 0)
        return Answer(200, {"DailyApiRequests": {"Max": self.calls_limit, "Remaining": left}})


def _unknown(call: Call) -> Answer:
    raise Refusal("NOT_FOUND", "The requested resource does not exist")


def only(call: Call, *methods: str) -> None:
    """Refuse methods a resource does not have. Raises ``Refusal`` METHOD_NOT_ALLOWED."""
    if call.method not in methods:
        message = f"HTTP Method '{call.method}' not allowed. Allowed are {','.join(methods)}"
        raise Refusal("METHOD_NOT_ALLOWED", message)


def sent(call: Call) -> dict[str, Json]:
    """The JSON object of the body. Raises ``Refusal`` JSON_PARSER_ERROR."""
    if not isinstance(call.body, dict):
        raise Refusal("JSON_PARSER_ERROR", "The HTTP entity body is required, and must be a JSON object")
    return call.body


def attributes(base: str, record: Record) -> dict[str, str]:
    """The ``attributes`` member of a record."""
    return {"type": record.object.name, "url": f"{base}/{record.object.url}/{record.id}"}


def render(call: Call, record: Record, fields: list[str] | None = None) -> dict[str, Json]:
    """A record with all its fields, or those asked for in ``fields``. Raises ``Refusal`` INVALID_FIELD."""
    target = record.object
    names = fields or [name for name in call.query.get("fields", "").split(",") if name]
    body: dict[str, Json] = {"attributes": attributes(call.base, record)}
    if not names:
        return body | {one.name: record.values.get(one.name) for one in target.fields.values()}
    for name in [*names, "Id"]:
        one = target.field(name.strip())
        if one is None:
            raise Refusal("INVALID_FIELD", f"No such column '{name}' on entity '{target.name}'")
        body[one.name] = record.values.get(one.name)
    return body


def _render_columns(call: Call, query: Query, row: Record) -> dict[str, Json]:
    body: dict[str, Json] = {"attributes": attributes(call.base, row)}
    for column in query.columns:
        value = column.read(row)
        node = body
        for step in column.path[:-1]:
            if node.get(step) is None:
                node[step] = None if value is None else {"attributes": {"type": step}}
            node = node[step] if node[step] is not None else {}
        node[column.path[-1]] = value
    return body
