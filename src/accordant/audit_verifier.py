"""The independent verifier of the audit trail: one file, the standard library alone, no line shared with the writer.

Copy it to another machine and run `python audit_verifier.py FILE --checkpoints KEPT --public-key KEY`; FILE is the
SQLite store or what `accordant audit export` wrote. docs/explanation/audit.md says what is checked.
"""

import argparse
import hashlib
import json
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

HOLDS, BROKEN, UNUSABLE = 0, 1, 2
_FORMAT = "accordant-audit-1"
_GENESIS = b"\x00" * 32
_FAULTS_MAX = 100
_MISSING_SHOWN_MAX = 10
_ROWS_AT_ONCE = 2_000


class Unusable(Exception):
    """The file, a checkpoint or the key is not what it should be; nothing was verified."""


class Fault(NamedTuple):
    """Where the trail does not hold: ``position`` counts its entries from 1."""

    position: int
    problem: str


class Mark(NamedTuple):
    """A checkpoint whose signature was good."""

    batch: int
    position: int
    head: str
    at: str


class Report(NamedTuple):
    """What was seen. ``bodies`` says whether the content itself was checked against the commitments."""

    batches: int
    entries: int
    head: str
    bodies: bool
    checkpoints: int
    faults: tuple[Fault, ...]


class _Batch(NamedTuple):
    number: int
    first: int
    size: int
    root: bytes
    previous: bytes
    hash: bytes
    sealed_at: int


# -- hashes ----------------------------------------------------------------------------------------------------------


def _sha256(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def _compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8")


def _leaf(frame: Sequence[object], commitment: bytes) -> bytes:
    text = _compact(list(frame))
    return _sha256(b"\x00", len(text).to_bytes(4, "big"), text, commitment)


def _root(leaves: list[bytes]) -> bytes:
    """RFC 6962 section 2.1, by its own recursive definition."""
    if not leaves:
        return _sha256(b"")
    if len(leaves) == 1:
        return leaves[0]
    half = 1
    while half * 2 < len(leaves):
        half *= 2
    return _sha256(b"\x01", _root(leaves[:half]), _root(leaves[half:]))


def _seal(batch: _Batch) -> bytes:
    told = [batch.number, batch.first, batch.size, batch.root.hex(), batch.previous.hex(), batch.sealed_at]
    return _sha256(b"\x02", _compact(told))


# -- Ed25519, RFC 8032 section 5.1, in whole numbers -----------------------------------------------------------------

_P = 2**255 - 19
_L = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, _P - 2, _P) % _P
_ROOT_OF_MINUS_ONE = pow(2, (_P - 1) // 4, _P)

_Point = tuple[int, int, int, int]


def _add(one: _Point, two: _Point) -> _Point:
    a = (one[1] - one[0]) * (two[1] - two[0]) % _P
    b = (one[1] + one[0]) * (two[1] + two[0]) % _P
    c = 2 * one[3] * two[3] * _D % _P
    d = 2 * one[2] * two[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _times(factor: int, point: _Point) -> _Point:
    total: _Point = (0, 1, 1, 0)
    while factor:
        if factor & 1:
            total = _add(total, point)
        point = _add(point, point)
        factor >>= 1
    return total


def _point(data: bytes) -> _Point | None:
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    if y >= _P:
        return None
    square = (y * y - 1) * pow(_D * y * y + 1, _P - 2, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * _ROOT_OF_MINUS_ONE % _P
    if (x * x - square) % _P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = _P - x
    return x, y, 1, x * y % _P


_BASE = _point((4 * pow(5, _P - 2, _P) % _P).to_bytes(32, "little"))


def signature_holds(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether ``signature`` (64 bytes) of ``message`` was made with the private half of ``public`` (32 bytes)."""
    if len(public) != 32 or len(signature) != 64 or _BASE is None:
        return False
    key, commitment = _point(public), _point(signature[:32])
    scalar = int.from_bytes(signature[32:], "little")
    if key is None or commitment is None or scalar >= _L:
        return False
    challenge = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % _L
    left, right = _times(scalar, _BASE), _add(commitment, _times(challenge, key))
    same_x = (left[0] * right[2] - right[0] * left[2]) % _P == 0
    return same_x and (left[1] * right[2] - right[1] * left[2]) % _P == 0


# -- what is read ----------------------------------------------------------------------------------------------------


def open_trail(path: Path) -> tuple[sqlite3.Connection, bool]:
    """The trail as three tables, and whether bodies are in it: a SQLite store as it is, an export read into one.

    Raises Unusable.
    """
    if not path.is_file():
        raise Unusable(f"There is no file {path}.")
    with path.open("rb") as file:
        is_store = file.read(16) == b"SQLite format 3\x00"
    try:
        if is_store:
            connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
            connection.text_factory = _text_or_bytes
            connection.execute("SELECT count(*) FROM audit_head").fetchone()
            return connection, True
        return _read_export(path)
    except (sqlite3.Error, UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise Unusable(f"{path} holds no audit trail that can be read: {error}") from None


def _text_or_bytes(data: bytes) -> str | bytes:
    """Text that was altered into something else must become a fault, not an error."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data


_COLUMNS = {
    "batch": ("number", "first_position", "count", "root", "previous", "hash", "sealed_at"),
    "entry": ("position", "kind", "actor", "subject", "cause", "at", "salt", "body", "commitment", "leaf"),
    "head": ("batch", "position", "hash"),
}
_BYTES = frozenset({"root", "previous", "hash", "salt", "body", "commitment", "leaf"})


def _read_export(path: Path) -> tuple[sqlite3.Connection, bool]:
    connection = sqlite3.connect("", isolation_level=None)  # a file of its own that the system forgets
    connection.execute("PRAGMA synchronous=OFF")
    connection.execute("BEGIN")
    for kind, columns in _COLUMNS.items():
        connection.execute(f"CREATE TABLE audit_{kind} ({', '.join(columns)})")
    with path.open("r", encoding="utf-8") as lines:
        first = json.loads(next(lines, "{}"))
        if first.get("format") != _FORMAT:
            raise Unusable(f"{path} is neither a SQLite store nor an export of an audit trail.")
        for line in lines:
            for kind, row in json.loads(line).items():
                columns = _COLUMNS[kind]
                values = [_value(name, row.get(name)) for name in columns]
                marks = ", ".join("?" * len(columns))
                connection.execute(f"INSERT INTO audit_{kind} VALUES ({marks})", values)  # noqa: S608  our own names
    connection.execute("CREATE INDEX by_position ON audit_entry (position)")
    connection.execute("COMMIT")
    return connection, bool(first["bodies"])


def _value(name: str, value: object) -> object:
    return bytes.fromhex(value) if name in _BYTES and isinstance(value, str) else value


def read_marks(text: str, public: bytes | None) -> list[Mark]:
    """The checkpoints in ``text``, one a line. Raises Unusable for one that is none, or not signed by the key."""
    marks = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        if public is None:
            raise Unusable("Checkpoints are verified with the public key that was kept: give --public-key.")
        try:
            told = json.loads(line)
            mark = Mark(int(told["batch"]), int(told["position"]), str(told["hash"]), str(told["at"]))
            signature = bytes.fromhex(told["signature"])
        except (ValueError, KeyError, TypeError) as error:
            raise Unusable(f"Line {number} is no checkpoint: {error}") from None
        said = f"accordant-checkpoint-1\n{mark.batch}\n{mark.position}\n{mark.head}\n{mark.at}\n{public.hex()}\n"
        if not signature_holds(public, said.encode(), signature):
            raise Unusable(f"The checkpoint in line {number} was not signed by this key: somebody made it up.")
        marks.append(mark)
    return sorted(marks)


# -- what is verified ------------------------------------------------------------------------------------------------


def verify(path: Path, *, marks: Sequence[Mark] = ()) -> Report:
    """Recompute the trail from its first entry and hold it against the checkpoints. Raises Unusable."""
    connection, bodies = open_trail(path)
    try:
        connection.execute("BEGIN")
        trail = _Trail(connection, bodies=bodies, marks=marks)
        faults = []
        for fault in trail.faults():
            faults.append(fault)
            if len(faults) >= _FAULTS_MAX:
                break
        return Report(trail.batches, trail.entries, trail.tip.hex(), bodies, len(marks), tuple(faults))
    except sqlite3.Error as error:
        raise Unusable(f"{path} cannot be read to its end: {error}") from None
    finally:
        connection.close()


class _Trail:
    """One walk along the trail."""

    def __init__(self, connection: sqlite3.Connection, *, bodies: bool, marks: Sequence[Mark]) -> None:
        self._connection = connection
        self._bodies = bodies
        self._marks = marks
        self.batches = self.entries = 0
        self.tip = _GENESIS
        self._held = "its first entry"

    def faults(self) -> Iterator[Fault]:
        names = ", ".join(_COLUMNS["batch"])
        for row in self._connection.execute(f"SELECT {names} FROM audit_batch ORDER BY number"):  # noqa: S608  our own
            batch = _batch(row)
            if batch is None:
                yield Fault(self.entries + 1, f"the batch after number {self.batches} is not readable")
                return
            yield from self._links(batch)
            yield from self._contents(batch)
            self.batches, self.tip = batch.number, batch.hash
            self.entries = batch.first + batch.size - 1
            yield from self._against_marks(batch)
        yield from self._end()

    def _links(self, batch: _Batch) -> Iterator[Fault]:
        if batch.number != self.batches + 1:
            yield Fault(self.entries + 1, f"batch {self.batches + 1} is missing: batch {batch.number} follows")
        if batch.first != self.entries + 1:
            yield Fault(self.entries + 1, f"batch {batch.number} begins at {batch.first}, not where the last one ended")
        if batch.previous != self.tip:
            yield Fault(batch.first, f"batch {batch.number} is not chained to the batch before it")
        if _seal(batch) != batch.hash:
            yield Fault(batch.first, f"the seal of batch {batch.number} was altered")

    def _contents(self, batch: _Batch) -> Iterator[Fault]:
        leaves: list[bytes] = []
        expected, missing = batch.first, 0
        for position, leaf, problem in self._entries(batch):
            while expected < position and missing < _MISSING_SHOWN_MAX:
                yield Fault(expected, "the entry is missing")
                expected, missing = expected + 1, missing + 1
            if problem:
                yield Fault(position, problem)
            leaves.append(leaf)
            expected = position + 1
        end = batch.first + batch.size
        while expected < end and missing < _MISSING_SHOWN_MAX:
            yield Fault(expected, "the entry is missing")
            expected, missing = expected + 1, missing + 1
        if _root(leaves) != batch.root:
            yield Fault(batch.first, f"the entries of batch {batch.number} do not add up to its root")

    def _entries(self, batch: _Batch) -> Iterator[tuple[int, bytes, str]]:
        """Position, leaf and what is wrong with it, for each entry of a batch."""
        names = ", ".join(_COLUMNS["entry"])
        sql = f"SELECT {names} FROM audit_entry WHERE position >= ? AND position < ? ORDER BY position"  # noqa: S608
        cursor = self._connection.execute(sql, (batch.first, batch.first + batch.size))
        while rows := cursor.fetchmany(_ROWS_AT_ONCE):
            for row in rows:
                yield row[0], *self._judge(row)

    def _judge(self, row: Sequence[Any]) -> tuple[bytes, str]:
        frame, (salt, body, commitment, stored) = row[:6], row[6:]
        kinds = [type(value) for value in frame]
        sound = kinds[0] is int and kinds[1:4] == [str, str, str] and kinds[5] is int
        if not sound or kinds[4] not in {int, type(None)} or not isinstance(commitment, bytes):
            return b"", "the entry was altered: a value is of another type"
        if self._bodies:
            if not isinstance(salt, bytes) or not isinstance(body, bytes):
                return b"", "the content of the entry was taken out"
            if _sha256(b"\x03", salt, body) != commitment:
                return b"", "the content of the entry was altered after it was written"
        leaf = _leaf(frame, commitment)
        return leaf, "" if leaf == stored else "the entry was altered after it was written"

    def _against_marks(self, batch: _Batch) -> Iterator[Fault]:
        for mark in self._marks:
            if mark.batch != batch.number:
                continue
            if (batch.hash.hex(), self.entries) == (mark.head, mark.position):
                self._held = f"batch {mark.batch}, where the checkpoint of {mark.at} holds"
            else:
                problem = f"the checkpoint of {mark.at} saw another batch {mark.batch}: after {self._held}, the trail"
                yield Fault(batch.first, f"{problem} was rewritten with new hashes")

    def _end(self) -> Iterator[Fault]:
        for mark in self._marks:
            if mark.batch > self.batches:
                problem = f"the checkpoint of {mark.at} saw batch {mark.batch}, the trail ends at {self.batches}"
                yield Fault(self.entries + 1, f"{problem}: its end was cut off")
        heads = self._connection.execute("SELECT batch, position, hash FROM audit_head").fetchall()
        if len(heads) != 1:
            if heads or self.batches:
                yield Fault(self.entries, "the head of the trail is missing, or there are several")
        elif tuple(heads[0]) != (self.batches, self.entries, self.tip):
            yield Fault(self.entries, "the head names another end: entries were cut off or added behind")
        sql = "SELECT position FROM audit_entry WHERE position < 1 OR position > ? ORDER BY position LIMIT ?"
        for (position,) in self._connection.execute(sql, (self.entries, _MISSING_SHOWN_MAX)):
            yield Fault(position, "the entry belongs to no batch: it was inserted")


def _batch(row: Sequence[Any]) -> _Batch | None:
    number, first, size, root, previous, chained, sealed_at = row
    if any(type(value) is not int for value in (number, first, size, sealed_at)) or size < 1:
        return None
    if not all(isinstance(value, bytes) for value in (root, previous, chained)):
        return None
    return _Batch(number, first, size, root, previous, chained, sealed_at)


# -- the command -----------------------------------------------------------------------------------------------------


def _public_key(given: str | None) -> bytes | None:
    if given is None:
        return None
    try:
        key = bytes.fromhex(Path(given).read_text(encoding="ascii").strip() if Path(given).is_file() else given)
    except (OSError, ValueError):
        key = b""
    if len(key) != 32:
        raise Unusable("--public-key is neither 64 hexadecimal digits nor a file that holds them.")
    return key


def main(words: Sequence[str] | None = None) -> int:
    """Verify a file and say what was found: 0 it holds, 1 it does not, 2 it could not be verified."""
    parser = argparse.ArgumentParser(prog="audit_verifier", description="Verifies an audit trail of Accordant.")
    parser.add_argument("file", type=Path, help="the SQLite store, or an export of `accordant audit export`")
    parser.add_argument("--checkpoints", type=Path, action="append", default=[], help="file of kept checkpoint lines")
    parser.add_argument("--public-key", help="the public key of the checkpoints, or the file that holds it")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    asked = parser.parse_args(words)
    try:
        public = _public_key(asked.public_key)
        marks = [mark for path in asked.checkpoints for mark in read_marks(path.read_text("utf-8"), public)]
        report = verify(asked.file, marks=sorted(marks))
    except (Unusable, OSError, UnicodeDecodeError) as error:
        sys.stderr.write(f"{error}\n")
        return UNUSABLE
    sys.stdout.write(_as_json(report) if asked.json else _as_text(report))
    return BROKEN if report.faults else HOLDS


def _as_json(report: Report) -> str:
    faults = [fault._asdict() for fault in report.faults]
    return json.dumps({"holds": not report.faults, **report._asdict(), "faults": faults}, indent=2) + "\n"


def _as_text(report: Report) -> str:
    lines = [
        f"{report.entries:,} entries in {report.batches:,} batches were recomputed; the trail ends in {report.head}."
    ]
    lines += [f"entry {fault.position:,}: {fault.problem}" for fault in report.faults]
    if not report.bodies:
        lines.append("The export holds no bodies: their commitments were verified, the content was not.")
    if report.faults:
        lines.append("The trail does not hold.")
    elif report.checkpoints:
        lines.append(f"The trail holds, and agrees with {report.checkpoints:,} kept checkpoints.")
    else:
        lines.append("The trail holds in itself. Only kept checkpoints can rule out a cut end or a full rewrite.")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
