"""The folder: what came since, whatever day it is of; nothing that leads out of it; what is unreadable is named."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from accordant.canonical.observations import Interpreted, Quarantined
from accordant.canonical.refs import EntityKind, ExternalRef
from accordant.connectors.camt053 import reader as reader_module
from accordant.connectors.camt053.connector import inbound, reader, webhook_secrets
from accordant.connectors.camt053.inbound import BOOKED, STATEMENT
from accordant.connectors.camt053.reader import FolderReader
from accordant.kernel.errors import ConfigurationError, RejectedError
from accordant.ports.connector import SignatureInvalid, TargetUnavailable
from tests.connectors.camt053.kit import IBAN, Entry, statement

DAY = date(2026, 3, 5)
NOW = datetime(2026, 3, 6, tzinfo=UTC)


def ages() -> tuple[datetime, datetime]:
    """Files come by the machine's clock: from long ago to soon."""
    now = datetime.now(UTC)
    return now - timedelta(days=400), now + timedelta(minutes=1)


def a_reader(folder: Path) -> FolderReader:
    return reader({"folder": str(folder)}, lambda: NOW, system="bank")


def put(folder: Path, name: str, body: bytes) -> Path:
    path = folder / name
    path.write_bytes(body)
    return path


async def listed(one: FolderReader, **more: Any) -> list[bytes]:
    since, until = ages()
    asked = {"since": since, "until": until} | more
    return [body async for page in one.events(**asked) for body in page]


async def test_a_file_is_of_the_moment_it_came_and_not_of_its_day(tmp_path: Path) -> None:
    old = put(tmp_path, "a.xml", statement([], day=date(2020, 1, 1)))
    os.utime(old, (0, 0))  # copied with the time of its original
    put(tmp_path, "b.XML", statement([], day=DAY))
    put(tmp_path, "readme.txt", b"by hand")
    (tmp_path / "sub.xml").mkdir()
    (tmp_path / "out.xml").symlink_to("/etc/hostname")
    one = a_reader(tmp_path)
    assert sorted(await listed(one)) == sorted([old.read_bytes(), statement([], day=DAY)])
    assert await listed(one, until=ages()[1] - timedelta(hours=1)) == []
    assert await listed(one, undelivered=True) == []
    assert await listed(one, event_type="other") == []
    await one.close()


async def test_a_statement_is_found_in_its_file(tmp_path: Path) -> None:
    body = statement([Entry("5.00", DAY, "BK-1")], day=DAY)
    put(tmp_path, "a.xml", body)
    put(tmp_path, "broken.xml", b"<nothing>")
    one = a_reader(tmp_path)
    ref = ExternalRef("bank", STATEMENT, f"{IBAN}/2026-1")
    assert (await one.read(ref))[0] == body
    assert (await one.read(ExternalRef("bank", STATEMENT, "other")))[0] == b""
    with pytest.raises(RejectedError):
        await one.read(ExternalRef("bank", "payment", "x"))
    pages = [page async for page in one.pages(STATEMENT)]
    assert [(ref, body)] == [pair for page in pages for pair in page.objects]
    assert [page async for page in one.pages("payment")] == []


async def test_a_folder_that_went_away_and_a_file_too_large_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "bank"
    folder.mkdir()
    one = a_reader(folder)
    put(folder, "a.xml", statement([], day=DAY))
    with monkeypatch.context() as smaller:
        smaller.setattr(reader_module, "FILE_BYTES_MAX", 10)
        with pytest.raises(RejectedError) as large:
            await listed(one)
    assert "a.xml" in large.value.message
    (folder / "a.xml").unlink()
    folder.rmdir()
    with pytest.raises(TargetUnavailable):
        await listed(one)


@pytest.mark.parametrize("folder", ["", "relative/path", "/no/such/folder"])
def test_a_wrong_folder_is_named(folder: str) -> None:
    with pytest.raises(ConfigurationError) as wrong:
        reader({"folder": folder}, lambda: NOW, system="bank")
    assert "'folder'" in wrong.value.message


def test_a_file_means_its_statements_and_what_is_none_waits_for_a_person() -> None:
    half = inbound({})
    body = statement([Entry("5.00", DAY, "BK-1")], day=DAY)
    envelope = half.read_envelope(body)
    assert (envelope.event_type, envelope.lane, envelope.defect) == (BOOKED, f"account/{IBAN}", None)
    told = half.interpret(system="bank", body=body)
    assert isinstance(told, Interpreted)
    (observed,) = told.observations
    assert (observed.root, observed.root_kind) == (observed.ref, EntityKind.BANK_STATEMENT)
    again = half.interpret_object(ref=observed.ref, body=body, read_at=NOW)
    assert isinstance(again, Interpreted)
    assert again.observations[0].observed_at == NOW
    assert half.interpret_object(ref=observed.ref, body=b"", read_at=NOW) == Interpreted(())
    for bad in (b"<x>", body.replace(b"5.00</Amt>", b"5.01</Amt>", 1)):
        assert half.read_envelope(bad).defect
        assert isinstance(half.interpret(system="bank", body=bad), Quarantined)
        assert isinstance(half.interpret_object(ref=observed.ref, body=bad, read_at=NOW), Quarantined)
    assert webhook_secrets({}) == ()
    with pytest.raises(SignatureInvalid):
        half.verify(headers={}, body=body, secrets=[b"x"], now=NOW)
