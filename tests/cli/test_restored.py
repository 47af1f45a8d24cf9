"""`accordant restored`, where home and store were put back together and nothing else knows: no effect is repeated.

The target is of class E: whatever is sent twice is there twice, and its own ledger says so.
"""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest

from accordant.bootstrap import Hub, checked_charter
from accordant.demo.company import environment
from accordant.ports.connector import DestinationClass
from accordant.testing.destinations import MemoryDestination
from tests.cli.kit import Terminal
from tests.integration.operations.kit import Installation, an_installation


async def started_anew(one: Installation, target: MemoryDestination) -> None:
    """The process ends, and another one begins on what home and store hold."""
    await one.hub.close()
    one.hub = Hub(one.settings, checked_charter(one.settings), environment=environment(), clock=one.clock)
    one.hub.outbounds["salesforce"] = target


def kept(one: Installation) -> list[Path]:
    store = Path(one.settings.store.removeprefix("sqlite:///"))
    return [one.settings.home, *sorted(store.parent.glob(f"{store.name}*"))]


def back_up(one: Installation, copy: Path) -> None:
    copy.mkdir()
    for path in kept(one):
        (shutil.copytree if path.is_dir() else shutil.copy)(path, copy / path.name)


def put_back(one: Installation, copy: Path) -> None:
    for path in kept(one):
        (shutil.rmtree if path.is_dir() else Path.unlink)(path)
    for path in copy.iterdir():
        place = one.settings.home if path.is_dir() else Path(one.settings.store.removeprefix("sqlite:///")).parent
        (shutil.copytree if path.is_dir() else shutil.copy)(path, place if path.is_dir() else place / path.name)


async def written_then_put_back(one: Installation, target: MemoryDestination, copy: Path) -> None:
    """A customer is planned, backed up, written, and forgotten again with home and store."""
    await started_anew(one, target)
    one.sell(1)
    one.take_in()
    one.process()
    await one.hub.close()
    back_up(one, copy)
    await started_anew(one, target)
    await one.deliver()
    assert len(target.effects) == 2
    await one.hub.close()
    put_back(one, copy)


def doubled(target: MemoryDestination) -> list[str]:
    return [name for name, count in Counter(one.identity for one in target.effects).items() if count > 1]


@pytest.mark.parametrize("is_declared", [True, False])
async def test_what_was_done_since_the_backup_is_not_done_again_once_it_is_declared(
    is_declared: bool, tmp_path: Path, terminal: Terminal
) -> None:
    async with an_installation(f"sqlite:///{tmp_path / 'store.db'}", tmp_path) as one:
        terminal.use(one.settings)
        target = MemoryDestination("salesforce", DestinationClass.NOTHING, clock=one.clock)
        await written_then_put_back(one, target, tmp_path / "backup")
        if is_declared:
            assert (await terminal.ask("restored", "--as", "ada")).code == 2
            said = await terminal.ask("restored", "--because", "The disk was lost.", "--as", "ada", "--json")
            assert (said.code, said.json["restore"]) == (0, 1), said
        await started_anew(one, target)
        for _ in range(4):
            one.clock.move(minutes=30)
            await one.deliver()
        if not is_declared:
            # Nothing outside knew: this is what the command is for.
            assert doubled(target)
            return
        assert doubled(target) == []
        assert len(target.effects) == 2
        (group,) = one.hub.recovery.groups()
        assert "before the store was restored" in group.reason
        told = await terminal.ask("audit", "verify")
        assert told.code == 0
