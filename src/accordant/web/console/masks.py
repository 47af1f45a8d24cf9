"""A raw body for reading: JSON laid out, with values that name or reach a person covered unless the reader asks.

Covers by the field's name and by the look of the value; the sealed bytes are never changed.
"""

import re
from typing import Any

import msgspec

COVER = "\N{BLACK CIRCLE}" * 6
SHOWN_CHARACTERS_MAX = 200_000
_PERSONAL = re.compile(
    r"(^|_)(name|email|phone|address|line1|line2|city|postal_code|street|ip|last4|fingerprint|description|tax_id)($|_)",
    re.IGNORECASE,
)
_EMAIL = re.compile(r"[^\s@<>\"']{1,64}@[^\s@<>\"']{1,190}")
_NAMES_THAT_NAME_THINGS = frozenset({"event_name", "plan_name", "product_name", "brand_name"})


def readable_body(body: bytes, *, reveal: bool) -> str:
    """The body as text. One that is no JSON is not shown covered at all: nobody knows what in it is personal."""
    try:
        decoded = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        if not reveal:
            return f"{len(body):,} bytes that are not JSON. Show personal values to see them as text."
        return body.decode("utf-8", "replace")[:SHOWN_CHARACTERS_MAX]
    shown = decoded if reveal else covered(decoded)
    text = msgspec.json.format(msgspec.json.encode(shown), indent=2).decode("utf-8", "replace")
    if len(text) > SHOWN_CHARACTERS_MAX:
        return f"{text[:SHOWN_CHARACTERS_MAX]}\n… {len(text) - SHOWN_CHARACTERS_MAX:,} characters more."
    return text


def covered(value: Any, *, personal: bool = False) -> Any:  # noqa: ANN401  any JSON
    """The same JSON with personal values covered."""
    match value:
        case dict():
            return {key: covered(item, personal=personal or _is_personal(str(key))) for key, item in value.items()}
        case list():
            return [covered(item, personal=personal) for item in value]
        case str() if personal and value:
            return COVER
        case str():
            return _EMAIL.sub(COVER, value)
        case _:
            return value


def _is_personal(key: str) -> bool:
    return key not in _NAMES_THAT_NAME_THINGS and _PERSONAL.search(key) is not None
