"""Manifests and scorecards are read strictly: what is wrong is named, and no bronze rule goes unanswered."""

from __future__ import annotations

from pathlib import Path

import pytest

from accordant.connectors.sdk.manifest import BRONZE_RULES, ManifestInvalid, Standing, load_manifest, load_quality
from accordant.ports.connector import DestinationClass

MANIFEST = """
name = "acme"
title = "Acme"
category = "billing"
owner = "The Acme team"
docs = "https://docs.acme.example"
api_version = "1"
sandbox = true
[auth]
kind = "api_key"
[limits]
rate_per_s = 5
rate_per_s_max = 10
burst = 5
[[reads]]
name = "thing"
[[writes]]
name = "Thing"
natural_key = "external_id"
destination_class = "A"
"""


def test_a_manifest_is_read(tmp_path: Path) -> None:
    (tmp_path / "manifest.toml").write_text(MANIFEST)
    manifest = load_manifest(tmp_path)
    assert manifest.name == "acme"
    assert manifest.writes[0].destination_class is DestinationClass.NATIVE_UPSERT
    assert manifest.inbound is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("sandbox = true", ""), "sandbox"),
        (("sandbox = true", "sandbox = 1"), "sandbox"),
        (("sandbox = true", "sandbox = true\nfoo = 1"), "foo"),
        (('kind = "api_key"', 'kind = "password"'), "auth.kind"),
        (('destination_class = "A"', 'destination_class = "F"'), "destination_class"),
        (("rate_per_s = 5", "rate_per_s = 0.5"), "rate_per_s"),
        (("[auth]", "[auth"), "TOML"),
        (("[[writes]]", '[[reads]]\nname = "thing"\n[[writes]]'), "twice"),
    ],
)
def test_a_wrong_manifest_is_named(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    (tmp_path / "manifest.toml").write_text(MANIFEST.replace(*change))
    with pytest.raises(ManifestInvalid, match=said):
        load_manifest(tmp_path)


def test_a_connector_does_something(tmp_path: Path) -> None:
    (tmp_path / "manifest.toml").write_text(MANIFEST[: MANIFEST.index("[[reads]]")])
    with pytest.raises(ManifestInvalid, match="neither"):
        load_manifest(tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ManifestInvalid, match=r"manifest\.toml"):
        load_manifest(tmp_path)
    with pytest.raises(ManifestInvalid, match=r"quality\.toml"):
        load_quality(tmp_path)


def scorecard(rules: frozenset[str], answer: str = 'status = "done"') -> str:
    return "[bronze]\n" + "".join(f"{rule} = {{ {answer} }}\n" for rule in sorted(rules))


def test_a_scorecard_answers_every_bronze_rule(tmp_path: Path) -> None:
    (tmp_path / "quality.toml").write_text(scorecard(BRONZE_RULES))
    quality = load_quality(tmp_path)
    assert {answer.status for answer in quality.bronze.values()} == {Standing.DONE}
    (tmp_path / "quality.toml").write_text(scorecard(BRONZE_RULES - {"timeouts-set"}))
    with pytest.raises(ManifestInvalid, match="timeouts-set"):
        load_quality(tmp_path)


@pytest.mark.parametrize("answer", ['status = "todo"', 'status = "exempt"'])
def test_what_is_not_done_has_a_reason(tmp_path: Path, answer: str) -> None:
    (tmp_path / "quality.toml").write_text(scorecard(BRONZE_RULES, answer))
    with pytest.raises(ManifestInvalid, match="without a reason"):
        load_quality(tmp_path)


LISTENING = """
[inbound]
signature = "x-acme"
external_id = "id"
order = "none"
events = ["notice", "debt.changed"]
replay_window_days = 30
"""


@pytest.mark.parametrize(
    ("more", "delivered"),
    [("", {"notice", "debt.changed"}), ('fetched = ["debt.changed"]', {"notice"})],
)
def test_what_nobody_sends_is_not_waited_for(tmp_path: Path, more: str, delivered: set[str]) -> None:
    """A type that only the sweep makes was never missed: silence would wake somebody after every sweep."""
    (tmp_path / "manifest.toml").write_text(f"{MANIFEST}{LISTENING}{more}")
    inbound = load_manifest(tmp_path).inbound
    assert inbound is not None
    assert inbound.delivered == delivered


def test_a_fetched_event_that_is_not_listed_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "manifest.toml").write_text(f'{MANIFEST}{LISTENING}fetched = ["rainbow"]')
    with pytest.raises(ManifestInvalid, match="rainbow"):
        load_manifest(tmp_path)
