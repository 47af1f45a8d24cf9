"""Where a target differs from what a mapping needs, and what of the mapping still works."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from accordant.canonical.charter import FieldPart, FieldType, MappingPart
from accordant.canonical.refs import EntityKind
from accordant.canonical.shapes import DescribedField, DriftKind, SeenShape
from accordant.mapping.fitting import Fitted, find_drift, fit

TEXT = frozenset({FieldType.TEXT})
AMOUNT = frozenset({FieldType.CURRENCY})
MAPPING = MappingPart(
    entity=EntityKind.ACCOUNT,
    object="Account",
    key_field="Key__c",
    fields={
        "Name": FieldPart(source="name", length=255, truncate=True),
        "Site": FieldPart(path="metadata.site"),
        "Status__c": FieldPart(source="status", values={"active": "Active", "paused": "Paused"}),
        "MRR__c": FieldPart(source="mrr", type=FieldType.CURRENCY),
        "Parent__c": FieldPart(
            source="external_id", type=FieldType.LOOKUP, lookup_object="Account", lookup_key="Key__c"
        ),
    },
)


def described(name: str, kind: str = "string", holds: frozenset[FieldType] = TEXT, **more: object) -> DescribedField:
    held = DescribedField(
        name=name, type=kind, writable=True, external_id=False, length=None, picklist=None, holds=holds
    )
    return msgspec.structs.replace(held, **more)


FITTING = {
    "Key__c": described("key__C", external_id=True, length=255),
    "Name": described("Name", length=255),
    "Site": described("Site", length=80),
    "Status__c": described("Status__c", "picklist", picklist=("Active", "Paused", "Old"), length=255),
    "MRR__c": described("MRR__c", "currency", AMOUNT, places=2, digits=16),
    "Parent__c": described("Parent__c", "reference", frozenset({FieldType.LOOKUP}), refers_to=("Account", "Contact")),
}


def with_field(name: str, **more: object) -> tuple[DescribedField, ...]:
    return tuple((FITTING | {name: msgspec.structs.replace(FITTING[name], **more)}).values())


def fitted(*fields: DescribedField) -> Fitted:
    at = datetime(2026, 3, 14, tzinfo=UTC)
    return fit(MAPPING, SeenShape(system="crm", object="Account", fields=fields, digest="", seen_at=at))


def test_a_target_that_fits_has_no_drift_and_texts_without_a_length_get_its_own() -> None:
    assert find_drift(MAPPING, tuple(FITTING.values())) == ()
    found = fitted(*FITTING.values())
    assert (found.withheld, found.stopped) == ({}, "")
    assert found.mapping.fields["Site"].length == 80
    assert found.mapping.fields["Name"] == MAPPING.fields["Name"]


def test_before_anybody_has_asked_nothing_is_held() -> None:
    assert fit(MAPPING, None) == Fitted(mapping=MAPPING, withheld={}, stopped="")


@pytest.mark.parametrize(
    ("name", "change", "kind"),
    [
        ("Name", {"holds": frozenset({FieldType.NUMBER}), "type": "double"}, DriftKind.RETYPED),
        ("Name", {"writable": False}, DriftKind.READ_ONLY),
        ("Parent__c", {"refers_to": ("Contact",)}, DriftKind.LEADS_ELSEWHERE),
    ],
)
def test_a_closed_field_is_left_out_alone(name: str, change: dict[str, object], kind: DriftKind) -> None:
    (drift,) = find_drift(MAPPING, with_field(name, **change))
    assert (drift.kind, drift.field) == (kind, name)
    assert drift.problem.startswith(f"Account.{name} ")
    found = fitted(*with_field(name, **change))
    assert found.withheld.keys() == {name}
    assert found.mapping.fields.keys() == MAPPING.fields.keys() - {name}
    assert found.stopped == ""


def test_a_missing_field_is_left_out_alone() -> None:
    fields = tuple(field for name, field in FITTING.items() if name != "MRR__c")
    assert [one.kind for one in find_drift(MAPPING, fields)] == [DriftKind.FIELD_MISSING]
    assert fitted(*fields).withheld.keys() == {"MRR__c"}


@pytest.mark.parametrize(
    ("name", "change", "kind", "part"),
    [
        ("Name", {"length": 80}, DriftKind.TOO_SHORT, {"length": 80, "truncate": False}),
        ("MRR__c", {"places": 0}, DriftKind.TOO_FEW_PLACES, {"places": 0}),
        ("Status__c", {"picklist": ("Active",)}, DriftKind.VALUE_MISSING, {"values": {"active": "Active"}}),
        ("Status__c", {"picklist": ()}, DriftKind.VALUE_MISSING, {"values": {"": ""}}),
    ],
)
def test_a_narrower_field_is_as_narrow_in_the_mapping(
    name: str, change: dict[str, object], kind: DriftKind, part: dict[str, object]
) -> None:
    assert [one.kind for one in find_drift(MAPPING, with_field(name, **change))] == [kind]
    found = fitted(*with_field(name, **change))
    assert (found.withheld, found.stopped) == ({}, "")
    assert found.mapping.fields[name] == msgspec.structs.replace(MAPPING.fields[name], **part)


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"external_id": False}, DriftKind.NO_EXTERNAL_ID),
        ({"holds": AMOUNT}, DriftKind.RETYPED),
        ({"writable": False}, DriftKind.READ_ONLY),
    ],
)
def test_without_its_key_nothing_is_written(change: dict[str, object], kind: DriftKind) -> None:
    (drift,) = find_drift(MAPPING, with_field("Key__c", **change))
    assert (drift.kind, drift.field) == (kind, "Key__c")
    assert drift.problem in fitted(*with_field("Key__c", **change)).stopped


def test_a_missing_key_or_object_stops_everything() -> None:
    fields = tuple(field for name, field in FITTING.items() if name != "Key__c")
    assert "Account.Key__c is missing" in fitted(*fields).stopped
    (drift,) = find_drift(MAPPING, None)
    assert (drift.kind, drift.field) == (DriftKind.OBJECT_MISSING, None)


def test_a_field_that_must_be_filled_and_is_not_mapped_is_told_and_holds_nothing() -> None:
    fields = (
        *FITTING.values(),
        described("Legal__c", required=True),
        described("Auto__c", required=True, writable=False),
    )
    assert [(one.kind, one.field) for one in find_drift(MAPPING, fields)] == [(DriftKind.REQUIRED, "Legal__c")]
    assert fitted(*fields) == fitted(*FITTING.values())


def test_a_group_stands_for_every_field_of_it_and_for_no_other() -> None:
    """Where a target takes fields of any name, it cannot list them: none of them is missing."""
    fields = {"metadata.site": FieldPart(path="metadata.site", length=600), "metadata": FieldPart(source="name")}
    mapping = msgspec.structs.replace(MAPPING, key_field="Metadata.key", fields=fields)
    group = described("metadata.*", external_id=True, length=500)
    drift = {(one.kind, one.field) for one in find_drift(mapping, [group])}
    assert drift == {(DriftKind.TOO_SHORT, "metadata.site"), (DriftKind.FIELD_MISSING, "metadata")}
    at = datetime(2026, 3, 14, tzinfo=UTC)
    fitted = fit(mapping, SeenShape(system="billing", object="customer", fields=(group,), digest="", seen_at=at))
    assert fitted.mapping.fields["metadata.site"].length == 500
    assert (fitted.stopped, sorted(fitted.withheld)) == ("", ["metadata"])
