"""The Stripe connector from its settings: what is missing or does not fit is named with its remedy, without secrets."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from accordant.connectors.sdk.addresses import AddressForbidden
from accordant.connectors.stripe import connector
from accordant.connectors.stripe.connector import SettingInvalid

KEY = "rk_test_toy_key_that_opens_nothing"
SETTINGS = {"api_key": KEY, "webhook_secrets": "whsec_toy_secret_one", "live_mode": "false"}
NOW = datetime(2026, 3, 14, tzinfo=UTC)


def make_reader(**changes: str) -> object:
    return connector.reader({**SETTINGS, **changes}, lambda: NOW, system="billing")


def test_both_halves_are_made_from_settings() -> None:
    connector.inbound(SETTINGS)
    assert KEY not in repr(make_reader().__dict__)


@pytest.mark.parametrize(
    ("text", "secrets"),
    [
        ("whsec_toy_secret_one", (b"whsec_toy_secret_one",)),
        (" whsec_toy_secret_two,whsec_toy_secret_one\n", (b"whsec_toy_secret_two", b"whsec_toy_secret_one")),
    ],
)
def test_secrets_are_read_in_order(text: str, secrets: tuple[bytes, ...]) -> None:
    assert connector.webhook_secrets({**SETTINGS, "webhook_secrets": text}) == secrets


@pytest.mark.parametrize(
    "text",
    ["", " ", ",", "toy_secret_without_prefix", "whsec_", "whsec_toy_secret_one,short", "whsec_ünicode_secret_xx"],
)
def test_a_webhook_without_a_fit_secret_cannot_be_configured(text: str) -> None:
    with pytest.raises(SettingInvalid, match="webhook_secrets") as raised:
        connector.inbound({**SETTINGS, "webhook_secrets": text})
    assert raised.value.remedy
    assert "toy_secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"api_key": ""}, "api_key"),
        ({"api_key": "rk_live_toy_key"}, "api_key"),
        ({"live_mode": "true"}, "api_key"),
        ({"api_key": "rk_test_toy key"}, "api_key"),
        ({"api_key": "rk_test_toy\nkey"}, "api_key"),
        ({"live_mode": ""}, "live_mode"),
        ({"live_mode": "yes"}, "live_mode"),
        ({"api_version": "latest"}, "api_version"),
        ({"api_version": "2026\n"}, "api_version"),
        ({"api_keys": "x"}, "api_keys"),
    ],
)
def test_a_setting_that_does_not_fit_is_named(changes: dict[str, str], named: str) -> None:
    with pytest.raises(SettingInvalid, match=named) as raised:
        make_reader(**changes)
    assert "toy" not in str(raised.value)


@pytest.mark.parametrize("base", ["http://api.stripe.com", "http://127.0.0.1:1", "ftp://x", "https://u:p@x"])
def test_an_address_that_is_not_safe_is_refused(base: str) -> None:
    with pytest.raises(AddressForbidden):
        make_reader(api_base=base)
