"""What is sold against the charter, the books and the quotes of sales: each disagreement at its place, and no other."""

from __future__ import annotations

from datetime import date
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accordant.analytics.catalog import is_sold, product_facts
from accordant.analytics.catalog_findings import Catalog, CatalogFinding, catalog_findings
from accordant.canonical.charter import Charter
from accordant.canonical.deals import Opportunity, OpportunityLine
from accordant.canonical.entities import Price, Product, RecurringPrice
from accordant.governance.findings import Severity
from tests.unit.governance.company import raw

TODAY = date(2026, 3, 1)
_ACCOUNTS = {
    "4000": {"name": "Sales", "type": "revenue"},
    "4001": {"name": "Sales of Pro", "type": "revenue"},
    "2300": {"name": "Deferred", "type": "liability"},
}
_ROWS = [{"role": "revenue", "account": "4000"}, {"role": "deferred_revenue", "account": "2300"}]


def charter(*, prices: dict[str, str] | None = None, **ledger: Any) -> Charter:
    """The usual company, which opens subscriptions from opportunities; with books where ``ledger`` has any."""
    text = raw()
    opens = {
        "name": "opens", "entity": "opportunity", "source": "crm", "target": "billing", "object": "subscription",
        "phase": "controlled", "prices": prices or {}, "verify": "Billing.",
    }  # fmt: skip
    text["flows"] = [opens]
    if ledger:
        rows = ledger.pop("rows", _ROWS)
        entity = {"currency": "EUR", "accounts": _ACCOUNTS, "rules": rows}
        text["ledger"] = {"legal_entities": {"DE": entity}, "systems": {"billing": "DE"}} | ledger
    return msgspec.convert(text, Charter)


def catalog(*things: Product | Price) -> Catalog:
    return Catalog(
        system="billing",
        products={one.external_id: one for one in things if isinstance(one, Product)},
        prices={one.external_id: one for one in things if isinstance(one, Price)},
    )


def product(name: str = "Pro", *, external_id: str = "prod_1", **more: Any) -> Product:
    return Product(external_id=external_id, name=name, **more)


def price(external_id: str = "price_1", *, metered: bool = False, **more: Any) -> Price:
    recurring = RecurringPrice(currency="EUR", unit_minor="100", interval="month", interval_count=1, metered=metered)
    return Price(external_id=external_id, product_id="prod_1", recurring=recurring, **more)


def quote(external_id: str, *price_ids: str | None) -> Opportunity:
    lines = tuple(OpportunityLine(external_id=f"line_{at}", price_id=one) for at, one in enumerate(price_ids))
    return Opportunity(external_id=external_id, lines=lines)


def found(rules: Charter, held: Catalog, *quotes: Opportunity) -> tuple[CatalogFinding, ...]:
    return catalog_findings(rules, {"billing": held}, {"opens": quotes}, today=TODAY)


GONE: list[tuple[Catalog, str]] = [
    (catalog(product(), price(active=False)), "it is archived in billing"),
    (catalog(product(), price(deleted=True)), "it is deleted in billing"),
    (catalog(product(active=False), price()), "its product Pro is archived in billing"),
    (catalog(product(deleted=True), price()), "its product Pro is deleted in billing"),
    (catalog(product(), price("price_2")), "billing has no such price"),
]


@pytest.mark.parametrize(("held", "why"), GONE)
def test_what_billing_sells_no_more_is_named_where_it_is_still_sold(held: Catalog, why: str) -> None:
    (mapped,) = found(charter(prices={"SEATS": "price_1"}), held)
    assert (mapped.where, mapped.severity) == ("flows[0].prices.SEATS", Severity.ERROR)
    assert mapped.problem == f"opens would sell SEATS at the price price_1, and {why}."
    assert "take SEATS out" in mapped.remedy
    (quoted,) = found(charter(), held, quote("006B", "price_1", "price_1", None), quote("006A", "price_1"))
    assert (quoted.where, quoted.severity) == ("crm:Opportunity/006A", Severity.WARNING)
    assert quoted.problem == f"006A, 006B would be opened at the price price_1, and {why}."


def test_what_is_sold_is_no_finding_and_what_was_never_heard_is_not_judged() -> None:
    rules = charter(prices={"SEATS": "price_1"})
    assert found(rules, catalog(product(), price()), quote("006A", "price_1")) == ()
    assert catalog_findings(rules, {}, {}, today=TODAY) == ()
    assert found(rules, catalog(product())) == (), "products came in, and prices are still on their way"


def test_a_price_that_many_quote_is_one_finding() -> None:
    quotes = [quote(f"006{number}", "price_1") for number in range(5)]
    (one,) = found(charter(), catalog(product(), price(active=False)), *quotes)
    assert one.problem.startswith("0060, 0061, 0062 and 2 more would be opened")


@pytest.mark.parametrize(
    ("names", "active", "told"),
    [
        (("Pro", "pro "), True, True),
        (("Pro  Plan", "PRO PLAN"), True, True),
        (("Pro", "Pro"), False, False),
        (("Pro", "Pro 2"), True, False),
        (("", " "), True, False),
    ],
)
def test_two_products_of_one_name(names: tuple[str, str], active: bool, told: bool) -> None:
    held = catalog(product(names[0]), product(names[1], external_id="prod_2", active=active))
    problems = [one.problem for one in found(charter(), held)]
    assert bool(problems) is told
    assert all("prod_1, prod_2" in one for one in problems)


@pytest.mark.parametrize(
    ("ledger", "where"),
    [
        ({"rows": _ROWS}, []),
        ({"rows": _ROWS[:1]}, ["billing:product/prod_1"]),
        ({"rows": [_ROWS[1], {"role": "revenue", "account": "4001", "product": "prod_1"}]}, []),
        ({"rows": [_ROWS[1], {"role": "revenue", "account": "4001", "product": "prod_2"}]},
         ["billing:product/prod_1", "ledger.legal_entities.DE.rules[1].product"]),
        ({"rows": [_ROWS[1], {"role": "revenue", "account": "4000", "until_on": "2026-03-01"}]},
         ["billing:product/prod_1"]),
        ({"rows": [_ROWS[1], {"role": "revenue", "account": "9999"}]}, ["billing:product/prod_1"]),
        ({"rows": [_ROWS[0], {"role": "deferred_revenue", "account": "2300", "tax_code": "VAT"}]}, []),
        ({"products": {"prod_9": "day"}}, ["ledger.products.prod_9"]),
        ({"services": {"prod_9": "usage"}}, ["ledger.services.prod_9"]),
        ({"bundles": [{"product": "prod_9", "parts": {"a": "1", "b": "1"}}]}, ["ledger.bundles[0].product"]),
        ({"bundles": [{"product": "prod_1", "parts": {"a": "1", "b": "1"}}]}, []),
        ({"bundles": [{"product": "prod_1", "parts": {"a": "1", "b": "1"}}],
          "rows": [_ROWS[1], {"role": "revenue", "account": "4000", "product": "a"}]}, ["billing:product/prod_1"]),
    ],
)  # fmt: skip
def test_a_product_the_books_do_not_know_how_to_post(ledger: dict[str, Any], where: list[str]) -> None:
    told = found(charter(**ledger), catalog(product(), price()))
    assert [one.where for one in told] == where
    assert all(one.remedy and one.problem for one in told)


def test_what_is_billed_by_use_has_to_be_earned_by_use() -> None:
    held = catalog(product(), price(metered=True))
    (one,) = found(charter(products={}), held)
    assert (one.where, one.severity) == ("ledger.services.prod_1", Severity.WARNING)
    assert found(charter(services={"prod_1": "usage"}), held) == ()
    assert found(charter(products={}), catalog(product(), price(metered=True, active=False))) == ()


@given(name=st.none() | st.text(max_size=5), active=st.none() | st.booleans(), deleted=st.booleans())
def test_what_a_product_says_of_itself(name: str | None, active: bool | None, deleted: bool) -> None:
    one = Product(external_id="prod_1", name=name, active=active, deleted=deleted)
    facts = product_facts(one)
    assert ("name" in facts) is (name is not None)
    assert ("active" in facts) is (deleted or active is not None), "what nobody said is never written over a value"
    assert facts.get("active", True) is is_sold(one)
