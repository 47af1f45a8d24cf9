"""The settings of a connection: each wrong one named with its remedy, and no secret in any message."""

from __future__ import annotations

import pytest

from accordant.canonical.charter import CustomerModel
from accordant.connectors.registry import installed
from accordant.connectors.zendesk.connector import default_mappings, outbound
from accordant.governance.findings import Category
from accordant.kernel.errors import ConfigurationError
from tests.connectors.zendesk.kit import Clock, settings

URL = "https://example.zendesk.com"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"url": ""}, "url"),
        ({"url": "http://127.0.0.1/"}, "url"),
        ({"url": f"{URL}/api/v2"}, "url"),
        ({"email": ""}, "email"),
        ({"email": "hub:x@example.com"}, "email"),
        ({"email": "nobody"}, "email"),
        ({"api_token": ""}, "api_token"),
        ({"subdomain": "example"}, "subdomain"),
    ],
)
def test_a_wrong_setting_is_named_and_the_secret_is_not(change: dict[str, str], named: str) -> None:
    with pytest.raises(ConfigurationError) as wrong:
        outbound(settings(URL) | change, Clock())
    assert repr(named) in wrong.value.message
    assert wrong.value.remedy
    assert "EXAMPLE-TOKEN" not in f"{wrong.value} {wrong.value.remedy}"


def test_it_is_a_support_desk_that_is_written_and_not_listened_to() -> None:
    found = installed()["zendesk"]
    assert found.manifest.category is Category.SUPPORT
    assert (found.inbound, found.reader) == (None, None)
    assert found.matchable == frozenset({"organization"})
    assert default_mappings(CustomerModel.B2B) == default_mappings(CustomerModel.B2C)
