"""Every way in which a commission plan can be wrong is refused, with its place and what to do."""

from datetime import date

import msgspec
import pytest

from accordant.canonical.books import AccountRulePart, AccountType, LedgerAccountPart, LedgerPart, LegalEntityPart, Role
from accordant.canonical.commissions import CommissionsPart, Deal, PlanPart, TierPart
from accordant.governance.check_commissions import check_commissions
from accordant.governance.findings import Defect, Severity
from tests.unit.governance.company import charter

_ENTITY = LegalEntityPart(
    currency="EUR",
    accounts={"1": LedgerAccountPart(name="One", type=AccountType.ASSET)},
    rules=tuple(
        AccountRulePart(role=role, account="1")
        for role in (Role.COMMISSIONS_PAYABLE, Role.COMMISSION_EXPENSE, Role.DEFERRED_COMMISSION)
    ),
)
_PLAN = PlanPart(
    name="direct",
    legal_entity="de",
    from_on=date(2027, 1, 1),
    counts=(Deal.NEW,),
    tiers=(TierPart(above="0", percent="8"), TierPart(above="100.00", percent="12.5")),
    benefit_months={Deal.NEW: 36},
)


def _checked(*plans: PlanPart, crm: str = "crm", people: dict[str, str] | None = None) -> list[Defect]:
    proposed = msgspec.structs.replace(
        charter(),
        ledger=LedgerPart(legal_entities={"de": _ENTITY}),
        commissions=CommissionsPart(crm=crm, plans=plans, people=people or {"ann": "Ann", "bob": "Bob"}),
    )
    return list(check_commissions(proposed, {}))


def _other(**changes: object) -> PlanPart:
    return msgspec.structs.replace(_PLAN, **changes)


def test_a_good_plan_and_its_next_version_have_nothing_wrong() -> None:
    later = _other(from_on=date(2027, 7, 1))
    assert _checked(_other(until_on=date(2027, 7, 1)), later) == []
    assert _checked(_PLAN, _other(name="key accounts", people=("ann",), shares={"owner": 3, "bob": 1})) == []


@pytest.mark.parametrize(
    ("plan", "where"),
    [
        (_other(name=" "), "name"),
        (_other(name="a/b"), "name"),
        (_other(until_on=date(2027, 1, 1)), "until_on"),
        (_other(counts=(), benefit_months={}), "counts"),
        (_other(benefit_months={}), "benefit_months.new"),
        (_other(benefit_months={Deal.NEW: 0}), "benefit_months.new"),
        (_other(benefit_months={Deal.NEW: 1_201}), "benefit_months.new"),
        (_other(benefit_months={Deal.NEW: 12, Deal.RENEWAL: 12}), "benefit_months.renewal"),
        (_other(first_term_months=0), "first_term_months"),
        (_other(shares={"owner": 0}), "shares"),
        (_other(shares={"cat": 1}), "shares"),
        (_other(people=("cat",)), "people"),
        (_other(legal_entity="us"), "legal_entity"),
        (_other(tiers=()), "tiers"),
        (_other(tiers=(TierPart(above="0", percent="-8"),)), "tiers[0].percent"),
        (_other(tiers=(TierPart(above="0", percent="8 %"),)), "tiers[0].percent"),
        (_other(tiers=(TierPart(above="0", percent="100.5"),)), "tiers[0].percent"),
        (_other(tiers=(TierPart(above="5", percent="8"),)), "tiers[0].above"),
        (_other(tiers=(TierPart(above="0.001", percent="8"),)), "tiers[0].above"),
        (_other(tiers=(TierPart(above="much", percent="8"),)), "tiers[0].above"),
        (_other(tiers=(*_PLAN.tiers, TierPart(above="100", percent="9"))), "tiers[2].above"),
    ],
)
def test_what_is_wrong_with_a_plan_is_told_at_its_place(plan: PlanPart, where: str) -> None:
    (found,) = _checked(plan)
    assert found.where == f"commissions.plans[0].{where}"
    assert found.severity is Severity.ERROR
    assert found.problem.endswith(".")
    assert found.remedy.endswith(".")


@pytest.mark.parametrize(
    "other",
    [
        _other(name="second"),
        _other(name="second", from_on=date(2028, 1, 1)),
        _other(name="second", from_on=date(2020, 1, 1), until_on=date(2027, 1, 2)),
    ],
)
def test_two_plans_never_pay_one_person_at_one_time(other: PlanPart) -> None:
    (found,) = _checked(_PLAN, other)
    assert found.where == "commissions.plans[1].from_on"
    (found,) = _checked(*(msgspec.structs.replace(one, people=("ann", "bob")[:2]) for one in (_PLAN, other)))
    assert "ann, bob" in found.problem


def test_two_versions_of_one_plan_begin_on_two_days() -> None:
    found = _checked(_other(people=("ann",)), _other(people=("bob",)))
    assert [one.problem for one in found] == ["Two versions of direct begin on 2027-01-01."]


def test_the_crm_is_a_system_and_some_plan_pays() -> None:
    assert [one.where for one in _checked(_PLAN, crm="moon")] == ["commissions.crm"]
    assert [one.where for one in _checked()] == ["commissions.plans"]


def test_accounts_that_are_missing_are_told_before_anything_is_refused_for_them() -> None:
    proposed = msgspec.structs.replace(
        charter(),
        ledger=LedgerPart(legal_entities={"de": msgspec.structs.replace(_ENTITY, rules=_ENTITY.rules[1:])}),
        commissions=CommissionsPart(crm="crm", plans=(_PLAN,)),
    )
    (found,) = check_commissions(proposed, {})
    assert (found.severity, found.where) == (Severity.WARNING, "commissions.plans[0].legal_entity")
    assert "commissions_payable" in found.problem


def test_without_books_no_plan_pays() -> None:
    proposed = msgspec.structs.replace(charter(), ledger=None, commissions=CommissionsPart(crm="crm", plans=(_PLAN,)))
    assert [one.where for one in check_commissions(proposed, {})] == ["commissions.plans[0].legal_entity"]
