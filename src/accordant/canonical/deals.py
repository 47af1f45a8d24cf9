"""What a CRM says of its own: companies, the people in them, and what is being sold to them. None of it is money owed.

A company is not an account: an account is who pays, as billing knows it, and the crosswalk says which company it is.
"""

from datetime import date

import msgspec

from accordant.canonical.refs import EntityKind
from accordant.kernel.money import Money


class Company(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag=EntityKind.COMPANY.value):
    """A company as sales keeps it. ``parent_id`` is the company above it, by the CRM's own id.

    ``custom`` are the further fields that the connection reads, as text; one that is empty there is absent. A company
    that was merged is ``deleted`` and names the one that stands in ``merged_into``. ``owner_id`` is whose it is in
    sales.
    """

    external_id: str
    name: str | None = None
    email: str | None = None
    phone: str | None = None
    website: str | None = None
    street: str | None = None
    city: str | None = None
    state: str | None = None
    postcode: str | None = None
    country: str | None = None
    industry: str | None = None
    parent_id: str | None = None
    owner_id: str | None = None
    custom: dict[str, str] = {}
    deleted: bool = False
    merged_into: str | None = None


class Contact(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag=EntityKind.CONTACT.value):
    """A person at a company, as sales keeps them. ``company_id`` is None for one who belongs to none."""

    external_id: str
    company_id: str | None = None
    name: str | None = None
    email: str | None = None
    phone: str | None = None
    deleted: bool = False
    merged_into: str | None = None


class OpportunityLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of what is sold. ``quantity`` is a decimal string, as the CRM counts; ``price_id`` the billing price
    that the CRM itself names, where it does; ``unit_price`` is what sales agreed for one.
    """

    external_id: str
    product_id: str | None = None
    product_code: str | None = None
    name: str | None = None
    quantity: str = "1"
    unit_price: Money | None = None
    price_id: str | None = None


class Opportunity(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag=EntityKind.OPPORTUNITY.value):
    """A sale that may come. Won, it is what the customer signed: a contract, until billing runs it.

    ``stage`` is the CRM's word; ``close_on`` the day it is expected to be, or was, decided. ``starts_on`` and
    ``term_months`` are there where the connection reads them. ``amount`` may differ from the sum of the lines: sales
    may give one without any. ``owner_id`` is who sells it.
    """

    external_id: str
    company_id: str | None = None
    name: str | None = None
    stage: str | None = None
    is_won: bool = False
    is_closed: bool = False
    close_on: date | None = None
    amount: Money | None = None
    currency: str | None = None
    starts_on: date | None = None
    term_months: int | None = None
    owner_id: str | None = None
    lines: tuple[OpportunityLine, ...] = ()
    custom: dict[str, str] = {}
    deleted: bool = False
