"""What a month lacks before it can be closed, each with what to do next. Pure; `bookkeeper.py` asks it.

Source: ASC 830-20-35-1 (what is owed in another currency is measured at the rate of the balance sheet's day) and ASC
606-10-25-31 (revenue when the obligation is satisfied): neither can be made good in a month that takes nothing more.
"""

from collections.abc import Iterator
from datetime import date
from enum import StrEnum

import msgspec

from accordant.ledger.periods import Period
from accordant.operations.revalue import Outstanding
from accordant.ports.ledger_desk import OpenEnds


class CloseStep(StrEnum):
    """What has to be done with every month, in this order."""

    POSTED = "posted"
    RECOGNISED = "recognised"
    REVALUED = "revalued"


class MissingStep(msgspec.Struct, frozen=True, kw_only=True):
    """One step that is not done: how many things it is about, in words, and what to do next."""

    step: CloseStep
    count: int
    what: str
    remedy: str


class MonthToClose(msgspec.Struct, frozen=True, kw_only=True):
    """The month of a company that is closed next: over, open, and with something in it; ``month_on`` is its first day,
    ``waiting`` how many months that are over stand open, itself among them.
    """

    legal_entity: str
    month_on: date
    waiting: int
    missing: tuple[MissingStep, ...]


def missing_steps(period: Period, ends: OpenEnds, abroad: Outstanding) -> tuple[MissingStep, ...]:
    """Everything that is missing. ``abroad`` is what the closing rates would still post."""
    return tuple(_missing(period, ends, abroad))


def _missing(period: Period, ends: OpenEnds, abroad: Outstanding) -> Iterator[MissingStep]:
    company, month = period.legal_entity, f"{period.starts_on:%Y-%m}"
    if ends.held:
        yield MissingStep(
            step=CloseStep.POSTED,
            count=ends.held,
            what=f"Not in the books: {_counted(ends.held, 'event')} from before {period.ends_on}.",
            remedy="`accordant books held` says why and what to do.",
        )
    if ends.unrecognised:
        yield MissingStep(
            step=CloseStep.RECOGNISED,
            count=ends.unrecognised,
            what=f"Revenue of {_counted(ends.unrecognised, 'line')} from before {period.ends_on} is not recognised.",
            remedy=f'Run `accordant books recognise "{company}" {month}`.',
        )
    run = f'Run `accordant books revalue "{company}" {month}`.'
    if abroad.refusals:
        yield MissingStep(
            step=CloseStep.REVALUED,
            count=len(abroad.refusals),
            what=" ".join(dict.fromkeys(one.reason for one in abroad.refusals)),
            remedy=" ".join([*dict.fromkeys(one.remedy for one in abroad.refusals), run]),
        )
    elif abroad.count:
        yield MissingStep(
            step=CloseStep.REVALUED,
            count=abroad.count,
            what=f"What is owed and held in {', '.join(abroad.currencies)} is not at the closing rate of {month}.",
            remedy=run,
        )


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
