"""The demo's story, told to the end on both stores: what the audience is promised is what is checked here."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import msgspec
import pytest
from rich.console import Console
from sqlalchemy import select

from accordant.bootstrap import system_clock
from accordant.canonical.intents import Applied, WriteReceipt
from accordant.canonical.refs import EntityKind
from accordant.connectors.salesforce.connector import default_mappings
from accordant.demo.live import exit_code, run
from accordant.demo.report import compare
from accordant.demo.stage import Stage, stage
from accordant.demo.story import CHAPTERS, NORTHWIND, Play, play_story, story_begins
from accordant.store.schema import write_receipt

pytestmark = pytest.mark.slow


async def test_the_story_holds_on_both_stores(store_url: str, tmp_path: Path) -> None:
    text = StringIO()
    async with stage(store=store_url, home=tmp_path, starts_at=story_begins(system_clock())) as made:
        play = Play(made, Console(file=text, width=160))
        closing = await play_story(play, pace=0)

        assert closing.faults == ()
        assert exit_code(closing) == 0
        mapped = {(mapping.object, mapping.entity, name) for mapping in default_mappings() for name in mapping.fields}
        assert {(line.object, line.entity, line.field) for line in closing.lines} == mapped
        for line in closing.lines:
            assert line.differ == 0, line
            assert line.compared >= (5 if line.entity in {EntityKind.REFUND, EntityKind.PRODUCT} else 14), line
            assert line.filled > 0, f"{line.object}.{line.field} was never anything but empty"
        (letter,) = closing.dead_letters
        assert "VAT number" in letter
        # The account that was refused, and behind it its subscription, its invoice, and its payment with the activity.
        assert sorted(name.partition(" ")[0] for name in closing.left_out) == [
            "Account",
            "Billing_Invoice__c",
            "Billing_Payment__c",
            "Billing_Subscription__c",
            "Task",
        ]
        assert closing.intake.deliveries > 2 * closing.intake.events
        assert closing.explained.writes == closing.effects, "as many receipts of writes as the CRM counted itself"
        _before_and_after_are_kept(made)
        assert len(play.seen) >= len(CHAPTERS)
        assert all(f"{number}. {title}" in text.getvalue() for number, (title, _) in enumerate(CHAPTERS, 1))
        await _the_comparison_can_fail(made, play)


def _before_and_after_are_kept(made: Stage) -> None:
    """Every write that changed a record says what it was before; the first write of a record says that it was not."""
    with made.database.read() as connection:
        bodies = connection.execute(select(write_receipt.c.body).where(write_receipt.c.outcome == "Applied")).scalars()
        receipts = [msgspec.json.decode(body, type=WriteReceipt) for body in bodies]
    for receipt in receipts:
        assert isinstance(receipt.outcome, Applied)
        assert receipt.after
        assert (receipt.before is None) == receipt.outcome.created
        if receipt.before is not None:
            assert any(receipt.before.get(name) != value for name, value in receipt.after.items())


async def _the_comparison_can_fail(made: Stage, play: Play) -> None:
    """A value changed by hand, a write repeated, a record nobody asked for: each is seen, and the exit code says so."""
    key = play.cast.customers[NORTHWIND]
    made.salesforce.edit("Account", key, "Billing_MRR__c", "1.00", "sales@example.com")
    made.salesforce.edit("Account", key, "Billing_MRR__c", "1.00", "sales@example.com")
    made.salesforce.create("Account", Name="Nobody", Billing_Customer_Id__c="cus_nobody")
    closing = await compare(made)
    assert [(one.key, one.field, one.crm) for one in closing.differences] == [(key, "Billing_MRR__c", "1")]
    assert closing.surplus == ("Account cus_nobody",)
    assert len(closing.doubled) == 1
    assert exit_code(closing) == 1


async def test_a_story_that_is_not_true_ends_with_a_sentence_and_exit_code_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The demo is cut short by its own check: here billing charges a price the story does not know."""
    monkeypatch.setattr("accordant.demo.story.CATALOGUE", (("Growth EUR", "Growth", "eur", 48_999, "month"),))
    monkeypatch.setattr("accordant.demo.story.LOOK_SECONDS_MAX", 2.0)
    text = StringIO()
    store = f"sqlite:///{tmp_path / 'short.db'}"
    code = await run(headless=True, store=store, port=0, pace=0, console=Console(file=text, width=160))
    assert code == 1
    assert "Billing_MRR__c" in text.getvalue()
    assert "Traceback" not in text.getvalue()
