"""Form bodies of the Stripe stand-in: `items[0][price]=..` unfolded to a tree, and its words read as what they mean.

Refusals carry the parameter's name in Stripe's own notation.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from accordant.connectors.stripe.simulator_state import SimulatedRefusal

_PARTS = re.compile(r"\[([^\]]*)\]")
DEPTH_MAX = 8
_TRUE_WORDS = {"true": True, "false": False}


def unfold(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """The tree of a nested form: numbered keys become lists in the order of their numbers."""
    tree: dict[str, Any] = {}
    for name, value in pairs:
        head, *rest = [name.split("[", 1)[0], *_PARTS.findall(name)]
        if len(rest) > DEPTH_MAX:
            raise SimulatedRefusal(400, f"Parameter nested too deeply: {name}", param=name)
        node, key = tree, head
        for part in rest:
            below = node.setdefault(key, {})
            if not isinstance(below, dict):
                raise SimulatedRefusal(400, f"Invalid object: {head}", param=head, code="parameter_invalid_object")
            node, key = below, part or str(len(below))
        node[key] = value
    return {key: _listed(value) for key, value in tree.items()}


def _listed(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if value and all(key.isdigit() for key in value):
        return [_listed(value[key]) for key in sorted(value, key=int)]
    return {key: _listed(entry) for key, entry in value.items()}


class Params:
    """What one request gave. An empty text unsets a field, as at Stripe, and reads as None."""

    def __init__(self, tree: Mapping[str, Any], prefix: str = "") -> None:
        self.tree = tree
        self._prefix = prefix

    def _named(self, name: str) -> str:
        return f"{self._prefix}[{name}]" if self._prefix else name

    def has(self, name: str) -> bool:
        return name in self.tree

    def text(self, name: str) -> str | None:
        value = self.tree.get(name)
        if value is not None and not isinstance(value, str):
            raise SimulatedRefusal(400, f"Invalid string: {self._named(name)}", param=self._named(name))
        return value or None

    def needed(self, name: str) -> str:
        value = self.text(name)
        if value is None:
            full = self._named(name)
            raise SimulatedRefusal(400, f"Missing required param: {full}.", code="parameter_missing", param=full)
        return value

    def integer(self, name: str) -> int | None:
        value = self.text(name)
        if value is None:
            return None
        if not re.fullmatch(r"-?\d{1,15}", value):
            full = self._named(name)
            raise SimulatedRefusal(400, f"Invalid integer: {value}", code="parameter_invalid_integer", param=full)
        return int(value)

    def flag(self, name: str) -> bool | None:
        value = self.text(name)
        if value is None:
            return None
        if value not in _TRUE_WORDS:
            raise SimulatedRefusal(400, f"Invalid boolean: {value}", param=self._named(name))
        return _TRUE_WORDS[value]

    def tables(self, name: str) -> list["Params"]:
        """A list of objects, each read like this one."""
        value = self.tree.get(name) or []
        if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
            raise SimulatedRefusal(400, f"Invalid array: {self._named(name)}", param=self._named(name))
        return [Params(entry, f"{self._named(name)}[{number}]") for number, entry in enumerate(value)]

    def table(self, name: str) -> "Params":
        value = self.tree.get(name) or {}
        if not isinstance(value, dict):
            raise SimulatedRefusal(400, "Invalid object", param=self._named(name), code="parameter_invalid_object")
        return Params(value, self._named(name))

    def words(self, name: str) -> list[str]:
        value = self.tree.get(name) or []
        return [value] if isinstance(value, str) else list(value)

    def metadata(self, held: Mapping[str, str]) -> dict[str, str]:
        """The held metadata with the given keys set, and those given as empty text removed."""
        if self.tree.get("metadata") == "":
            return {}
        merged = {**held, **self.table("metadata").tree}
        return {key: value for key, value in merged.items() if value != ""}
