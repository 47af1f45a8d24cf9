"""Puts the Stripe connector together from the settings of a connection; the registry calls these functions.
Guarantees that a setting that is missing or does not fit is named with its remedy, and that no secret is shown.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from importlib.resources import files

from accordant.canonical.charter import CustomerModel, MappingPart, SeveralCustomers
from accordant.canonical.refs import EntityKind
from accordant.connectors.sdk.addresses import AddressPolicy
from accordant.connectors.sdk.http import DEFAULT_TIMEOUTS, PUBLIC_ONLY, HttpClient, Recorder, Timeouts
from accordant.connectors.sdk.manifest import load_manifest
from accordant.connectors.sdk.settings import shipped_mappings
from accordant.connectors.stripe.calls import Calls
from accordant.connectors.stripe.inbound import StripeInbound
from accordant.connectors.stripe.outbound import StripeOutbound
from accordant.connectors.stripe.reader import API_VERSION, StripeReader
from accordant.connectors.stripe.subscriptions import PRORATIONS
from accordant.kernel.clock import Clock
from accordant.kernel.errors import ConfigurationError

API_BASE = "https://api.stripe.com"
RATE_LIVE_PER_S = 80.0  # of Stripe's 100, so that people and other programs can go on
RATE_TEST_PER_S = 20.0  # of 25
SETTINGS = frozenset(("api_key", "webhook_secrets", "api_base", "live_mode", "api_version", "proration_behavior"))
#: Objects whose records tell whose they are.
MATCHABLE = frozenset({"customer"})
_PACKAGE = "accordant.connectors.stripe"
_SECRET_LENGTH_MIN = 16


class SettingInvalid(ConfigurationError):
    """A setting of this Stripe connection is missing or does not fit."""


def inbound(settings: Mapping[str, str]) -> StripeInbound:
    """The inbound half. Raises: SettingInvalid, also where no webhook secret is set: then nothing could be verified."""
    webhook_secrets(settings)
    return StripeInbound(live=_live(settings))


def webhook_secrets(settings: Mapping[str, str]) -> tuple[bytes, ...]:
    """The signing secrets, newest first; two while one rolls. Raises: SettingInvalid."""
    _check_names(settings)
    given = settings.get("webhook_secrets", "").replace(",", " ").split()
    if not given:
        raise SettingInvalid(
            "The setting webhook_secrets of a Stripe connection is missing.",
            remedy="Copy the signing secret (whsec_...) of the webhook endpoint from Stripe's dashboard into it.",
        )
    for secret in given:
        if not secret.startswith("whsec_") or not secret.isascii() or len(secret) < _SECRET_LENGTH_MIN:
            raise SettingInvalid(
                "The setting webhook_secrets of a Stripe connection holds something that is no signing secret.",
                remedy="A signing secret starts with whsec_; several are separated by commas, the newest first.",
            )
    return tuple(secret.encode() for secret in given)


def reader(
    settings: Mapping[str, str],
    clock: Clock,
    *,
    system: str,
    addresses: AddressPolicy = PUBLIC_ONLY,
    recorder: Recorder | None = None,
) -> StripeReader:
    """The reader. ``system`` is the connection's name in the charter. Raises: SettingInvalid, AddressForbidden."""
    rate = RATE_LIVE_PER_S if _live(settings) else RATE_TEST_PER_S
    http = _http(settings, clock, rate_per_s=rate, addresses=addresses, recorder=recorder)
    return StripeReader(http, system=system, clock=clock, api_version=_version(settings))


def outbound(
    settings: Mapping[str, str],
    clock: Clock,
    *,
    rate_per_s: float = RATE_TEST_PER_S,
    timeouts: Timeouts = DEFAULT_TIMEOUTS,
    addresses: AddressPolicy = PUBLIC_ONLY,
    recorder: Recorder | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> StripeOutbound:
    """The outbound half of one connection; makes no call. Raises: SettingInvalid, AddressForbidden."""
    http = _http(
        settings,
        clock,
        rate_per_s=rate_per_s,
        addresses=addresses,
        recorder=recorder,
        timeouts=timeouts,
        sleep=sleep,
    )
    proration = settings.get("proration_behavior", "").strip()
    if proration and proration not in PRORATIONS:
        raise SettingInvalid(
            f"The setting proration_behavior of a Stripe connection holds {proration[:40]!r}.",
            remedy=f"Choose {', '.join(PRORATIONS)}; without it no line of a subscription is changed.",
        )
    protocols = {part.name: part.protocol for part in load_manifest(files(_PACKAGE)).writes}
    calls = Calls(http, api_version=_version(settings))
    return StripeOutbound(calls=calls, protocols=protocols, clock=clock, proration=proration)


def _http(
    settings: Mapping[str, str],
    clock: Clock,
    *,
    rate_per_s: float,
    addresses: AddressPolicy,
    recorder: Recorder | None,
    timeouts: Timeouts = DEFAULT_TIMEOUTS,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> HttpClient:
    _check_names(settings)
    key = _api_key(settings, live=_live(settings))
    return HttpClient(
        settings.get("api_base") or API_BASE,
        clock=clock,
        rate_per_s=rate_per_s,
        headers={"Authorization": f"Bearer {key}", "Accept": "application/json"},
        addresses=addresses,
        recorder=recorder,
        timeouts=timeouts,
        sleep=sleep,
    )


def _version(settings: Mapping[str, str]) -> str:
    version = settings.get("api_version") or API_VERSION
    if not (version.isascii() and version.isprintable() and version[:4].isdigit()):
        raise SettingInvalid(
            f"The setting api_version of a Stripe connection holds {version[:40]!r}.",
            remedy=f"Stripe's versions read like {API_VERSION}; leave it out to use that one.",
        )
    return version


def _api_key(settings: Mapping[str, str], *, live: bool) -> str:
    key = settings.get("api_key", "")
    if not key:
        raise SettingInvalid(
            "The setting api_key of a Stripe connection is missing.",
            remedy="Create a restricted key that may read, and write what flows into Stripe; refer to it here.",
        )
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise SettingInvalid("The setting api_key of a Stripe connection holds letters that no key has.")
    mode = "live" if "_live_" in key[:10] else "test"
    if key[:3] in {"sk_", "rk_"} and (mode == "live") is not live:
        raise SettingInvalid(
            f"The setting api_key of a Stripe connection is a {mode} key, and live_mode says otherwise.",
            remedy="Use the key of the mode this connection is for, or correct live_mode.",
        )
    return key


def _live(settings: Mapping[str, str]) -> bool:
    said = settings.get("live_mode", "").strip().lower()
    if said not in {"true", "false"}:
        raise SettingInvalid(
            "The setting live_mode of a Stripe connection is neither true nor false.",
            remedy="Write true for the real account and false for a sandbox: their events never mix.",
        )
    return said == "true"


def _check_names(settings: Mapping[str, str]) -> None:
    unknown = sorted(settings.keys() - SETTINGS)
    if unknown:
        raise SettingInvalid(
            f"A Stripe connection has no setting {unknown[0]!r}.", remedy=f"It has: {', '.join(sorted(SETTINGS))}."
        )


def default_mappings(
    model: CustomerModel = CustomerModel.B2B,  # noqa: ARG001  a customer is a company or a person alike
    several: SeveralCustomers = SeveralCustomers.ROLL_UP,  # noqa: ARG001
) -> tuple[MappingPart, ...]:
    """The shipped mapping: a company of the CRM to a customer, a won opportunity to its subscription."""
    return shipped_mappings(files(_PACKAGE))


def default_ownership() -> dict[EntityKind, str]:
    """What Stripe owns unless a charter says otherwise, each with its sentence (requirement 15)."""
    return {
        EntityKind.ACCOUNT: "Stripe says who pays us, how and how much; the others show it and never change it.",
        EntityKind.PRODUCT: "Stripe says what we sell and what it is called; the others sell nothing that it has not.",
        EntityKind.PRICE: "Stripe says what each product costs and which prices are still sold.",
        EntityKind.SUBSCRIPTION: "Stripe runs every subscription: plan, price, state and dates are what it says.",
        EntityKind.INVOICE: "Stripe issues every invoice and says what of it is paid.",
        EntityKind.PAYMENT: "Stripe collects every payment and says what became of it.",
        EntityKind.REFUND: "Stripe gives money back and says whether it has arrived.",
        EntityKind.PAYOUT: "Stripe makes every payout and says when it has reached the bank.",
    }
