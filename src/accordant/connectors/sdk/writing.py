"""Records of one call to a target that takes one at a time.
Guarantees that once one is through, a failure is told of those behind it only, and nothing is sent after it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from accordant.canonical.intents import RefusalClass, Refused, Uncertain, WriteOutcome
from accordant.kernel.errors import HoldError, TransientError
from accordant.ports.connector import AnswerLost, RecordWrite, WriteResult
from accordant.ports.last_word import WriteForbidden


async def write_in_turn(
    records: Sequence[RecordWrite], write_one: Callable[[RecordWrite], Awaitable[WriteOutcome]]
) -> tuple[WriteResult, ...]:
    """One record after the other, one result each. Raises as ``write_one`` does for the first of them."""
    results: list[WriteResult] = []
    failed: WriteOutcome | None = None
    for record in records:
        outcome = failed
        if outcome is None:
            try:
                outcome = await write_one(record)
            except WriteForbidden:
                raise
            except (TransientError, HoldError) as error:
                if not results:
                    raise
                outcome, failed = _outcome_of(error), _unsent(error)
        results.append(WriteResult(outcome=outcome, request_id=None))
    return tuple(results)


def _outcome_of(error: TransientError | HoldError) -> WriteOutcome:
    return Uncertain(reason=error.message) if isinstance(error, AnswerLost) else _unsent(error)


def _unsent(error: TransientError | HoldError) -> Refused:
    held = isinstance(error, HoldError)
    return Refused(
        cause=RefusalClass.AUTHORIZATION if held else RefusalClass.TRANSIENT,
        code="NOT_SENT",
        message=f"Not sent: {error}",
        retry_after_s=None if isinstance(error, HoldError) else error.retry_after_s,
    )
