"""The endpoint by which a provider delivers: an existing one is adopted as it is, and watched for what changes in it.

Nothing is made, changed or deleted at the provider: an endpoint that is made anew has another secret, and what the old
one still had to deliver is gone.
"""

from collections.abc import Callable
from datetime import datetime
from functools import partial

import msgspec

from accordant.kernel.errors import RejectedError
from accordant.operations.reconcile import off_loop
from accordant.ports.audit import AuditEntry
from accordant.ports.connector import EndpointLister, WebhookEndpoint
from accordant.ports.missed import Adoption, AdoptionBook

ALL_TYPES = "*"


class EndpointUnknown(RejectedError):
    """The provider has no endpoint for this address."""


class AdoptionOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Whose endpoint, at which address; ``url`` None looks at the one that was adopted before."""

    system: str
    url: str | None
    actor: str
    at: datetime


class EndpointFinding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong with an endpoint, and how to mend it at the provider."""

    problem: str
    remedy: str


class Adopted(msgspec.Struct, frozen=True, kw_only=True):
    """An adopted endpoint, what is wrong with it, and when a delivery was last proved by the connection's secret."""

    adoption: Adoption
    findings: tuple[EndpointFinding, ...]
    delivered_at: datetime | None


async def adopt_endpoint(
    order: AdoptionOrder,
    *,
    lister: EndpointLister,
    expected: frozenset[str],
    book: AdoptionBook,
    audit: Callable[[AuditEntry], None],
) -> Adopted:
    """Find the endpoint for an address and remember it with its version. ``expected`` are the understood types.

    Raises EndpointUnknown, and as the reader.
    """
    there = await lister.endpoints()
    adoption = await off_loop(partial(book.adoption, order.system))
    if order.url is not None:
        chosen = _for_address(there, order.url, order.system)
        adoption = Adoption(
            system=order.system,
            endpoint_id=chosen.id,
            url=chosen.url,
            api_version=chosen.api_version,
            adopted_at=order.at,
            adopted_by=order.actor,
        )
        await off_loop(partial(book.adopt, adoption))
        await off_loop(partial(audit, _line(adoption)))
    if adoption is None:
        raise EndpointUnknown(f"No endpoint of {order.system} was adopted yet.", remedy=_offer(there))
    return Adopted(
        adoption=adoption,
        findings=judge(adoption, there, expected),
        delivered_at=await off_loop(partial(book.delivered_at, order.system)),
    )


async def check_endpoint(
    system: str, *, lister: EndpointLister, expected: frozenset[str], book: AdoptionBook
) -> tuple[EndpointFinding, ...]:
    """What is wrong with the adopted endpoint now; nothing where none was adopted. Raises as the reader."""
    adoption = await off_loop(partial(book.adoption, system))
    return () if adoption is None else judge(adoption, await lister.endpoints(), expected)


def judge(
    adoption: Adoption, there: tuple[WebhookEndpoint, ...], expected: frozenset[str]
) -> tuple[EndpointFinding, ...]:
    """Everything by which events would be lost, doubled or spelled otherwise than when the endpoint was adopted."""
    own = next((one for one in there if one.id == adoption.endpoint_id), None)
    if own is None:
        remedy = "Adopt the one in its place with `accordant connect`, and set its signing secret."
        return (EndpointFinding(problem=f"The endpoint {adoption.endpoint_id} is gone.", remedy=remedy),)
    found = []
    if not own.is_enabled:
        found.append(("It is switched off: nothing is delivered.", "Switch it on; the sweep fetches what was missed."))
    if _plain(own.url) != _plain(adoption.url):
        found.append((f"It delivers to {own.url} now.", f"Set its address back to {adoption.url}, or adopt it anew."))
    if own.api_version is None:
        found.append(
            (
                "It has no version of its own, so deliveries change with the account's default.",
                "Versions are fixed when an endpoint is made: make the next one with a version, and adopt that.",
            )
        )
    elif own.api_version != adoption.api_version:
        found.append(
            (
                f"Its version is {own.api_version}; it was {adoption.api_version or 'not fixed'} when it was adopted.",
                "Rehearse with events of the new version, then adopt it anew.",
            )
        )
    missing = sorted(expected - own.event_types) if ALL_TYPES not in own.event_types else []
    if missing:
        some = ", ".join(missing[:5]) + (f" and {len(missing) - 5:,} more" if len(missing) > 5 else "")
        found.append((f"It does not deliver {len(missing):,} types that are understood here: {some}.", "Add them."))
    twins = [one.id for one in there if one.id != own.id and one.is_enabled and _plain(one.url) == _plain(own.url)]
    if twins:
        found.append(
            (f"{', '.join(twins)} delivers to the same address: each event comes twice.", "Switch the others off.")
        )
    return tuple(EndpointFinding(problem=problem, remedy=remedy) for problem, remedy in found)


def _for_address(there: tuple[WebhookEndpoint, ...], url: str, system: str) -> WebhookEndpoint:
    """The oldest enabled one of an address: its secret is the one that has been in use."""
    fitting = [one for one in reversed(there) if _plain(one.url) == _plain(url)]
    fitting.sort(key=lambda one: not one.is_enabled)
    if not fitting:
        raise EndpointUnknown(f"{system} delivers nothing to {url}.", remedy=_offer(there))
    return fitting[0]


def _offer(there: tuple[WebhookEndpoint, ...]) -> str:
    known = ", ".join(sorted({one.url for one in there}))
    made = "Make one there with a fixed version, then run `accordant connect SYSTEM --url ADDRESS`."
    return f"Its endpoints deliver to: {known}. Name one of them with --url." if known else made


def _plain(url: str) -> str:
    return url.rstrip("/")


def _line(adoption: Adoption) -> AuditEntry:
    return AuditEntry(
        kind="endpoint.system.adopted",
        actor=adoption.adopted_by,
        subject=adoption.system,
        cause=None,
        at=adoption.adopted_at,
        body={"endpoint": adoption.endpoint_id, "url": adoption.url, "api_version": adoption.api_version},
    )
