"""What is sold in the stand-in: products, and the lines of an opportunity, which go where it goes and add up in it.
Guarantees that an opportunity with lines is worth their sum, and that a change of a line is a change of it too.
Next: simulator_records.py, which asks here after every write.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Protocol, TypeVar

from accordant.connectors.salesforce.simulator_fields import Field, Json
from accordant.connectors.salesforce.simulator_schema import SObject, new_object

OPPORTUNITY, LINE, PRODUCT = "Opportunity", "OpportunityLineItem", "Product2"


def sales_objects() -> list[SObject]:
    """Products and the lines of opportunities. Price books are left out: a line names its product itself."""
    product = new_object(PRODUCT, "Product", "01t")
    product.add(Field(name="Name", type="string", label="Product Name", length=255, required=True))
    product.add(Field(name="ProductCode", type="string", label="Product Code", length=255))
    product.add(Field(name="IsActive", type="boolean", label="Active", default=True))
    line = new_object(LINE, "Opportunity Product", "00k")
    line.remove("OwnerId")
    for name, leads_to in (("OpportunityId", OPPORTUNITY), ("Product2Id", PRODUCT)):
        relationship = name.removesuffix("Id")
        line.add(
            Field(
                name=name,
                type="reference",
                label=name,
                reference_to=leads_to,
                relationship=relationship,
                required=True,
            )
        )
    line.add(Field(name="Name", type="string", label="Opportunity Product Name", length=376, writable=False))
    line.add(Field(name="ProductCode", type="string", label="Product Code", length=255, writable=False))
    line.add(Field(name="Quantity", type="double", label="Quantity", precision=12, scale=2, required=True))
    line.add(Field(name="UnitPrice", type="currency", label="Sales Price", scale=2, required=True))
    line.add(Field(name="TotalPrice", type="currency", label="Total Price", scale=2, writable=False))
    line.add(Field(name="ServiceDate", type="date", label="Date"))
    return [product, line]


class Row(Protocol):
    """What has to be known of a record here."""

    object: SObject
    id: str
    values: dict[str, Json]
    deleted: bool


_Row = TypeVar("_Row", bound=Row)
#: Records by object and id.
Records = Mapping[str, Mapping[str, _Row]]


def derived(records: Records[_Row], record: _Row, cleaned: dict[str, Json]) -> dict[str, Json]:
    """What Salesforce itself sets of a line: its name and code by the product and the opportunity, and its total."""
    if record.object.name != LINE:
        return {}
    values = {**record.values, **cleaned}
    product = records[PRODUCT].get(str(values.get("Product2Id")))
    opportunity = records[OPPORTUNITY].get(str(values.get("OpportunityId")))
    names = [str(one.values.get("Name")) for one in (opportunity, product) if one is not None]
    return {
        "ProductCode": None if product is None else product.values.get("ProductCode"),
        "Name": " ".join(names) or None,
        "TotalPrice": _amount(values),
    }


def lines_of(records: Records[_Row], opportunity: _Row, *, deleted: bool = False) -> list[_Row]:
    """The lines of an opportunity, those in the recycle bin instead of the others where that is asked for."""
    return [
        one
        for one in records[LINE].values()
        if one.deleted is deleted and one.values.get("OpportunityId") == opportunity.id
    ]


def opportunity_of(records: Records[_Row], record: _Row) -> _Row | None:
    """The opportunity a line belongs to, while it is there; None for any other record."""
    if record.object.name != LINE:
        return None
    found = records[OPPORTUNITY].get(str(record.values.get("OpportunityId")))
    return None if found is None or found.deleted else found


def worth(records: Records[_Row], opportunity: _Row) -> Json:
    """What the lines of an opportunity add up to."""
    return sum((_amount(one.values) for one in lines_of(records, opportunity)), Decimal("0.00"))


def _amount(values: dict[str, Json]) -> Decimal:
    quantity, price = (Decimal(str(values.get(name) or 0)) for name in ("Quantity", "UnitPrice"))
    return (quantity * price).quantize(Decimal("0.01"))
