"""The identity part: what would make wrong records is refused with its place and its remedy."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from accordant.canonical.charter import Charter, CustomerModel, IdentityPart, SeveralCustomers
from accordant.canonical.matching import Rung
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


def test_a_target_that_cannot_be_searched_is_named() -> None:
    blind = CONNECTORS | {"crmbox": msgspec.structs.replace(CONNECTORS["crmbox"], matchable=frozenset())}
    defects = check_charter(with_part()(charter()), connectors=blind)
    (one,) = [one for one in defects if one.where == "identity"]
    assert "cannot search" in one.problem
