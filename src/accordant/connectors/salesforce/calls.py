"""Calls to one org: sessions renewed, the day's allowance noted, refusals of a question as the hub's own errors.
Guarantees that no answer is believed that is not one of Salesforce's, and that rows are read to their last page.
Next: outbound.py, which writes; changes.py, which asks what changed.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence

import msgspec

from accordant.canonical.intents import RefusalClass
from accordant.connectors.salesforce import errors
from accordant.connectors.salesforce.authorize import Authorizer
from accordant.connectors.salesforce.wire import Json, decode
from accordant.connectors.sdk.http import HttpAnswer, HttpClient
from accordant.connectors.sdk.rates import parse_http_date, parse_retry_after
from accordant.kernel.clock import Clock
from accordant.kernel.errors import HoldError, RejectedError, TransientError
from accordant.ports.connector import AuthorizationExpired, RateLimited, TargetUnavailable

JSON = "application/json"
_USAGE = re.compile(r"api-usage=(\d{1,12})/(\d{1,12})")


class LimitUsage(msgspec.Struct, frozen=True):
    """API calls of the whole org in the last 24 hours, ours and everybody's, and how many it may make."""

    used: int
    allowed: int


class Calls:
    """What both halves call the org with. Use it inside one event loop; ``close`` it there."""

    def __init__(self, *, http: HttpClient, authorizer: Authorizer, clock: Clock, api_version: str) -> None:
        """``http`` calls the org with ``authorizer``'s headers; ``api_version`` reads ``59.0``."""
        self._http = http
        self._authorizer = authorizer
        self._clock = clock
        self.base = f"/services/data/v{api_version}"
        self.usage: LimitUsage | None = None

    def __repr__(self) -> str:
        return repr(self._http)

    async def close(self) -> None:
        """Release connections."""
        await self._http.close()
        await self._authorizer.close()

    async def send(
        self,
        method: str,
        path: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        body: bytes | None = None,
        content_type: str = JSON,
        writes: bool | None = None,
        correlation_id: str = "",
    ) -> HttpAnswer:
        """One call. A session ended without a 401 is renewed once too: its refusal proves nothing was carried out."""
        for last in (False, True):
            answer = await self._http.send(
                method,
                path,
                query=query,
                body=body,
                content_type=None if body is None else content_type,
                headers={"Accept": f"{JSON}, text/csv"} if "/jobs/ingest/" in path else {"Accept": JSON},
                writes=writes,
                correlation_id=correlation_id,
            )
            self._note_usage(answer)
            ended = answer.status >= 400 and errors.call_fault(answer.status, answer.body).code in errors.SESSION_CODES
            if not ended:
                return answer
            if not last:
                await self._authorizer(refused=self._authorizer.proof)
        raise AuthorizationExpired("Salesforce ended the session of this connection again after it was renewed.")

    async def rows(self, object_name: str, question: str, *, resource: str = "query") -> AsyncIterator[Json]:
        """Every row of an answer, page after page. Raises as ``Outbound.read``."""
        answer = await self.send("GET", f"{self.base}/{resource}", query=(("q", question),))
        seen: set[str] = set()
        while True:
            if answer.status != 200:
                raise self.read_error(object_name, answer)
            page = decoded(answer)
            rows = page.get("records") if isinstance(page, dict) else None
            if not isinstance(page, dict) or not isinstance(rows, list):
                raise TargetUnavailable(
                    f"Salesforce answered a question for {object_name} with something else than rows."
                )
            for row in rows:
                yield row
            following = page.get("nextRecordsUrl")
            if page.get("done") is not False and following is None:
                return
            if not isinstance(following, str) or not following.startswith("/services/data/") or following in seen:
                raise TargetUnavailable(f"Salesforce broke off its answer about {object_name} before its last page.")
            seen.add(following)
            answer = await self.send("GET", following)

    def read_error(self, object_name: str, answer: HttpAnswer) -> TransientError | HoldError | RejectedError:
        """What a refused question means."""
        fault = errors.call_fault(answer.status, answer.body)
        if fault.code in errors.LIMIT_CODES:
            return self.limited(answer, fault)
        if fault.code == "INVALID_QUERY_LOCATOR":
            return TargetUnavailable(f"Salesforce forgot how far the reading of {object_name} had come.")
        cause = errors.refused(object_name, (fault,), key_field="").cause
        if cause is RefusalClass.TRANSIENT:
            return TargetUnavailable(f"Salesforce could not read {object_name} now: {fault.message}")
        if cause is RefusalClass.AUTHORIZATION:
            return AuthorizationExpired(f"Salesforce does not let this connection read {object_name}: {fault.message}.")
        said = " ".join(fault.message.split()).rstrip(".")
        return RejectedError(
            f"Salesforce cannot answer for {object_name}: {fault.code}: {said}.",
            remedy="Compare the mapping with the fields this org has: an object or a field is missing or renamed.",
        )

    def pause(self, answer: HttpAnswer) -> float | None:
        """The pause the answer asks for, in seconds."""
        now = parse_http_date(answer.headers.get("date")) or self._clock()
        return parse_retry_after(answer.headers.get("retry-after"), now=now)

    def limited(self, answer: HttpAnswer, fault: errors.Fault) -> RateLimited:
        """That the org's allowance is used up."""
        told = self.pause(answer)
        used = "" if self.usage is None else f" ({self.usage.used} of {self.usage.allowed} calls used)"
        return RateLimited(
            f"The API allowance of this Salesforce org is used up{used}: {fault.message}",
            retry_after_s=errors.limit_pause_s(fault.message) if told is None else told,
        )

    def _note_usage(self, answer: HttpAnswer) -> None:
        told = _USAGE.search(answer.headers.get("sforce-limit-info", ""))
        if told:
            self.usage = LimitUsage(int(told[1]), int(told[2]))


def decoded(answer: HttpAnswer) -> Json:
    """The body of an answer to a call that only reads. Raises TargetUnavailable when it is no JSON."""
    try:
        return decode(answer.body)
    except msgspec.DecodeError:
        raise TargetUnavailable(f"Salesforce answered with {len(answer.body)} bytes that are no JSON.") from None
