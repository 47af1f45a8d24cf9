"""What a connector says of itself (manifest.toml) and how good it is by its own honest account (quality.toml).
Both are read strictly: an unknown field, a missing rule or an exemption without a reason is an error with its place.
"""

from __future__ import annotations

import tomllib
from datetime import timedelta
from enum import StrEnum
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from accordant.governance.findings import Category
from accordant.kernel.errors import ConfigurationError
from accordant.ports.connector import DestinationClass, WriteProtocol

MANIFEST_NAME = "manifest.toml"
QUALITY_NAME = "quality.toml"
#: Keys are not relied on in the last hour of their life.
_KEY_LIFE_MIN_HOURS = 1
_Read = TypeVar("_Read")


class ManifestInvalid(ConfigurationError):
    """The manifest or the scorecard of a connector cannot be read."""

    remedy = "Correct the file in the connector's folder."


class _Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Setting(_Strict, frozen=True, kw_only=True):
    """One setting of a connection. A secret is given by reference and never shown."""

    name: str
    purpose: str
    secret: bool = False
    required: bool = False
    default: str | None = None


class Authentication(_Strict, frozen=True, kw_only=True):
    """How the connector proves itself to the vendor, and the least it must be allowed to do there."""

    kind: Literal["api_key", "oauth_jwt", "oauth_client_credentials", "oauth_code", "basic", "none"]
    scopes: tuple[str, ...] = ()


#: The signature of a system that sends nothing by itself: what it says is fetched.
UNSENT = "unsent"


class InboundPart(_Strict, frozen=True, kw_only=True):
    """What is received. ``order`` is what the vendor promises; ``replay_window_days`` how far back it lists.

    ``fetched`` are those of the ``events`` that nobody sends: the sweep makes them of what it is told when it asks.
    """

    signature: str
    external_id: str
    order: Literal["none", "per_object", "total"]
    events: tuple[str, ...]
    replay_window_days: int
    fetched: tuple[str, ...] = ()

    @property
    def delivered(self) -> frozenset[str]:
        """The types of event that the system sends by itself; none where all of them are fetched."""
        return frozenset() if self.signature == UNSENT else frozenset(self.events) - frozenset(self.fetched)


class ReadObject(_Strict, frozen=True, kw_only=True):
    """One object the reader can fetch and, where ``listed``, page through."""

    name: str
    listed: bool = True


class WriteObject(_Strict, frozen=True, kw_only=True):
    """One object that is written, the natural key it is found by, and what the target offers against writing twice.

    ``key_life_hours`` is for how long a target of class B knows an idempotency key, ``settles_after_s`` how many
    seconds after a request its effect may still be missing from a search (classes B and D).
    """

    name: str
    natural_key: str
    destination_class: DestinationClass
    key_life_hours: int | None = None
    settles_after_s: int | None = None

    @property
    def protocol(self) -> WriteProtocol:
        """The same for the courier."""
        return WriteProtocol(
            destination_class=self.destination_class,
            key_life=None if self.key_life_hours is None else timedelta(hours=self.key_life_hours),
            settles_after=timedelta(seconds=self.settles_after_s or 0),
        )

    def defect(self) -> str | None:
        """What is missing, or said of a class that has no such thing."""
        is_keyed = self.destination_class is DestinationClass.IDEMPOTENCY_KEY
        is_searched = self.destination_class in {DestinationClass.IDEMPOTENCY_KEY, DestinationClass.SEARCH_ONLY}
        if is_keyed and (self.key_life_hours or 0) <= _KEY_LIFE_MIN_HOURS:
            return f"{self.name} is of class B: key_life_hours has to say for how long a key is known, above an hour"
        if not is_keyed and self.key_life_hours is not None:
            return f"{self.name} has key_life_hours, which only class B has"
        if is_searched and self.settles_after_s is None:
            return f"{self.name} is found by a search: settles_after_s has to say how late, 0 for at once"
        if not is_searched and self.settles_after_s is not None:
            return f"{self.name} has settles_after_s, which only classes B and D have"
        return None


class Limits(_Strict, frozen=True, kw_only=True):
    """The vendor's rate limits as we keep them; a charter may ask for up to ``rate_per_s_max``.

    ``calls_per_day`` is None where the vendor has none.
    """

    rate_per_s: int
    rate_per_s_max: int
    burst: int
    calls_per_day: int | None = None


class SensitiveField(_Strict, frozen=True, kw_only=True):
    """A field that may not appear in clear: ``object.field`` in the vendor's words, and why."""

    field: str
    reason: str


class Declaration(_Strict, frozen=True, kw_only=True):
    """Why a connector has no code yet, and how its system is reached meanwhile: whole sentences for the reader."""

    because: str
    meanwhile: str


class Manifest(_Strict, frozen=True, kw_only=True):
    """What a connector is; the connection form, the docs page and the capability checks are made from it.

    With ``declared`` it says what the vendor offers, and nothing of this package calls it.
    """

    name: str
    title: str
    category: Category
    owner: str
    docs: str
    api_version: str
    sandbox: bool
    auth: Authentication
    limits: Limits
    settings: tuple[Setting, ...] = ()
    inbound: InboundPart | None = None
    reads: tuple[ReadObject, ...] = ()
    writes: tuple[WriteObject, ...] = ()
    sensitive: tuple[SensitiveField, ...] = ()
    declared: Declaration | None = None


class Standing(StrEnum):
    """How a rule of the scorecard stands."""

    DONE = "done"
    TODO = "todo"
    EXEMPT = "exempt"


class Answer(_Strict, frozen=True, kw_only=True):
    """The connector's answer to one rule; ``reason`` says why it is exempt, or what is missing or proves it."""

    status: Standing
    reason: str = ""


class Proof(_Strict, frozen=True, kw_only=True):
    """One thing the connector was proved against, and of which kind that counterpart is."""

    level: Literal["real_system", "official_contract", "official_library", "stand_in", "declared"]
    what: str


class Quality(_Strict, frozen=True, kw_only=True):
    """The scorecard: an answer per rule and tier, and what was proved against what."""

    bronze: dict[str, Answer]
    silver: dict[str, Answer] = {}
    gold: dict[str, Answer] = {}
    proved: tuple[Proof, ...] = ()
    not_proved: tuple[str, ...] = ()


#: Rules of the first tier (style.md 28): without them a connector is not trusted to listen.
BRONZE_RULES = frozenset(
    {
        "manifest-valid",
        "owner-named",
        "api-version-pinned",
        "signature-verified",
        "external-id-declared",
        "every-event-type-has-a-fixture",
        "every-fixture-interpreted-or-parked",
        "unknown-type-parked",
        "errors-translated",
        "secrets-masked",
        "timeouts-set",
        "simulator-runs",
        "scopes-least-privilege",
        "docs-what-it-reads",
    }
)


def load_manifest(package_dir: Path | Traversable) -> Manifest:
    """The manifest in a connector's folder. Raises ManifestInvalid with the file and the place."""
    manifest = _load(package_dir, MANIFEST_NAME, Manifest)
    for listed, what in (
        (manifest.inbound.events if manifest.inbound else (), "event"),
        (tuple(item.name for item in manifest.reads), "object read"),
        (tuple(item.name for item in manifest.writes), "object written"),
        (tuple(item.name for item in manifest.settings), "setting"),
    ):
        repeated = sorted({name for name in listed if listed.count(name) > 1})
        if repeated:
            raise ManifestInvalid(f"{manifest.name}/{MANIFEST_NAME} lists the {what} {repeated[0]!r} twice.")
    if manifest.inbound is not None and (odd := sorted({*manifest.inbound.fetched} - {*manifest.inbound.events})):
        raise ManifestInvalid(f"{manifest.name}/{MANIFEST_NAME} fetches the event {odd[0]!r}, which it does not list.")
    for written in manifest.writes:
        if (defect := written.defect()) is not None:
            raise ManifestInvalid(f"{manifest.name}/{MANIFEST_NAME}: {defect}.")
    if manifest.inbound is None and not manifest.reads and not manifest.writes:
        raise ManifestInvalid(f"{manifest.name}/{MANIFEST_NAME}: the connector neither listens, reads nor writes.")
    return manifest


def load_quality(package_dir: Path | Traversable) -> Quality:
    """The scorecard in a connector's folder; every bronze rule is answered. Raises ManifestInvalid."""
    quality = _load(package_dir, QUALITY_NAME, Quality)
    missing = sorted(BRONZE_RULES - quality.bronze.keys())
    if missing:
        raise ManifestInvalid(f"{QUALITY_NAME} does not answer the bronze rule {missing[0]!r}.")
    for tier in (quality.bronze, quality.silver, quality.gold):
        for rule, answer in tier.items():
            if answer.status is not Standing.DONE and not answer.reason:
                raise ManifestInvalid(f"{QUALITY_NAME}: the rule {rule!r} is {answer.status} without a reason.")
    return quality


def _load(package_dir: Path | Traversable, name: str, kind: type[_Read]) -> _Read:
    try:
        text = (package_dir / name).read_text(encoding="utf-8")
        return msgspec.convert(tomllib.loads(text), kind)
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestInvalid(f"{name} of the connector cannot be read: {error}.") from error
    except tomllib.TOMLDecodeError as error:
        raise ManifestInvalid(f"{name} is not TOML: {error}.") from error
    except msgspec.ValidationError as error:
        raise ManifestInvalid(f"{name}: {error}.") from error
