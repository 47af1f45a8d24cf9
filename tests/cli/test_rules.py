"""`init`, `check` and `charter schema`: the first charter goes; what is wrong with a later one is told in its place."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from accordant.canonical.charter import CustomerModel, SeveralCustomers
from accordant.connectors import registry
from accordant.store.charter_folder import load_charter, mapping_name
from tests.cli.kit import Terminal
from tests.cli.test_books import LEDGER
from tests.integration.operations.kit import MRR, an_installation

SHIPPED = {
    mapping_name(name, *kind): one.default_mappings(*kind)
    for name, one in registry.installed().items()
    if one.default_mappings
    for kind in product(CustomerModel, SeveralCustomers)
}
OWNERSHIP = {name: one.default_ownership() for name, one in registry.installed().items() if one.default_ownership}
ANSWERS = (
    "--company", "Example GmbH", "--timezone", "Europe/Berlin", "--owner", "RevOps", "--sandbox",
    "--salesforce-url", "https://example.my.salesforce.com",
)  # fmt: skip


def test_a_first_charter_passes_its_check_and_holds_no_secret(terminal: Terminal, tmp_path: Path) -> None:
    folder = tmp_path / "charter"
    said = terminal.do("init", *ANSWERS, "--charter", str(folder))
    assert said.code == 0
    assert (tmp_path / "installation" / "checkpoint.pub").read_text().strip() in said.out
    for name in ("STRIPE_API_KEY", "STRIPE_WEBHOOK_SECRET", "SALESFORCE_CLIENT_ID", "SALESFORCE_CLIENT_SECRET"):
        assert name in said.out
        assert f"env:{name}" in (folder / "accordant.yaml").read_text()
    checked = terminal.do("check", "--offline", "--charter", str(folder))
    assert checked.code == 0
    assert checked.out.count(" go ") == 2
    found = terminal.do("check", "--offline", "--json", "--charter", str(folder)).json
    assert [flow["go"] for flow in found["flows"]] == [True, True]
    assert found["company"] == "Example GmbH"


@pytest.mark.parametrize(("flag", "made"), [("--persons", "Contact"), ("--companies", "Account")])
def test_who_buys_chooses_the_mapping(terminal: Terminal, tmp_path: Path, flag: str, made: str) -> None:
    folder = tmp_path / "charter"
    assert terminal.do("init", *ANSWERS, flag, "--charter", str(folder)).code == 0
    assert terminal.do("check", "--offline", "--charter", str(folder)).code == 0
    charter = load_charter(folder, default_mappings=SHIPPED, default_ownership=OWNERSHIP)
    assert charter.flows[0].object == made


def test_a_charter_is_never_overwritten(terminal: Terminal, tmp_path: Path) -> None:
    folder = tmp_path / "charter"
    assert terminal.do("init", *ANSWERS, "--charter", str(folder)).code == 0
    before = (folder / "accordant.yaml").read_bytes()
    said = terminal.do("init", *ANSWERS, "--charter", str(folder))
    assert said.code == 2
    assert "There is a charter in" in said.err
    assert (folder / "accordant.yaml").read_bytes() == before


@pytest.mark.parametrize("flag", ["--company", "--owner", "--salesforce-url"])
def test_without_a_terminal_the_missing_flag_is_named(terminal: Terminal, tmp_path: Path, flag: str) -> None:
    place = ANSWERS.index(flag)
    said = terminal.do("init", *ANSWERS[:place], *ANSWERS[place + 2 :], "--charter", str(tmp_path / "charter"))
    assert said.code == 2
    assert f"Give {flag}." in said.err.replace("\n", " ")
    assert not (tmp_path / "charter").exists()


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--company", " "),
        ("--timezone", "Mars/Olympus"),
        ("--salesforce-url", "http://example.my.salesforce.com"),
        ("--salesforce-url", "https://example.my.salesforce.com/path"),
    ],
)
def test_an_answer_that_does_not_fit_is_named(terminal: Terminal, tmp_path: Path, flag: str, value: str) -> None:
    answers = list(ANSWERS)
    answers[answers.index(flag) + 1] = value
    said = terminal.do("init", *answers, "--charter", str(tmp_path / "charter"))
    assert said.code == 2
    assert flag in said.err
    assert not (tmp_path / "charter").exists()


def test_what_a_charter_lacks_is_no_go_with_its_sentence(terminal: Terminal, tmp_path: Path) -> None:
    folder = tmp_path / "charter"
    terminal.do("init", *ANSWERS, "--charter", str(folder))
    path = folder / "accordant.yaml"
    path.write_text(path.read_text().replace('"RevOps"', '" "'))
    said = terminal.do("check", "--offline", "--charter", str(folder))
    assert said.code == 1
    assert "no go" in said.out
    assert "Nobody owns the system" in " ".join(said.out.split())


def test_a_charter_that_is_not_there(terminal: Terminal, tmp_path: Path) -> None:
    said = terminal.do("check", "--charter", str(tmp_path / "nowhere"))
    assert said.code == 2
    assert "nowhere" in said.err.replace("\n", "")


async def test_a_target_that_changed_is_told_before_the_first_write(terminal: Terminal, tmp_path: Path) -> None:
    async with an_installation(f"sqlite:///{tmp_path / 'store.db'}", tmp_path) as one:
        terminal.use(one.settings)
        said = await terminal.ask("check")
        assert said.code == 0, said
        assert "salesforce has everything the mapping needs" in said.out
        one.salesforce.delete_field("Account", MRR)
        said = await terminal.ask("check", "--json")
        assert said.code == 1
        (drift,) = said.json["drift"]["salesforce"]
        assert (drift["object"], drift["field"]) == ("Account", MRR)
        assert "is missing" in drift["problem"]
        await one.salesforce.go_down()
        said = await terminal.ask("check")
        assert said.code == 0
        assert "Not asked: salesforce" in said.out
        await one.salesforce.come_up()


async def test_what_is_sold_and_cannot_be_billed_is_a_no_go(terminal: Terminal, tmp_path: Path) -> None:
    rows = LEDGER.replace('{role: revenue, account: "4000"}', '{role: revenue, account: "4000", product: prod_old}')
    async with an_installation(f"sqlite:///{tmp_path / 'store.db'}", tmp_path, more=rows) as one:
        terminal.use(one.settings)
        assert (await terminal.ask("check")).code == 0, "nothing is sold yet"
        product = one.stripe.account.create_product({"name": "Pro", "metadata": {}})
        await one.settle()
        said = await terminal.ask("check", "--json")
        assert said.code == 1
        wrong, warned = said.json["catalog"]
        assert (wrong["where"], wrong["severity"]) == (f"stripe:product/{product['id']}", "error")
        assert "No row of Example GmbH takes revenue of Pro" in wrong["problem"]
        assert "Add a row with role: revenue" in wrong["remedy"]
        assert (warned["where"].rpartition(".")[2], warned["severity"]) == ("product", "warning")
        said = await terminal.ask("check")
        assert "What is sold" in said.out
        book = one.stripe.book
        book.change(product, "product.updated", updated=book.now, active=False)
        await one.settle()
        said = await terminal.ask("check", "--json")
        assert (said.code, len(said.json["catalog"])) == (0, 1), "a warning is no no-go"


def test_the_schema_is_json_for_editors(terminal: Terminal) -> None:
    said = terminal.do("charter", "schema")
    assert said.code == 0
    assert "properties" in said.out
    assert "flows" in said.out
    assert said.json
