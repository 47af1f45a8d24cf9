"""Signed checkpoints: where the trail ended at a moment, in one line that is kept on another machine.

They are the only witness against a trail cut back to an earlier end or rewritten whole. Next: `audit.py`.
"""

from datetime import datetime
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from sqlalchemy import Connection, select

from accordant.kernel.errors import RejectedError
from accordant.store.key_file import read_key_file
from accordant.store.schema import audit_head

#: What the first batch is chained to.
GENESIS = bytes(32)
_PRIVATE_NAME, _PUBLIC_NAME = "checkpoint.key", "checkpoint.pub"


class CheckpointUnreadable(RejectedError):
    """The text is not a checkpoint of the audit trail."""

    remedy = "Give one whole line as it was exported."


class CheckpointForged(RejectedError):
    """The checkpoint was not signed by this key."""

    remedy = "Give the public key that was kept when the installation was made, and the line as it was exported."


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Where the trail ended. ``hash``, ``key`` (the public one) and ``signature`` (Ed25519) are hexadecimal."""

    batch: int
    position: int
    hash: str
    at: datetime
    key: str
    signature: str


class CheckpointSigner:
    """Signs checkpoints with the private key of the installation."""

    def __init__(self, seed: bytes) -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        self.public = self._private.public_key().public_bytes_raw().hex()

    def sign(self, *, batch: int, position: int, head: bytes, at: datetime) -> Checkpoint:
        """The checkpoint of a head."""
        said = _said(batch, position, head.hex(), at, self.public)
        return Checkpoint(
            batch=batch,
            position=position,
            hash=head.hex(),
            at=at,
            key=self.public,
            signature=self._private.sign(said).hex(),
        )


def read_signer(home: Path) -> CheckpointSigner:
    """The signer of the installation in ``home``: its key pair is made on first use, the public half beside it.

    Raises: ConfigurationError when the private half is damaged or others may read it.
    """
    home.mkdir(parents=True, exist_ok=True)
    signer = CheckpointSigner(read_key_file(home / _PRIVATE_NAME, name="key of the checkpoints"))
    public = home / _PUBLIC_NAME
    if not public.exists():
        public.write_text(signer.public + "\n", encoding="ascii")
    return signer


def export_checkpoint(connection: Connection, *, now: datetime, signer: CheckpointSigner) -> str:
    """One line of JSON that names the end of the trail; whoever keeps it elsewhere can prove a later cut or rewrite."""
    head = connection.execute(select(audit_head).where(audit_head.c.id == 1)).one_or_none()
    batch, position, chained = (0, 0, GENESIS) if head is None else (head.batch, head.position, bytes(head.hash))
    return msgspec.json.encode(signer.sign(batch=batch, position=position, head=chained, at=now)).decode()


def read_checkpoint(line: str, *, public: str) -> Checkpoint:
    """The checkpoint in a line that ``export_checkpoint`` wrote, signed by the key whose ``public`` half is given.

    Raises: CheckpointUnreadable, CheckpointForged.
    """
    try:
        mark = msgspec.json.decode(line.encode("utf-8", "replace"), type=Checkpoint)
    except msgspec.DecodeError as error:
        raise CheckpointUnreadable(f"This is not a checkpoint of the audit trail: {error}.") from None
    if not _is_signed(mark, public):
        raise CheckpointForged(f"The checkpoint of batch {mark.batch} was not signed by this key.")
    return mark


def _is_signed(mark: Checkpoint, public: str) -> bool:
    said = _said(mark.batch, mark.position, mark.hash, mark.at, public)
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(bytes.fromhex(mark.signature), said)
    except (InvalidSignature, ValueError):
        return False
    return mark.key == public


def _said(batch: int, position: int, head: str, at: datetime, public: str) -> bytes:
    """What is signed: plain lines, so that it can be checked without a JSON library."""
    instant = msgspec.to_builtins(at)
    return f"accordant-checkpoint-1\n{batch}\n{position}\n{head}\n{instant}\n{public}\n".encode()
