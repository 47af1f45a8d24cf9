"""Connectors that are only declared: a charter that names one hears what it could do; nothing is built."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import msgspec
import pytest

from accordant.bootstrap import Hub, checked_charter
from accordant.canonical.charter import Charter
from accordant.connectors.registry import Connector, facts_of, installed
from accordant.connectors.sdk.manifest import Standing, load_quality
from accordant.demo.company import environment, write_charter
from accordant.governance.charter import check_charter, go_no_go
from accordant.governance.findings import ConnectorFacts, Severity
from accordant.governance.phases import Tier
from accordant.kernel.errors import ConfigurationError
from accordant.settings import Settings
from accordant.web.lookout import Lookout
from tests.unit.governance.company import CONNECTORS, raw

DECLARED = {name: one for name, one in installed().items() if one.manifest.declared is not None}
FACTS: dict[str, ConnectorFacts] = {**CONNECTORS, **{name: facts_of(one) for name, one in DECLARED.items()}}


def charter(connector: str, **flow: str) -> Charter:
    """The example company with one more system, and its first flow bent where asked."""
    told = raw()
    told["systems"]["books"] = {"connector": connector, "owner": "Ada"}
    told["flows"][0] |= flow
    return msgspec.convert(told, Charter)


def test_there_are_such_and_all_others_have_code() -> None:
    assert sorted(DECLARED) == ["netsuite", "odoo"]
    for name, one in installed().items():
        halves = (one.inbound, one.reader, one.outbound, one.default_mappings)
        assert any(halves) is (name not in DECLARED), name


@pytest.mark.parametrize("name", sorted(DECLARED))
def test_the_scorecard_claims_nothing_that_takes_code(name: str) -> None:
    one: Connector = DECLARED[name]
    assert one.tier is Tier.UNPROVED
    quality = load_quality(resources.files("accordant.connectors") / name)
    assert quality.bronze["errors-translated"].status is Standing.TODO
    assert {proof.level for proof in quality.proved} == {"declared"}
    assert not quality.silver
    assert one.manifest.writes
    assert one.manifest.reads


@pytest.mark.parametrize("name", sorted(DECLARED))
def test_it_may_stand_in_the_inventory_with_what_it_could_do(name: str) -> None:
    (told,) = [defect for defect in check_charter(charter(name), connectors=FACTS) if "books" in defect.where]
    assert told.severity is Severity.WARNING
    assert told.where == "systems.books.connector"
    for written in DECLARED[name].manifest.writes:
        assert f"{written.name} by {written.natural_key} (class {written.destination_class.value})" in told.problem
    assert "accordant books export" in told.remedy
    assert "goldbox" in told.remedy  # of the same kind, and with code
    assert all(verdict.go for verdict in go_no_go(charter(name), connectors=FACTS))


@pytest.mark.parametrize("end", ["source", "target"])
def test_no_flow_leads_to_it_or_from_it(end: str) -> None:
    bent = charter("odoo", **{end: "books"})
    refused = [one for one in check_charter(bent, connectors=FACTS) if one.where == f"flows[0].{end}"]
    assert {one.severity for one in refused} == {Severity.ERROR}
    assert any("only declared" in one.remedy for one in refused)
    assert not next(verdict for verdict in go_no_go(bent, connectors=FACTS) if verdict.flow == bent.flows[0].name).go


def test_a_secret_of_it_still_may_not_stand_in_the_file() -> None:
    told = raw()
    told["systems"]["books"] = {"connector": "odoo", "owner": "Ada", "settings": {"api_key": "in-the-clear"}}
    found = check_charter(msgspec.convert(told, Charter), connectors=FACTS)
    assert any(one.where == "systems.books.settings.api_key" and one.severity is Severity.ERROR for one in found)
    assert not any("in-the-clear" in one.problem + one.remedy for one in found)


@pytest.mark.parametrize("name", sorted(DECLARED))
async def test_a_hub_opens_with_it_and_connects_it_to_nothing(name: str, tmp_path: Path) -> None:
    folder = write_charter(tmp_path / "charter", stripe_url="http://127.0.0.1:9", salesforce_url="http://127.0.0.1:9")
    own = folder / "accordant.yaml"
    text = own.read_text(encoding="utf-8")
    own.write_text(text.replace("\nownership:\n", f"\n  books: {{connector: {name}, owner: Finance}}\nownership:\n", 1))
    settings = Settings(home=tmp_path / "home", charter=folder, store=f"sqlite:///{tmp_path / 'store.db'}")
    hub = Hub(settings, checked_charter(settings), environment=environment())
    try:
        assert "books" in hub.charter.systems
        for halves in (hub.inbounds, hub.connections, hub.readers, hub.outbounds, hub.breakers):
            assert "books" not in halves
        with pytest.raises(ConfigurationError) as refused:
            await Lookout(hub).adopt("books", url=None, actor="Ada")
        assert f"no code for {DECLARED[name].manifest.title} is here" in refused.value.message
        assert "accordant books export" in refused.value.remedy
    finally:
        await hub.close()
