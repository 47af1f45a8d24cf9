"""Every connector that is installed, found by its manifest: a folder with a manifest is a connector."""

from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module, resources
from importlib.resources.abc import Traversable
from types import ModuleType
from typing import Protocol

import msgspec

from accordant.canonical.charter import Charter, CustomerModel, MappingPart, SeveralCustomers
from accordant.canonical.connector_evidence import ConnectorEvidence
from accordant.canonical.refs import EntityKind
from accordant.canonical.vat import VatNumber
from accordant.connectors.sdk.addresses import AddressPolicy
from accordant.connectors.sdk.evidence import evidence_of
from accordant.connectors.sdk.manifest import MANIFEST_NAME, UNSENT, Declaration, Manifest, load_manifest, load_quality
from accordant.connectors.sdk.tiers import tier_of
from accordant.governance.findings import ConnectorFacts
from accordant.governance.phases import Tier
from accordant.kernel.clock import Clock
from accordant.kernel.errors import ConfigurationError
from accordant.ports.connector import DestinationClass, Inbound, Outbound, Reader
from accordant.ports.vat import VatRegister

Settings = Mapping[str, str]
_REGISTER = "register.py"
#: A window nothing falls out of, in days: a thousand years.
_NO_END_DAYS = 365_000


class MakeReader(Protocol):
    """Builds a reader; raises ConfigurationError naming the setting."""

    def __call__(self, settings: Settings, clock: Clock, *, system: str, addresses: AddressPolicy) -> Reader:
        """``system`` is the connection's name in the charter."""
        ...


class MakeOutbound(Protocol):
    """Builds an outbound half; raises ConfigurationError naming the setting."""

    def __call__(self, settings: Settings, clock: Clock, *, rate_per_s: float, addresses: AddressPolicy) -> Outbound:
        """``rate_per_s`` is the highest rate of calls."""
        ...


class MakeVatRegister(Protocol):
    """Builds what asks a register of tax numbers; raises ConfigurationError for an address that may not be called."""

    def __call__(
        self, *, requester: VatNumber | None, clock: Clock, address: str, addresses: AddressPolicy
    ) -> VatRegister:
        """``requester`` is who asks; ``address`` is the register's own where it is empty."""
        ...


class Connector(msgspec.Struct, frozen=True, kw_only=True):
    """What a connector offers; a part it does not have is None, and one that is only declared has none.

    ``tier`` is what its scorecard earned, ``evidence`` what manifest and scorecard come to.
    ``matchable`` are the objects whose records tell whose they are: they can be searched and read whole.
    ``reader_needs`` is the setting without which there is no reader.
    """

    manifest: Manifest
    tier: Tier
    evidence: ConnectorEvidence
    inbound: Callable[[Settings], Inbound] | None = None
    webhook_secrets: Callable[[Settings], tuple[bytes, ...]] | None = None
    reader: MakeReader | None = None
    reader_needs: str = "api_key"
    outbound: MakeOutbound | None = None
    matchable: frozenset[str] = frozenset()
    default_mappings: Callable[[CustomerModel, SeveralCustomers], tuple[MappingPart, ...]] | None = None
    default_ownership: Callable[[], dict[EntityKind, str]] | None = None


@cache
def installed() -> dict[str, Connector]:
    """Connectors by name."""
    package = resources.files("accordant.connectors")
    found = {}
    for folder in package.iterdir():
        if folder.is_dir() and (folder / MANIFEST_NAME).is_file():
            found[folder.name] = _read(folder)
    return found


def connector(name: str, *, where: str) -> Connector:
    """One connector. Raises ConfigurationError naming ``where`` it was asked for and what there is."""
    try:
        return installed()[name]
    except KeyError:
        raise ConfigurationError(
            f"{where} names the connector {name!r}, which is not installed.",
            remedy=f"Installed are: {', '.join(sorted(installed()))}.",
        ) from None


@cache
def vat_register() -> MakeVatRegister:
    """The register of tax numbers: the one folder that has a register and no records to read or write."""
    package = resources.files("accordant.connectors")
    (name,) = sorted(folder.name for folder in package.iterdir() if (folder / _REGISTER).is_file())
    found: MakeVatRegister = import_module(f"accordant.connectors.{name}.register").vat_register
    return found


def facts_of(connector: Connector) -> ConnectorFacts:
    """What the check of a charter must know of a connector."""
    manifest = connector.manifest
    if manifest.declared is not None:
        return ConnectorFacts(
            name=manifest.name,
            category=manifest.category,
            tier=connector.tier,
            settings=frozenset(setting.name for setting in manifest.settings),
            secret=frozenset(setting.name for setting in manifest.settings if setting.secret),
            rate_per_s_max=manifest.limits.rate_per_s_max,
            declared=_declaration(manifest, manifest.declared),
        )
    return ConnectorFacts(
        name=manifest.name,
        category=manifest.category,
        tier=connector.tier,
        settings=frozenset(setting.name for setting in manifest.settings),
        required=frozenset(setting.name for setting in manifest.settings if setting.required),
        secret=frozenset(setting.name for setting in manifest.settings if setting.secret),
        signing="webhook_secrets" if manifest.inbound is not None and manifest.inbound.signature != UNSENT else None,
        is_source=manifest.inbound is not None or bool(manifest.reads),
        is_target=bool(manifest.writes),
        matchable=connector.matchable,
        event_types=frozenset() if manifest.inbound is None else frozenset(manifest.inbound.events),
        rate_per_s_max=manifest.limits.rate_per_s_max,
    )


def _declaration(manifest: Manifest, declared: Declaration) -> tuple[str, str]:
    """What a person is told who names a connector that is only declared: what it could do, and what to do meanwhile."""
    written = ", ".join(
        f"{one.name} by {one.natural_key} (class {one.destination_class.value})" for one in manifest.writes
    )
    could = f"It would write {written}. " if written else ""
    return f"{could}{declared.because}", declared.meanwhile


def tiers_of(charter: Charter) -> dict[str, Tier]:
    """What the connector of each system has earned. Raises ConfigurationError for one that is not installed."""
    return {name: connector(system.connector, where=f"systems.{name}").tier for name, system in charter.systems.items()}


def windows_of(charter: Charter) -> dict[str, int | None]:
    """For how many days each system lists its past events; None for one that lists none.

    A stand-in on this machine keeps all it ever said, and its clock is not ours.
    """
    windows: dict[str, int | None] = {}
    for name, system in charter.systems.items():
        inbound = connector(system.connector, where=f"systems.{name}").manifest.inbound
        days = None if inbound is None else inbound.replay_window_days or None
        windows[name] = _NO_END_DAYS if system.stand_in else days
    return windows


def declared_class(charter: Charter, system: str, object_name: str) -> DestinationClass | None:
    """What the manifest says an object offers against writing twice; None for an object it does not name."""
    manifest = connector(charter.systems[system].connector, where=f"systems.{system}").manifest
    return next((part.destination_class for part in manifest.writes if part.name == object_name), None)


def as_text(settings: Mapping[str, object]) -> dict[str, str]:
    """Connectors take settings as text: lists joined by commas, switches as true and false."""
    spelled = {}
    for name, value in settings.items():
        match value:
            case bool():
                spelled[name] = "true" if value else "false"
            case tuple() | list():
                spelled[name] = ",".join(str(item) for item in value)
            case _:
                spelled[name] = str(value)
    return spelled


def _read(folder: Traversable) -> Connector:
    manifest, quality = load_manifest(folder), load_quality(folder)
    tier, evidence = tier_of(quality), evidence_of(manifest, quality)
    if manifest.declared is not None:
        return Connector(manifest=manifest, tier=tier, evidence=evidence)
    module: ModuleType = import_module(f"accordant.connectors.{folder.name}.connector")
    return Connector(
        manifest=manifest,
        tier=tier,
        evidence=evidence,
        inbound=getattr(module, "inbound", None),
        webhook_secrets=getattr(module, "webhook_secrets", None),
        reader=getattr(module, "reader", None),
        reader_needs=getattr(module, "READER_NEEDS", "api_key"),
        outbound=getattr(module, "outbound", None),
        matchable=getattr(module, "MATCHABLE", frozenset()),
        default_mappings=getattr(module, "default_mappings", None),
        default_ownership=getattr(module, "default_ownership", None),
    )
