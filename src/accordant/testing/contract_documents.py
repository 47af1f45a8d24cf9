"""Vendors' API documents made ready for JSON Schema: read, dialect ironed out, every operation listed.
Guarantees that what leaves here is one plain document whose schemas mean the same under Draft 7.
Next: contracts.py, which judges requests and answers by it.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import yaml

# A decoded JSON value: its schema, not its Python type, says what it is.
Json: TypeAlias = Any

FORM = "application/x-www-form-urlencoded"
METHODS = frozenset({"get", "put", "post", "patch", "delete", "head", "options"})
_QUERY_KEY = "x-accordant-query"
_FORM_KEY = "x-accordant-form"


class DocumentUnreadable(ValueError):
    """The file is no API document the checker can read."""


class _PlainLoader(yaml.CSafeLoader):
    """YAML as JSON people mean it: a bare ``=`` is text (Zendesk has one) and a date stays text."""


_PlainLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":timestamp", ":value"))]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


@dataclass(frozen=True, slots=True)
class Operation:
    """One method on one path template, with JSON pointers to the schemas that apply to it.

    ``bodies`` and the values of ``answers`` map a content type to a pointer, or to ``None`` where the vendor
    names the type without a schema. ``answers`` is keyed by ``"200"``, ``"4XX"`` or ``"default"``.
    """

    method: str
    template: str
    query: str
    literal_query_names: frozenset[str]
    bodies: dict[str, str | None]
    body_required: bool
    answers: dict[str, dict[str, str | None]]


def read_document(path: Path) -> dict[str, Any]:
    """Read one JSON or YAML file, plain or gzip'd.

    Raises ``DocumentUnreadable`` when the file holds no object.
    """
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    name = path.name.removesuffix(".gz")
    # A vendor's file, in tests only, through a CSafeLoader with two resolvers fewer; the charter's rules do not fit it.
    document = json.loads(raw) if name.endswith(".json") else yaml.load(raw, Loader=_PlainLoader)  # noqa: S506, TID251
    if not isinstance(document, dict):
        raise DocumentUnreadable(f"{path.name} holds no API document: its outermost value is {type(document).__name__}")
    return document


def iron(node: Json) -> Json:
    """Rewrite OpenAPI's own schema words into JSON Schema, in place, and return the node.

    ``nullable`` becomes a type list (or one more branch), boolean ``exclusiveMinimum`` a number,
    ``type: file`` no constraint, and draft-3 style boolean ``required`` on a schema is dropped.
    """
    if isinstance(node, list):
        node[:] = [iron(item) for item in node]
        return node
    if not isinstance(node, dict):
        return node
    for key, value in node.items():
        node[key] = iron(value)
    _iron_bounds(node)
    if node.get("type") == "file":
        del node["type"]
    if isinstance(node.get("required"), bool) and "in" not in node and ("type" in node or "properties" in node):
        del node["required"]
    if node.get("nullable") is True or node.get("x-nullable") is True:
        return _iron_nullable(node)
    return node


def _iron_bounds(node: dict[str, Any]) -> None:
    for exclusive, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        flag = node.get(exclusive)
        if isinstance(flag, bool):
            del node[exclusive]
            if flag and bound in node:
                node[exclusive] = node.pop(bound)


def _iron_nullable(node: dict[str, Any]) -> dict[str, Any]:
    node.pop("nullable", None)
    node.pop("x-nullable", None)
    if isinstance(node.get("enum"), list) and None not in node["enum"]:
        node["enum"] = [*node["enum"], None]
    kind = node.get("type")
    if isinstance(kind, str):
        node["type"] = [kind, "null"]
    for word in ("anyOf", "oneOf"):
        if isinstance(node.get(word), list):
            node[word] = [*node[word], {"type": "null"}]
            return node
    if "$ref" in node or "allOf" in node:
        return {"anyOf": [{key: value for key, value in node.items() if key != "type"}, {"type": "null"}]}
    return node


def pointer(*steps: str) -> str:
    """Join steps to a JSON pointer, escaped by RFC 6901."""
    return "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in steps)


def follow(document: dict[str, Any], node: Json) -> Json:
    """Follow local ``$ref`` chains from a node; a node without one comes back as it is.

    Raises ``ValueError`` on a reference out of the document or a chain longer than 50.
    """
    for _ in range(50):
        if not isinstance(node, dict) or not isinstance(node.get("$ref"), str):
            return node
        reference = node["$ref"]
        if not reference.startswith("#/"):
            raise ValueError(f"the reference {reference} leaves the document")
        node = document
        for step in reference[2:].split("/"):
            node = node[step.replace("~1", "/").replace("~0", "~")]
    raise ValueError("a chain of references is longer than 50")


def server_prefixes(document: dict[str, Any]) -> tuple[str, ...]:
    """Path part of every server (or the Swagger 2 base path), longest first, without a trailing slash."""
    prefixes = {document["basePath"].rstrip("/")} if isinstance(document.get("basePath"), str) else set()
    for server in document.get("servers") or ():
        # A templated host such as {site}.{environment}:{port} is no valid authority: replace before splitting.
        path = urlsplit(re.sub(r"^\{[^/]*?\}://|^https?://", "http://", server["url"]).replace("{port}", "1")).path
        prefixes.add(path.rstrip("/"))
    return tuple(sorted(prefixes or {""}, key=len, reverse=True))


def operations(document: dict[str, Any]) -> Iterator[Operation]:
    """List every operation. Adds one made-up schema for its query, and one for a Swagger 2 form, to the document."""
    for template, item in document.get("paths", {}).items():
        shared = item.get("parameters", [])
        for method, operation in item.items():
            if method in METHODS and isinstance(operation, dict):
                by_name = {}
                for raw in [*shared, *operation.get("parameters", [])]:
                    parameter = follow(document, raw)
                    by_name[(parameter["name"], parameter["in"])] = parameter
                yield _operation(document, template, method, list(by_name.values()))


def _operation(document: dict[str, Any], template: str, method: str, parameters: list[dict[str, Any]]) -> Operation:
    operation = document["paths"][template][method]
    at = ("paths", template, method)
    query = [parameter for parameter in parameters if parameter["in"] == "query"]
    operation[_QUERY_KEY] = _object_schema(document, query)
    for scheme in _security_schemes(document):
        if scheme.get("type") == "apiKey" and scheme.get("in") == "query":
            operation[_QUERY_KEY]["properties"].setdefault(scheme["name"], {"type": "string"})
    if "swagger" in document:
        bodies, required = _swagger_bodies(document, operation, at, parameters)
    else:
        bodies, required = _bodies(document, operation, at)
    return Operation(
        method=method.upper(),
        template=template,
        query=pointer(*at, _QUERY_KEY),
        literal_query_names=frozenset(parameter["name"] for parameter in query if "[" in parameter["name"]),
        bodies=bodies,
        body_required=required,
        answers=_answers(document, operation, at),
    )


def _security_schemes(document: dict[str, Any]) -> list[dict[str, Any]]:
    schemes = document.get("components", {}).get("securitySchemes") or document.get("securityDefinitions") or {}
    return [follow(document, scheme) for scheme in schemes.values()]


def _object_schema(document: dict[str, Any], parameters: list[dict[str, Any]]) -> dict[str, Any]:
    properties = {}
    for parameter in parameters:
        if "swagger" in document:
            words = {"type", "format", "enum", "items", "minimum", "maximum", "minLength", "maxLength", "pattern"}
            properties[parameter["name"]] = {word: parameter[word] for word in words if word in parameter}
        else:
            properties[parameter["name"]] = parameter.get("schema", {})
    required = [parameter["name"] for parameter in parameters if parameter.get("required") is True]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _bodies(
    document: dict[str, Any], operation: dict[str, Any], at: tuple[str, ...]
) -> tuple[dict[str, str | None], bool]:
    body = operation.get("requestBody") or {}
    base = (*at, "requestBody")
    if "$ref" in body:
        base = tuple(body["$ref"].removeprefix("#/").split("/"))
        body = follow(document, body)
    bodies: dict[str, str | None] = {}
    for content_type, media in body.get("content", {}).items():
        bodies[content_type.lower()] = pointer(*base, "content", content_type, "schema") if "schema" in media else None
        if content_type.lower() == FORM:
            _close(media.get("schema", {}))
    return bodies, body.get("required") is True


def _close(schema: dict[str, Any]) -> None:
    """A form that lists its names refuses others at every depth: Stripe closes only the outermost level in writing."""
    if schema.get("additionalProperties") is not False:
        return
    waiting: list[Any] = [schema]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting.extend(node)
        elif isinstance(node, dict) and "$ref" not in node:
            if node.get("properties") and "additionalProperties" not in node:
                node["additionalProperties"] = False
            waiting.extend(node.get("properties", {}).values())
            waiting.extend(node[word] for word in ("items", "anyOf", "oneOf", "allOf") if word in node)


def _swagger_bodies(
    document: dict[str, Any], operation: dict[str, Any], at: tuple[str, ...], parameters: list[dict[str, Any]]
) -> tuple[dict[str, str | None], bool]:
    consumes = operation.get("consumes") or document.get("consumes") or []
    fields = [parameter for parameter in parameters if parameter["in"] == "formData"]
    if fields:
        operation[_FORM_KEY] = _object_schema(document, fields)
        types = [kind.lower() for kind in consumes] or [FORM]
        return dict.fromkeys(types, pointer(*at, _FORM_KEY)), bool(operation[_FORM_KEY]["required"])
    for parameter in parameters:
        if parameter["in"] == "body":
            operation[_FORM_KEY] = parameter.get("schema", {})
            types = [kind.lower() for kind in consumes] or ["application/json"]
            return dict.fromkeys(types, pointer(*at, _FORM_KEY)), parameter.get("required") is True
    return {}, False


def _answers(
    document: dict[str, Any], operation: dict[str, Any], at: tuple[str, ...]
) -> dict[str, dict[str, str | None]]:
    answers: dict[str, dict[str, str | None]] = {}
    produces = operation.get("produces") or document.get("produces") or ["application/json"]
    for status, raw in operation.get("responses", {}).items():
        base = (*at, "responses", str(status))
        if "$ref" in raw:
            base = tuple(raw["$ref"].removeprefix("#/").split("/"))
        answer = follow(document, raw)
        if "swagger" in document:
            place = pointer(*base, "schema") if "schema" in answer else None
            answers[str(status)] = {kind.lower(): place for kind in produces} if place else {}
            continue
        answers[str(status)] = {
            kind.lower(): pointer(*base, "content", kind, "schema") if "schema" in media else None
            for kind, media in (answer.get("content") or {}).items()
        }
    return answers
