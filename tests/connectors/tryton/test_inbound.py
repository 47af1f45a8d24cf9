"""What Tryton says of debts, as fetched: understood, parked or set aside, and nothing that comes to the door counts."""

from __future__ import annotations

from datetime import UTC, date, datetime

import msgspec
import pytest

from accordant.canonical.entities import Receivable
from accordant.canonical.observations import Interpreted, Parked, Quarantined, Standpoint
from accordant.canonical.refs import ExternalRef
from accordant.connectors.sdk.receivables import CHANGED, Told, spell
from accordant.connectors.tryton.inbound import TrytonInbound
from accordant.kernel.money import Money
from accordant.ports.connector import SignatureInvalid

AT = datetime(2026, 3, 14, 9, 26, 53, 5, tzinfo=UTC)
TOLD = Told(
    type=CHANGED, id="17@1", party="17", at=AT, currency="EUR", open="119.00", overdue="19.00",
    oldest_due_on=date(2026, 3, 1),
)  # fmt: skip
INBOUND = TrytonInbound()


def test_what_was_fetched_is_understood() -> None:
    body = spell(TOLD)
    envelope = INBOUND.read_envelope(body)
    assert (envelope.event_type, envelope.lane, envelope.occurred_at) == (CHANGED, "party.party/17", AT)
    found = INBOUND.interpret(system="tryton", body=body)
    assert isinstance(found, Interpreted)
    (seen,) = found.observations
    assert seen.ref == ExternalRef("tryton", "receivable", "17@1")
    assert seen.root == ExternalRef("tryton", "party.party", "17")
    assert seen.entity == Receivable(
        external_id="17@1", open=Money(11_900, "EUR"), overdue=Money(1_900, "EUR"), oldest_due_on=date(2026, 3, 1)
    )
    assert INBOUND.interpret(system="tryton", body=body) == found
    again = INBOUND.interpret_object(ref=seen.ref, body=body, read_at=AT)
    assert isinstance(again, Interpreted)
    assert again.observations[0].standpoint is Standpoint.READING
    assert INBOUND.interpret_object(ref=seen.ref, body=b"", read_at=AT) == Interpreted(())


def test_another_state_is_another_event_and_the_same_is_the_same() -> None:
    later = msgspec.structs.replace(TOLD, at=datetime(2026, 3, 15, tzinfo=UTC))
    names = {INBOUND.read_envelope(spell(told)).external_id for told in (TOLD, TOLD, later)}
    assert len(names) == 2


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{}", b'{"type":"receivable.changed"}', b"\xff"])
def test_a_body_of_somebody_else_has_a_defect_and_is_set_aside(body: bytes) -> None:
    assert INBOUND.read_envelope(body).defect
    assert isinstance(INBOUND.interpret(system="tryton", body=body), Quarantined)


def test_an_amount_that_is_none_is_set_aside_and_an_unknown_type_parked() -> None:
    odd = spell(msgspec.structs.replace(TOLD, open="1,19"))
    assert isinstance(INBOUND.interpret(system="tryton", body=odd), Quarantined)
    new = spell(msgspec.structs.replace(TOLD, type="party.merged"))
    assert isinstance(INBOUND.interpret(system="tryton", body=new), Parked)


def test_nothing_that_comes_to_the_door_is_tryton_s() -> None:
    with pytest.raises(SignatureInvalid):
        INBOUND.verify(headers={}, body=spell(TOLD), secrets=(b"any",), now=AT)
