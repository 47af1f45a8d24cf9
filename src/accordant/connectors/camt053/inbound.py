"""A bank's statement into the hub's words. Pure: bytes in, observations out.
Guarantees that nothing which comes to the door counts: a bank sends nothing, its files were fetched from their folder.
Next: statements.py, which reads them; reader.py, which fetches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from accordant.canonical.bank import BankStatement
from accordant.canonical.observations import Interpretation, Interpreted, Observation, Quarantined, Standpoint
from accordant.canonical.refs import EntityKind, ExternalRef
from accordant.connectors.camt053.statements import StatementUnreadable, message_id, read_statements
from accordant.connectors.sdk.receivables import unreadable
from accordant.ports.connector import Envelope, SignatureInvalid

STATEMENT, BOOKED = "statement", "statement.booked"


class BankInbound:
    """Implements ``ports.connector.Inbound`` for files of camt.053."""

    def verify(  # the port's arguments, of which none can help
        self,
        *,
        headers: Mapping[str, str],  # noqa: ARG002
        body: bytes,  # noqa: ARG002
        secrets: Sequence[bytes],  # noqa: ARG002
        now: datetime,  # noqa: ARG002
    ) -> None:
        """Nothing is sent by itself. Raises SignatureInvalid."""
        raise SignatureInvalid("A bank sends nothing to the door: whoever sent this is no bank of ours.")

    def read_envelope(self, body: bytes) -> Envelope:
        """See the port. A message is named by the bank; the same name with other content is told as a conflict."""
        try:
            first, name = read_statements(body)[0], message_id(body)
        except StatementUnreadable as error:
            return unreadable(body, f"{error.message} ({error.where})")
        return Envelope(
            external_id=f"{STATEMENT}/{first.account}/{name}",
            event_type=BOOKED,
            lane=f"account/{first.account}",
            occurred_at=first.created_at,
        )

    def interpret(self, *, system: str, body: bytes) -> Interpretation:
        """See the port: every statement of the file."""
        try:
            found = read_statements(body)
        except StatementUnreadable as error:
            return Quarantined(error.message, where=error.where)
        return Interpreted(tuple(_observed(system, one) for one in found))

    def interpret_object(self, *, ref: ExternalRef, body: bytes, read_at: datetime) -> Interpretation:
        """See the port. A file that is no longer in its folder takes nothing back: what was booked stays booked."""
        if not body:
            return Interpreted(())
        try:
            found = [one for one in read_statements(body) if one.external_id == ref.id]
        except StatementUnreadable as error:
            return Quarantined(error.message, where=error.where)
        return Interpreted(tuple(_observed(ref.system, one, read_at) for one in found))


def _observed(system: str, statement: BankStatement, read_at: datetime | None = None) -> Observation:
    ref = ExternalRef(system, STATEMENT, statement.external_id)
    return Observation(
        ref=ref,
        root=ref,
        root_kind=EntityKind.BANK_STATEMENT,
        entity=statement,
        observed_at=statement.created_at if read_at is None else read_at,
        standpoint=Standpoint.NOTICE if read_at is None else Standpoint.READING,
    )
