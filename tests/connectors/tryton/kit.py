"""What the tests of the outbound half share: a connection of ours, and the specs of the shipped mapping."""

from __future__ import annotations

from datetime import UTC, datetime

from accordant.canonical.targets import object_spec
from accordant.connectors.sdk.addresses import AddressPolicy
from accordant.connectors.sdk.http import Recorder, Timeouts
from accordant.connectors.tryton.connector import default_mappings, outbound
from accordant.connectors.tryton.outbound import TrytonOutbound
from tests.connectors.ledger_kit import DAY, billed, invoice, line, move, paid, put, refusal, send, turned
from tests.connectors.tryton.server import PASSWORD, USER, Tryton

__all__ = [
    "DAY", "INVOICE", "MOVE", "PARTY", "a_customer", "billed", "connect", "invoice", "line", "move", "paid", "put",
    "refusal", "send", "turned",
]  # fmt: skip
PARTY, INVOICE, MOVE = (object_spec(mapping) for mapping in default_mappings())


def connect(
    tryton: Tryton,
    *,
    url: str | None = None,
    recorder: Recorder | None = None,
    timeouts: Timeouts | None = None,
    **more: str,
) -> TrytonOutbound:
    """Our outbound half, straight to the server or to something in between; ``more`` are settings."""
    settings = {"url": url or tryton.url, "database": tryton.database, "user": USER, "password": PASSWORD, **more}
    return outbound(
        settings,
        lambda: datetime.now(UTC),
        rate_per_s=1_000,
        addresses=AddressPolicy(allow_loopback=True),
        recorder=recorder,
        timeouts=timeouts or Timeouts(),
    )


async def a_customer(erp: TrytonOutbound, code: str) -> str:
    """A customer of a test's own."""
    await put(erp, PARTY, code, {"name": f"Customer {code}", "email": f"{code}@example.com"})
    return code
