"""The contract checker: what a vendor's own API document says about a request or an answer, in microseconds.
Guarantees that nothing unknown passes in silence: an unlisted path, method, status, type or parameter is a violation.
Next: ContractJudge at the bottom, which sits in a stand-in's front door and checks a whole test run.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import jsonschema_rs
from aiohttp import web

from accordant.testing.contract_documents import (
    FORM,
    DocumentUnreadable,
    Json,
    Operation,
    follow,
    iron,
    operations,
    read_document,
    server_prefixes,
)
from accordant.testing.contract_documents import pointer as json_pointer
from accordant.testing.contract_forms import coerce, unfold

__all__ = [
    "ContractJudge",
    "ContractMissing",
    "DocumentUnreadable",
    "Specification",
    "Violation",
    "find_contracts",
    "load_specification",
]

_BASE = "urn:accordant:contract"
_MESSAGE_CHARS_MAX = 400
_UNREADABLE = object()


@dataclass(frozen=True, slots=True)
class Violation:
    """One place where a message breaks its contract. ``where`` reads like ``body.items[0].price`` or ``path``."""

    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


class ContractMissing(LookupError):
    """The contract has no schema of that name."""


def find_contracts() -> Path | None:
    """Folder of vendors' documents, or ``None`` where this machine has none.

    ``ACCORDANT_CONTRACTS`` wins; else ``../shared/contracts`` beside the repository root (the nearest parent of the
    working directory with a pyproject.toml). Raises ``FileNotFoundError`` when the variable names no folder: a typing
    error must not turn contract tests into skipped ones.
    """
    # The test kit runs without a hub, so there are no Settings to ask.
    named = os.environ.get("ACCORDANT_CONTRACTS")  # noqa: TID251
    if named:
        if not Path(named).is_dir():
            raise FileNotFoundError(f"ACCORDANT_CONTRACTS names {named}, which is no folder: correct or unset it")
        return Path(named)
    here = Path.cwd()
    for parent in (here, *here.parents):
        if (parent / "pyproject.toml").is_file():
            folder = parent.parent / "shared" / "contracts"
            return folder if folder.is_dir() else None
    return None


def load_specification(
    path: Path, *, prefix: str | None = None, null_is_absent: bool = False, check_formats: bool = True
) -> Specification:
    """Load one OpenAPI 3 or Swagger 2 document, JSON or YAML, plain or ``.gz``. Loaded once per process and options.

    ``prefix`` replaces the servers' path prefixes; ``{name}`` stands for one segment (Salesforce lists no server:
    ``/services/data/{version}``). ``null_is_absent`` drops null members of answers before the check, for vendors who
    send null where their document says string (Salesforce). ``check_formats=False`` ignores ``format``, for vendors
    whose stamps are not RFC 3339 (Salesforce again). Raises ``DocumentUnreadable`` when the file is no API
    document.
    """
    return _load(path.resolve(), prefix, null_is_absent=null_is_absent, check_formats=check_formats)


@lru_cache(maxsize=32)
def _load(path: Path, prefix: str | None, *, null_is_absent: bool, check_formats: bool) -> Specification:
    document = read_document(path)
    if not isinstance(document.get("paths"), dict):
        raise DocumentUnreadable(f"{path.name} is no OpenAPI 3 or Swagger 2 document: it lists no paths")
    return Specification(
        document, prefix=prefix, null_is_absent=null_is_absent, check_formats=check_formats, name=path.name
    )


class Specification:
    """One vendor's contract. Not bound to a loop or a thread; validators are compiled on first use and kept."""

    def __init__(
        self,
        document: dict[str, Any],
        *,
        name: str = "contract",
        prefix: str | None = None,
        null_is_absent: bool = False,
        check_formats: bool = True,
    ) -> None:
        """Takes the document over and changes it: hand in a copy if you need it afterwards."""
        self.name = name
        self._document = iron(document)
        self._null_is_absent = null_is_absent
        self._check_formats = check_formats
        self._prefixes = [
            re.compile(_pattern(one.rstrip("/")))
            for one in ((prefix,) if prefix is not None else server_prefixes(self._document))
        ]
        self._routes = _Routes(operations(self._document))
        self._registry = jsonschema_rs.Registry([(_BASE, self._document)], draft=jsonschema_rs.Draft7)
        self._validators: dict[str, jsonschema_rs.Draft7Validator] = {}

    def check_request(
        self, method: str, path: str, *, content_type: str | None = None, body: bytes = b"", query: str = ""
    ) -> tuple[Violation, ...]:
        """Everything wrong with one request; an empty tuple means it keeps the contract.

        ``path`` may carry the query after ``?``. Without ``content_type`` the first type the contract names is assumed.
        JSON and urlencoded forms are read; of other types only the content type itself is checked.
        """
        path, _, inline = path.partition("?")
        operation = self._find(method, path)
        if isinstance(operation, Violation):
            return (operation,)
        return (
            *self._check_query(operation, query or inline),
            *self._check_body(operation, content_type, body),
        )

    def check_response(
        self, method: str, path: str, status: int, *, content_type: str = "application/json", body: bytes = b""
    ) -> tuple[Violation, ...]:
        """Everything wrong with one answer to that request. The status may be listed itself, as ``4XX`` or default."""
        operation = self._find(method, path.partition("?")[0])
        if isinstance(operation, Violation):
            return (operation,)
        answers = operation.answers
        known = next((key for key in (str(status), f"{status // 100}XX", "default") if key in answers), None)
        if known is None:
            return (Violation("status", f"{operation.method} {operation.template} does not list status {status}"),)
        if not body:
            return ()
        if not answers[known]:
            found = f"{operation.method} {operation.template} lists no body for status {status}, {len(body)} bytes came"
            return (Violation("body", found),) if status in (204, 205, 304) else ()
        kind = _bare(content_type)
        declared = _declared(kind, answers[known])
        if declared is None:
            return (Violation("content_type", f"{kind} is not among {', '.join(answers[known])}"),)
        value = _decode(kind, body)
        if value is _UNREADABLE:
            return (Violation("body", f"the answer is no valid {kind}"),)
        value = _without_nulls(value) if self._null_is_absent else value
        return self._judge("body", answers[known][declared], value)

    def schema_validator(self, name: str) -> jsonschema_rs.Draft7Validator:
        """Compiled validator of one named schema (components, or definitions in Swagger 2).

        Raises ``ContractMissing`` when the contract has no schema of that name.
        """
        place = ("definitions",) if "swagger" in self._document else ("components", "schemas")
        node: Any = self._document
        for step in (*place, name):
            node = node.get(step) if isinstance(node, dict) else None
        if node is None:
            raise ContractMissing(f"{self.name} has no schema named {name}")
        return self._validator(json_pointer(*place, name))

    def check_schema(self, name: str, value: Json) -> tuple[Violation, ...]:
        """Everything wrong with a decoded JSON value by one named schema. Raises ``ContractMissing``."""
        value = _without_nulls(value) if self._null_is_absent else value
        return _violations(self.schema_validator(name), "body", value)

    def _validator(self, place: str) -> jsonschema_rs.Draft7Validator:
        found = self._validators.get(place)
        if found is None:
            # The pointer travels as a URI fragment: path templates hold braces, which must be escaped.
            fragment = "".join(
                char if char.isalnum() or char in "/~._-" else "".join(f"%{byte:02X}" for byte in char.encode())
                for char in place
            )
            found = jsonschema_rs.Draft7Validator(
                {"$ref": f"{_BASE}#{fragment}"}, registry=self._registry, validate_formats=self._check_formats
            )
            self._validators[place] = found
        return found

    def _find(self, method: str, path: str) -> Operation | Violation:
        listed: set[str] = set()
        for prefix in self._prefixes:
            matched = prefix.match(path)
            if matched is None:
                continue
            found = self._routes.find(path[matched.end() :] or "/")
            if method.upper() in found:
                return found[method.upper()]
            listed |= set(found)
        if listed:
            return Violation("method", f"{method.upper()} is not listed for {path}, only {', '.join(sorted(listed))}")
        return Violation("path", f"{self.name} lists no path like {path}")

    def _check_query(self, operation: Operation, query: str) -> tuple[Violation, ...]:
        try:
            tree = unfold(query, operation.literal_query_names)
        except ValueError as problem:
            return (Violation("query", str(problem)),)
        schema = follow(self._document, {"$ref": "#" + operation.query})
        return self._judge("query", operation.query, coerce(self._document, tree, schema))

    def _check_body(self, operation: Operation, content_type: str | None, body: bytes) -> tuple[Violation, ...]:
        if not body:
            missing = Violation("body", f"{operation.method} {operation.template} requires a body, none was sent")
            return (missing,) if operation.body_required else ()
        if not operation.bodies:
            return (Violation("body", f"{operation.method} {operation.template} takes no body, one was sent"),)
        kind = _bare(content_type) if content_type else next(iter(operation.bodies))
        declared = _declared(kind, operation.bodies)
        if declared is None:
            return (Violation("content_type", f"{kind} is not among {', '.join(operation.bodies)}"),)
        place = operation.bodies[declared]
        try:
            value = unfold(body.decode()) if kind == FORM else _decode(kind, body)
        except ValueError as problem:
            return (Violation("body", str(problem)),)
        if value is _UNREADABLE:
            return (Violation("body", f"the request is no valid {kind}"),)
        if kind == FORM and place is not None:
            value = coerce(self._document, value, follow(self._document, {"$ref": "#" + place}))
        return self._judge("body", place, value)

    def _judge(self, where: str, place: str | None, value: Json) -> tuple[Violation, ...]:
        if place is None or isinstance(value, bytes):
            return ()
        return _violations(self._validator(place), where, value)


class _Routes:
    """Path templates as a tree of segments; a literal segment wins over a parameter."""

    def __init__(self, listed: Iterable[Operation]) -> None:
        self._root = _Node()
        for operation in listed:
            node = self._root
            for segment in operation.template.split("#")[0].strip("/").split("/"):
                node = node.literals.setdefault(segment, _Node()) if "{" not in segment else node.grow(segment)
            node.operations[operation.method] = operation

    def find(self, path: str) -> dict[str, Operation]:
        """Operations of the best template that matches, by method; empty when none does."""
        return self._root.find(path.strip("/").split("/"))


class _Node:
    def __init__(self) -> None:
        self.operations: dict[str, Operation] = {}
        self.literals: dict[str, _Node] = {}
        self.parameters: dict[str, tuple[re.Pattern[str], _Node]] = {}

    def grow(self, segment: str) -> _Node:
        pattern = _pattern(segment)
        return self.parameters.setdefault(pattern, (re.compile(pattern), _Node()))[1]

    def find(self, segments: list[str]) -> dict[str, Operation]:
        if not segments:
            return self.operations
        merged: dict[str, Operation] = {}
        if segments[0] in self.literals:
            merged = dict(self.literals[segments[0]].find(segments[1:]))
        for pattern, child in self.parameters.values():
            if pattern.fullmatch(segments[0]):
                merged = {**child.find(segments[1:]), **merged}
        return merged


def _pattern(template: str) -> str:
    parts = re.split(r"\{[^}]*\}", template)
    return r"[^/]+".join(re.escape(part) for part in parts)


def _bare(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _declared(kind: str, listed: dict[str, str | None]) -> str | None:
    """The listed type that covers this one: itself, its ``+json`` base, or a wildcard."""
    family = f"{kind.partition('/')[0]}/*"
    plain = {_bare(one): one for one in reversed(listed)}
    alternatives = [kind, "application/json" if kind.endswith("+json") else kind, family, "*/*"]
    return next((plain[one] for one in alternatives if one in plain), None)


def _decode(kind: str, body: bytes) -> Json:
    """JSON to a value; types we cannot read come back as bytes and are not judged further."""
    if kind != "application/json" and not kind.endswith("+json"):
        return body
    try:
        return json.loads(body)
    except ValueError:
        return _UNREADABLE


def _without_nulls(value: Json) -> Json:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def _violations(validator: jsonschema_rs.Draft7Validator, where: str, value: Json) -> tuple[Violation, ...]:
    if validator.is_valid(value):
        return ()
    return tuple(_violation(where, error) for error in validator.iter_errors(value))


def _violation(where: str, error: jsonschema_rs.ValidationError) -> Violation:
    """Name the deepest cause: of a choice of shapes, the branch that failed furthest inside is the one meant."""
    kind = error.kind
    if isinstance(kind, jsonschema_rs.ValidationErrorKind.AnyOf | jsonschema_rs.ValidationErrorKind.OneOfNotValid):
        deeper = [inner for branch in kind.context for inner in branch]
        best = max(deeper, key=lambda inner: len(inner.instance_path), default=None)
        if best is not None and len(best.instance_path) > len(error.instance_path):
            return _violation(where, best)
    steps = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.instance_path)
    message = error.message
    short = message if len(message) <= _MESSAGE_CHARS_MAX else message[: _MESSAGE_CHARS_MAX - 1] + "…"
    return Violation(where + steps, short)


_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _Middleware(Protocol):
    """The shape aiohttp asks of a middleware: its handler argument is passed by name or by place."""

    def __call__(self, request: web.Request, handler: _Handler) -> Awaitable[web.StreamResponse]: ...


class ContractJudge:
    """Checks every request and answer that passes a stand-in, and keeps what it found.

    Put ``judge.middleware`` into the stand-in's ``web.Application``; end the test with ``judge.verify()``, which fails
    on any violation and also when nothing was checked. Paths under ``skip`` (control doors such as ``/_sim``, or
    operations the contract lacks) are counted in ``skipped``. A request the stand-in refuses (4xx) is expected to be
    wrong: then only the answer is judged.
    """

    def __init__(self, specification: Specification, *, skip: tuple[str, ...] = ("/_sim",)) -> None:
        self.specification = specification
        self.violations: list[tuple[str, Violation]] = []
        self.checked = 0
        self.skipped = 0
        self._skip = skip

    @property
    def middleware(self) -> _Middleware:
        """An aiohttp.web middleware that records and passes on; it changes nothing."""

        @web.middleware
        async def judge(request: web.Request, handler: _Handler) -> web.StreamResponse:
            body = await request.read()
            try:
                answer = await handler(request)
            except web.HTTPException as raised:
                # aiohttp's own refusals (404, 405, 413) are answers too, and their shape counts.
                answer = raised
            content = answer.body if isinstance(answer, web.Response) and isinstance(answer.body, bytes) else b""
            self.record(
                request.method,
                request.rel_url.raw_path,
                query=request.rel_url.raw_query_string,
                request_type=request.headers.get("Content-Type"),
                request_body=body,
                status=answer.status,
                answer_type=answer.headers.get("Content-Type", ""),
                answer_body=content,
            )
            if isinstance(answer, web.HTTPException):
                raise answer
            return answer

        return judge

    def record(
        self,
        method: str,
        path: str,
        *,
        query: str = "",
        request_type: str | None = None,
        request_body: bytes = b"",
        status: int,
        answer_type: str = "application/json",
        answer_body: bytes = b"",
    ) -> None:
        """Judge one exchange, for servers that are not aiohttp. Bodies as on the wire, uncompressed."""
        if path.startswith(self._skip):
            self.skipped += 1
            return
        self.checked += 1
        found: list[Violation] = []
        if status < 400 or status >= 500:
            found += self.specification.check_request(
                method, path, content_type=request_type, body=request_body, query=query
            )
        found += self.specification.check_response(method, path, status, content_type=answer_type, body=answer_body)
        self.violations += [(f"{method} {path} -> {status}", violation) for violation in dict.fromkeys(found)]

    def verify(self) -> None:
        """Raise ``AssertionError`` when any exchange broke the contract, or when none was seen at all."""
        if not self.checked:
            raise AssertionError(
                f"the judge of {self.specification.name} saw no exchange: is its middleware installed?"
            )
        if self.violations:
            lines = "\n".join(f"  {exchange}: {violation}" for exchange, violation in self.violations[:20])
            raise AssertionError(f"{len(self.violations)} violations of {self.specification.name}:\n{lines}")
