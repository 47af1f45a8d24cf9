"""The query language of QuickBooks' stand-in: the part that callers use, and nothing silently beside it.
Next: simulator_books.py, whose records are asked for.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import Any

from accordant.connectors.quickbooks.simulator_books import Refused
from accordant.connectors.sdk.plain_json import Row

_QUERY = re.compile(
    r"select\s+(?P<what>\*(?:\s*,\s*\w+)*|count\(\*\))\s+from\s+(?P<entity>\w+)(?:\s+where\s+(?P<where>.+?))?"
    r"(?:\s+order\s?by\s+(?P<field>[\w.]+)(?:\s+(?P<way>asc|desc))?)?"
    r"(?:\s+startposition\s+(?P<start>\d+))?(?:\s+maxresults\s+(?P<max>\d+))?",
    re.IGNORECASE | re.DOTALL,
)
_TEXT = r"'(?:[^'\\]|\\.)*'"
_TERM = re.compile(
    rf"\s*(?P<field>[\w.]+)\s*(?P<sign>=|<=|>=|<|>|like|in)\s*(?P<value>{_TEXT}|\([^)]*?\)|true|false)\s*(?:and\b|$)",
    re.IGNORECASE,
)
PAGE_MAX = 1_000


def answered(query: str, tables: dict[str, dict[str, Row]]) -> Row:
    """The answer to a query: the records it finds and where they stand, or their count. Raises Refused."""
    found = _QUERY.fullmatch(query.strip())
    if found is None or found["entity"] not in tables:
        raise Refused("4000", "Error parsing query", query[:80])
    entity, terms = found["entity"], _terms(found["where"] or "")
    names = {field.lower() for field, _, _ in terms}
    rows = [row for row in tables[entity].values() if all(_holds(row, *term) for term in terms)]
    if "active" not in names:
        rows = [row for row in rows if row.get("Active", True)]  # lists hide what was made inactive
    if found["what"].lower().startswith("count"):
        return {"totalCount": len(rows)}
    start, most = int(found["start"] or 1), int(found["max"] or 100)
    if start < 1 or most > PAGE_MAX:
        raise Refused("4001", "Invalid query", f"startposition {start} maxresults {most}")
    page = _ordered(rows, found["field"], (found["way"] or "asc").lower())[start - 1 :][:most]
    return {entity: page, "startPosition": start, "maxResults": len(page)} if page else {}


def _ordered(rows: list[Row], field: str | None, way: str) -> list[Row]:
    rows = sorted(rows, key=lambda row: int(row["Id"]))
    if field is None:
        return rows
    return sorted(rows, key=lambda row: _comparable(_value(row, field)), reverse=way == "desc")


def _comparable(value: Any) -> tuple[bool, Any]:
    return value is not None, value.casefold() if isinstance(value, str) else value


def _value(row: Row, field: str) -> Any:
    value: Any = row
    for step in field.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return value.get("value", value.get("Address")) if isinstance(value, dict) else value


def _terms(where: str) -> list[tuple[str, str, list[Any]]]:
    terms, at = [], 0
    while at < len(where):
        found = _TERM.match(where, at)
        if found is None:
            raise Refused("4000", "Error parsing query", where[at : at + 40])
        texts = [re.sub(r"\\(.)", r"\1", one[1:-1]) for one in re.findall(_TEXT, found["value"])]
        words: list[Any] = texts or [one == "true" for one in re.findall(r"true|false", found["value"].lower())]
        terms.append((found["field"], found["sign"].lower(), words))
        at = found.end()
    return terms


def _holds(row: Row, field: str, sign: str, wanted: list[Any]) -> bool:
    value = _value(row, field)
    if sign in {"=", "in"}:
        return any(_alike(value, one) for one in wanted)
    if value is None:
        return False
    if sign == "like":
        pattern = re.escape(wanted[0]).replace("%", ".*")
        return re.fullmatch(pattern, str(value), re.IGNORECASE) is not None
    left: Any = value if isinstance(value, Decimal) else str(value)
    right: Any = _number(wanted[0]) if isinstance(value, Decimal) else wanted[0]
    return bool({"<": left < right, ">": left > right, "<=": left <= right, ">=": left >= right}[sign])


def _alike(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, bool):
        return value is wanted
    return value is not None and str(value).casefold() == str(wanted).casefold()


def _number(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise Refused("4001", "Invalid query", text) from None
