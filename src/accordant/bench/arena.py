"""Where a benchmark takes place: a fresh store, a charter that points at a stand-in, and processes that end with it."""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
from sqlalchemy import make_url

from accordant.bootstrap import Hub, read_charter
from accordant.demo.company import environment, write_charter
from accordant.kernel.errors import ConfigurationError
from accordant.settings import read_settings

POSTGRES_DEFAULT = "postgresql://postgres@127.0.0.1:5432/postgres"
_READY_SECONDS = 60


class Arena:
    """One run's surroundings."""

    def __init__(self, home: Path, store: str, stack: ExitStack) -> None:
        self.home = home
        self.store = store
        self.port = _free_port()
        self._stack = stack

    def write_charter(self, salesforce_url: str) -> None:
        """The demo company's charter, pointed at the stand-in, without a limit of its own on calls."""
        write_charter(
            self.home / "charter", stripe_url="http://127.0.0.1:9", salesforce_url=salesforce_url, rate_per_s=10_000
        )

    def hub(self) -> Hub:
        """A hub of this process on the run's store, for loading and reading it."""
        settings = read_settings({}, home=str(self.home), charter=str(self.home / "charter"), store=self.store)
        return Hub(settings, read_charter(settings).charter, environment=environment())

    def start(self, *arguments: str) -> str:
        """Start a process of `accordant.bench.process`; the line it printed when ready. It ends with the arena."""
        command = [sys.executable, "-m", "accordant.bench.process", *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603  our own module
        self._stack.callback(_end, process)
        assert process.stdout is not None  # noqa: S101  asked for above
        line = process.stdout.readline().strip()
        if not line:
            raise ConfigurationError(
                f"The process {' '.join(arguments[:1])} of the benchmark ended before it was ready."
            )
        return line

    def start_hub(self, *, roles: str) -> None:
        """Start a hub process on the run's store."""
        self.start(
            "hub", "--home", str(self.home), "--store", self.store, "--port", str(self.port), "--roles", roles
        )  # fmt: skip


@contextmanager
def arena(store: str) -> Iterator[Arena]:
    """A fresh arena on ``sqlite`` or ``postgres``; everything is gone afterwards.

    Raises ConfigurationError without a server.
    """
    with ExitStack() as stack:
        home = Path(tempfile.mkdtemp(prefix="accordant-bench-"))
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        url = f"sqlite:///{home / 'store.db'}" if store == "sqlite" else stack.enter_context(_postgres_database())
        yield Arena(home, url, stack)


@contextmanager
def _postgres_database() -> Iterator[str]:
    server = os.environ.get("ACCORDANT_TEST_POSTGRES", POSTGRES_DEFAULT)
    name = f"accordant_bench_{secrets.token_hex(4)}"
    try:
        connection = psycopg.connect(server, autocommit=True)
    except psycopg.OperationalError as error:
        raise ConfigurationError(
            f"No PostgreSQL answers: {str(error).splitlines()[0]}",
            remedy="Start one, or set ACCORDANT_TEST_POSTGRES to its address.",
        ) from None
    with connection:
        connection.execute(f"CREATE DATABASE {name}")  # type: ignore[call-overload,unused-ignore]
    try:
        yield make_url(server).set(database=name).render_as_string(hide_password=False)
    finally:
        with psycopg.connect(server, autocommit=True) as closing:
            closing.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[call-overload,unused-ignore]


def _end(process: "subprocess.Popen[str]") -> None:
    process.terminate()
    try:
        process.wait(timeout=_READY_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
