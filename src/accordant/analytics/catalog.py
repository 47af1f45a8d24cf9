"""Fills the vocabulary of ``canonical.facts`` for what is sold, and says of a price whether it still is."""

from accordant.canonical.entities import Price, Product
from accordant.canonical.facts import Fact


def product_facts(product: Product) -> dict[str, Fact]:
    """The facts of a product. One that is deleted is not ``active``; what its owner did not say is absent."""
    values: dict[str, Fact] = {"external_id": product.external_id, "deleted": product.deleted}
    if product.name is not None:
        values["name"] = product.name
    if product.deleted or product.active is not None:
        values["active"] = is_sold(product)
    return values


def is_sold(one: Product | Price) -> bool:
    """Whether it can be sold; what the owner did not say speaks for it."""
    return not one.deleted and one.active is not False
