"""Dead letters by error pattern: which stories they tell, what a person called each, and what helped the last time.

A pattern is chosen by its key or its name; describing one is how a lesson comes back to whoever meets it next
(requirement 142). Next: `redrive.py`, which puts the letters of a pattern back.
"""

from collections.abc import Mapping
from datetime import datetime

import msgspec

from accordant.canonical.error_patterns import ErrorPattern, KnownPattern, pattern_of
from accordant.kernel.errors import RejectedError
from accordant.ports.audit import AuditEntry
from accordant.ports.patterns import PatternBook
from accordant.ports.redrive import DeadLetters

#: Dead letters looked through for one pattern.
LETTERS_MAX = 10_000
NAME_LENGTH_MAX = 80
REMEDY_LENGTH_MAX = 500


class LetterGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Dead letters of one pattern at one place. ``reason`` is that of the first, whole; ``known`` what people said."""

    where: str
    reason: str
    count: int
    ids: tuple[str, ...]
    pattern: ErrorPattern
    known: KnownPattern | None = None


class PatternUnknown(RejectedError):
    """No dead letter tells of this pattern."""

    remedy = "Run `accordant patterns list` for those there are."


def find_letters(
    *, letters: DeadLetters, known: Mapping[str, KnownPattern] | None = None, text: str = "", pattern: str = ""
) -> tuple[LetterGroup, ...]:
    """Dead letters, grouped by place and pattern, the largest group first.

    ``text`` narrows them to those whose reason, name or place holds it (any case), ``pattern`` to the pattern with this
    key or name.
    """
    described = known or {}
    groups: dict[tuple[str, ErrorPattern], list[tuple[str, str]]] = {}
    for where, found, name, reason, told in _told(letters):
        one = described.get(found.key)
        chosen = not pattern or pattern == found.key or (one is not None and pattern.casefold() == one.name.casefold())
        if chosen and text.casefold() in told.casefold():
            groups.setdefault((where, found), []).append((name, reason))
    made = [
        LetterGroup(
            where=where,
            reason=members[0][1],
            count=len(members),
            ids=tuple(name for name, _ in members),
            pattern=found,
            known=described.get(found.key),
        )
        for (where, found), members in groups.items()
    ]
    return tuple(sorted(made, key=lambda group: (-group.count, group.where, group.pattern.text)))


def _told(letters: DeadLetters) -> list[tuple[str, ErrorPattern, str, str, str]]:
    """Of each dead letter: its place, pattern, name, reason, and all that tells of it."""
    told = []
    for intent in letters.dead_intents(limit=LETTERS_MAX):
        found = pattern_of(intent.reason, system=intent.target, code=intent.code)
        where = f"write to {intent.target}, flow {intent.flow}"
        told.append(
            (where, found, intent.id, intent.reason, f"{intent.reason} {intent.record} {intent.flow} {intent.id}")
        )
    for event in letters.stuck_events(limit=LETTERS_MAX):
        name = f"event/{event.seq}"
        found = pattern_of(event.reason, system=event.connection)
        where = f"{event.state} event of {event.connection}, {event.event_type}"
        words = f"{event.reason} {event.event_type} {event.connection} {event.state} {name}"
        told.append((where, found, name, event.reason, words))
    return told


def describe_pattern(
    key: str, *, name: str, remedy: str, actor: str, letters: DeadLetters, book: PatternBook, now: datetime
) -> KnownPattern:
    """Give a pattern a name and say what helps; what was said before is replaced, and stays in the trail.

    Raises PatternUnknown for a key that neither a dead letter nor the book knows, NameTaken, and RejectedError without
    a name, a remedy or a person.
    """
    called, helps, who = name.strip(), remedy.strip(), actor.strip()
    if not who or not 1 <= len(called) <= NAME_LENGTH_MAX or not 1 <= len(helps) <= REMEDY_LENGTH_MAX:
        raise RejectedError(
            "A pattern is described by a named person, with a name and a remedy.",
            remedy=f"Use up to {NAME_LENGTH_MAX} characters for the name and {REMEDY_LENGTH_MAX} for the remedy.",
        )
    before = book.known().get(key)
    text = before.text if before is not None else _text_of(key, letters)
    described = KnownPattern(key=key, text=text, name=called, remedy=helps, named_by=who, named_at=now)
    entry = AuditEntry(
        kind="operations.pattern.described",
        actor=who,
        subject=f"pattern/{key}",
        cause=None,
        at=now,
        body={"name": called, "remedy": helps, "text": text},
    )
    book.describe(described, entry=entry)
    return described


def _text_of(key: str, letters: DeadLetters) -> str:
    for group in find_letters(letters=letters, pattern=key):
        if group.pattern.key == key:
            return group.pattern.text
    raise PatternUnknown(f"No dead letter is of the pattern {key[:40]!r}.")
