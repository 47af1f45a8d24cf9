"""Notices in both spellings: proven before they are kept, understood as nothing but a reason to look."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from accordant.canonical.observations import Fate, Interpretation, Interpreted, Parked, Quarantined, Sighting
from accordant.canonical.refs import ExternalRef
from accordant.connectors.quickbooks.connector import inbound, webhook_secrets
from accordant.connectors.quickbooks.inbound import QuickBooksInbound, read_notice
from accordant.connectors.quickbooks.simulator import REALM, QuickBooksSimulator
from accordant.connectors.sdk.receivables import CHANGED, Told, spell
from accordant.connectors.sdk.sightings import RECORD_CHANGED, ToldRecord, spell_record
from accordant.ports.connector import SignatureInvalid
from tests.connectors.quickbooks.kit import settings

NOW = datetime(2026, 3, 14, 9, 26, tzinfo=UTC)
KEY = b"a-verifier-token"
CHANGES = (("Invoice", "95", "Create"), ("Customer", "12", "Merge"))


@pytest.fixture
def heard(tmp_path: Path) -> QuickBooksInbound:
    return inbound(settings("https://api.example.com", tmp_path, webhook_secrets="a-verifier-token"))


@pytest.fixture
def simulator() -> QuickBooksSimulator:
    return QuickBooksSimulator(now=lambda: NOW)


@pytest.mark.parametrize("cloud", [False, True])
def test_a_signed_notice_is_taken_and_any_other_is_not(
    heard: QuickBooksInbound, simulator: QuickBooksSimulator, cloud: bool
) -> None:
    secrets = webhook_secrets({"webhook_secrets": "next,a-verifier-token"})
    body, headers = simulator.notice(KEY, *CHANGES, cloud=cloud)
    heard.verify(headers=headers, body=body, secrets=secrets, now=NOW)
    for wrong, content in (({}, body), (headers, body + b" "), (simulator.notice(b"x", cloud=cloud)[1], body)):
        with pytest.raises(SignatureInvalid):
            heard.verify(headers=wrong, body=content, secrets=secrets, now=NOW)


def test_both_spellings_say_the_same(heard: QuickBooksInbound, simulator: QuickBooksSimulator) -> None:
    former, cloud = [simulator.notice(KEY, *CHANGES, cloud=cloud, merged="7")[0] for cloud in (False, True)]
    assert read_notice(former) == read_notice(cloud)
    assert {(one.company, one.kind) for one in read_notice(cloud)} == {(REALM, "invoice"), (REALM, "customer")}
    for body in (former, cloud):
        envelope = heard.read_envelope(body)
        assert (envelope.event_type, envelope.occurred_at, envelope.defect) == ("notice", NOW, None)
        assert heard.read_envelope(body) == envelope
        meaning = heard.interpret(system="quickbooks", body=body)
        assert isinstance(meaning, Interpreted)
        assert (meaning.observations, meaning.business_events) == ((), ())
        assert [str(one.ref) for one in meaning.sightings] == [
            "quickbooks:Invoice/Invoice,95",
            "quickbooks:JournalEntry/Invoice,95",
            "quickbooks:Customer/12",
            "quickbooks:Customer/7",
        ]
        assert {(one.fields, one.seen_at) for one in meaning.sightings} == {(None, NOW)}
        strange = body.replace(REALM.encode(), b"4620816365")
        assert heard.interpret(system="quickbooks", body=strange) == Interpreted(())  # another company of the same app
    assert heard.read_envelope(former).external_id != heard.read_envelope(cloud).external_id


@pytest.mark.parametrize("cloud", [False, True])
def test_an_entity_nobody_knows_is_parked(
    heard: QuickBooksInbound, simulator: QuickBooksSimulator, cloud: bool
) -> None:
    body, _ = simulator.notice(KEY, ("Rainbow", "1", "Create"), cloud=cloud)
    parked = heard.interpret(system="quickbooks", body=body)
    assert isinstance(parked, Parked)
    assert "rainbow" in parked.reason


@pytest.mark.parametrize(
    "body",
    [b"", b"not json", b"{}", b'{"eventNotifications": [{}]}', b'[{"specversion": "1.0"}]', b"\xff\xfe"],
)
def test_what_cannot_be_read_is_named_by_its_bytes(heard: QuickBooksInbound, body: bytes) -> None:
    envelope = heard.read_envelope(body)
    assert envelope.defect
    assert envelope.external_id.startswith("sha256:")
    assert isinstance(heard.interpret(system="quickbooks", body=body), Quarantined)


def test_what_was_fetched_lands_at_the_customer(heard: QuickBooksInbound) -> None:
    told = Told(type=CHANGED, id="12", party="12", at=NOW, currency="USD", open="119.00", overdue="0.00")
    found = heard.interpret(system="quickbooks", body=spell(told))
    assert isinstance(found, Interpreted)
    assert str(found.observations[0].root) == "quickbooks:Customer/12"


def test_a_record_is_told_for_each_object_it_may_be_of(heard: QuickBooksInbound) -> None:
    told = ToldRecord(id="Invoice,95", objects=("Invoice", "JournalEntry"), at=NOW, fields={"state": "posted"})
    body = spell_record(told)
    envelope = heard.read_envelope(body)
    assert (envelope.event_type, envelope.occurred_at) == (RECORD_CHANGED, NOW)
    assert heard.read_envelope(spell_record(told)) == envelope
    later = spell_record(msgspec.structs.replace(told, fields={"state": "cancelled"}))
    assert heard.read_envelope(later).external_id != envelope.external_id
    meaning = heard.interpret(system="quickbooks", body=body)
    assert isinstance(meaning, Interpreted)
    assert [(str(one.ref), one.fields) for one in meaning.sightings] == [
        ("quickbooks:Invoice/Invoice,95", {"state": "posted"}),
        ("quickbooks:JournalEntry/Invoice,95", {"state": "posted"}),
    ]
    ref = ExternalRef("quickbooks", "JournalEntry", "Invoice,95")
    (seen,) = sightings(heard.interpret_object(ref=ref, body=body, read_at=NOW))
    assert (seen.ref, seen.fate) == (ref, Fate.STANDS)
    (gone,) = sightings(heard.interpret_object(ref=ref, body=b"", read_at=NOW))
    assert (gone.ref, gone.fields, gone.fate) == (ref, None, Fate.DELETED)
    unreadable = body.replace(b'"at"', b'"when"')
    assert isinstance(heard.interpret(system="quickbooks", body=unreadable), Quarantined)
    assert isinstance(heard.interpret_object(ref=ref, body=unreadable, read_at=NOW), Quarantined)
    assert heard.read_envelope(unreadable).defect


def sightings(meaning: Interpretation) -> tuple[Sighting, ...]:
    assert isinstance(meaning, Interpreted)
    return meaning.sightings
