"""Every event type that is understood, fixture by fixture: manifest, table, fixtures and expected answers agree.

The fixtures of 2026-10-28.endive are built on Stripe's own example objects; those of 2024-04-10 are valid by its
document.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

import accordant.connectors.stripe as package
from accordant.canonical.observations import Interpreted, Observation
from accordant.connectors.sdk.manifest import load_manifest
from accordant.connectors.stripe.inbound import HANDLERS, StripeInbound

HERE = Path(__file__).parent
FIXTURES = sorted((HERE / "fixtures").glob("*.json"))
INBOUND = StripeInbound(live=False)
# Old fixtures whose object is no whole object of that version on purpose.
PARTIAL = frozenset({"refund.created__charge_expanded"})


def fixture(name: str) -> bytes:
    return (HERE / "fixtures" / f"{name}.json").read_bytes()


def interpreted(name: str) -> Interpreted:
    said = INBOUND.interpret(system="billing", body=fixture(name))
    assert isinstance(said, Interpreted), said
    return said


def observed(name: str) -> Observation:
    return interpreted(name).observations[0]


def test_manifest_table_and_fixtures_name_the_same_types() -> None:
    manifest = load_manifest(Path(package.__file__).parent)
    assert manifest.inbound is not None
    listed = set(manifest.inbound.events)
    assert listed == set(HANDLERS)
    assert listed == {path.name.split("__")[0] for path in FIXTURES}
    assert {path.name for path in FIXTURES} == {path.name for path in (HERE / "expected").glob("*.json")}


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_each_fixture_says_what_is_expected(path: Path) -> None:
    body = path.read_bytes()
    said = INBOUND.interpret(system="billing", body=body)
    told = json.loads(msgspec.json.encode(said))
    assert told.pop("sightings", []) == []  # it holds no record of ours
    assert told == json.loads((HERE / "expected" / path.name).read_bytes())
    assert said == INBOUND.interpret(system="billing", body=body)


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_each_envelope_agrees_with_its_interpretation(path: Path) -> None:
    body = path.read_bytes()
    event = json.loads(body)
    envelope = INBOUND.read_envelope(body)
    assert (envelope.external_id, envelope.event_type) == (event["id"], event["type"])
    assert envelope.occurred_at.timestamp() == event["created"]
    assert envelope.defect is None
    said = INBOUND.interpret(system="billing", body=body)
    for observation in said.observations if isinstance(said, Interpreted) else ():
        assert envelope.lane == f"{observation.root.object_type}/{observation.root.id}"


STEMS = frozenset(path.stem for path in FIXTURES)
KINDS = sorted({stem.split("__")[0] for stem in STEMS})
BOTH = [kind for kind in KINDS if {f"{kind}__current", f"{kind}__2024_04_10"} <= STEMS]


@pytest.mark.parametrize("kind", [kind for kind in BOTH if kind != "charge.refunded"])
def test_an_object_is_the_same_entity_in_both_versions(kind: str) -> None:
    new, old = observed(f"{kind}__current").entity, observed(f"{kind}__2024_04_10").entity
    # What one of the versions does not say at all: a charge its invoice, a refund its customer.
    unsaid: dict[str, Any] = {
        name: None for name in ("invoice_id", "customer_id") if getattr(new, name, "") != getattr(old, name, "")
    }
    assert set(unsaid) <= {"invoice_id"} or kind.startswith(("refund.", "charge.refund."))
    assert msgspec.structs.replace(new, **unsaid) == msgspec.structs.replace(old, **unsaid)


@pytest.mark.parametrize("kind", [kind for kind in BOTH if kind != "charge.refunded"])
def test_a_change_is_the_same_business_event_in_both_versions(kind: str) -> None:
    new, old = interpreted(f"{kind}__current"), interpreted(f"{kind}__2024_04_10")
    assert [event.id for event in new.business_events] == [event.id for event in old.business_events]


@pytest.mark.contracts
@pytest.mark.parametrize(
    "path",
    [path for path in FIXTURES if b'"2024-04-10"' in path.read_bytes() and path.stem not in PARTIAL],
    ids=lambda path: path.stem,
)
def test_fixtures_of_the_old_version_are_valid_by_stripe_s_document(path: Path, contracts: Path) -> None:
    from accordant.testing.contracts import load_specification

    specification = load_specification(contracts / "stripe" / "spec3-2024-04-10.json.gz")
    part = json.loads(path.read_bytes())["data"]["object"]
    assert specification.check_schema(part["object"], part) == ()
