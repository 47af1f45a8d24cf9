"""Planted persons leave through no page, no file and no answer of a view (reliability.md PR1), for every audience."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import msgspec
import pytest

from accordant.canonical.charter import Audience
from accordant.canonical.intents import RefusalClass, Refused, WireValue
from accordant.governance.sensitivity import lens
from accordant.store.engine import Database
from accordant.views.blame import blame
from accordant.views.customer import customer
from accordant.views.masked import masked
from accordant.views.trace import trace
from accordant.views.why import why
from tests.databases import open_store
from tests.web.company import NOW, Company, ConsoleDesk, browse

NAMES = ("Ada Lovelace", "山田 太郎", "Олена Шевченко", "محمد علي", "Zoë Müller-Ångström", "Νίκος Παππάς")
EMAIL, CARD, IBAN = "ada.lovelace@mail.example", "4111111111111111", "DE89370400440532013000"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Database]:
    database = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    yield database
    database.close()


def _planted(store: Database, desk: ConsoleDesk, name: str) -> tuple[str, str, list[str]]:
    """A company whose every text holds a person; the account, its record, and what must not leave."""
    company = Company(store)
    note = f"{name} wrote from {EMAIL}, card {CARD}, account {IBAN}"
    body = msgspec.json.encode({"id": "evt", "customer": {"name": name, "email": EMAIL}, "note": note, "iban": IBAN})
    seq = company.receive("customer.updated", "customer/cus_one", at=NOW, body=body)
    desk.bodies[seq] = body
    account = company.describe("cus_one", name, at=NOW, seq=seq, mrr_minor=100)
    fields: dict[str, WireValue] = {"Name": name, "Email": EMAIL, "Iban__c": IBAN, "MRR__c": "1.00"}
    fields["Notes"] = f"Call {EMAIL}"
    record = company.want(account, "cus_one", fields, at=NOW, seq=seq)
    refusal = Refused(cause=RefusalClass.DATA_QUALITY, code="X", message=f"Refused for {EMAIL} ({CARD})")
    company.deliver(at=NOW, outcome=refusal, before={"Name": name, "Email": EMAIL})
    return account.id, record, [EMAIL, CARD, IBAN]


def _spellings(secret: str) -> set[str]:
    """How a value may leave in disguise."""
    return {
        secret,
        quote(secret),
        json.dumps(secret)[1:-1],
        secret[::-1],
        base64.b64encode(secret.encode()).decode().rstrip("="),
    }


@pytest.mark.parametrize("audience", [Audience.SUPPORT, Audience.ENGINEER])
@pytest.mark.parametrize("name", NAMES)
def test_nothing_that_was_planted_leaves_a_page_or_a_file(store: Database, audience: Audience, name: str) -> None:
    desk = ConsoleDesk(store)
    desk.audience = audience
    account, record, secrets = _planted(store, desk, name)
    if audience is Audience.ENGINEER:
        secrets.append(name)
    pages = [
        "/customers",
        "/customers.json",
        "/customers.csv",
        "/trouble",
        "/trouble.json",
        "/trouble.csv",
        "/shadow.json",
    ]
    pages += [f"{page}{form}" for page in (f"/customers/{account}", "/events/1") for form in ("", ".json", ".csv")]
    pages += [f"/why{form}?ref={record}&field={field}" for form in ("", ".json", ".csv") for field in ("Name", "Email")]
    pages += ["/events/1?personal=shown", f"/why?ref={record}", "/", "/overview.json"]
    with browse(desk) as visitor:
        for page in pages:
            answer = visitor.get(page)
            assert answer.status_code == 200, page
            for secret in secrets:
                for spelled in _spellings(secret):
                    assert spelled not in answer.text, (page, secret, spelled)


@pytest.mark.parametrize("audience", Audience)
def test_no_answer_of_a_view_shows_more_than_its_audience_may_see(store: Database, audience: Audience) -> None:
    account, record, _ = _planted(store, ConsoleDesk(store), "Ada Lovelace")
    answers = [trace(store, 1), customer(store, account, now=NOW), why(store, record, "Name"), blame(store, record)]
    for answer in answers:
        assert answer is not None
        told = msgspec.json.encode(masked(answer, lens(None, audience))).decode()
        whole = audience in {Audience.REVOPS, Audience.FINANCE, Audience.COMPLIANCE}
        assert (EMAIL in told) == whole
        assert ("Ada Lovelace" in told) == (audience is not Audience.ENGINEER)
        assert CARD not in told
        assert IBAN not in told
        assert record in told or account in told


def test_covering_twice_changes_nothing(store: Database) -> None:
    account, record, _ = _planted(store, ConsoleDesk(store), "Ada Lovelace")
    for answer in (trace(store, 1), customer(store, account, now=NOW), why(store, record, "Email")):
        once = masked(answer, lens(None))
        assert masked(once, lens(None)) == once


def test_a_search_does_not_tell_an_address_letter_by_letter(store: Database) -> None:
    desk = ConsoleDesk(store)
    _planted(store, desk, "Ada Lovelace")
    with browse(desk) as visitor:
        assert "cus_one" not in visitor.get("/customers.csv?q=billing@cus_o").text
        desk.audience = Audience.REVOPS
    with browse(desk) as visitor:
        assert "cus_one" in visitor.get("/customers.csv?q=billing@cus_o").text
