"""Where a benchmark takes place: a fresh store, a charter that points at a stand-in, and processes that end with it."""

import math
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
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
_SECOND = """\
  crm_two:
    connector: salesforce
    owner: RevOps
    stand_in: true
    rate_per_s: 10000
    settings:
      flow: client_credentials
      instance_url: {url}
      client_id: env:SALESFORCE_CLIENT_ID
      client_secret: env:SALESFORCE_CLIENT_SECRET
"""
_ITS_FLOW = """\
  - name: accounts_two
    entity: account
    source: stripe
    target: crm_two
    phase: controlled
    write_fields: all
    verify: The Account's billing section in the second org.
"""


class Arena:
    """One run's surroundings."""

    def __init__(self, home: Path, store: str, stack: ExitStack) -> None:
        self.home = home
        self.store = store
        self.port = _free_port()
        self._stack = stack

    def write_charter(self, salesforce_url: str, *, second_url: str | None = None) -> None:
        """The demo company's charter, pointed at the stand-in, without a limit of its own on calls.

        ``second_url``: another CRM, ``crm_two``, that has its accounts by the flow ``accounts_two``.
        """
        folder = write_charter(
            self.home / "charter", stripe_url="http://127.0.0.1:9", salesforce_url=salesforce_url, rate_per_s=10_000
        )
        if second_url is not None:
            file = folder / "accordant.yaml"
            text = file.read_text(encoding="utf-8")
            for before, after in (
                ("ownership:\n", _SECOND.format(url=second_url) + "ownership:\n"),
                ("flows:\n", "flows:\n" + _ITS_FLOW),
                ("readers: [salesforce]", "readers: [salesforce, crm_two]"),
            ):
                text = text.replace(before, after, 1)
            file.write_text(text, encoding="utf-8")

    def hub(self) -> Hub:
        """A hub of this process on the run's store, for loading and reading it."""
        settings = read_settings({}, home=str(self.home), charter=str(self.home / "charter"), store=self.store)
        return Hub(settings, read_charter(settings).charter, environment=environment())

    def start(self, *arguments: str) -> str:
        """Start a process of `accordant.bench.process`; the line it printed when ready. It ends with the arena."""
        return self._start(arguments)[0]

    def _start(self, arguments: Sequence[str]) -> tuple[str, int]:
        command = [sys.executable, "-m", "accordant.bench.process", *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603  our own module
        self._stack.callback(_end, process)
        assert process.stdout is not None  # noqa: S101  asked for above
        line = process.stdout.readline().strip()
        if not line:
            raise ConfigurationError(
                f"The process {' '.join(arguments[:1])} of the benchmark ended before it was ready."
            )
        return line, process.pid

    def start_hub(self, *, roles: str) -> int:
        """Start a hub process on the run's store; its number."""
        where = ("--home", str(self.home), "--store", self.store, "--port", str(self.port))
        return self._start(("hub", *where, "--roles", roles))[1]


def cpu_s(process: int) -> float:
    """Seconds of processor a process has used, its threads together, as Linux counts them; NaN elsewhere."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return math.nan
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


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


class Stored:
    """A store that may outlive the run: its address, and whether an earlier run has made what is in it."""

    def __init__(self, url: str, stamp: Path) -> None:
        self.url = url
        self.is_made = stamp.exists()
        self._stamp = stamp

    def made(self) -> None:
        """Say that the store holds all it should: a run that is cut off before this makes it anew the next time."""
        self._stamp.touch()


@contextmanager
def stored(store: str, name: str, *, keep: Path | None) -> Iterator[Stored]:
    """A store called ``name``, kept from run to run in the folder ``keep``, or gone afterwards without one.

    A kept PostgreSQL database is called ``accordant_bench_NAME``, and the folder remembers that it is complete.
    Raises ConfigurationError without a server.
    """
    with ExitStack() as stack:
        if keep is None:
            folder = Path(tempfile.mkdtemp(prefix="accordant-bench-"))
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
        else:
            folder = keep
            folder.mkdir(parents=True, exist_ok=True)
        stamp = folder / f"{name}.{store}.made"
        if store == "sqlite":
            file = folder / f"{name}.db"
            if not stamp.exists():
                for leftover in folder.glob(f"{file.name}*"):
                    leftover.unlink()
            url = f"sqlite:///{file}"
        elif keep is None:
            url = stack.enter_context(_postgres_database())
        else:
            url = _kept_database(f"accordant_bench_{name}", stamp)
        yield Stored(url, stamp)


def _kept_database(name: str, stamp: Path) -> str:
    with _server() as connection:
        exists = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone() is not None
        if exists and not stamp.exists():
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[call-overload,unused-ignore]
        if not exists:
            stamp.unlink(missing_ok=True)
        if not stamp.exists():
            connection.execute(f"CREATE DATABASE {name}")  # type: ignore[call-overload,unused-ignore]
    return _address(name)


@contextmanager
def _postgres_database() -> Iterator[str]:
    name = f"accordant_bench_{secrets.token_hex(4)}"
    with _server() as connection:
        connection.execute(f"CREATE DATABASE {name}")  # type: ignore[call-overload,unused-ignore]
    try:
        yield _address(name)
    finally:
        with _server() as closing:
            closing.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[call-overload,unused-ignore]


def _server() -> "psycopg.Connection[tuple[object, ...]]":
    try:
        return psycopg.connect(os.environ.get("ACCORDANT_TEST_POSTGRES", POSTGRES_DEFAULT), autocommit=True)
    except psycopg.OperationalError as error:
        raise ConfigurationError(
            f"No PostgreSQL answers: {str(error).splitlines()[0]}",
            remedy="Start one, or set ACCORDANT_TEST_POSTGRES to its address.",
        ) from None


def _address(database: str) -> str:
    server = os.environ.get("ACCORDANT_TEST_POSTGRES", POSTGRES_DEFAULT)
    return make_url(server).set(database=database).render_as_string(hide_password=False)


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
