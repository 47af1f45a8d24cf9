"""Many records in one job: Bulk API 2.0 ingest, which Salesforce asks for above two thousand of one object.
Guarantees one outcome a row, and that a job nobody waits for any more is aborted, or can be by whoever comes after.
Next: outbound.py, which decides what goes this way; simulator_bulk.py for the stand-in.
"""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Protocol

import msgspec

from accordant.connectors.salesforce.errors import MESSAGE_CHARS_MAX, Fault, call_fault
from accordant.connectors.salesforce.wire import Json, decode, encode
from accordant.connectors.sdk.http import HttpAnswer
from accordant.kernel.errors import TransientError
from accordant.ports.connector import AnswerLost, NoteJob, TargetUnavailable

#: How a job's file says that a field is to be emptied; an empty cell leaves it alone.
#: https://developer.salesforce.com/docs/atlas.en-us.api_asynch.meta/api_asynch/datafiles_prepare_csv.htm
EMPTIED = "#N/A"
#: A job that is not done after this is aborted; what it had not come to goes out again.
LASTS_MAX = timedelta(minutes=10)
_FIRST_PAUSE_S, _PAUSE_S_MAX = 0.5, 10.0
#: How often a job that was told to end is asked whether it has.
_ENDS_MAX = 3
_ENDED = frozenset({"JobComplete", "Failed", "Aborted"})


class Ask(Protocol):
    """Makes one call to the org."""

    async def __call__(
        self, method: str, path: str, body: bytes | None = None, content_type: str | None = None, *, writes: bool = True
    ) -> HttpAnswer:
        """``path`` is below the API's base. Without ``writes`` the call changes no record and needs no policy."""
        ...


class Ingested(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a job: ids and whether they were new, refusals, and what was not processed, each by key.

    ``is_broken``: the job as a whole failed; ``reason`` is what Salesforce said of it.
    """

    made: Mapping[str, tuple[str, bool]]
    refused: Mapping[str, Fault]
    unprocessed: frozenset[str]
    is_broken: bool
    reason: str


class JobRefused(Exception):
    """A job was not taken; the answer says why."""

    def __init__(self, answer: HttpAnswer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def table(rows: Iterable[Mapping[str, Json]]) -> bytes:
    """Rows as a job's file: a column for every field that any of them has."""
    flat = [dict(_cells(row)) for row in rows]
    columns = list(dict.fromkeys(name for row in flat for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return text.getvalue().encode()


def _cells(row: Mapping[str, Json]) -> Iterable[tuple[str, str]]:
    for name, value in row.items():
        if name == "attributes":
            continue
        if isinstance(value, dict):
            # https://developer.salesforce.com/docs/atlas.en-us.api_asynch.meta/api_asynch/datafiles_csv_rel_field_header_row.htm
            kind = value.get("attributes")
            to = f"{kind['type']}:{name}" if kind is not None else name
            yield from ((f"{to}.{key}", _cell(inner)) for key, inner in value.items() if key != "attributes")
        else:
            yield name, _cell(value)


def _cell(value: Json) -> str:
    if value is None:
        return EMPTIED
    return str(value).lower() if isinstance(value, bool) else str(value)


def fits(row: Mapping[str, Json]) -> bool:
    """Whether a file can say this row: a text that reads as "emptied" cannot be told from it."""
    return all(not isinstance(value, str) or (value and value != EMPTIED) for value in row.values())


async def ingest(
    ask: Ask, *, object_name: str, key_field: str, file: bytes, note: NoteJob, sleep: Callable[[float], Awaitable[None]]
) -> Ingested:
    """Upsert the rows of ``file`` by ``key_field`` in one job, told to ``note``, and wait until it ended.

    Raises: JobRefused and TargetUnavailable when nothing was carried out for certain, AnswerLost when that is unknown.
    """
    job = await _opened(ask, object_name, key_field, file)
    try:
        await note(job)
        state = await _closed(ask, job)
        state = await _ended(ask, job, state, sleep)
        return await _results(ask, job, key_field, state)
    except BaseException:
        # Nobody waits for it any more: what it has not come to must not be written behind our back later.
        with suppress(TransientError, asyncio.CancelledError):
            await asyncio.shield(_aborted(ask, job))
        raise


async def end(ask: Ask, job: str) -> None:
    """Have a job end that somebody else began and does not wait for. Raises TransientError while it goes on.

    What is aborted processes no more records and keeps what it has written:
    https://developer.salesforce.com/docs/atlas.en-us.api_asynch.meta/api_asynch/close_job.htm
    """
    for _ in range(_ENDS_MAX):
        answer = await ask("GET", f"/jobs/ingest/{job}", writes=False)
        # Jobs are deleted some days after they ended.
        if answer.status == 404 or _decoded(answer).get("state") in _ENDED:
            return
        await _aborted(ask, job)
    raise TargetUnavailable(f"The job {job} was told to end and goes on; nothing else is written until it has ended.")


async def _opened(ask: Ask, object_name: str, key_field: str, file: bytes) -> str:
    """A job with its file, which Salesforce does not touch yet; its id."""
    order = {
        "object": object_name, "externalIdFieldName": key_field, "operation": "upsert", "contentType": "CSV",
        "lineEnding": "LF",
    }  # fmt: skip
    try:
        made = _decoded(_taken(await ask("POST", "/jobs/ingest", encode(order), "application/json")))
        job = str(made.get("id", ""))
        _taken(await ask("PUT", f"/jobs/ingest/{job}/batches", file, "text/csv"))
    except AnswerLost as lost:
        raise TargetUnavailable(f"A job was not handed over: {lost.message} Nothing of it is processed.") from lost
    return job


async def _closed(ask: Ask, job: str) -> Mapping[str, Json]:
    """From here on it is carried out. Where the answer is lost, the job itself says whether it was told."""
    try:
        answer = await ask("PATCH", f"/jobs/ingest/{job}", encode({"state": "UploadComplete"}), "application/json")
        return _decoded(_taken(answer))
    except AnswerLost:
        state = await _state(ask, job)
        if state.get("state") == "Open":
            raise TargetUnavailable("A job was not started: its last call did not arrive.") from None
        return state


async def _ended(
    ask: Ask, job: str, state: Mapping[str, Json], sleep: Callable[[float], Awaitable[None]]
) -> Mapping[str, Json]:
    pause, waited = _FIRST_PAUSE_S, 0.0
    while state.get("state") not in _ENDED:
        if waited > LASTS_MAX.total_seconds():
            await _aborted(ask, job)
            return await _state(ask, job)
        await sleep(pause)
        waited, pause = waited + pause, min(_PAUSE_S_MAX, pause * 1.5)
        state = await _state(ask, job)
    return state


async def _aborted(ask: Ask, job: str) -> None:
    await ask("PATCH", f"/jobs/ingest/{job}", encode({"state": "Aborted"}), "application/json", writes=False)


async def _state(ask: Ask, job: str) -> Mapping[str, Json]:
    """What the job says of itself. Raises AnswerLost: it goes on, and nobody knows how far."""
    try:
        answer = await ask("GET", f"/jobs/ingest/{job}", writes=False)
    except TransientError as error:
        raise AnswerLost(f"A job cannot be asked how far it is: {error.message}") from error
    return _decoded(answer)


async def _results(ask: Ask, job: str, key_field: str, state: Mapping[str, Json]) -> Ingested:
    async def rows(kind: str) -> list[dict[str, str]]:
        try:
            answer = await ask("GET", f"/jobs/ingest/{job}/{kind}", writes=False)
        except TransientError as error:
            raise AnswerLost(f"The results of a job cannot be read: {error.message}") from error
        if answer.status != 200:
            raise AnswerLost(f"The results of a job cannot be read: status {answer.status}.")
        return list(csv.DictReader(io.StringIO(answer.body.decode("utf-8", "replace"))))

    made = {row[key_field]: (row["sf__Id"], row["sf__Created"] == "true") for row in await rows("successfulResults")}
    refused = {row[key_field]: fault_of(row["sf__Error"]) for row in await rows("failedResults")}
    left = frozenset(row[key_field] for row in await rows("unprocessedrecords"))
    reason = str(state.get("errorMessage") or state.get("state"))
    return Ingested(
        made=made, refused=refused, unprocessed=left, is_broken=state.get("state") == "Failed", reason=reason
    )


def fault_of(text: str) -> Fault:
    """A row's error as its file tells it: ``CODE:message:fields --``."""
    code, _, rest = text.partition(":")
    message, _, named = rest.removesuffix("--").strip().rpartition(":")
    fields = tuple(name.strip() for name in named.split(",") if name.strip())
    return Fault(code.strip() or "UNNAMED", (message or named or "no reason given")[:MESSAGE_CHARS_MAX], fields)


def _taken(answer: HttpAnswer) -> HttpAnswer:
    if answer.status >= 400:
        raise JobRefused(answer)
    return answer


def _decoded(answer: HttpAnswer) -> Mapping[str, Json]:
    try:
        body = decode(answer.body)
    except msgspec.DecodeError:
        body = None
    if answer.status >= 400 or not isinstance(body, dict):
        fault: Sequence[str] = (call_fault(answer.status, answer.body).message,) if answer.status >= 400 else ()
        raise AnswerLost(f"Salesforce told of a job in a form that cannot be read. {' '.join(fault)}")
    return body
