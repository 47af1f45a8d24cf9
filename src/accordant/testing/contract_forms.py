"""Form and query text turned into the tree a schema describes.
Guarantees that only the schema decides what a string becomes; what fits nothing stays text, so the check names it.
Next: contracts.py.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl

from accordant.testing.contract_documents import Json, follow

_INTEGER = re.compile(r"-?\d{1,40}")
_NUMBER = re.compile(r"-?\d{1,40}(\.\d{1,40})?([eE][+-]?\d{1,3})?")
_DEPTH_MAX = 40


class FormContradictory(ValueError):
    """One name of a form is both a value and an object."""


def unfold(text: str, literal: frozenset[str] = frozenset()) -> dict[str, Any]:
    """Unfold ``a[b][0][c]=v&d[]=w`` to nested dicts; ``[]`` appends, a name seen twice becomes a list.

    ``literal`` holds names whose brackets belong to the name. Numbered members stay dicts keyed by digits
    until a schema says they are an array. Raises ``FormContradictory`` when one name is both a value and an object.
    """
    tree: dict[str, Any] = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        head = name.split("[", 1)[0]
        steps = [name] if name in literal or "[" not in name else [head, *re.findall(r"\[([^\]]*)\]", name)]
        _place(tree, steps, value, name)
    return tree


def _place(tree: dict[str, Any], steps: list[str], value: str, name: str) -> None:
    node = tree
    for step in steps[:-1]:
        child = node.setdefault(step or str(len(node)), {})
        if not isinstance(child, dict):
            raise FormContradictory(f"{name} is used both as a value and as an object")
        node = child
    last = steps[-1] or str(len(node))
    held = node.get(last)
    if last not in node:
        node[last] = value
    elif isinstance(held, list):
        held.append(value)
    elif isinstance(held, dict):
        raise FormContradictory(f"{name} is used both as a value and as an object")
    else:
        node[last] = [held, value]


def coerce(document: dict[str, Any], value: Json, schema: Json, depth: int = 0) -> Json:
    """Give form text the types its schema asks for; text that fits no type is returned unchanged."""
    schema = follow(document, schema)
    if not isinstance(schema, dict) or depth > _DEPTH_MAX:
        return value
    for word in ("anyOf", "oneOf"):
        if word in schema:
            return _coerce_branch(document, value, schema[word], depth)
    for part in schema.get("allOf", ()):
        value = coerce(document, value, part, depth + 1)
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if isinstance(value, str):
        return _coerce_text(document, value, schema, kinds, depth)
    if isinstance(value, dict) and "array" in kinds and all(key.isdigit() for key in value):
        value = [value[key] for key in sorted(value, key=int)]
    if isinstance(value, list):
        return [coerce(document, item, schema.get("items", {}), depth + 1) for item in value]
    if isinstance(value, dict):
        named, rest = schema.get("properties", {}), schema.get("additionalProperties", {})
        return {key: coerce(document, item, named.get(key, rest), depth + 1) for key, item in value.items()}
    return value


def _coerce_text(document: dict[str, Any], value: str, schema: dict[str, Any], kinds: list[str], depth: int) -> Json:
    if value in schema.get("enum", ()):
        return value
    if "integer" in kinds and _INTEGER.fullmatch(value):
        return int(value)
    if "number" in kinds and _NUMBER.fullmatch(value):
        return float(value)
    if "boolean" in kinds and value in ("true", "false"):
        return value == "true"
    if "array" in kinds and "string" not in kinds:
        return [coerce(document, item, schema.get("items", {}), depth + 1) for item in value.split(",")]
    return value


def _coerce_branch(document: dict[str, Any], value: Json, branches: list[Any], depth: int) -> Json:
    for branch in branches:
        candidate = coerce(document, value, branch, depth + 1)
        if _fits(document, candidate, branch, depth):
            return candidate
    # Nothing fits: let the first branch of the same outer shape do its work, so that the finding is precise.
    for branch in branches:
        candidate = coerce(document, value, branch, depth + 1)
        if type(candidate) is not type(value) or isinstance(candidate, dict):
            return candidate
    return value


def _fits(document: dict[str, Any], value: Json, schema: Json, depth: int) -> bool:
    schema = follow(document, schema)
    if not isinstance(schema, dict) or depth > _DEPTH_MAX:
        return True
    for word in ("anyOf", "oneOf"):
        if word in schema:
            return any(_fits(document, value, branch, depth + 1) for branch in schema[word])
    if "enum" in schema and value not in schema["enum"]:
        return False
    kinds = schema.get("type")
    if kinds and not any(_is_kind(value, kind) for kind in ([kinds] if isinstance(kinds, str) else kinds)):
        return False
    if isinstance(value, dict):
        known = schema.get("properties", {})
        closed = schema.get("additionalProperties") is False or bool(known)
        return set(schema.get("required", ())) <= set(value) and (not closed or set(value) <= set(known))
    return True


def _is_kind(value: Json, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    kinds: dict[str, tuple[type, ...]] = {
        "string": (str,),
        "integer": (int,),
        "number": (int, float),
        "object": (dict,),
        "array": (list,),
        "null": (type(None),),
    }
    return isinstance(value, kinds.get(kind, ()))
