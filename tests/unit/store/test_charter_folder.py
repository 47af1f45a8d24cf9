"""The folder is read strictly: each trap is refused with file, line and remedy (B12), and a usual company is short."""

from datetime import date
from pathlib import Path

import msgspec
import pytest
import yaml

from accordant.canonical.charter import Charter, CustomerModel, FieldPart, FieldType, MappingPart, Phase, SyncMode
from accordant.canonical.refs import EntityKind
from accordant.governance.findings import ConnectorFacts, Severity
from accordant.kernel.errors import ConfigurationError
from accordant.store.charter_folder import (
    FILES_MAX,
    CharterFolder,
    CharterInvalid,
    ExampleSystem,
    example_charter,
    load_charter,
    read_folder,
)
from accordant.store.charter_shape import charter_schema
from accordant.store.charter_yaml import FILE_BYTES_MAX, CharterDefect
from tests.unit.governance.company import CONNECTORS
from tests.unit.store.charter_corpus import FILES, SHORT
from tests.unit.store.charter_corpus_rules import LEDGER, RULES

ACCOUNTS = MappingPart(
    entity=EntityKind.ACCOUNT,
    object="Company",
    key_field="Billing_Id",
    fields={"Name": FieldPart(source="name"), "MRR": FieldPart(source="mrr", type=FieldType.CURRENCY)},
)
AGREEMENTS = MappingPart(
    entity=EntityKind.SUBSCRIPTION,
    object="Agreement",
    key_field="Billing_Id",
    fields={"Status": FieldPart(source="status")},
)
MAPPINGS = {"crmbox": (ACCOUNTS, AGREEMENTS)}
OWNERSHIP = {
    "paybox": {
        EntityKind.ACCOUNT: "Billing knows who pays.",
        EntityKind.SUBSCRIPTION: "Billing knows what is paid for.",
        EntityKind.INVOICE: "Billing issues every invoice.",
        EntityKind.PAYMENT: "Billing collects every payment.",
        EntityKind.PAYOUT: "Billing makes every payout.",
    }
}


def write(folder: Path, **files: str | bytes) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", ".")
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def load(folder: Path, connectors: dict[str, ConnectorFacts] | None = CONNECTORS) -> Charter:
    return load_charter(folder, default_mappings=MAPPINGS, default_ownership=OWNERSHIP, connectors=connectors)


def read(folder: Path) -> CharterFolder:
    return read_folder(folder, default_mappings=MAPPINGS, default_ownership=OWNERSHIP, connectors=CONNECTORS)


def refused(folder: Path) -> tuple[CharterDefect, ...]:
    with pytest.raises(CharterInvalid) as caught:
        load(folder)
    assert isinstance(caught.value, ConfigurationError)
    for defect in caught.value.defects:
        assert str(defect) in str(caught.value)
        assert defect.line >= 1
        assert defect.column >= 1
        assert defect.problem.endswith(".")
        assert defect.remedy.endswith((".", "?"))
        assert str(folder) not in str(defect)
    return caught.value.defects


# -- what is filled in -----------------------------------------------------------------------------------------------


def test_a_usual_company_is_under_twenty_lines(tmp_path: Path) -> None:
    charter = load(write(tmp_path, charter__yaml=SHORT))
    accounts, subscriptions = charter.flows
    assert len(SHORT.splitlines()) < 20
    assert (accounts.name, accounts.object) == ("paybox-account-to-crmbox", "Company")
    assert accounts.write_fields == ("Name", "MRR")
    assert (accounts.phase, accounts.sync) == (Phase.CONTROLLED, SyncMode.REAL_TIME)
    assert (subscriptions.object, subscriptions.write_fields) == ("Agreement", ("Status",))
    assert charter.mappings == {"crmbox": (ACCOUNTS, AGREEMENTS)}
    assert [(part.entity, part.system_of_record, part.readers) for part in charter.ownership] == [
        (EntityKind.ACCOUNT, "paybox", ("crmbox",)),
        (EntityKind.SUBSCRIPTION, "paybox", ("crmbox",)),
        (EntityKind.INVOICE, "paybox", ()),
        (EntityKind.PAYMENT, "paybox", ()),
        (EntityKind.PAYOUT, "paybox", ()),
    ]
    assert [part.direction.value for part in charter.ownership] == ["outbound"] * 2 + ["inbound"] * 3
    assert charter.ownership[0].purpose == "Billing knows who pays."
    assert charter.systems["crmbox"].connector == "crmbox"
    assert charter.systems["crmbox"].rate_per_s == 20


def test_the_version_names_the_rules_and_not_their_spelling(tmp_path: Path) -> None:
    one = load(write(tmp_path, charter__yaml=SHORT))
    spelled = "# the same\n" + SHORT.replace("EXAMPLE-1", '"EXAMPLE-1"').replace("owner: Ada", "owner:   'Ada'")
    assert load(write(tmp_path, charter__yaml=spelled)).version == one.version
    assert load(write(tmp_path, charter__yaml=SHORT.replace("Ada", "Eve"))).version != one.version


def test_several_files_are_one_charter(tmp_path: Path) -> None:
    head, tail = SHORT.split("flows:")
    write(tmp_path, a__yaml=head, b__yml="flows:" + tail, notes__txt="not: yaml: at all", _hidden="")
    (tmp_path / ".draft.yaml").write_text("company: OTHER\n")
    whole = tmp_path / "whole"
    whole.mkdir()
    assert load(tmp_path) == load(write(whole, charter__yaml=SHORT))


def test_rows_of_the_books_have_days(tmp_path: Path) -> None:
    books = load(write(tmp_path, charter__yaml=SHORT + LEDGER)).ledger
    assert books is not None
    company = books.legal_entities["EXAMPLE-1"]
    assert company.closed_before == date(2027, 1, 1)
    assert [(row.from_on, row.until_on) for row in company.rules] == [(date(2027, 1, 1), date(2028, 2, 29))]


@pytest.mark.parametrize("words", ["", "write_fields: all, "])
def test_all_fields_are_those_the_source_owns(tmp_path: Path, words: str) -> None:
    text = SHORT.replace("phase: controlled, ", f"phase: controlled, {words}")
    text += "ownership:\n  - entity: account\n    system_of_record: paybox\n    readers: [crmbox]\n"
    text += "    purpose: Billing knows who pays.\n    fields: { name: crmbox }\n"
    charter = load(write(tmp_path, charter__yaml=text))
    assert charter.flows[0].write_fields == ("MRR",)
    assert [part.entity for part in charter.ownership][:2] == [EntityKind.ACCOUNT, EntityKind.SUBSCRIPTION]


def test_what_is_written_is_not_filled_in(tmp_path: Path) -> None:
    text = SHORT.replace("phase: controlled, ", "phase: controlled, name: mine, write_fields: [MRR], ")
    text += "mappings:\n  crmbox:\n"
    text += "    - { entity: account, object: Firm, key_field: Id, fields: { MRR: { source: mrr, type: currency } } }\n"
    text += "    - { entity: subscription, object: Deal, key_field: Id, fields: { Status: { source: status } } }\n"
    charter = load(write(tmp_path, charter__yaml=text))
    assert (charter.flows[0].name, charter.flows[0].object, charter.flows[0].write_fields) == ("mine", "Firm", ("MRR",))
    assert [mapping.object for mapping in charter.mappings["crmbox"]] == ["Firm", "Deal"]


def test_a_rate_that_is_not_written_stays_below_the_vendors(tmp_path: Path) -> None:
    slow = CONNECTORS | {"crmbox": msgspec.structs.replace(CONNECTORS["crmbox"], rate_per_s_max=8)}
    assert load(write(tmp_path, charter__yaml=SHORT), slow).systems["crmbox"].rate_per_s == 8


def test_two_sources_of_one_entity_have_no_owner_by_default(tmp_path: Path) -> None:
    text = SHORT.replace(
        "flows:", "  other:\n    { connector: paybox, owner: Cy, settings: { webhook_secrets: env:B } }\nflows:"
    )
    text += "  - { entity: account, source: other, target: crmbox, phase: draft, verify: Nowhere }\n"
    assert ("flows[0].entity", "Nobody owns") in {
        (defect.path, defect.problem[:11]) for defect in refused(write(tmp_path, charter__yaml=text))
    }


def test_without_connectors_only_the_files_are_judged(tmp_path: Path) -> None:
    write(tmp_path, charter__yaml=SHORT.replace("owner: Ada", 'owner: ""'))
    assert load(tmp_path, None).systems["paybox"].owner == ""
    assert [defect.path for defect in refused(tmp_path)] == ["systems.paybox.owner"]


# -- what is refused -------------------------------------------------------------------------------------------------

B12 = FILES + RULES


def test_the_corpus_is_as_large_as_it_is_said_to_be() -> None:
    assert len(B12) >= 90
    assert len({row[0] for row in B12}) == len(B12)


@pytest.mark.parametrize(("text", "line", "path", "says"), [row[1:] for row in B12], ids=[row[0] for row in B12])
def test_refused_with_file_line_and_remedy(tmp_path: Path, text: str, line: int, path: str, says: str) -> None:
    found = refused(write(tmp_path, a__yaml=text))
    here = [
        defect
        for defect in found
        if defect.line == line and (defect.path == path or not path) and says in f"{defect.problem} {defect.remedy}"
    ]
    assert len(here) == 1, "\n".join(map(str, found))
    assert here[0].file == "a.yaml"


@pytest.mark.parametrize(
    ("raw", "line", "says"),
    [
        (SHORT.encode("utf-16"), 1, "UTF-8"),
        (b"company: EXAMPLE-1\nsystems: \xff\xfe\n", 2, "UTF-8"),
        (b"company: " + b"x" * FILE_BYTES_MAX, 1, "bytes"),
    ],
    ids=["UTF-16", "Latin-1", "too large"],
)
def test_bytes_that_are_refused(tmp_path: Path, raw: bytes, line: int, says: str) -> None:
    (defect,) = refused(write(tmp_path, a__yaml=raw))
    assert (defect.line, says in defect.problem) == (line, True)


def test_a_byte_order_mark_is_no_offence(tmp_path: Path) -> None:
    assert load(write(tmp_path, a__yaml=b"\xef\xbb\xbf" + SHORT.encode())).company == "EXAMPLE-1"


def test_an_anchor_bomb_is_small_work(tmp_path: Path) -> None:
    levels = [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 10)]
    bomb = "\n".join([SHORT + "l0: &l0 [lol, lol, lol]", *levels])
    found = refused(write(tmp_path, a__yaml=bomb))
    assert sum("alias" in defect.problem for defect in found) == 81
    assert sum("anchor" in defect.problem for defect in found) == 10


def test_a_first_level_key_in_two_files(tmp_path: Path) -> None:
    found = refused(write(tmp_path, a__yaml=SHORT, b__yaml="# more\ncompany: EXAMPLE-2\n"))
    assert [(defect.file, defect.line, defect.path) for defect in found] == [("b.yaml", 2, "company")]
    assert "a.yaml, line 1" in found[0].problem


def test_places_are_those_of_the_file_that_holds_the_part(tmp_path: Path) -> None:
    head, tail = SHORT.split("flows:")
    found = refused(write(tmp_path, a__yaml=head, b__yaml="# flows\nflows:" + tail.replace("controlled", "automated")))
    assert [(defect.file, defect.line, defect.path) for defect in found] == [("b.yaml", 3, "flows[0].phase")]


def test_everything_wrong_with_the_files_is_told_at_once(tmp_path: Path) -> None:
    text = (
        SHORT.replace("owner: Ada", "ownr: Ada").replace("phase: controlled", "phase: live, paused: yes") + "flow: 3\n"
    )
    found = refused(write(tmp_path, a__yaml=text, b__yaml=""))
    assert {defect.path for defect in found} == {
        "systems.paybox.ownr",
        "systems.paybox.owner",
        "flows[0].phase",
        "flows[0].paused",
        "flow",
        "",
    }


def test_what_an_unreadable_file_may_have_held_is_not_missed(tmp_path: Path) -> None:
    head, tail = SHORT.split("flows:")
    found = refused(write(tmp_path, a__yaml=head, b__yaml="flows:" + tail.replace("}", "", 1)))
    assert [(defect.file, "not YAML" in defect.problem) for defect in found] == [("b.yaml", True)]


def test_a_folder_without_files_too_many_or_none(tmp_path: Path) -> None:
    assert "holds 0 YAML files" in refused(tmp_path)[0].problem
    assert "cannot be read" in refused(tmp_path / "nowhere")[0].problem
    for number in range(FILES_MAX + 1):
        write(tmp_path, **{f"f{number}__yaml": "a: 1\n"})
    assert f"holds {FILES_MAX + 1} YAML files" in refused(tmp_path)[0].problem


def test_warnings_do_not_refuse_and_have_their_place(tmp_path: Path) -> None:
    folder = read(write(tmp_path, a__yaml=SHORT.replace(", verify: Company pages", "")))
    assert load(tmp_path).flows[0].verify == ""
    assert [(found.severity, found.path, found.line) for found in folder.check(CONNECTORS)] == [
        (Severity.WARNING, "flows[0].verify", 10),
        (Severity.WARNING, "phases.approvers", 1),
    ]


def test_a_defect_of_what_was_filled_in_points_to_what_called_for_it(tmp_path: Path) -> None:
    broken = msgspec.structs.replace(ACCOUNTS, fields={"MRR": FieldPart(source="mrr")})
    write(tmp_path, a__yaml=SHORT)
    with pytest.raises(CharterInvalid) as caught:
        load_charter(
            tmp_path,
            default_mappings={"crmbox": (broken, AGREEMENTS)},
            default_ownership={"paybox": OWNERSHIP["paybox"] | {EntityKind.ACCOUNT: "Money."}},
            connectors=CONNECTORS,
        )
    assert {(defect.path, defect.line) for defect in caught.value.defects} == {
        ("mappings.crmbox[0].fields.MRR.type", 6),
        ("ownership[0].purpose", 10),
    }


# -- the first charter, the schema, the how-to -----------------------------------------------------------------------

SOURCE = ExampleSystem(connector="paybox", owner="Ada", settings={"webhook_secrets": "env:HOOK", "live_mode": False})
TARGET = ExampleSystem(
    connector="crmbox", owner="Bo: sales", settings={"instance_url": "https://crm.example", "client_secret": "env:CRM"}
)


@pytest.mark.parametrize("company", ["Example Inc", 'Say "yes" # Inc', "no", "123", "Åse & Søn: A/S"])
def test_the_first_charter_loads_and_is_short(tmp_path: Path, company: str) -> None:
    text = example_charter(
        company=company, timezone="Europe/Berlin", model=CustomerModel.B2B, source=SOURCE, target=TARGET
    )
    charter = load(write(tmp_path, charter__yaml=text))
    assert len(text.splitlines()) < 20
    assert max(map(len, text.splitlines())) <= 120
    assert (charter.company, charter.timezone) == (company, "Europe/Berlin")
    assert charter.systems["crmbox"].owner == "Bo: sales"
    assert charter.systems["paybox"].settings == SOURCE.settings
    assert {flow.phase for flow in charter.flows} == {Phase.READ_ONLY}
    assert read(tmp_path).check(CONNECTORS) == ()


def test_the_schema_takes_what_the_loader_takes() -> None:
    schema = charter_schema()
    judge = pytest.importorskip(
        "jsonschema_rs", reason="Install accordant[contracts] to judge the schema."
    ).validator_for(schema)
    short = yaml.safe_load(SHORT)
    assert judge.is_valid(short)
    short["flows"][0]["write_fields"] = "all"
    assert judge.is_valid(short)
    for wrong in ({"write_fields": "every"}, {"phase": "live"}, {"verfy": "x"}, {"paused": "yes"}):
        assert not judge.is_valid(short | {"flows": [short["flows"][0] | wrong]})
    assert not judge.is_valid({"company": "EXAMPLE-1"})
