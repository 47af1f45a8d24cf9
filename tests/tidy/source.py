"""The tree as the tidy tests read it: parsed modules, findings, and one way to report them.

Every finding names a file, a line and a rule. Rules are pure, so that test_planted.py can show each a violation.
"""

from __future__ import annotations

import ast
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "accordant"


@dataclass(frozen=True)
class Module:
    """One parsed file. ``path`` is relative to the repository; ``name`` is dotted, and empty outside src."""

    path: str
    name: str
    text: str
    tree: ast.Module

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """Every node of the tree: walking it costs more than any rule."""
        return tuple(ast.walk(self.tree))


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One place that breaks one rule."""

    path: str
    line: int
    rule: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.rule}"


Rule = Callable[[Module], Iterable[Finding]]


def parse(path: str, text: str) -> Module:
    """A module from its text; ``path`` decides its dotted name."""
    name = ""
    if path.startswith("src/"):
        name = path.removeprefix("src/").removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    return Module(path=path, name=name, text=text, tree=ast.parse(text, filename=path))


def modules(*folders: str) -> tuple[Module, ...]:
    """Every Python file below the folders, in a stable order."""
    return tuple(itertools.chain.from_iterable(map(modules_of, folders)))


@cache
def modules_of(folder: str) -> tuple[Module, ...]:
    """Every Python file below one folder, parsed once. Half a gigabyte: `conftest.py` lets it go again."""
    paths = sorted(path for path in (ROOT / folder).rglob("*.py") if "__pycache__" not in path.parts)
    return tuple(parse(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")) for path in paths)


def check(rule: Rule, *folders: str) -> None:
    """Apply a rule to every module below the folders and fail with all findings at once."""
    report(finding for module in modules(*folders) for finding in rule(module))


def report(findings: Iterable[Finding]) -> None:
    """Fail when there is any finding, one line each."""
    found = sorted(set(findings))
    if found:
        pytest.fail("\n" + "\n".join(map(str, found)), pytrace=False)


def functions(module: Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function and method, nested ones too."""
    return (node for node in module.nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def is_built() -> bool:
    """Whether the package is complete enough to be walked from its entry points."""
    return (PACKAGE / "cli" / "main.py").is_file() and (PACKAGE / "bootstrap.py").is_file()


def need_the_whole() -> None:
    """Fail when the package is not whole: a rule that sees nothing must not pass in silence."""
    if not is_built():
        pytest.fail("src/accordant/cli/main.py or src/accordant/bootstrap.py is missing.")
