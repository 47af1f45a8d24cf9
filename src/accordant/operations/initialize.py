"""A company's first charter from six answers: what stands in the file, and which secrets belong into the environment.

Nothing is written here, and no secret is asked for. The first charter only compares (read_only).
"""

import zoneinfo
from collections.abc import Callable

import msgspec

from accordant.canonical.charter import CustomerModel
from accordant.kernel.errors import ConfigurationError

#: The file of a first charter.
FILE_NAME = "accordant.yaml"


class Answers(msgspec.Struct, frozen=True, kw_only=True):
    """The six answers. ``crm_url`` is the address of the company's own CRM, ``model`` says who its customers are."""

    company: str
    timezone: str
    owner: str
    is_live: bool
    crm_url: str
    model: CustomerModel = CustomerModel.B2B


class Variable(msgspec.Struct, frozen=True, kw_only=True):
    """An environment variable that the charter refers to."""

    name: str
    purpose: str


class FirstCharter(msgspec.Struct, frozen=True, kw_only=True):
    """The text of the charter and the variables to set before `accordant serve`."""

    text: str
    variables: tuple[Variable, ...]


class System(msgspec.Struct, frozen=True, kw_only=True):
    """One system of a first charter: its settings as they stand in the file, and what they refer to."""

    connector: str
    settings: dict[str, str | bool]
    variables: tuple[Variable, ...]


#: Writes a charter of (company, time zone, owner, source, target).
Compose = Callable[[Answers, System, System], str]


def initialize(*, answers: Answers, compose: Compose) -> FirstCharter:
    """The first charter of a company on Stripe and Salesforce. Raises ConfigurationError naming the wrong answer."""
    _check(answers)
    billing, crm = _billing(answers), _crm(answers)
    return FirstCharter(text=compose(answers, billing, crm), variables=(*billing.variables, *crm.variables))


def _billing(answers: Answers) -> System:
    return System(
        connector="stripe",
        settings={
            "live_mode": answers.is_live,
            "api_key": "env:STRIPE_API_KEY",
            "webhook_secrets": "env:STRIPE_WEBHOOK_SECRET",
        },
        variables=(
            Variable(name="STRIPE_API_KEY", purpose="a restricted key of Stripe that may only read"),
            Variable(name="STRIPE_WEBHOOK_SECRET", purpose="the signing secret (whsec_...) of the webhook endpoint"),
        ),
    )


def _crm(answers: Answers) -> System:
    return System(
        connector="salesforce",
        settings={
            "flow": "client_credentials",
            "instance_url": answers.crm_url.rstrip("/"),
            "client_id": "env:SALESFORCE_CLIENT_ID",
            "client_secret": "env:SALESFORCE_CLIENT_SECRET",
        },
        variables=(
            Variable(name="SALESFORCE_CLIENT_ID", purpose="the consumer key of the connected app"),
            Variable(name="SALESFORCE_CLIENT_SECRET", purpose="the consumer secret of the connected app"),
        ),
    )


def _check(answers: Answers) -> None:
    for name in ("company", "owner"):
        if not getattr(answers, name).strip():
            raise ConfigurationError(f"The answer --{name} is empty.", remedy=f"Give --{name} as text.")
    if answers.timezone != "UTC":
        try:
            zoneinfo.ZoneInfo(answers.timezone)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            raise ConfigurationError(
                f"--timezone is {answers.timezone!r}, which is no time zone.",
                remedy="Use a name of the IANA list such as Europe/Berlin or UTC.",
            ) from None
    if not answers.crm_url.startswith("https://") or answers.crm_url.rstrip("/").count("/") != 2:
        raise ConfigurationError(
            f"--salesforce-url is {answers.crm_url!r}.",
            remedy="Give the My Domain address up to the host name: https://NAME.my.salesforce.com.",
        )
