"""A folder that may not come into force leaves the charter in force where it is: told, alarmed, never half taken."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import select

from accordant.bootstrap import checked_charter
from accordant.canonical.charter import Charter, PhasesPart
from accordant.cli.options import Common, charter_to_run, opened_hub
from accordant.kernel.errors import ConfigurationError
from accordant.store.schema import alert
from tests.cli.kit import Terminal
from tests.integration.operations.kit import Installation, an_installation
from tests.unit.store.charter_corpus import FILES
from tests.unit.store.charter_corpus_rules import RULES


@pytest.fixture
async def one(terminal: Terminal, tmp_path: Path) -> AsyncIterator[Installation]:
    async with an_installation(f"sqlite:///{tmp_path / 'store.db'}", tmp_path) as made:
        terminal.use(made.settings)
        made.hub.enforce_charter(actor="Ada")
        yield made


def rewrite(one: Installation, *pairs: tuple[str, str]) -> None:
    path = one.settings.charter / "accordant.yaml"
    text = path.read_text()
    for before, after in pairs:
        assert before in text
        text = text.replace(before, after)
    path.write_text(text)


async def run_with(one: Installation, *, alarm: bool = False) -> Charter:
    """The charter a hub would work under that is started now."""
    common = Common(home=one.settings.home, charter=one.settings.charter, store=one.settings.store)
    async with opened_hub(common, alarm=alarm) as hub:
        return hub.charter


WRONG = {
    "empty": lambda path: path.write_text(""),
    "not YAML": lambda path: path.write_text("flows: [}"),
    "gone": lambda path: path.unlink(),
    "lost flows": lambda path: path.write_text(path.read_text().split("flows:")[0] + "flows: []\n"),
    "time zone": lambda path: path.write_text(path.read_text() + "timezone: Mars\n"),
    "skipped phase": lambda path: path.write_text(
        path.read_text().replace("name: subscriptions", "name: new_subscriptions")
    ),
}


@pytest.mark.parametrize("how", list(WRONG))
async def test_the_charter_in_force_stays_and_an_alarm_is_raised(
    one: Installation, terminal: Terminal, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    before = one.hub.charter
    WRONG[how](one.settings.charter / "accordant.yaml")
    assert await run_with(one, alarm=True) == before
    assert f"Charter {before.version} stays in force." in capsys.readouterr().err
    assert one.hub.shelf.in_force() == before.version
    with one.hub.database.read() as connection:
        raised = connection.execute(select(alert.c.kind, alert.c.body)).all()
    assert [row.kind for row in raised] == ["charter.refused"]
    assert before.version in raised[0].body
    assert (await terminal.ask("check", "--offline")).code in {1, 2}


async def test_no_text_of_the_corpus_replaces_the_charter_in_force(one: Installation) -> None:
    before = one.hub.charter
    for name, text, *_ in FILES + RULES:
        (one.settings.charter / "accordant.yaml").write_text(text)
        charter, refused = charter_to_run(one.settings)
        assert charter == before, name
        assert refused is not None, name
        assert refused.defects, name
    assert one.hub.shelf.in_force() == before.version


async def test_before_the_first_charter_a_wrong_one_is_refused(terminal: Terminal, tmp_path: Path) -> None:
    async with an_installation(f"sqlite:///{tmp_path / 'store.db'}", tmp_path) as made:
        terminal.use(made.settings)
        rewrite(made, ("company: Example GmbH", "company: ''"))
        with pytest.raises(ConfigurationError, match="The company has no name"):
            await run_with(made)


async def test_a_sound_change_comes_into_force(one: Installation) -> None:
    rewrite(one, ("company: Example GmbH", "company: Example AG"))
    assert (await run_with(one)).company == "Example AG"


async def test_a_change_of_many_flows_needs_a_second_person_where_approvers_are_named(
    one: Installation, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: "Ada")
    named = msgspec.structs.replace(one.hub.charter, phases=PhasesPart(approvers=("Ada", "Bo")))
    one.hub.shelf.remember(named, now=one.clock(), actor="Ada")
    rewrite(one, ("rate_per_s: 50", "rate_per_s: 5"))
    proposed = checked_charter(one.settings).version
    assert await run_with(one) == named
    said = await terminal.ask("check", "--offline")
    assert said.code == 1
    assert "That needs a second person." in " ".join(said.out.split())
    for name, word in (("Cy", "no approver"), ("Ada", "")):
        said = await terminal.ask("charter", "approve", proposed, "--as", name)
        assert word in said.err
        assert await run_with(one) == named, "neither a stranger nor the one who starts it"
    said = await terminal.ask("charter", "approve", named.version, "--as", "Bo")
    assert said.code == 2
    assert "it changed since" in said.err.replace("\n", " ")
    assert (await terminal.ask("charter", "approve", proposed, "--as", "Bo")).code == 0
    assert (await run_with(one)).version == proposed
    rewrite(one, ("rate_per_s: 5", "rate_per_s: 6"))
    assert await run_with(one) == named, "the approval was of another charter"
