"""A PostgreSQL server of our own, made by initdb in a folder, to be stopped the hard way as often as a drill likes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg

from accordant.demo.stage import HOST, free_port
from tests.faults.shim import Shim

_START_S_MAX = 60
#: A file system in memory, where there is one: a server that starts after a crash syncs its thousand files one by one,
#: and what a real disk takes for that is no part of what is shown.
_IN_MEMORY = Path("/dev/shm")  # noqa: S108


def programs() -> Path | None:
    """The folder with initdb and pg_ctl, or None. They are often not on PATH."""
    if found := shutil.which("pg_ctl"):
        return Path(found).parent
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), reverse=True)
    return places[0].parent if places else None


class Cluster:
    """One server. PostgreSQL refuses to run as root, so root lends it the user ``postgres``."""

    def __init__(self, folder: Path, bin_folder: Path) -> None:
        self.port = free_port()
        self.url = f"postgresql://postgres@{HOST}:{self.port}/postgres"
        self._folder = folder / "data"
        self._log = folder / "server.log"
        self._bin = bin_folder
        self._as = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        if self._as:
            shutil.chown(folder, "postgres")
        self._environment: dict[str, str] = {}
        self.shim: Shim
        self._durable = folder / "durable"
        self._run(
            "initdb", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--data-checksums", "--no-sync", "--wal-segsize=1"
        )  # fmt: skip
        with (self._folder / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write(
                f"listen_addresses='{HOST}'\nport={self.port}\nunix_socket_directories=''\nmax_connections=60\n"
                "fsync=on\nsynchronous_commit=on\nshared_buffers=64MB\ncheckpoint_timeout=30s\n"
                "dynamic_shared_memory_type=mmap\n"  # in the folder: a server that is killed leaves it there
            )

    def forget(self, *, sync_s: float) -> None:
        """From its next start on, what this server syncs is kept apart, and a sync takes so much longer."""
        subprocess.run(["cp", "-a", self._folder, self._durable], check=True)
        self.shim = Shim(self._folder.parent, root=self._folder, shadow=self._durable, whole=True)
        self.shim.set("sync_ns", int(sync_s * 1e9))
        self._environment = self.shim.environment

    def cut_power(self) -> bool:
        """Everything of it ends at once, and of its files only what was synced is left; whether that was less."""
        while running := self._processes():
            for process in running:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            time.sleep(0.01)
        self.shim.set("syncing", 0)
        self._free_segment()
        written, kept = (self._wal(folder) for folder in (self._folder, self._durable))
        shutil.rmtree(self._folder)
        subprocess.run(["cp", "-a", self._durable, self._folder], check=True)
        (self._folder / "postmaster.pid").unlink(missing_ok=True)
        return written != kept

    def _free_segment(self) -> None:
        """A machine that loses its power keeps no shared memory; a server that is killed does."""
        with suppress(OSError):
            key_and_id = (self._folder / "postmaster.pid").read_text(encoding="ascii").splitlines()[6].split()
            subprocess.run(["ipcrm", "-m", key_and_id[1]], check=True)

    def _processes(self) -> list[int]:
        """Whoever works inside the folder: the server and its backends."""
        found = []
        for entry in Path("/proc").iterdir():
            with suppress(OSError, ValueError):
                if (entry / "cwd").readlink() == self._folder:
                    found.append(int(entry.name))
        return found

    @staticmethod
    def _wal(folder: Path) -> dict[str, bytes]:
        return {one.name: one.read_bytes() for one in (folder / "pg_wal").iterdir() if one.is_file()}

    def start(self) -> float:
        """Run; the seconds until it took connections, crash recovery included."""
        began = time.monotonic()
        # Its recovery syncs every file there is, changed or not: nobody cuts the power meanwhile.
        with self._syncing_at_once():
            self._run("pg_ctl", "-l", str(self._log), "-w", "-t", str(_START_S_MAX), "start")
        return time.monotonic() - began

    @contextmanager
    def _syncing_at_once(self) -> Iterator[None]:
        if not self._environment:
            yield
            return
        usual = self.shim.read("sync_ns")
        self.shim.set("sync_ns", 0)
        try:
            yield
        finally:
            self.shim.set("sync_ns", usual)

    def stop(self, mode: str = "immediate") -> None:
        """Stop: ``immediate`` is a crash, nothing is written any more."""
        self._run("pg_ctl", "-m", mode, "-w", "stop")

    def set(self, name: str, value: str) -> None:
        """Change one setting while it runs."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"ALTER SYSTEM SET {name} = '{value}'")  # type: ignore[call-overload,unused-ignore]
            connection.execute("SELECT pg_reload_conf()")

    def _run(self, program: str, *words: str) -> None:
        command = [*self._as, str(self._bin / program), "-D", str(self._folder), *words]
        environment = {**os.environ, **self._environment}
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/", env=environment)


@contextmanager
def cluster(*, forgets_after_s: float | None = None) -> Iterator[Cluster]:
    """A running server; it and its folder are gone afterwards. With ``forgets_after_s`` its power can be cut.

    Raises: AssertionError without the programs.
    """
    found = programs()
    assert found is not None, "initdb and pg_ctl are not on this machine: install PostgreSQL's server"
    place = _IN_MEMORY if os.access(_IN_MEMORY, os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="accordant-cluster-", dir=place))
    made = None
    try:
        made = Cluster(folder, found)
        if forgets_after_s is not None:
            made.forget(sync_s=forgets_after_s)
        made.start()
        yield made
    finally:
        if made is not None:
            with suppress(subprocess.CalledProcessError):
                made.stop()
        shutil.rmtree(folder, ignore_errors=True)
