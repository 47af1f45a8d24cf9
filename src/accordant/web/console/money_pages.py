"""Where did the money go, and was it asked for rightly? Payouts followed to their payments, and changes in mid-term."""

from collections.abc import Sequence

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromQuery

from accordant.analytics.settlement import PayoutTrace
from accordant.kernel.money import Money
from accordant.ledger.invoiced import CheckedChange
from accordant.views.payouts import PayoutUnknown, payout, payouts
from accordant.views.prorations import BILLS_MAX, checked_changes
from accordant.views.worth import parties_named
from accordant.web.console import words
from accordant.web.console.charts import Step, steps
from accordant.web.console.frame import Answer, Console, Problem, Visitor, as_file, form_of
from accordant.web.console.threads import in_thread

_SHOWN = 100


@get(["/books/payouts", "/books/payouts.json", "/books/payouts.csv"])
@in_thread
def payouts_page(request: Visitor, console: NamedDependency[Console], of: FromQuery[str] = "") -> Answer:
    """What does each payout consist of, down to the payment, the bill and the customer?"""
    if of:
        return _one_payout(request, console, of)
    found = payouts(console.hub.database, limit=_SHOWN + 1 if form_of(request) == "html" else None)
    header = (
        "system",
        "payout",
        "status",
        "arrives_on",
        "amount_minor",
        "net_minor",
        "currency",
        "movements",
        "booked_on",
        "findings",
    )
    cells = (
        (
            system,
            one.payout.external_id,
            one.payout.status,
            one.payout.arrives_on,
            one.payout.amount.amount_minor,
            one.net.amount_minor,
            one.payout.amount.currency,
            len(one.lines),
            None if one.arrival.line is None else one.arrival.line.booked_on,
            " ".join(one.findings),
        )
        for system, one in found
    )
    file = as_file(request, {"payouts": [one for _, one in found]}, name="payouts", header=header, rows=cells)
    return file or console.page(request, "payouts.html", rows=found[:_SHOWN], has_more=len(found) > _SHOWN, one=None)


def _one_payout(request: Visitor, console: Console, payout_id: str) -> Answer:
    try:
        system, one = payout(console.hub.database, payout_id)
    except PayoutUnknown as error:
        raise Problem(404, "Not found", error.message, "The page Payouts lists those that are known.") from None
    header = ("movement", "type", "amount_minor", "fee_minor", "net_minor", "currency", "source", "payment", "bill",
              "customer", "transfers", "merchant")  # fmt: skip
    cells = (
        (
            line.movement.external_id,
            line.movement.type,
            line.movement.amount.amount_minor,
            line.movement.fee.amount_minor,
            line.movement.net.amount_minor,
            line.movement.net.currency,
            line.movement.source_id,
            line.payment_id,
            line.invoice_id,
            line.customer_id,
            " ".join(part.movement.external_id for part in line.funded_by),
            line.merchant,
        )
        for line in one.lines
    )
    file = as_file(request, one, name="payout", header=header, rows=cells)
    if file is not None:
        return file
    picture = _way(one) if one.lines else None
    with console.hub.database.read() as connection:
        customers = (line.customer_id for line in one.lines if line.customer_id is not None)
        parties = parties_named(connection, system, customers, as_of=console.hub.clock(), zone=console.zone)
    return console.page(request, "payouts.html", rows=(), one=one, system=system, picture=picture, parties=parties)


def _way(one: PayoutTrace) -> str:
    """From what was collected to what arrived: what each kind of movement added or took, then the fees."""
    currency, level = one.payout.amount.currency, 0
    kinds: dict[str, int] = {}
    for line in one.lines:
        kinds[line.movement.type] = kinds.get(line.movement.type, 0) + line.movement.amount.amount_minor
    columns: list[Step] = []
    fees = -sum(line.movement.fee.amount_minor for line in one.lines)
    for name, minor in [*sorted(kinds.items(), key=lambda row: -row[1]), ("fees", fees)]:
        if minor:
            columns.append(_step(name.replace("_", " "), level, level + minor, currency))
            level += minor
    columns.append(_step("net", 0, level, currency, stands=True))
    columns.append(_step("paid out", 0, one.payout.amount.amount_minor, currency, stands=True))
    described = f"{words.money(one.net)} by its movements, {words.money(one.payout.amount)} paid out."
    return steps(columns, name="way", title="From what was collected to what was paid out", described=described)


def _step(label: str, begins: int, ends: int, currency: str, *, stands: bool = False) -> Step:
    told = f"{label}: {words.money(Money(ends - begins, currency))}"
    return Step(label=label, begins=begins, ends=ends, told=told, stands=stands)


@get(["/books/changes", "/books/changes.json", "/books/changes.csv"])
@in_thread
def changes_page(request: Visitor, console: NamedDependency[Console]) -> Answer:
    """Is what billing asked for a change in mid-term what its rule gives?"""
    ledger = console.hub.charter.ledger
    found: Sequence[CheckedChange] = (
        () if ledger is None else checked_changes(console.hub.database, ledger, zone=console.zone)
    )
    header = ("bill", "number", "subscription", "changed_at", "credit_minor", "charge_minor", "currency",
              "credit_off_minor", "charge_off_minor", "why")  # fmt: skip
    cells = (
        (
            one.bill,
            one.number,
            one.subscription,
            one.changed_at.isoformat(),
            one.credit.amount_minor,
            one.charge.amount_minor,
            one.credit.currency,
            None if one.difference is None else one.difference.credit.amount_minor,
            None if one.difference is None else one.difference.charge.amount_minor,
            one.unknown if one.difference is None else one.difference.why,
        )
        for one in found
    )
    file = as_file(request, {"changes": found}, name="changes", header=header, rows=cells)
    if file is not None:
        return file
    off = [one for one in found if one.difference is not None and not one.difference.agrees]
    unknown = [one for one in found if one.difference is None]
    return console.page(
        request,
        "changes.html",
        rows=found[:_SHOWN],
        count=len(found),
        off=off,
        unknown=len(unknown),
        looked=BILLS_MAX,
    )


#: Where money went, and whether it was asked for rightly.
PAGES = (payouts_page, changes_page)
