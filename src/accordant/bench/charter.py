"""How long a large charter takes: a folder of 50 flows and 2,000 field rules, read, filled in, checked and compiled.

The text is written once; what is measured is what a start or `accordant check` does with it. No store is asked.
"""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from accordant.bench.figures import Run
from accordant.canonical.facts import FACTS, FactType
from accordant.canonical.refs import EntityKind
from accordant.connectors import registry
from accordant.governance.charter import check_charter, is_refused
from accordant.governance.phases import Tier
from accordant.pipeline.plan import write_rulebook
from accordant.store.charter_folder import load_charter

#: Field rules of one flow: 50 flows of 40 are the 2,000 of the target.
FIELDS_A_FLOW = 40
_ROUNDS = 5
_TYPES = {
    FactType.TEXT: "text",
    FactType.NUMBER: "number",
    FactType.FLAG: "flag",
    FactType.MONEY: "currency",
    FactType.DAY: "date",
    FactType.INSTANT: "instant",
}


def charter(store: str, n: int, seed: int) -> Run:
    """Milliseconds to load, check and compile a charter of ``n`` flows. Each round reads the files anew."""
    del store, seed  # no store is asked, and nothing is left to chance
    facts = {name: registry.facts_of(connector) for name, connector in registry.installed().items()}
    took = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for index, text in enumerate(_files(n)):
            (folder / f"part{index}.yaml").write_text(text, encoding="utf-8")
        for _ in range(_ROUNDS):
            started = time.perf_counter()
            loaded = load_charter(folder, default_mappings={}, connectors=facts)
            write_rulebook(loaded, dict.fromkeys(loaded.systems, Tier.SILVER))
            took.append(time.perf_counter() - started)
            if len(loaded.flows) != n or is_refused(check_charter(loaded, connectors=facts)):
                raise RuntimeError("the measured charter is not what it should be")
    return Run(value=sorted(took)[len(took) // 2] * 1000, latencies_s=took)


def _files(flows: int) -> Iterator[str]:
    systems = [
        "systems:",
        "  stripe: { owner: Finance, settings: { api_key: env:KEY, webhook_secrets: env:HOOK, live_mode: false } }",
        *(
            f"  crm{index}: {{ connector: salesforce, owner: Sales, settings: {{ instance_url: https://crm{index}.example,"
            " flow: client_credentials, client_id: env:ID, client_secret: env:SECRET } }"
            for index in range(flows)
        ),
    ]
    readers = ", ".join(f"crm{index}" for index in range(flows))
    kinds = ("account", "subscription", "invoice", "payment", "payout")
    owned = [
        f"  - {{ entity: {kind}, system_of_record: stripe, readers: [{readers}], purpose: Stripe knows what is paid. }}"
        for kind in kinds
    ]
    yield "\n".join(["company: Large", *systems, "ownership:", *owned, ""])
    facts = FACTS[EntityKind.ACCOUNT]
    names = [fact for fact in facts if fact != "name"]
    fields = [
        f"        Field_{number}__c: {{ source: {fact}, type: {_TYPES[facts[fact]]} }}"
        for number in range(FIELDS_A_FLOW)
        for fact in (names[number % len(names)],)
    ]
    mappings = [
        line
        for index in range(flows)
        for line in (
            f"  crm{index}:",
            "    - entity: account",
            "      object: Account",
            "      key_field: Billing_Id__c",
            "      fields:",
            *fields,
        )
    ]
    yield "\n".join(["mappings:", *mappings, ""])
    listed = [
        f"  - {{ name: flow{index}, entity: account, source: stripe, target: crm{index}, phase: controlled,"
        " verify: Account pages }"
        for index in range(flows)
    ]
    yield "\n".join(["flows:", *listed, ""])
