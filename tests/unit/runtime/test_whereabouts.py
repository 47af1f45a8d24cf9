"""A process is taken for gone only when it certainly is: its own machine, its own process table, its own start."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from accordant.runtime.whereabouts import is_gone, own_name

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system does not tell, nobody is gone")

_NAME = "import sys; from accordant.runtime.whereabouts import own_name; print(own_name(), flush=True); "


@pytest.fixture
def other() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Another process that runs until it is killed, and its name."""
    process = subprocess.Popen([sys.executable, "-c", _NAME + "sys.stdin.read()"], stdin=-1, stdout=-1, text=True)
    assert process.stdout is not None
    yield process, process.stdout.readline().strip()
    process.kill()
    process.communicate()


def test_a_process_that_runs_is_not_gone_and_one_that_was_killed_is(other: tuple[subprocess.Popen[str], str]) -> None:
    process, name = other
    assert not is_gone(own_name())
    assert not is_gone(name)
    process.kill()
    process.communicate()
    assert is_gone(name)


def test_what_is_left_of_a_process_nobody_waited_for_is_gone(other: tuple[subprocess.Popen[str], str]) -> None:
    process, name = other
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and its parent has not buried it
    assert is_gone(name)


def test_another_process_under_the_same_number_does_not_count() -> None:
    machine, world, process, started, nonce = own_name().split("/")
    assert is_gone("/".join((machine, world, process, str(int(started) - 1), nonce)))


@pytest.mark.parametrize(
    "change",
    [
        {1: "another-boot.4026531836"},  # another machine, or another container
        {1: "-"},  # a system that does not tell
        {3: "-"},
    ],
)
def test_in_doubt_it_lives(change: dict[int, str]) -> None:
    parts = own_name().split("/")
    parts[2] = "4194305"  # above the highest number of a process
    assert is_gone("/".join(parts))
    for place, part in change.items():
        parts[place] = part
    assert not is_gone("/".join(parts))


@pytest.mark.parametrize("name", ["", "host/1f2e3d4c", "a/b/c/d/e/f", "m/w/not a number/1/x"])
def test_a_name_of_another_form_is_nobody_we_know(name: str) -> None:
    assert not is_gone(name)


_FORK = """
import os
from accordant.runtime import whereabouts
whereabouts.own_name()
child = os.fork()
if not child:
    os._exit(whereabouts._own_start.cache_info().currsize)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_what_a_process_knows_of_itself_is_not_known_by_those_it_forks() -> None:
    # One of them may one day have the number that its forebear had.
    told = subprocess.run([sys.executable, "-c", _FORK], stdout=-1, check=True, text=True)
    assert told.stdout.strip() == "0"
