"""Two charters side by side: each setting that differs, with its place, what it was and what it is. Pure.

Lists whose items have names are compared by name, so that a flow that moved up is not called a change.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from accordant.canonical.charter import Charter
from accordant.governance.findings import place

#: What names an item of a list of groups: the first of these it has.
_NAMES = (("name",), ("entity", "object"), ("entity",))
_NOTHING = object()


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One setting that differs, as a charter spells it; ``before`` or ``after`` is None where it was not there."""

    where: str
    before: str | None
    after: str | None


def changes_between(before: Charter, after: Charter) -> tuple[Change, ...]:
    """Every difference, in the order of the charter."""
    return tuple(_differences(msgspec.to_builtins(before), msgspec.to_builtins(after), ""))


def _differences(before: Any, after: Any, where: str) -> Iterator[Change]:  # noqa: ANN401  whatever a charter may hold
    if before == after:
        return
    old, new = _by_name(before), _by_name(after)
    if old is not None and new is not None:
        for name in dict.fromkeys((*old, *new)):
            inner = f"{where}[{name}]" if isinstance(before, list | tuple) else place(where, name) if where else name
            yield from _differences(old.get(name, _NOTHING), new.get(name, _NOTHING), inner)
        return
    yield Change(where=where, before=_spelled(before), after=_spelled(after))


def _by_name(value: object) -> dict[str, Any] | None:
    """A group of settings, or a list of named groups, as names and values; None for anything else."""
    if isinstance(value, Mapping):
        return {str(name): item for name, item in value.items()}
    if not isinstance(value, list | tuple) or not all(isinstance(item, dict) for item in value):
        return None
    return _named(value)


def _named(items: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    for keys in _NAMES:
        if all(key in item for item in items for key in keys):
            found = {" to ".join(str(item[key]) for key in keys): item for item in items}
            return found if len(found) == len(items) else None
    return None


def _spelled(value: object) -> str | None:
    if value is _NOTHING:
        return None
    match value:
        case str():
            return value
        case bool() | None:
            return {True: "true", False: "false", None: "nothing"}[value]
        case list() | tuple():
            return "; ".join(_spelled(item) or "" for item in value) or "none"
        case Mapping():
            return ", ".join(f"{name}: {_spelled(item)}" for name, item in value.items()) or "none"
        case _:
            return str(value)
