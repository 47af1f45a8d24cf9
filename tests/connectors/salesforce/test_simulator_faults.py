"""What goes wrong around the Salesforce stand-in when asked to: tokens, limits, faults, outages."""

from __future__ import annotations

import base64
import json
import socket
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from accordant.connectors.salesforce.simulator import SalesforceSimulator
from accordant.connectors.salesforce.simulator_tokens import ConnectedApp
from tests.connectors.salesforce.stand_in import Clock, V, control, running, send


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def key() -> RSAPrivateKey:
    return generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def simulator(clock: Clock, key: RSAPrivateKey) -> Iterator[SalesforceSimulator]:
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    with running(SalesforceSimulator(app=ConnectedApp(public_key_pem=pem), now=clock)) as made:
        yield made


# -- tokens and limits ------------------------------------------------------------------------------------------------


def assertion(key: RSAPrivateKey, clock: Clock, algorithm: str = "RS256", **changes: Any) -> str:
    claims = {
        "iss": "EXAMPLE-CLIENT",
        "sub": "integration@example.com",
        "aud": "https://login.salesforce.com",
        "exp": clock.now.timestamp() + 120,
    } | changes

    def part(raw: bytes) -> str:
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    signed = f"{part(json.dumps({'alg': algorithm}).encode())}.{part(json.dumps(claims).encode())}"
    return f"{signed}.{part(key.sign(signed.encode(), PKCS1v15(), SHA256()))}"


def ask_token(simulator: SalesforceSimulator, **form: str) -> tuple[int, Any]:
    status, _, answer = send(
        simulator,
        "POST",
        "/services/oauth2/token",
        urlencode(form),
        **{"Content-Type": "application/x-www-form-urlencoded", "Authorization": ""},
    )
    return status, answer


JWT = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer"}


def test_a_signed_assertion_gets_a_working_token(
    simulator: SalesforceSimulator, key: RSAPrivateKey, clock: Clock
) -> None:
    status, answer = ask_token(simulator, **JWT, assertion=assertion(key, clock))
    assert (status, answer["instance_url"], answer["token_type"]) == (200, simulator.url, "Bearer")
    bearer = {"Authorization": f"Bearer {answer['access_token']}"}
    assert send(simulator, "GET", f"{V}/limits", **bearer)[0] == 200
    clock.now += timedelta(hours=3)
    status, _, refused = send(simulator, "GET", f"{V}/limits", **bearer)
    assert (status, refused) == (401, [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}])


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"iss": "other"}, "invalid_client_id"),
        ({"sub": "mallory@example.com"}, "invalid_grant"),
        ({"aud": "https://evil.example"}, "invalid_grant"),
        ({"exp": 0}, "invalid_grant"),
        ({"exp": 9_999_999_999}, "invalid_grant"),
    ],
)
def test_bad_claims_are_refused(
    simulator: SalesforceSimulator, key: RSAPrivateKey, clock: Clock, changes: dict[str, Any], error: str
) -> None:
    status, answer = ask_token(simulator, **JWT, assertion=assertion(key, clock, **changes))
    assert (status, answer["error"]) == (400, error)


def test_bad_signatures_and_secrets_are_refused(
    simulator: SalesforceSimulator, key: RSAPrivateKey, clock: Clock
) -> None:
    forged = assertion(generate_private_key(public_exponent=65537, key_size=2048), clock)
    unsigned = ".".join(assertion(key, clock).split(".")[:2]) + "."
    for text in (forged, unsigned, assertion(key, clock, "none"), "nonsense", ""):
        assert ask_token(simulator, **JWT, assertion=text) == (
            400,
            {"error": "invalid_grant", "error_description": "invalid assertion"},
        )
    good = {"grant_type": "client_credentials", "client_id": "EXAMPLE-CLIENT", "client_secret": "EXAMPLE-SECRET"}
    assert ask_token(simulator, **good)[0] == 200
    assert ask_token(simulator, **{**good, "client_secret": "guess"})[1]["error"] == "invalid_client"
    assert ask_token(simulator, grant_type="password")[1]["error"] == "unsupported_grant_type"
    assert simulator.tokens.granted == 1


def test_tokens_run_out_by_calls_and_on_request(simulator: SalesforceSimulator) -> None:
    simulator.set_limits(token_calls_max=2)
    bearer = {"Authorization": f"Bearer {simulator.issue_token()}"}
    assert [send(simulator, "GET", f"{V}/limits", **bearer)[0] for _ in range(3)] == [200, 200, 401]
    bearer = {"Authorization": f"Bearer {simulator.issue_token()}"}
    simulator.expire_tokens()
    assert send(simulator, "GET", f"{V}/limits", **bearer)[0] == 401


def test_the_daily_limit_is_shown_and_kept(simulator: SalesforceSimulator) -> None:
    simulator.set_limits(daily_calls_max=2)
    status, headers, answer = send(simulator, "GET", f"{V}/limits")
    assert (status, headers["Sforce-Limit-Info"]) == (200, "api-usage=1/2")
    assert answer["DailyApiRequests"] == {"Max": 2, "Remaining": 1}
    send(simulator, "GET", f"{V}/limits")
    status, _, answer = send(simulator, "POST", f"{V}/sobjects/Account", {"Name": "x"})
    assert (status, answer[0]["errorCode"]) == (403, "REQUEST_LIMIT_EXCEEDED")
    assert simulator.count("Account") == 0


# -- faults -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "status", "written"),
    [
        ("error_before", 500, 0),
        ("error_after", 500, 1),
        ("busy", 503, 0),
        ("too_many", 429, 0),
        ("expired", 401, 0),
        ("slow", 201, 1),
    ],
)
def test_faults_that_answer(simulator: SalesforceSimulator, kind: str, status: int, written: int) -> None:
    simulator.fault(kind, seconds=0.05 if kind == "slow" else 7, path="/sobjects/Account", method="POST")
    assert send(simulator, "GET", f"{V}/limits")[0] == 200  # another path is not struck
    got, headers, _ = send(simulator, "POST", f"{V}/sobjects/Account", {"Name": "x"})
    assert (got, simulator.count("Account")) == (status, written)
    assert headers.get("Retry-After") == ("7" if kind in ("busy", "too_many") else None)
    assert send(simulator, "POST", f"{V}/sobjects/Account", {"Name": "y"})[0] == 201  # once is once


@pytest.mark.parametrize(
    ("kind", "written"), [("reset_before", 0), ("reset_after", 1), ("timeout_before", 0), ("timeout_after", 1)]
)
def test_faults_that_never_answer(simulator: SalesforceSimulator, kind: str, written: int) -> None:
    simulator.fault(kind, seconds=0.05)
    with pytest.raises((ConnectionError, OSError)):
        send(simulator, "POST", f"{V}/sobjects/Account", {"Name": "x"})
    assert simulator.count("Account") == written
    assert simulator.faults.struck == {kind: 1}


@pytest.mark.parametrize("kind", ["html", "truncated"])
def test_faults_that_lie(simulator: SalesforceSimulator, kind: str) -> None:
    simulator.fault(kind)
    with pytest.raises(json.JSONDecodeError):
        send(simulator, "POST", f"{V}/sobjects/Account", {"Name": "x"})
    assert simulator.count("Account") == 1


def test_an_unknown_fault_is_refused(simulator: SalesforceSimulator) -> None:
    with pytest.raises(ValueError, match="is no fault"):
        simulator.fault("gremlins")


def test_down_also_cuts_connections_from_before(simulator: SalesforceSimulator) -> None:
    split = urlsplit(simulator.url)
    held = HTTPConnection(split.hostname or "", split.port, timeout=5)
    held.request("GET", f"{V}/limits")
    held.getresponse().read()
    assert control(simulator, "go_down", seconds=0.2) == 200
    held.request("GET", f"{V}/limits")
    with pytest.raises(ConnectionError):
        held.getresponse()
    held.close()


def test_down_refuses_connections_and_comes_back_on_the_same_port(simulator: SalesforceSimulator) -> None:
    assert control(simulator, "go_down", seconds=0.3) == 200
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", urlsplit(simulator.url).port or 0), timeout=1)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            assert send(simulator, "GET", f"{V}/limits")[0] == 200
            break
        except OSError:
            threading.Event().wait(0.05)
    else:
        pytest.fail("it did not come back")


def test_the_control_door_does_what_the_methods_do(simulator: SalesforceSimulator) -> None:
    assert control(simulator, "define_field", object_name="Account", name="Note__c", length=10) == 200
    assert control(simulator, "create", object_name="Account", Name="x", Note__c="hello") == 200
    assert control(simulator, "edit", object_name="Account", key="x", field="Note__c", value="bye", user="ann") == 200
    assert simulator.record("Account", "x")["Note__c"] == "bye"
    lock = {"object_name": "Account", "key": "x", "code": "UNABLE_TO_LOCK_ROW", "times": 1}
    assert control(simulator, "reject", **lock) == 200
    made = simulator.org.find("Account", "x").id
    status, _, answer = send(simulator, "PATCH", f"{V}/sobjects/Account/{made}", {"Name": "x"})
    assert (status, answer[0]["errorCode"]) == (400, "UNABLE_TO_LOCK_ROW")
    assert send(simulator, "PATCH", f"{V}/sobjects/Account/{made}", {"Name": "x"})[0] == 204
    assert send(simulator, "POST", "/_sim/effects")[2]["count"] == 3
    assert control(simulator, "go_down", refuse=False) == 200
    assert send(simulator, "GET", f"{V}/limits")[0] == 503
    assert control(simulator, "come_up") == 200
    assert send(simulator, "GET", f"{V}/limits")[0] == 200
    assert control(simulator, "no_such") == 404
    assert control(simulator, "edit", object_name="Account", key="nobody", field="Name", value="", user="a") == 400
