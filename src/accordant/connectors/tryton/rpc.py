"""Calls to one Tryton database: JSON-RPC over the shared HTTP client, with a session that is renewed when it ends.
Guarantees that an error which Tryton sends with status 200 is told from an answer, and a refusal from a lost answer.
Source: trytond's protocols/dispatcher.py, version 8.2. Next: outbound.py.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from urllib.parse import quote

import msgspec

from accordant.connectors.sdk.http import HttpAnswer, HttpClient
from accordant.connectors.sdk.renewal import RenewedHeader
from accordant.connectors.tryton.errors import Fault, read_fault
from accordant.connectors.tryton.wire import Json, decode, encode
from accordant.kernel.errors import AccordantError, RejectedError
from accordant.ports.connector import AnswerLost, AuthorizationExpired, TargetUnavailable

JSON = "application/json"
#: Methods that change nothing, so that they may be sent again.
_READS = frozenset({"read", "search", "search_read", "search_count", "fields_get", "get_preferences"})
#: How many records of a search come in one answer.
PAGE = 500


class TrytonRefused(RejectedError):
    """Tryton said no to a call and undid it: nothing of it was carried out."""

    remedy = "Give the user of this connection the right to it, or activate the module it belongs to."

    def __init__(self, name: str, fault: Fault) -> None:
        super().__init__(f"Tryton refused {name}: {fault.message.rstrip('.')}.")
        self.fault = fault


class Session(RenewedHeader):
    """Gives the ``Authorization`` header of a session. Tryton ends one that rested for some minutes as far as posting
    goes, and any after a month.
    """

    def __init__(self, *, login: HttpClient, database: str, user: str, password: str) -> None:
        super().__init__(login)
        self._path = rpc_path(database)
        self._database = database
        self._user = user
        self._password = password

    def __repr__(self) -> str:
        return f"Session({self._user} at {self._database})"

    @property
    def user(self) -> str:
        """The login of the connection, as Tryton names it."""
        return self._user

    async def _renewed(self) -> dict[str, str]:
        call = {"id": 0, "method": "common.db.login", "params": [self._user, {"password": self._password}]}
        try:
            answer = await self._login.send("POST", self._path, body=encode(call), content_type=JSON, writes=False)
        except AuthorizationExpired:
            raise AuthorizationExpired(
                f"Tryton does not let {self._user!r} in: the user or the password is wrong."
            ) from None
        if answer.status == 404:
            raise AuthorizationExpired(
                f"This Tryton has no database {self._database!r}.",
                remedy="Correct the setting 'database' of this connection; its writes wait until then.",
            )
        match _decoded(answer):
            case {"result": [int(user_id), str(token), *_]}:
                proof = base64.b64encode(f"{self._user}:{user_id}:{token}".encode()).decode("ascii")
                return {"Authorization": f"Session {proof}"}
            case _:
                raise TargetUnavailable(f"Tryton answered a login with status {answer.status} and without a session.")


class Rpc:
    """Calls methods of models and wizards in one database, as one user."""

    def __init__(self, *, http: HttpClient, session: Session, database: str) -> None:
        self._http = http
        self._session = session
        self._path = rpc_path(database)

    @property
    def user(self) -> str:
        """Our login."""
        return self._session.user

    async def close(self) -> None:
        """Release connections."""
        await self._http.close()
        await self._session.close()

    async def call(
        self,
        model: str,
        method: str,
        *params: Json,
        context: Mapping[str, Json] | None = None,
        kind: str = "model",
        correlation_id: str = "",
    ) -> Json:
        """One method of a model, or of a wizard with ``kind``; the context goes along as its last parameter.

        Raises: TrytonRefused when Tryton said no and undid it, AnswerLost when a write may have been carried out,
        RateLimited, TargetUnavailable, AuthorizationExpired, RejectedError (no such model or method).
        """
        name = f"{kind}.{model}.{method}"
        writes = method not in _READS
        body = encode({"id": 0, "method": name, "params": [*params, dict(context or {})]})
        answer = await self._http.send(
            "POST", self._path, body=body, content_type=JSON, writes=writes, correlation_id=correlation_id
        )
        if answer.status >= 400:
            raise _refused_whole(name, answer)
        match _decoded(answer):
            case {"error": error}:
                raise _of_fault(name, read_fault(error), writes=writes)
            case {"result": result}:
                return result
            case _:
                what = f"Tryton answered {name} with something that cannot be read ({len(answer.body)} bytes)."
                raise AnswerLost(what) if writes else TargetUnavailable(what)

    async def find(
        self,
        model: str,
        domain: Sequence[Json],
        fields: Sequence[str],
        *,
        context: Mapping[str, Json] | None = None,
        limit: int | None = PAGE,
    ) -> list[dict[str, Json]]:
        """Records of a model that a domain finds, in the order of their ids. Raises as ``call``."""
        rows = await self.call(
            model, "search_read", list(domain), 0, limit, [["id", "ASC"]], list(fields), context=context
        )
        if not isinstance(rows, list) or not all(
            isinstance(row, dict) and isinstance(row.get("id"), int) for row in rows
        ):
            raise TargetUnavailable(f"Tryton answered a search of {model} with something that is no list of records.")
        return rows


def rpc_path(database: str) -> str:
    """Where calls to a database go, encoded."""
    return f"/{quote(database, safe='')}/rpc/"


def _refused_whole(name: str, answer: HttpAnswer) -> RejectedError:
    """A status of 400 and more comes before Tryton began; 403 is a method it does not offer, not a right it misses."""
    said = " ".join(answer.body[:200].decode("utf-8", "replace").split())
    return RejectedError(
        f"Tryton has no {name}: status {answer.status} {said}".rstrip() + ".",
        remedy="Compare the mapping with the modules that are activated in this Tryton.",
    )


def _of_fault(name: str, fault: Fault, *, writes: bool) -> AccordantError:
    if fault.is_undone:
        return TrytonRefused(name, fault)
    if "'" in fault.message and name.split(".", 1)[1].rpartition(".")[0] in fault.message:
        return RejectedError(
            f"Tryton has no model {fault.message}.",
            remedy="Activate the module it belongs to, or correct the mapping.",
        )
    if writes:
        return AnswerLost(f"Tryton broke off {name}: {fault.message}")
    return TargetUnavailable(f"Tryton could not answer {name} now: {fault.message}")


def _decoded(answer: HttpAnswer) -> Json:
    try:
        return decode(answer.body)
    except msgspec.DecodeError:
        return None
