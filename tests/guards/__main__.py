"""`python -m tests.guards`: break each guard in a copy of the source; a JSON line each, 0 when every test noticed.

First the tests run on the sound copy: one that fails there notices nothing. ``--only TEXT`` chooses by name.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from tests.guards.broken import GUARDS, Guard
from tests.tidy.source import ROOT

_COPIED = ("src", "tests", "pyproject.toml", "docs")
_FAILED = 1


def _failure(copy: Path, tests: Sequence[str]) -> str:
    """How these tests fail on the copy; empty where they pass. Raises: RuntimeError where they could not be run."""
    words = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "0", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(
        words,
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in {0, _FAILED}:
        raise RuntimeError(f"{' '.join(tests)} could not be run: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout[-2000:] if done.returncode else ""


def _is_noticed(copy: Path, guard: Guard) -> bool:
    """Break it, ask its test, and put it right again."""
    file = copy / guard.file
    sound = file.read_text(encoding="utf-8")
    file.write_text(sound.replace(guard.sound, guard.broken), encoding="utf-8")
    try:
        return bool(_failure(copy, [guard.noticed_by]))
    finally:
        file.write_text(sound, encoding="utf-8")


def main(words: Sequence[str] | None = None) -> int:
    """Break what was chosen; 1 when a broken guard went unnoticed or a test fails without any defect."""
    parser = argparse.ArgumentParser(prog="python -m tests.guards", description=__doc__)
    parser.add_argument("--only", default="", help="guards with this in their name")
    chosen = [guard for guard in GUARDS if parser.parse_args(words).only in guard.name]
    with tempfile.TemporaryDirectory(prefix="accordant-guards-") as folder:
        copy = Path(folder)
        for name in _COPIED:
            place = ROOT / name
            (shutil.copytree if place.is_dir() else shutil.copyfile)(place, copy / name)
        if not chosen:
            sys.stderr.write("No guard has this in its name.\n")
            return 1
        if problem := _failure(copy, sorted({guard.noticed_by for guard in chosen})):
            sys.stderr.write(f"A test fails on the sound source already:\n{problem}\n")
            return 1
        unnoticed = 0
        for guard in chosen:
            noticed = _is_noticed(copy, guard)
            unnoticed += not noticed
            told = {"guard": guard.name, "invariant": guard.invariant, "noticed": noticed, "by": guard.noticed_by}
            print(msgspec.json.encode(told).decode(), flush=True)
    return int(unnoticed > 0)


if __name__ == "__main__":
    sys.exit(main())
