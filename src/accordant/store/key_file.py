"""A secret of this installation in a file of its own: 32 random bytes that only their owner may read, made once."""

import os
import secrets
from contextlib import suppress
from pathlib import Path

from accordant.kernel.errors import ConfigurationError

_KEY_BYTES = 32


def read_key_file(path: Path, *, name: str) -> bytes:
    """The 32-byte key in ``path``, made with owner-only rights on first use; ``name`` is what people call it.

    Raises: ConfigurationError when the file is not a key or others may read it.
    """
    if not path.exists():
        _make(path)
    if path.stat().st_mode & 0o077:
        raise ConfigurationError(f"The {name} {path} can be read by others.", remedy=f"Run: chmod 600 {path}")
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except ValueError:
        key = b""
    if len(key) != _KEY_BYTES:
        raise ConfigurationError(
            f"The {name} {path} is not 64 hexadecimal digits.", remedy="Restore it from your backup of the key."
        )
    return key


def _make(path: Path) -> None:
    """Write the key beside its place and link it there: nobody reads half a key, and the first of two makers wins."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(secrets.token_hex(_KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            path.hardlink_to(draft)
    finally:
        draft.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # a key that a power cut forgets would take everything it made with it
    finally:
        os.close(folder)
