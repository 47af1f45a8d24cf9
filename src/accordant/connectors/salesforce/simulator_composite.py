"""Many records or many calls in one: sObject Collections, Composite and Batch of the Salesforce stand-in.
Guarantees the vendor's ceilings (200 rows, 25 calls) and that all-or-none leaves nothing of a failed request.
Next: simulator_records.py for what a row's write does.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

from accordant.connectors.salesforce.simulator_fields import Json, Refusal
from accordant.connectors.salesforce.simulator_records import Org
from accordant.connectors.salesforce.simulator_rest import Answer, Call, Rest, only, read_call, render, sent
from accordant.connectors.salesforce.simulator_schema import SObject

ROWS_MAX = 200
RETRIEVE_MAX = 2000
CALLS_MAX = 25
_REFERENCE = re.compile(r"@\{([A-Za-z0-9_]+)((?:\.[A-Za-z0-9_]+|\[\d+\])+)\}")
_ROLLED_BACK = Refusal(
    "ALL_OR_NONE_OPERATION_ROLLED_BACK",
    "Record rolled back because not all records were valid and the request was using AllOrNone header",
)


class Composite:
    """The ``/composite`` resources over a ``Rest``."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest
        self._org: Org = rest.org
        rest.resources["composite"] = self.handle

    def handle(self, call: Call) -> Answer:
        """Answer one composite call. Raises ``Refusal``."""
        tail = call.parts[1:]
        if not tail:
            return self._composite(call)
        if tail == ("batch",):
            return self._batch(call)
        if tail[0] != "sobjects" or len(tail) > 3:
            raise Refusal("NOT_FOUND", "The requested resource does not exist")
        if len(tail) == 1:
            return self._collection(call)
        target = self._org.object(tail[1])
        if len(tail) == 2:
            return self._retrieve(call, target)
        only(call, "PATCH")
        return self._upsert(call, target, tail[2])

    # -- collections --------------------------------------------------------------------------------------------------

    def _collection(self, call: Call) -> Answer:
        only(call, "POST", "PATCH", "DELETE")
        if call.method == "DELETE":
            ids = [one for one in call.query.get("ids", "").split(",") if one]
            _limit(len(ids), ROWS_MAX)
            steps = [self._delete_step(call, one) for one in ids]
            return self._rows(call, steps, all_or_none=call.query.get("allOrNone") == "true")
        rows = _records(call)
        make = self._create_step if call.method == "POST" else self._update_step
        return self._rows(call, [make(call, row) for row in rows], all_or_none=sent(call).get("allOrNone") is True)

    def _create_step(self, call: Call, row: dict[str, Json]) -> Callable[[], dict[str, Json]]:
        target = self._org.object(_type_of(row))

        def step() -> dict[str, Json]:
            record = self._org.create(target, self._org.clean(target, row), call.user)
            return {"id": record.id, "success": True, "errors": []}

        return step

    def _update_step(self, call: Call, row: dict[str, Json]) -> Callable[[], dict[str, Json]]:
        target = self._org.object(_type_of(row))
        named = {key.lower(): key for key in row}
        if "id" not in named:
            raise Refusal("MISSING_ARGUMENT", "Id not specified in an update call")
        record_id = str(row[named["id"]])
        values = {key: value for key, value in row.items() if key != named["id"]}

        def step() -> dict[str, Json]:
            record = self._org.by_id(target, record_id)
            self._org.update(record, self._org.clean(target, values), call.user)
            return {"id": record.id, "success": True, "errors": []}

        return step

    def _delete_step(self, call: Call, record_id: str) -> Callable[[], dict[str, Json]]:
        def step() -> dict[str, Json]:
            target = next((one for one in self._org.objects.values() if record_id.startswith(one.key_prefix)), None)
            if target is None:
                raise Refusal("MALFORMED_ID", f"malformed id {record_id}", ())
            record = self._org.by_id(target, record_id)
            self._org.delete(record, call.user)
            return {"id": record.id, "success": True, "errors": []}

        return step

    def _upsert(self, call: Call, target: SObject, field_name: str) -> Answer:
        one = self._org.external_field(target, field_name)
        rows = _records(call)
        keys = [next((row[key] for key in row if key.lower() == one.name.lower()), None) for row in rows]
        # Salesforce refuses every row of a repeated key, the first one included.
        times = Counter(one.index_key(key) for key in keys if isinstance(key, str | int))
        check = target.checks[one.name]
        held = self._org.records[target.name]

        def step_for(row: dict[str, Json], key: Json) -> Callable[[], dict[str, Json]]:
            def step() -> dict[str, Json]:
                if one.name == "Id":
                    return self._upsert_by_id(call, target, row, key)
                value = check(key)
                if value is None:
                    raise Refusal("MISSING_ARGUMENT", f"{one.name} not specified", ())
                if times[one.index_key(key)] > 1:
                    raise Refusal("DUPLICATE_VALUE", f"Duplicate external id specified: {key}", (one.name,))
                ids = self._org.by_external(target, one, value)
                if len(ids) > 1:
                    found = ", ".join(ids)
                    message = f"{one.name}: more than one record found for external id field: [{found}]"
                    raise Refusal("DUPLICATE_EXTERNAL_ID", message, ())
                cleaned = self._org.clean(target, row)
                created = not ids
                if created:
                    record = self._org.create(target, cleaned, call.user)
                else:
                    record = self._org.update(held[ids[0]], cleaned, call.user)
                return {"id": record.id, "success": True, "errors": [], "created": created}

            return step

        steps = [step_for(row, key) for row, key in zip(rows, keys, strict=True)]
        return self._rows(call, steps, all_or_none=sent(call).get("allOrNone") is True)

    def _upsert_by_id(self, call: Call, target: SObject, row: dict[str, Json], key: Json) -> dict[str, Json]:
        values = {name: value for name, value in row.items() if name.lower() != "id"}
        cleaned = self._org.clean(target, values)
        if key is None:
            record = self._org.create(target, cleaned, call.user)
        else:
            record = self._org.update(self._org.by_id(target, str(key)), cleaned, call.user)
        return {"id": record.id, "success": True, "errors": [], "created": key is None}

    def _rows(self, call: Call, steps: list[Callable[[], dict[str, Json]]], *, all_or_none: bool) -> Answer:
        """Run one step a row. A row's refusal is its own; an unreadable row ends the request and undoes the rest."""
        results: list[dict[str, Json]] = []
        refused = 0
        with self._org.all_or_none() as undo:
            for step in steps:
                try:
                    results.append(step())
                except Refusal as refusal:
                    if refusal.parsing:
                        undo()
                        raise
                    refused += 1
                    results.append({"success": False, "errors": [refusal.as_row_error()]})
            if all_or_none and refused:
                undo()
                rolled_back = {"success": False, "errors": [_ROLLED_BACK.as_row_error()]}
                results = [rolled_back if result["success"] else result for result in results]
        return Answer(200, results)

    def _retrieve(self, call: Call, target: SObject) -> Answer:
        only(call, "GET", "POST")
        if call.method == "POST":
            ids, fields = sent(call).get("ids", []), sent(call).get("fields", [])
        else:
            ids, fields = (call.query.get(name, "").split(",") for name in ("ids", "fields"))
        if not fields:
            raise Refusal("MISSING_ARGUMENT", "fields not specified")
        _limit(len(ids), RETRIEVE_MAX)
        found: list[Json] = []
        for one in ids:
            try:
                found.append(render(call, self._org.by_id(target, str(one)), list(fields)))
            except Refusal as refusal:
                if refusal.code == "INVALID_FIELD":
                    raise
                found.append(None)
        return Answer(200, found)

    # -- calls in a call ----------------------------------------------------------------------------------------------

    def _composite(self, call: Call) -> Answer:
        only(call, "POST")
        requests = _requests(call, "compositeRequest")
        all_or_none = sent(call).get("allOrNone") is True
        done: dict[str, Json] = {}
        results: list[dict[str, Json]] = []
        with self._org.all_or_none() as undo:
            for request in requests:
                answer = self._sub_call(call, request, done)
                reference = str(request.get("referenceId", ""))
                if not answer.failed:
                    done[reference] = answer.body
                results.append(
                    {
                        "body": answer.body,
                        "httpHeaders": answer.headers,
                        "httpStatusCode": answer.status,
                        "referenceId": reference,
                    }
                )
                if all_or_none and answer.failed:
                    undo()
                    results = _halted(results, requests)
                    break
        return Answer(200, {"compositeResponse": results})

    def _sub_call(self, call: Call, request: dict[str, Json], done: dict[str, Json]) -> Answer:
        try:
            url = _filled(str(request["url"]), done)
            body = _filled(request.get("body"), done)
            return self._rest.handle(read_call(str(request["method"]), str(url), call.user, body))
        except KeyError as missing:
            message = f"Invalid reference specified. No value for {missing.args[0]} found."
            return Answer(400, [{"errorCode": "PROCESSING_HALTED", "message": message}])
        except Refusal as refusal:
            return Answer(refusal.status, [refusal.as_call_error()])

    def _batch(self, call: Call) -> Answer:
        only(call, "POST")
        requests = _requests(call, "batchRequests")
        halt = sent(call).get("haltOnError") is True
        results: list[dict[str, Json]] = []
        failed = False
        for request in requests:
            if failed and halt:
                skipped = {"errorCode": "BATCH_PROCESSING_HALTED", "message": "Batch processing halted per request"}
                results.append({"statusCode": 412, "result": [skipped]})
                continue
            try:
                inner = read_call(str(request["method"]), str(request["url"]), call.user, request.get("richInput"))
                answer = self._rest.handle(inner)
            except Refusal as refusal:
                answer = Answer(refusal.status, [refusal.as_call_error()])
            failed = failed or answer.failed
            results.append({"statusCode": answer.status, "result": answer.body})
        return Answer(200, {"hasErrors": failed, "results": results})


def _halted(results: list[dict[str, Json]], requests: list[dict[str, Json]]) -> list[dict[str, Json]]:
    message = "The transaction was rolled back since another operation in the same transaction failed."
    body = [{"errorCode": "PROCESSING_HALTED", "message": message}]
    failed = results[-1]
    return [
        failed
        if request.get("referenceId") == failed["referenceId"]
        else {"body": body, "httpHeaders": {}, "httpStatusCode": 400, "referenceId": request.get("referenceId")}
        for request in requests
    ]


def _filled(value: Json, done: dict[str, Json]) -> Json:
    """Replace ``@{refund.id}`` by what that call answered. Raises ``KeyError`` when it answered no such thing."""
    if isinstance(value, dict):
        return {key: _filled(item, done) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, done) for item in value]
    if not isinstance(value, str):
        return value

    def look_up(found: re.Match[str]) -> str:
        node = done.get(found[1])
        for step in re.findall(r"\.([A-Za-z0-9_]+)|\[(\d+)\]", found[2]):
            try:
                node = node[step[0]] if step[0] else node[int(step[1])]  # type: ignore[index]
            except (KeyError, IndexError, TypeError):
                raise KeyError(found[0]) from None
        return str(node)

    return _REFERENCE.sub(look_up, value)


def _records(call: Call) -> list[dict[str, Json]]:
    rows = sent(call).get("records")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise Refusal("JSON_PARSER_ERROR", "records must be a list of objects")
    _limit(len(rows), ROWS_MAX)
    return rows


def _requests(call: Call, name: str) -> list[dict[str, Json]]:
    requests = sent(call).get(name)
    if not isinstance(requests, list) or not all(
        isinstance(one, dict) and {"method", "url"} <= one.keys() for one in requests
    ):
        raise Refusal("JSON_PARSER_ERROR", f"{name} must be a list of objects with method and url")
    _limit(len(requests), CALLS_MAX)
    return requests


def _limit(count: int, most: int) -> None:
    if count > most:
        message = f"record limit reached. cannot submit more than {most} records into this call"
        raise Refusal("EXCEEDED_ID_LIMIT", message)


def _type_of(row: dict[str, Json]) -> str:
    named = row.get("attributes")
    if not isinstance(named, dict) or "type" not in named:
        raise Refusal("INVALID_INPUT", "Include an attributes.type in every record")
    return str(named["type"])
