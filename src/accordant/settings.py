"""The only reader of the environment: what the process needs to start, typed, checked, printable without secrets."""

from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

import msgspec

from accordant.canonical.charter import Audience
from accordant.kernel.errors import ConfigurationError

DEFAULT_PORT = 8420
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Role(StrEnum):
    """What a process does. One process does everything by default; several share the work of one store."""

    DOOR = "door"
    WORKER = "worker"
    COURIER = "courier"


EVERYTHING = frozenset(Role)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How this process runs. What a company's rules are is the charter's business.

    ``metrics_port`` answers for health and figures alone, where the process has no door or its door is not for that.
    """

    home: Path
    charter: Path
    store: str
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    console_token: str | None = None
    console_audience: Audience = Audience.SUPPORT
    metrics_token: str | None = None
    allowed_hosts: tuple[str, ...] = ()
    log_format: str = "text"
    roles: frozenset[Role] = EVERYTHING
    metrics_port: int | None = None

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the console."""
        return self.host in _LOOPBACK

    def shown(self) -> dict[str, str]:
        """The settings for a person to read: secrets and the password of the store left out."""
        # What stands behind a question mark may be a password too.
        scheme, _, rest = self.store.partition("?")[0].partition("://")
        credentials, at, place = rest.rpartition("@")
        user = credentials.partition(":")[0]
        return {
            "home": str(self.home),
            "charter": str(self.charter),
            "store": f"{scheme}://{user}{at}{place}",
            "address": f"http://{self.host}:{self.port}",
            "console": "token required"
            if self.console_token is not None
            else "open on this machine until people have tokens",
        }


def read_settings(environment: Mapping[str, str], **overrides: str | int | Path | None) -> Settings:
    """Settings from ``ACCORDANT_*`` variables.

    ``overrides`` (of the command line) win over them where they are not None.

    Raises: ConfigurationError naming the variable and what it should be.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    home = Path(str(given.get("home") or environment.get("ACCORDANT_HOME") or ".accordant")).expanduser()
    charter = Path(str(given.get("charter") or environment.get("ACCORDANT_CHARTER") or "charter")).expanduser()
    store = str(
        given.get("store") or environment.get("ACCORDANT_STORE") or f"sqlite:///{(home / 'store.db').absolute()}"
    )
    if not store.startswith(("sqlite:///", "postgresql://", "postgresql+psycopg://")):
        raise ConfigurationError(
            f"ACCORDANT_STORE is {store.partition(':')[0]!r}, which is not a store Accordant knows.",
            remedy="Set it to sqlite:////path/store.db or postgresql://user@host/name, or leave it out for SQLite.",
        )
    host = str(given.get("host") or environment.get("ACCORDANT_HOST") or "127.0.0.1")
    metrics_port = given.get("metrics_port", environment.get("ACCORDANT_METRICS_PORT") or None)
    return Settings(
        home=home,
        charter=charter,
        store=store,
        host=host,
        port=_port("ACCORDANT_PORT", given.get("port") or environment.get("ACCORDANT_PORT") or DEFAULT_PORT),
        roles=_roles(str(given.get("roles") or environment.get("ACCORDANT_ROLES") or "all")),
        metrics_port=None if metrics_port is None else _port("ACCORDANT_METRICS_PORT", metrics_port, lowest=1),
        console_token=environment.get("ACCORDANT_CONSOLE_TOKEN") or None,
        console_audience=Audience(
            _choice(environment, "ACCORDANT_CONSOLE_AUDIENCE", tuple(one.value for one in Audience))
        ),
        metrics_token=environment.get("ACCORDANT_METRICS_TOKEN") or None,
        allowed_hosts=tuple(
            name.strip() for name in environment.get("ACCORDANT_ALLOWED_HOSTS", "").split(",") if name.strip()
        ),
        log_format=_choice(environment, "ACCORDANT_LOG_FORMAT", ("text", "json")),
    )


def resolve_secrets(value: object, environment: Mapping[str, str], where: str) -> object:
    """Replace every ``env:NAME`` inside a system's settings by the variable's value.

    Raises: ConfigurationError naming the place and the variable that is not set.
    """
    match value:
        case str() if value.startswith("env:"):
            name = value.removeprefix("env:")
            if not environment.get(name):
                raise ConfigurationError(
                    f"{where} refers to the environment variable {name}, which is not set.",
                    remedy=f"Set {name} and start again.",
                )
            return environment[name]
        case tuple() | list():
            return tuple(resolve_secrets(item, environment, where) for item in value)
        case dict():
            return {name: resolve_secrets(item, environment, f"{where}.{name}") for name, item in value.items()}
        case _:
            return value


def _roles(text: str) -> frozenset[Role]:
    """Roles out of names with commas between; ``all`` is every one."""
    names = {name.strip() for name in text.split(",") if name.strip()}
    unknown = sorted(names - {*Role, "all"})
    if unknown or not names:
        raise ConfigurationError(
            f"There is no role {', '.join(map(repr, unknown or [text]))}.",
            remedy=f"Set ACCORDANT_ROLES or --role to some of: {', '.join(Role)}, or to all.",
        )
    return EVERYTHING if "all" in names else frozenset(map(Role, names))


def _port(variable: str, value: object, *, lowest: int = 0) -> int:
    text = str(value)
    if not (text.isascii() and text.isdigit() and lowest <= int(text) < 65536):
        free = "" if lowest else "; 0 picks a free port"
        raise ConfigurationError(f"{variable} is {text!r}.", remedy=f"Set it to a number from {lowest} to 65535{free}.")
    return int(text)


def _choice(environment: Mapping[str, str], name: str, choices: tuple[str, ...]) -> str:
    value = environment.get(name, choices[0])
    if value not in choices:
        raise ConfigurationError(f"{name} is {value!r}.", remedy=f"Set it to one of: {', '.join(choices)}.")
    return value


@lru_cache(maxsize=1)
def installed_release() -> str:
    """The version of Accordant that is installed, as its package says."""
    return version("accordant")
