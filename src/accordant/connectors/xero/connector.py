"""The Xero connector put together: settings of a connection to its halves, and the shipped mapping.
Guarantees that a wrong setting is named with its remedy before anything is called, and that no message holds a secret.
Next: outbound.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from importlib.resources import files
from pathlib import Path

from accordant.canonical.charter import CustomerModel, MappingPart, SeveralCustomers
from accordant.connectors.sdk import notices
from accordant.connectors.sdk.addresses import AddressPolicy
from accordant.connectors.sdk.http import DEFAULT_TIMEOUTS, PUBLIC_ONLY, Recorder, Timeouts
from accordant.connectors.sdk.manifest import load_manifest
from accordant.connectors.sdk.oauth import TokenFile
from accordant.connectors.sdk.oauth_clients import Access, Calling, oauth_clients
from accordant.connectors.sdk.settings import Given, shipped_mappings
from accordant.connectors.xero.api import Api
from accordant.connectors.xero.contacts import CONTACTS
from accordant.connectors.xero.inbound import XeroInbound
from accordant.connectors.xero.outbound import XeroOutbound
from accordant.connectors.xero.receivables import XeroReader
from accordant.kernel.clock import Clock

#: The setting without which nothing can be read.
READER_NEEDS = "client_secret"
URL = "https://api.xero.com"
LOGIN_URL = "https://identity.xero.com"
TOKEN_PATH = "/connect/token"  # noqa: S105  an address, not a secret
SCOPES = "accounting.transactions accounting.contacts accounting.settings.read"
RATE_PER_S = 1
#: Xero carries out at most five calls of an app for an organisation at once.
AT_ONCE_MAX = 5
#: The objects whose records tell whose they are.
MATCHABLE = frozenset({CONTACTS})
#: The keys of the webhook: what the registry asks for.
webhook_secrets = notices.webhook_secrets
_PACKAGE = files("accordant.connectors.xero")
_REQUIRED = {
    "client_id": "Give the client id of the app, or of the custom connection.",
    "client_secret": "Give its secret, by reference.",
    "tenant_id": "Give the id of the organisation, as the connections of the app list it.",
    "company": "Give the legal entity of the charter whose books this organisation is.",
}
_OPTIONAL = ("refresh_token", "token_file", "webhook_secrets", "tracking_product", "url", "login_url")


def outbound(
    settings: Mapping[str, str],
    clock: Clock,
    *,
    rate_per_s: float = RATE_PER_S,
    timeouts: Timeouts = DEFAULT_TIMEOUTS,
    addresses: AddressPolicy = PUBLIC_ONLY,
    recorder: Recorder | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> XeroOutbound:
    """The outbound half of one connection; makes no call. ``manifest.toml`` lists the settings.

    ``recorder`` sees the calls to the API, never those to the login service. Raises ConfigurationError.
    """
    given = _given(settings)
    calling = Calling(
        clock=clock, rate_per_s=rate_per_s, timeouts=timeouts, addresses=addresses, recorder=recorder, sleep=sleep
    )
    api = _api(given, calling)
    protocols = {part.name: part.protocol for part in load_manifest(_PACKAGE).writes}
    company, tracking = given.text("company"), given.text("tracking_product")
    return XeroOutbound(api=api, protocols=protocols, company=company, tracking=tracking)


def reader(
    settings: Mapping[str, str],
    clock: Clock,
    *,
    system: str,
    rate_per_s: float = RATE_PER_S,
    addresses: AddressPolicy = PUBLIC_ONLY,
) -> XeroReader:
    """The reader of what customers owe; ``system`` is the connection's name. Raises ConfigurationError."""
    given = _given(settings)
    api = _api(given, Calling(clock=clock, rate_per_s=rate_per_s, addresses=addresses))
    return XeroReader(api, system=system, company=given.text("company"), clock=clock)


def inbound(settings: Mapping[str, str]) -> XeroInbound:
    """The inbound half: notices, and what the reader fetched. Raises ConfigurationError."""
    return XeroInbound(tenant=_given(settings).text("tenant_id"))


def default_mappings(
    model: CustomerModel = CustomerModel.B2B,  # noqa: ARG001  a contact is a company or a person alike
    several: SeveralCustomers = SeveralCustomers.ROLL_UP,  # noqa: ARG001
) -> tuple[MappingPart, ...]:
    """The shipped mapping: a customer to a contact, bills to invoices and credit notes, the rest to journals."""
    return shipped_mappings(_PACKAGE)


def _given(settings: Mapping[str, str]) -> Given:
    given = Given("Xero", settings, required=_REQUIRED, optional=_OPTIONAL)
    if given.text("refresh_token") and not given.text("token_file"):
        raise given.wrong(
            "token_file",
            "there is a refresh token and no file to keep its successors in",
            "Name a file in a folder of the hub's own; a custom connection needs neither.",
        )
    return given


def _api(given: Given, calling: Calling) -> Api:
    token_file = given.text("token_file")
    access = Access(
        title="Xero",
        login_url=given.address("login_url", LOGIN_URL, calling.addresses),
        path=TOKEN_PATH,
        client_id=given.text("client_id"),
        client_secret=given.text("client_secret"),
        scopes=SCOPES,
        tokens=TokenFile(Path(token_file), first=given.text("refresh_token")) if token_file else None,
    )
    url, tenant = given.address("url", URL, calling.addresses), {"xero-tenant-id": given.text("tenant_id")}
    http, session = oauth_clients(access, calling, url=url, at_once_max=AT_ONCE_MAX, headers=tenant)
    return Api(http=http, session=session)
