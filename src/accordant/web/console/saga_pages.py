"""How far has a change come, and what holds it? The board of sagas, one of them as a rail, and a person's way back."""

import asyncio
from functools import partial

from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from litestar.response import Redirect

from accordant.governance.access import Act
from accordant.kernel.errors import AccordantError
from accordant.operations.saga_desk import REASON_LENGTH_MAX, SagaDesk
from accordant.orchestration.saga import Saga, SagaPhase, StepState
from accordant.ports.sagas import NoSaga
from accordant.web.console.frame import Answer, Console, Problem, Visitor, address, as_file
from accordant.web.console.threads import in_thread
from accordant.web.saga_desk import saga_desk

LISTED_MAX = 200
_HEADER = ("saga", "kind", "subject", "began_at", "phase", "step", "sight", "told", "proof")
_TOLD = {"undone": "It is taken back from now on. Below stands what has to be undone first."}
#: What a step is called on a page, and what is true when it is behind.
_STEPS = {
    "billing_customer": ("Customer in billing", "Billing has the customer."),
    "erp_customer": ("Customer in the ERP", "The ERP has the customer, found or made."),
    "subscription": ("Subscription", "Billing runs what was signed."),
    "first_invoice": ("First bill", "The first bill is out."),
    "posting": ("Posting", "The bill is posted, and the ERP has its document."),
    "repricing": ("Repricing", "Billing sells something else from now on."),
    "invoice": ("Bill", "The first bill since the change is out, or a credit was given."),
    "tax": ("Tax", "The bill states its tax."),
    "journal": ("Journal", "The bill is posted, and the ERP has its document."),
    "forecast": ("Forecast", "Sales is shown the new figures."),
}


def _desk(console: Console) -> SagaDesk:
    return saga_desk(console.hub)


@get(["/sagas", "/sagas.json", "/sagas.csv"])
@in_thread
def sagas_page(request: Visitor, console: NamedDependency[Console]) -> Answer:
    """How far has each change come?"""
    found = _desk(console).book.latest(limit=LISTED_MAX)
    file = as_file(
        request, {"sagas": found}, name="sagas", header=_HEADER, rows=[row for one in found for row in _rows(one)]
    )
    if file is not None:
        return file
    return console.page(request, "sagas.html", sagas=found, titles=_STEPS, limit=LISTED_MAX)


@get("/sagas/{saga:str}")
@in_thread
def saga_page(
    request: Visitor, console: NamedDependency[Console], saga: FromPath[str], told: FromQuery[str] = ""
) -> Answer:
    """One change: its steps, what each rests on, and the way back."""
    return _page(request, console, saga, told=_TOLD.get(told, ""))


def _page(
    request: Visitor, console: Console, saga: str, *, told: str = "", problem: str = "", status_code: int = 200
) -> Answer:
    name = saga.removesuffix(".json").removesuffix(".csv")
    try:
        found = _desk(console).find(name)
    except NoSaga:
        raise Problem(404, "No such saga", "No saga has this id.", "Choose one of the list at /sagas.") from None
    file = as_file(request, {"saga": found}, name="saga", header=_HEADER, rows=_rows(found))
    if file is not None:
        return file
    return console.page(
        request,
        "saga.html",
        saga=found,
        rail=[(one, *_STEPS[one.step.value], _mark(found, one), _place_of(one)) for one in found.steps],
        told=told,
        problem=problem,
        reason_max=REASON_LENGTH_MAX,
        can_undo=found.phase in {SagaPhase.RUNNING, SagaPhase.DONE},
        status_code=status_code,
    )


@post("/sagas/{saga:str}/undo")
async def undo_saga(request: Visitor, console: NamedDependency[Console], saga: FromPath[str]) -> Answer | Redirect:
    """Have it taken back."""
    fields = await console.checked_form(request, Act.OPERATE)
    desk = await asyncio.to_thread(_desk, console)
    undo = partial(desk.undo, saga, actor=console.actor(request), because=fields.get("because", ""))
    try:
        await asyncio.to_thread(undo)
    except NoSaga:
        raise Problem(404, "No such saga", "No saga has this id.", "Choose one of the list at /sagas.") from None
    except AccordantError as error:
        return await asyncio.to_thread(partial(_page, request, console, saga, problem=str(error), status_code=409))
    return Redirect(address(f"/sagas/{saga}", told="undone"), status_code=303)


def _mark(saga: Saga, one: StepState) -> str:
    """How the rail shows a step: done, here or ahead."""
    current = saga.current
    if current is not None and one.step is current.step:
        return "here"
    return "done" if one.is_behind else "ahead"


def _place_of(one: StepState) -> str | None:
    """The page of what a step rests on, where there is one."""
    kind, _, name = (one.proof or "").partition("/")
    return address("/books/journal", entry=name) if kind == "entry" else None


def _rows(saga: Saga) -> list[tuple[object, ...]]:
    return [
        (
            saga.id,
            saga.kind.value,
            saga.subject,
            saga.began_at,
            saga.phase.value,
            one.step.value,
            one.sight.value,
            one.told,
            one.proof,
        )
        for one in saga.steps
    ]


#: Every page of sagas.
PAGES = (sagas_page, saga_page, undo_saga)
