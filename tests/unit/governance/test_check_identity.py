"""The identity part: what would make wrong records is refused with its place and its remedy."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from accordant.canonical.charter import (
    Charter,
    CustomerModel,
    FieldPart,
    IdentityPart,
    MappingPart,
    Phase,
    SeveralCustomers,
)
from accordant.canonical.matching import Rung
from accordant.canonical.refs import EntityKind
from accordant.governance.charter import check_charter
from accordant.governance.findings import Severity
from tests.unit.governance.company import CONNECTORS, charter

Change = Callable[[Charter], Charter]


def with_part(**settings: object) -> Change:
    return lambda given: msgspec.structs.replace(given, identity=IdentityPart(**settings))  # type: ignore[arg-type]


def found(change: Change) -> set[tuple[str, Severity]]:
    defects = check_charter(change(charter()), connectors=CONNECTORS)
    return {(one.where, one.severity) for one in defects if one.where.startswith("identity")}


def test_the_shortest_part_is_good() -> None:
    assert found(with_part()) == set()


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (with_part(rungs=(Rung.NAME,)), "identity.rungs[0]"),
        (with_part(rungs=(Rung.EMAIL, Rung.NAME_AND_PLACE)), "identity.rungs[1]"),
        (with_part(rungs=(Rung.EMAIL, Rung.EMAIL)), "identity.rungs[1]"),
        (with_part(model=CustomerModel.B2C, rungs=(Rung.DOMAIN_AND_NAME,)), "identity.rungs[0]"),
        (with_part(link_name_min=69), "identity.link_name_min"),
        (with_part(link_name_min=101), "identity.link_name_min"),
        (with_part(review_name_min=0), "identity.review_name_min"),
        (with_part(flag_name_below=-1), "identity.flag_name_below"),
        (with_part(several_customers=SeveralCustomers.PARENT_CHILD), "identity.several_customers"),
        (with_part(systems=("nowhere",)), "identity.systems[0]"),
        (with_part(references={"nowhere": "id"}), "identity.references.nowhere"),
        (with_part(references={"crmbox": " "}), "identity.references.crmbox"),
        (with_part(fields={"nowhere": {}}), "identity.fields.nowhere"),
    ],
    ids=[
        "name",
        "name-and-place",
        "named-twice",
        "people-by-domain",
        "score-too-low",
        "score-too-high",
        "review-too-low",
        "flag-negative",
        "parent-child",
        "unknown-system",
        "unknown-reference",
        "empty-reference",
        "unknown-fields",
    ],
)
def test_what_cannot_work_is_refused(change: Change, where: str) -> None:
    assert found(change) == {(where, Severity.ERROR)}


def apart(given: Charter, **field: str) -> Charter:
    """The charter with customers kept apart, and the field that leads up as it is given."""
    up = {"source": "parent", "type": "lookup", "lookup_object": "Company", "lookup_key": "billing_id", **field}
    part = msgspec.convert(up, FieldPart)

    def with_field(mapping: MappingPart) -> MappingPart:
        up_to = {"lookup_object": mapping.object, "lookup_key": mapping.key_field} if not field else {}
        one = msgspec.structs.replace(part, **up_to)
        fields = {**mapping.fields, "Parent": one}
        return msgspec.structs.replace(mapping, fields=fields) if mapping.entity is EntityKind.ACCOUNT else mapping

    mappings = {name: tuple(with_field(one) for one in parts) for name, parts in given.mappings.items()}
    identity = IdentityPart(several_customers=SeveralCustomers.PARENT_CHILD)
    return msgspec.structs.replace(given, mappings=mappings, identity=identity)


def may_write(given: Charter) -> Charter:
    flows = tuple(
        msgspec.structs.replace(one, write_fields=(*one.write_fields, "Parent"))
        if one.entity is EntityKind.ACCOUNT
        else one
        for one in given.flows
    )
    return msgspec.structs.replace(given, flows=flows)


def test_customers_are_kept_apart_where_a_field_leads_up_and_may_be_written() -> None:
    assert found(lambda given: may_write(apart(given))) == set()


@pytest.mark.parametrize(
    "field",
    [{"lookup_object": "Elsewhere"}, {"lookup_key": "other_key"}, {"source": "external_id"}],
    ids=["another object", "another key", "another fact"],
)
def test_a_field_that_leads_elsewhere_does_not_lead_up(field: dict[str, str]) -> None:
    assert ("identity.several_customers", Severity.ERROR) in found(lambda given: may_write(apart(given, **field)))


def test_a_field_that_leads_up_has_to_be_written_where_the_flow_writes() -> None:
    def writing(given: Charter) -> Charter:
        flows = tuple(msgspec.structs.replace(one, phase=Phase.CONTROLLED) for one in given.flows)
        return msgspec.structs.replace(apart(given), flows=flows)

    assert found(writing) == {("identity.several_customers", Severity.ERROR)}
    assert found(lambda given: may_write(writing(given))) == set()


def test_a_person_stands_below_nobody() -> None:
    part = with_part(model=CustomerModel.B2C, several_customers=SeveralCustomers.PARENT_CHILD)
    assert ("identity.several_customers", Severity.ERROR) in found(part)


def test_a_target_that_cannot_be_searched_is_named() -> None:
    blind = CONNECTORS | {"crmbox": msgspec.structs.replace(CONNECTORS["crmbox"], matchable=frozenset())}
    defects = check_charter(with_part()(charter()), connectors=blind)
    (one,) = [one for one in defects if one.where == "identity"]
    assert "cannot search" in one.problem
