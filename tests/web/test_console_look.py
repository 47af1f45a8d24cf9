"""How pages look with many rows: every class is styled, long lists are cut where they say so, and files have all."""

from __future__ import annotations

import csv
import re
from datetime import timedelta
from importlib.resources import files
from pathlib import Path

from accordant.canonical.intents import RefusalClass, Refused
from accordant.views.trouble import LISTED_MAX
from tests.databases import open_store
from tests.web.company import NOW, REFUSAL, Company, ConsoleDesk, browse, fields_of

_WEB = files("accordant.web")


def classes_of(template: str) -> set[str]:
    """The names a template writes out; what it computes is left out, with the word it is a part of."""
    found: set[str] = set()
    for value in re.findall(r'class="((?:\{\{.*?\}\}|\{%.*?%\}|[^"{])*)"', template, re.DOTALL):
        found |= {word for word in re.sub(r"\{%.*?%\}", " ", re.sub(r"\S*\{\{.*?\}\}\S*", " ", value)).split() if word}
    return found


def test_every_class_of_a_template_is_in_the_style_sheet() -> None:
    styled = set(re.findall(r"\.([a-z][\w-]*)", (_WEB / "static" / "accordant.css").read_text()))
    unknown = {
        (one.name, name)
        for one in (_WEB / "templates").iterdir()
        for name in classes_of(one.read_text())
        if name not in styled
    }
    assert unknown == set()


def test_many_dead_letters_of_one_cause_are_counted_and_the_first_are_listed(tmp_path: Path) -> None:
    many = LISTED_MAX + 7
    desk = ConsoleDesk(open_store(f"sqlite:///{tmp_path / 'many.sqlite'}"))
    company = Company(desk.database)
    for number in range(many):
        at, key = NOW - timedelta(minutes=many - number), f"cus_{number:03d}"
        seq = company.receive("customer.updated", f"customer/{key}", at=at)
        company.want(
            company.describe(key, f"Number {number:03d}", at=at, seq=seq, mrr_minor=100),
            key, fields_of(key, "1.00"), at=at, seq=seq,
        )  # fmt: skip
        company.deliver(at=at, outcome=Refused(cause=RefusalClass.DATA_QUALITY, code="INVALID_FIELD", message=REFUSAL))
    with browse(desk) as visitor:
        page = visitor.get("/trouble").text
        listed = re.findall(r">Number (\d{3})</a>", page)
        assert listed == [f"{number:03d}" for number in range(LISTED_MAX)]
        assert f"Put back {many} writes…" in page
        assert f"{many - LISTED_MAX} more of the same cause; the files below hold them all." in page
        assert len(list(csv.DictReader(visitor.get("/trouble.csv").text.splitlines()))) == many
        assert sum(len(group["items"]) for group in visitor.get("/trouble.json").json()["groups"]) == many
    desk.database.close()
