"""What is broken on purpose is still there to be broken, its test exists, and the page about reliability names both."""

from __future__ import annotations

import pytest

from tests.guards.broken import GUARDS, Guard
from tests.tidy.source import ROOT
from tests.tidy.test_invariants import IDS, PAGE, named_tests


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.name)
def test_a_guard_is_where_it_is_broken_and_its_test_exists(guard: Guard) -> None:
    assert (ROOT / guard.file).read_text(encoding="utf-8").count(guard.sound) == 1, "the sound text is there once"
    assert guard.broken != guard.sound
    assert guard.invariant in IDS
    path, _, name = guard.noticed_by.partition("::")
    assert name.rpartition("::")[2] in named_tests(path) | _of_suites(path)


def _of_suites(path: str) -> frozenset[str]:
    """Tests that a class of the module has from the suite it subclasses."""
    if "InboxSuite" not in (ROOT / path).read_text(encoding="utf-8"):
        return frozenset()
    return named_tests("src/accordant/testing/inbox_suite.py")


def test_the_page_names_every_guard_and_what_notices() -> None:
    page = (ROOT / PAGE).read_text(encoding="utf-8")
    rows = {line for line in page.splitlines() if line.startswith("| ")}
    missing = [
        guard.name for guard in GUARDS if f"| {guard.name} | {guard.invariant} | `{guard.noticed_by}` |" not in rows
    ]
    assert missing == []
