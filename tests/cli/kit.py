"""Runs the command line as its entry point does, beside stand-ins that live in the test's own event loop."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from accordant.cli.main import run
from accordant.demo.company import environment
from accordant.settings import Settings

WIDTH_MAX = 100


@dataclass(frozen=True)
class Said:
    """What one command came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Terminal:
    """A person at a terminal without colours: what is printed is kept, and never wider than promised."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys = capsys
        self._monkeypatch = monkeypatch
        for name in ("HOME", "CHARTER", "STORE", "HOST", "PORT", "CONSOLE_TOKEN", "TOKEN"):
            monkeypatch.delenv(f"ACCORDANT_{name}", raising=False)

    def use(self, settings: Settings) -> None:
        """Point the environment at an installation."""
        for name, value in environment().items():
            self._monkeypatch.setenv(name, value)
        self._monkeypatch.setenv("ACCORDANT_HOME", str(settings.home))
        self._monkeypatch.setenv("ACCORDANT_CHARTER", str(settings.charter))
        self._monkeypatch.setenv("ACCORDANT_STORE", settings.store)

    def holding(self, token: str) -> Terminal:
        """The same terminal with somebody's own token in its environment, or with nobody's."""
        self._monkeypatch.setenv("ACCORDANT_TOKEN", token)
        return self

    def do(self, *words: str) -> Said:
        """Run one command."""
        self._capsys.readouterr()
        code = run(words)
        return self._said(code, words)

    async def ask(self, *words: str) -> Said:
        """Run one command in a thread of its own, so that the stand-ins can answer it."""
        self._capsys.readouterr()
        code = await asyncio.to_thread(run, words)
        return self._said(code, words)

    def _said(self, code: int, words: Sequence[str]) -> Said:
        out, err = self._capsys.readouterr()
        assert "Traceback" not in out + err, (words, err)
        assert "\x1b" not in out + err, "colour on something that is no terminal"
        if "--json" not in words and words[:1] not in (("charter",), ("audit",)):
            assert max(map(len, out.splitlines()), default=0) <= WIDTH_MAX
        return Said(code, out, err)
