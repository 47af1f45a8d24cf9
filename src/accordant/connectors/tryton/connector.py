"""The Tryton connector put together: settings of a connection to its outbound half, and the shipped mapping.
Guarantees that a wrong setting is named with its remedy before anything is called, and that no message holds a secret.
Next: outbound.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from importlib.resources import files

from accordant.canonical.charter import CustomerModel, MappingPart, SeveralCustomers
from accordant.connectors.sdk.addresses import AddressPolicy
from accordant.connectors.sdk.http import HttpClient, Recorder, Timeouts
from accordant.connectors.sdk.manifest import load_manifest
from accordant.connectors.sdk.settings import Given, shipped_mappings
from accordant.connectors.tryton.documents import Journals
from accordant.connectors.tryton.inbound import TrytonInbound
from accordant.connectors.tryton.outbound import TrytonOutbound
from accordant.connectors.tryton.parties import PARTY
from accordant.connectors.tryton.receivables import TrytonReader
from accordant.connectors.tryton.rpc import Rpc, Session
from accordant.kernel.clock import Clock

#: The setting without which nothing can be read.
READER_NEEDS = "password"
#: Objects whose records tell whose they are.
MATCHABLE = frozenset({PARTY})
RATE_PER_S = 20
LOGINS_PER_S = 1
_TIMEOUTS = Timeouts()
_PUBLIC_ONLY = AddressPolicy()
_PACKAGE = "accordant.connectors.tryton"
_REQUIRED = {
    "url": "Give the address of the Tryton server, https://tryton.example.com.",
    "database": "Give the name of the database on that server.",
    "user": "Give the login of the hub's own user in Tryton.",
    "password": "Give the password of that user, by reference.",
}
_JOURNALS = {"journal_revenue": "REV", "journal_cash": "CASH", "journal_general": "MISC"}
_OPTIONAL = {*_JOURNALS, "parent_relation"}


def outbound(
    settings: Mapping[str, str],
    clock: Clock,
    *,
    rate_per_s: float = RATE_PER_S,
    timeouts: Timeouts = _TIMEOUTS,
    addresses: AddressPolicy = _PUBLIC_ONLY,
    recorder: Recorder | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> TrytonOutbound:
    """The outbound half of one connection; makes no call. ``manifest.toml`` lists the settings.

    ``recorder`` sees the calls to the models, never the login. Raises ConfigurationError.
    """
    rpc = _rpc(settings, clock, rate_per_s, timeouts=timeouts, addresses=addresses, recorder=recorder, sleep=sleep)
    given = _given(settings)
    codes = {name: given.text(name) or usual for name, usual in _JOURNALS.items()}
    if codes["journal_revenue"] in {codes["journal_cash"], codes["journal_general"]}:
        raise given.wrong("journal_revenue", "it is also one of the others", "Give invoices a journal of their own.")
    journals = Journals(revenue=codes["journal_revenue"], cash=codes["journal_cash"], general=codes["journal_general"])
    protocols = {part.name: part.protocol for part in load_manifest(files(_PACKAGE)).writes}
    return TrytonOutbound(
        rpc=rpc, protocols=protocols, journals=journals, parent_relation=given.text("parent_relation")
    )


def reader(
    settings: Mapping[str, str], clock: Clock, *, system: str, addresses: AddressPolicy = _PUBLIC_ONLY
) -> TrytonReader:
    """The reader of what customers owe; ``system`` is the connection's name. Raises ConfigurationError."""
    return TrytonReader(_rpc(settings, clock, RATE_PER_S, addresses=addresses), system=system, clock=clock)


def inbound(_settings: Mapping[str, str]) -> TrytonInbound:
    """The inbound half: it understands what the reader fetched."""
    return TrytonInbound()


def webhook_secrets(_settings: Mapping[str, str]) -> tuple[bytes, ...]:
    """None: nothing is sent to the door."""
    return ()


def _rpc(
    settings: Mapping[str, str],
    clock: Clock,
    rate_per_s: float,
    *,
    timeouts: Timeouts = _TIMEOUTS,
    addresses: AddressPolicy,
    recorder: Recorder | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Rpc:
    given = _given(settings)
    url = given.address("url", "", addresses)
    login = HttpClient(
        url,
        clock=clock,
        rate_per_s=LOGINS_PER_S,
        burst=3,
        timeouts=timeouts,
        addresses=addresses,
        read_attempts_max=1,  # the call that needs the login is tried again itself, and each try asks for one
        sleep=sleep,
    )
    session = Session(
        login=login, database=given.text("database"), user=given.text("user"), password=given.text("password")
    )
    http = HttpClient(
        url,
        clock=clock,
        rate_per_s=rate_per_s,
        timeouts=timeouts,
        authorize=session,
        recorder=recorder,
        addresses=addresses,
        sleep=sleep,
    )
    return Rpc(http=http, session=session, database=given.text("database"))


def _given(settings: Mapping[str, str]) -> Given:
    return Given("Tryton", settings, required=_REQUIRED, optional=_OPTIONAL)


def default_mappings(
    model: CustomerModel = CustomerModel.B2B,  # noqa: ARG001  a party is a company or a person alike
    several: SeveralCustomers = SeveralCustomers.ROLL_UP,  # noqa: ARG001
) -> tuple[MappingPart, ...]:
    """The shipped mapping: a customer to a party, an invoice and a credit note to an invoice, the rest to a move."""
    return shipped_mappings(files(_PACKAGE))
