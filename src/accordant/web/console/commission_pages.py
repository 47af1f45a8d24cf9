"""Who earned what on collected money? One statement a person and month, what it is made of, and what it ties to."""

from collections.abc import Mapping
from datetime import date

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromQuery

from accordant.kernel.money import Money
from accordant.ledger.commissions import months_after
from accordant.views.commissions import LINES_MAX, Month, Statement, commission_month
from accordant.web.console import words
from accordant.web.console.charts import Step, steps
from accordant.web.console.frame import Answer, Console, Problem, Visitor, as_file
from accordant.web.console.threads import in_thread

_COLUMNS = ("opening", "earned", "clawed_back", "paid", "closing")


@get(["/books/commissions", "/books/commissions.json", "/books/commissions.csv"])
@in_thread
def commissions_page(request: Visitor, console: NamedDependency[Console], month: FromQuery[str] = "") -> Answer:
    """What did each person earn in a month, and what are they owed?"""
    part = console.hub.charter.commissions
    month_on = _month(month, console.hub.clock().astimezone(console.zone).date())
    found = commission_month(console.hub.database, month_on)
    names: Mapping[str, str] = {} if part is None else part.people
    header = ("legal_entity", "month", "person", "name", "opening_minor", "earned_minor", "clawed_back_minor",
              "paid_minor", "closing_minor", "collected_minor", "currency")  # fmt: skip
    cells = (
        (
            one.legal_entity,
            f"{month_on:%Y-%m}",
            one.person,
            names.get(one.person, ""),
            *(getattr(one, name) for name in _COLUMNS),
            one.collected,
            one.currency,
        )
        for one in found.statements
    )
    file = as_file(request, found, name="commissions", header=header, rows=cells)
    return file or console.page(
        request,
        "commissions.html",
        found=found,
        month=f"{month_on:%Y-%m}",
        before=f"{months_after(month_on, -1):%Y-%m}",
        after=f"{months_after(month_on, 1):%Y-%m}",
        names=names,
        most=LINES_MAX,
        pictures=_pictures(found),
    )


def _month(text: str, today: date) -> date:
    try:
        return date.fromisoformat(f"{text}-01") if text else today.replace(day=1)
    except ValueError:
        raise Problem(400, "Not understood", f"{text[:20]!r} is no month.", "Write it as in 2027-01.") from None


def _pictures(found: Month) -> list[str]:
    """For each company, from what was owed when the month began to what is owed at its end."""
    companies = dict.fromkeys(one.legal_entity for one in found.statements)
    return [
        _way(company, [one for one in found.statements if one.legal_entity == company], number)
        for number, company in enumerate(companies)
    ]


def _way(company: str, statements: list[Statement], number: int) -> str:
    currency = statements[0].currency
    sums = {name: sum(getattr(one, name) for one in statements) for name in _COLUMNS}
    columns, level = [_step("opening", 0, sums["opening"], currency)], sums["opening"]
    for name, minor in (("earned", sums["earned"]), ("clawed_back", sums["clawed_back"]), ("paid", -sums["paid"])):
        columns.append(_step(name.replace("_", " "), level, level + minor, currency))
        level += minor
    columns.append(_step("closing", 0, sums["closing"], currency))
    described = f"{words.money(Money(sums['closing'], currency))} are owed at the end of the month."
    return steps(columns, name=f"owed{number}", title=f"Commissions of {company}", described=described)


def _step(label: str, begins: int, ends: int, currency: str) -> Step:
    told = f"{label}: {words.money(Money(ends - begins, currency))}"
    return Step(label=label, begins=begins, ends=ends, told=told, stands=label in {"opening", "closing"})


#: Pages about commissions.
PAGES = (commissions_page,)
