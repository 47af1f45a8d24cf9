"""Error patterns as people described them, and the words with which targets refused: what trouble is grouped by."""

from collections.abc import Iterable

from sqlalchemy import Connection, select

from accordant.canonical.error_patterns import KnownPattern, refusal_code
from accordant.kernel.clock import from_micros
from accordant.store.schema import error_pattern, write_receipt
from accordant.views.keyed import rows_by_key


def known_patterns(connection: Connection) -> dict[str, KnownPattern]:
    """Every described pattern, by key."""
    return {
        row.key: KnownPattern(
            key=row.key,
            text=row.text,
            name=row.name,
            remedy=row.remedy,
            named_by=row.named_by,
            named_at=from_micros(row.named_at),
        )
        for row in connection.execute(select(error_pattern))
    }


def refusal_codes(connection: Connection, intent_ids: Iterable[str]) -> dict[str, str]:
    """The word of the last refusal of each intent; empty where the target gave none."""
    columns = (write_receipt.c.intent_id, write_receipt.c.attempt, write_receipt.c.body)
    rows = rows_by_key(connection, columns, write_receipt.c.intent_id, intent_ids)
    return {row.intent_id: refusal_code(row.body) for row in sorted(rows, key=lambda row: row.attempt)}
