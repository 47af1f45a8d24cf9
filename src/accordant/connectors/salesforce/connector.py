"""The Salesforce connector put together: settings of a connection to its outbound half, and the shipped mapping.
Guarantees that a wrong setting is named with its remedy before anything is called, and that no message holds a secret.
Next: outbound.py, and changes.py for what comes in.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from importlib.resources import files
from urllib.parse import urlsplit

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from accordant.canonical.charter import CustomerModel, FieldPart, FieldType, MappingPart, SeveralCustomers
from accordant.canonical.refs import EntityKind
from accordant.connectors.salesforce.authorize import Authorizer, ClientCredentials, Grant, JwtBearer
from accordant.connectors.salesforce.calls import Calls
from accordant.connectors.salesforce.changes import SalesforceReader
from accordant.connectors.salesforce.inbound import READ, SalesforceInbound, Scope
from accordant.connectors.salesforce.outbound import SalesforceOutbound
from accordant.connectors.salesforce.soql import NameInvalid, checked_path
from accordant.connectors.sdk.addresses import AddressForbidden, AddressPolicy
from accordant.connectors.sdk.http import HttpClient, Recorder, Timeouts
from accordant.connectors.sdk.settings import shipped_mappings
from accordant.kernel.clock import Clock
from accordant.kernel.errors import ConfigurationError
from accordant.kernel.money import CurrencyUnknown, exponent_of

API_VERSION = "59.0"
API_VERSION_MIN = 46  # older ones do not say whether an upsert created
LOGIN_URL = "https://login.salesforce.com"
SANDBOX_LOGIN_URL = "https://test.salesforce.com"
KEY_BITS_MIN = 2048
RATE_PER_S = 20
LOGINS_PER_S = 1
MATCHABLE = frozenset({"Account", "Contact"})
_TIMEOUTS = Timeouts()
_PUBLIC_ONLY = AddressPolicy()
_FLOWS = ("jwt", "client_credentials")
#: The standard field of an Account that names the one above it.
_PARENT_FIELD = "ParentId"
#: The setting without which nothing of the CRM's own is read: a company that only writes there leaves it out.
READER_NEEDS = "listens_to"
#: Settings that say what is read of the CRM's own objects.
_READING = frozenset(
    {
        READER_NEEDS,
        "currency",
        "billing_email_field",
        "company_fields",
        "opportunity_fields",
        "starts_on_field",
        "term_months_field",
        "price_field",
    }
)
_KNOWN = _READING | frozenset(
    {
        "instance_url",
        "login_url",
        "flow",
        "client_id",
        "client_secret",
        "username",
        "private_key",
        "audience",
        "api_version",
    }
)

SettingValue = str | int | bool | tuple[str, ...]


def outbound(
    settings: Mapping[str, SettingValue],
    clock: Clock,
    *,
    rate_per_s: float = RATE_PER_S,
    timeouts: Timeouts = _TIMEOUTS,
    addresses: AddressPolicy = _PUBLIC_ONLY,
    recorder: Recorder | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> SalesforceOutbound:
    """The outbound half of one connection; makes no call. ``manifest.toml`` lists the settings.

    ``recorder`` sees the calls to the org, never those to the login service; ``sleep`` is how a call waits for its
    turn and between tries, in seconds. Raises ConfigurationError.
    """
    calls = _calls(settings, clock, rate_per_s, timeouts=timeouts, addresses=addresses, recorder=recorder, sleep=sleep)
    return SalesforceOutbound(calls=calls, sleep=sleep)


def reader(
    settings: Mapping[str, SettingValue],
    clock: Clock,
    *,
    system: str,
    addresses: AddressPolicy = _PUBLIC_ONLY,
    recorder: Recorder | None = None,
) -> SalesforceReader:
    """The reader of the CRM's own objects; ``system`` is the connection's name. Raises ConfigurationError."""
    calls = _calls(settings, clock, RATE_PER_S, addresses=addresses, recorder=recorder)
    return SalesforceReader(calls, _scope(settings), system=system, clock=clock)


def inbound(settings: Mapping[str, SettingValue]) -> SalesforceInbound:
    """The inbound half: it understands what the reader fetched. Raises ConfigurationError."""
    return SalesforceInbound(_scope(settings))


def webhook_secrets(_settings: Mapping[str, SettingValue]) -> tuple[bytes, ...]:
    """None: nothing is sent to the door."""
    return ()


def _scope(settings: Mapping[str, SettingValue]) -> Scope:
    """What is read, by the settings. Raises ConfigurationError."""
    unknown = sorted(set(_names(settings, READER_NEEDS)) - set(READ))
    if unknown:
        raise _wrong(READER_NEEDS, f"{unknown[0]!r} is nothing that is read", f"Choose among {', '.join(READ)}.")
    currency = _text(settings, "currency", "")
    if currency:
        try:
            exponent_of(currency)
        except CurrencyUnknown:
            raise _wrong("currency", f"{currency!r} is no currency", "Give the org's code, such as EUR.") from None
    scope = Scope(
        objects=_names(settings, READER_NEEDS),
        currency=currency or None,
        email_field=_text(settings, "billing_email_field", ""),
        company_fields=_names(settings, "company_fields"),
        opportunity_fields=_names(settings, "opportunity_fields"),
        starts_on_field=_text(settings, "starts_on_field", ""),
        term_months_field=_text(settings, "term_months_field", ""),
        price_field=_text(settings, "price_field", ""),
    )
    for name in scope.named:
        try:
            checked_path(name)
        except NameInvalid as error:
            raise _wrong("field", f"{name[:80]!r} is no field", error.remedy) from error
    return scope


def _names(settings: Mapping[str, SettingValue], name: str) -> tuple[str, ...]:
    """A list, as the charter gives it or joined by commas."""
    given = settings.get(name, ())
    parts = given if isinstance(given, tuple) else str(given).split(",")
    return tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))


def _calls(
    settings: Mapping[str, SettingValue],
    clock: Clock,
    rate_per_s: float,
    *,
    timeouts: Timeouts = _TIMEOUTS,
    addresses: AddressPolicy,
    recorder: Recorder | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Calls:
    unknown = sorted(settings.keys() - _KNOWN)
    if unknown:
        raise ConfigurationError(
            f"Salesforce has no setting {unknown[0]!r}.", remedy=f"Choose among {', '.join(sorted(_KNOWN))}."
        )
    flow = _text(settings, "flow", "jwt")
    if flow not in _FLOWS:
        raise _wrong("flow", f"{flow!r} is no way to log in", f"Choose {' or '.join(_FLOWS)}.")
    instance_url = _required(settings, "instance_url", "Give the My Domain address, https://NAME.my.salesforce.com.")
    _check_address("instance_url", instance_url, addresses)
    # Client credentials are granted by the org itself; the general login service refuses them.
    login_url = _text(settings, "login_url", LOGIN_URL if flow == "jwt" else instance_url)
    _check_address("login_url", login_url, addresses)
    version = _version(settings)
    grant = _jwt(settings, login_url) if flow == "jwt" else _client_credentials(settings)
    login = HttpClient(
        login_url,
        clock=clock,
        rate_per_s=LOGINS_PER_S,
        burst=3,
        timeouts=timeouts,
        addresses=addresses,
        read_attempts_max=1,  # the call that needs the login is tried again itself, and each try asks for one
        sleep=sleep,
    )
    authorizer = Authorizer(login=login, grant=grant, clock=clock)
    http = HttpClient(
        instance_url,
        clock=clock,
        rate_per_s=rate_per_s,
        timeouts=timeouts,
        authorize=authorizer,
        recorder=recorder,
        addresses=addresses,
        sleep=sleep,
    )
    return Calls(http=http, authorizer=authorizer, clock=clock, api_version=version)


def default_mappings(
    model: CustomerModel = CustomerModel.B2B, several: SeveralCustomers = SeveralCustomers.ROLL_UP
) -> tuple[MappingPart, ...]:
    """The shipped mapping: a customer to an Account, or to a Contact for b2c; a subscription to its own object.

    Where several customers of one company are kept apart, an Account also names the one above it.
    """
    shipped = _shipped(model)
    if model is CustomerModel.B2C or several is SeveralCustomers.ROLL_UP:
        return shipped
    return tuple(_with_parent(one) if one.entity is EntityKind.ACCOUNT else one for one in shipped)


def _with_parent(mapping: MappingPart) -> MappingPart:
    above = FieldPart(
        source="parent", type=FieldType.LOOKUP, lookup_object=mapping.object, lookup_key=mapping.key_field
    )
    return msgspec.structs.replace(mapping, fields={**mapping.fields, _PARENT_FIELD: above})


def _shipped(model: CustomerModel) -> tuple[MappingPart, ...]:
    return shipped_mappings(files("accordant.connectors.salesforce"), f"default_mapping_{model}.yaml")


def _jwt(settings: Mapping[str, SettingValue], login_url: str) -> Grant:
    sandbox = re.search(r"(^|[.-])(test|sandbox)([.-]|$)", urlsplit(login_url).hostname or "") is not None
    return JwtBearer(
        client_id=_required(settings, "client_id", "Give the consumer key of the connected app."),
        username=_required(settings, "username", "Give the integration user's name."),
        audience=_text(settings, "audience", SANDBOX_LOGIN_URL if sandbox else LOGIN_URL),
        private_key=_private_key(settings),
    )


def _client_credentials(settings: Mapping[str, SettingValue]) -> Grant:
    return ClientCredentials(
        client_id=_required(settings, "client_id", "Give the consumer key of the connected app."),
        client_secret=_required(
            settings, "client_secret", "Give the consumer secret of the connected app, by reference."
        ),
    )


def _private_key(settings: Mapping[str, SettingValue]) -> RSAPrivateKey:
    text = _required(settings, "private_key", "Give the PEM text of the key whose certificate the connected app holds.")
    remedy = f"Give an unencrypted RSA key of at least {KEY_BITS_MIN} bits in PEM form."
    try:
        # An environment variable on one line spells its line ends.
        key = load_pem_private_key(text.replace("\\n", "\n").encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise _wrong("private_key", "it is no private key that can be read", remedy) from None  # the cause may quote it
    if not isinstance(key, RSAPrivateKey) or key.key_size < KEY_BITS_MIN:
        raise _wrong("private_key", "it is of a kind or size Salesforce does not take", remedy)
    return key


def _version(settings: Mapping[str, SettingValue]) -> str:
    text = _text(settings, "api_version", API_VERSION).removeprefix("v")
    if not re.fullmatch(r"\d{2,3}\.0", text) or int(text[:-2]) < API_VERSION_MIN:
        raise _wrong("api_version", f"{text!r} is no version it can speak", f"Give {API_VERSION}, or none.")
    return text


def _check_address(name: str, url: str, addresses: AddressPolicy) -> None:
    try:
        addresses.check_url(url)
    except AddressForbidden as error:
        raise _wrong(name, error.message.rstrip("."), error.remedy) from error
    if urlsplit(url).path.strip("/"):
        raise _wrong(name, f"{url!r} holds a path", "Give the address up to the host name only.")


def _text(settings: Mapping[str, SettingValue], name: str, default: str) -> str:
    value = settings.get(name, default)
    if not isinstance(value, str):
        raise _wrong(name, "it is not text", "Write it in quotes.")
    return value.strip() or default


def _required(settings: Mapping[str, SettingValue], name: str, remedy: str) -> str:
    value = _text(settings, name, "")
    if not value:
        raise _wrong(name, "it is missing", remedy)
    return value


def _wrong(name: str, reason: str, remedy: str) -> ConfigurationError:
    return ConfigurationError(f"The setting {name!r} of the Salesforce connection: {reason}.", remedy=remedy)


def default_ownership() -> dict[EntityKind, str]:
    """What Salesforce owns unless a charter says otherwise, each with its sentence (requirements 12 and 16)."""
    return {
        EntityKind.COMPANY: "Salesforce says which companies sales knows, and how they are reached.",
        EntityKind.CONTACT: "Salesforce says who the people at a company are.",
        EntityKind.OPPORTUNITY: "Salesforce says what is being sold to whom, and whether it was won.",
    }
