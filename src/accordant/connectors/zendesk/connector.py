"""The Zendesk connector put together: settings of a connection to its outbound half, and the shipped mapping.
Guarantees that a wrong setting is named with its remedy before anything is called, and that no message holds a secret.
Next: outbound.py.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable, Mapping
from importlib.resources import files

from accordant.canonical.charter import CustomerModel, MappingPart, SeveralCustomers
from accordant.connectors.sdk.addresses import AddressPolicy
from accordant.connectors.sdk.http import DEFAULT_TIMEOUTS, PUBLIC_ONLY, HttpClient, Recorder, Timeouts
from accordant.connectors.sdk.settings import Given, shipped_mappings
from accordant.connectors.zendesk.api import Api
from accordant.connectors.zendesk.outbound import ORGANIZATION, ZendeskOutbound
from accordant.kernel.clock import Clock

RATE_PER_S = 3
MATCHABLE = frozenset({ORGANIZATION})
_PACKAGE = files("accordant.connectors.zendesk")
_REQUIRED = {
    "url": "Give the address of the account, https://NAME.zendesk.com.",
    "email": "Give the e-mail of the agent the hub works as.",
    "api_token": "Give an API token of the account, by reference.",
}


def outbound(
    settings: Mapping[str, str],
    clock: Clock,
    *,
    rate_per_s: float = RATE_PER_S,
    timeouts: Timeouts = DEFAULT_TIMEOUTS,
    addresses: AddressPolicy = PUBLIC_ONLY,
    recorder: Recorder | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> ZendeskOutbound:
    """The outbound half of one connection; makes no call. ``manifest.toml`` lists the settings.

    Raises ConfigurationError.
    """
    given = Given("Zendesk", settings, required=_REQUIRED, optional=())
    email = given.text("email")
    if ":" in email or "@" not in email:
        raise given.wrong("email", "it is no e-mail address", _REQUIRED["email"])
    # A token goes with the name of its user: https://developer.zendesk.com/api-reference/introduction/security-and-auth/
    proof = base64.b64encode(f"{email}/token:{given.text('api_token')}".encode()).decode("ascii")
    http = HttpClient(
        given.address("url", "", addresses),
        clock=clock,
        rate_per_s=rate_per_s,
        timeouts=timeouts,
        headers={"Authorization": f"Basic {proof}"},
        recorder=recorder,
        addresses=addresses,
        sleep=sleep,
    )
    return ZendeskOutbound(Api(http))


def default_mappings(
    model: CustomerModel = CustomerModel.B2B,  # noqa: ARG001  a person is an organization of his own
    several: SeveralCustomers = SeveralCustomers.ROLL_UP,  # noqa: ARG001
) -> tuple[MappingPart, ...]:
    """The shipped mapping: a customer to an organization, with what an agent has to know before he answers."""
    return shipped_mappings(_PACKAGE)
