"""Recorded histories: what was said and what owners answered, kept as bytes, so that no change of ours can change them.

`effects.jsonl` beside them says what they led to when somebody last looked at it and agreed. Next: `replay.py`.
"""

from __future__ import annotations

import lzma
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from accordant.canonical.refs import ExternalRef
from tests.integration.pipeline.kit import Past, a_past, in_order

RECORD = Path(__file__).with_name("recorded.json.xz")
#: The past that was recorded: so many customers, each one history.
ACCOUNTS = 120
MONTHS = 5
SEED = 2026


class NotRecorded(AssertionError):
    """The code asks an owner for something it did not ask when the history was recorded."""


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """Deliveries in the order of their arrival, and every answer an owner gave, by name of the object."""

    ended_at: datetime
    bodies: tuple[bytes, ...]
    answers: dict[str, bytes]

    def answer(self, ref: ExternalRef) -> bytes:
        """The recorded answer. Raises: NotRecorded with the remedy."""
        found = self.answers.get(str(ref))
        if found is None:
            raise NotRecorded(f"{ref} was never asked for: if that is meant, run python -m tests.histories --record")
        return found


class Recorder:
    """An owner of whom every answer is written down."""

    def __init__(self, past: Past) -> None:
        self._past = past
        self.answers: dict[str, bytes] = {}

    def answer(self, ref: ExternalRef) -> bytes:
        self.answers[str(ref)] = self._past.answer(ref)
        return self.answers[str(ref)]


def a_new_past() -> Past:
    """What `--record` records."""
    return a_past(accounts=ACCOUNTS, months=MONTHS, seed=SEED)


def recorded_from(past: Past, answers: dict[str, bytes]) -> Recorded:
    """A past as it is kept."""
    return Recorded(ended_at=past.ended_at, bodies=tuple(in_order(past)), answers=answers)


def write(kept: Recorded, path: Path = RECORD) -> None:
    """Keep it, compressed."""
    content = {
        "ended_at": kept.ended_at.isoformat(),
        "bodies": [body.decode() for body in kept.bodies],
        "answers": {name: body.decode() for name, body in sorted(kept.answers.items())},
    }
    path.write_bytes(lzma.compress(msgspec.json.encode(content), preset=9 | lzma.PRESET_EXTREME))


def read(path: Path = RECORD) -> Recorded:
    """What is kept."""
    content = msgspec.json.decode(lzma.decompress(path.read_bytes()))
    return Recorded(
        ended_at=datetime.fromisoformat(content["ended_at"]).astimezone(UTC),
        bodies=tuple(body.encode() for body in content["bodies"]),
        answers={name: body.encode() for name, body in content["answers"].items()},
    )
