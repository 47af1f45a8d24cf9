"""The command line and the documents agree: each command has help and a reference, none is invented."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from typing import Any

import pytest
from cyclopts import App

from tests.tidy.source import PACKAGE, ROOT, Finding, report
from tests.tidy.test_repository import code_of, documents

REFERENCE = "docs/reference/cli.md"


def commands(app: App, prefix: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], App]]:
    """Every command a person can type, with its words; flags and hidden ones left out."""
    for name in app:
        child = app[name]
        if name.startswith("-") or not child.show:
            continue
        yield (*prefix, name), child
        yield from commands(child, (*prefix, name))


def command_findings(app: App, reference: str) -> Iterator[Finding]:
    spans = {" ".join(code.split()) for _, code in code_of(reference)}
    for words, command in commands(app):
        spoken = " ".join(("accordant", *words))
        if not str(command.help or "").strip():
            yield Finding("src/accordant/cli/main.py", 1, f"`{spoken}` has no help: give its function a docstring")
        if not any(f"{span} ".startswith(f"{spoken} ") for span in spans):
            yield Finding(REFERENCE, 1, f"`{spoken}` is missing in the reference")


@pytest.fixture(scope="module")
def app() -> Any:
    if not (PACKAGE / "cli" / "main.py").is_file():
        pytest.fail("src/accordant/cli/main.py is missing.")
    return importlib.import_module("accordant.cli.main").app


def test_every_command_has_help_and_is_in_the_reference(app: App) -> None:
    report(command_findings(app, (ROOT / REFERENCE).read_text(encoding="utf-8")))


def test_no_document_invents_a_command(app: App) -> None:
    first_words = {words[0] for words, _ in commands(app)}
    report(
        Finding(path, number, f"`accordant {word}` is no command")
        for path, text in documents().items()
        for number, code in code_of(text)
        for word in re.findall(r"(?:^|[\s$/])accordant ([a-z][\w-]*)", code)
        if word not in first_words
    )


def test_a_command_without_help_or_reference_is_found() -> None:
    planted = App(name="accordant")
    audit = App(name="audit", help="The audit trail.")
    planted.command(audit)
    audit.command(lambda: None, name="verify")
    audit.command(lambda: None, name="export", help="Write it out.")
    found = [
        finding.rule
        for finding in command_findings(planted, "Use `accordant audit` and `accordant audit export --json`.")
    ]
    assert found == [
        "`accordant audit verify` has no help: give its function a docstring",
        "`accordant audit verify` is missing in the reference",
    ]
