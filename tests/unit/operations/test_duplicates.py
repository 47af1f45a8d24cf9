"""Duplicates are found by what links a customer, never by a name; the record with most customers is to be kept."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from accordant.canonical.charter import IdentityPart
from accordant.canonical.matching import Candidate
from accordant.identity.ladder import Ladder
from accordant.operations.duplicates import DuplicateGroup, find_duplicates

LADDER = Ladder.of(IdentityPart())


def a_record(record_id: str, name: str = "Acme", **known: tuple[str, ...] | bool) -> Candidate:
    fields = {"system": "crm", "object": "Account", "id": record_id, "name": name, **known}
    return Candidate(**fields)  # type: ignore[arg-type]


def find(*records: Candidate, customers: dict[str, int] | None = None) -> list[tuple[str, list[str]]]:
    found = find_duplicates([records], ladder=LADDER, customers=customers or {})
    return [(group.survivor.id, [one.record.id for one in group.others]) for group in found]


def test_one_mailbox_is_one_company() -> None:
    one, two = (a_record(name, emails=("ada@acme-robotics.com",)) for name in ("001", "002"))
    assert find(one, two) == [("001", ["002"])]
    (group,) = find_duplicates([(one, two)], ladder=LADDER, customers={})
    assert isinstance(group, DuplicateGroup)
    assert "e-mail ada@acme-robotics.com" in group.others[0].because


def test_a_name_alone_and_a_public_mailbox_provider_make_no_duplicate() -> None:
    assert find(a_record("001"), a_record("002")) == []
    assert find(a_record("001", emails=("a@gmail.com",)), a_record("002", emails=("b@gmail.com",))) == []


def test_what_is_the_same_as_the_same_is_one_group_and_most_customers_decide() -> None:
    one = a_record("001", emails=("ada@acme-robotics.com",))
    two = a_record("002", emails=("ada@acme-robotics.com", "bob@acme-robotics.com"))
    three = a_record("003", emails=("bob@acme-robotics.com",))
    assert find(three, one, two) == [("001", ["002", "003"])]
    assert find(one, two, three, customers={"003": 2, "002": 1}) == [("003", ["002", "001"])]


def test_what_is_gone_is_no_duplicate() -> None:
    mail = ("ada@acme-robotics.com",)
    assert find(a_record("001", emails=mail), a_record("002", emails=mail, deleted=True)) == []
    assert find(a_record("001", emails=mail), a_record("new:cus_1", emails=mail)) == []


@given(st.permutations([a_record(f"00{n}", emails=(f"p{n // 2}@acme-robotics.com",)) for n in range(6)]))
def test_the_order_of_records_changes_nothing(records: list[Candidate]) -> None:
    assert find(*records) == find(*sorted(records, key=lambda one: one.id))
