"""Grants as they are kept: append-only, each under a seal that no longer fits once a byte of it was changed.

Read at every plan and right before every write, so this is one query by index however long the history is.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, func, select

from accordant.canonical.charter import Automation, Phase
from accordant.canonical.phases import Grant
from accordant.kernel.clock import from_micros, to_micros
from accordant.kernel.hashing import canonical_json, digest
from accordant.store.schema import phase_grant

_DECODER = msgspec.json.Decoder(Grant)
#: The row of the newest grant of each flow, for ``read_grants``.
NEWEST = select(
    phase_grant.c.flow, phase_grant.c.proposal, phase_grant.c.body, phase_grant.c.seal, phase_grant.c.granted_at
).where(phase_grant.c.id.in_(select(func.max(phase_grant.c.id)).group_by(phase_grant.c.flow)))
_ALTERED = "The record of its grant was altered after it was made."


def read_grants(rows: Sequence[Row[Any]]) -> tuple[Grant, ...]:
    """Grants out of their rows; one whose seal does not fit lets its flow read only."""
    return tuple(_read(row) for row in rows)


def _read(row: Row[Any]) -> Grant:
    body = bytes(row.body)
    if digest(body).hex() == row.seal:
        try:
            grant = _DECODER.decode(body)
        except msgspec.DecodeError:
            return _altered(row.flow, from_micros(row.granted_at))
        if (grant.flow, _spent(grant), to_micros(grant.granted_at)) == (row.flow, row.proposal, row.granted_at):
            return grant
    return _altered(row.flow, from_micros(row.granted_at))


def _altered(flow: str, at: datetime) -> Grant:
    return Grant(
        flow=flow,
        phase=Phase.READ_ONLY,
        automation=Automation.RECORD_SYNC,
        write_fields=(),
        meaning="",
        evidence="",
        proposal="",
        requested_by="",
        granted_by="accordant",
        granted_at=at,
        reason=_ALTERED,
        is_narrowing=True,
    )


def _spent(grant: Grant) -> str | None:
    """The proposal this grant uses up: a narrowing uses none."""
    return None if grant.is_narrowing else grant.proposal


def add_grant(connection: Connection, grant: Grant) -> None:
    """Keep a grant. The database refuses a second one for a proposal."""
    body = canonical_json(grant)
    connection.execute(
        phase_grant.insert().values(
            flow=grant.flow,
            proposal=_spent(grant),
            body=body,
            seal=digest(body).hex(),
            granted_at=to_micros(grant.granted_at),
        )
    )
