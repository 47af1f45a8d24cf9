"""The registry: a folder with a manifest is a connector, and one that is not there is named with what there is."""

from __future__ import annotations

from pathlib import Path

import pytest

import accordant.connectors
from accordant.connectors import registry
from accordant.connectors.sdk.manifest import MANIFEST_NAME
from accordant.governance.phases import Tier
from accordant.kernel.errors import ConfigurationError


def test_every_folder_with_a_manifest_is_a_connector_and_nothing_else_is() -> None:
    root = Path(accordant.connectors.__path__[0])
    folders = {folder.name for folder in root.iterdir() if (folder / MANIFEST_NAME).is_file()}
    assert set(registry.installed()) == folders
    assert folders >= {"stripe", "salesforce"}
    assert "sdk" not in folders


WITH_CODE = sorted(name for name, one in registry.installed().items() if one.manifest.declared is None)


@pytest.mark.parametrize("name", WITH_CODE)
def test_a_connector_offers_what_its_manifest_declares(name: str) -> None:
    connector = registry.installed()[name]
    manifest = connector.manifest
    assert manifest.name == name
    assert isinstance(connector.tier, Tier)
    assert (connector.inbound is not None) is (manifest.inbound is not None)
    assert (connector.inbound is None) is (connector.webhook_secrets is None)
    assert (connector.reader is not None) or not any(part.listed for part in manifest.reads) or connector.outbound
    assert (connector.outbound is not None) is bool(manifest.writes)
    facts = registry.facts_of(connector)
    assert facts.required <= facts.settings
    assert facts.secret <= facts.settings
    assert facts.is_target is (connector.outbound is not None)
    assert facts.signing is None or facts.signing in facts.settings


@pytest.mark.parametrize("name", ["", "Stripe", "sdk", "../stripe", "sage"])
def test_one_that_is_not_installed_is_named_with_its_place_and_what_there_is(name: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        registry.connector(name, where="systems.billing")
    assert "systems.billing" in refused.value.message
    assert repr(name) in refused.value.message
    for installed in registry.installed():
        assert installed in refused.value.remedy


def test_an_installed_one_is_found() -> None:
    assert registry.connector("stripe", where="systems.stripe") is registry.installed()["stripe"]
