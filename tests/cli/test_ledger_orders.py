"""Commands that put into the books what no system tells: what they say, what they refuse, and that nothing is twice."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import select

from accordant.bootstrap import checked_charter
from accordant.store.schema import ledger_bill
from tests.cli.kit import Terminal
from tests.cli.test_books import LEDGER
from tests.integration.operations.bookkit import balances, entries
from tests.integration.operations.kit import an_installation
from tests.integration.operations.test_ordered_books import an_unpaid_bill

MORE = LEDGER.replace(
    '        "4000": {name: Revenue, type: revenue}\n',
    '        "4000": {name: Revenue, type: revenue}\n'
    '        "2600": {name: Sellers, type: liability}\n'
    '        "2610": {name: Withheld, type: liability}\n'
    '        "1600": {name: Deferred commissions, type: asset}\n'
    '        "2620": {name: Commissions, type: liability}\n'
    '        "6200": {name: Bad debt, type: expense}\n',
).replace(
    '        - {role: revenue, account: "4000"}\n',
    '        - {role: revenue, account: "4000"}\n'
    '        - {role: sellers_payable, account: "2600"}\n'
    '        - {role: withholding_payable, account: "2610"}\n'
    '        - {role: deferred_commission, account: "1600"}\n'
    '        - {role: commissions_payable, account: "2620"}\n'
    '        - {role: bad_debt, account: "6200"}\n',
)
COMMISSION = ("books", "post", "commission_earned", "amount=120.00", "--system", "stripe", "--currency", "USD", "--on",
              "2024-01-05", "--key", "c-1", "--text", "Commission of January")  # fmt: skip


async def test_a_transaction_is_posted_once_and_refused_with_what_is_missing(
    terminal: Terminal, tmp_path: Path
) -> None:
    async with an_installation(f"sqlite:///{tmp_path / 'store.db'}", tmp_path, more=MORE) as one:
        terminal.use(one.settings)
        tried = await terminal.ask(*COMMISSION, "--dry-run")
        assert (tried.code, "would post" in tried.out, entries(one.hub.database)) == (0, True, [])
        assert (await terminal.ask(*COMMISSION)).code == 0
        assert "repeat" in (await terminal.ask(*COMMISSION)).out
        assert balances(one.hub.database) == {"1600": 12_000, "2620": -12_000}
        reused = await terminal.ask(*COMMISSION[:-1], "Another text")
        assert (reused.code, "The key stands for something else" in reused.out) == (1, True)
        expensed = ("books", "post", "commission_expensed", "amount=10.00", *COMMISSION[4:-3], "c-2", *COMMISSION[-2:])
        missing = await terminal.ask(*expensed)
        assert (missing.code, "no row for commission_expense" in missing.out) == (1, True)
        for wrong, words in (("amount", "is no amount by name"), ("gross=1", "made of amount")):
            refused = await terminal.ask(*COMMISSION[:3], wrong, *COMMISSION[4:])
            assert (refused.code, words in refused.err) == (2, True)
        listed = await terminal.ask("books", "law", "--json")
        assert {"us_backup_withholding"} <= {row["name"] for row in listed.json["facts"]}


async def test_a_bill_is_written_off_by_hand_and_nothing_is_drawn_of_it(terminal: Terminal, tmp_path: Path) -> None:
    async with an_installation(f"sqlite:///{tmp_path / 'store.db'}", tmp_path, more=MORE) as one:
        terminal.use(one.settings)
        an_unpaid_bill(one)
        one.take_in()
        one.process()
        with one.hub.database.read() as connection:
            bill = connection.execute(select(ledger_bill)).one()
        said = ("--on", bill.booked_on, "--reason", "Insolvent")
        drawn = await terminal.ask("books", "draw", bill.ref, "10.00", "--key", "d-1", *said)
        assert (drawn.code, "has no prepaid credits" in drawn.out) == (1, True)
        off = await terminal.ask("books", "write-off", bill.ref, *said)
        assert (off.code, "posted" in off.out) == (0, True), off
        assert "1200" not in balances(one.hub.database)
        unknown = await terminal.ask("books", "write-off", "stripe:invoice/in_none", *said)
        assert (unknown.code, "is no bill the books know" in unknown.err) == (2, True)
        closing = await terminal.ask("books", "revalue", "Example GmbH", bill.booked_on[:7])
        assert (closing.code, "is at the closing rate" in closing.out) == (0, True)
        one.hub.shelf.remember(checked_charter(one.settings), now=one.clock())
        changes = await terminal.ask("books", "changes")
        assert (changes.code, "0 of 0 differ" in changes.out) == (0, True)


async def test_a_rebuild_says_that_the_books_follow_from_the_inbox_or_what_does_not(
    terminal: Terminal, tmp_path: Path
) -> None:
    async with an_installation(f"sqlite:///{tmp_path / 's.db'}", tmp_path, more=MORE) as one:
        terminal.use(one.settings)
        assert (await terminal.ask(*COMMISSION)).code == 0
        said = await terminal.ask("books", "rebuild")
        assert (said.code, "1 entry and 0 bills are the same" in said.out) == (0, True), said.out
        with one.hub.database.engine.begin() as connection:
            connection.exec_driver_sql("DELETE FROM inbox_work WHERE connection = 'accordant'")
        said = await terminal.ask("books", "rebuild", "--json")
        assert (said.code, said.json["differing"]) == (1, 1)
        said = await terminal.ask("books", "rebuild")
        assert (said.code, "does not follow from the inbox" in " ".join(said.out.split())) == (1, True), said.out


async def test_a_ramp_and_a_project_are_said_at_the_terminal_and_earned_with_the_month(
    terminal: Terminal, tmp_path: Path
) -> None:
    rows = '        - {role: revenue, account: "4000"}\n        - {role: contract_asset, account: "1200"}\n'
    more = MORE.replace('        - {role: revenue, account: "4000"}\n', rows)
    async with an_installation(f"sqlite:///{tmp_path / 'store.db'}", tmp_path, more=more) as one:
        terminal.use(one.settings)
        product = an_unpaid_bill(one)
        one.take_in()
        one.process()
        with one.hub.database.read() as connection:
            bill = connection.execute(select(ledger_bill)).one()
        said = ("--on", bill.booked_on, "--reason", "Cost report")
        none = await terminal.ask("books", "progress", bill.ref, "60", "--key", "p-1", *said)
        assert (none.code, "has no such project" in none.out) == (1, True)
        folder = tmp_path / "charter" / "more.yaml"
        folder.write_text(more.replace("ledger:\n", f"ledger:\n  services: {{{product}: project}}\n", 1))
        noted = await terminal.ask("books", "progress", bill.ref, "60", "--key", "p-1", "--price", "200.00", *said)
        assert (noted.code, "noted" in noted.out) == (0, True), noted
        wrong = await terminal.ask("books", "progress", bill.ref, "160", "--key", "p-2", *said)
        assert (wrong.code, "is no progress" in wrong.err) == (2, True)
        month = await terminal.ask("books", "recognise", "Example GmbH", bill.booked_on[:7])
        assert month.code == 0, month
        # 60 % of 200.00, of which 90.00 are billed: 30.00 more is an asset, here on the same account.
        assert balances(one.hub.database) == {"1200": 9_000 + 3_000, "4000": -12_000}
        dearer = ("books", "progress", bill.ref, "60", "--key", "p-3", "--price", "300.00", *said)
        assert (await terminal.ask(*dearer)).code == 0
        assert (await terminal.ask("books", "recognise", "Example GmbH", bill.booked_on[:7])).code == 0
        journal = await terminal.ask("books", "journal", "--month", bill.booked_on[:7])
        assert "606-10-25-13(b)" in " ".join(journal.out.split())
        subscription = next(iter(one.stripe.account.book.table("subscription")))
        ramp = ("books", "ramp", f"stripe:subscription/{subscription}", "450.00", "--from", "2024-01-01")
        agreed = await terminal.ask(*ramp, "--until", "2024-04-01", "--key", "r-1", *said)
        assert (agreed.code, "noted" in agreed.out) == (0, True), agreed
        refused = await terminal.ask(*ramp, "--until", "2023-04-01", "--key", "r-2", *said)
        assert (refused.code, "a term of a day or more" in refused.err) == (2, True)


async def test_an_order_is_withdrawn_by_the_event_that_the_journal_names(terminal: Terminal, tmp_path: Path) -> None:
    async with an_installation(f"sqlite:///{tmp_path / 's.db'}", tmp_path, more=MORE) as one:
        terminal.use(one.settings)
        assert (await terminal.ask(*COMMISSION)).code == 0
        journal = await terminal.ask("books", "journal", "--json")
        event = journal.json["entries"][0]["entry"]["cause"]["event"]
        asked = ("books", "withdraw", event, "--reason", "Twice in the list")
        for word in ("It is withdrawn.", "It was withdrawn before."):
            said = await terminal.ask(*asked)
            assert (said.code, word in said.out) == (0, True), said.out + said.err
        assert balances(one.hub.database) == {}
        assert (await terminal.ask("books", "withdraw", "bev_1", "--reason", "x")).code != 0
