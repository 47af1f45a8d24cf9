"""A raw body for reading: JSON laid out, with what is personal covered; the sealed bytes are never changed."""

import msgspec

from accordant.governance.sensitivity import Lens

SHOWN_CHARACTERS_MAX = 200_000


def readable_body(body: bytes, *, lens: Lens) -> str:
    """The body as text, as the audience of ``lens`` may see it.

    One that is no JSON is not shown at all: nobody knows what in it is personal.
    """
    try:
        decoded = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return f"{len(body):,} bytes that are not JSON: nobody can tell what in them is personal."
    text = msgspec.json.format(msgspec.json.encode(lens.json(decoded)), indent=2).decode("utf-8", "replace")
    if len(text) > SHOWN_CHARACTERS_MAX:
        return f"{text[:SHOWN_CHARACTERS_MAX]}\n… {len(text) - SHOWN_CHARACTERS_MAX:,} characters more."
    return text
