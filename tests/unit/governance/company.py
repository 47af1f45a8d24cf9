"""An example company with boring values: a billing system that is read, a CRM that is written to, two flows."""

from typing import Any

import msgspec

from accordant.canonical.charter import Charter, FlowPart, MappingPart, Phase
from accordant.governance.decide import CompiledFlow, compile_flow
from accordant.governance.findings import Category, ConnectorFacts
from accordant.governance.gates import CompiledGate
from accordant.governance.ownership import OwnershipMatrix
from accordant.governance.phases import Tier

CONNECTORS = {
    "paybox": ConnectorFacts(
        name="paybox",
        category=Category.BILLING,
        tier=Tier.BRONZE,
        settings=frozenset({"api_key", "webhook_secrets", "live_mode", "api_base"}),
        required=frozenset({"webhook_secrets"}),
        secret=frozenset({"api_key", "webhook_secrets"}),
        signing="webhook_secrets",
        is_source=True,
        rate_per_s_max=100,
    ),
    "crmbox": ConnectorFacts(
        name="crmbox",
        category=Category.CRM,
        tier=Tier.SILVER,
        settings=frozenset({"instance_url", "client_secret"}),
        required=frozenset({"instance_url", "client_secret"}),
        secret=frozenset({"client_secret"}),
        is_source=True,
        is_target=True,
        matchable=frozenset({"Company"}),
        rate_per_s_max=25,
    ),
    "goldbox": ConnectorFacts(
        name="goldbox",
        category=Category.ERP,
        tier=Tier.GOLD,
        settings=frozenset(),
        is_source=True,
        is_target=True,
        rate_per_s_max=50,
    ),
    "deskbox": ConnectorFacts(
        name="deskbox",
        category=Category.SUPPORT,
        tier=Tier.SILVER,
        settings=frozenset(),
        is_source=True,
        is_target=True,
        rate_per_s_max=50,
    ),
    "rawbox": ConnectorFacts(
        name="rawbox",
        category=Category.OTHER,
        tier=Tier.UNPROVED,
        settings=frozenset(),
        is_source=True,
        rate_per_s_max=1,
    ),
}


def raw() -> dict[str, Any]:
    """A sound charter as it stands in a file, to be spoiled by a test."""
    return {
        "company": "EXAMPLE-1",
        "timezone": "Europe/Berlin",
        "systems": {
            "billing": {"connector": "paybox", "owner": "Ada", "settings": {"webhook_secrets": "env:HOOK"}},
            "crm": {
                "connector": "crmbox",
                "owner": "Bo",
                "settings": {"instance_url": "https://crm.example", "client_secret": "env:CRM"},
            },
        },
        "ownership": [
            {
                "entity": "account",
                "system_of_record": "billing",
                "readers": ["crm"],
                "purpose": "Billing knows who pays.",
            },
            {
                "entity": "subscription",
                "system_of_record": "billing",
                "readers": ["crm"],
                "purpose": "Billing knows what is paid for.",
            },
            *_taken_in(),
        ],
        "mappings": _mappings(),
        "flows": _flows(),
        "phases": {"approvers": ["Ada", "Bo"]},
    }


def _taken_in() -> list[dict[str, Any]]:
    """What is taken in from billing and told to nobody."""
    said = {"system_of_record": "billing", "readers": [], "direction": "inbound"}
    return [
        {"entity": entity, "purpose": f"Billing knows every {entity}."} | said
        for entity in ("invoice", "payment", "payout")
    ]


def _flows() -> list[dict[str, Any]]:
    return [
        {
            "name": "accounts",
            "entity": "account",
            "source": "billing",
            "target": "crm",
            "object": "Company",
            "phase": "controlled",
            "write_fields": ["Status", "MRR"],
            "verify": "The company page of the CRM shows it.",
        },
        {
            "name": "subscriptions",
            "entity": "subscription",
            "source": "billing",
            "target": "crm",
            "object": "Agreement",
            "phase": "read_only",
            "write_fields": ["Status"],
            "verify": "The agreement page of the CRM shows it.",
        },
    ]


def _mappings() -> dict[str, Any]:
    return {
        "crm": [
            {
                "entity": "account",
                "object": "Company",
                "key_field": "Billing_Id",
                "fields": {
                    "Name": {"source": "name"},
                    "Status": {"source": "status"},
                    "MRR": {"source": "mrr", "type": "currency"},
                },
            },
            {
                "entity": "subscription",
                "object": "Agreement",
                "key_field": "Billing_Id",
                "fields": {"Status": {"source": "status"}, "Ends": {"source": "ended_on", "type": "date"}},
            },
        ]
    }


def charter(source: dict[str, Any] | None = None) -> Charter:
    """The charter a file with these words gives."""
    return msgspec.convert(source if source is not None else raw(), Charter)


def compiled(
    flow: FlowPart, mapping: MappingPart, owners: OwnershipMatrix, gates: tuple[CompiledGate, ...] = ()
) -> CompiledFlow:
    """A flow as the court takes it, between connectors that have earned every phase."""
    return compile_flow(
        flow, mapping=mapping, owners=owners, tier_cap=Phase.AUTOMATED, meaning="", exempt=True, gates=gates
    )
