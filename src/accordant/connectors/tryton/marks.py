"""How a party carries our key: in an identifier of its own, since Tryton never changes the code of a party it has.
Guarantees that a party which was there before us keeps its number, and that a mark says whose it is whatever its code.
Next: parties.py, which sets marks, and lookups.py, which finds customers by them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from accordant.connectors.tryton.wire import Json

#: An identifier that begins so is ours; behind it stands the key, or nothing: then the party is no customer of ours.
MARK = "accordant:"
#: What has to be read of a party for its key; below another record with the name of its field before it.
KEY_FIELDS = ("code", "identifiers.code")
#: Also what was archived: a search leaves that out otherwise.
ARCHIVED_TOO = ["active", "in", [True, False]]


def mark_of(key: str) -> str:
    """The identifier that says whose a party is."""
    return f"{MARK}{key}"


def key_in(mark: str) -> str | None:
    """The key in a mark; None in one that says the party is nobody's."""
    return mark.removeprefix(MARK) or None


def marks_in(row: Mapping[str, Json]) -> list[Mapping[str, Json]]:
    """The identifiers of a party that are ours, in its own order. What was archived by a merge is not among them."""
    return [one for one in row.get("identifiers.") or () if str(one["code"]).startswith(MARK)]


def key_of(row: Mapping[str, Json]) -> str | None:
    """The key that a party was given; None where it was given none, or lost it."""
    marks = marks_in(row)
    return key_in(marks[0]["code"]) if marks else None


def carries(row: Mapping[str, Json], key: str) -> bool:
    """Whether a party is this customer's: by its mark, or by its code where nobody has marked it."""
    return key_of(row) == key if marks_in(row) else row["code"] == key


def named(row: Mapping[str, Json]) -> str:
    """What a document calls a party: its key, or its number where it is none of ours."""
    return key_of(row) or str(row["code"])


def carrying(keys: Collection[str]) -> list[Json]:
    """The clause that finds the parties that may carry these keys."""
    return ["OR", ["code", "in", list(keys)], ["identifiers.code", "in", [mark_of(key) for key in keys]]]


def by_key(rows: Iterable[dict[str, Json]], keys: Collection[str]) -> dict[str, dict[str, Json]]:
    """Each key with the party that carries it: a marked one before one that only has the code, then the older one."""
    found: dict[str, dict[str, Json]] = {}
    for row in sorted(rows, key=lambda row: (not marks_in(row), row["id"])):
        for key in keys:
            if key not in found and carries(row, key):
                found[key] = row
    return found
