"""The connector of QuickBooks Online put together: settings of a connection to its halves, and the shipped mapping.
Guarantees that a wrong setting is named with its remedy before anything is called, and that no message holds a secret.
Next: outbound.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from importlib.resources import files
from pathlib import Path

from accordant.canonical.charter import CustomerModel, MappingPart, SeveralCustomers
from accordant.connectors.quickbooks.api import Api
from accordant.connectors.quickbooks.customers import CUSTOMER
from accordant.connectors.quickbooks.inbound import QuickBooksInbound
from accordant.connectors.quickbooks.outbound import QuickBooksOutbound
from accordant.connectors.quickbooks.receivables import QuickBooksReader
from accordant.connectors.sdk import notices
from accordant.connectors.sdk.addresses import AddressPolicy
from accordant.connectors.sdk.http import DEFAULT_TIMEOUTS, PUBLIC_ONLY, Recorder, Timeouts
from accordant.connectors.sdk.manifest import load_manifest
from accordant.connectors.sdk.oauth import TokenFile
from accordant.connectors.sdk.oauth_clients import Access, Calling, oauth_clients
from accordant.connectors.sdk.settings import Given, shipped_mappings
from accordant.kernel.clock import Clock

#: The setting without which nothing can be read.
READER_NEEDS = "client_secret"
URL = "https://quickbooks.api.intuit.com"
LOGIN_URL = "https://oauth.platform.intuit.com"
TOKEN_PATH = "/oauth2/v1/tokens/bearer"  # noqa: S105  an address, not a secret
#: Of the 500 calls a minute of one company, so that people and other programs can go on.
RATE_PER_S = 8
#: QuickBooks carries out at most ten calls of an app for a company at once.
AT_ONCE_MAX = 10
#: The objects whose records tell whose they are.
MATCHABLE = frozenset({CUSTOMER})
#: The verifier tokens of the webhook: what the registry asks for.
webhook_secrets = notices.webhook_secrets
_PACKAGE = files("accordant.connectors.quickbooks")
_REQUIRED = {
    "client_id": "Give the client id of the app.",
    "client_secret": "Give the secret of the app, by reference.",
    "realm_id": "Give the id of the company, which the consent came back with.",
    "company": "Give the legal entity of the charter whose books this company is.",
    "refresh_token": "Give the first refresh token, from the consent, by reference.",
    "token_file": "Name a file in a folder of the hub's own: Intuit gives a new refresh token every day.",
}
_OPTIONAL = ("webhook_secrets", "url", "login_url")


def outbound(
    settings: Mapping[str, str],
    clock: Clock,
    *,
    rate_per_s: float = RATE_PER_S,
    timeouts: Timeouts = DEFAULT_TIMEOUTS,
    addresses: AddressPolicy = PUBLIC_ONLY,
    recorder: Recorder | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> QuickBooksOutbound:
    """The outbound half of one connection; makes no call. ``manifest.toml`` lists the settings.

    ``recorder`` sees the calls to the API, never those to the login service. Raises ConfigurationError.
    """
    given = _given(settings)
    calling = Calling(
        clock=clock, rate_per_s=rate_per_s, timeouts=timeouts, addresses=addresses, recorder=recorder, sleep=sleep
    )
    api = _api(given, calling)
    protocols = {part.name: part.protocol for part in load_manifest(_PACKAGE).writes}
    return QuickBooksOutbound(api=api, protocols=protocols, company=given.text("company"))


def reader(
    settings: Mapping[str, str],
    clock: Clock,
    *,
    system: str,
    rate_per_s: float = RATE_PER_S,
    addresses: AddressPolicy = PUBLIC_ONLY,
) -> QuickBooksReader:
    """The reader of what customers owe; ``system`` is the connection's name. Raises ConfigurationError."""
    given = _given(settings)
    api = _api(given, Calling(clock=clock, rate_per_s=rate_per_s, addresses=addresses))
    return QuickBooksReader(api, system=system, company=given.text("company"), clock=clock)


def inbound(settings: Mapping[str, str]) -> QuickBooksInbound:
    """The inbound half: notices, and what the reader fetched. Raises ConfigurationError."""
    return QuickBooksInbound(realm=_given(settings).text("realm_id"))


def default_mappings(
    model: CustomerModel = CustomerModel.B2B,  # noqa: ARG001  a customer is a company or a person alike
    several: SeveralCustomers = SeveralCustomers.ROLL_UP,  # noqa: ARG001
) -> tuple[MappingPart, ...]:
    """The shipped mapping: a customer to a customer, bills to invoices and credit memos, the rest to journals."""
    return shipped_mappings(_PACKAGE)


def _given(settings: Mapping[str, str]) -> Given:
    given = Given("QuickBooks", settings, required=_REQUIRED, optional=_OPTIONAL)
    if not given.text("realm_id").isdecimal():
        raise given.wrong("realm_id", "it is no number", "Give the id of the company, sixteen digits or so.")
    return given


def _api(given: Given, calling: Calling) -> Api:
    access = Access(
        title="QuickBooks",
        login_url=given.address("login_url", LOGIN_URL, calling.addresses),
        path=TOKEN_PATH,
        client_id=given.text("client_id"),
        client_secret=given.text("client_secret"),
        tokens=TokenFile(Path(given.text("token_file")), first=given.text("refresh_token")),
    )
    url = given.address("url", URL, calling.addresses)
    http, session = oauth_clients(access, calling, url=url, at_once_max=AT_ONCE_MAX)
    return Api(http=http, session=session, realm=given.text("realm_id"))
