"""Every reference has one entity, named the same everywhere."""

import pytest

from accordant.canonical.refs import EntityKind, EntityRef, ExternalRef
from accordant.identity.resolve import PREFIX_OF_KIND, Created, Linked, resolve
from accordant.kernel.errors import InvariantBroken
from accordant.kernel.ids import EntityId

REF = ExternalRef("billing", "customer", "cus_1")


def test_the_crosswalk_answers_first() -> None:
    known = EntityRef(EntityKind.ACCOUNT, EntityId("acc_by_hand"))
    assert resolve(REF, {REF: known}, EntityKind.ACCOUNT) == Linked(known)


def test_what_nobody_knows_is_created_with_its_link() -> None:
    found = resolve(REF, {}, EntityKind.ACCOUNT)
    assert isinstance(found, Created)
    assert found.link == REF
    assert found.entity.kind is EntityKind.ACCOUNT
    assert found.entity.id.startswith("acc_")
    assert resolve(REF, {}, EntityKind.ACCOUNT) == found
    assert resolve(REF, {REF: found.entity}, EntityKind.ACCOUNT) == Linked(found.entity)


@pytest.mark.parametrize(
    "other",
    [
        ExternalRef("billing2", "customer", "cus_1"),
        ExternalRef("billing", "company", "cus_1"),
        ExternalRef("billing", "customer", "cus_2"),
    ],
)
def test_every_part_of_a_reference_counts(other: ExternalRef) -> None:
    assert resolve(other, {}, EntityKind.ACCOUNT).entity != resolve(REF, {}, EntityKind.ACCOUNT).entity


def test_an_object_is_never_two_kinds_of_thing() -> None:
    known = EntityRef(EntityKind.PAYMENT, EntityId("pay_1"))
    with pytest.raises(InvariantBroken, match=r"billing:customer/cus_1 is payment/pay_1"):
        resolve(REF, {REF: known}, EntityKind.ACCOUNT)


def test_every_kind_has_a_prefix_of_its_own() -> None:
    assert set(PREFIX_OF_KIND) == set(EntityKind)
    assert len(set(PREFIX_OF_KIND.values())) == len(EntityKind)
