"""Between the registry and the court: does the money that a batch told of fit together? If not, a red flag is raised.

Only what changed is looked at, and the rest of its account is fetched only where something may not fit. What a flag
stops is stopped in the same commit. `governance/red_flags.py` says what fits.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import msgspec

from accordant.canonical.charter import RedFlagsPart
from accordant.canonical.entities import CreditNote, Dispute, Entity, Invoice, Payment, Refund
from accordant.canonical.red_flags import RedFlag
from accordant.governance.red_flags import (
    credit_over_total,
    document_gone,
    given_back,
    over_refunded,
    unexplained_reversal,
)
from accordant.pipeline.workbench import Workbench
from accordant.ports.flags import flag_entry
from accordant.ports.inbox import InboxEvent
from accordant.ports.state import State, StoredEntity

_E = TypeVar("_E", bound=Entity)


def raise_flags(
    bench: Workbench, part: RedFlagsPart, events: Sequence[InboxEvent], state: State
) -> tuple[RedFlag, ...]:
    """Look at what the batch changed; lay new flags on the bench with their lines of the trail, and return them."""
    suspects = _suspects(bench, state) if part.stop_on else {}
    if not suspects and not bench.vanished:
        return ()
    said = {event.seq: event.occurred_at for event in events}
    found = {flag.id: flag for flag in _gone(bench, state)}
    for account_id, changes in suspects.items():
        known = _Known(account_id, [*state.entities_of([account_id]), *(new for _, new in changes)], bench)
        for before, after in changes:
            for flag in _flags_of(before, after, known, bench):
                found.setdefault(flag.id, msgspec.structs.replace(flag, said_at=said.get(flag.seq or 0)))
    chosen = {name: flag for name, flag in found.items() if flag.kind in part.stop_on}
    new = [chosen[name] for name in sorted(chosen.keys() - state.flags(chosen))] if chosen else []
    bench.changes.flags.extend(new)
    bench.changes.audit.extend(flag_entry(flag) for flag in new)
    return tuple(new)


def _gone(bench: Workbench, state: State) -> Iterable[RedFlag]:
    """Documents that a target no longer has, each stopping the customer whose it is."""
    if not bench.vanished:
        return
    owners = {one.entry.id: one.root_id for one in state.books.kept_entries({gone.entry_id for gone in bench.vanished})}
    for gone in bench.vanished:
        yield document_gone(
            record=gone.record,
            target_id=gone.target_id,
            account_id=owners.get(gone.entry_id),
            seq=gone.seq,
            said_at=gone.said_at,
            now=bench.now,
        )


_Change = tuple[StoredEntity | None, StoredEntity]


def _suspects(bench: Workbench, state: State) -> dict[str, list[_Change]]:
    """By account, the changes that may not fit: everything else needs no further look."""
    suspects: dict[str, list[_Change]] = {}
    invoices: dict[str, list[_Change]] = {}
    for before, after in bench.advances:
        match after.entity:
            case CreditNote() | Refund():
                suspects.setdefault(after.root_id, []).append((before, after))
            case Payment(refunded=refunded, amount=amount) if refunded.amount_minor > amount.amount_minor:
                suspects.setdefault(after.root_id, []).append((before, after))
            case Invoice() if before is not None and _shows_less(before.entity, after.entity):
                suspects.setdefault(after.root_id, []).append((before, after))
            case Invoice() if before is None:
                invoices.setdefault(after.root_id, []).append((before, after))
            case _:
                pass
    # A credit note may be told of before its invoice; few accounts have any at all.
    for account_id in state.with_credit_notes(invoices.keys() - suspects.keys()) if invoices else ():
        suspects[account_id] = invoices[account_id]
    return suspects


def _shows_less(before: Entity, after: Entity) -> bool:
    """Whether an invoice asks or shows paid less than before, or is no longer one."""
    if not isinstance(before, Invoice) or not isinstance(after, Invoice):
        return False
    return (
        after.total.amount_minor < before.total.amount_minor
        or after.amount_paid.amount_minor < before.amount_paid.amount_minor
        or (before.amount_paid.amount_minor > 0 and (after.status == "void" or after.deleted))
    )


class _Known:
    """Everything of one account, the changes of this batch included, by what it belongs to."""

    def __init__(self, account_id: str, stored: Iterable[StoredEntity], bench: Workbench) -> None:
        self.account_id = account_id
        newest = {one.ref.id: bench.entity(one.ref.id) or one for one in stored}
        self._all = list(newest.values())

    def of(self, kind: type[_E], fits: Callable[[_E], bool]) -> list[tuple[str, _E]]:
        """Entities of a kind that fit, each with its reference, in the order of the references."""
        found = [(str(one.source), one.entity) for one in self._all if isinstance(one.entity, kind)]
        return sorted(((ref, entity) for ref, entity in found if fits(entity)), key=lambda pair: pair[0])


def _flags_of(before: StoredEntity | None, after: StoredEntity, known: _Known, bench: Workbench) -> Iterable[RedFlag]:
    entity = after.entity
    match entity:
        case CreditNote():
            ids = {entity.invoice_id}
            invoices = known.of(Invoice, lambda one: one.external_id in ids)
            found = [_credit(ref, invoice, known, after.cause, bench) for ref, invoice in invoices]
        case Invoice():
            found = [_credit(str(after.source), entity, known, after.cause, bench)]
            found.append(_reversal(before, after, entity, known, bench))
        case Payment():
            found = [_refunded(str(after.source), entity, known, after.cause, bench)]
        case Refund():
            paid = {entity.payment_id}
            payments = known.of(Payment, lambda one: one.external_id in paid)
            found = [_refunded(ref, payment, known, after.cause, bench) for ref, payment in payments]
        case _:
            found = []
    return [flag for flag in found if flag is not None]


def _credit(subject: str, invoice: Invoice, known: _Known, seq: int, bench: Workbench) -> RedFlag | None:
    notes = known.of(CreditNote, lambda one: one.invoice_id == invoice.external_id)
    return credit_over_total(invoice, notes, subject=subject, account_id=known.account_id, seq=seq, now=bench.now)


def _reversal(
    before: StoredEntity | None, after: StoredEntity, invoice: Invoice, known: _Known, bench: Workbench
) -> RedFlag | None:
    notes = known.of(CreditNote, lambda one: one.invoice_id == invoice.external_id)
    payments = {one.external_id: one for _, one in known.of(Payment, lambda one: one.invoice_id == invoice.external_id)}
    refunds = known.of(Refund, lambda one: one.payment_id in payments)
    disputes = known.of(Dispute, lambda one: one.payment_id in payments)
    explained = given_back(
        (note for _, note in notes), payments, (one for _, one in refunds), (one for _, one in disputes)
    )
    held = before.entity if before is not None and isinstance(before.entity, Invoice) else None
    return unexplained_reversal(
        held, invoice, explained, subject=str(after.source), account_id=known.account_id, seq=after.cause, now=bench.now
    )


def _refunded(subject: str, payment: Payment, known: _Known, seq: int, bench: Workbench) -> RedFlag | None:
    refunds = known.of(Refund, lambda one: one.payment_id == payment.external_id)
    return over_refunded(payment, refunds, subject=subject, account_id=known.account_id, seq=seq, now=bench.now)
