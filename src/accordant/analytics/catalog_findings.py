"""Where what is sold and what is said about it come apart: the charter, the books, and what sales has in its quotes.

Pure: what was read goes in, findings come out, each with its place and the next step. `views/catalog.py` reads.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import date

import msgspec

from accordant.analytics.catalog import is_sold
from accordant.canonical.books import LedgerPart, Role, ServiceKind
from accordant.canonical.charter import Charter
from accordant.canonical.deals import Opportunity
from accordant.canonical.entities import Price, Product
from accordant.canonical.refs import EntityKind
from accordant.governance.findings import Severity, place
from accordant.ledger.chart import Chart, RowMissing, Use
from accordant.ledger.setting import chart_of

#: What every bill of a product is posted to, sooner or later.
_ROLES = (Role.DEFERRED_REVENUE, Role.REVENUE)
_SHOWN_MAX = 3


class CatalogFinding(msgspec.Struct, frozen=True, kw_only=True):
    """One disagreement. ``where`` is a place in the charter or an object by its owner's name; an error is a no-go."""

    where: str
    problem: str
    remedy: str
    severity: Severity = Severity.ERROR


class Catalog(msgspec.Struct, frozen=True, kw_only=True):
    """What one billing system sells, and sold: products and prices by its own ids."""

    system: str
    products: dict[str, Product]
    prices: dict[str, Price]

    @property
    def sold(self) -> dict[str, Product]:
        """The products that can be sold."""
        return {name: one for name, one in self.products.items() if is_sold(one)}

    def why_unsold(self, price_id: str) -> str | None:
        """What is wrong with selling a price, as the end of a sentence; None where it can be sold."""
        price = self.prices.get(price_id)
        if price is None:
            return f"{self.system} has no such price"
        if not is_sold(price):
            return f"it is {_gone(price)} in {self.system}"
        product = self.products.get(price.product_id or "")
        if product is not None and not is_sold(product):
            return f"its product {product.name or product.external_id} is {_gone(product)} in {self.system}"
        return None


def _gone(one: Product | Price) -> str:
    return "deleted" if one.deleted else "archived"


def catalog_findings(
    charter: Charter,
    catalogs: Mapping[str, Catalog],
    waiting: Mapping[str, Iterable[Opportunity]],
    *,
    today: date,
) -> tuple[CatalogFinding, ...]:
    """Everything that disagrees. ``catalogs`` is by billing system; of one that was never heard nothing is said.

    ``waiting`` is by flow: the opportunities that may still become a subscription by it.
    """
    found = [*_price_maps(charter, catalogs), *_quotes(charter, catalogs, waiting)]
    for catalog in catalogs.values():
        found += _namesakes(catalog)
        if charter.ledger is not None and catalog.system in charter.ledger.systems:
            found += _postings(charter.ledger, catalog, today)
    if charter.ledger is not None and charter.ledger.systems.keys() <= catalogs.keys():
        found += _names_in_books(charter.ledger, [catalogs[system] for system in charter.ledger.systems])
    return tuple(found)


def _price_maps(charter: Charter, catalogs: Mapping[str, Catalog]) -> Iterator[CatalogFinding]:
    """What a charter lets sales sell and billing does not."""
    for index, flow in enumerate(charter.flows):
        catalog = catalogs.get(flow.target)
        for code, price_id in flow.prices.items() if catalog is not None and catalog.prices else ():
            why = catalog.why_unsold(price_id) if catalog is not None else None
            if why is not None:
                yield CatalogFinding(
                    where=place("flows", index, "prices", code),
                    problem=f"{flow.name} would sell {code} at the price {price_id}, and {why}.",
                    remedy=f"Name a price that {flow.target} sells, or take {code} out.",
                )


def _quotes(
    charter: Charter, catalogs: Mapping[str, Catalog], waiting: Mapping[str, Iterable[Opportunity]]
) -> Iterator[CatalogFinding]:
    """What sales has in its quotes and billing sells no more: one finding a price, with who quotes it."""
    for flow in charter.flows:
        catalog = catalogs.get(flow.target)
        if flow.entity is not EntityKind.OPPORTUNITY or catalog is None or not catalog.prices:
            continue
        quoted: dict[str, list[str]] = {}
        for one in sorted(waiting.get(flow.name, ()), key=lambda one: one.external_id):
            # What the charter's own map leads to is told at its place there.
            for price_id in dict.fromkeys(line.price_id for line in one.lines if line.price_id):
                quoted.setdefault(price_id, []).append(one.external_id)
        for price_id, ids in sorted(quoted.items()):
            why = catalog.why_unsold(price_id)
            if why is not None:
                more = f" and {len(ids) - _SHOWN_MAX} more" if len(ids) > _SHOWN_MAX else ""
                yield CatalogFinding(
                    where=f"{flow.source}:Opportunity/{ids[0]}",
                    problem=f"{', '.join(ids[:_SHOWN_MAX])}{more} would be opened at the price {price_id}, and {why}.",
                    remedy=f"Put another price into the lines in {flow.source}; {flow.target} would refuse this one.",
                    severity=Severity.WARNING,
                )


def _namesakes(catalog: Catalog) -> Iterator[CatalogFinding]:
    """Two products that people cannot tell apart, in a list of the CRM or on an invoice."""
    by_name: dict[str, list[Product]] = {}
    for one in catalog.sold.values():
        if one.name is not None and one.name.strip():
            by_name.setdefault(" ".join(one.name.casefold().split()), []).append(one)
    for same in by_name.values():
        if len(same) > 1:
            ids = sorted(one.external_id for one in same)
            yield CatalogFinding(
                where=f"{catalog.system}:product/{ids[1]}",
                problem=f"{len(ids)} products are sold under the name {same[0].name}: {', '.join(ids)}.",
                remedy=f"Archive what is no longer sold in {catalog.system}, or give each a name of its own.",
                severity=Severity.WARNING,
            )


def _postings(part: LedgerPart, catalog: Catalog, today: date) -> Iterator[CatalogFinding]:
    """Products whose bills would be held: no row takes their revenue, or nobody said how they are earned."""
    name = part.systems[catalog.system]
    entity = part.legal_entities.get(name)
    if entity is None:
        return  # the check of the charter says so
    chart = chart_of(name, entity)
    by_use = {
        one.product_id for one in catalog.prices.values() if is_sold(one) and one.recurring and one.recurring.metered
    }
    for product_id, product in sorted(catalog.sold.items()):
        for role in _ROLES:
            missing = [one for one in _parts(part, product_id, today) if not _is_taken(chart, role, one, today)]
            if missing:
                yield CatalogFinding(
                    where=f"{catalog.system}:product/{product_id}",
                    problem=f"No row of {name} takes {role.value} of {product.name or product_id} ({missing[0]}):"
                    " its bills would be held.",
                    remedy=f"Add a row with role: {role.value} and product: {missing[0]} under"
                    f" {place('ledger', 'legal_entities', name, 'rules')}, or one without a product.",
                )
        if product_id in by_use and part.services.get(product_id) is not ServiceKind.USAGE:
            yield CatalogFinding(
                where=place("ledger", "services", product_id),
                problem=f"{product.name or product_id} is billed by use, and the books would earn it by time.",
                remedy=f"Add {product_id}: usage under ledger.services.",
                severity=Severity.WARNING,
            )


def _parts(part: LedgerPart, product_id: str, today: date) -> Iterable[str]:
    """What is posted where a product is: itself, or what it is made of."""
    rows = [one for one in part.bundles if one.product == product_id and one.holds_on(today)]
    return max(rows, key=lambda one: one.from_on or date.min).parts if rows else (product_id,)


def _is_taken(chart: Chart, role: Role, product_id: str, today: date) -> bool:
    """Whether a row takes it, under whatever tax code it is billed."""
    codes = {None, *(rule.tax_code for rule in chart.rules if rule.role is role)}
    answers = (chart.account_for(Use(role=role, product=product_id, tax_code=code), today) for code in codes)
    return any(not isinstance(answer, RowMissing) for answer in answers)


def _names_in_books(part: LedgerPart, catalogs: Iterable[Catalog]) -> Iterator[CatalogFinding]:
    """Products that the books have rules of their own for and nobody ever sold: the rule takes nothing."""
    known = {product_id for catalog in catalogs for product_id in catalog.products}
    known |= {piece for bundle in part.bundles for piece in bundle.parts}
    for where, product_id in _named(part):
        if known and product_id not in known:
            yield CatalogFinding(
                where=where,
                problem=f"The books have a rule of its own for {product_id}, and no billing system has such a product.",
                remedy="Correct the id, or take the rule out: what is sold is posted by the general one.",
                severity=Severity.WARNING,
            )


def _named(part: LedgerPart) -> Iterator[tuple[str, str]]:
    """Each product that the ledger part names, with its place."""
    for product_id in part.products:
        yield place("ledger", "products", product_id), product_id
    for product_id in part.services:
        yield place("ledger", "services", product_id), product_id
    for index, bundle in enumerate(part.bundles):
        yield place("ledger", "bundles", index, "product"), bundle.product
    for name, entity in part.legal_entities.items():
        for index, row in enumerate(entity.rules):
            if row.product is not None:
                yield place("ledger", "legal_entities", name, "rules", index, "product"), row.product
