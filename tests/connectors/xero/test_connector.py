"""Settings of a connection: what is wrong is named with its remedy, and no message shows a secret."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib import resources

import pytest

from accordant.connectors.sdk.manifest import load_manifest
from accordant.connectors.xero.connector import inbound, outbound, webhook_secrets
from accordant.connectors.xero.records import BILLS, ENTRIES
from accordant.kernel.errors import ConfigurationError
from accordant.ports.connector import DestinationClass
from tests.connectors.xero.kit import settings

GOOD = settings("https://api.example.com") | {"client_secret": "a-secret-of-the-app"}


def clock() -> datetime:
    return datetime(2026, 3, 14, tzinfo=UTC)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"url": "http://api.example.com"}, "url"),
        ({"url": "https://api.example.com/api.xro"}, "holds a path"),
        ({"login_url": "http://login.example.com"}, "login_url"),
        ({"client_id": " "}, "client_id"),
        ({"client_secret": ""}, "client_secret"),
        ({"tenant_id": ""}, "tenant_id"),
        ({"company": ""}, "company"),
        ({"colour": "red"}, "colour"),
        ({"refresh_token": "r-1"}, "token_file"),
    ],
)
def test_a_wrong_setting_is_named(change: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        outbound(GOOD | change, clock)
    assert said in refused.value.message
    assert refused.value.remedy
    assert GOOD["client_secret"] not in str(refused.value)


async def test_a_good_one_offers_what_its_manifest_declares() -> None:
    made = outbound(GOOD, clock)
    assert made.protocol("Contacts").destination_class is DestinationClass.UNIQUE_NUMBER
    for name in (BILLS, ENTRIES):
        assert made.protocol(name).destination_class is DestinationClass.SEARCH_ONLY
        assert made.protocol(name).settles_after.total_seconds() > 60  # longer than a call of ours is waited for
    assert GOOD["client_secret"] not in repr(vars(made))
    await made.close()


def test_two_webhook_keys_are_known_while_one_is_exchanged() -> None:
    assert webhook_secrets(GOOD | {"webhook_secrets": "new, old"}) == (b"new", b"old")
    assert webhook_secrets(GOOD) == ()
    with pytest.raises(ConfigurationError):
        inbound({})


def test_what_customers_owe_is_fetched_and_only_notices_are_waited_for() -> None:
    manifest = load_manifest(resources.files("accordant.connectors.xero"))
    assert manifest.inbound is not None
    assert manifest.inbound.delivered == {"notice"}
