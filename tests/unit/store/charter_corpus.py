"""Bad charters, first half (reliability.md B12): what the files may not say, each with its expected verdict."""

from accordant.store.charter_yaml import DEPTH_MAX, VALUES_MAX

SHORT = """\
company: EXAMPLE-1
systems:
  paybox:
    owner: Ada
    settings: { webhook_secrets: env:HOOK }
  crmbox:
    owner: Bo
    settings: { instance_url: "https://crm.example", client_secret: env:CRM }
flows:
  - { entity: account, source: paybox, target: crmbox, phase: controlled, verify: Company pages }
  - { entity: subscription, source: paybox, target: crmbox, phase: read_only, verify: Agreement pages }
"""

OTHER_MAPPINGS = """\
mappings:
  crmbox:
    - { entity: account, object: A, key_field: Id, fields: { N: { source: name } } }
    - { entity: subscription, object: B, key_field: Id, fields: { N: { source: name } } }
"""

#: What is wrong -> the text of a.yaml, the line, the path, and a word that the problem or the remedy must say.
FILES: list[tuple[str, str, int, str, str]] = [
    ("empty", "", 1, "", "empty"),
    ("only a comment", "# nothing\n", 2, "", "empty"),
    ("a list", "- company\n", 1, "", "no group of settings"),
    ("a word", "company\n", 1, "", "no group of settings"),
    ("not YAML", SHORT.replace("env:HOOK }", "env:HOOK"), 6, "", "not YAML"),
    ("tab", SHORT.replace("    owner: Ada", "\towner: Ada"), 4, "", "not YAML"),
    ("control character", SHORT.replace("Ada", "A\x07da"), 1, "", "not YAML"),
    ("second document", SHORT + "---\ncompany: EXAMPLE-2\n", 12, "", "second document"),
    ("unknown first-level key", SHORT + "flow: []\n", 12, "flow", "flows"),
    ("unknown key in a flow", SHORT.replace("verify: Company", "verfy: Company"), 10, "flows[0].verfy", "verify"),
    (
        "unknown key in a system",
        SHORT.replace("owner: Bo", "owner: Bo\n    rate: 3"),
        8,
        "systems.crmbox.rate",
        "no setting",
    ),
    (
        "key twice",
        SHORT.replace("    owner: Bo\n", "    owner: Bo\n    owner: Bea\n"),
        8,
        "systems.crmbox.owner",
        "line 7",
    ),
    ("key twice, quoted", SHORT + '"company": EXAMPLE-2\n', 12, "company", "twice"),
    ("system twice", SHORT.replace("  crmbox:\n", "  paybox:\n"), 6, "systems.paybox", "twice"),
    ("empty key", SHORT + '"": 3\n', 12, "", "empty"),
    ("key that is a list", SHORT + "? [a, b]\n: 3\n", 12, "", "plain word"),
    ("merge key", SHORT.replace("    owner: Bo\n", "    <<: { owner: Bo }\n"), 7, "systems.crmbox", "merged"),
    ("anchor", SHORT.replace("owner: Ada", "owner: &ada Ada"), 4, "systems.paybox.owner", "anchor"),
    (
        "alias",
        SHORT.replace("owner: Ada", "owner: &a Ada").replace("owner: Bo", "owner: *a"),
        7,
        "systems.crmbox.owner",
        "alias",
    ),
    ("tag", SHORT.replace("owner: Ada", "owner: !!str Ada"), 4, "systems.paybox.owner", "tag"),
    (
        "tag of Python",
        SHORT.replace("owner: Ada", "owner: !!python/object/apply:os.system [ls]"),
        4,
        "systems.paybox.owner",
        "tag",
    ),
    (
        "yes as true",
        SHORT.replace("phase: controlled", "paused: yes, phase: controlled"),
        10,
        "flows[0].paused",
        "true or false",
    ),
    (
        "off as false",
        SHORT.replace("env:HOOK }", "env:HOOK, live_mode: off }"),
        5,
        "systems.paybox.settings.live_mode",
        "true or false",
    ),
    (
        "True as true",
        SHORT.replace("phase: controlled", "paused: True, phase: controlled"),
        10,
        "flows[0].paused",
        "true or false",
    ),
    (
        "true in quotes",
        SHORT.replace("phase: controlled", 'paused: "true", phase: controlled'),
        10,
        "flows[0].paused",
        "true or false",
    ),
    (
        "octal",
        SHORT.replace("owner: Bo", "owner: Bo\n    rate_per_s: 010"),
        8,
        "systems.crmbox.rate_per_s",
        "whole number",
    ),
    (
        "hexadecimal",
        SHORT.replace("owner: Bo", "owner: Bo\n    rate_per_s: 0x10"),
        8,
        "systems.crmbox.rate_per_s",
        "whole number",
    ),
    (
        "grouped",
        SHORT.replace("owner: Bo", "owner: Bo\n    rate_per_s: 1_0"),
        8,
        "systems.crmbox.rate_per_s",
        "whole number",
    ),
    (
        "exponent",
        SHORT.replace("owner: Bo", "owner: Bo\n    rate_per_s: 1e1"),
        8,
        "systems.crmbox.rate_per_s",
        "whole number",
    ),
    (
        "a version as a number",
        SHORT.replace("env:HOOK }", "env:HOOK, api_base: 59.0 }"),
        5,
        "systems.paybox.settings.api_base",
        "quotes",
    ),
    (
        "a number too large",
        SHORT.replace("owner: Bo", "owner: Bo\n    rate_per_s: 9223372036854775808"),
        8,
        "systems.crmbox.rate_per_s",
        "whole number",
    ),
    ("a number for text", SHORT.replace("company: EXAMPLE-1", "company: 7"), 1, "company", "Write text"),
    (
        "text for a number",
        SHORT.replace("owner: Bo", 'owner: Bo\n    rate_per_s: "3"'),
        8,
        "systems.crmbox.rate_per_s",
        "a whole number",
    ),
    (
        "a flag for a number",
        SHORT.replace("owner: Bo", "owner: Bo\n    rate_per_s: true"),
        8,
        "systems.crmbox.rate_per_s",
        "a whole number",
    ),
    ("nothing for a list", SHORT.partition("flows:")[0] + "flows:\n", 9, "flows", "nothing"),
    ("a group for a list", SHORT.partition("flows:")[0] + "flows: {}\n", 9, "flows", "a list"),
    ("a list for a group", SHORT + "alerts: []\n", 12, "alerts", "a group of settings"),
    (
        "a word for a list",
        SHORT.replace("phase: controlled", "write_fields: every, phase: controlled"),
        10,
        "flows[0].write_fields",
        "a list",
    ),
    (
        "a group as a setting",
        SHORT.replace("env:HOOK }", "env:HOOK, api_base: { a: b } }"),
        5,
        "systems.paybox.settings.api_base",
        "text or",
    ),
    ("phase unknown", SHORT.replace("phase: controlled", "phase: live"), 10, "flows[0].phase", "none of the words"),
    ("entity unknown", SHORT.replace("entity: account", "entity: acount"), 10, "flows[0].entity", "account"),
    ("phase missing", SHORT.replace("phase: controlled, ", ""), 10, "flows[0].phase", "missing"),
    ("owner missing", SHORT.replace("    owner: Bo\n", ""), 6, "systems.crmbox.owner", "missing"),
    ("company missing", SHORT.replace("company: EXAMPLE-1\n", ""), 1, "company", "missing"),
    ("no flows key", SHORT.partition("flows:")[0], 1, "flows", "missing"),
    ("too deep", SHORT + "alerts: " + "[" * 30 + "]" * 30 + "\n", 12, "alerts" + "[0]" * DEPTH_MAX, "nested"),
    ("too many values", SHORT + "alerts: [" + "a," * VALUES_MAX + "]\n", 12, "", "too large"),
    ("mapping of nothing", SHORT + "mappings: { crmbox: [] }\n", 10, "flows[0].object", "mapping"),
    (
        "two objects to choose from",
        SHORT
        + "mappings:\n  crmbox:\n"
        + "".join(
            f"    - {{ entity: account, object: {name}, key_field: Id, fields: {{ N: {{ source: name }} }} }}\n"
            for name in ("A", "B")
        ),
        10,
        "flows[0].object",
        "one of A, B",
    ),
    # beyond the files: the rules, at their place in the files
    ("time zone typo", SHORT + "timezone: Europe/Berlim\n", 12, "timezone", "no time zone"),
    (
        "rate 0",
        SHORT.replace("owner: Bo", "owner: Bo\n    rate_per_s: 0"),
        8,
        "systems.crmbox.rate_per_s",
        "never be called",
    ),
    (
        "rate above the vendor's",
        SHORT.replace("owner: Bo", "owner: Bo\n    rate_per_s: 26"),
        8,
        "systems.crmbox.rate_per_s",
        "more than",
    ),
    (
        "dead destination",
        SHORT.replace(
            "target: crmbox, phase: controlled", "target: crm2, object: A, write_fields: [A], phase: controlled"
        ),
        10,
        "flows[0].target",
        "no system",
    ),
    (
        "secret in the file",
        SHORT.replace("env:CRM", '"whsec_abc"'),
        8,
        "systems.crmbox.settings.client_secret",
        "secret",
    ),
    (
        "secret missing",
        SHORT.replace(", client_secret: env:CRM", ""),
        8,
        "systems.crmbox.settings.client_secret",
        "missing",
    ),
    (
        "unsigned inbound",
        SHORT.replace("webhook_secrets: env:HOOK", ""),
        5,
        "systems.paybox.settings.webhook_secrets",
        "unsigned",
    ),
    (
        "phase above the tier",
        SHORT.replace("phase: controlled", "phase: automated"),
        10,
        "flows[0].phase",
        "allow controlled",
    ),
    (
        "lookup to nothing",
        SHORT + OTHER_MAPPINGS.replace("{ source: name }", "{ source: external_id, type: lookup }", 1),
        14,
        "mappings.crmbox[0].fields.N",
        "lookup",
    ),
    (
        "company name as key",
        SHORT + OTHER_MAPPINGS.replace("Id, ", "Id, key_source: name, ", 1),
        14,
        "mappings.crmbox[0].key_source",
        "may share",
    ),
    (
        "two owners",
        SHORT
        + "ownership:\n"
        + "  - { entity: account, system_of_record: paybox, readers: [], purpose: Billing knows who pays. }\n" * 2,
        14,
        "ownership[1].entity",
        "two owners",
    ),
]
