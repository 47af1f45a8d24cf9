"""Manifest and scorecard of the Stripe connector: readable, true to the code, and every proof they name exists."""

from __future__ import annotations

import re
from pathlib import Path

import accordant.connectors.stripe as package
from accordant.connectors.sdk.manifest import load_manifest, load_quality
from accordant.connectors.stripe import connector
from accordant.connectors.stripe.inbound import BUILDERS, HANDLERS
from accordant.connectors.stripe.reader import API_VERSION, COLLECTIONS

FOLDER = Path(package.__file__).parent
HERE = Path(__file__).parent


def test_the_manifest_says_what_the_code_does() -> None:
    manifest = load_manifest(FOLDER)
    assert manifest.name == FOLDER.name
    assert manifest.api_version == API_VERSION
    assert manifest.inbound is not None
    assert list(manifest.inbound.events) == sorted(HANDLERS)
    assert {item.name for item in manifest.reads} == set(COLLECTIONS) == set(BUILDERS)
    assert {item.name for item in manifest.settings} == connector.SETTINGS
    assert {item.name for item in manifest.settings if item.secret} == {"api_key", "webhook_secrets"}
    defaults = {item.name: item.default for item in manifest.settings if item.default}
    assert defaults == {"api_base": connector.API_BASE, "api_version": API_VERSION}
    assert manifest.limits.rate_per_s == connector.RATE_TEST_PER_S


def test_the_scopes_let_us_write_what_flows_and_nothing_else() -> None:
    manifest = load_manifest(FOLDER)
    writing = {scope for scope in manifest.auth.scopes if not scope.endswith(":read")}
    assert writing == {f"{COLLECTIONS[part.name]}:write" for part in manifest.writes}
    assert {part.name for part in manifest.writes} == {"customer", "subscription"}


def test_every_proof_the_scorecard_names_is_a_file() -> None:
    quality = load_quality(FOLDER)
    for rule, answer in (quality.bronze | quality.silver).items():
        for name in re.findall(r"[\w/]+\.(?:py|toml)", answer.reason):
            path = HERE.parents[2] / name if "/" in name else None
            found = path.is_file() if path else (HERE / name).is_file() or (FOLDER / name).is_file()
            assert found, f"{rule} names {name}"
    assert not any(proof.level == "real_system" for proof in quality.proved)
    assert quality.not_proved
