"""Fills the vocabulary of ``canonical.facts`` for a company and for an opportunity, with what billing has of them.

What the CRM states as empty is None; what depends on a system that was never heard is absent.
"""

from collections.abc import Iterable, Mapping

import msgspec

from accordant.analytics.facts import Facts
from accordant.analytics.standing import is_over
from accordant.canonical.deals import Company, Contact, Opportunity, OpportunityLine
from accordant.canonical.facts import Fact
from accordant.canonical.standing import Standing


class Billed(msgspec.Struct, frozen=True, kw_only=True):
    """What a billing system has of one company. ``customers`` are its ids there, the one that counts first."""

    customers: tuple[str, ...] = ()
    currencies: tuple[str, ...] = ()
    live_subscriptions: int = 0


def billed_of(parts: Iterable[tuple[str, str | None, Standing]]) -> Billed:
    """Of accounts, as (id, currency, standing)."""
    listed = sorted(parts, key=lambda part: part[0])
    return Billed(
        customers=tuple(name for name, _, _ in listed),
        currencies=tuple(dict.fromkeys(currency for _, currency, _ in listed if currency is not None)),
        live_subscriptions=sum(not is_over(one) for _, _, standing in listed for one in standing.subscriptions),
    )


def company_facts(
    company: Company, *, people: Iterable[Contact], opportunities: Iterable[Opportunity], billed: Billed
) -> Facts:
    """The facts of a company at one moment.

    ==================  ===============================================================================================
    email               where bills go, as the company says; else that of its people, where they all have the same one
    won_opportunities   won and still there
    billing_customer    its id at the billing system; None without one, and unknown where there are several
    live_subscriptions  of all its customers there: those that are not over
    ==================  ===============================================================================================
    """
    values: dict[str, Fact] = {
        "external_id": company.external_id,
        "parent": company.parent_id,
        "name": company.name,
        "email": company.email or _only(one.email for one in people if not one.deleted),
        "phone": company.phone,
        "website": company.website,
        "street": company.street,
        "city": company.city,
        "state": company.state,
        "postcode": company.postcode,
        "country": company.country,
        "industry": company.industry,
        "won_opportunities": sum(one.is_won and not one.deleted for one in opportunities),
        "deleted": company.deleted,
    }
    return Facts(values | _billing(billed))


def opportunity_facts(
    opportunity: Opportunity, *, company: Company | None, billed: Billed, prices: Mapping[str, str]
) -> Facts:
    """The facts of an opportunity at one moment; ``prices`` are those of the target, by product code.

    ``lines`` are spelled ``PRICE:QUANTITY`` with commas between, each price once, and unknown while one has no price;
    ``unpriced`` names those; None when there is none. The rest is as for a company.
    """
    priced = [(_price(line, prices), line) for line in opportunity.lines]
    missing = [line.product_code or line.name or line.external_id for price, line in priced if price is None]
    values: dict[str, Fact] = {
        "external_id": opportunity.external_id,
        "company": opportunity.company_id,
        "company_name": None if company is None else company.name,
        "name": opportunity.name,
        "stage": opportunity.stage,
        "is_won": opportunity.is_won,
        "is_closed": opportunity.is_closed,
        "close_on": opportunity.close_on,
        "amount": opportunity.amount,
        "currency": opportunity.currency,
        "starts_on": opportunity.starts_on,
        "term_months": opportunity.term_months,
        "line_count": len(opportunity.lines),
        "unpriced": ", ".join(dict.fromkeys(missing)) or None,
        "deleted": opportunity.deleted,
    }
    counted: dict[str, int] = {}
    for price, line in priced:
        if price is not None and line.quantity.isdecimal():
            counted[price] = counted.get(price, 0) + int(line.quantity)
        else:
            break
    else:
        values["lines"] = ",".join(f"{price}:{count}" for price, count in sorted(counted.items())) or None
    if len(billed.currencies) < 2:
        values["billing_currency"] = billed.currencies[0] if billed.currencies else None
    return Facts(values | _billing(billed))


def _billing(billed: Billed) -> dict[str, Fact]:
    told: dict[str, Fact] = {
        "billing_customers": len(billed.customers),
        "live_subscriptions": billed.live_subscriptions,
    }
    if len(billed.customers) < 2:
        told["billing_customer"] = billed.customers[0] if billed.customers else None
    return told


def _price(line: OpportunityLine, prices: Mapping[str, str]) -> str | None:
    return line.price_id or prices.get(line.product_code or "")


def _only(values: Iterable[str | None]) -> str | None:
    """The one value that is there; None where there are several."""
    found = {value for value in values if value}
    return found.pop() if len(found) == 1 else None
