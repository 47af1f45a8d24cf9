"""Entity and fact lead to one system of record."""

from accordant.canonical.refs import EntityKind
from accordant.governance.ownership import OwnershipMatrix
from tests.unit.governance.company import charter, raw


def test_an_exception_owns_its_fact_and_nothing_else() -> None:
    source = raw()
    source["ownership"][0]["fields"] = {"name": "crm"}
    owners = OwnershipMatrix.from_charter(charter(source))
    assert owners.owner_of(EntityKind.ACCOUNT, "name") == "crm"
    assert owners.owner_of(EntityKind.ACCOUNT, "mrr") == "billing"
    assert owners.owner_of(EntityKind.SUBSCRIPTION, "name") == "billing"
    assert owners.owner_of(EntityKind.INVOICE, "total") is None
    assert owners.owned_by("billing") == (EntityKind.ACCOUNT, EntityKind.SUBSCRIPTION)
    assert owners.owned_by("crm") == ()
