"""The charter's commissions part: every plan pays somebody, limits rise, and no two plans pay one person."""

import itertools
import re
from collections.abc import Iterator, Mapping
from datetime import date

from accordant.canonical.books import AccountRulePart, LegalEntityPart, Role
from accordant.canonical.charter import Charter
from accordant.canonical.commissions import OWNER, CommissionsPart, PlanPart, TierPart
from accordant.governance.findings import ConnectorFacts, Defect, Severity, place
from accordant.kernel.errors import AccordantError
from accordant.kernel.money import Money

#: A commission over a century is a mistake of the keyboard.
BENEFIT_MONTHS_MAX = 1_200
_PERCENT = re.compile(r"\d{1,3}(\.\d{1,6})?", re.ASCII)
#: The accounts that a commission moves.
_NEEDED = (Role.COMMISSIONS_PAYABLE, Role.COMMISSION_EXPENSE, Role.DEFERRED_COMMISSION)


def check_commissions(charter: Charter, _connectors: Mapping[str, ConnectorFacts]) -> Iterator[Defect]:
    """The plans, where the charter has any."""
    part = charter.commissions
    if part is None:
        return
    if part.crm not in charter.systems:
        yield _defect(
            place("commissions", "crm"),
            f"The charter has no system {part.crm!r}.",
            f"Name the CRM whose opportunities have the owners; its systems are: {', '.join(charter.systems)}.",
        )
    if not part.plans:
        yield _defect(
            place("commissions", "plans"), "No plan pays anybody.", "Add a plan, or remove the part commissions."
        )
    entities = {} if charter.ledger is None else charter.ledger.legal_entities
    for index, plan in enumerate(part.plans):
        here = place("commissions", "plans", index)
        yield from _dates(here, plan)
        yield from _counts(here, plan)
        yield from _shares(here, plan, part)
        entity = entities.get(plan.legal_entity)
        if entity is None:
            known = ", ".join(entities) or "none: the charter has no ledger part"
            yield _defect(
                f"{here}.legal_entity",
                f"There is no legal entity {plan.legal_entity!r}, whose books would owe the commission.",
                f"Name one of ledger.legal_entities ({known}).",
            )
        else:
            yield from _tiers(here, plan, entity.currency)
            yield from _accounts(here, plan, entity)
    yield from _pairs(part.plans)


def _dates(here: str, plan: PlanPart) -> Iterator[Defect]:
    if not plan.name.strip() or "/" in plan.name:
        yield _defect(
            f"{here}.name",
            f"{plan.name!r} is no name of a plan.",
            "Give it a name without a slash; statements show it.",
        )
    if plan.until_on is not None and plan.until_on <= plan.from_on:
        yield _defect(f"{here}.until_on", "The plan ends before it begins.", "Give from_on before until_on.")


def _counts(here: str, plan: PlanPart) -> Iterator[Defect]:
    if not plan.counts:
        yield _defect(
            f"{here}.counts", f"{plan.name} counts no payment.", "List what it pays for: new, expansion, renewal."
        )
    for deal in plan.counts:
        months = plan.benefit_months.get(deal)
        if months is None or not 1 <= months <= BENEFIT_MONTHS_MAX:
            said = "does not say how long" if months is None else f"cannot say that for {months} months"
            yield _defect(
                f"{here}.benefit_months.{deal.value}",
                f"{plan.name} {said} the benefit of what is {deal.value} lasts.",
                f"Give 1 to {BENEFIT_MONTHS_MAX} months; where renewals earn alike it is the term of the contract.",
            )
    for deal in plan.benefit_months.keys() - set(plan.counts):
        yield _defect(
            f"{here}.benefit_months.{deal.value}",
            f"{plan.name} has a benefit for what is {deal.value} and does not count it.",
            "Add it under counts, or remove it here.",
        )
    if not 1 <= plan.first_term_months <= BENEFIT_MONTHS_MAX:
        yield _defect(
            f"{here}.first_term_months",
            f"A contract is not new for {plan.first_term_months} months.",
            f"Give 1 to {BENEFIT_MONTHS_MAX}.",
        )


def _shares(here: str, plan: PlanPart, part: CommissionsPart) -> Iterator[Defect]:
    if any(part < 1 for part in plan.shares.values()):
        yield _defect(
            f"{here}.shares",
            f"{plan.name} divides what was collected into parts that are none.",
            "Give each person a whole number of parts above zero, or leave shares out: the owner has all.",
        )
    named = [("shares", name) for name in plan.shares if name != OWNER] + [("people", name) for name in plan.people]
    for setting, name in named:
        if name not in part.people:
            yield _defect(
                f"{here}.{setting}",
                f"{plan.name} pays {name!r}, whose name is not listed.",
                "Add the CRM's id under commissions.people with the name that statements show.",
            )


def _tiers(here: str, plan: PlanPart, currency: str) -> Iterator[Defect]:
    if not plan.tiers:
        yield _defect(f"{here}.tiers", f"{plan.name} has no rate.", 'Add one: {above: "0", percent: "8"}.')
    before = -1
    for index, tier in enumerate(plan.tiers):
        where = f"{here}.tiers[{index}]"
        if not _PERCENT.fullmatch(tier.percent) or float(tier.percent) > 100:
            yield _defect(
                f"{where}.percent",
                f"{tier.percent!r} is no rate of {plan.name}.",
                "Write percent from 0 to 100 as decimal text, as in '8' or '12.5'.",
            )
        above = _minor(tier, currency)
        if above is None or (index == 0) != (above == 0) or above <= before:
            yield _defect(
                f"{where}.above",
                f"{tier.above!r} {currency} is no limit at this place of {plan.name}.",
                "Begin with 0 and let limits rise, as decimal text in the currency of the books.",
            )
        before = before if above is None else above


def _minor(tier: TierPart, currency: str) -> int | None:
    try:
        return Money.parse(tier.above, currency).amount_minor
    except AccordantError:
        return None


def _accounts(here: str, plan: PlanPart, entity: LegalEntityPart) -> Iterator[Defect]:
    rows: tuple[AccountRulePart, ...] = entity.rules
    for role in _NEEDED:
        if all(row.role is not role for row in rows):
            yield _defect(
                f"{here}.legal_entity",
                f"Nothing says which account of {plan.legal_entity} takes {role.value}.",
                f"Add a row with role: {role.value} under ledger.legal_entities.{plan.legal_entity}.rules.",
                severity=Severity.WARNING,
            )


def _pairs(plans: tuple[PlanPart, ...]) -> Iterator[Defect]:
    for (_, one), (second, other) in itertools.combinations(enumerate(plans), 2):
        where = place("commissions", "plans", second)
        if (one.name, one.from_on) == (other.name, other.from_on):
            yield _defect(
                f"{where}.from_on",
                f"Two versions of {other.name} begin on {other.from_on.isoformat()}.",
                "Give the later one its own first day, or another name.",
            )
        both = set(one.people) & set(other.people) or not (one.people or other.people)
        if one.legal_entity == other.legal_entity and both and _overlap(one, other):
            whom = ", ".join(sorted(set(one.people) & set(other.people))) or "everybody without a plan of their own"
            yield _defect(
                f"{where}.from_on",
                f"{one.name} and {other.name} both pay {whom} at one time.",
                "End one with until_on on the first day of the other.",
            )


def _overlap(one: PlanPart, other: PlanPart) -> bool:
    return one.from_on < (other.until_on or date.max) and other.from_on < (one.until_on or date.max)


def _defect(where: str, problem: str, remedy: str, *, severity: Severity = Severity.ERROR) -> Defect:
    # What is wrong with a plan stops no flow: it stops the charter.
    return Defect(where=where, problem=problem, remedy=remedy, severity=severity, flows=())
