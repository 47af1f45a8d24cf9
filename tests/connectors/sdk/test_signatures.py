"""The table-driven verifier on schemes of other kinds; the first real row is judged in its connector's tests."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime

import pytest

from accordant.connectors.sdk.signatures import SignatureScheme, verify_signature
from accordant.ports.connector import SignatureInvalid

NOW = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)
SECONDS = int(NOW.timestamp())
KEY, BODY = b"toy-secret", b'{"a":1}'


def mac(message: bytes, name: str = "sha256") -> bytes:
    return hmac.new(KEY, message, getattr(hashlib, name)).digest()


BARE_BASE64 = SignatureScheme(header="x-signature", encoding="base64")
PREFIXED_SHA1 = SignatureScheme(header="x-hub-signature", algorithm="sha1", prefix="sha1=")
STAMP_HEADER = SignatureScheme(
    header="x-webhook-signature", encoding="base64", stamp_header="x-webhook-stamp", joint=b"", tolerance_s=60
)
MILLISECONDS = SignatureScheme(
    header="x-ms", signature_label="s", stamp_label="ts", joint=b"|", stamps_per_second=1000, tolerance_s=300
)

GOOD = [
    (BARE_BASE64, {"x-signature": base64.b64encode(mac(BODY)).decode()}),
    (PREFIXED_SHA1, {"x-hub-signature": "sha1=" + mac(BODY, "sha1").hex()}),
    (
        STAMP_HEADER,
        {
            "x-webhook-signature": base64.b64encode(mac(str(SECONDS).encode() + BODY)).decode(),
            "x-webhook-stamp": str(SECONDS),
        },
    ),
    (MILLISECONDS, {"x-ms": f"ts={SECONDS}123,s={mac(f'{SECONDS}123|'.encode() + BODY).hex()}"}),
]
NAMES = ["bare", "prefixed", "stamp-header", "milliseconds"]


@pytest.mark.parametrize(("scheme", "headers"), GOOD, ids=NAMES)
def test_each_kind_of_scheme_takes_its_own(scheme: SignatureScheme, headers: dict[str, str]) -> None:
    verify_signature(scheme, headers=headers, body=BODY, secrets=[b"other", KEY], now=NOW)


@pytest.mark.parametrize(("scheme", "headers"), GOOD, ids=NAMES)
@pytest.mark.parametrize("spoiled", ["body", "secret", "no secret", "no header", "cut", "prefix"])
def test_each_kind_of_scheme_refuses_the_rest(scheme: SignatureScheme, headers: dict[str, str], spoiled: str) -> None:
    body, secrets, given = BODY, [KEY], dict(headers)
    if spoiled == "body":
        body = BODY + b" "
    elif spoiled == "secret":
        secrets = [b"toy-secre"]
    elif spoiled == "no secret":
        secrets = []
    elif spoiled == "no header":
        given.pop(scheme.header)
    elif spoiled == "cut":
        given[scheme.header] = given[scheme.header][:-1]
    else:
        given[scheme.header] = "x" + given[scheme.header]
    with pytest.raises(SignatureInvalid):
        verify_signature(scheme, headers=given, body=body, secrets=secrets, now=NOW)


@pytest.mark.parametrize("stamp", ["", "x", "1.5", "-1", "²", "9" * 16])
def test_a_stamp_that_is_none_is_refused(stamp: str) -> None:
    headers = {
        "x-webhook-signature": base64.b64encode(mac(stamp.encode() + BODY)).decode(),
        "x-webhook-stamp": stamp,
    }
    with pytest.raises(SignatureInvalid):
        verify_signature(STAMP_HEADER, headers=headers, body=BODY, secrets=[KEY], now=NOW)


@pytest.mark.parametrize(("off_s", "fresh"), [(60, True), (61, False), (-60, True), (-61, False)])
def test_the_tolerance_is_the_scheme_s(off_s: int, fresh: bool) -> None:
    stamp = str(SECONDS + off_s)
    headers = {
        "x-webhook-signature": base64.b64encode(mac(stamp.encode() + BODY)).decode(),
        "x-webhook-stamp": stamp,
    }
    if fresh:
        verify_signature(STAMP_HEADER, headers=headers, body=BODY, secrets=[KEY], now=NOW)
    else:
        with pytest.raises(SignatureInvalid):
            verify_signature(STAMP_HEADER, headers=headers, body=BODY, secrets=[KEY], now=NOW)
