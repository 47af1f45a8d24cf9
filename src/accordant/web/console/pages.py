"""The pages that show: overview, event, customers, shadow, why, search. One function a page; each reads one view."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from litestar.response import Redirect, ServerSentEvent
from litestar.response.sse import ServerSentEventMessage

from accordant.canonical.charter import Mask, Phase, Sensitivity
from accordant.governance.sensitivity import lens
from accordant.kernel.money import Money
from accordant.views import customer as customers_view
from accordant.views.agreement import Agreement
from accordant.views.blame import blames
from accordant.views.customer import CustomerLine, customer, customers
from accordant.views.elsewhere import elsewhere
from accordant.views.lookup import look_up
from accordant.views.masked import masked
from accordant.views.overview import Overview, overview
from accordant.views.shadow import PAGE_MAX, shadow_records
from accordant.views.status import pulse, status
from accordant.views.trace import trace
from accordant.views.why import held_value, why
from accordant.web.console import charts
from accordant.web.console.frame import Answer, Console, Problem, Visitor, address, as_file
from accordant.web.console.masks import readable_body
from accordant.web.console.stations import stations
from accordant.web.console.threads import in_thread
from accordant.web.console.words import ACCOUNT_STATES

#: Pages that may listen at once; further ones reload by hand.
LISTENERS_MAX = 16
LIVE_PAUSE_S = 1.0
_SEQ_DIGITS_MAX = 15


@get(["/", "/overview.json", "/overview.csv"])
@in_thread
def overview_page(request: Visitor, console: NamedDependency[Console]) -> Answer:
    """Is everything in agreement, and if not, what is it worth?"""
    seen, agreement = _overview(console)
    header = ("flow", "phase", "settled", "lag_p50_s", "lag_p95_s", "waiting", "oldest_wait_s", "expected_lag_s")
    rows = ([getattr(flow, name) for name in header] for flow in seen.flows)
    file = as_file(request, {"overview": seen, "agreement": agreement}, name="flows", header=header, rows=rows)
    if file is not None:
        return file
    return console.page(request, "overview.html", **_live_context(console, seen, agreement))


def _overview(console: Console) -> tuple[Overview, Agreement | None]:
    hub = console.hub
    seen = overview(hub.database, hub.charter, now=hub.clock(), zone=console.zone, finished=console.finished)
    return seen, console.gauge.read()


def _live_context(console: Console, seen: Overview, agreement: Agreement | None) -> dict[str, Any]:
    return {
        "seen": seen,
        "agreement": agreement,
        "switches": status(console.hub.database),
        "phases": _phases_in_force(console),
        "chart": charts.bars(seen.settled_per_minute, title="Writes settled a minute, last hour", unit="writes"),
        "share": charts.share,
    }


def _phases_in_force(console: Console) -> dict[str, Phase]:
    """How far each flow may go now; what the charter wishes where the flow has no mapping."""
    standing = console.hub.phase_office.standing()
    return {
        flow.name: standing[flow.name].phase if flow.name in standing else flow.phase
        for flow in console.hub.charter.flows
    }


@get("/live")
async def live_feed(console: NamedDependency[Console]) -> ServerSentEvent:
    """The changing part of the overview, sent whenever something happened."""
    if console.listeners >= LISTENERS_MAX:
        raise Problem(503, "Too many listeners", "Enough pages listen already.", "Reload the page by hand.")
    return ServerSentEvent(_changes(console))


async def _changes(console: Console) -> AsyncGenerator[ServerSentEventMessage, None]:
    console.listeners += 1
    try:
        last = await asyncio.to_thread(pulse, console.hub.database)
        yield ServerSentEventMessage(event="hello", data="listening")
        while True:
            await asyncio.sleep(LIVE_PAUSE_S)
            beat = await asyncio.to_thread(pulse, console.hub.database)
            if beat == last:
                yield ServerSentEventMessage(comment="still here")
                continue
            last = beat
            html = await asyncio.to_thread(_live_html, console)
            yield ServerSentEventMessage(event="changed", data=html)
    finally:
        console.listeners -= 1


def _live_html(console: Console) -> str:
    seen, agreement = _overview(console)
    return console.render("_live.html", hub=console.hub, **_live_context(console, seen, agreement))


@get("/events/{number:str}")
@in_thread
def event_page(
    request: Visitor, console: NamedDependency[Console], number: FromPath[str], personal: FromQuery[str] = ""
) -> Answer:
    """What did this event do?"""
    digits = number.removesuffix(".json").removesuffix(".csv")
    found = None
    if digits.isascii() and digits.isdecimal() and len(digits) <= _SEQ_DIGITS_MAX:
        found = masked(trace(console.hub.database, int(digits)), console.lens)
    if found is None:
        text = f"There is no event {digits[:40]}. Events are numbered from 1 in the order they arrived."
        raise Problem(404, "No such event", text, "Search for the provider's event id instead.")
    header = ("record", "revision", "state", "field", "before", "after")
    rows = (
        (write.record, write.intent.revision, write.state, change.field, change.before, change.after)
        for write in found.writes
        for change in write.intent.changes
    )
    row = stations(found)
    file = as_file(request, {"trace": found, "stations": row}, name=f"event-{found.seq}", header=header, rows=rows)
    if file is not None:
        return file
    body = console.hub.open_event(found.seq)
    reveal = personal == "shown"
    # Even whoever may see more is shown the least until they ask: a screen has more readers than one.
    seen = console.lens if reveal else lens(console.hub.charter)
    return console.page(
        request,
        "trace.html",
        trace=found,
        stations=row,
        body=None if body is None else readable_body(body, lens=seen),
        body_bytes=0 if body is None else len(body),
        reveal=reveal,
    )


@get(["/customers", "/customers.json", "/customers.csv"])
@in_thread
def customers_page(
    request: Visitor,
    console: NamedDependency[Console],
    q: FromQuery[str] = "",
    status: FromQuery[str] = "",
    after: FromQuery[str] = "",
) -> Answer:
    """Who are our customers, and how does each stand?"""
    wanted = status if status in ACCOUNT_STATES else ""
    listed = customers(
        console.hub.database,
        now=console.hub.clock(),
        query=q.strip(),
        by_email=console.lens.masks[Sensitivity.EMAIL] is Mask.SHOW,
        status=wanted,
        after=after,
        zone=console.zone,
    )
    listed = masked(listed, console.lens)
    rows = (_customer_row(line) for line in listed.lines)
    file = as_file(request, listed, name="customers", header=_CUSTOMER_HEADER, rows=rows)
    if file is not None:
        return file
    return console.page(
        request,
        "customers.html",
        listed=listed,
        q=q.strip(),
        chosen=wanted,
        after=after,
        searched_max=customers_view.SEARCHED_MAX,
    )


_CUSTOMER_HEADER = (
    "account",
    "name",
    "external_id",
    "status",
    "plan",
    "mrr",
    "currency",
    "renews_on",
    "last_payment_on",
)


def _customer_row(line: CustomerLine) -> tuple[object, ...]:
    facts = line.facts
    mrr = facts.get("mrr")
    amount = mrr.to_decimal() if isinstance(mrr, Money) else None
    return (line.account_id, line.name, line.external_id, facts.get("status"), facts.get("plan_name"), amount,
            facts.get("currency"), facts.get("next_renewal_on"), facts.get("last_payment_on"))  # fmt: skip


@get("/customers/{account_id:str}")
@in_thread
def customer_page(request: Visitor, console: NamedDependency[Console], account_id: FromPath[str]) -> Answer:
    """Are they paying us?"""
    name = account_id.removesuffix(".json").removesuffix(".csv")
    hub = console.hub
    seen = customer(hub.database, name, now=hub.clock(), zone=console.zone)
    if seen is not None:
        seen = msgspec.structs.replace(seen, movements=hub.movements(name, as_of=hub.clock(), zone=console.zone))
    found = masked(seen, console.lens)
    if found is None:
        text = "No account has this id, or nobody has described it yet."
        raise Problem(404, "No such customer", text, "Search for the customer's id in billing or in the CRM.")
    header = ("record", "target_id", "field", "desired", "held", "differs")
    rows = (
        (record.ref, record.target_id, pair.field, pair.desired, pair.held, "yes" if pair.differs else "no")
        for record in found.records
        for pair in record.fields
    )
    file = as_file(request, found, name="customer", header=header, rows=rows)
    if file is not None:
        return file
    origins = blames(hub.database, found.records, found.account_id)
    return console.page(request, "customer.html", found=found, facts=found.facts.values, origins=origins)


@get(["/shadow", "/shadow.json", "/shadow.csv"])
@in_thread
def shadow_page(
    request: Visitor,
    console: NamedDependency[Console],
    flow: FromQuery[str] = "",
    field: FromQuery[str] = "",
    page: FromQuery[int] = 1,
) -> Answer:
    """What would be written?"""
    agreement = console.gauge.read()
    flows = agreement.flows if agreement is not None else ()
    refs = [ref for one in flows if not flow or one.flow == flow for ref in one.sample]
    at = max(1, min(page, 10_000))
    start = (at - 1) * PAGE_MAX
    found = shadow_records(console.hub.database, refs if field else refs[start : start + PAGE_MAX], field=field)
    records = masked(found, console.lens)
    shown = records[start : start + PAGE_MAX] if field else records
    header = ("flow", "record", "target_id", "field", "today", "desired")
    rows = (
        (one.flow, one.ref, one.target_id, pair.field, pair.held, pair.desired) for one in shown for pair in one.fields
    )
    file = as_file(request, {"agreement": agreement, "records": shown}, name="shadow", header=header, rows=rows)
    if file is not None:
        return file
    whole = len(records) if field else len(refs)
    return console.page(
        request,
        "shadow.html",
        agreement=agreement,
        phases=_phases_in_force(console),
        writes=(Phase.CONTROLLED, Phase.AUTOMATED),
        records=shown,
        flow=flow,
        field=field,
        page=at,
        further=start + PAGE_MAX < whole,
        share=charts.share,
    )


@get(["/why", "/why.json", "/why.csv"])
@in_thread
def why_page(
    request: Visitor, console: NamedDependency[Console], ref: FromQuery[str] = "", field: FromQuery[str] = ""
) -> Answer:
    """Why is this value here?"""
    if "#" in ref and not field:
        ref, _, field = ref.partition("#")
    found = masked(why(console.hub.database, ref, field or None) if ref else None, console.lens)
    if ref and found is None:
        return _elsewhere(request, console, ref)
    header = ("planned_at", "event", "before", "after", "state", "intent")
    hops = found.hops if found is not None else ()
    rows = (
        (hop.write.intent.planned_at.isoformat(), hop.seq, hop.change.before, hop.change.after, hop.write.state,
         hop.write.intent.id)
        for hop in hops
    )  # fmt: skip
    file = as_file(request, found, name="why", header=header, rows=rows)
    if file is not None:
        return file
    held, known = held_value(found.record, field) if found is not None else (None, False)
    return console.page(request, "why.html", found=found, ref=ref, field=field, held=held, known=known)


def _elsewhere(request: Visitor, console: Console, ref: str) -> Answer:
    """The answer for a record that no flow writes."""
    known = masked(elsewhere(console.hub.database, ref), console.lens)
    if known is None:
        text = f"The hub keeps no record named {ref[:120]}."
        raise Problem(
            404, "No such record", text, "Name it as system:Object/id, with the target's id or the hub's key."
        )
    header = ("event", "type", "received_at", "outcome", "reason")
    rows = ((one.seq, one.event_type, one.received_at.isoformat(), one.outcome, one.reason) for one in known.events)
    file = as_file(request, known, name="why", header=header, rows=rows)
    if file is not None:
        return file
    return console.page(request, "elsewhere.html", known=known, ref=ref)


@get("/search")
@in_thread
def search_page(request: Visitor, console: NamedDependency[Console], q: FromQuery[str] = "") -> Answer | Redirect:
    """Any id of any system leads to its page; other text searches the customers."""
    hit = look_up(console.hub.database, q, connections=console.hub.charter.systems)
    if hit is not None:
        pages = {
            "event": f"/events/{hit.id}",
            "customer": f"/customers/{hit.id}",
            "record": address("/why", ref=hit.id),
        }
        return Redirect(pages[hit.page], status_code=303)
    if q.strip():
        return Redirect(address("/customers", q=q.strip()), status_code=303)
    return console.page(request, "search.html")
