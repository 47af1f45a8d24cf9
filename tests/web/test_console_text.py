"""Set B5 on the pages and in the files of the console: shown as text, never run, and no cell a formula."""

from __future__ import annotations

import csv
import io
import re
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest

from accordant.web.console.words import csv_cell
from tests.databases import open_store
from tests.text_corpus import TEXTS
from tests.web.company import NOW, Company, ConsoleDesk, browse

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")


class Tags(HTMLParser):
    """The tags of a page and the names of their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[tuple[str, str]] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found |= {(tag, name) for name, _ in attrs} | {(tag, "")}


def tags_of(page: str) -> set[tuple[str, str]]:
    parser = Tags()
    parser.feed(page)
    return parser.found


def shown(names: list[str], url: str) -> tuple[str, str]:
    """The list of customers with these names, as a page and as a file."""
    database = open_store(url)
    company = Company(database)
    for number, name in enumerate(names):
        at = NOW - timedelta(minutes=number)
        seq = company.receive("customer.created", f"customer/cus_{number}", at=at)
        company.describe(f"cus_{number}", name, at=at, seq=seq)
    with browse(ConsoleDesk(database)) as visitor:
        return visitor.get("/customers").text, visitor.get("/customers.csv").text


@pytest.mark.parametrize("text", [*TEXTS, "\0=1", " \0 =1"])
def test_no_cell_is_a_formula_and_none_is_broken(text: str) -> None:
    cell = csv_cell(text)
    (row,) = csv.reader(io.StringIO(f"{cell},next\r\n", newline=""), strict=True)
    assert row[1] == "next"
    assert text.replace("\0", "") in row[0]
    is_number = re.fullmatch(r"-?\d+(\.\d+)?", text, re.ASCII) is not None
    assert is_number or not row[0].lstrip().startswith(_FORMULA)


def test_every_text_is_shown_as_text(tmp_path: Path) -> None:
    names = [text for text in TEXTS if len(text) < 300]
    plain, _ = shown([f"Example {number}" for number in range(len(names))], f"sqlite:///{tmp_path}/plain.db")
    told, table = shown(names, f"sqlite:///{tmp_path}/told.db")
    assert tags_of(told) <= tags_of(plain), "no text adds a tag or an attribute"
    assert not any(text in told for text in names if text.startswith("<") and len(text) > 3)
    rows = list(csv.reader(io.StringIO(table, newline=""), strict=True))
    assert len(rows) > 1
    assert len({len(row) for row in rows}) == 1, "no text adds a column"
