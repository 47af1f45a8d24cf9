"""A real Tryton for the tests: its own process over HTTP, on PostgreSQL, in a database copied from a template.

The template takes half a minute to make, so it stays on the server for the next run, under a name that changes with
the modules' versions and with the company it holds. Never on SQLite: there Tryton posts an unbalanced move.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import aiohttp
import psycopg
from psycopg import sql

from accordant.connectors.sdk.addresses import AddressPolicy
from accordant.connectors.sdk.http import HttpClient, Recorder
from accordant.connectors.tryton.rpc import Rpc, Session
from accordant.demo.stage import HOST, free_port
from tests.connectors.tryton import company

USER, PASSWORD = "admin", "a-toy-password-of-the-tests"
_NEEDED = ("account_invoice", "account_deposit")
_RELATIONS = "party_relationship"
_PREFIX = "accordant_tryton_template_"
#: Anything will do, so long as nobody else on this server locks under it.
_LOCK = 8_020_260_214
START_SECONDS_MAX = 90.0
MAKE_SECONDS_MAX = 600.0
STOP_SECONDS_MAX = 10.0


def _is_installed(module: str) -> bool:
    try:
        version(f"trytond_{module}")
    except PackageNotFoundError:
        return False
    return True


#: A hierarchy of customers is read where Tryton keeps one, and its module is not everywhere.
HAS_RELATIONS = _is_installed(_RELATIONS)
MODULES = (*_NEEDED, _RELATIONS) if HAS_RELATIONS else _NEEDED


@dataclass(frozen=True)
class Tryton:
    """A running server and one database on it."""

    url: str
    database: str

    def rpc(self, *, recorder: Recorder | None = None, password: str = PASSWORD, rate_per_s: float = 1_000) -> Rpc:
        """A client of ours, as the administrator."""
        reach = AddressPolicy(allow_loopback=True)
        login = HttpClient(self.url, clock=_clock, rate_per_s=rate_per_s, addresses=reach)
        session = Session(login=login, database=self.database, user=USER, password=password)
        http = HttpClient(
            self.url, clock=_clock, rate_per_s=rate_per_s, addresses=reach, authorize=session, recorder=recorder
        )
        return Rpc(http=http, session=session, database=self.database)


def absent() -> str | None:
    """Why there can be no Tryton here, or None."""
    for name in ("trytond", *(f"trytond_{module}" for module in MODULES)):
        try:
            version(name)
        except PackageNotFoundError:
            return f"The package {name} is not installed; it belongs to the development environment."
    missing = [name for name in ("trytond", "trytond-admin") if not _program(name).is_file()]
    return f"The program {missing[0]} is not beside this interpreter." if missing else None


@contextmanager
def a_tryton(server: str) -> Iterator[Tryton]:
    """A running Tryton with the company of `company.py`, in a database of its own that is gone afterwards."""
    template = _template(server)
    name = f"accordant_tryton_{os.getpid()}_{time.monotonic_ns():x}"
    _run_sql(server, sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template)))
    try:
        _forget_durability(server, name)
        with _serving(server, name) as tryton:
            yield tryton
    finally:
        _run_sql(server, sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _template(server: str) -> str:
    """The name of the template; made when it is not there, by one of several test processes."""
    name = _PREFIX + _fingerprint()
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
        try:
            if not _is_whole(connection, name):
                _clear(connection)
                connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
                _forget_durability(server, name)
                _make(server, name)
                connection.execute(sql.SQL("COMMENT ON DATABASE {} IS 'whole'").format(sql.Identifier(name)))
        finally:
            connection.execute("SELECT pg_advisory_unlock(%s)", (_LOCK,))
    return name


def _fingerprint() -> str:
    """Changes with what is installed and with what the company is."""
    parts = [f"{name} {version(name)}" for name in ("trytond", *(f"trytond_{module}" for module in MODULES))]
    parts.append(Path(company.__file__).read_text(encoding="utf-8"))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def _is_whole(connection: psycopg.Connection, name: str) -> bool:
    row = connection.execute(
        "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s", (name,)
    ).fetchone()
    return row is not None and row[0] == "whole"


def _clear(connection: psycopg.Connection) -> None:
    """Templates of other versions, and one whose making was broken off."""
    pattern = _PREFIX.replace("_", "\\_") + "%"
    for (old,) in connection.execute("SELECT datname FROM pg_database WHERE datname LIKE %s", (pattern,)).fetchall():
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(old)))


def _make(server: str, name: str) -> None:
    with tempfile.TemporaryDirectory(prefix="accordant-tryton-") as folder:
        secret = Path(folder, "password")
        secret.write_text(f"{PASSWORD}\n", encoding="utf-8")
        command = [
            str(_program("trytond-admin")), "-c", str(_settings(Path(folder), server, port=0)), "-d", name,
            "--email", "admin@example.org", "--activate-dependencies", "-u", *MODULES,
        ]  # fmt: skip
        done = subprocess.run(
            command,
            env={**os.environ, "TRYTONPASSFILE": str(secret)},
            capture_output=True,
            text=True,
            timeout=MAKE_SECONDS_MAX,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2_000:]
    with _serving(server, name) as tryton:
        asyncio.run(_found(tryton))


async def _found(tryton: Tryton) -> None:
    rpc = tryton.rpc()
    try:
        await company.found(rpc)
    finally:
        await rpc.close()


@contextmanager
def _serving(server: str, name: str) -> Iterator[Tryton]:
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="accordant-tryton-") as folder, Path(folder, "log").open("wb") as log:
        settings = _settings(Path(folder), server, port=port)
        command = [str(_program("trytond")), "-c", str(settings), "-d", name]
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            tryton = Tryton(url=f"http://{HOST}:{port}", database=name)
            asyncio.run(_listening(tryton, process, Path(folder, "log")))
            yield tryton
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


async def _listening(tryton: Tryton, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until it answers. It opens its port only when its models are loaded."""
    body = {"id": 0, "method": "common.server.version", "params": []}
    deadline = time.monotonic() + START_SECONDS_MAX
    async with aiohttp.ClientSession() as session:
        while time.monotonic() < deadline and process.poll() is None:
            try:
                async with session.post(f"{tryton.url}/rpc/", json=body) as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                await asyncio.sleep(0.05)
    said = await asyncio.to_thread(log.read_text, encoding="utf-8", errors="replace")
    raise AssertionError(f"Tryton did not start:\n{said[-2_000:]}")


def _settings(folder: Path, server: str, *, port: int) -> Path:
    path = folder / "trytond.conf"
    address = urlunsplit(urlsplit(server)._replace(path="/"))
    lines = ["[database]", f"uri = {address}", f"path = {folder}", "[web]", f"listen = {HOST}:{port}"]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _forget_durability(server: str, name: str) -> None:
    # What a power cut would take from a test's database is of no use to anybody.
    _run_sql(server, sql.SQL("ALTER DATABASE {} SET synchronous_commit = off").format(sql.Identifier(name)))


def _run_sql(server: str, statement: sql.Composed) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(statement)


def _program(name: str) -> Path:
    return Path(sys.executable).with_name(name)


def _clock() -> datetime:
    return datetime.now(UTC)
