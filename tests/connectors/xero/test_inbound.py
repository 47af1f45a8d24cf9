"""Notices: proven before they are kept, understood as nothing but a reason to look, and parked where they are not."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from accordant.canonical.entities import Receivable
from accordant.canonical.observations import Interpreted, Parked, Quarantined
from accordant.canonical.refs import ExternalRef
from accordant.connectors.sdk.receivables import CHANGED, Told, spell
from accordant.connectors.xero.connector import inbound, webhook_secrets
from accordant.connectors.xero.inbound import XeroInbound
from accordant.connectors.xero.simulator import TENANT, XeroSimulator
from accordant.ports.connector import SignatureInvalid
from tests.connectors.xero.kit import settings

NOW = datetime(2026, 3, 14, 9, 26, tzinfo=UTC)
KEY = b"a-webhook-key"


@pytest.fixture
def heard() -> XeroInbound:
    return inbound(settings("https://api.example.com", webhook_secrets="a-webhook-key"))


@pytest.fixture
def simulator() -> XeroSimulator:
    return XeroSimulator(now=lambda: NOW)


def test_the_test_of_a_receiver_is_passed(heard: XeroInbound, simulator: XeroSimulator) -> None:
    """Several deliveries without a change, right and wrong ones: 200 for these, 401 for those, or no webhook at all."""
    secrets = webhook_secrets({"webhook_secrets": "the-next-key,a-webhook-key"})
    body, headers = simulator.notice(KEY)
    heard.verify(headers=headers, body=body, secrets=secrets, now=NOW)
    assert heard.interpret(system="xero", body=body) == Interpreted(())
    wrong_body, wrong = simulator.notice(b"another-key")
    for signature in (wrong, {}, {"x-xero-signature": ""}, {"x-xero-signature": headers["x-xero-signature"][:-4]}):
        with pytest.raises(SignatureInvalid):
            heard.verify(headers=signature, body=wrong_body, secrets=secrets, now=NOW)
    with pytest.raises(SignatureInvalid):
        heard.verify(headers=headers, body=body + b" ", secrets=secrets, now=NOW)


def test_a_notice_is_named_by_its_sequence_and_content(heard: XeroInbound, simulator: XeroSimulator) -> None:
    body, _ = simulator.notice(KEY, ("INVOICE", "id-1", "UPDATE"), ("CONTACT", "id-2", "CREATE"))
    envelope = heard.read_envelope(body)
    assert envelope.external_id.startswith("notice/1-2/")
    assert (envelope.event_type, envelope.occurred_at) == ("notice", NOW)
    assert heard.read_envelope(body) == envelope
    meaning = heard.interpret(system="xero", body=body)
    assert isinstance(meaning, Interpreted)
    assert [(str(one.ref), one.fields) for one in meaning.sightings] == [
        ("xero:Invoices/Invoices,id-1", None),
        ("xero:ManualJournals/Invoices,id-1", None),
        ("xero:Contacts/id-2", None),
    ]
    later, _ = simulator.notice(KEY, ("CREDITNOTE", "id-3", "UPDATE"))
    assert heard.read_envelope(later).external_id.startswith("notice/3-3/")


def test_a_category_nobody_knows_is_parked_and_a_strange_organisation_is_shown(
    heard: XeroInbound, simulator: XeroSimulator
) -> None:
    body, _ = simulator.notice(KEY, ("QUOTE", "id-1", "UPDATE"))
    parked = heard.interpret(system="xero", body=body)
    assert isinstance(parked, Parked)
    assert "QUOTE" in parked.reason
    foreign = body.replace(TENANT.encode(), b"another-tenant").replace(b"QUOTE", b"INVOICE")
    shown = heard.interpret(system="xero", body=foreign)
    assert isinstance(shown, Quarantined)
    assert "another-tenant" in shown.reason


@pytest.mark.parametrize(
    "body",
    [b"", b"not json", b"[]", b'{"firstEventSequence": 1}', b'{"firstEventSequence": 1, "events": [{}]}', b"\xff\xfe"],
)
def test_what_cannot_be_read_is_named_by_its_bytes(heard: XeroInbound, body: bytes) -> None:
    envelope = heard.read_envelope(body)
    assert envelope.defect
    assert envelope.external_id.startswith("sha256:")
    assert isinstance(heard.interpret(system="xero", body=body), Quarantined)


def test_what_was_fetched_lands_at_the_customer(heard: XeroInbound) -> None:
    told = Told(type=CHANGED, id="c-1", party="c-1", at=NOW, currency="EUR", open="119.00", overdue="19.00")
    body = spell(told)
    assert json.loads(body)["open"] == "119.00"
    assert heard.read_envelope(body).lane == "Contacts/c-1"
    found = heard.interpret(system="xero", body=body)
    assert isinstance(found, Interpreted)
    (said,) = found.observations
    assert isinstance(said.entity, Receivable)
    assert (said.root, said.entity.open.amount_minor) == (ExternalRef("xero", "Contacts", "c-1"), 11_900)
    assert isinstance(heard.interpret(system="xero", body=body.replace(b"119.00", b"much")), Quarantined)
