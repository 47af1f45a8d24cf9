"""The independent verifier finds every tampering (reliability.md AU2), in the store itself and in what was exported."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection

from accordant import audit_verifier
from accordant.audit_verifier import Mark, Unusable, read_marks, signature_holds, verify
from accordant.store.audit import append
from accordant.store.audit_export import export_trail
from accordant.store.checkpoints import export_checkpoint
from accordant.store.engine import Database
from accordant.store.migrate import migrate
from tests.integration.store.rows import NOW, SECOND, an_entry
from tests.integration.store.trail import (
    ENTRIES,
    FIRSTS,
    SIGNER,
    TAMPERS,
    cut_back,
    forge_all,
    forget_all,
    write_trail,
)

PUBLIC = bytes.fromhex(SIGNER.public)
FORGERIES: dict[str, Callable[[Connection, int], None]] = {
    "rewrite everything with new hashes": forge_all,
    "cut back to an earlier end": cut_back,
    "forget everything": forget_all,
}
# Twelve entries lie at both ends of batches of every size; the nightly run takes all of them, in both forms.
QUICK = (1, 2, 7, 24)
Kept = tuple[Path, str]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    """A store that may be tampered with, and the checkpoint of its end that was kept elsewhere."""
    path = tmp_path_factory.mktemp("trail") / "store.db"
    database = Database(f"sqlite:///{path}")
    migrate(database)
    write_trail(database)
    with database.read() as connection:
        line = export_checkpoint(connection, now=NOW, signer=SIGNER)
    with database.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    return path, line


def altered(
    kept: Kept, folder: Path, change: Callable[[Connection, int], object], position: int
) -> tuple[Path, object]:
    """A copy of the store after ``change``, and what that says of the place."""
    path = folder / "store.db"
    shutil.copy(kept[0], path)
    database = Database(f"sqlite:///{path}")
    with database.write() as connection:
        place = change(connection, position)
    database.close()
    return path, place


def exported(path: Path, *, bodies: bool = True) -> Path:
    """The same trail as a file that left the machine."""
    out = path.with_suffix(".jsonl")
    database = Database(f"sqlite:///{path}")
    with database.read() as connection:
        out.write_bytes(b"".join(export_trail(connection, now=NOW, bodies=bodies)))
    database.close()
    return out


def _found(kept: Kept, folder: Path, kind: str, position: int, *, in_export: bool) -> None:
    path, place = altered(kept, folder, TAMPERS[kind], position)
    report = verify(exported(path) if in_export else path)
    assert place in {fault.position for fault in report.faults}, (kind, position, report.faults)


@pytest.mark.parametrize("kind", TAMPERS)
@pytest.mark.parametrize("position", QUICK)
def test_every_kind_of_tampering_is_located(kept: Kept, tmp_path: Path, kind: str, position: int) -> None:
    _found(kept, tmp_path, kind, position, in_export=position == 7)


@pytest.mark.nightly
@pytest.mark.slow
@pytest.mark.parametrize("kind", TAMPERS)
@pytest.mark.parametrize("in_export", [False, True], ids=["store", "export"])
def test_every_kind_of_tampering_is_located_wherever_it_is(
    kept: Kept, tmp_path: Path, kind: str, in_export: bool
) -> None:
    """32 kinds at 24 places in two forms: 1,536 cases."""
    for position in range(1, ENTRIES + 1):
        _found(kept, tmp_path, kind, position, in_export=in_export)


@pytest.mark.parametrize("in_export", [False, True], ids=["store", "export"])
def test_an_untouched_trail_holds(kept: Kept, tmp_path: Path, in_export: bool) -> None:
    path, _ = altered(kept, tmp_path, lambda *_: None, 0)
    marks = read_marks(kept[1], PUBLIC)
    report = verify(exported(path) if in_export else path, marks=marks)
    assert (report.entries, report.batches, report.faults, report.checkpoints) == (ENTRIES, 7, (), 1)


def test_a_trail_without_a_line_holds(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'empty.db'}")
    migrate(database)
    database.close()
    assert verify(tmp_path / "empty.db").faults == ()


def test_an_export_without_bodies_is_verified_and_shows_no_content(kept: Kept, tmp_path: Path) -> None:
    path, _ = altered(kept, tmp_path, lambda *_: None, 0)
    out = exported(path, bodies=False)
    report = verify(out)
    assert (report.entries, report.bodies, report.faults) == (ENTRIES, False, ())
    assert "int_" not in out.read_text()
    lines = out.read_text().replace("accordant", "mallory", 9)
    out.write_text(lines.replace('"format":"mallory-audit-1"', '"format":"accordant-audit-1"'))
    assert verify(out).faults


@pytest.mark.parametrize("forgery", FORGERIES)
@pytest.mark.parametrize("in_export", [False, True], ids=["store", "export"])
def test_only_a_kept_checkpoint_shows_a_perfect_forgery(
    kept: Kept, tmp_path: Path, forgery: str, in_export: bool
) -> None:
    path, _ = altered(kept, tmp_path, FORGERIES[forgery], 7)
    path = exported(path) if in_export else path
    assert verify(path).faults == ()
    faults = verify(path, marks=read_marks(kept[1], PUBLIC)).faults
    assert len(faults) == 1
    assert ("rewritten" if forgery.startswith("rewrite") else "cut off") in faults[0].problem


def test_checkpoints_on_both_sides_bound_the_place_of_a_rewrite(tmp_path: Path) -> None:
    """A rewrite begins somewhere: the last checkpoint that holds and the first that does not say between which."""
    database = Database(f"sqlite:///{tmp_path / 'store.db'}")
    migrate(database)
    lines = []
    for number in range(6):
        with database.write() as connection:
            append(connection, [an_entry(number=number)], now=NOW)
        with database.read() as connection:
            lines.append(export_checkpoint(connection, now=NOW + number * SECOND, signer=SIGNER))
    with database.engine.begin() as connection:
        rows = connection.exec_driver_sql("SELECT count(*) FROM audit_entry").scalar_one()
    database.close()
    assert rows == 6
    marks = read_marks("\n".join(lines), PUBLIC)
    forged = [mark._replace(head="00" * 32) if mark.batch > 3 else mark for mark in marks]
    faults = verify(tmp_path / "store.db", marks=forged).faults
    assert [fault.position for fault in faults] == [4, 5, 6]
    assert "after batch 3, where the checkpoint of 2026-03-01T12:00:02Z holds" in faults[0].problem


# -- checkpoints and keys --------------------------------------------------------------------------------------------


def test_checkpoints_are_read_as_they_were_signed(kept: Kept) -> None:
    (mark,) = read_marks(f"\n{kept[1]}\n", PUBLIC)
    assert mark == Mark(7, ENTRIES, mark.head, "2026-03-01T12:00:00Z")


@pytest.mark.parametrize(
    "change", [{"batch": 6}, {"position": 1}, {"hash": "00" * 32}, {"at": "2026-03-01T12:00:01Z"}, {"signature": "00"}]
)
def test_a_checkpoint_that_somebody_made_up_is_refused(kept: Kept, change: dict[str, object]) -> None:
    line = json.dumps({**json.loads(kept[1]), **change})
    with pytest.raises(Unusable, match="not signed by this key"):
        read_marks(line, PUBLIC)
    with pytest.raises(Unusable, match="no checkpoint"):
        read_marks("{}", PUBLIC)
    with pytest.raises(Unusable, match="--public-key"):
        read_marks(kept[1], None)


@given(seed=st.binary(min_size=32, max_size=32), message=st.binary(max_size=200), bit=st.integers(0, 64 * 8 - 1))
def test_signatures_are_judged_as_the_library_judges_them(seed: bytes, message: bytes, bit: int) -> None:
    private = Ed25519PrivateKey.from_private_bytes(seed)
    public, signature = private.public_key().public_bytes_raw(), private.sign(message)
    assert signature_holds(public, message, signature)
    assert not signature_holds(public, message + b"x", signature)
    flipped = bytearray(signature)
    flipped[bit // 8] ^= 1 << bit % 8
    assert not signature_holds(public, message, bytes(flipped))


def test_the_vectors_of_rfc_8032_hold() -> None:
    public = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
    signature = bytes.fromhex(
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    assert signature_holds(public, b"\x72", signature)
    assert not signature_holds(public, b"\x73", signature)
    assert not signature_holds(b"\xff" * 32, b"\x72", signature)
    order = 2**252 + 27742317777372353535851937790883648493
    scalar = int.from_bytes(signature[32:], "little") + order
    too_large = signature[:32] + scalar.to_bytes(32, "little")
    assert not signature_holds(public, b"\x72", too_large)


# -- as a program ----------------------------------------------------------------------------------------------------


@pytest.fixture
def alone(tmp_path: Path) -> Path:
    """The file on its own, as an auditor has it: no package around it."""
    path = tmp_path / "elsewhere" / "audit_verifier.py"
    path.parent.mkdir()
    shutil.copy(audit_verifier.__file__, path)
    return path


def _run(program: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", str(program), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.subprocess
def test_the_file_alone_verifies(kept: Kept, tmp_path: Path, alone: Path) -> None:
    marks, key = tmp_path / "kept.jsonl", tmp_path / "key.pub"
    marks.write_text(kept[1] + "\n")
    key.write_text(SIGNER.public + "\n")
    sound = _run(alone, str(kept[0]), "--checkpoints", str(marks), "--public-key", str(key))
    assert (sound.returncode, sound.stderr) == (0, "")
    assert "agrees with 1 kept checkpoints" in sound.stdout
    assert "Only kept checkpoints" in _run(alone, str(kept[0])).stdout
    path, _ = altered(kept, tmp_path, TAMPERS["edit actor"], 7)
    broken = _run(alone, str(path), "--json", "--checkpoints", str(marks), "--public-key", SIGNER.public)
    assert broken.returncode == 1
    assert json.loads(broken.stdout)["faults"] == [
        {"position": 7, "problem": "the entry was altered after it was written"},
        {"position": FIRSTS[3], "problem": "the entries of batch 4 do not add up to its root"},
    ]
    for words in (
        (str(tmp_path / "gone"),),
        (str(marks),),
        (str(kept[0]), "--checkpoints", str(marks)),
        (str(kept[0]), "--checkpoints", str(marks), "--public-key", "00"),
        (str(kept[0]), "--checkpoints", str(tmp_path / "gone")),
    ):
        refused = _run(alone, *words)
        assert (refused.returncode, refused.stdout) == (2, ""), words
        assert refused.stderr.strip()
        assert "Traceback" not in refused.stderr


def test_the_verifier_needs_the_standard_library_alone() -> None:
    tree = ast.parse(Path(audit_verifier.__file__).read_text(encoding="utf-8"))
    named = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    named |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in named} <= sys.stdlib_module_names


def test_a_missing_batch_is_named(kept: Kept, tmp_path: Path) -> None:
    path, _ = altered(kept, tmp_path, TAMPERS["delete batch with its entries"], 7)
    assert "batch 4 is missing: batch 5 follows" in {fault.problem for fault in verify(path).faults}
