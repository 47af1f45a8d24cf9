"""What the ERP says of an account becomes its state and its risk, and says nothing where it said nothing."""

from datetime import UTC, date, datetime, timedelta

import pytest

from accordant.analytics.combine import combine
from accordant.analytics.facts import account_facts
from accordant.analytics.receivables import LATE_DAYS, PAYMENT_RISKS, RECEIVABLE_STATES
from accordant.analytics.standing import advance, rebuild
from accordant.canonical.entities import Account, Entity, Receivable
from accordant.canonical.facts import Fact
from accordant.canonical.standing import Standing
from accordant.kernel.money import Money

AS_OF = datetime(2027, 3, 31, 12, tzinfo=UTC)
ACCOUNT = Account(external_id="cus_1", currency="EUR")


def told(*words: Receivable, disputes: tuple[str, ...] = ()) -> dict[str, Fact]:
    standing = Standing(open_dispute_ids=disputes)
    for word in words:
        standing = advance(standing, None, word)
    return account_facts(ACCOUNT, standing, as_of=AS_OF).values


def owes(open_: int, overdue: int = 0, *, days: int = 0, party: str = "17", blocked: bool = False) -> Receivable:
    since = (AS_OF - timedelta(days=days)).date() if days else None
    return Receivable(
        external_id=party,
        open=Money(open_, "EUR"),
        overdue=Money(overdue, "EUR"),
        oldest_due_on=since,
        blocked=blocked,
    )


@pytest.mark.parametrize(
    ("word", "state", "risk"),
    [
        (owes(0), "none", "low"),
        (owes(100_00), "open", "low"),
        (owes(100_00, 40_00, days=LATE_DAYS), "overdue", "watch"),
        (owes(100_00, 40_00, days=LATE_DAYS + 1), "overdue", "high"),
        (owes(0, blocked=True), "blocked", "high"),
    ],
)
def test_what_the_erp_says_decides_state_and_risk(word: Receivable, state: str, risk: str) -> None:
    facts = told(word)
    assert (facts["receivable_state"], facts["payment_risk"]) == (state, risk)
    assert state in RECEIVABLE_STATES
    assert risk in PAYMENT_RISKS
    assert (facts["receivable_open"], facts["receivable_overdue"]) == (word.open, word.overdue)
    assert facts["receivable_overdue_since"] == (word.oldest_due_on if word.overdue.amount_minor else None)


def test_without_a_word_of_an_erp_what_is_owed_stays_unknown_and_billing_judges_the_risk() -> None:
    facts = told()
    assert not [name for name in facts if name.startswith("receivable")]
    assert facts["payment_risk"] == "low"
    assert told(disputes=("dp_1",))["payment_risk"] == "high"


def test_two_erps_add_up_and_the_last_word_of_each_counts() -> None:
    words: list[Entity] = [owes(50_00), owes(30_00, 30_00, days=3), owes(20_00, 5_00, days=9, party="A-4")]
    standing = rebuild(words)
    facts = account_facts(ACCOUNT, standing, as_of=AS_OF).values
    assert facts["receivable_open"] == Money(50_00, "EUR")
    assert facts["receivable_overdue"] == Money(35_00, "EUR")
    assert facts["receivable_overdue_since"] == date(2027, 3, 22)
    assert combine([standing, Standing()]).receivables == standing.receivables


def test_an_amount_in_another_currency_is_told_and_not_added() -> None:
    foreign = Receivable(external_id="9", open=Money(1, "USD"), overdue=Money(0, "USD"))
    facts = account_facts(ACCOUNT, advance(Standing(), None, foreign), as_of=AS_OF)
    assert "receivable_open" not in facts.values
    assert {problem.fact for problem in facts.problems} == {"receivable_open", "receivable_overdue"}
