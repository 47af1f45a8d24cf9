"""Which process holds a lease, written so that another one of the same machine can tell that it is gone.

A process killed with SIGKILL gives nothing back; who knows that it is dead need not wait until its lease has run out.
Next: `store/lanes.py`, which asks.
"""

import os
import secrets
import socket
from functools import cache
from pathlib import Path

_PROC = Path("/proc")
_PARTS = 5


def own_name() -> str:
    """A name for one worker of this process: machine, world, process id, its start and a nonce, parted by slashes.

    The world is the boot of the machine and the process table within it: containers that share a machine's name do
    not share it. Where the system does not tell, world and start are ``-``, and nobody is ever taken for gone.
    """
    process = os.getpid()
    parts = (socket.gethostname(), _world() or "-", str(process), _own_start(process) or "-", secrets.token_hex(4))
    return "/".join(part.replace("/", "-") for part in parts)


def is_gone(name: str) -> bool:
    """Whether the process of that name ran in our process table and certainly runs no more. In doubt it lives."""
    parts = name.split("/")
    if len(parts) != _PARTS or not parts[2].isdigit() or "-" in parts[1::2]:
        return False
    _, world, process, started, _ = parts
    if world != _world():
        return False
    seen = _own_start(int(process)) if int(process) == os.getpid() else _started(int(process))
    return not _answers(int(process)) if seen is None else seen != started


def _answers(process: int) -> bool:
    """Whether there is such a process, where its entry in the process table is not for us to read."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


@cache
def _world() -> str | None:
    """Stays what it is for as long as this process runs."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot.replace('-', '')}.{(_PROC / 'self/ns/pid').stat().st_ino}"
    except OSError:
        return None


@cache
def _own_start(process: int) -> str | None:
    """Stays what it is for as long as this process runs; one that it forks begins without knowing it."""
    return _started(process)


os.register_at_fork(after_in_child=_own_start.cache_clear)


def _started(process: int) -> str | None:
    """When a process was started, in the kernel's own unit; empty where only its remains are left, None if unknown."""
    try:
        text = (_PROC / str(process) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The name in brackets may hold anything; what follows its last bracket is well-formed.
    fields = text.rpartition(")")[2].split()
    return "" if fields[0] in {"Z", "X"} else fields[19]
