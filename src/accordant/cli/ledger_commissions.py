"""`accordant books commissions`: each person's statement of a month, and whether it ties."""

from typing import Annotated

from cyclopts import Parameter

from accordant.cli.ledger import month_of
from accordant.cli.ledger_rebuild import books_app as books_app  # noqa: PLC0414  given on with what is added here
from accordant.cli.options import COMMON, Common, charter_in_force, opened_store
from accordant.cli.render import emit, say, shown, table
from accordant.kernel.money import Money


@books_app.command
def commissions(
    *,
    month: Annotated[str, Parameter(help="The month, as in 2027-01.")],
    common: Common = COMMON,
) -> int:
    """What each person began a month with, earned, lost again, was paid and is owed. Exit code 1 when it does not tie
    to the account or to what was collected.
    """
    from accordant.views.commissions import commission_month

    month_on = month_of(month)
    with opened_store(common) as database:
        found = commission_month(database, month_on)
        charter = charter_in_force(database)
    names = {} if charter is None or charter.commissions is None else charter.commissions.people
    is_whole = all(tie.is_whole for tie in found.ties)
    if common.json:
        emit(found)
        return 0 if is_whole else 1
    table(
        f"Commissions of {month_on:%B %Y}",
        ("Person", "Opening", "Earned", "Clawed back", "Paid", "Closing", "Collected"),
        (
            (
                names.get(one.person, one.person),
                *(
                    shown(Money(minor, one.currency))
                    for minor in (one.opening, one.earned, one.clawed_back, one.paid, one.closing, one.collected)
                ),
            )
            for one in found.statements
        ),
        right=("Opening", "Earned", "Clawed back", "Paid", "Closing", "Collected"),
    )
    for tie in found.ties:
        owed, account = shown(Money(tie.owed, tie.currency)), shown(Money(tie.account, tie.currency))
        counted, came = shown(Money(tie.counted, tie.currency)), shown(Money(tie.collected, tie.currency))
        say(f"{tie.legal_entity}: {owed} are owed, and the account holds {account}.")
        say(f"{counted} counted of the month's bills, and {came} came for them and stayed.")
    for one in found.waiting:
        say(f"{shown(one.count)} payments of {shown(Money(one.gross, one.currency))}: {one.reason}")
    if not found.statements:
        say("Nobody earned anything by this month. Payments are counted with the books, every five minutes.")
    return 0 if is_whole else 1
