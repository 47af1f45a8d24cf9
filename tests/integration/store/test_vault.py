"""The vault: what was sealed opens again with its key and its name, and with nothing else."""

import stat
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from accordant.kernel.errors import ConfigurationError
from accordant.store.engine import Database
from accordant.store.schema import data_key
from accordant.store.vault import KeyDestroyed, SealBroken, Vault, read_wrapping_key
from tests.integration.store.rows import NOW, race

_WRAPPING_KEY = bytes(range(32))
_READ_KEY = """
import sys
from pathlib import Path
from accordant.store.vault import read_wrapping_key
print("ready", flush=True)
sys.stdin.readline()
print(read_wrapping_key(Path(sys.argv[1])).hex())
"""


@pytest.fixture
def vault(database: Database) -> Vault:
    return Vault(database, _WRAPPING_KEY)


@pytest.mark.parametrize("data", [b"", b"x", bytes(range(256)) * 5000], ids=["empty", "one byte", "a megabyte"])
def test_what_is_sealed_opens_again(vault: Vault, data: bytes) -> None:
    key_id = vault.current_key(NOW)
    sealed = vault.seal(key_id, data, "stripe/evt_1")
    assert vault.open(key_id, sealed, "stripe/evt_1") == data
    assert data[:100] not in sealed or len(data) < 100  # a single byte may stand there by chance


def test_the_same_bytes_are_sealed_differently_each_time(vault: Vault) -> None:
    key_id = vault.current_key(NOW)
    assert len({vault.seal(key_id, b"same", "c") for _ in range(50)}) == 50


def test_another_row_cannot_use_the_bytes(vault: Vault) -> None:
    key_id = vault.current_key(NOW)
    sealed = vault.seal(key_id, b"data", "stripe/evt_1")
    with pytest.raises(SealBroken, match="stripe/evt_2"):
        vault.open(key_id, sealed, "stripe/evt_2")


def test_every_flipped_bit_is_refused(vault: Vault) -> None:
    key_id = vault.current_key(NOW)
    sealed = vault.seal(key_id, b"data", "c")
    for place in range(len(sealed)):
        for bit in range(8):
            altered = bytearray(sealed)
            altered[place] ^= 1 << bit
            with pytest.raises(SealBroken):
                vault.open(key_id, bytes(altered), "c")


def test_bytes_cut_short_are_refused(vault: Vault) -> None:
    key_id = vault.current_key(NOW)
    sealed = vault.seal(key_id, b"data", "c")
    for length in range(len(sealed)):
        with pytest.raises(SealBroken):
            vault.open(key_id, sealed[:length], "c")


def test_a_context_of_any_text_is_sealed_into_the_bytes(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'vault.db'}")
    with database.write() as connection:
        data_key.create(connection)
    vault = Vault(database, _WRAPPING_KEY)
    key_id = vault.current_key(NOW)

    @given(st.text(), st.text(), st.binary(max_size=64))
    def holds(context: str, other: str, data: bytes) -> None:
        sealed = vault.seal(key_id, data, context)
        assert vault.open(key_id, sealed, context) == data
        if other != context:
            with pytest.raises(SealBroken):
                vault.open(key_id, sealed, other)

    holds()
    database.close()


def test_a_month_has_one_key_and_the_next_month_another(database: Database, vault: Vault) -> None:
    first = vault.current_key(NOW)
    assert vault.current_key(NOW + timedelta(days=20)) == first
    assert Vault(database, _WRAPPING_KEY).current_key(NOW) == first
    second = vault.current_key(NOW + timedelta(days=40))
    assert second != first
    sealed = vault.seal(second, b"data", "c")
    with pytest.raises(SealBroken):
        vault.open(first, sealed, "c")


def test_processes_that_make_the_months_key_at_once_read_each_others_bytes(database: Database) -> None:
    vaults = [Vault(database, _WRAPPING_KEY) for _ in range(4)]
    keys = race(4, lambda index: vaults[index].current_key(NOW))
    assert all(isinstance(key, str) for key in keys), keys
    for writer, key_id in zip(vaults, keys, strict=True):
        sealed = writer.seal(key_id, b"data", "c")
        assert [reader.open(key_id, sealed, "c") for reader in vaults] == [b"data"] * 4


def test_a_destroyed_key_erases_what_it_sealed(database: Database, vault: Vault) -> None:
    key_id = vault.current_key(NOW)
    sealed = vault.seal(key_id, b"data", "c")
    with database.write() as connection:
        connection.execute(sa.update(data_key).values(wrapped=None, destroyed_at=1))
    later = Vault(database, _WRAPPING_KEY)
    with pytest.raises(KeyDestroyed, match=key_id):
        later.open(key_id, sealed, "c")
    assert later.current_key(NOW) != key_id


def test_a_wrong_wrapping_key_is_named(database: Database, vault: Vault) -> None:
    key_id = vault.current_key(NOW)
    sealed = vault.seal(key_id, b"data", "c")
    with pytest.raises(ConfigurationError, match=f"does not open the data key {key_id}") as refusal:
        Vault(database, bytes(32)).open(key_id, sealed, "c")
    assert "wrapping key" in refusal.value.remedy


def test_a_wrapped_key_cannot_be_moved_to_another_name(database: Database, vault: Vault) -> None:
    first, second = vault.current_key(NOW), vault.current_key(NOW + timedelta(days=40))
    with database.write() as connection:
        wrapped = sa.select(data_key.c.wrapped).where(data_key.c.key_id == first).scalar_subquery()
        connection.execute(sa.update(data_key).where(data_key.c.key_id == second).values(wrapped=wrapped))
    with pytest.raises(ConfigurationError):
        Vault(database, _WRAPPING_KEY).seal(second, b"data", "c")


# -- the file of the wrapping key ------------------------------------------------------------------------------------


def test_the_wrapping_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "wrapping.key"
    key = read_wrapping_key(path)
    assert len(key) == 32
    assert len(set(key)) > 8
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_wrapping_key(path) == key
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_wrapping_key_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "wrapping.key"
    read_wrapping_key(path)
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match="can be read by others") as refusal:
        read_wrapping_key(path)
    assert refusal.value.remedy == f"Run: chmod 600 {path}"


@pytest.mark.parametrize("text", ["", "00", "zz" * 32, "00" * 31, "00" * 33])
def test_a_file_that_is_no_wrapping_key_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "wrapping.key"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(ConfigurationError, match="64 hexadecimal digits"):
        read_wrapping_key(path)
    assert path.read_text() == text


@pytest.mark.subprocess
def test_processes_that_make_the_wrapping_key_at_once_agree(tmp_path: Path) -> None:
    path = tmp_path / "wrapping.key"
    started = [
        subprocess.Popen(
            [sys.executable, "-c", _READ_KEY, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in started:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    keys = {process.communicate(timeout=60)[0] for process in started}
    assert keys == {read_wrapping_key(path).hex() + "\n"}
