"""Stripe's outbound half: customers and subscriptions found, compared, made and changed, one call for each.
Guarantees that nothing is made without having been looked for, that what is changed was read just before, and that an
answer which says another thing than what was sent is never taken for success. Next: finding.py, errors.py.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence

from accordant.canonical.intents import Applied, RefusalClass, Refused, Uncertain, WireValue, WriteOutcome
from accordant.canonical.matching import Candidate, MatchKey
from accordant.canonical.shapes import DescribedField
from accordant.canonical.targets import CurrentRecord, IdentitySpec, ObjectSpec, Whereabouts
from accordant.connectors.sdk.decode import JsonObject
from accordant.connectors.sdk.http import HttpAnswer
from accordant.connectors.stripe import customers, errors, records, subscriptions
from accordant.connectors.stripe.calls import Calls, Form, object_of, segment
from accordant.connectors.stripe.customers import CUSTOMER
from accordant.connectors.stripe.finding import COLLECTIONS, Finder, candidate_of
from accordant.connectors.stripe.records import (
    METADATA_VALUE_LENGTH_MAX,
    ValueUnreadable,
    checked_metadata_name,
    read_metadata,
)
from accordant.connectors.stripe.subscriptions import CUSTOMER_FIELD, SUBSCRIPTION
from accordant.kernel.clock import Clock
from accordant.kernel.errors import HoldError, InvariantBroken, TransientError
from accordant.ports.connector import AnswerLost, RecordWrite, TargetUnavailable, WriteProtocol, WriteResult
from accordant.ports.last_word import WriteForbidden

#: A change takes two calls of up to a second, and a whole batch has twenty seconds.
BATCH_MAX = 5
_FIELDS = {CUSTOMER: customers.FIELDS, SUBSCRIPTION: subscriptions.FIELDS}


class StripeOutbound:
    """An ``accordant.ports.connector.Outbound`` for the objects of the manifest."""

    batch_max = BATCH_MAX

    def __init__(
        self, *, calls: Calls, protocols: Mapping[str, WriteProtocol], clock: Clock, proration: str = ""
    ) -> None:
        """``proration`` is how a change of lines is settled with what was billed; empty where nobody has chosen."""
        self._calls = calls
        self._protocols = protocols
        self._clock = clock
        self._proration = proration
        self._finder = Finder(calls, clock)
        # Keys last read that more than one record carries: which one is meant is not ours to guess.
        self._twins: dict[tuple[str, str], tuple[str, ...]] = {}

    def __repr__(self) -> str:
        return f"StripeOutbound({self._calls!r})"

    def protocol(self, object_name: str) -> WriteProtocol:
        """See the port."""
        try:
            return self._protocols[object_name]
        except KeyError:
            raise InvariantBroken(f"Stripe's {object_name} is written, and the manifest does not name it.") from None

    def canonical(self, spec: ObjectSpec, fields: Mapping[str, WireValue]) -> dict[str, WireValue]:
        """See the port. Raises ValueUnreadable."""
        _check(spec)
        return customers.canonical(spec, fields) if spec.name == CUSTOMER else subscriptions.canonical(spec, fields)

    async def read(self, spec: ObjectSpec, keys: Sequence[str]) -> dict[str, CurrentRecord]:
        """See the port. Of several records under one key the oldest is told; none of them is written."""
        _check(spec)
        found = await self._finder.by_key(spec.name, spec.key_field, keys)
        for key in keys:
            self._twins.pop((spec.name, key), None)
        for key, held in found.items():
            if len(held) > 1:
                self._twins[spec.name, key] = tuple(str(one["id"]) for one in held)
        return {key: self._record(spec, held[0]) for key, held in found.items()}

    async def search(self, spec: IdentitySpec, keys: Collection[MatchKey]) -> tuple[Candidate, ...]:
        """See the port: customers are looked for by e-mail and by our key in their metadata."""
        if spec.object != CUSTOMER:
            return ()
        return tuple(candidate_of(spec, one) for one in await self._finder.by_person(spec, keys))

    async def census(self, spec: IdentitySpec, *, after: str = "") -> AsyncIterator[tuple[Candidate, ...]]:
        """See the port. Stripe lists in the order of age, so all are read before the first is told."""
        if spec.object != CUSTOMER:
            return
        told = [candidate_of(spec, one) async for one in self._finder.all(CUSTOMER)]
        later = sorted((one for one in told if one.id > after), key=lambda one: one.id)
        for start in range(0, len(later), 100):
            yield tuple(later[start : start + 100])

    async def whereabouts(self, spec: ObjectSpec, target_ids: Sequence[str]) -> dict[str, Whereabouts]:
        """See the port. Of a deleted customer Stripe tells its id only; a subscription is never deleted, it ends."""
        _check(spec)
        found: dict[str, Whereabouts] = {}
        for name in dict.fromkeys(one for one in target_ids if one):
            held = await self._finder.by_id(spec.name, name)
            if held is None:
                continue
            deleted = held.get("deleted") is True
            record = CurrentRecord(target_id=name, fields={}) if deleted else self._record(spec, held)
            key = None if deleted else read_metadata(held, spec.key_field)
            found[name] = Whereabouts(target_id=name, deleted=deleted, merged_into=None, key=key, record=record)
        return found

    async def keys(self, spec: ObjectSpec) -> AsyncIterator[tuple[str, CurrentRecord]]:
        """See the port."""
        _check(spec)
        async for held in self._finder.all(spec.name):
            key = read_metadata(held, spec.key_field)
            if key is not None:
                yield key, self._record(spec, held)

    async def describe(self, object_name: str) -> tuple[DescribedField, ...]:
        """See the port. Stripe has no description of its objects to ask for: this is what we take of them.

        The metadata take any name; what stands there is what a record is found by.
        """
        fields = _FIELDS.get(object_name, {})
        metadata = DescribedField(
            name="metadata.*",
            type="text",
            writable=True,
            external_id=True,
            length=METADATA_VALUE_LENGTH_MAX,
            picklist=None,
        )
        return (
            *(
                DescribedField(name=name, type=kind.value, writable=True, external_id=False, length=None, picklist=None)
                for name, kind in sorted(fields.items())
            ),
            *((metadata,) if fields else ()),
        )

    async def close(self) -> None:
        """Release connections."""
        await self._calls.close()

    # -- writing -------------------------------------------------------------------------------------------------------

    async def write(self, spec: ObjectSpec, records: Sequence[RecordWrite]) -> tuple[WriteResult, ...]:
        """See the port. One record after the other: once one is through, a failure is of those behind it only."""
        _check(spec)
        if len(records) > self.batch_max:
            raise InvariantBroken(f"{len(records)} records in one call; {self.batch_max} can be written in time.")
        results: list[WriteResult] = []
        failed: WriteOutcome | None = None
        for record in records:
            if failed is not None:
                results.append(WriteResult(outcome=failed, request_id=None))
                continue
            try:
                results.append(await self._write_one(spec, record))
            except WriteForbidden:
                raise
            except (TransientError, HoldError) as error:
                if not results:
                    raise
                results.append(WriteResult(outcome=_outcome_of(error), request_id=None))
                failed = _unsent(error)
        return tuple(results)

    async def _write_one(self, spec: ObjectSpec, record: RecordWrite) -> WriteResult:
        try:
            fields = self.canonical(spec, record.fields)
            key_form = [(f"metadata[{checked_metadata_name(spec.key_field)}]", "" if record.frees else record.key)]
        except ValueUnreadable as error:
            said = f"{error.message} {error.remedy}"
            return _here(Refused(cause=RefusalClass.DATA_QUALITY, code="VALUE_UNREADABLE", message=said))
        if (twins := self._twins.get((spec.name, record.key))) is not None and not record.frees:
            return _here(_twice(spec, record.key, twins))
        if record.target_id is None:
            form = await self._creation(spec, fields)
            path = f"/v1/{COLLECTIONS[spec.name]}"
        else:
            held = await self._finder.by_id(spec.name, record.target_id)
            if held is None or held.get("deleted") is True:
                # It was there when it was read just now: what became of it is found out by reading again.
                said = f"Stripe no longer has the {spec.name} {record.target_id}; it is looked for again."
                return _here(Refused(cause=RefusalClass.TRANSIENT, code="GONE", message=said))
            form = self._change(spec, fields, held)
            path = f"/v1/{COLLECTIONS[spec.name]}/{segment(record.target_id)}"
        if isinstance(form, Refused):
            return _here(form)
        expanded = [("expand[]", CUSTOMER_FIELD)] if spec.name == SUBSCRIPTION else []
        sent = [*form, *key_form, *expanded]
        answer = await self._calls.post(path, sent, key=record.idempotency_key, correlation_id=record.idempotency_key)
        outcome = self._outcome(spec, record, fields, answer)
        return WriteResult(outcome=outcome, request_id=answer.headers.get("request-id"))

    async def _creation(self, spec: ObjectSpec, fields: Mapping[str, WireValue]) -> Form | Refused:
        if spec.name == CUSTOMER:
            return customers.form(fields, None)
        wanted = fields.get(CUSTOMER_FIELD)
        customer = await self._customer(spec, wanted)
        if customer is None:
            named = f"the customer {wanted!r}" if wanted else "a customer"
            said = f"A subscription was not sent: {named} is not in Stripe. Write the customer first, then redrive it."
            return Refused(cause=RefusalClass.DATA_QUALITY, code="NO_CUSTOMER", message=said, fields=(CUSTOMER_FIELD,))
        return subscriptions.creation(fields, customer, proration=self._proration, now=self._clock())

    async def _customer(self, spec: ObjectSpec, wanted: WireValue) -> str | None:
        """Stripe's id of the customer a subscription is for: as it is, or looked up by the key we gave it."""
        if not isinstance(wanted, str) or not wanted:
            return None
        lookup = spec.fields[CUSTOMER_FIELD].lookup_key
        if lookup is None:
            return wanted
        found = (await self._finder.by_key(CUSTOMER, lookup, [wanted])).get(wanted, [])
        return str(found[0]["id"]) if len(found) == 1 else None

    def _change(self, spec: ObjectSpec, fields: Mapping[str, WireValue], held: JsonObject) -> Form | Refused:
        if spec.name == CUSTOMER:
            return customers.form(fields, held)
        return subscriptions.change(fields, held, proration=self._proration)

    def _outcome(
        self, spec: ObjectSpec, record: RecordWrite, fields: Mapping[str, WireValue], answer: HttpAnswer
    ) -> WriteOutcome:
        """What an answer says of one record. Raises as ``errors.refused``, and AnswerLost where it says nothing."""
        if answer.status != 200:
            return errors.refused(spec.name, answer, fields=fields)
        try:
            held = object_of(answer.body)
        except TargetUnavailable as error:
            raise AnswerLost(f"A write of a {spec.name} may have been carried out: {error.message}") from None
        name = held.get("id")
        if held.get("object") != spec.name or not isinstance(name, str) or record.target_id not in {None, name}:
            raise AnswerLost(f"Stripe answered a write of a {spec.name} with another object.")
        told = self._record(spec, held).fields
        other = sorted(field for field, value in fields.items() if told.get(field) != value)
        if read_metadata(held, spec.key_field) != (None if record.frees else record.key):
            other.append(spec.key_field)
        if other:
            return Uncertain(f"Stripe took the write of {name} and shows another {', '.join(other)} than was sent.")
        return Applied(target_id=name, created=record.target_id is None)

    def _record(self, spec: ObjectSpec, held: JsonObject) -> CurrentRecord:
        told = customers.fields_of(spec, held) if spec.name == CUSTOMER else subscriptions.fields_of(spec, held)
        return CurrentRecord(target_id=str(held["id"]), fields=told)


def _check(spec: ObjectSpec) -> None:
    if spec.name not in COLLECTIONS:
        raise InvariantBroken(f"Stripe's {spec.name!r} is not among the objects this connector writes.")
    records.checked_metadata_name(spec.key_field)


def _here(refused: Refused) -> WriteResult:
    """Refused before anything was sent."""
    return WriteResult(outcome=refused, request_id=None)


def _twice(spec: ObjectSpec, key: str, twins: tuple[str, ...]) -> Refused:
    said = (
        f"Stripe has {len(twins)} {spec.name}s with {spec.key_field} {key!r}: {', '.join(twins)}. "
        "Take it off all but one of them, then redrive this record."
    )
    return Refused(cause=RefusalClass.BUSINESS_RULE, code="KEY_TWICE", message=said, fields=(spec.key_field,))


def _outcome_of(error: TransientError | HoldError) -> WriteOutcome:
    """The outcome of a record whose call failed, after another of the same batch was answered."""
    return Uncertain(reason=error.message) if isinstance(error, AnswerLost) else _unsent(error)


def _unsent(error: TransientError | HoldError) -> Refused:
    is_held = isinstance(error, HoldError)
    return Refused(
        cause=RefusalClass.AUTHORIZATION if is_held else RefusalClass.TRANSIENT,
        code="NOT_SENT",
        message=f"Not sent: {error}",
        retry_after_s=None if isinstance(error, HoldError) else error.retry_after_s,
    )
