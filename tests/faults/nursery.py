"""A process that has loaded the product and forks a fresh `accordant serve` whenever it is asked to.

To load the modules takes nine tenths of a start, and what is to be shown begins after it: the child knows nothing but
what a fresh process reads from the disk. Each line read is an order, each line said tells who began or ended.
"""

from __future__ import annotations

import gc
import importlib
import os
import pkgutil
import select
import signal
import sys
from collections.abc import Sequence

import msgspec

import accordant as product
from accordant.cli.main import main as accordant

#: What `serve` loads when it runs, and not before, besides the product's own modules.
_LOADED_LATE = (
    "alembic.command",
    "psycopg",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite.pysqlite",
)
_PIECE = 65_536


class Order(msgspec.Struct, frozen=True):
    """Start `accordant` with these words; what it says goes to ``said``, what it logs is added to ``log``."""

    words: tuple[str, ...]
    said: str
    log: str


class Told(msgspec.Struct, frozen=True):
    """A child began (``code`` is None) or ended, with its exit code or minus its signal's number."""

    pid: int
    code: int | None = None


def _tell(told: Told) -> None:
    os.write(1, msgspec.json.encode(told) + b"\n")


def _become(order: Order) -> None:
    """In the child: be `accordant` with these words, and end."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDONLY)
    said = os.open(order.said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    log = os.open(order.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for place, file in enumerate((nothing, said, log)):
        os.dup2(file, place)
        os.close(file)
    sys.argv = ["accordant", *order.words]
    code = 1
    try:
        accordant()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        if sys.exc_info()[0] is not None:
            sys.excepthook(*sys.exc_info())
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _reap() -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        _tell(Told(pid, os.waitstatus_to_exitcode(status)))


def main(modules: Sequence[str] = _LOADED_LATE) -> None:
    """Take orders until there is nobody to give them."""
    own = (one.name for one in pkgutil.walk_packages(product.__path__, "accordant."))
    for name in (*(one for one in own if not one.endswith("__main__") and ".versions." not in one), *modules):
        importlib.import_module(name)
    gc.freeze()
    rung, ring = os.pipe()
    os.set_blocking(ring, False)
    signal.set_wakeup_fd(ring, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    heard = b""
    while True:
        ready, _, _ = select.select([0, rung], [], [])
        if rung in ready:
            os.read(rung, _PIECE)
            _reap()
        if 0 not in ready:
            continue
        piece = os.read(0, _PIECE)
        if not piece:
            return
        *lines, heard = (heard + piece).split(b"\n")
        for line in lines:
            order = msgspec.json.decode(line, type=Order)
            if not (child := os.fork()):
                os.close(rung)
                os.close(ring)
                _become(order)
            _tell(Told(child))


if __name__ == "__main__":
    main()
