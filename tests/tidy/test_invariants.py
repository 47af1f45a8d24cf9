"""Every invariant names the tests that hold it, on the page about reliability, and those tests exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from functools import cache

from tests.tidy.source import ROOT, Finding, report

PAGE = "docs/explanation/reliability.md"
HEADING = "## Invariants and the tests that hold them"
#: How many invariants each family of the design has.
FAMILIES = {"IN": 7, "OR": 7, "EF": 9, "GO": 5, "AU": 3, "RE": 8, "MO": 7}
IDS = tuple(f"{family}{number}" for family, count in FAMILIES.items() for number in range(1, count + 1))
#: Held by nothing yet, each with the reason. The list only ever shrinks.
OPEN: dict[str, str] = {}
_ROW = re.compile(r"\| (?P<id>[A-Z]{2}\d+) \| (?P<claim>[^|]+) \| (?P<tests>[^|]+) \|")
_TEST = re.compile(r"`(tests/[\w/.]+\.py)::(\w+)`")


def rows_of(page: str) -> Iterator[tuple[int, str, str, str]]:
    """Line, id, claim and tests of each row under the heading."""
    inside = False
    for number, line in enumerate(page.splitlines(), start=1):
        if line.startswith("## "):
            inside = line == HEADING
        elif inside and (found := _ROW.fullmatch(line.strip())):
            yield number, found["id"], found["claim"].strip(), found["tests"]


def findings(page: str, has: Callable[[str, str], bool], *, still_open: dict[str, str]) -> Iterator[Finding]:
    """What is missing: a row, a claim, a test in a row, or the test itself."""
    rows = list(rows_of(page))
    named = [identity for _, identity, _, _ in rows]
    for identity in IDS:
        if named.count(identity) != 1:
            yield Finding(PAGE, 1, f"{identity} has {named.count(identity)} rows under `{HEADING}`, expected one")
    for line, identity, claim, cell in rows:
        tests = _TEST.findall(cell)
        if identity not in IDS or len(claim) < 20:
            yield Finding(PAGE, line, f"{identity} is no invariant of the design, or says nothing")
        if not tests and identity not in still_open:
            yield Finding(PAGE, line, f"{identity} names no test: write one, or nobody knows that it holds")
        if tests and identity in still_open:
            yield Finding(PAGE, line, f"{identity} names a test: take it off the list of what is open")
        for path, name in tests:
            if not has(path, name):
                yield Finding(PAGE, line, f"{identity} names {path}::{name}, which does not exist")


@cache
def named_tests(path: str) -> frozenset[str]:
    """The test functions of a module."""
    file = ROOT / path
    if not file.is_file():
        return frozenset()
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return frozenset(one.name for one in ast.walk(tree) if isinstance(one, kinds) and one.name.startswith("test_"))


def test_every_invariant_names_tests_that_exist() -> None:
    page = (ROOT / PAGE).read_text(encoding="utf-8")
    report(findings(page, lambda path, name: name in named_tests(path), still_open=OPEN))


def test_a_bad_table_is_found() -> None:
    def page(**cells: str) -> str:
        rows = [f"| {one} | a claim that is long enough | {cells.get(one, '`tests/a.py::test_a`')} |" for one in IDS]
        return "\n".join([HEADING, *rows])

    def count(text: str, **still_open: str) -> int:
        return len(
            list(findings(text, lambda path, name: (path, name) == ("tests/a.py", "test_a"), still_open=still_open))
        )

    assert count(page()) == 0
    assert count(page(IN1="nothing yet")) == 1
    assert count(page(IN1="nothing yet"), IN1="why") == 0
    assert count(page(), IN1="why") == 1
    assert count(page(IN1="`tests/a.py::test_b`")) == 1
    assert count(page().replace("| IN1 |", "| IN9 |")) == 2
    assert count(page().replace(HEADING, "## Another heading")) == len(IDS)
