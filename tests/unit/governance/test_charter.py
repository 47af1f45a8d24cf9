"""Each way a charter can be wrong is refused at its place with a remedy (reliability.md B12); a sound one is a go."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from accordant.canonical.refs import EntityKind
from accordant.governance.charter import (
    FlowVerdict,
    check_charter,
    go_no_go,
    is_refused,
)
from accordant.governance.financial import FINANCIAL_KINDS, is_financial
from accordant.governance.findings import Defect, Severity, place
from tests.unit.governance.company import CONNECTORS, charter, raw

Spoil = Callable[[dict[str, Any]], object]


PROMISED = {
    "support": "The vendor, within a day.",
    "replay": "By a ticket.",
    "retries": "Five times an hour.",
    "duplicates": "Its own ids.",
}


def check(source: dict[str, Any]) -> tuple[Defect, ...]:
    return check_charter(charter(source), connectors=CONNECTORS)


def test_a_sound_charter_has_no_defect() -> None:
    assert check(raw()) == ()


def put(*steps: Any) -> Spoil:
    """Set the value at a path: the last step is the value."""
    *path, last, value = steps

    def spoil(source: Any) -> None:
        for step in path:
            source = source[step]
        source[last] = value

    return spoil


def drop(*steps: Any) -> Spoil:
    *path, last = steps

    def spoil(source: Any) -> None:
        for step in path:
            source = source[step]
        del source[last]

    return spoil


def together(*spoils: Spoil) -> Spoil:
    def spoil(source: Any) -> None:
        for one in spoils:
            one(source)

    return spoil


ACCOUNT_FIELDS = ("mappings", "crm", 0, "fields")
INVOICE = {"entity": "invoice", "system_of_record": "billing", "readers": [], "purpose": "Billing issues all invoices."}
OTHER_FLOW = {
    "name": "back",
    "entity": "account",
    "source": "crm",
    "target": "billing",
    "object": "Customer",
    "phase": "read_only",
    "verify": "Nowhere yet.",
}


def a_profile_in_the_crm(source: dict[str, Any]) -> None:
    """Billing's books own the account, the CRM the company's name, and each writes its own into the other: sound."""
    source["systems"]["books"] = {"connector": "goldbox", "owner": "Cy"}
    source["ownership"][0] |= {"system_of_record": "books", "fields": {"name": "crm"}, "direction": "both"}
    source["flows"][0] |= {"source": "books", "write_fields": ["Status"]}
    source["mappings"]["crm"][0]["fields"] = {"Status": {"source": "status"}, "Name": {"source": "name"}}
    fields = {"Title": {"source": "name"}}
    source["mappings"]["books"] = [{"entity": "account", "object": "Party", "key_field": "Id", "fields": fields}]
    source["flows"].append(
        OTHER_FLOW | {"target": "books", "object": "Party", "phase": "controlled", "write_fields": ["Title"]}
    )


#: What is spoiled -> where the defect must be, and a word that its problem must say.
REFUSED: list[tuple[str, Spoil, str, str]] = [
    ("company without a name", put("company", " "), "company", "no name"),
    ("time zone typo", put("timezone", "Europe/Berlim"), "timezone", "no time zone"),
    ("time zone path", put("timezone", "../../etc/passwd"), "timezone", "no time zone"),
    ("time zone empty", put("timezone", ""), "timezone", "no time zone"),
    # systems
    ("no systems", put("systems", {}), "systems", "no system"),
    ("connector unknown", put("systems", "crm", "connector", "crmbx"), "systems.crm.connector", "no connector"),
    ("system without owner", put("systems", "crm", "owner", ""), "systems.crm.owner", "Nobody owns"),
    (
        "the vendor's path undecided",
        together(put("systems", "crm", "path", "native"), put("systems", "crm", "assurances", PROMISED)),
        "systems.crm.path_because",
        "nobody wrote down who chose",
    ),
    (
        "the vendor's path unpromised",
        together(
            put("systems", "crm", "path", "native"),
            put("systems", "crm", "path_because", "Bo chose it in May: it is there."),
            put("systems", "crm", "assurances", {**PROMISED, "duplicates": " "}),
        ),
        "systems.crm.assurances.duplicates",
        "nothing says what keeps it from doing a thing twice",
    ),
    (
        "a promise nobody asks for",
        put("systems", "crm", "assurances", {"replay": "Call Bo."}),
        "systems.crm.assurances.replay",
        "Nobody asks",
    ),
    ("rate 0", put("systems", "crm", "rate_per_s", 0), "systems.crm.rate_per_s", "never be called"),
    ("rate negative", put("systems", "crm", "rate_per_s", -5), "systems.crm.rate_per_s", "never be called"),
    ("rate above the vendor's", put("systems", "crm", "rate_per_s", 26), "systems.crm.rate_per_s", "more than"),
    (
        "setting unknown",
        put("systems", "crm", "settings", "instance", "x"),
        "systems.crm.settings.instance",
        "no setting",
    ),
    (
        "setting missing",
        drop("systems", "crm", "settings", "instance_url"),
        "systems.crm.settings.instance_url",
        "missing",
    ),
    (
        "setting empty",
        put("systems", "crm", "settings", "instance_url", " "),
        "systems.crm.settings.instance_url",
        "missing",
    ),
    (
        "secret missing",
        drop("systems", "crm", "settings", "client_secret"),
        "systems.crm.settings.client_secret",
        "missing",
    ),
    (
        "secret in the file",
        put("systems", "crm", "settings", "client_secret", "hunter2"),
        "systems.crm.settings.client_secret",
        "secret",
    ),
    (
        "one secret of two in the file",
        put("systems", "billing", "settings", "webhook_secrets", ["env:A", "b"]),
        "systems.billing.settings.webhook_secrets",
        "secret",
    ),
    (
        "reference without a name",
        put("systems", "crm", "settings", "instance_url", "env:crm url"),
        "systems.crm.settings.instance_url",
        "environment variable",
    ),
    (
        "unsigned inbound",
        drop("systems", "billing", "settings", "webhook_secrets"),
        "systems.billing.settings.webhook_secrets",
        "unsigned",
    ),
    (
        "no secret among them",
        put("systems", "billing", "settings", "webhook_secrets", []),
        "systems.billing.settings.webhook_secrets",
        "unsigned",
    ),
    # ownership
    (
        "two owners of an entity",
        lambda c: c["ownership"].append(c["ownership"][0] | {"system_of_record": "crm"}),
        "ownership[5].entity",
        "two owners",
    ),
    ("owner unknown", put("ownership", 0, "system_of_record", "biling"), "ownership[0].system_of_record", "no system"),
    ("reader unknown", put("ownership", 0, "readers", ["crm", "erp"]), "ownership[0].readers[1]", "no system"),
    ("field owner unknown", put("ownership", 0, "fields", {"name": "erp"}), "ownership[0].fields.name", "no system"),
    ("owned field unknown", put("ownership", 0, "fields", {"nmae": "crm"}), "ownership[0].fields.nmae", "no fact"),
    ("no purpose", put("ownership", 0, "purpose", ""), "ownership[0].purpose", "No sentence"),
    ("a label for a purpose", put("ownership", 0, "purpose", "Accounts."), "ownership[0].purpose", "No sentence"),
    (
        "invoices owned by a CRM",
        lambda c: c["ownership"].__setitem__(2, INVOICE | {"system_of_record": "crm"}),
        "ownership[2].system_of_record",
        "financial state",
    ),
    ("MRR owned by a CRM", put("ownership", 0, "fields", {"mrr": "crm"}), "ownership[0].fields.mrr", "financial state"),
    (
        "paying status owned by a CRM",
        put("ownership", 0, "fields", {"status": "crm"}),
        "ownership[0].fields.status",
        "financial state",
    ),
    (
        "the financial state owned by a CRM",
        put("ownership", 0, "financial", "crm"),
        "ownership[0].financial",
        "financial state",
    ),
    (
        "owner of the financial state unknown",
        put("ownership", 0, "financial", "erp"),
        "ownership[0].financial",
        "no system",
    ),
    (
        "a CRM owns accounts and their money with them",
        together(put("ownership", 0, "system_of_record", "crm"), put("ownership", 0, "readers", ["billing"])),
        "ownership[0].financial",
        "currency, status, mrr and",
    ),
    (
        "a support desk owns accounts and their money with them",
        together(
            put("systems", "desk", {"connector": "deskbox", "owner": "Di"}),
            put("ownership", 0, "system_of_record", "desk"),
        ),
        "ownership[0].financial",
        "would own its financial facts",
    ),
    (
        "subscription status owned by a support desk",
        together(
            put("systems", "desk", {"connector": "deskbox", "owner": "Di"}),
            put("ownership", 1, "fields", {"status": "desk"}),
        ),
        "ownership[1].fields.status",
        "financial state",
    ),
    ("everything both ways", put("ownership", 0, "direction", "both"), "ownership[0].direction", "no owner"),
    ("no sentence for invoices", drop("ownership", 2), "ownership", "invoice"),
    ("no sentence for payouts", drop("ownership", 4), "ownership", "payout"),
    ("latest edit wins money", put("ownership", 1, "winner", "latest"), "ownership[1].winner", "never win"),
    # mappings
    (
        "mapping of an unknown system",
        lambda c: c["mappings"].update(crm2=c["mappings"]["crm"]),
        "mappings.crm2",
        "no system",
    ),
    (
        "two mappings of one object",
        lambda c: c["mappings"]["crm"].append(c["mappings"]["crm"][0]),
        "mappings.crm[2]",
        "twice",
    ),
    ("company name as key", put("mappings", "crm", 0, "key_source", "name"), "mappings.crm[0].key_source", "may share"),
    ("e-mail as key", put("mappings", "crm", 0, "key_source", "email"), "mappings.crm[0].key_source", "may share"),
    (
        "company name in a lookup",
        put(*ACCOUNT_FIELDS, "Name", {"source": "name", "type": "lookup", "lookup_object": "C", "lookup_key": "K"}),
        "mappings.crm[0].fields.Name.source",
        "may share",
    ),
    ("mapping without fields", put("mappings", "crm", 0, "fields", {}), "mappings.crm[0].fields", "no fields"),
    ("source unknown", put(*ACCOUNT_FIELDS, "MRR", "source", "mmr"), "mappings.crm[0].fields.MRR.source", "no fact"),
    ("money as text", put(*ACCOUNT_FIELDS, "MRR", "type", "text"), "mappings.crm[0].fields.MRR.type", "cannot be held"),
    (
        "text as date",
        put(*ACCOUNT_FIELDS, "Status", "type", "date"),
        "mappings.crm[0].fields.Status.type",
        "cannot be held",
    ),
    # flows
    ("flow without a name", put("flows", 0, "name", " "), "flows[0].name", "no name"),
    ("two flows of one name", put("flows", 1, "name", "accounts"), "flows[1].name", "Two flows"),
    ("dead destination", put("flows", 0, "target", "crm2"), "flows[0].target", "no system of this charter"),
    ("dead source", put("flows", 0, "source", "biling"), "flows[0].source", "no system of this charter"),
    ("flow to itself", put("flows", 0, "target", "billing"), "flows[0].target", "back to itself"),
    (
        "connector that cannot be written",
        put("flows", 0, "target", "billing"),
        "flows[0].target",
        "cannot be the target",
    ),
    ("entity without facts", put("flows", 0, "entity", "payout"), "flows[0].entity", "no facts"),
    ("entity nobody owns", drop("ownership", 0), "flows[0].entity", "Nobody owns"),
    ("target owns the entity", put("ownership", 0, "system_of_record", "crm"), "flows[0].target", "which owns it"),
    (
        "owner is not the source",
        together(
            put("systems", "erp", {"connector": "goldbox", "owner": "Cy"}),
            put("ownership", 0, "system_of_record", "erp"),
        ),
        "flows[0].source",
        "erp owns it",
    ),
    ("target is no reader", put("ownership", 0, "readers", []), "flows[0].target", "not among the readers"),
    ("inbound entity flows out", put("ownership", 0, "direction", "inbound"), "flows[0].target", "told to nobody"),
    (
        "the same facts both ways",
        together(a_profile_in_the_crm, put("mappings", "books", 0, "fields", "Status", {"source": "status"})),
        "flows[2]",
        "both ways",
    ),
    (
        "into the system of record of an outbound entity",
        together(a_profile_in_the_crm, put("ownership", 0, "direction", "outbound")),
        "flows[2].target",
        "outbound",
    ),
    ("cycle", lambda c: c["flows"].append(OTHER_FLOW), "flows[2].target", "which owns it"),
    ("object without mapping", put("flows", 0, "object", "Firm"), "flows[0].object", "No mapping"),
    (
        "write field not mapped",
        put("flows", 0, "write_fields", ["Status", "Phone"]),
        "flows[0].write_fields[1]",
        "does not have",
    ),
    ("controlled writes nothing", put("flows", 0, "write_fields", []), "flows[0].write_fields", "write nothing"),
    (
        "write field of another owner",
        together(put("ownership", 0, "fields", {"name": "crm"}), put("flows", 0, "write_fields", ["Name"])),
        "flows[0].write_fields[0]",
        "crm owns itself",
    ),
    (
        "two flows write one field",
        lambda c: c["flows"].append(c["flows"][0] | {"name": "again"}),
        "flows[2].write_fields",
        "would both write",
    ),
    ("phase above the tier", put("flows", 0, "phase", "automated"), "flows[0].phase", "allow controlled"),
    ("source not even bronze", put("systems", "billing", "connector", "rawbox"), "flows[0].phase", "allow draft"),
    ("lag zero", put("flows", 0, "expected_lag_s", 0), "flows[0].expected_lag_s", "cannot be on time"),
    ("incident before lag", put("flows", 0, "incident_lag_s", 60), "flows[0].incident_lag_s", "while still on time"),
    (
        "late real time",
        together(put("flows", 0, "expected_lag_s", 7200), put("flows", 0, "incident_lag_s", 9000)),
        "flows[0].expected_lag_s",
        "called real time",
    ),
    # courier
    ("courier never tries", put("courier", {"attempts_max": 0}), "courier.attempts_max", "cannot try"),
    ("courier tries for ever", put("courier", {"attempts_max": 101}), "courier.attempts_max", "cannot try"),
    ("pauses shrink", put("courier", {"backoff_base_s": 10, "backoff_max_s": 5}), "courier.backoff_base_s", "pauses"),
    ("set aside at once", put("lanes", {"receives_max": 3}), "lanes.receives_max", "cannot be set aside"),
    ("never set aside", put("lanes", {"receives_max": 101}), "lanes.receives_max", "cannot be set aside"),
    ("nobody redrives", put("lanes", {"redrivers": [" "]}), "lanes.redrivers[0]", "has no name"),
    ("no pause", put("courier", {"backoff_base_s": 0}), "courier.backoff_base_s", "pauses"),
]


@pytest.mark.parametrize(("spoil", "where", "says"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_refused_at_its_place_with_a_remedy(spoil: Spoil, where: str, says: str) -> None:
    source = raw()
    spoil(source)
    found = check(source)
    here = [defect for defect in found if defect.where == where and says in defect.problem]
    assert len(here) == 1, found
    assert here[0].severity is Severity.ERROR
    assert here[0].problem.endswith(".")
    assert here[0].remedy.endswith(".")
    assert is_refused(found)


def test_single_facts_may_move_both_ways() -> None:
    source = raw()
    a_profile_in_the_crm(source)
    assert check(source) == ()
    source["flows"][2]["write_fields"] = ["Title", "State"]
    source["mappings"]["books"][0]["fields"]["State"] = {"source": "country"}
    (defect,) = check(source)
    assert (defect.where, defect.problem) == (
        "flows[2].write_fields[1]", "back would write State from account.country, which books owns itself."
    )  # fmt: skip


def test_a_crm_owns_the_customer_and_billing_what_the_customer_owes() -> None:
    source = raw()
    source["ownership"][0] |= {"system_of_record": "crm", "financial": "billing", "direction": "both", "readers": []}
    assert check(source) == ()
    source["flows"][0]["write_fields"] = ["Status", "MRR", "Name"]
    assert [defect.where for defect in check(source)] == ["flows[0].write_fields[2]"]


SECRETS = [
    "sk_live_" + "x" * 24,
    "rk_test_" + "x" * 24,
    "whsec_" + "x" * 24,
    "-----BEGIN PRIVATE KEY-----\nMIIE",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIE",
    "xoxb-1-2-3",
    "https://hooks.chat.example/services/T0/B0/x",
    "https://ada:hunter2@crm.example",
    "AKIA" + "X" * 16,
]


@pytest.mark.parametrize("secret", SECRETS, ids=range(len(SECRETS)))
@pytest.mark.parametrize(
    ("spoil", "where"),
    [
        (lambda text: put("systems", "crm", "settings", "instance_url", text), "systems.crm.settings.instance_url"),
        (lambda text: put("systems", "crm", "settings", "client_secret", text), "systems.crm.settings.client_secret"),
        (lambda text: put("alerts", {"slack_webhook": text}), "alerts.slack_webhook"),
        (lambda text: put("systems", "crm", "stakeholders", ["Bo", text]), "systems.crm.stakeholders[1]"),
        (lambda text: put("flows", 0, "verify", text), "flows[0].verify"),
    ],
    ids=["setting", "secret setting", "alert", "list", "sentence"],
)
def test_a_secret_anywhere_is_found_and_never_repeated(spoil: Callable[[str], Spoil], where: str, secret: str) -> None:
    source = raw()
    spoil(secret)(source)
    found = check(source)
    assert [defect.where for defect in found] == [where]
    assert secret not in found[0].problem + found[0].remedy
    assert "env:NAME" in found[0].remedy


@pytest.mark.parametrize("text", ["env:SLACK", "https://crm.example/a@b", "task_list_7", "ask_live_ly"])
def test_what_only_resembles_a_secret_passes(text: str) -> None:
    source = raw()
    source["alerts"] = {"slack_webhook": text}
    assert check(source) == ()


def test_money_from_a_crm_never_flows_into_finance() -> None:
    source = raw()
    source["systems"]["erp"] = {"connector": "goldbox", "owner": "Cy"}
    source["ownership"][0] |= {"system_of_record": "crm", "financial": "billing", "readers": ["erp"]}
    source["mappings"]["erp"] = source["mappings"]["crm"]
    source["flows"][0] |= {"source": "crm", "target": "erp"}
    found = [defect for defect in check(source) if defect.where == "flows[0].target"]
    assert ["MRR, Status" in defect.problem for defect in found] == [True]
    source["mappings"]["erp"][0]["fields"] = {"Name": {"source": "name"}}
    source["flows"][0]["write_fields"] = ["Name"]
    assert check(source) == ()


def test_a_fact_left_to_the_crm_may_be_mapped_as_long_as_it_is_not_written() -> None:
    source = raw()
    source["ownership"][0]["fields"] = {"name": "crm"}
    assert check(source) == ()
    source["systems"]["crm"]["connector"] = "goldbox"
    source["systems"]["crm"]["settings"] = {}
    source["flows"][0]["phase"] = "automated"
    assert [defect.where for defect in check(source)] == ["flows[0].phase"]


def test_what_a_draft_lacks_is_a_warning_and_still_no_go() -> None:
    source = raw()
    source["flows"][1] |= {"phase": "draft", "object": "Deal"}
    found = check(source)
    assert [(defect.where, defect.severity) for defect in found] == [("flows[1].object", Severity.WARNING)]
    assert not is_refused(found)
    first, second = go_no_go(charter(source), connectors=CONNECTORS)
    assert first == FlowVerdict(flow="accounts", go=True, missing=())
    assert not second.go
    assert "No mapping says what crm's Deal is made of" in second.missing[0]


def test_only_warnings_are_a_go() -> None:
    source = raw()
    source["flows"][0]["verify"] = ""
    found = check(source)
    assert [(defect.where, defect.severity) for defect in found] == [("flows[0].verify", Severity.WARNING)]
    assert all(verdict.go for verdict in go_no_go(charter(source), connectors=CONNECTORS))


def test_a_charter_without_flows_is_a_warning_by_itself() -> None:
    source = raw()
    source["flows"] = []
    assert [(defect.where, defect.severity) for defect in check(source)] == [("flows", Severity.WARNING)]


@pytest.mark.parametrize(
    ("spoil", "stopped"),
    [
        (put("timezone", "Mars"), {"accounts", "subscriptions"}),
        (put("systems", "crm", "owner", ""), {"accounts", "subscriptions"}),
        # What would write waits for every sentence, not only for that of the entity it carries (requirement 4).
        (put("ownership", 1, "purpose", ""), {"accounts", "subscriptions"}),
        (put("ownership", 2, "purpose", ""), {"accounts"}),
        (drop("ownership", 4), {"accounts"}),
        (put("ownership", 1, "readers", []), {"subscriptions"}),
        (put("mappings", "crm", 0, "key_source", "name"), {"accounts"}),
        (put("flows", 1, "expected_lag_s", 0), {"subscriptions"}),
    ],
    ids=[
        "time zone",
        "system",
        "a sentence",
        "a sentence of another",
        "an owner of another",
        "readers",
        "mapping",
        "flow",
    ],
)
def test_a_defect_stops_the_flows_it_concerns(spoil: Spoil, stopped: set[str]) -> None:
    source = raw()
    spoil(source)
    verdicts = go_no_go(charter(source), connectors=CONNECTORS)
    assert {verdict.flow for verdict in verdicts if not verdict.go} == stopped


def test_every_defect_is_told_at_once() -> None:
    source = raw()
    for spoil in (put("timezone", "Mars"), put("systems", "crm", "rate_per_s", 0), put("flows", 0, "object", "Firm")):
        spoil(source)
    assert {defect.where for defect in check(source)} == {"timezone", "systems.crm.rate_per_s", "flows[0].object"}


@pytest.mark.parametrize(
    ("entity", "fact", "financial"),
    [
        (EntityKind.ACCOUNT, "mrr", True),
        (EntityKind.ACCOUNT, "status", True),
        (EntityKind.ACCOUNT, "name", False),
        (EntityKind.ACCOUNT, "email", False),
        (EntityKind.SUBSCRIPTION, "name", True),
        (EntityKind.INVOICE, "number", True),
    ],
)
def test_what_is_financial(entity: EntityKind, fact: str, financial: bool) -> None:
    assert is_financial(entity, fact) is financial
    assert EntityKind.ACCOUNT not in FINANCIAL_KINDS


def test_places_read_as_they_are_written() -> None:
    assert place("flows", 0, "phase") == "flows[0].phase"
    assert place(place("mappings", "crm", 1), "fields", "A_b__c") == "mappings.crm[1].fields.A_b__c"


def test_a_charter_with_new_words_has_a_new_version() -> None:
    changed = msgspec.structs.replace(charter(), company="EXAMPLE-2")
    assert charter().version == charter().version != changed.version
