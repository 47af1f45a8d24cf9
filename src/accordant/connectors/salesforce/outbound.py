"""Records into Salesforce: upsert by external id, 200 a call, each row with its own outcome; and reading them back.
Guarantees that a record is never written twice over, and that one bad row does not stop its neighbors.
Next: wire.py for values, soql.py for questions, errors.py for refusals.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from typing import ClassVar

import msgspec

from accordant.canonical.charter import FieldType
from accordant.canonical.intents import Applied, RefusalClass, Refused, Uncertain, WireValue, WriteOutcome
from accordant.canonical.matching import Candidate, MatchKey, Member
from accordant.canonical.shapes import DescribedField
from accordant.canonical.targets import CurrentRecord, IdentitySpec, ObjectSpec, Whereabouts
from accordant.connectors.salesforce import bulk, candidates, errors, soql
from accordant.connectors.salesforce.calls import JSON, Calls, LimitUsage, decoded
from accordant.connectors.salesforce.objects import described
from accordant.connectors.salesforce.wire import Json, decode, encode, to_salesforce
from accordant.connectors.sdk.http import HttpAnswer
from accordant.connectors.sdk.values import ValueUnreadable, canonical
from accordant.kernel.errors import HoldError, InvariantBroken, TransientError
from accordant.ports.connector import (
    AnswerLost,
    AuthorizationExpired,
    Bulk,
    DestinationClass,
    NoteJob,
    RecordWrite,
    TargetUnavailable,
    WriteProtocol,
    WriteResult,
)

NOT_BEGUN = frozenset({"API_CURRENTLY_DISABLED", "SERVER_UNAVAILABLE", "UNABLE_TO_LOCK_ROW"})
# A whole call is refused for one row that cannot be read, or for its size: halves of it tell which.
HALVED = frozenset({"HTTP_413", "INVALID_INPUT", "JSON_PARSER_ERROR"})
#: Records of a hierarchy that are given at once.
MEMBERS_AT_ONCE = 2_000


class SalesforceOutbound:
    """An ``accordant.ports.connector.Outbound``. Use it inside one event loop; ``close`` it there."""

    batch_max: ClassVar[int] = 200
    bulk: ClassVar[Bulk] = Bulk(records_min=2_000, records_max=10_000, lasts_max=bulk.LASTS_MAX)
    levels_max: ClassVar[Mapping[str, int | None]] = {"Account": None}
    _protocol: ClassVar[WriteProtocol] = WriteProtocol(destination_class=DestinationClass.NATIVE_UPSERT)

    def __init__(
        self,
        *,
        calls: Calls,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """``calls`` are made to the org; ``sleep`` is how a job is waited for, in seconds."""
        self._sleep = sleep
        self._calls = calls
        # Keys last read that another record holds in other letters: an upsert would overwrite that one.
        self._twins: dict[tuple[str, str], str] = {}

    def __repr__(self) -> str:
        return f"SalesforceOutbound({self._calls!r})"

    def protocol(self, object_name: str) -> WriteProtocol:  # noqa: ARG002  every object has an external id
        """See the port: what is written is upserted by an external id."""
        return self._protocol

    @property
    def limit_usage(self) -> LimitUsage | None:
        """How much of the org's daily allowance was used at the last answer; None before the first."""
        return self._calls.usage

    async def close(self) -> None:
        """Release connections."""
        await self._calls.close()

    def canonical(self, spec: ObjectSpec, fields: Mapping[str, WireValue]) -> dict[str, WireValue]:
        """Desired values as ``read`` will give them back: compare these. Raises RejectedError for a wrong type."""
        return {name: canonical(spec.fields[name].type, value) for name, value in fields.items()}

    # -- reading ------------------------------------------------------------------------------------------------------

    async def read(self, spec: ObjectSpec, keys: Sequence[str]) -> dict[str, CurrentRecord]:
        """See the port. A record whose key differs from the asked one only in letter case is not that record."""
        asked = dict.fromkeys(key for key in keys if key)
        paths = soql.columns(spec)
        found: dict[str, CurrentRecord] = {}
        others: dict[str, str] = {}
        for question in soql.by_keys(spec, asked):
            async for row in self._live_rows(spec, question):
                key, record = soql.read_row(spec, paths, row)
                if key in asked:
                    found.setdefault(key, record)
                else:
                    others[key.casefold()] = key
        for key in asked:
            twin = None if key in found else others.get(key.casefold())
            if twin is None:
                self._twins.pop((spec.name, key), None)
            else:
                self._twins[spec.name, key] = twin
        return found

    async def search(self, spec: IdentitySpec, keys: Collection[MatchKey]) -> tuple[Candidate, ...]:
        """See the port. An Account is found by the e-mail of its people too."""
        if not candidates.is_searched(spec):
            return ()
        people: dict[str, list[str]] = {}
        if spec.object.lower() == "account":
            for question in candidates.people_questions(keys):
                async for row in self._calls.rows("Contact", question):
                    if (found := candidates.read_person(row)) is not None:
                        people.setdefault(found[0], []).append(found[1])
        records: dict[str, Candidate] = {}
        for question in candidates.record_questions(spec, keys, people):
            async for row in self._calls.rows(spec.object, question):
                one = candidates.read_candidate(spec, row, people.get(row["Id"], ()))
                records[one.id] = one
        return tuple(records[name] for name in sorted(records))

    async def census(self, spec: IdentitySpec, *, after: str = "") -> AsyncIterator[tuple[Candidate, ...]]:
        """See the port. An Account comes with the e-mails of its people."""
        while True:
            rows = [row async for row in self._calls.rows(spec.object, candidates.page_question(spec, after))]
            if not rows:
                return
            people: dict[str, list[str]] = {}
            if spec.object.lower() == "account":
                for question in soql.any_of(candidates.PEOPLE_OF, [str(row["Id"]) for row in rows]):
                    async for row in self._calls.rows("Contact", question):
                        if (found := candidates.read_person(row)) is not None:
                            people.setdefault(found[0], []).append(found[1])
            page = tuple(candidates.read_candidate(spec, row, people.get(str(row["Id"]), ())) for row in rows)
            yield page
            after = page[-1].id

    async def members(self, object_name: str) -> AsyncIterator[tuple[Member, ...]]:
        """See ``ports.connector.HierarchyLister``. What lies in the recycle bin is told as deleted."""
        question = f"SELECT Id, ParentId, IsDeleted FROM {soql.checked_name(object_name)}"  # noqa: S608
        page: list[Member] = []
        async for row in self._calls.rows(object_name, question, resource="queryAll"):
            page.append(Member(id=str(row["Id"]), parent_id=row["ParentId"] or None, deleted=soql.is_deleted(row)))
            if len(page) == MEMBERS_AT_ONCE:
                yield tuple(page)
                page = []
        yield tuple(page)

    async def whereabouts(self, spec: ObjectSpec, target_ids: Sequence[str]) -> dict[str, Whereabouts]:
        """See the port. What was purged from the recycle bin (after 15 days, or by hand) is forgotten."""
        paths = soql.columns(spec)
        asked = dict.fromkeys(one for one in target_ids if one)
        found: dict[str, Whereabouts] = {}
        for question in soql.by_ids(spec, asked):
            async for row in self._calls.rows(spec.name, question, resource="queryAll"):
                told = soql.read_whereabouts(spec, paths, row)
                found[told.target_id] = told
        return found

    async def keys(self, spec: ObjectSpec) -> AsyncIterator[tuple[str, CurrentRecord]]:
        """See the port. Pages are fetched as they are asked for."""
        paths = soql.columns(spec)
        async for row in self._live_rows(spec, soql.every_key(spec)):
            yield soql.read_row(spec, paths, row)

    async def describe(self, object_name: str) -> tuple[DescribedField, ...]:
        """See the port. ``picklist`` is None where Salesforce takes any text, listed or not."""
        path = f"{self._calls.base}/sobjects/{soql.checked_name(object_name)}/describe"
        answer = await self._calls.send("GET", path)
        if answer.status != 200:
            raise self._calls.read_error(object_name, answer)
        body = decoded(answer)
        fields = body.get("fields") if isinstance(body, dict) else None
        if not isinstance(fields, list):
            raise TargetUnavailable(f"Salesforce described {object_name} in a form that cannot be read.")
        return tuple(described(field) for field in fields if isinstance(field, dict) and "name" in field)

    async def _live_rows(self, spec: ObjectSpec, question: str) -> AsyncIterator[Json]:
        """Every row of an answer, with what was put away and without what was deleted."""
        resource = "queryAll" if soql.is_activity(spec.name) else "query"
        async for row in self._calls.rows(spec.name, question, resource=resource):
            if not soql.is_deleted(row):
                yield row

    # -- writing ------------------------------------------------------------------------------------------------------

    async def write(self, spec: ObjectSpec, records: Sequence[RecordWrite]) -> tuple[WriteResult, ...]:
        """See the port. A key that comes twice is written twice, in order, in two calls: Salesforce refuses it in one.

        Records addressed by their id go in a call of their own, which can only update.

        What Salesforce refuses as a whole for the sake of one row is sent again without that row. Once a part was
        answered, a failure of a later part is an outcome of its rows and no longer an error of the call.
        """
        if len(records) > self.batch_max:
            raise InvariantBroken(f"{len(records)} records in one call; Salesforce takes {self.batch_max}.")
        results: dict[int, WriteResult] = {}
        rows: dict[int, dict[str, Json]] = {}
        for place, record in enumerate(records):
            prepared = self._row(spec, record)
            if isinstance(prepared, Refused):
                results[place] = WriteResult(outcome=prepared, request_id=None)
            else:
                rows[place] = prepared
        waiting = deque(_waves(records, rows))
        answered = False
        while waiting:
            group = waiting.popleft()
            try:
                part = {place: rows[place] for place in group}
                waiting.extendleft(reversed(await self._send(spec, part, records[group[0]], results)))
                answered = True
            except (TransientError, HoldError) as error:
                if not answered:
                    raise
                _settle(results, group, _outcome_of(error))
                for other in waiting:
                    _settle(results, other, _unsent(error))
                break
        return tuple(results[place] for place in range(len(records)))

    async def write_bulk(
        self, spec: ObjectSpec, records: Sequence[RecordWrite], *, note: NoteJob
    ) -> tuple[WriteResult, ...]:
        """See the port: one ingest job, and calls for what a job cannot say (a record named by its own id, a key that
        comes twice, a text that a job's file takes for an empty field). What a broken job left goes out by calls too.
        """
        results: dict[int, WriteResult] = {}
        rows: dict[str, dict[str, Json]] = {}
        places: dict[str, int] = {}
        by_call: list[int] = []
        for place, record in enumerate(records):
            prepared = self._row(spec, record)
            if isinstance(prepared, Refused):
                results[place] = WriteResult(outcome=prepared, request_id=None)
            elif record.target_id is not None or record.frees or record.key in places or not bulk.fits(prepared):
                by_call.append(place)
            else:
                places[record.key], rows[record.key] = place, prepared
        if len(rows) <= self.bulk.records_min:
            by_call = sorted([*by_call, *places.values()])
        else:
            by_call += await self._ingest(spec, rows, places, results, note)
        for start in range(0, len(by_call), self.batch_max):
            part = by_call[start : start + self.batch_max]
            written = await self._write_rest(spec, [records[place] for place in part], is_first=not results)
            results.update(zip(part, written, strict=True))
        return tuple(results[place] for place in range(len(records)))

    async def _write_rest(
        self, spec: ObjectSpec, records: Sequence[RecordWrite], *, is_first: bool
    ) -> tuple[WriteResult, ...]:
        """As ``write``; once a part was answered, a failure is an outcome of its rows and no error of the whole."""
        try:
            return await self.write(spec, records)
        except (TransientError, HoldError) as error:
            if is_first:
                raise
            return tuple(WriteResult(outcome=_outcome_of(error), request_id=None) for _ in records)

    async def _ingest(
        self,
        spec: ObjectSpec,
        rows: dict[str, dict[str, Json]],
        places: dict[str, int],
        results: dict[int, WriteResult],
        note: NoteJob,
    ) -> list[int]:
        """Write rows in a job and note their results; the places of those that have to go by calls."""
        try:
            done = await bulk.ingest(
                self._ask_of_job,
                object_name=soql.checked_name(spec.name),
                key_field=soql.checked_name(spec.key_field),
                file=bulk.table(rows.values()),
                note=note,
                sleep=self._sleep,
            )
        except bulk.JobRefused as refused:
            fault = errors.call_fault(refused.answer.status, refused.answer.body)
            if fault.code in errors.LIMIT_CODES:
                raise self._calls.limited(refused.answer, fault) from None
            return list(places.values())  # nothing was carried out; a call says which row is at fault
        again = []
        for key, place in places.items():
            if key in done.made:
                target_id, created = done.made[key]
                outcome: WriteOutcome = Applied(target_id=target_id, created=created)
            elif key in done.refused:
                outcome = errors.refused(spec.name, (done.refused[key],), key_field=spec.key_field)
            elif key not in done.unprocessed:
                outcome = Uncertain(reason="The job said nothing of this record.")
            elif done.is_broken:
                again.append(place)
                continue
            else:
                said = f"The job ended before it came to this record ({done.reason}). It is tried again by itself."
                outcome = Refused(cause=RefusalClass.TRANSIENT, code="UNPROCESSED", message=said)
            results[place] = WriteResult(outcome=outcome, request_id=None)
        return again

    async def end_job(self, job: str) -> None:
        """See the port."""
        await bulk.end(self._ask_of_job, job)

    async def _ask_of_job(
        self, method: str, path: str, body: bytes | None = None, content_type: str | None = None, *, writes: bool = True
    ) -> HttpAnswer:
        address = f"{self._calls.base}{path}"
        return await self._calls.send(method, address, body=body, content_type=content_type or JSON, writes=writes)

    def _row(self, spec: ObjectSpec, record: RecordWrite) -> dict[str, Json] | Refused:
        """The record as Salesforce takes it, or why it is not even sent."""
        twin = self._twins.get((spec.name, record.key))
        if twin is not None or not record.key:
            return _refused_here(spec, record.key, twin)
        row: dict[str, Json] = {"attributes": {"type": spec.name}}
        for name, value in record.fields.items():
            field = spec.fields.get(name)
            if field is None:
                raise InvariantBroken(f"{spec.name}.{name} is to be written and is not in the mapping.")
            try:
                sent = to_salesforce(field.type, value)
            except ValueUnreadable as error:
                said = f"{spec.name}.{name} was not sent: {error.message} {error.remedy}"
                return Refused(cause=RefusalClass.DATA_QUALITY, code="VALUE_UNREADABLE", message=said, fields=(name,))
            if field.type is FieldType.LOOKUP and sent is not None:
                leads_to = soql.leads_to(spec, name)
                named: dict[str, Json] = {} if leads_to is None else {"attributes": {"type": leads_to}}
                row[soql.relationship(name)] = named | {soql.lookup_key(name, field): sent}
            else:
                row[name] = sent
        row[spec.key_field] = None if record.frees else record.key
        if record.target_id is not None:
            row["id"] = record.target_id
        return row

    async def _send(
        self, spec: ObjectSpec, rows: dict[int, dict[str, Json]], first: RecordWrite, results: dict[int, WriteResult]
    ) -> list[tuple[int, ...]]:
        """Send some rows and note their results. Returns the groups to send again, if the whole call was refused."""
        places = tuple(rows)
        by_id = first.target_id is not None
        collection = f"{self._calls.base}/composite/sobjects"
        by_key = f"{collection}/{soql.checked_name(spec.name)}/{soql.checked_name(spec.key_field)}"
        answer = await self._calls.send(
            "PATCH",
            collection if by_id else by_key,
            body=encode({"allOrNone": False, "records": list(rows.values())}),
            correlation_id=first.idempotency_key,
        )
        request_id = answer.headers.get("x-sfdc-request-id") or answer.headers.get("x-request-id")
        if answer.status >= 400:
            fault = errors.call_fault(answer.status, answer.body)
            again, refused = self._refused_whole(answer, fault, rows)
            refusal = errors.refused(spec.name, (fault,), key_field=spec.key_field)
            _settle(results, refused, refusal, request_id)
            return again
        outcomes = _outcomes(spec, answer, len(places), by_id=by_id)
        for place, outcome in zip(places, outcomes, strict=True):
            results[place] = WriteResult(outcome=outcome, request_id=request_id)
        return []

    def _refused_whole(
        self, answer: HttpAnswer, fault: errors.Fault, rows: dict[int, dict[str, Json]]
    ) -> tuple[list[tuple[int, ...]], tuple[int, ...]]:
        """Which rows to send again in which groups, and which are refused. Nothing of a refused call was carried out.

        Raises RateLimited, TargetUnavailable, AnswerLost or AuthorizationExpired where the refusal is not about rows.
        """
        if fault.code in errors.LIMIT_CODES:
            raise self._calls.limited(answer, fault)
        cause = errors.refused("record", (fault,), key_field="").cause
        if cause is RefusalClass.AUTHORIZATION:
            raise AuthorizationExpired(f"Salesforce does not let this connection write: {fault.message}.")
        if cause is RefusalClass.TRANSIENT:
            if fault.code in NOT_BEGUN:
                raise TargetUnavailable(
                    f"Salesforce takes no writes now: {fault.message}", retry_after_s=self._calls.pause(answer)
                )
            raise AnswerLost(f"Salesforce broke off a write: {fault.code}: {fault.message}")
        places = tuple(rows)
        if len(places) > 1 and fault.code in HALVED:
            middle = len(places) // 2
            return [places[:middle], places[middle:]], ()
        if fault.code == "INVALID_FIELD":
            accused = tuple(place for place in places if _names(fault, rows[place]))
            innocent = tuple(place for place in places if place not in accused)
            if accused and innocent:
                return [innocent], accused
        return [], places


def _waves(records: Sequence[RecordWrite], rows: dict[int, dict[str, Json]]) -> Iterator[tuple[int, ...]]:
    """Places of rows in groups that hold no record twice, in order, and never both ways of naming a record."""
    waves: dict[tuple[int, bool], list[int]] = {}
    times: dict[str, int] = {}
    for place in rows:
        record = records[place]
        name = record.key if record.target_id is None else record.target_id
        turn = times.get(name, 0)
        times[name] = turn + 1
        waves.setdefault((turn, record.target_id is not None), []).append(place)
    return (tuple(waves[turn]) for turn in sorted(waves))


def _outcomes(spec: ObjectSpec, answer: HttpAnswer, count: int, *, by_id: bool) -> tuple[WriteOutcome, ...]:
    """The outcome of each row. Raises AnswerLost when the answer is not one of Salesforce's to so many rows."""
    lost = f"Salesforce answered a write of {count} {spec.name} records with something that cannot be read"
    try:
        listed = decode(answer.body)
    except msgspec.DecodeError:
        listed = None
    if answer.status not in (200, 201) or not isinstance(listed, list):
        raise AnswerLost(f"{lost} (status {answer.status}, {len(answer.body)} bytes).")
    if len(listed) != count:
        raise AnswerLost(f"{lost}: {len(listed)} results.")
    outcomes: list[WriteOutcome] = []
    for result in listed:
        success = result.get("success") if isinstance(result, dict) else None
        if success is True and isinstance(result.get("id"), str):
            outcomes.append(Applied(target_id=result["id"], created=result.get("created") is True))
        elif success is False:
            faults = errors.read_faults(result.get("errors"))
            refusal = errors.refused(spec.name, faults, key_field=spec.key_field)
            # It was there when it was read just now: whoever deleted or merged it since is found out by reading again.
            gone = by_id and refusal.code == "ENTITY_IS_DELETED"
            outcomes.append(msgspec.structs.replace(refusal, cause=RefusalClass.TRANSIENT) if gone else refusal)
        else:
            raise AnswerLost(f"{lost}: a result that says neither yes nor no.")
    return tuple(outcomes)


def _settle(
    results: dict[int, WriteResult], places: Sequence[int], outcome: WriteOutcome, request_id: str | None = None
) -> None:
    for place in places:
        results[place] = WriteResult(outcome=outcome, request_id=request_id)


def _outcome_of(error: TransientError | HoldError) -> WriteOutcome:
    """The outcome of rows whose call failed, after other rows of the same batch were answered."""
    return Uncertain(reason=error.message) if isinstance(error, AnswerLost) else _unsent(error)


def _unsent(error: TransientError | HoldError) -> Refused:
    authorization = isinstance(error, HoldError)
    return Refused(
        cause=RefusalClass.AUTHORIZATION if authorization else RefusalClass.TRANSIENT,
        code="NOT_SENT",
        message=f"Not sent: {error}",
        retry_after_s=None if isinstance(error, HoldError) else error.retry_after_s,
    )


def _refused_here(spec: ObjectSpec, key: str, twin: str | None) -> Refused:
    if twin is None:
        said = f"A {spec.name} without a {spec.key_field} was not sent. Correct the mapping of its key."
        return Refused(cause=RefusalClass.DATA_QUALITY, code="KEY_MISSING", message=said, fields=(spec.key_field,))
    said = (
        f"Salesforce holds a {spec.name} under {twin!r}, which it takes for {key!r} because {spec.key_field} does not "
        f"tell letter case apart. Make that field case-sensitive in Salesforce, then redrive this record."
    )
    return Refused(cause=RefusalClass.BUSINESS_RULE, code="KEY_DIFFERS_IN_CASE", message=said, fields=(spec.key_field,))


def _names(fault: errors.Fault, row: dict[str, Json]) -> bool:
    """Whether a whole call's refusal names a field of this row."""
    if fault.fields:
        return not row.keys().isdisjoint(fault.fields)
    return any(re.search(rf"\b{re.escape(name)}\b", fault.message) for name in row if name != "attributes")
