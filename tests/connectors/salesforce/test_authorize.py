"""Getting and renewing access: both grants, one renewal for many refusals, and no secret in sight."""

from __future__ import annotations

import asyncio
import base64
import json
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlencode

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from accordant.connectors.salesforce.authorize import Authorizer, ClientCredentials, JwtBearer
from accordant.connectors.salesforce.connector import outbound
from accordant.connectors.salesforce.simulator import SalesforceSimulator
from accordant.connectors.salesforce.simulator_tokens import ConnectedApp
from accordant.connectors.sdk.addresses import AddressPolicy
from accordant.connectors.sdk.http import HttpClient
from accordant.kernel.errors import AccordantError, ConfigurationError
from accordant.ports.connector import AuthorizationExpired, TargetUnavailable
from tests.connectors.salesforce.outbound_kit import (
    ACCOUNT,
    NOW,
    an_org,
    at_once,
    clock,
    connect,
    customers,
    prepare,
    said,
)


def pem_of(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def jwt_settings(url: str, key: rsa.RSAPrivateKey, **more: str) -> dict[str, str]:
    return {
        "instance_url": url,
        "login_url": url,
        "client_id": "EXAMPLE-CLIENT",
        "username": "integration@example.com",
        "private_key": pem_of(key),
    } | more


def unpadded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


# -- the grants --------------------------------------------------------------------------------------------------------


def test_the_assertion_is_signed_by_our_key_and_short_lived(key: rsa.RSAPrivateKey) -> None:
    grant = JwtBearer(client_id="c", username="u", audience="https://login.salesforce.com", private_key=key)
    form = dict(grant.form(NOW))
    head, claims, signature = form["assertion"].split(".")
    key.public_key().verify(unpadded(signature), f"{head}.{claims}".encode(), PKCS1v15(), SHA256())
    assert json.loads(unpadded(head)) == {"alg": "RS256", "typ": "JWT"}
    told = json.loads(unpadded(claims))
    assert (told["iss"], told["sub"], told["aud"]) == ("c", "u", "https://login.salesforce.com")
    assert NOW < NOW.fromtimestamp(told["exp"], tz=NOW.tzinfo) <= NOW + timedelta(minutes=3)
    assert "=" not in form["assertion"]


async def test_a_signed_assertion_opens_the_org(key: rsa.RSAPrivateKey) -> None:
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    simulator = SalesforceSimulator(app=ConnectedApp(public_key_pem=public), now=clock)
    prepare(simulator)
    url = await simulator.start()
    one_line = jwt_settings(url, key) | {"private_key": pem_of(key).replace("\n", "\\n")}
    for settings in (jwt_settings(url, key), one_line):
        made = outbound(settings, clock, addresses=AddressPolicy(allow_loopback=True))
        await made.write(ACCOUNT, customers(1))
        await made.close()
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    wrong: list[dict[str, str]] = [
        jwt_settings(url, other),
        jwt_settings(url, key, username="stranger@example.com"),
        jwt_settings(url, key, client_id="EXAMPLE-OTHER"),
        jwt_settings(url, key, audience="https://login.example.com"),
    ]
    for settings in wrong:
        made = outbound(settings, clock, addresses=AddressPolicy(allow_loopback=True))
        with pytest.raises(AuthorizationExpired, match="refuses this connection: invalid"):
            await made.write(ACCOUNT, customers(1))
        await made.close()
    assert simulator.count("Account") == 1
    await simulator.stop()


async def test_many_refused_calls_renew_once() -> None:
    async with an_org() as org:
        await org.outbound.read(ACCOUNT, ["cus_1"])
        org.simulator.expire_tokens()
        await asyncio.gather(*(org.outbound.read(ACCOUNT, [f"cus_{n}"]) for n in range(20)))
        assert org.simulator.tokens.granted == 2


# -- the login service's answers ---------------------------------------------------------------------------------------


async def login(answer: bytes) -> tuple[list[bytes], Any]:
    """The forms a login service got that gives this answer, and the header or the error that came of it."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        size = next(int(line[15:]) for line in head.splitlines() if line.lower().startswith("content-length"))
        asked.append(await reader.readexactly(size))
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    http = HttpClient(
        f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}",
        clock=clock,
        rate_per_s=100,
        addresses=AddressPolicy(allow_loopback=True),
        read_attempts_max=1,
    )
    made = Authorizer(
        login=http, grant=ClientCredentials(client_id="c&=d", client_secret="EXAMPLE SECRET%"), clock=clock
    )
    try:
        result: Any = await made(refused=None)
    except AccordantError as error:
        result = error
    await made.close()
    server.close()
    return asked, result


async def test_the_form_is_encoded() -> None:
    [form], header = await login(said(200, {"access_token": "EXAMPLE-TOKEN"}))
    assert header == {"Authorization": "Bearer EXAMPLE-TOKEN"}
    assert parse_qs(form.decode()) == {
        "grant_type": ["client_credentials"],
        "client_id": ["c&=d"],
        "client_secret": ["EXAMPLE SECRET%"],
    }


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (said(400, {"error": "invalid_grant", "error_description": "expired"}), AuthorizationExpired),
        (said(400, {"error": "invalid_client"}), AuthorizationExpired),
        (said(401, {"error": "invalid_client"}), AuthorizationExpired),
        (said(400, b"<html>"), AuthorizationExpired),
        (said(400, {"error": "unknown_error", "error_description": "retry your request"}), TargetUnavailable),
        (said(400, {"error": "temporarily_unavailable"}), TargetUnavailable),
        (said(200, b"<html>"), TargetUnavailable),
        (said(200, {}), TargetUnavailable),
        (said(200, []), TargetUnavailable),
        (said(200, {"access_token": 7}), TargetUnavailable),
        (said(200, {"access_token": "EXAMPLE\r\nX-Evil: 1"}), TargetUnavailable),
        (said(500), TargetUnavailable),
        (said(302, b"", "Location: http://169.254.169.254/"), TargetUnavailable),
    ],
)
async def test_a_refused_login_holds_and_a_broken_one_is_tried_again(answer: bytes, kind: type[AccordantError]) -> None:
    _, result = await login(answer)
    assert type(result) is kind, result
    assert "EXAMPLE SECRET" not in str(result)


async def test_each_try_asks_a_login_service_that_is_down_once() -> None:
    """The client that tries a call again and the one that logs in do not multiply their tries."""
    asked = 0

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    made = connect(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", sleep=at_once)
    with pytest.raises(TargetUnavailable):
        await made.read(ACCOUNT, ["cus_1"])
    assert asked == 3
    await made.close()
    server.close()


async def test_no_secret_is_ever_shown(key: rsa.RSAPrivateKey) -> None:
    async with an_org() as org:
        await org.outbound.write(ACCOUNT, customers(1))
        token = next(iter(org.simulator.tokens._held))
        shown = (
            repr(org.outbound) + repr(org.outbound._calls._authorizer) + repr(org.outbound._calls._authorizer._grant)
        )
        shown += repr(org.calls)
        for secret in ("EXAMPLE-SECRET", token):
            assert secret not in shown
        assert not any("oauth2" in call.path for call in org.calls)
    assert repr(JwtBearer(client_id="c", username="u", audience="a", private_key=key)) == "JwtBearer(***)"


# -- settings ----------------------------------------------------------------------------------------------------------

GOOD = {
    "instance_url": "https://example.my.salesforce.com",
    "flow": "client_credentials",
    "client_id": "EXAMPLE-CLIENT",
    "client_secret": "EXAMPLE-SECRET",
}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"instance_url": ""}, "instance_url"),
        ({"instance_url": "https://example.my.salesforce.com/services/data"}, "instance_url"),
        ({"instance_url": "http://example.my.salesforce.com"}, "instance_url"),
        ({"login_url": "https://user:word@login.salesforce.com"}, "login_url"),
        ({"instance_url": 7}, "instance_url"),
        ({"flow": "password"}, "flow"),
        ({"client_id": " "}, "client_id"),
        ({"client_secret": ""}, "client_secret"),
        ({"api_version": "45.0"}, "api_version"),
        ({"api_version": "latest"}, "api_version"),
        ({"api_version": "59.0/../.."}, "api_version"),
        ({"login_url": "https://login.salesforce.com/x"}, "login_url"),
        ({"instance_uri": "x"}, "instance_uri"),
        ({"flow": "jwt"}, "username"),
        ({"flow": "jwt", "username": "u"}, "private_key"),
        ({"flow": "jwt", "username": "u", "private_key": "EXAMPLE-NO-KEY"}, "private_key"),
    ],
)
def test_a_wrong_setting_is_named_with_its_remedy(change: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named) as caught:
        outbound(GOOD | change, clock)
    assert caught.value.remedy
    assert "EXAMPLE-SECRET" not in str(caught.value)
    assert "EXAMPLE-NO-KEY" not in str(caught.value)


def test_a_key_of_the_wrong_kind_or_size_is_refused() -> None:
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505  too weak on purpose
    for key in (weak, ec.generate_private_key(ec.SECP256R1())):
        with pytest.raises(ConfigurationError, match="private_key"):
            outbound(GOOD | {"flow": "jwt", "username": "u", "private_key": pem_of(key)}, clock)


@pytest.mark.parametrize(
    ("login_url", "audience"),
    [
        ("https://login.salesforce.com", "https://login.salesforce.com"),
        ("https://example.my.salesforce.com", "https://login.salesforce.com"),
        ("https://test.salesforce.com", "https://test.salesforce.com"),
        ("https://example--uat.sandbox.my.salesforce.com", "https://test.salesforce.com"),
        ("https://latest.my.salesforce.com", "https://login.salesforce.com"),
    ],
)
def test_the_audience_is_the_login_service_not_the_org(key: rsa.RSAPrivateKey, login_url: str, audience: str) -> None:
    settings = jwt_settings("https://example.my.salesforce.com", key) | {"login_url": login_url}
    made = outbound(settings, clock)
    form = dict(made._calls._authorizer._grant.form(NOW))
    assert json.loads(unpadded(form["assertion"].split(".")[1]))["aud"] == audience
    assert urlencode(form)
