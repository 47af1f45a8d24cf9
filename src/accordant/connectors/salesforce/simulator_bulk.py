"""Bulk API 2.0 ingest of the Salesforce stand-in: jobs that are opened, filled, closed, worked on and asked about.
Guarantees that each row is written as a collection's would be, and told in exactly one of the three results.
Next: simulator_composite.py, which writes the rows.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from decimal import Decimal

from accordant.connectors.salesforce.simulator_fields import Json, Refusal
from accordant.connectors.salesforce.simulator_rest import Answer, Call, Rest, only, sent
from accordant.connectors.salesforce.simulator_schema import SObject

_ROWS_MAX = 200
_EMPTIED = "#N/A"
_NUMBERS = frozenset({"double", "currency", "int", "percent"})
_RESULTS = frozenset({"successfulResults", "failedResults", "unprocessedrecords"})


@dataclass
class Job:
    """One job. ``polls`` counts how often it was asked about since it was closed."""

    id: str
    object: str
    key_field: str
    state: str = "Open"
    text: str = ""
    polls: int = 0
    problem: str = ""
    #: The call that started it: in whose name its rows are written.
    started: Call | None = None
    columns: tuple[str, ...] = ()
    results: dict[str, list[dict[str, str]]] = field(default_factory=lambda: {name: [] for name in _RESULTS})


class BulkJobs:
    """The ``/jobs/ingest`` resources over a ``Rest``.

    ``polls_until_done``: so often a job says that it is at work before it is done. ``rows_max``: so many rows of a job
    are worked on, then it ends as ``ends_as`` with the others unprocessed.
    """

    def __init__(self, rest: Rest) -> None:
        self._rest = rest
        self.jobs: dict[str, Job] = {}
        self.polls_until_done = 1
        self.rows_max: int | None = None
        self.ends_as = "Failed"
        rest.resources["jobs"] = self.handle

    def handle(self, call: Call) -> Answer:
        """Answer one call about jobs. Raises ``Refusal``."""
        tail = call.parts[1:]
        if tail[:1] != ("ingest",) or len(tail) > 3:
            raise Refusal("NOT_FOUND", "The requested resource does not exist")
        if len(tail) == 1:
            return self._open(call)
        job = self.jobs.get(tail[1])
        if job is None:
            raise Refusal("NOT_FOUND", "The requested resource does not exist")
        if len(tail) == 2:
            return self._job(call, job)
        if tail[2] == "batches":
            only(call, "PUT")
            if job.state != "Open" or job.text:
                raise Refusal("INVALIDJOBSTATE", f"Job {job.id} takes no data in state {job.state}")
            job.text = str(call.body or "")
            return Answer(201)
        only(call, "GET")
        if tail[2] not in _RESULTS or job.state not in {"JobComplete", "Failed", "Aborted"}:
            raise Refusal("NOT_FOUND", "The requested resource does not exist")
        return Answer(200, text=self._table(job, tail[2]))

    def _open(self, call: Call) -> Answer:
        only(call, "POST")
        order = sent(call)
        target = self._rest.org.object(str(order.get("object", "")))
        if order.get("operation") != "upsert" or order.get("contentType", "CSV") != "CSV":
            raise Refusal("INVALIDJOB", "This stand-in takes upserts from CSV")
        key = self._rest.org.external_field(target, str(order.get("externalIdFieldName", "")))
        job = Job(f"750SiM{len(self.jobs) + 1:09d}AAA", target.name, key.name)
        self.jobs[job.id] = job
        return Answer(200, self._told(call, job))

    def _job(self, call: Call, job: Job) -> Answer:
        only(call, "GET", "PATCH")
        if call.method == "GET":
            if job.state in {"UploadComplete", "InProgress"}:
                job.polls += 1
                job.state = "InProgress"
                if job.polls > self.polls_until_done:
                    self._work(call, job)
            return Answer(200, self._told(call, job))
        wanted = sent(call).get("state")
        if wanted == "UploadComplete" and job.state == "Open":
            job.state, job.started = "UploadComplete", call
        elif wanted == "Aborted" and job.state in {"Open", "UploadComplete", "InProgress"}:
            job.results["unprocessedrecords"] = list(csv.DictReader(io.StringIO(job.text)))
            job.state = "Aborted"
        else:
            raise Refusal("INVALIDJOBSTATE", f"Job {job.id} cannot become {wanted} in state {job.state}")
        return Answer(200, self._told(call, job))

    def let_time_pass(self) -> None:
        """Whatever was started is carried out, whether anybody asks about it or not."""
        for job in self.jobs.values():
            if job.state in {"UploadComplete", "InProgress"} and job.started is not None:
                self._work(job.started, job)

    @staticmethod
    def _told(call: Call, job: Job) -> dict[str, Json]:
        return {
            "id": job.id,
            "object": job.object,
            "operation": "upsert",
            "state": job.state,
            "externalIdFieldName": job.key_field,
            "contentUrl": f"{call.base.removeprefix('/')}/jobs/ingest/{job.id}/batches",
            "errorMessage": job.problem or None,
        }

    def _work(self, call: Call, job: Job) -> None:
        reader = csv.DictReader(io.StringIO(job.text))
        rows = list(reader)
        job.columns = tuple(reader.fieldnames or ())
        target = self._rest.org.object(job.object)
        unknown = [
            name
            for name in job.columns
            if target.field(name) is None and target.parent(_relation(name.partition(".")[0])[1]) is None
        ]
        if unknown:
            job.state, job.problem = "Failed", f"InvalidBatch : Field name not found : {unknown[0]}"
            job.results["unprocessedrecords"] = rows
            return
        upto = len(rows) if self.rows_max is None else self.rows_max
        for start in range(0, min(upto, len(rows)), _ROWS_MAX):
            self._write(call, job, target, rows[start : min(start + _ROWS_MAX, upto)])
        job.results["unprocessedrecords"] = rows[upto:]
        job.state = self.ends_as if rows[upto:] else "JobComplete"

    def _write(self, call: Call, job: Job, target: SObject, rows: list[dict[str, str]]) -> None:
        records = [self._record(target, row) for row in rows]
        parts = ("composite", "sobjects", job.object, job.key_field)
        asked = Call("PATCH", call.version, parts, call.user, {}, {"allOrNone": False, "records": records})
        answer = self._rest.handle(asked)
        for row, result in zip(rows, answer.body, strict=True):
            if result["success"]:
                told = {"sf__Id": result["id"], "sf__Created": str(result["created"]).lower()}
                job.results["successfulResults"].append(told | row)
            else:
                first = result["errors"][0]
                error = f"{first['statusCode']}:{first['message']}:{','.join(first.get('fields', []))} --"
                job.results["failedResults"].append({"sf__Id": "", "sf__Error": error} | row)

    @staticmethod
    def _record(target: SObject, row: dict[str, str]) -> dict[str, Json]:
        record: dict[str, Json] = {"attributes": {"type": target.name}}
        for name, text in row.items():
            if not text:
                continue
            relation, dot, key = name.partition(".")
            if dot:
                kind, relation = _relation(relation)
                record[relation] = {key: text} if kind is None else {"attributes": {"type": kind}, key: text}
                continue
            held = next(one.type for one in target.fields.values() if one.name.lower() == name.lower())
            value: Json = None if text == _EMPTIED else text
            if value is not None and held in _NUMBERS:
                value = Decimal(text)
            elif value is not None and held == "boolean":
                value = text == "true"
            record[name] = value
        return record

    @staticmethod
    def _table(job: Job, kind: str) -> str:
        extra = {"successfulResults": ("sf__Id", "sf__Created"), "failedResults": ("sf__Id", "sf__Error")}
        columns = (*extra.get(kind, ()), *(job.columns or csv.DictReader(io.StringIO(job.text)).fieldnames or ()))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(job.results[kind])
        return text.getvalue()


def _relation(name: str) -> tuple[str | None, str]:
    """A relationship as a column names it: "Account:What" says which object it leads to."""
    kind, colon, relation = name.partition(":")
    return (kind, relation) if colon else (None, name)
