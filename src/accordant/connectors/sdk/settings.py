"""Settings of a connection as text, and the mapping a connector ships: read once, and refused by name with a remedy.
Guarantees that no message holds the value of a setting that may be secret. Next: a connector's ``connector.py``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from importlib.resources.abc import Traversable
from urllib.parse import urlsplit

import msgspec
import yaml

from accordant.canonical.charter import MappingPart
from accordant.connectors.sdk.addresses import AddressForbidden, AddressPolicy
from accordant.kernel.errors import ConfigurationError, InvariantBroken

#: libyaml where it is built in, else the same grammar in Python.
_LOADER: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Given:
    """The settings of one connection, complete and without a stranger."""

    def __init__(
        self, title: str, settings: Mapping[str, str], *, required: Mapping[str, str], optional: Collection[str]
    ) -> None:
        """``required`` says for each setting what to do where it is missing. Raises ConfigurationError."""
        self._title = title
        known = {*required, *optional}
        if unknown := sorted(settings.keys() - known):
            raise ConfigurationError(
                f"{title} has no setting {unknown[0]!r}.", remedy=f"Choose among {', '.join(sorted(known))}."
            )
        self._values = {name: settings.get(name, "").strip() for name in known}
        for name, remedy in required.items():
            if not self._values[name]:
                raise self.wrong(name, "it is missing", remedy)

    def text(self, name: str) -> str:
        """A setting; empty where it was not given."""
        return self._values[name]

    def address(self, name: str, usual: str, addresses: AddressPolicy) -> str:
        """An address without a path, ``usual`` where none was given. Raises ConfigurationError."""
        url = self._values[name] or usual
        try:
            addresses.check_url(url)
        except AddressForbidden as error:
            raise self.wrong(name, error.message.rstrip("."), error.remedy) from error
        if urlsplit(url).path.strip("/"):
            raise self.wrong(name, f"{url!r} holds a path", "Give the address up to the host name only.")
        return url

    def wrong(self, name: str, reason: str, remedy: str) -> ConfigurationError:
        """The error of one setting."""
        return ConfigurationError(f"The setting {name!r} of the {self._title} connection: {reason}.", remedy=remedy)


def shipped_mappings(package: Traversable, file_name: str = "default_mapping.yaml") -> tuple[MappingPart, ...]:
    """The mapping in a connector's folder. Raises InvariantBroken: it is part of the product."""
    text = package.joinpath(file_name).read_text(encoding="utf-8")
    try:
        # A file of ours, with the quick one of two safe loaders: every start reads all of them.
        read = yaml.load(text, Loader=_LOADER)  # noqa: S506, TID251
        return msgspec.convert(read, tuple[MappingPart, ...])
    except (yaml.YAMLError, msgspec.ValidationError) as error:
        raise InvariantBroken(f"The mapping {file_name} shipped in {package.name} cannot be read: {error}.") from error
