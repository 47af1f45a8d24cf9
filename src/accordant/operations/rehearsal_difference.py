"""What two decisions about one record differ in: value, whether it is sent, what is held or refused, and the money.

Pure. Personal values are covered before they leave: a difference is kept, shown and exported.
"""

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from accordant.canonical.charter import FieldType, MappingPart
from accordant.canonical.intents import WireValue
from accordant.canonical.rehearsal import Difference, DifferenceKind
from accordant.governance.decide import decode_decision
from accordant.governance.sensitivity import Lens
from accordant.kernel.errors import RejectedError
from accordant.kernel.money import Money
from accordant.ports.state import Changes, DesiredRecord

_CURRENCY_FACT = "currency"
_HELD = "court.record.held"
_NONE: frozenset[str] = frozenset()


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """What was decided about one record.

    ``sent`` are the fields that go out, at once or when a switch is released; ``stuck`` those without a value, and
    ``refused`` those that may not be written there.
    """

    record: DesiredRecord
    sent: frozenset[str]
    stuck: frozenset[str] = _NONE
    refused: frozenset[str] = _NONE


class Unnamed(msgspec.Struct, frozen=True, kw_only=True):
    """An entity whose record has no key in a flow, and why."""

    entity: str
    flow: str
    reason: str


def decided_records(changes: Changes) -> tuple[dict[str, Decided], tuple[Unnamed, ...]]:
    """Every record of a plan that was made as if nothing had been decided, by reference; and what has no name."""
    intents = {f"{one.intent.target}:{one.intent.object}/{one.intent.key}": one for one in changes.intents}
    found = {}
    for record in changes.desired:
        planned = intents.get(record.ref)
        if planned is None:  # nothing of it may ever be written, so nothing was planned
            found[record.ref] = Decided(record=record, sent=_NONE, refused=frozenset(record.fields))
            continue
        decision = decode_decision(planned.decision)
        fields = frozenset(record.fields)
        found[record.ref] = Decided(
            record=record,
            sent=(decision.write | decision.held) & fields,
            stuck=decision.held - fields,
            refused=decision.refused & fields,
        )
    unnamed = tuple(
        Unnamed(entity=entry.subject, flow=str(entry.body["flow"]), reason=_text(entry.body["reasons"]))
        for entry in changes.audit
        if entry.kind == _HELD
    )
    return found, unnamed


def _text(value: object) -> str:
    return " ".join(str(item) for item in value) if isinstance(value, list) else str(value)


def differences(
    before: Decided | None,
    after: Decided | None,
    *,
    account_id: str,
    confirmed: Mapping[str, WireValue],
    mappings: tuple[MappingPart | None, MappingPart | None],
    lenses: tuple[Lens, Lens],
) -> tuple[Difference, ...]:
    """Everything that differs, by field name.

    ``confirmed`` is what the target was last seen to hold, ``mappings`` are those of the record's flow before and
    after; through ``lenses``, of both charters, values are shown.
    """
    whole = after or before
    assert whole is not None  # noqa: S101  the caller names records that are on one side at least
    made = _Made(whole.record, account_id, confirmed, tuple(part for part in mappings if part is not None), lenses)
    if after is None:
        assert before is not None  # noqa: S101  see above
        why = "No flow keeps this record any more; the target's record stays as it is."
        return (made.whole(DifferenceKind.GONE, is_sent=bool(before.sent), reason=why),)
    if before is None:
        fields = sorted(after.record.fields)
        return (
            made.whole(DifferenceKind.NEW, is_sent=bool(after.sent), reason=None),
            *(made.field(DifferenceKind.NEW, name, None, after) for name in fields if name not in after.refused),
            *_stopped(made, None, after),
        )
    return (*_of_fields(made, before, after), *_stopped(made, before, after))


def _of_fields(made: "_Made", before: Decided, after: Decided) -> Iterator[Difference]:
    for name in sorted(before.record.fields.keys() | after.record.fields.keys()):
        if name in after.refused or name in after.stuck:
            continue  # said by `_stopped`
        kind = _kind_of(name, before, after)
        if kind is not None:
            yield made.field(kind, name, before, after)


def _kind_of(name: str, before: Decided, after: Decided) -> DifferenceKind | None:
    if name not in after.record.fields:
        return DifferenceKind.LEFT_OUT
    old, new = before.record.fields.get(name), after.record.fields[name]
    if name in before.record.fields and type(old) is type(new) and old == new:
        if name in after.sent and name not in before.sent:
            return DifferenceKind.RELEASED
        return DifferenceKind.WITHHELD if name in before.sent - after.sent else None
    if new is None:
        return DifferenceKind.CLEARED
    return DifferenceKind.CHANGED


def _stopped(made: "_Made", before: Decided | None, after: Decided) -> Iterator[Difference]:
    """Fields that have no value under the new charter, or may not be written, and could be until now."""
    for name in sorted(after.stuck - (before.stuck if before is not None else _NONE)):
        reason = next((note for note in after.record.notes if note.startswith(f"{name} is left out")), None)
        yield made.field(DifferenceKind.HELD, name, before, after, reason=reason)
    for name in sorted(after.refused - (before.refused if before is not None else _NONE)):
        reason = next((note for note in after.record.notes if name in note), None)
        yield made.field(DifferenceKind.REFUSED, name, before, after, reason=reason)


class _Made:
    """Makes the differences of one record."""

    def __init__(
        self,
        record: DesiredRecord,
        account_id: str,
        confirmed: Mapping[str, WireValue],
        mappings: tuple[MappingPart, ...],
        lenses: tuple[Lens, Lens],
    ) -> None:
        self._record = record
        self._account_id = account_id
        self._confirmed = confirmed
        self._lenses = lenses
        self._amounts = frozenset(
            name for part in mappings for name, field in part.fields.items() if field.type is FieldType.CURRENCY
        )
        self._currency_fields = tuple(
            name for part in mappings for name, field in part.fields.items() if field.source == _CURRENCY_FACT
        )

    def whole(self, kind: DifferenceKind, *, is_sent: bool, reason: str | None) -> Difference:
        """Of the record as a whole."""
        return self._difference(kind, is_sent=is_sent, reason=reason)

    def field(
        self, kind: DifferenceKind, name: str, before: Decided | None, after: Decided, *, reason: str | None = None
    ) -> Difference:
        """Of one field."""
        old = before.record.fields.get(name) if before is not None else None
        new = after.record.fields.get(name)
        known = name in self._confirmed and name in after.record.fields
        is_amount = name in self._amounts and kind in MOVES_MONEY and (old, new) != (None, None)
        records = [after.record] if before is None else [before.record, after.record]
        made = self._difference(
            kind,
            is_sent=name in after.sent,
            reason=reason,
            field=name,
            before=self._shown(name, old),
            after=self._shown(name, new),
        )
        return msgspec.structs.replace(
            made,
            is_there=known and self._confirmed[name] == new,
            is_amount=is_amount,
            money=self._money(old, new, records) if is_amount else None,
        )

    def _difference(
        self,
        kind: DifferenceKind,
        *,
        is_sent: bool,
        reason: str | None,
        field: str | None = None,
        before: WireValue = None,
        after: WireValue = None,
    ) -> Difference:
        record = self._record
        return Difference(
            record=record.ref,
            flow=record.flow,
            target=record.target,
            object=record.object,
            key=record.key,
            account_id=self._account_id,
            kind=kind,
            field=field,
            before=before,
            after=after,
            is_sent=is_sent,
            reason=self._said(reason),
        )

    def _shown(self, name: str, value: WireValue) -> WireValue:
        """The value for whoever sees least, under either charter: what one of them covers stays covered."""
        seen: object = value
        for lens in self._lenses:
            seen = lens.field(self._record.target, self._record.object, name, seen)
        return seen if isinstance(seen, str | int | bool) or seen is None else str(seen)

    def _said(self, reason: str | None) -> str | None:
        """A reason may quote the value it speaks of."""
        return reason if reason is None else self._lenses[1].text(reason)

    def _money(self, old: WireValue, new: WireValue, records: Iterable[DesiredRecord]) -> Money | None:
        """After less before; None where the currency, or one of the amounts, cannot be told."""
        currency = self._currency_of(records)
        if currency is None:
            return None
        try:
            return _amount(new, currency) - _amount(old, currency)
        except RejectedError:
            return None

    def _currency_of(self, records: Iterable[DesiredRecord]) -> str | None:
        """The one currency the record names; two, or none, leave the amount unknown."""
        named = {
            str(value)
            for record in records
            for name in self._currency_fields
            if (value := record.fields.get(name)) is not None
        }
        return named.pop() if len(named) == 1 else None


#: Differences that change an amount; the others leave it or take it out of sight.
MOVES_MONEY = frozenset({DifferenceKind.NEW, DifferenceKind.CHANGED, DifferenceKind.CLEARED})


def _amount(value: WireValue, currency: str) -> Money:
    return Money.zero(currency) if value is None else Money.parse(str(value), currency)
