"""The how-to is executed: every block of YAML is one file of a charter, every command of it is run, in order."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
import yaml

from accordant.canonical.charter import Charter, Direction
from accordant.canonical.clearances import CheckKind, CheckStatus, GateAction
from accordant.settings import read_settings
from tests.cli.kit import Terminal


@pytest.fixture
def how_to(repository: Path) -> str:
    return (repository / "docs" / "howto" / "write-your-charter.md").read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_every_command_and_every_block_does_what_the_page_says(
    how_to: str, terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "charter").mkdir()
    pieces = re.findall(r"```(yaml|console)\n(.*?)```", how_to, re.DOTALL)
    assert [language for language, _ in pieces].count("yaml") >= 5
    for number, (language, block) in enumerate(pieces):
        if language == "yaml":
            (tmp_path / "charter" / f"part{number}.yaml").write_text(block)
            said = terminal.do("check", "--offline", "--charter", "charter", "--json")
            assert said.code == 0, said
            assert all(flow["go"] for flow in said.json["flows"])
            continue
        for line in block.splitlines():
            command, _, file = line.partition(" > ")
            said = terminal.do(*shlex.split(command)[1:])
            assert said.code == 0, (line, said)
            if file:
                (tmp_path / file.strip()).write_text(said.out)
    assert {path.suffix for path in (tmp_path / "pages").iterdir()} == {".html", ".md"}
    assert "kyc-before-sales" in (tmp_path / "pages" / "gate-list.md").read_text()


def test_the_blocks_together_are_the_company_the_page_tells_of(how_to: str, tmp_path: Path) -> None:
    from accordant.bootstrap import checked_charter

    for number, block in enumerate(blocks(how_to, "yaml")):
        (tmp_path / f"part{number}.yaml").write_text(block)
    charter = checked_charter(read_settings({}, home=tmp_path / "home", charter=tmp_path))
    assert len(blocks(how_to, "yaml")[0].splitlines()) < 20
    assert [flow.name for flow in charter.flows] == [
        "stripe-account-to-salesforce",
        "stripe-subscription-to-salesforce",
    ]
    assert charter.ownership[0].fields == {"name": "salesforce"}
    assert {part.entity.value for part in charter.ownership if part.direction is Direction.INBOUND} == {
        "invoice", "payment", "payout", "price", "product", "refund",
    }  # fmt: skip
    assert [gate.check for gate in charter.gates] == [CheckKind.KYC, CheckKind.VAT]


def test_each_part_fits_the_schema_an_editor_is_given(how_to: str, terminal: Terminal) -> None:
    judge = pytest.importorskip("jsonschema_rs", reason="Install accordant[contracts] to judge the schema.")
    part = judge.validator_for(json.loads(terminal.do("charter", "schema", "--part").out))
    whole = judge.validator_for(json.loads(terminal.do("charter", "schema").out))
    for block in blocks(how_to, "yaml"):
        assert part.is_valid(yaml.safe_load(block))
    assert not part.is_valid({"flows": [{"phase": "live"}]})
    assert whole.is_valid(yaml.safe_load(blocks(how_to, "yaml")[0]))
    assert not whole.is_valid(yaml.safe_load(blocks(how_to, "yaml")[1]))


def test_every_word_the_page_lists_is_one_and_none_is_left_out(how_to: str) -> None:
    listed = set(re.findall(r"`(\w+)`", how_to.partition("Each first-level key")[2].partition("Refused")[0]))
    assert listed == set(Charter.__struct_fields__)
    gates = how_to.partition("## Hold what compliance")[2].partition("## Say whose record")[0]
    for word in (*CheckKind, *GateAction, CheckStatus.PASSED, CheckStatus.NOT_REQUIRED):
        assert f"`{word.value}`" in gates or f"[{word.value}]" in gates
    for direction in Direction:
        assert f"| `{direction.value}`" in how_to
