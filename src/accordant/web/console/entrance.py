"""Signing in and out, and the two files every page is dressed with."""

import asyncio
from functools import partial
from pathlib import Path

from litestar import MediaType, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from litestar.response import Redirect

from accordant.web.console.frame import Answer, Console, Problem, Visitor
from accordant.web.console.security import SESSION_COOKIE, SESSION_SECONDS_MAX, VISIT_COOKIE
from accordant.web.console.threads import in_thread

_STATIC = Path(__file__).resolve().parent.parent / "static"
_FILES = {
    "accordant.css": (MediaType.CSS, (_STATIC / "accordant.css").read_bytes()),
    "live.js": ("text/javascript", (_STATIC / "live.js").read_bytes()),
    "mark.svg": ("image/svg+xml", (_STATIC / "mark.svg").read_bytes()),
}


@get("/static/{name:str}", sync_to_thread=False)
def static_file(name: FromPath[str]) -> Answer:
    """One of the files above, by its exact name; nothing else can be reached."""
    if name not in _FILES:
        raise Problem(404, "Not found", "There is no such file.")
    kind, content = _FILES[name]
    return Response(content, media_type=kind, headers={"cache-control": "max-age=300"})


@get("/sign-in")
@in_thread
def sign_in_page(request: Visitor, console: NamedDependency[Console], next: FromQuery[str] = "/") -> Answer | Redirect:  # noqa: A002  the word in the address
    """The question for the token."""
    if console.gate.is_signed_in(request.cookies.get(SESSION_COOKIE)):
        return Redirect("/", status_code=303)
    return _ask(request, console, wanted=own_path(next), problem="")


def _ask(request: Visitor, console: Console, *, wanted: str, problem: str, status_code: int = 200) -> Answer:
    visit = console.gate.visit_of(request.cookies.get(VISIT_COOKIE))
    fresh = None if visit is not None else console.gate.new_visit()
    owner = visit if fresh is None else console.gate.visit_of(fresh)
    html = console.render(
        "sign_in.html", hub=console.hub, csrf=console.gate.form_token(owner or ""), next=wanted, problem=problem
    )
    answer: Answer = Response(html, media_type=MediaType.HTML, status_code=status_code)
    if fresh is not None:
        console.set_cookie(answer, request, VISIT_COOKIE, fresh)
    return answer


@post("/sign-in")
async def sign_in(request: Visitor, console: NamedDependency[Console]) -> Answer | Redirect:
    """Check the token; a right one makes a new session and a new visitor's cookie."""
    fields = await console.checked_form(request, None)
    at_s = console.hub.clock().timestamp()
    wait_s = console.gate.wait_s(at_s)
    if wait_s:
        problem = f"Too many wrong tokens. Everybody waits {wait_s:.0f} seconds."
        return _ask(request, console, wanted=own_path(fields.get("next", "/")), problem=problem, status_code=429)
    session = await asyncio.to_thread(partial(console.gate.sign_in, fields.get("token", ""), at_s=at_s))
    if session is None:
        problem = (
            "This token opens nothing here: it is wrong, or was revoked, or has run out. Ask an admin for a new one."
        )
        return _ask(request, console, wanted=own_path(fields.get("next", "/")), problem=problem, status_code=401)
    answer = Redirect(own_path(fields.get("next", "/")), status_code=303)
    console.set_cookie(answer, request, SESSION_COOKIE, session, seconds=SESSION_SECONDS_MAX)
    console.set_cookie(answer, request, VISIT_COOKIE, console.gate.new_visit())
    return answer


@post("/sign-out")
async def sign_out(request: Visitor, console: NamedDependency[Console]) -> Redirect:
    """End this browser's session."""
    await console.checked_form(request, None)
    answer = Redirect("/sign-in", status_code=303)
    answer.delete_cookie(SESSION_COOKIE, path="/")
    answer.delete_cookie(VISIT_COOKIE, path="/")
    return answer


def own_path(wanted: str) -> str:
    """A path of this console, or the overview: a sign-in never leads to another site."""
    printable = wanted.isascii() and wanted.isprintable() and "\\" not in wanted
    return wanted if printable and wanted.startswith("/") and not wanted.startswith("//") else "/"
