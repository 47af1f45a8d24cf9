"""What every page is made with: the hub behind it, templates, frame, and answers to what goes wrong."""

import asyncio
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import jinja2
import msgspec
import structlog
from litestar import MediaType, Request, Response
from litestar.datastructures import MutableScopeHeaders
from litestar.exceptions import HTTPException
from litestar.types import Message, Scope

from accordant.analytics.movements import Movement
from accordant.canonical.charter import Audience, Charter
from accordant.canonical.people import unverified
from accordant.governance.access import Act
from accordant.governance.sensitivity import Lens, lens
from accordant.kernel.clock import Clock
from accordant.kernel.errors import AccordantError, TransientError
from accordant.operations.bookkeeper import Bookkeeper
from accordant.operations.people_office import PeopleOffice
from accordant.operations.phase_office import PhaseOffice
from accordant.operations.redrive import Redriven
from accordant.operations.redrive_checks import RedriveOrder
from accordant.operations.rehearsal_desk import RehearsalDesk
from accordant.operations.replay import ReplayCount
from accordant.operations.restore import Prospect, Restored, RestoreOrder
from accordant.operations.review_room import ReviewRoom
from accordant.operations.settle_letter import Finding
from accordant.pipeline.plan import Rulebook
from accordant.ports.replay import ReplayJob, ReplayOrder
from accordant.store.engine import Database
from accordant.store.state import SqlState
from accordant.views.agreement import compare_records
from accordant.views.masked import masked
from accordant.views.status import status
from accordant.web.console import words
from accordant.web.console.gauge import Gauge
from accordant.web.console.security import (
    HEADERS,
    LOOPBACK_HOSTS,
    SESSION_COOKIE,
    VISIT_COOKIE,
    Gatekeeper,
    is_host_allowed,
    is_same_origin,
)
from accordant.web.console.trail_words import trail_name

Visitor = Request[Any, Any, Any]
Answer = Response[Any]

_TEMPLATES = Path(__file__).resolve().parent.parent / "templates"
_OPEN_PATHS = ("/sign-in", "/static/")
_log = structlog.get_logger("console")


class Recovery(Protocol):
    """What the console needs of the recovery room."""

    def redrive(self, ids: Sequence[str], order: RedriveOrder) -> Redriven:
        """Put dead letters back at the head of their lanes. Raises RejectedError with what is missing."""

    def settle(self, letter: str, finding: Finding) -> Redriven | None:
        """Keep what a person found of a write whose target cannot be asked. Raises RejectedError."""

    def is_unaskable(self, target: str, object_name: str) -> bool:
        """Whether only a person can say what became of a write to these objects."""

    def count_replay(self, order: ReplayOrder) -> ReplayCount:
        """How many events a replay would walk."""

    def begin_replay(self, order: ReplayOrder) -> ReplayJob:
        """Keep a replay for a server to walk. Raises RejectedError where it may not begin."""


class ConsoleHub(Protocol):
    """What the console needs of the hub. ``environment`` is demo, read-only or live."""

    @property
    def database(self) -> Database:
        """The store, to read."""

    @property
    def clock(self) -> Clock:
        """The time."""

    @property
    def review_room(self) -> ReviewRoom:
        """Where a person says whose record it is."""

    @property
    def charter(self) -> Charter:
        """The charter in force."""

    @property
    def environment(self) -> str:
        """What the badge says."""

    @property
    def audience(self) -> Audience:
        """Who reads the console: decides what is covered."""

    @property
    def console_token(self) -> str | None:
        """The token visitors sign in with; None where nobody has to."""

    @property
    def console_key(self) -> bytes:
        """What cookies and forms are signed with."""

    @property
    def people(self) -> PeopleOffice:
        """Who signs in with a token of their own."""

    @property
    def bookkeeper(self) -> Bookkeeper:
        """Who keeps the books by the clock: what a month lacks."""

    @property
    def movements(self) -> Callable[..., tuple[Movement, ...]]:
        """How an account's recurring revenue moved (`operations.tell_movements`)."""

    @property
    def phase_office(self) -> PhaseOffice:
        """Where flows are widened and narrowed."""

    @property
    def rehearsals(self) -> RehearsalDesk:
        """Where rehearsals are ordered."""

    @property
    def allowed_hosts(self) -> tuple[str, ...]:
        """Host names of this console besides those of loopback, without ports."""

    @property
    def recovery(self) -> Recovery:
        """Where dead letters are put back."""

    @property
    def rulebook(self) -> Rulebook:
        """The charter in force, made ready."""

    @property
    def state(self) -> SqlState:
        """What is known and decided."""

    def replan_accounts(self, *, account_ids: tuple[str, ...] | None) -> int:
        """Decide again for these accounts and companies; how many."""

    def pause(self, flow: str, actor: str, reason: str) -> None:
        """Throw the flow's switch."""

    def resume(self, flow: str, actor: str) -> None:
        """Release the flow's switch."""

    def prospects(self, conflict_id: str) -> tuple[Prospect, ...]:
        """What each choice on a conflict would do now. Raises RejectedError where there is nothing to decide."""

    def restore(self, order: RestoreOrder) -> Restored:
        """Carry out a person's word on a conflict. Raises RejectedError with what is in the way."""

    def open_event(self, seq: int) -> bytes | None:
        """The raw body of an event, opened; None when it is gone or was erased."""


class Problem(Exception):
    """The page cannot be shown; ``text`` says what is the matter and ``step`` what to do next."""

    def __init__(self, status_code: int, title: str, text: str, step: str = "") -> None:
        self.status_code = status_code
        self.title = title
        self.text = text
        self.step = step
        super().__init__(text)


def address(path: str, **parameters: object) -> str:
    """A link with its filters in the address; empty filters are left out."""
    kept = {name: str(value) for name, value in parameters.items() if value not in ("", None)}
    return f"{path}?{urlencode(kept)}" if kept else path


def form_of(visitor: Visitor) -> str:
    """How the visitor wants the page: html, json or csv, by the suffix of the path."""
    match = re.search(r"\.(json|csv)$", visitor.url.path)
    return match.group(1) if match else "html"


class Console:
    """The console of one hub."""

    def __init__(self, hub: ConsoleHub) -> None:
        self.hub = hub
        self.gate = Gatekeeper(hub.console_key, hub.console_token, hub.people)
        self.gauge = Gauge(lambda: compare_records(hub.database, now=hub.clock()), hub.clock)
        self.listeners = 0
        self._lens: tuple[Charter, Lens] | None = None
        #: Minutes that are over, with their receipts: see `views.overview`.
        self.finished: dict[datetime, int] = {}
        self._templates = _environment()

    @property
    def zone(self) -> ZoneInfo:
        """The company's time zone: where its days end."""
        return ZoneInfo(self.hub.charter.timezone)

    @property
    def lens(self) -> Lens:
        """What the readers of this console may see, under the charter in force."""
        charter, audience = self.hub.charter, self.hub.audience
        if self._lens is None or self._lens[0] is not charter:
            self._lens = charter, lens(charter, audience)
        return self._lens[1]

    def person(self, visitor: Visitor) -> str | None:
        """The name of who is signed in; None where nobody is, or with the token that names nobody."""
        person = self.gate.person_of(visitor.cookies.get(SESSION_COOKIE))
        return None if person is None else person.name

    def actor(self, visitor: Visitor) -> str:
        """Who is named as having acted: a person who proved it, or the console, marked."""
        shared = "console token" if self.gate.asks_for_token else "console on this machine"
        return self.person(visitor) or unverified(shared)

    async def admit(self, visitor: Visitor) -> Answer | None:
        """Asked before every page: is this our host, and may this visitor see it?"""
        allowed = LOOPBACK_HOSTS | {name.lower() for name in self.hub.allowed_hosts}
        if not is_host_allowed(visitor.headers.get("host"), allowed):
            text = "This console does not answer to the name it was called by."
            raise Problem(421, "Unknown host", text, "Add the name to ACCORDANT_ALLOWED_HOSTS and start again.")
        visitor.state.lens = self.lens
        path = visitor.url.path
        cookie = visitor.cookies.get(SESSION_COOKIE)
        if path.startswith(_OPEN_PATHS) or await asyncio.to_thread(self.gate.is_signed_in, cookie):
            return None
        if form_of(visitor) != "html" or path == "/live":
            raise Problem(401, "Sign in first", "This console asks for a token.", "Sign in at /sign-in.")
        return Response(None, status_code=303, headers={"location": address("/sign-in", next=path)})

    @staticmethod
    async def seal(message: Message, _scope: Scope) -> None:
        """The headers of every answer, whoever made it."""
        if message["type"] == "http.response.start":
            headers = MutableScopeHeaders.from_message(message)
            for name, value in (*HEADERS.items(), ("cache-control", "no-store")):
                headers.setdefault(name, value)

    def render(self, template: str, **context: object) -> str:
        """A template with the words and the time. Every value goes through the lens, whatever page it is for."""
        seen = self.lens
        shown = {name: masked(value, seen) if _holds_answers(value) else value for name, value in context.items()}
        return self._templates.get_template(template).render(now=self.hub.clock(), **shown)

    def page(  # each template names its own context
        self,
        visitor: Visitor,
        template: str,
        *,
        status_code: int = 200,
        **context: Any,  # noqa: ANN401
    ) -> Answer:
        """A page in its frame. A visitor without a cookie gets one, so that the page's forms can carry its token."""
        visit = self.gate.visit_of(visitor.cookies.get(VISIT_COOKIE))
        fresh = None if visit is not None else self.gate.new_visit()
        owner = visit if fresh is None else self.gate.visit_of(fresh)
        html = self.render(
            template,
            hub=self.hub,
            status=status(self.hub.database),
            path=visitor.url.path,
            query_text=visitor.query_params.get("q", ""),
            csrf=self.gate.form_token(owner or ""),
            signs_in=self.gate.asks_for_token,
            person=self.person(visitor),
            **context,
        )
        answer: Answer = Response(html, media_type=MediaType.HTML, status_code=status_code)
        if fresh is not None:
            self.set_cookie(answer, visitor, VISIT_COOKIE, fresh)
        return answer

    @staticmethod
    def set_cookie(answer: Answer, visitor: Visitor, name: str, value: str, *, seconds: int | None = None) -> None:
        """A cookie only this origin sends back and no script reads."""
        answer.set_cookie(
            name,
            value,
            max_age=seconds,
            path="/",
            httponly=True,
            samesite="strict",
            secure=visitor.url.scheme == "https",
        )

    async def checked_form(self, visitor: Visitor, act: Act | None = Act.OPERATE) -> dict[str, str]:
        """The fields of a form that came from a page of ours, of somebody who may do ``act``. Raises Problem.

        A page that names no act asks for the role of an operator; None is for signing in and out.
        """
        sent = visitor.headers.get("content-type", "").partition(";")[0].strip().lower()
        if sent != "application/x-www-form-urlencoded":
            raise Problem(415, "Not a form", "This address takes only the console's own forms.")
        if not is_same_origin(visitor.headers, visitor.headers.get("host")):
            text = "The request did not come from a page of this console, so nothing was done."
            raise Problem(403, "Not from here", text, "Open the page again and repeat the step there.")
        fields = {name: value for name, value in (await visitor.form()).items() if isinstance(value, str)}
        visit = self.gate.visit_of(visitor.cookies.get(VISIT_COOKIE))
        if not self.gate.is_form_token(fields.get("csrf", ""), visit):
            text = "The form is too old or was opened elsewhere, so nothing was done."
            raise Problem(403, "Form expired", text, "Go back, reload the page and send the form again.")
        cookie = visitor.cookies.get(SESSION_COOKIE)
        refusal = "" if act is None else await asyncio.to_thread(self.gate.refusal, cookie, act)
        if refusal:
            raise Problem(403, "Not your role", refusal)
        return fields

    def answer_problem(self, visitor: Visitor, error: Exception) -> Answer:
        """What a visitor reads when a page cannot be shown. No stack trace leaves; our log has it."""
        problem = _problem_of(error)
        problem.text = self.lens.text(problem.text)
        if problem.status_code >= 500 and not isinstance(error, AccordantError):
            _log.exception("a page failed", path=visitor.url.path, exc_info=error)
        if form_of(visitor) != "html":
            body = {"error": problem.title, "text": problem.text, "next": problem.step}
            answer: Answer = Response(body, status_code=problem.status_code, media_type=MediaType.JSON)
        else:
            html = self.render("problem.html", problem=problem, hub=self.hub)
            answer = Response(html, status_code=problem.status_code, media_type=MediaType.HTML)
        return answer


def _holds_answers(value: object) -> bool:
    """Whether a value of a template is an answer of a view; plain texts are the visitor's own words or ours."""
    return isinstance(value, msgspec.Struct | tuple | list | dict)


def as_file(
    visitor: Visitor, value: object, *, name: str, header: Sequence[str], rows: Iterable[Sequence[object]]
) -> Answer | None:
    """What the page holds as JSON (``value``, whole) or CSV (``rows``); None when the page itself is wanted.

    Both are covered for the visitor's audience.

    Instants in ISO 8601, money as minor units with its currency. The name of the file is ours, never the visitor's.
    """
    match form_of(visitor):
        case "json":
            return Response(msgspec.json.encode(masked(value, visitor.state.lens)), media_type="application/json")
        case "csv":
            return Response(
                words.csv_table(header, ([masked(cell, visitor.state.lens) for cell in row] for row in rows)),
                media_type="text/csv; charset=utf-8",
                headers={"content-disposition": f'attachment; filename="accordant-{name}.csv"'},
            )
        case _:
            return None


def _problem_of(error: Exception) -> Problem:
    match error:
        case Problem():
            return error
        case TransientError():
            return Problem(503, "Not just now", error.message, "The page can be loaded again in a moment.")
        case AccordantError():
            return Problem(409, "Not possible", error.message, error.remedy)
        case HTTPException(status_code=404):
            text = "There is no page at this address."
            return Problem(404, "Not found", text, "Search for an id above, or start at the overview.")
        case HTTPException(status_code=code) if code < 500:
            return Problem(code, "Not understood", "The address or the form holds something this page does not take.")
        case _:
            text = "This page could not be made. That is a defect of Accordant, and it was written to the log."
            return Problem(500, "A defect", text, "Writing goes on meanwhile; other pages are not affected.")


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: Mapping[str, Any] = {
        "count": words.count,
        "money": words.money,
        "moneys": words.moneys,
        "minor": words.minor,
        "plain_minor": words.plain_minor,
        "coded": words.coded,
        "figure": words.figure,
        "wire": words.wire,
        "span": words.span,
        "exact": words.exact,
        "day": words.day,
        "tone": words.tone,
        "event_name": words.event_name,
        "trail_name": trail_name,
        "plural": words.plural,
        "outcome": words.outcome_sentence,
    }
    environment.filters.update(filters)
    environment.globals.update(words=words, when=words.clock_time, percent=words.percent, url=address)
    return environment
