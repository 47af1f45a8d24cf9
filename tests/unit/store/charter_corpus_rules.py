"""Bad charters, second half (reliability.md B12): what the rules refuse, with place and verdict."""

from tests.unit.store.charter_corpus import SHORT

OWNED = """\
ownership:
  - entity: account
    system_of_record: paybox
    readers: [crmbox]
    purpose: Billing knows who pays.
"""
LEDGER = """\
ledger:
  systems: { paybox: EXAMPLE-1 }
  legal_entities:
    EXAMPLE-1:
      currency: EUR
      closed_before: 2027-01-01
      accounts: { "1000": { name: Bank, type: asset } }
      rules: [{ role: bank, account: "1000", from_on: 2027-01-01, until_on: 2028-02-29 }]
"""
GATED = """\
gates:
  - name: kyc
    check: kyc
    entity: account
    purpose: Nobody sells to a stranger.
    next_action: Ask compliance to look.
"""

#: As `FILES`.
RULES: list[tuple[str, str, int, str, str]] = [
    (
        "owner unknown",
        SHORT + OWNED.replace("record: paybox", "record: payboks"),
        14,
        "ownership[0].system_of_record",
        "no system",
    ),
    (
        "no sentence",
        SHORT + OWNED.replace("Billing knows who pays.", "Accounts."),
        16,
        "ownership[0].purpose",
        "No sentence",
    ),
    ("purpose missing", SHORT + OWNED.rsplit("    purpose", 1)[0], 13, "ownership[0].purpose", "missing"),
    ("readers missing", SHORT + OWNED.replace("    readers: [crmbox]\n", ""), 13, "ownership[0].readers", "missing"),
    ("reader unknown", SHORT + OWNED.replace("[crmbox]", "[crmbox, erp]"), 15, "ownership[0].readers[1]", "no system"),
    ("target is no reader", SHORT + OWNED.replace("[crmbox]", "[]"), 10, "flows[0].target", "not among the readers"),
    (
        "two owners of a field",
        SHORT + OWNED + "    fields: { name: crmbox, name: paybox }\n",
        17,
        "ownership[0].fields.name",
        "twice",
    ),
    (
        "amount owned by a CRM",
        SHORT + OWNED + "    fields: { mrr: crmbox }\n",
        17,
        "ownership[0].fields.mrr",
        "financial state",
    ),
    (
        "status owned by a CRM",
        SHORT + OWNED + "    fields: { status: crmbox }\n",
        17,
        "ownership[0].fields.status",
        "financial state",
    ),
    (
        "financial state given to a CRM",
        SHORT + OWNED + "    financial: crmbox\n",
        17,
        "ownership[0].financial",
        "financial state",
    ),
    (
        "fact that is none",
        SHORT + OWNED + "    fields: { phone_number: crmbox }\n",
        17,
        "ownership[0].fields.phone_number",
        "no fact",
    ),
    (
        "everything both ways",
        SHORT + OWNED + "    direction: both\n",
        17,
        "ownership[0].direction",
        "everything both ways",
    ),
    ("inbound and told", SHORT + OWNED + "    direction: inbound\n", 10, "flows[0].target", "told to nobody"),
    (
        "direction unknown",
        SHORT + OWNED + "    direction: sideways\n",
        17,
        "ownership[0].direction",
        "none of the words",
    ),
    ("winner unknown", SHORT + OWNED + "    winner: newest\n", 17, "ownership[0].winner", "latest"),
    (
        "latest wins money",
        SHORT + OWNED.replace("account", "subscription") + "    winner: latest\n",
        17,
        "ownership[0].winner",
        "never win",
    ),
    (
        "cycle",
        SHORT + "  - { entity: account, source: crmbox, target: paybox, object: C, phase: read_only, verify: X }\n",
        12,
        "flows[2].entity",
        "Nobody owns",
    ),
    (
        "gate without a next action",
        SHORT + GATED.rsplit("    next_action", 1)[0],
        13,
        "gates[0].next_action",
        "missing",
    ),
    ("gate on a check that is none", SHORT + GATED.replace("check: kyc", "check: kycc"), 14, "gates[0].check", "kyc"),
    (
        "gate that a failure opens",
        SHORT + GATED + "    opens_on: [failed]\n",
        18,
        "gates[0].opens_on[0]",
        "failed would open",
    ),
    ("gate that nothing opens", SHORT + GATED + "    opens_on: []\n", 18, "gates[0].opens_on", "hold for ever"),
    (
        "gate on old evidence",
        SHORT + GATED + "    evidence_days_max: 99999\n",
        18,
        "gates[0].evidence_days_max",
        "99999 days",
    ),
    ("gate on no flow", SHORT + GATED + "    flows: [payouts]\n", 18, "gates[0].flows[0]", "stop nothing"),
    (
        "gate on what does not flow",
        SHORT + GATED.replace("entity: account", "entity: payout"),
        15,
        "gates[0].entity",
        "could stop",
    ),
    ("two gates of one name", SHORT + GATED + GATED.partition("\n")[2], 18, "gates[1].name", "Two gates"),
    ("company without a name", SHORT.replace("EXAMPLE-1", '" "'), 1, "company", "no name"),
    ("system without an owner", SHORT.replace("owner: Ada", 'owner: ""'), 4, "systems.paybox.owner", "Nobody owns"),
    (
        "connector unknown",
        SHORT.replace("    owner: Ada", "    owner: Ada\n    connector: paybx"),
        5,
        "systems.paybox.connector",
        "no connector",
    ),
    (
        "setting unknown",
        SHORT.replace("env:HOOK }", "env:HOOK, colour: blue }"),
        5,
        "systems.paybox.settings.colour",
        "no setting",
    ),
    (
        "reference in small letters",
        SHORT.replace("env:CRM", '"env:crm"'),
        8,
        "systems.crmbox.settings.client_secret",
        "secret",
    ),
    (
        "key in an address",
        SHORT.replace("https://crm.example", "https://a:b@crm.example"),
        8,
        "systems.crmbox.settings.instance_url",
        "secret",
    ),
    (
        "rate below 0",
        SHORT.replace("owner: Bo", "owner: Bo\n    rate_per_s: -1"),
        8,
        "systems.crmbox.rate_per_s",
        "never be called",
    ),
    (
        "lag of nothing",
        SHORT.replace("verify: Company", "expected_lag_s: 0, verify: Company"),
        10,
        "flows[0].expected_lag_s",
        "cannot be on time",
    ),
    (
        "incident at once",
        SHORT.replace("verify: Company", "incident_lag_s: 60, verify: Company"),
        10,
        "flows[0].incident_lag_s",
        "while still on time",
    ),
    ("two flows of one name", SHORT.replace("verify:", "name: same, verify:"), 11, "flows[1].name", "Two flows"),
    ("courier that never tries", SHORT + "courier: { attempts_max: 0 }\n", 12, "courier.attempts_max", "cannot try"),
    (
        "a day that is none",
        SHORT + LEDGER.replace("2028-02-29", "2027-02-29"),
        19,
        "ledger.legal_entities.EXAMPLE-1.rules[0].until_on",
        "a day as in",
    ),
    (
        "a day by its week",
        SHORT + LEDGER.replace("before: 2027-01-01", "before: 2027-W01-1"),
        17,
        "ledger.legal_entities.EXAMPLE-1.closed_before",
        "a day as in",
    ),
]
