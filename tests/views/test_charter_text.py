"""The artifacts as files: whatever a charter says is text in Markdown and in HTML, and tables stay tables."""

import html
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accordant.views.charter import Artifact, Table, artifacts, span
from accordant.views.charter_text import html_page, markdown_page
from tests.unit.governance.company import CONNECTORS, charter, raw

HOSTILE = '<img src=x onerror="a()"> | ~~`[x](javascript:y)`~~ *b* & \\ \n\r\n\u2028 next # h {{ 7*7 }}'


def page(cell: str) -> Artifact:
    table = Table(title=cell, lead=cell, header=("One", "Two"), rows=((cell, "end"), ("x", cell)), empty=cell)
    none = Table(title="None", lead="", header=("One",), rows=(), empty=cell)
    return Artifact(slug="page", title=cell, lead=cell, tables=(table, none))


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text.append(data)


OURS = {
    "html", "head", "meta", "title", "style", "body", "nav", "a", "main", "h1", "h2", "p", "div", "table", "thead",
    "tbody", "tr", "th", "td", "footer",
}  # fmt: skip


@pytest.mark.parametrize("cell", [HOSTILE, "</td></table><script>", "a" * 5000, "\x00\x07", "é 漢字 \u202e"])
def test_no_value_becomes_markup_in_html(cell: str) -> None:
    shown = page(cell)
    text = html_page(shown, [shown], company=cell, made_of=cell)
    reader = Reader()
    reader.feed(text)
    assert reader.tags <= OURS
    assert not reader.attributes & {"onerror", "src", "style", "onclick"}
    assert html.escape(cell) in text


@given(st.text(max_size=60))
def test_a_markdown_table_keeps_its_cells_whatever_they_hold(cell: str) -> None:
    text = markdown_page(page(cell), made_of=cell)
    lines = [line for line in text.split("\n") if line.startswith("| ") and line.endswith(" |")]
    assert len(lines) == 4
    for line in lines:
        assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) == 3
    assert not re.search(r"(?<!\\)[<>]", text)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(1, "1 second"), (60, "1 minute"), (90, "90 seconds"), (5400, "90 minutes"), (86_400, "1 day"), (0, "0 days")],
)
def test_spans_are_told_in_the_largest_unit_that_comes_out_even(seconds: int, words: str) -> None:
    assert span(seconds) == words


def test_the_four_artifacts_say_what_support_has_to_know() -> None:
    inventory, entities, sensitivity, gates = artifacts(charter(raw()), connectors=CONNECTORS)
    assert [one.slug for one in (inventory, entities, sensitivity, gates)] == [
        "system-inventory", "entity-map", "sensitivity-policy", "gate-list",
    ]  # fmt: skip
    systems, ways, secrets, missing = inventory.tables
    assert ways.rows[1] == (
        "crm", "direct, by API and webhooks", "the hub's own connector, by default", "held by the hub's own tests",
    )  # fmt: skip
    assert systems.rows[1][:4] == ("crm", "CRM (crmbox)", "written", "Bo")
    assert ("crm", "client_secret", "CRM") in secrets.rows
    assert [row[0] for row in missing.rows] == ["ERP", "support"]
    timetable = next(table for table in entities.tables if table.title == "Real time or batch")
    assert timetable.rows[0] == (
        "accounts", "account to crm Company", "billing", "Ada", "real time", "1 minute",
        "The company page of the CRM shows it.", "15 minutes",
    )  # fmt: skip
    matrix = next(table for table in entities.tables if table.title == "Every fact")
    assert ("account", "mrr", "yes", "billing", "crm Company.MRR") in matrix.rows
    assert [row[0] for row in sensitivity.tables[0].rows].count("email") == 1
    assert gates.tables[0].rows == ()
