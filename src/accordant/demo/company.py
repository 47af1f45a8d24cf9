"""The demo company: its charter, written to a folder as a person would write it, and a Salesforce org ready for it.

The stand-ins speak the vendors' HTTP on loopback; everything behind the door is the product. Next: `story.py`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from accordant.canonical.charter import MappingPart
from accordant.connectors.salesforce.connector import default_mappings
from accordant.connectors.salesforce.objects import required_fields
from accordant.connectors.salesforce.simulator import SalesforceSimulator
from accordant.connectors.salesforce.simulator_tokens import ConnectedApp

WEBHOOK_SECRET = "whsec_demo_company_signing_secret"  # noqa: S105  shared with a stand-in on this machine only
API_KEY = "sk_test_simulated"
APP = ConnectedApp()

_CHARTER = """\
# Example GmbH sells subscriptions through Stripe and works in Salesforce.
company: Example GmbH
systems:
  stripe:
    connector: stripe
    owner: Billing team
    stand_in: true
    settings:
      live_mode: false
      api_base: {stripe_url}
      api_key: env:STRIPE_API_KEY
      webhook_secrets: env:STRIPE_WEBHOOK_SECRET
  salesforce:
    connector: salesforce
    owner: RevOps
    stand_in: true
    rate_per_s: {rate_per_s}
    settings:
      flow: client_credentials
      instance_url: {salesforce_url}
      client_id: env:SALESFORCE_CLIENT_ID
      client_secret: env:SALESFORCE_CLIENT_SECRET
ownership:
  - entity: account
    system_of_record: stripe
    readers: [salesforce]
    purpose: Stripe says who pays us and what; Salesforce shows it to sales and never changes it.
  - entity: subscription
    system_of_record: stripe
    readers: [salesforce]
    purpose: Stripe runs every subscription; Salesforce shows its state on the account.
flows:
  - name: accounts
    entity: account
    source: stripe
    target: salesforce
    phase: {phase}
    write_fields: all
    verify: The Account's billing section in Salesforce.
  - name: subscriptions
    entity: subscription
    source: stripe
    target: salesforce
    phase: {phase}
    write_fields: all
    verify: The subscriptions related to the Account in Salesforce.
{bills}{books}{identity}{alerts}courier:
  attempts_max: {attempts_max}
  backoff_base_s: 1
  backoff_max_s: {backoff_max_s}
"""


#: What is sold, and what stands below an account beside its subscriptions: what was billed, collected, and given back.
_BILLS = """\
  - name: products
    entity: product
    source: stripe
    target: salesforce
    phase: {phase}
    write_fields: all
    verify: The list of products in Salesforce.
  - name: invoices
    entity: invoice
    source: stripe
    target: salesforce
    phase: {phase}
    write_fields: all
    verify: The invoices related to the Account in Salesforce.
  - name: payments
    entity: payment
    source: stripe
    target: salesforce
    object: Billing_Payment__c
    phase: {phase}
    write_fields: all
    verify: The payments related to the Account in Salesforce.
  - name: payment-activities
    entity: payment
    source: stripe
    target: salesforce
    object: Task
    phase: {phase}
    write_fields: all
    verify: The activity history of the Account in Salesforce.
  - name: refund-activities
    entity: refund
    source: stripe
    target: salesforce
    phase: {phase}
    write_fields: all
    verify: The activity history of the Account in Salesforce.
"""
#: Whose books are kept: one company, its chart of accounts, and which account takes what.
_BOOKS = """\
ledger:
  systems: {stripe: Example GmbH}
  legal_entities:
    Example GmbH:
      currency: EUR
      tax_codes: [DE19]
      tax_code: DE19
      accounts:
        "1200": {name: Bank, type: asset}
        "1360": {name: Processor clearing, type: asset}
        "1400": {name: Accounts receivable, type: asset}
        "1450": {name: Contract assets, type: asset}
        "1705": {name: Customer balances, type: liability}
        "1707": {name: Refunds owed, type: liability}
        "1776": {name: Value added tax, type: liability}
        "1900": {name: Deferred revenue, type: liability}
        "2150": {name: Exchange differences, type: expense}
        "2160": {name: "Exchange differences, not realised", type: expense}
        "2400": {name: Bad debt, type: expense}
        "4790": {name: Processing fees, type: expense}
        "4795": {name: Dispute fees, type: expense}
        "8400": {name: Revenue, type: revenue}
        "8700": {name: Refunds and credits, type: revenue}
      rules:
        - {role: bank, account: "1200"}
        - {role: clearing, account: "1360"}
        - {role: receivable, account: "1400"}
        - {role: contract_asset, account: "1450"}
        - {role: customer_balance, account: "1705"}
        - {role: refund_liability, account: "1707"}
        - {role: sales_tax, account: "1776"}
        - {role: deferred_revenue, account: "1900"}
        - {role: fx_realised, account: "2150"}
        - {role: fx_unrealised, account: "2160"}
        - {role: bad_debt, account: "2400"}
        - {role: processing_fees, account: "4790"}
        - {role: dispute_fees, account: "4795"}
        - {role: revenue, account: "8400"}
        - {role: contra_revenue, account: "8700"}
"""
_IDENTITY = """\
identity:
  model: b2b
  unmatched: create
"""
#: What sales knew before billing did: the name and the website of each Account. One company stands there twice.
KNOWN_TO_SALES = (
    ("Müller & Söhne", "https://www.mueller-soehne.example"),
    ("Łódź Packaging", "lodz-packaging.example"),
    ("Łódź Packaging Sp. z o.o.", "www.lodz-packaging.example"),
)
#: Who keeps them.
SALES = "sales@example.com"


def let_sales_begin(simulator: SalesforceSimulator) -> None:
    """Put the Accounts into the org that sales made by hand."""
    for name, website in KNOWN_TO_SALES:
        simulator.create("Account", user=SALES, Name=name, Website=website)


def environment(alert_url: str = "") -> dict[str, str]:
    """The environment variables the charter refers to."""
    return {
        "STRIPE_API_KEY": API_KEY,
        "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
        "SALESFORCE_CLIENT_ID": APP.client_id,
        "SALESFORCE_CLIENT_SECRET": APP.client_secret,
        "ALERT_WEBHOOK": alert_url,
    }


def write_charter(
    folder: Path,
    *,
    stripe_url: str,
    salesforce_url: str,
    phase: str = "controlled",
    rate_per_s: int = 50,
    alerts: bool = False,
    matching: bool = False,
    bills: bool = False,
    books: bool = False,
    attempts_max: int = 6,
    backoff_max_s: int = 2,
) -> Path:
    """Write the company's charter into ``folder``; the folder. ``matching``: sales has kept Accounts for years, so the
    one of each customer is looked for before another is made. ``bills``: products and all that is billed flow
    too. ``books``: the books are kept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    text = _CHARTER.format(
        stripe_url=stripe_url,
        salesforce_url=salesforce_url,
        phase=phase,
        rate_per_s=rate_per_s,
        bills=_BILLS.format(phase=phase) if bills else "",
        books=_BOOKS if books else "",
        identity=_IDENTITY if matching else "",
        alerts="alerts:\n  slack_webhook: env:ALERT_WEBHOOK\n" if alerts else "",
        attempts_max=attempts_max,
        backoff_max_s=backoff_max_s,
    )
    (folder / "accordant.yaml").write_text(text, encoding="utf-8")
    return folder


def prepare_org(simulator: SalesforceSimulator, mappings: Sequence[MappingPart] | None = None) -> None:
    """Give a stand-in every object and field that the mappings need, as an administrator would."""
    for needed in required_fields(mappings if mappings is not None else default_mappings()):
        if not needed.custom:
            continue
        if needed.object.endswith("__c") and needed.object.lower() not in simulator.org.objects:
            simulator.define_object(needed.object)
        options: dict[str, Any] = {"external_id": needed.external_id, "unique": needed.unique}
        if needed.external_id:
            options["case_sensitive"] = True
        for name in ("length", "precision", "scale", "reference_to", "relationship"):
            if (value := getattr(needed, name)) is not None:
                options[name] = value
        if needed.picklist:
            options |= {"picklist": needed.picklist, "restricted": True}
        simulator.define_field(needed.object, needed.name, needed.type, **options)
