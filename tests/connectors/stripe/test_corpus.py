"""Bad input, corpora B1 and B4: every authentic body becomes Interpreted, Parked or Quarantined; nothing raises.

Generated: each field of each fixture missing, null and of a wrong type; then random damage to bytes and values.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accordant.canonical.observations import Interpretation, Interpreted, Parked, Quarantined
from accordant.canonical.refs import ExternalRef
from accordant.connectors.stripe.envelope import UNREADABLE
from accordant.connectors.stripe.inbound import BUILDERS, HANDLERS, StripeInbound

HERE = Path(__file__).parent
FIXTURES = sorted((HERE / "fixtures").glob("*.json"))
INBOUND = StripeInbound(live=False)
WRONG: tuple[Any, ...] = (None, "", "x", -1, 2**62, 1.5, True, [], [1], {}, {"id": 5}, [{"id": None}], "½", "1e9")
#: What no object of its kind can do without.
REQUIRED: dict[str, tuple[str, ...]] = {
    "customer": ("id", "created"),
    "product": ("id", "name"),
    "price": ("id", "product", "currency"),
    "subscription": ("id", "customer", "status", "items"),
    "invoice": ("id", "currency", "total", "amount_due", "amount_paid", "amount_remaining"),
    "credit_note": ("id", "customer", "invoice", "status", "currency", "total", "created"),
    "charge": ("id", "amount", "amount_refunded", "currency", "created"),
    "refund": ("id", "status", "amount", "currency", "created"),
    "dispute": ("id", "status", "amount", "currency", "charge", "created"),
    "payout": ("id", "status", "amount", "currency", "created"),
    "customer_cash_balance_transaction": ("id", "customer", "type", "net_amount", "currency", "created"),
}
WITHOUT_STATUS = frozenset({"customer", "product", "price", "customer_cash_balance_transaction"})
EACH_TYPE = {path.name.split("__")[0]: path for path in FIXTURES if path.stem.endswith("__current")}
OBSERVED = sorted(
    kind
    for kind, path in EACH_TYPE.items()
    if getattr(INBOUND.interpret(system="s", body=path.read_bytes()), "observations", ())
)


def load(kind: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(EACH_TYPE[kind].read_bytes())
    return loaded


def interpret(body: dict[str, Any]) -> Interpretation:
    raw = json.dumps(body).encode()
    INBOUND.read_envelope(raw)
    return INBOUND.interpret(system="billing", body=raw)


def required() -> Iterator[tuple[str, str]]:
    for kind in OBSERVED:
        for field in REQUIRED[load(kind)["data"]["object"]["object"]]:
            yield kind, field


@pytest.mark.parametrize(("kind", "field"), list(required()))
def test_a_required_field_missing_or_null_or_mistyped_is_set_aside_with_its_place(kind: str, field: str) -> None:
    body = load(kind)
    part = body["data"]["object"]
    for value in ("absent", None, 1.5, [], [1], True):
        if value == "absent":
            part.pop(field)
        else:
            part[field] = value
        found = interpret(body)
        if field == "items" and value == []:
            assert isinstance(found, Interpreted)  # a subscription may stand empty for a moment
            continue
        assert isinstance(found, Quarantined), (value, found)
        assert found.where.startswith(f"data.object.{field}"), found
        assert found.reason


@pytest.mark.parametrize("kind", OBSERVED)
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("type", None),
        ("type", 5),
        ("type", ""),
        ("created", None),
        ("created", "1773478800"),
        ("created", 1773478800000),  # milliseconds
        ("created", -1),
        ("created", 1.5),
        ("created", True),
        ("data", None),
        ("data", []),
        ("data", {}),
        ("data", {"object": None}),
        ("data", {"object": "cus_1"}),
        ("livemode", "false"),
        ("livemode", 0),
        ("livemode", True),
    ],
)
def test_the_event_s_own_fields_are_checked(kind: str, field: str, value: Any) -> None:
    body = load(kind)
    body[field] = value
    found = interpret(body)
    assert isinstance(found, Quarantined)
    assert found.where.startswith(field)


def paths(value: Any, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield (*here, key)
        yield from paths(item, (*here, key))


@pytest.mark.parametrize("kind", [*OBSERVED, *(kind for kind in EACH_TYPE if kind.startswith("billing."))])
def test_any_field_may_be_anything(kind: str) -> None:
    whole = load(kind)
    for path in paths(whole["data"]):
        for value in WRONG[:: 1 + len(path) // 3]:
            body = copy.deepcopy(whole)
            holder = body["data"]
            for key in path[:-1]:
                holder = holder[key]
            holder[path[-1]] = value
            assert isinstance(interpret(body), Interpreted | Parked | Quarantined)


@pytest.mark.parametrize("kind", OBSERVED)
def test_unknown_fields_pass(kind: str) -> None:
    body = load(kind)
    expected = interpret(body)
    body["context"] = {"new": 1}
    body["data"]["object"]["a_field_of_tomorrow"] = [{"x": 1}]
    body["api_version"] = "2031-01-01.unknown"
    assert interpret(body) == expected


@pytest.mark.parametrize("word", ["", "paid ", "PAID", "unknown_status", "успех"])
@pytest.mark.parametrize(
    "kind",
    [kind for kind in OBSERVED if kind.split(".")[0] not in WITHOUT_STATUS or "subscription" in kind],
)
def test_a_status_that_nobody_documented_is_set_aside(kind: str, word: str) -> None:
    body = load(kind)
    body["data"]["object"]["status"] = word
    found = interpret(body)
    if "dispute" in kind and word:
        assert isinstance(found, Interpreted)  # Stripe adds words for disputes; they are kept as they are
    else:
        assert isinstance(found, Quarantined)


@pytest.mark.parametrize("currency", ["", "us", "usdd", "XXX", "xau", "btc", "usdc", 840, "\uff35\uff33\uff24"])
@pytest.mark.parametrize("kind", ["invoice.paid", "charge.succeeded", "refund.created", "payout.paid", "price.created"])
def test_a_currency_that_is_none_is_set_aside(kind: str, currency: Any) -> None:
    body = load(kind)
    body["data"]["object"]["currency"] = currency
    assert isinstance(interpret(body), Quarantined)


@pytest.mark.parametrize("amount", ["6000", "60.00", 60.0, 6e3, None, True, [6000], "1e2", " 6000 ", "٦٠٠٠"])
def test_an_amount_is_a_whole_number_and_nothing_else(amount: Any) -> None:
    body = load("charge.succeeded")
    body["data"]["object"]["amount"] = amount
    found = interpret(body)
    assert isinstance(found, Quarantined)
    assert found.where == "data.object.amount"


def test_a_line_in_another_currency_than_its_invoice_is_set_aside_with_its_place() -> None:
    body = load("invoice.paid")
    body["data"]["object"]["lines"]["data"][0]["currency"] = "eur"
    found = interpret(body)
    assert isinstance(found, Quarantined)
    assert found.where == "data.object.lines.data[0].currency"


@pytest.mark.parametrize(
    "kind",
    ["account.updated", "capability.updated", "v2.core.account.created", "customer", "customer.renamed", "x" * 300],
)
def test_an_unknown_type_is_parked(kind: str) -> None:
    body = load("customer.created")
    body["type"] = kind
    found = interpret(body)
    assert isinstance(found, Parked)
    assert kind[:100] in found.reason


def test_a_thin_event_is_parked_and_keeps_its_name() -> None:
    thin = {
        "id": "evt_thin_1", "object": "v2.core.event", "type": "v1.billing.meter.no_meter_found", "livemode": False,
        "created": "2026-03-14T09:26:53.000Z", "related_object": None,
    }  # fmt: skip
    assert isinstance(interpret(thin), Parked)
    envelope = INBOUND.read_envelope(json.dumps(thin).encode())
    assert (envelope.external_id, envelope.event_type, envelope.defect) == ("evt_thin_1", thin["type"], None)
    assert envelope.occurred_at == datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)


def test_an_object_of_another_kind_is_set_aside() -> None:
    body = load("customer.created")
    body["data"]["object"] = load("charge.succeeded")["data"]["object"]
    found = interpret(body)
    assert isinstance(found, Quarantined)
    assert found.where == "data.object.object"


UNREADABLE_BODIES = [
    b"", b" ", b"null", b"[]", b'"x"', b"{}", b'{"id":', b"\xff\xfe", b'{"id":5,"type":"a"}', b'{"id":"evt_1"}',
    b"<html>", b'{"id":"","type":"a"}', b'{"id":"a\\u0000","type":"a"}', '{"id":"evt_1","type":"a"}'.encode("utf-16"),
    b'{"id":"' + b"x" * 256 + b'","type":"a"}', b'{"id":"' + b"x" * 10_000 + b'","type":"a"}', b"[" * 100_000,
    b'{"id":"\\ud800","type":"a"}', b'{"id":"evt_1","type":null}', b'{"data":{"object":{}}}',
]  # fmt: skip


@pytest.mark.parametrize("body", UNREADABLE_BODIES, ids=range(len(UNREADABLE_BODIES)))
def test_a_body_without_a_name_is_named_by_its_bytes_and_has_a_defect(body: bytes) -> None:
    envelope = INBOUND.read_envelope(body)
    name = f"sha256:{hashlib.sha256(body).hexdigest()}"
    assert (envelope.external_id, envelope.event_type, envelope.lane) == (name, UNREADABLE, name)
    assert envelope.defect
    assert isinstance(INBOUND.interpret(system="billing", body=body), Quarantined | Parked)


@pytest.mark.parametrize("length", [1, 255])
def test_a_name_of_any_allowed_length_is_kept(length: int) -> None:
    body = load("customer.created")
    body["id"] = "e" * length
    assert INBOUND.read_envelope(json.dumps(body).encode()).external_id == "e" * length


def test_a_signed_body_with_a_repeated_key_is_set_aside() -> None:
    raw = json.dumps(load("charge.succeeded")).replace('"amount": 6000', '"amount": 6000, "amount": 1', 1).encode()
    found = INBOUND.interpret(system="billing", body=raw)
    assert isinstance(found, Quarantined)
    assert found.where == "amount"


def test_nul_in_a_name_is_set_aside_with_its_place() -> None:
    body = load("customer.created")
    body["data"]["object"]["name"] = "A\x00B"
    found = interpret(body)
    assert isinstance(found, Quarantined)
    assert found.where == "data.object.name"


@pytest.mark.parametrize(
    "name",
    ["🧑‍🧑‍🧒‍🧒", "אבג\u202eabc", "null", "O'Brien", "=cmd|x", "Robert'); DROP", "{{7*7}}", "x" * 65536, "İ", "ß"],
)
def test_any_other_text_is_kept_as_it_came(name: str) -> None:
    body = load("customer.created")
    body["data"]["object"]["name"] = name
    found = interpret(body)
    assert isinstance(found, Interpreted)
    assert found.observations[0].entity.name == name  # type: ignore[union-attr]


BODIES = [path.read_bytes() for path in FIXTURES]


@given(
    body=st.sampled_from(BODIES),
    damage=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 30), st.binary(max_size=8)), min_size=1, max_size=4),
)
def test_damaged_bytes_never_raise(body: bytes, damage: list[tuple[float, int, bytes]]) -> None:
    for place, length, put in damage:
        start = int(place * len(body))
        body = body[:start] + put + body[start + length :]
    INBOUND.read_envelope(body)
    assert isinstance(INBOUND.interpret(system="billing", body=body), Interpreted | Parked | Quarantined)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**65), 2**65) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


@given(data=st.data(), kind=st.sampled_from(sorted(HANDLERS)))
def test_damaged_values_never_raise(data: st.DataObject, kind: str) -> None:
    body = load(kind) if kind in EACH_TYPE else json.loads(BODIES[0])
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(list(paths(body))))
        holder = body
        for key in path[:-1]:
            holder = holder[key]
        holder[path[-1]] = data.draw(JSON)
    raw = json.dumps(body).encode("utf-8", "surrogatepass")
    INBOUND.read_envelope(raw)
    assert isinstance(INBOUND.interpret(system="billing", body=raw), Interpreted | Parked | Quarantined)


@given(body=st.binary(max_size=40) | JSON.map(lambda value: json.dumps(value).encode("utf-8", "surrogatepass")))
def test_any_bytes_as_any_object_never_raise(body: bytes) -> None:
    for kind in BUILDERS:
        ref = ExternalRef("billing", kind, "x_1")
        read_at = datetime(2026, 3, 14, tzinfo=UTC)
        found = INBOUND.interpret_object(ref=ref, body=body, read_at=read_at)
        assert isinstance(found, Interpreted | Parked | Quarantined)
