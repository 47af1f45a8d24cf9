"""What the ERP says an account owes, and how likely it is to pay: facts for the CRM and support.

Without a word of any ERP what is owed stays unknown; the risk is judged by billing alone then.
"""

from datetime import date, timedelta

from accordant.canonical.facts import Fact
from accordant.canonical.standing import ReceivableMark, Standing

#: Every word the account fact ``receivable_state`` may be: the ERP lets nothing more be sold on credit, something is
#: late, something is owed, nothing is.
RECEIVABLE_STATES = ("blocked", "overdue", "open", "none")
#: Every word the account fact ``payment_risk`` may be.
PAYMENT_RISKS = ("high", "watch", "low")
#: After so many days what is late is rather not paid: finance.md 1.2, the day on which a late account counts as lost.
LATE_DAYS = 30


def receivable_facts(standing: Standing) -> dict[str, Fact]:
    """The state of what is owed and since when it is late; nothing where no ERP has said anything.

    The amounts are told with the account's other amounts, since they need its currency.
    """
    marks = standing.receivables
    if not marks:
        return {}
    late = [one.oldest_due_on for one in marks if one.overdue.amount_minor > 0 and one.oldest_due_on is not None]
    return {"receivable_state": _state(marks), "receivable_overdue_since": min(late, default=None)}


def _state(marks: tuple[ReceivableMark, ...]) -> str:
    if any(one.blocked for one in marks):
        return "blocked"
    if any(one.overdue.amount_minor > 0 for one in marks):
        return "overdue"
    return "open" if any(one.open.amount_minor > 0 for one in marks) else "none"


def payment_risk(standing: Standing, *, status: str, method_status: str | None, is_late: bool, today: date) -> str:
    """One of ``PAYMENT_RISKS``: high where the ERP gives no more credit, collection was given up, a payment is disputed
    or something is late for more than ``LATE_DAYS``; watch where anything is late or the last payment failed.

    ``is_late`` is what billing says of its own bills.
    """
    long_late = today - timedelta(days=LATE_DAYS)
    late = [one for one in standing.receivables if one.overdue.amount_minor > 0]
    is_lost = any(one.oldest_due_on is not None and one.oldest_due_on < long_late for one in late)
    if is_lost or standing.open_dispute_ids or status == "unpaid" or any(one.blocked for one in standing.receivables):
        return "high"
    return "watch" if late or is_late or status == "past_due" or method_status == "failing" else "low"
