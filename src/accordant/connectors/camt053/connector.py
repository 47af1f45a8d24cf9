"""The bank put together: the folder of a connection to its reader.
Guarantees that a folder that is not there is named before anything is read. Next: reader.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from accordant.canonical.refs import EntityKind
from accordant.connectors.camt053.inbound import BankInbound
from accordant.connectors.camt053.reader import FolderReader
from accordant.connectors.sdk.addresses import AddressPolicy
from accordant.connectors.sdk.settings import Given
from accordant.kernel.clock import Clock

#: The setting without which nothing can be read.
READER_NEEDS = "folder"
_REQUIRED = {"folder": "Give the whole path of the folder into which the bank's files come."}


def reader(
    settings: Mapping[str, str],
    clock: Clock,
    *,
    system: str,
    addresses: AddressPolicy | None = None,  # noqa: ARG001  nothing is called
) -> FolderReader:
    """The reader of statements; ``system`` is the connection's name. Raises ConfigurationError."""
    given = Given("bank statement", settings, required=_REQUIRED, optional=())
    folder = Path(given.text("folder"))
    if not folder.is_absolute():
        raise given.wrong("folder", f"{folder} is no whole path", _REQUIRED["folder"])
    if not folder.is_dir():
        raise given.wrong("folder", f"there is no folder {folder}", "Make it, or correct the path.")
    return FolderReader(folder, system=system, clock=clock)


def inbound(_settings: Mapping[str, str]) -> BankInbound:
    """The inbound half: it understands what the reader fetched."""
    return BankInbound()


def webhook_secrets(_settings: Mapping[str, str]) -> tuple[bytes, ...]:
    """None: nothing is sent to the door."""
    return ()


def default_ownership() -> dict[EntityKind, str]:
    """What a bank owns, with its sentence."""
    return {EntityKind.BANK_STATEMENT: "The bank says what arrived on the company's accounts and what left them."}
