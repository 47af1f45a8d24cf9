"""The desk of whoever keeps the books in the company's year: commands as they are typed, and Tryton's own steps."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any

from accordant.cli.main import run
from accordant.connectors.tryton.rpc import Rpc
from accordant.demo.company import environment
from tests.connectors.ledger_story import Company


class Desk:
    """Commands of `accordant` at the story's own time, each as the command line carries it out."""

    def __init__(self, one: Company) -> None:
        self._one = one

    @contextmanager
    def at(self) -> Iterator[None]:
        """The environment of the terminal: which installation it is, and its secrets."""
        settings = self._one.settings
        mine = {
            **environment(),
            **self._one.erp.variables,
            "ACCORDANT_HOME": str(settings.home),
            "ACCORDANT_CHARTER": str(settings.charter),
            "ACCORDANT_STORE": settings.store,
        }
        before = {name: os.environ.get(name) for name in mine}
        os.environ.update(mine)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value

    async def tried(self, *words: str) -> tuple[int, str]:
        """One command: its exit code and what it said."""
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            code = await asyncio.to_thread(run, words, clock=self._one.clock)
        return code, said.getvalue()

    async def told(self, *words: str) -> Any:
        """One command that has to succeed: its JSON."""
        code, said = await self.tried(*words, "--json")
        assert code == 0, (words, said)
        return json.loads(said)


class Accountant:
    """What somebody does in Tryton itself."""

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc

    async def close(self, company: int, month_on: date) -> None:
        """Tryton closes no period that has a draft in it, and takes nothing into one that is closed."""
        await self._move(company, month_on, "close")

    async def reopen(self, company: int, month_on: date) -> None:
        """A closed period, open again; its journals are not."""
        await self._move(company, month_on, "reopen")

    async def reopen_journals(self, company: int, month_on: date) -> None:
        """The journals of a period, which Tryton closes with it."""
        context = {"company": company, "language": "en"}
        domain = [["period.start_date", "=", month_on], ["period.company", "=", company], ["state", "=", "closed"]]
        rows = await self._rpc.find("account.journal.period", domain, ["state"], context=context)
        await self._rpc.call("account.journal.period", "reopen", [row["id"] for row in rows], context=context)

    async def _move(self, company: int, month_on: date, step: str) -> None:
        context = {"company": company, "language": "en"}
        domain = [["start_date", "=", month_on], ["type", "=", "standard"], ["company", "=", company]]
        (period,) = await self._rpc.find("account.period", domain, ["state"], context=context)
        await self._rpc.call("account.period", step, [period["id"]], context=context)
