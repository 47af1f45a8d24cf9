"""The draft of the books: a half year of a company, its trial balance, and what is missing to post it."""

from __future__ import annotations

import csv
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from accordant.bootstrap import checked_charter
from tests.cli.kit import Terminal
from tests.integration.operations.kit import Installation, an_installation

LEDGER = """
ledger:
  systems: {stripe: Example GmbH}
  legal_entities:
    Example GmbH:
      currency: USD
      tax_codes: [US]
      tax_code: US
      accounts:
        "1000": {name: Bank, type: asset}
        "1090": {name: Processor clearing, type: asset}
        "1200": {name: Accounts receivable, type: asset}
        "2200": {name: Sales tax, type: liability}
        "2400": {name: Deferred revenue, type: liability}
        "2450": {name: Customer balances, type: liability}
        "2460": {name: Refunds owed, type: liability}
        "4000": {name: Revenue, type: revenue}
        "4900": {name: Refunds and credits, type: revenue}
      rules:
        - {role: bank, account: "1000"}
        - {role: clearing, account: "1090"}
        - {role: receivable, account: "1200"}
        - {role: sales_tax, account: "2200"}
        - {role: deferred_revenue, account: "2400"}
        - {role: customer_balance, account: "2450"}
        - {role: refund_liability, account: "2460"}
        - {role: contra_revenue, account: "4900"}
        - {role: revenue, account: "4000"}
"""
DAY = 86_400
COMPANY = "Example GmbH"
#: `books` reads the past, so the commands name the last day themselves.
UNTIL = ("--until", "2030-12-31")


def live_half_a_year(one: Installation) -> None:
    """Three customers; one upgrades in mid-month, one is given half of a bill back, one bill is voided."""
    first, second, third = one.sell(3)
    account = one.stripe.account
    book = account.book

    def subscription(customer: str) -> Any:
        return next(s for s in book.table("subscription").values() if s["customer"] == customer)

    one.stripe.advance(12 * DAY)
    dear = account.create_price(account.create_product({"name": "Max", "metadata": {}}), currency="usd",
                                unit_amount=30_000, interval="month")  # fmt: skip
    running = subscription(first)
    item = running["items"]["data"][0]["id"]
    account.billing.update(running, items=[{"id": item, "price": dear["id"]}])
    one.stripe.advance(40 * DAY)
    charge = next(c for c in book.table("charge").values() if c["customer"] == second)
    account.payments.refund(charge, amount=5_000, given={})
    account.payments.set_card(third, failing=True)
    one.stripe.advance(31 * DAY)
    unpaid = next(i for i in book.table("invoice").values() if i["customer"] == third and i["status"] == "open")
    account.invoices.void(unpaid)
    one.stripe.advance(90 * DAY)


def write_ledger(folder: Path, text: str) -> None:
    (folder / "charter" / "ledger.yaml").write_text(text)


async def test_half_a_year_balances_and_a_missing_row_is_named(terminal: Terminal, tmp_path: Path) -> None:
    async with an_installation(f"sqlite:///{tmp_path / 'store.db'}", tmp_path) as one:
        live_half_a_year(one)
        one.take_in()
        one.process()
        terminal.use(one.settings)
        one.hub.shelf.remember(checked_charter(one.settings), now=one.clock())
        said = await terminal.ask("books", "draft")
        assert said.code == 2
        assert "Add `ledger`" in said.err

        write_ledger(tmp_path, LEDGER)
        one.hub.shelf.remember(checked_charter(one.settings), now=one.clock())
        said = await terminal.ask("books", "draft", *UNTIL, "--json")
        assert (said.code, said.json["unposted"]) == (0, []), said.out[:2000]
        rows = {row["account"]: row["debit_minor"] - row["credit_minor"] for row in said.json["trial_balance"]}
        assert sum(rows.values()) == 0
        # Every bill was paid or voided, and by that day every service is over.
        assert rows["1200"] == 0
        billed = sum(i["total"] for i in one.stripe.account.book.table("invoice").values() if i["status"] == "paid")
        assert -rows["4000"] - rows["4900"] == billed - 5_000
        assert rows["2400"] == 0

        said = await terminal.ask("books", "draft", *UNTIL)
        assert "debits and credits balance" in said.out
        journal = tmp_path / "books.csv"
        assert (await terminal.ask("books", "export", str(journal), "--format", "csv", "--draft", *UNTIL)).code == 0
        rules = [row["rule"] for row in csv.DictReader(journal.read_text().splitlines())]
        assert {"invoice_issued", "payment_applied", "refunded", "revenue_recognised"} < set(rules)
        judged_by_beancount(await terminal.ask("books", "export", str(tmp_path / "b.beancount"), "--format",
                                               "beancount", "--draft", *UNTIL), tmp_path / "b.beancount")  # fmt: skip
        judged_by_hledger(await terminal.ask("books", "export", str(tmp_path / "b.journal"), "--format",
                                             "hledger", "--draft", *UNTIL), tmp_path / "b.journal")  # fmt: skip

        await the_kept_books_say_the_same(one, terminal, tmp_path)
        await tables_are_taken_elsewhere(terminal, tmp_path)
        write_ledger(tmp_path, LEDGER.replace('        - {role: deferred_revenue, account: "2400"}\n', ""))
        one.hub.shelf.remember(checked_charter(one.settings), now=one.clock())
        said = await terminal.ask("books", "draft", *UNTIL)
        assert said.code == 1
        assert "has no row for deferred_revenue" in " ".join(said.out.split())


async def tables_are_taken_elsewhere(terminal: Terminal, tmp_path: Path) -> None:
    """A workbook and Parquet of what is kept; what a table cannot be is said, and nothing is written."""
    said = await terminal.ask("books", "trial-balance", "--json")
    sheet, parquet = tmp_path / "balance.xlsx", tmp_path / "journal.parquet"
    made = await terminal.ask("books", "export", str(sheet), "--format", "xlsx", "--table", "trial-balance", "--json")
    assert (made.code, made.json["rows"]) == (0, len(said.json["trial_balance"])), made.out
    made = await terminal.ask("books", "export", str(parquet), "--format", "parquet")
    assert (made.code, parquet.exists()) == (0, True), made.out
    for asked, told in (
        (("--format", "hledger", "--table", "aging"), "that is a form for entries"),
        (("--format", "csv", "--table", "aging", "--until", "2024-01-01"), "kept as it stands today"),
        (("--format", "csv", "--table", "waterfall", "--draft"), "A draft has a journal and no waterfall"),
    ):
        refused = await terminal.ask("books", "export", str(tmp_path / "none"), *asked)
        assert (refused.code, told in " ".join((refused.out + refused.err).split())) == (2, True), refused
    assert not (tmp_path / "none").exists()


async def the_kept_books_say_the_same(one: Installation, terminal: Terminal, tmp_path: Path) -> None:
    """The past is posted, the first month recognised, closed and opened again by two, and the judges read it."""
    said = await terminal.ask("books", "held", "--try")
    assert said.code == 0, said.out
    assert "Everything that means something to the books is posted." in said.out
    said = await terminal.ask("books", "trial-balance", "--json")
    assert (said.code, set(said.json["off"].values())) == (0, {0})
    said = await terminal.ask("books", "journal", "--limit", "1", "--json")
    (row,) = said.json["entries"]
    said = await terminal.ask("books", "journal", row["entry"]["id"])
    assert row["entry"]["cause"]["event"] in said.out
    month = min(day["posted_on"] for day in (e["entry"] for e in (
        await terminal.ask("books", "journal", "--limit", "1000", "--json")).json["entries"]))[:7]  # fmt: skip
    assert (await terminal.ask("books", "close", COMPANY, month)).code == 2
    said = await terminal.ask("books", "to-close")
    assert (said.code, "is not recognised" in " ".join(said.out.split())) == (1, True), said.out
    assert (await terminal.ask("books", "recognise", COMPANY, month)).code == 0
    assert (await terminal.ask("books", "recognise", COMPANY, "2027-13")).code == 2
    assert (await terminal.ask("books", "recognise", "Nobody", month)).code == 2
    await a_month_is_closed_as_it_is_told(terminal, month)
    for name in ("beancount", "hledger"):
        path = tmp_path / f"kept.{name}"
        said = await terminal.ask("books", "export", str(path), "--format", name)
        judge = judged_by_beancount if name == "beancount" else judged_by_hledger
        judge(said, path)


async def a_month_is_closed_as_it_is_told(terminal: Terminal, month: str) -> None:
    """Whoever runs what is told there, word by word, comes to a closed month; two people open it again."""
    ran: list[str] = []
    while True:
        told = " ".join((await terminal.ask("books", "to-close")).out.split())
        *steps, last = re.findall(r"`accordant (books (?:recognise|revalue|close) [^`]+)`", told)
        assert not {*steps, last} & set(ran), told
        if last.startswith("books close"):
            break
        for command in (*steps, last):
            said = await terminal.ask(*shlex.split(command))
            assert said.code == 0, (command, said.err)
        ran += [*steps, last]
    said = await terminal.ask(*shlex.split(last), "--as", "ann")
    assert f"{month} of {COMPANY} is closed, by ann" in said.out
    balance = await terminal.ask("books", "trial-balance", "--until", f"{month}-15")
    assert (balance.code, "Debits and credits balance." in balance.out) == (0, True)
    for person, state in (("ann", "waits for a second person"), ("ann", "waits for"), ("bob", "is open again")):
        said = await terminal.ask("books", "reopen", COMPANY, month, "--as", person)
        assert (said.code, state in " ".join(said.out.split())) == (0, True), said.out


def judged_by_beancount(said: Any, path: Path) -> None:
    program = "import sys; from beancount import loader; sys.exit(len(loader.load_file(sys.argv[1])[1]))"
    assert said.code == 0
    subprocess.run([sys.executable, "-W", "ignore", "-c", program, str(path)], check=True)


def judged_by_hledger(said: Any, path: Path) -> None:
    assert said.code == 0
    if (program := shutil.which("hledger")) is not None:
        subprocess.run([program, "-f", str(path), "check", "--strict"], check=True)


@pytest.mark.parametrize(
    ("was", "becomes", "words"),
    [
        ("stripe: Example GmbH", "stripe: Other GmbH", "There is no legal entity 'Other GmbH'"),
        ("{stripe:", "{paddle:", "The charter has no system 'paddle'"),
        ("currency: USD", "currency: USX", "'USX' is not in the ISO 4217 table"),
        ("tax_code: US\n", "tax_code: DE\n", "The tax code 'DE' is not listed"),
        ('bank, account: "1000"', 'bank, account: "1001"', "The account '1001' is not in the chart"),
        ('bank, account: "1000"', 'clearing, account: "1000"', "send clearing to two accounts"),
        ("type: revenue", "type: income", "'income' is none of the words"),
        ("tax_code: US\n", "tax_code: US\n      reverse_charge_code: RC\n", "The tax code 'RC' is not listed"),
        (
            "ledger:\n",
            'ledger:\n  bundles: [{product: a, parts: {b: "1"}}]\n',
            "not made of two or more other products",
        ),
        ("ledger:\n", 'ledger:\n  bundles: [{product: a, parts: {b: "1", c: ten}}]\n', "'ten' is no stand-alone price"),
    ],
)
def test_a_wrong_ledger_is_refused_with_its_place(
    terminal: Terminal, tmp_path: Path, was: str, becomes: str, words: str
) -> None:
    from accordant.demo.company import write_charter

    folder = write_charter(tmp_path / "charter", stripe_url="http://127.0.0.1:1", salesforce_url="http://127.0.0.1:2")
    (folder / "ledger.yaml").write_text(LEDGER.replace(was, becomes, 1))
    terminal._monkeypatch.setenv("ACCORDANT_CHARTER", str(folder))
    said = terminal.do("check")
    assert said.code != 0
    assert words in " ".join((said.out + said.err).split())


@pytest.mark.parametrize("kind", ["project", "usage"])
def test_what_may_be_earned_before_it_is_billed_is_warned_of_without_an_account(
    terminal: Terminal, tmp_path: Path, kind: str
) -> None:
    from accordant.demo.company import write_charter

    folder = write_charter(tmp_path / "charter", stripe_url="http://127.0.0.1:1", salesforce_url="http://127.0.0.1:2")
    terminal._monkeypatch.setenv("ACCORDANT_CHARTER", str(folder))
    words = "takes contract_asset, and prod_1 may be earned before it is billed"
    sold = LEDGER.replace("ledger:\n", f"ledger:\n  services: {{prod_1: {kind}}}\n", 1)
    (folder / "ledger.yaml").write_text(sold)
    said = terminal.do("check")
    assert words in " ".join((said.out + said.err).split())
    row = '        - {role: contract_asset, account: "1200"}\n'
    (folder / "ledger.yaml").write_text(sold.replace("      rules:\n", f"      rules:\n{row}", 1))
    said = terminal.do("check")
    assert "contract_asset" not in said.out + said.err


CHANGE = (
    "books", "prorate", "--old", "10.00", "--new", "30.00", "--currency", "USD", "--starts", "2027-01-31T00:00:00",
    "--ends", "2027-02-28T00:00:00", "--at", "2027-02-10T18:00:00",
)  # fmt: skip


def test_a_change_in_mid_term_is_told_to_the_minor_unit(terminal: Terminal) -> None:
    said = terminal.do(*CHANGE)
    assert (said.code, said.out.strip()) == (
        0,
        "1,490,400 of 2,419,200 seconds are left: −6.16 USD and 18.48 USD, 12.32 USD in all.",
    )
    said = terminal.do(*CHANGE, "--credit", "-6.43", "--charge", "19.29")
    assert said.code == 1
    assert "when time is counted by day" in said.out
    assert terminal.do(*CHANGE, "--credit", "-6.16", "--charge", "18.48").code == 0


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--old", "10,00", "'10,00' is not a plain decimal amount"),
        ("--currency", "XYZ", "'XYZ' is not in the ISO 4217 table"),
        ("--at", "2028-02-10T18:00:00", "is not inside the period"),
        ("--zone", "Mars/Base", "There is no time zone 'Mars/Base'"),
    ],
)
def test_a_change_that_cannot_be_is_refused(terminal: Terminal, option: str, value: str, words: str) -> None:
    given = dict(zip(CHANGE[2::2], CHANGE[3::2], strict=True)) | {option: value}
    said = terminal.do("books", "prorate", *[word for pair in given.items() for word in pair])
    assert said.code == 2
    assert words in " ".join(said.err.split())
