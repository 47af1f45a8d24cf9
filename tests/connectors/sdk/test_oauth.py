"""Tokens: renewed when they end or are refused, rotated ones kept before they are used, by one process at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qsl

import pytest

from accordant.connectors.sdk.addresses import AddressPolicy
from accordant.connectors.sdk.faults import Fault
from accordant.connectors.sdk.http import HttpClient
from accordant.connectors.sdk.oauth import OAuthHeader, TokenFile
from accordant.connectors.sdk.stand_in import Answer, Call, StandIn
from accordant.kernel.errors import ConfigurationError
from accordant.ports.connector import AuthorizationExpired, TargetUnavailable

NOW = datetime(2026, 3, 14, 9, 26, tzinfo=UTC)


class Login(StandIn):
    """A login service whose refresh tokens are good for one use, as strict as any is."""

    def __init__(self) -> None:
        super().__init__()
        self.token = "r-0"
        self.granted = 0
        self.says: Answer | None = None

    def answer(self, call: Call) -> Answer:
        if self.says is not None:
            return self.says
        form = dict(parse_qsl(call.body.decode()))
        if form["grant_type"] == "refresh_token":
            if form["refresh_token"] != self.token:
                return Answer(400, {"error": "invalid_grant", "error_description": "used before"})
            self.token = f"r-{self.granted + 1}"
        self.granted += 1
        return Answer(200, {"access_token": f"a-{self.granted}", "refresh_token": self.token, "expires_in": 1800})

    def refusal(self, fault: Fault) -> Answer:
        return Answer(fault.status, {"error": "server_error"})


@pytest.fixture
async def login() -> AsyncIterator[Login]:
    made = Login()
    await made.start()
    yield made
    await made.stop()


def header(login: Login, *, kept: Path | None = None, now: datetime = NOW) -> OAuthHeader:
    client = HttpClient(
        login.url,
        clock=lambda: now,
        rate_per_s=1_000,
        addresses=AddressPolicy(allow_loopback=True),
        read_attempts_max=1,
    )
    return OAuthHeader(
        login=client,
        title="Acme",
        path="/token",
        client_id="app",
        client_secret="app-secret",
        clock=lambda: now,
        scopes="books",
        tokens=None if kept is None else TokenFile(kept, first="r-0"),
    )


async def test_a_rotated_token_is_on_disk_before_the_one_beside_it_is_given(login: Login, tmp_path: Path) -> None:
    kept = tmp_path / "tokens.json"
    one = header(login, kept=kept)
    proof = await one(refused=None)
    assert proof == {"Authorization": "Bearer a-1"}
    assert "r-1" in kept.read_text()
    assert await one(refused=None) == proof
    assert await one(refused=proof) == {"Authorization": "Bearer a-2"}
    assert login.granted == 2
    await one.close()


async def test_two_processes_renew_one_after_the_other_and_the_second_takes_what_the_first_got(
    login: Login, tmp_path: Path
) -> None:
    """Each alone would use up the token of the other, and the connection would wait until somebody consents."""
    kept = tmp_path / "tokens.json"
    both = [header(login, kept=kept) for _ in range(2)]
    proofs = await asyncio.gather(*(one(refused=None) for one in both))
    assert proofs == [{"Authorization": "Bearer a-1"}] * 2
    assert login.granted == 1
    # Both are refused at once: one renews, the other takes it.
    renewed = await asyncio.gather(*(one(refused=proof) for one, proof in zip(both, proofs, strict=True)))
    assert renewed == [{"Authorization": "Bearer a-2"}] * 2
    assert login.granted == 2
    for one in both:
        await one.close()


async def test_after_a_restart_the_token_that_is_kept_goes_on_until_it_ends(login: Login, tmp_path: Path) -> None:
    kept = tmp_path / "tokens.json"
    for later, granted in ((timedelta(), 1), (timedelta(minutes=28), 1), (timedelta(minutes=29, seconds=30), 2)):
        one = header(login, kept=kept, now=NOW + later)
        await one(refused=None)
        await one.close()
        assert login.granted == granted, later


async def test_a_token_that_was_used_up_elsewhere_waits_for_a_person_and_shows_no_secret(
    login: Login, tmp_path: Path
) -> None:
    login.token = "r-9"
    one = header(login, kept=tmp_path / "tokens.json")
    with pytest.raises(AuthorizationExpired) as held:
        await one(refused=None)
    assert "invalid_grant" in held.value.message
    assert "refresh token" in held.value.remedy
    assert not (tmp_path / "tokens.json").exists()
    assert "app-secret" not in f"{held.value}{held.value.remedy}{one!r}{one._tokens!r}"
    await one.close()


@pytest.mark.parametrize(
    "says", [Answer(400, {"error": "temporarily_unavailable"}), Answer(200, {}), Answer(200, {"access_token": "a\nb"})]
)
async def test_a_login_that_is_not_working_is_no_lost_consent(login: Login, says: Answer) -> None:
    login.says = says
    one = header(login)
    with pytest.raises(TargetUnavailable):
        await one(refused=None)
    await one.close()


async def test_a_file_that_cannot_be_used_is_named(login: Login, tmp_path: Path) -> None:
    damaged = tmp_path / "tokens.json"
    damaged.write_text("{}")
    for kept in (damaged, tmp_path / "no-such-folder" / "tokens.json"):
        one = header(login, kept=kept)
        with pytest.raises(ConfigurationError) as refused:
            await one(refused=None)
        assert str(kept) in refused.value.message
        await one.close()
    assert login.granted == 0
