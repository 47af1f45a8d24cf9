"""What sales may begin in billing: refused in the charter where an edit could move money, held until it may."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from accordant.canonical.charter import Automation, Phase, Trigger
from accordant.governance.charter import check_charter
from accordant.governance.decide import Case, Effect, compile_flow, decide
from accordant.governance.findings import Severity
from accordant.governance.openings import RELEASE_DUE, OpeningVerdict
from accordant.governance.ownership import OwnershipMatrix
from accordant.governance.phases import Tier
from tests.unit.governance.company import CONNECTORS, charter, raw

Spoil = Callable[[dict[str, Any]], None]
TARGETS = {name: msgspec.structs.replace(one, tier=Tier.GOLD, is_target=True) for name, one in CONNECTORS.items()}


def selling() -> dict[str, Any]:
    """The example company, in which billing is opened from the CRM."""
    source = raw()
    source["ownership"] += [
        {"entity": kind, "system_of_record": "crm", "readers": ["billing"], "purpose": f"Sales knows every {kind}."}
        for kind in ("company", "opportunity")
    ]
    source["mappings"]["billing"] = [
        {
            "entity": "company",
            "object": "customer",
            "key_field": "metadata.company",
            "fields": {"name": {"source": "name", "once": True}, "metadata.industry": {"source": "industry"}},
        },
        {
            "entity": "opportunity",
            "object": "subscription",
            "key_field": "metadata.deal",
            "fields": {"items": {"source": "lines", "once": True}},
        },
    ]
    common = {"source": "crm", "target": "billing", "phase": "controlled", "verify": "The page of billing shows it."}
    source["flows"] += [
        common
        | {
            "name": "customers",
            "entity": "company",
            "object": "customer",
            "write_fields": ["name", "metadata.industry"],
            "conditions": [{"name": "won", "when": "won_opportunities > 0", "otherwise": "Nothing is won yet."}],
        },
        common
        | {
            "name": "contracts",
            "entity": "opportunity",
            "object": "subscription",
            "write_fields": ["items"],
            "automation": "money_moving",
            "trigger": "manual",
            "conditions": [
                {"name": "won", "when": "is_won", "otherwise": "It is not won."},
                {"name": "priced", "when": "empty.unpriced", "otherwise": "A line has no price."},
                {"name": "fresh", "when": "live_subscriptions == 0", "otherwise": "There is one already."},
                {"name": "one", "when": "billing_customers <= 1", "otherwise": "There are several customers."},
            ],
        },
    ]
    source["identity"] = {"references": {"crm": "company"}, "systems": ["crm"]}
    return source


def said(source: dict[str, Any]) -> list[tuple[str, str, Severity]]:
    found = check_charter(charter(source), connectors=TARGETS)
    return [(one.where, one.problem, one.severity) for one in found]


def test_a_charter_that_opens_billing_is_sound() -> None:
    assert [one for one in said(selling()) if one[2] is Severity.ERROR] == []


def flow(name: str, **changed: Any) -> Spoil:
    def spoil(source: dict[str, Any]) -> None:
        next(one for one in source["flows"] if one["name"] == name).update(changed)

    return spoil


def field(place: int, name: str, **changed: Any) -> Spoil:
    return lambda source: source["mappings"]["billing"][place]["fields"][name].update(changed)


WON = {"name": "won", "when": "is_won", "otherwise": "It is not won."}


@pytest.mark.parametrize(
    ("spoil", "where", "says"),
    [
        (flow("contracts", automation="record_sync"), "flows[3].automation", "begins what customers are billed for"),
        (flow("contracts", conditions=[]), "flows[3].conditions", "does not ask whether the opportunity was won"),
        (flow("customers", conditions=[]), "flows[2].conditions", "a customer of every company"),
        (field(1, "items", once=False), "mappings.billing[1].fields.items.once", "A later edit of the opportunity"),
        (field(0, "name", once=False), "mappings.billing[0].fields.name.once", "billing owns the name of a customer"),
        (flow("contracts", conditions=[WON, WON]), "flows[3].conditions[1].name", "Two conditions"),
        (flow("contracts", conditions=[WON | {"otherwise": "No."}]), "flows[3].conditions[0].otherwise", "No sentence"),
        (flow("accounts", trigger="manual"), "flows[0].trigger", "nothing is opened by it"),
        (flow("accounts", conditions=[WON]), "flows[0].conditions", "nothing is opened by it"),
        (
            lambda source: source["mappings"]["crm"][0]["fields"]["Status"].update(once=True),
            "mappings.crm[0].fields.Status.once",
            "kept up to date",
        ),
        (lambda source: source["identity"].pop("references"), "identity.references", "a second record in crm"),
    ],
)
def test_what_could_move_money_or_open_too_much_is_refused_at_its_place(spoil: Spoil, where: str, says: str) -> None:
    source = selling()
    spoil(source)
    errors = [(place, problem) for place, problem, severity in said(source) if severity is Severity.ERROR]
    assert any(place == where and says in problem for place, problem in errors), errors


def test_what_should_be_asked_is_a_warning() -> None:
    source = selling()
    flow("contracts", conditions=[WON])(source)
    warned = [problem for _, problem, severity in said(source) if severity is Severity.WARNING]
    for fact in ("unpriced", "live_subscriptions", "billing_customers"):
        assert any(f"asks for {fact}" in problem for problem in warned)


# -- the court ---------------------------------------------------------------------------------------------------------


def ask(opening: OpeningVerdict | None, *, trigger: Trigger, phase: Phase = Phase.CONTROLLED) -> tuple[Effect, str]:
    rules = charter(selling())
    part = msgspec.structs.replace(rules.flows[3], trigger=trigger, phase=phase)
    mapping = rules.mapping_of(part)
    assert mapping is not None
    owners = OwnershipMatrix.from_charter(rules)
    made = compile_flow(part, mapping=mapping, owners=owners, tier_cap=Phase.AUTOMATED, meaning="", exempt=True)
    decision = decide(Case(flow=made, fields=frozenset({"items"}), opening=opening))
    return decision.effect, decision.because


@pytest.mark.parametrize(
    ("opening", "effect", "says"),
    [
        (None, Effect.HOLD, "was not looked up"),
        (OpeningVerdict(), Effect.HOLD, RELEASE_DUE),
        (OpeningVerdict(is_released=True), Effect.ALLOW, ""),
        (OpeningVerdict(unmet=("It is not won.",), is_released=True), Effect.HOLD, "It is not won."),
        (OpeningVerdict(unmet=("It is not won.",), is_there=True), Effect.ALLOW, ""),
    ],
)
def test_by_hand_it_waits_for_conditions_and_a_person(
    opening: OpeningVerdict | None, effect: Effect, says: str
) -> None:
    found, because = ask(opening, trigger=Trigger.MANUAL)
    assert found is effect
    assert says in because


def test_by_itself_it_acts_only_when_it_is_automated() -> None:
    assert charter(selling()).flows[3].automation is Automation.MONEY_MOVING
    assert ask(OpeningVerdict(), trigger=Trigger.AUTOMATIC)[0] is Effect.SHADOW
    assert ask(OpeningVerdict(), trigger=Trigger.AUTOMATIC, phase=Phase.AUTOMATED)[0] is Effect.ALLOW
    held = ask(OpeningVerdict(unmet=("It is not won.",)), trigger=Trigger.AUTOMATIC, phase=Phase.AUTOMATED)
    assert held[0] is Effect.HOLD
