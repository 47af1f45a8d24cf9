"""The vault: bytes at rest are compressed, then sealed with AES-256-GCM under a data key that a wrapping key wraps.

Each sealed row names its key. A key belongs to a subject: today the installation and the month, so that no key seals
more than a month's events. Destroying a key erases what it sealed; the audit chain stays whole.
"""

import os
import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import bindparam, select

from accordant.kernel.clock import to_micros
from accordant.kernel.errors import ConfigurationError, RejectedError
from accordant.store import bulk
from accordant.store.engine import Database
from accordant.store.key_file import read_key_file
from accordant.store.packing import Packing
from accordant.store.schema import data_key

_NONCE_BYTES = 12
_KEY_BYTES = 32

_WRAPPED = select(data_key.c.wrapped).where(data_key.c.key_id == bindparam("of"))
_OF_SUBJECT = (
    select(data_key.c.key_id)
    .where(data_key.c.subject == bindparam("of"), data_key.c.wrapped.is_not(None))
    .order_by(data_key.c.created_at)
)

RandomBytes = Callable[[int], bytes]


class KeyDestroyed(RejectedError):
    """The bytes were erased: their key was destroyed on purpose."""


class SealBroken(RejectedError):
    """The stored bytes were altered, or belong to another row."""


def read_wrapping_key(path: Path) -> bytes:
    """The 32-byte wrapping key in ``path``, made with owner-only rights on first use. Raises ConfigurationError."""
    return read_key_file(path, name="wrapping key")


@cache
def _packing() -> Packing:
    """What every vault of a process packs with: it knows nothing of any store, and takes a while to make."""
    return Packing()


class Vault:
    """Seals and opens bytes; thread-safe. Keys are kept in the database, wrapped."""

    def __init__(self, database: Database, wrapping_key: bytes, random_bytes: RandomBytes = os.urandom) -> None:
        self._database = database
        self._wrapping = AESGCM(wrapping_key)
        self._seed = wrapping_key
        self._random = random_bytes
        self._opened: dict[str, AESGCM] = {}
        self._current: dict[str, str] = {}
        self._lock = threading.Lock()
        self._packing = _packing()

    def derived(self, purpose: bytes) -> bytes:
        """32 bytes that every process of the installation gets for ``purpose``, and nobody else."""
        return HKDF(algorithm=SHA256(), length=32, salt=None, info=b"accordant " + purpose).derive(self._seed)

    def current_key(self, now: datetime) -> str:
        """The id of the key that seals today; made and stored on the first use of a month."""
        subject = f"installation/{now:%Y-%m}"
        with self._lock:
            if subject not in self._current:
                self._current[subject] = self._find_or_make(subject, now)
            return self._current[subject]

    def key_at_hand(self, now: datetime) -> str | None:
        """The id of the key that seals today where it needs no question to the store, or None."""
        key_id = self._current.get(f"installation/{now:%Y-%m}")
        return key_id if key_id in self._opened else None

    def seal(self, key_id: str, data: bytes, context: str) -> bytes:
        """Compress and seal ``data``; ``context`` names the row it belongs to and must be given again to open it."""
        return self.seal_many(key_id, [(data, context)])[0]

    def seal_many(self, key_id: str, items: Sequence[tuple[bytes, str]]) -> list[bytes]:
        """Seal many (data, context) pairs."""
        packed = self._packing.pack_many([data for data, _ in items])
        cipher = self._cipher(key_id)
        nonces = self._random(_NONCE_BYTES * len(items))
        sealed = []
        for index, (_, context) in enumerate(items):
            nonce = nonces[index * _NONCE_BYTES : (index + 1) * _NONCE_BYTES]
            sealed.append(nonce + cipher.encrypt(nonce, packed[index], context.encode("utf-8", "surrogatepass")))
        return sealed

    def open(self, key_id: str, sealed: bytes, context: str) -> bytes:
        """The bytes sealed before. Raises KeyDestroyed, SealBroken, DictionaryMissing."""
        try:
            packed = self._cipher(key_id).decrypt(
                sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], context.encode("utf-8", "surrogatepass")
            )
        except (InvalidTag, ValueError):  # ValueError: too short to hold even a nonce
            raise SealBroken(f"The bytes stored for {context} do not match their seal.") from None
        return self._packing.unpack(packed)

    def _cipher(self, key_id: str) -> AESGCM:
        cipher = self._opened.get(key_id)
        if cipher is None:
            cipher = self._opened[key_id] = self._unwrap(key_id)
        return cipher

    def _unwrap(self, key_id: str) -> AESGCM:
        with self._database.read() as connection:
            wrapped = connection.execute(_WRAPPED, {"of": key_id}).scalar()
        if wrapped is None:
            raise KeyDestroyed(f"The key {key_id} is gone: what it sealed was erased.")
        try:
            return AESGCM(self._wrapping.decrypt(wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], key_id.encode()))
        except InvalidTag:
            raise ConfigurationError(
                f"The wrapping key does not open the data key {key_id}.",
                remedy="Put back the wrapping key this store was made with.",
            ) from None

    def _find_or_make(self, subject: str, now: datetime) -> str:
        with self._database.write() as connection:
            found = connection.execute(_OF_SUBJECT, {"of": subject}).scalar()
            if found is not None:
                return str(found)
            key_id = f"key_{self._random(8).hex()}"
            nonce, key = self._random(_NONCE_BYTES), self._random(_KEY_BYTES)
            wrapped = nonce + self._wrapping.encrypt(nonce, key, key_id.encode())
            bulk.insert(
                connection,
                data_key,
                ("key_id", "subject", "wrapped", "created_at"),
                [(key_id, subject, wrapped, to_micros(now))],
            )
            return key_id
