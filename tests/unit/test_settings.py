"""Settings: every refusal names the variable and its remedy, and no secret is ever shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from accordant.kernel.errors import ConfigurationError
from accordant.settings import DEFAULT_PORT, EVERYTHING, Role, Settings, read_settings, resolve_secrets

SECRET = "EXAMPLE-never-to-be-shown"


def test_without_anything_set_it_starts_on_sqlite_for_this_machine_only() -> None:
    settings = read_settings({})
    assert (settings.host, settings.port, settings.is_loopback) == ("127.0.0.1", DEFAULT_PORT, True)
    assert settings.store == f"sqlite:///{Path('.accordant/store.db').absolute()}"
    assert (settings.charter, settings.console_token, settings.log_format) == (Path("charter"), None, "text")


def test_the_environment_is_read_and_the_command_line_wins() -> None:
    environment = {
        "ACCORDANT_HOME": "/srv/hub",
        "ACCORDANT_CHARTER": "/srv/charter",
        "ACCORDANT_STORE": "postgresql://hub@db/accordant",
        "ACCORDANT_HOST": "127.0.0.1",
        "ACCORDANT_PORT": "9000",
        "ACCORDANT_ALLOWED_HOSTS": " hub.example.com, ,b.example.com",
        "ACCORDANT_LOG_FORMAT": "json",
    }
    settings = read_settings(environment, port=9001, charter=Path("/other"), store=None)
    assert settings == Settings(
        home=Path("/srv/hub"),
        charter=Path("/other"),
        store="postgresql://hub@db/accordant",
        port=9001,
        allowed_hosts=("hub.example.com", "b.example.com"),
        log_format="json",
    )


@pytest.mark.parametrize(
    ("environment", "variable", "remedy"),
    [
        ({"ACCORDANT_STORE": "mysql://hub@db/x"}, "ACCORDANT_STORE", "sqlite:////path"),
        ({"ACCORDANT_STORE": "nonsense"}, "ACCORDANT_STORE", "postgresql://"),
        ({"ACCORDANT_PORT": "http"}, "ACCORDANT_PORT", "0 to 65535"),
        ({"ACCORDANT_PORT": "65536"}, "ACCORDANT_PORT", "0 to 65535"),
        ({"ACCORDANT_PORT": "-1"}, "ACCORDANT_PORT", "0 to 65535"),
        ({"ACCORDANT_PORT": "٣"}, "ACCORDANT_PORT", "0 to 65535"),
        ({"ACCORDANT_LOG_FORMAT": "xml"}, "ACCORDANT_LOG_FORMAT", "text, json"),
        ({"ACCORDANT_ROLES": "door,cook"}, "'cook'", "ACCORDANT_ROLES"),
        ({"ACCORDANT_ROLES": " , "}, "role", "door, worker, courier"),
        ({"ACCORDANT_METRICS_PORT": "0"}, "ACCORDANT_METRICS_PORT", "1 to 65535"),
    ],
)
def test_a_refusal_names_the_variable_and_the_remedy(environment: dict[str, str], variable: str, remedy: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        read_settings(environment)
    assert variable in refused.value.message
    assert remedy in refused.value.remedy


def test_a_store_that_is_refused_does_not_show_its_password() -> None:
    with pytest.raises(ConfigurationError) as refused:
        read_settings({"ACCORDANT_STORE": f"mysql://hub:{SECRET}@db/x"})
    assert SECRET not in str(refused.value)


def test_with_a_token_the_console_may_be_reached_from_elsewhere() -> None:
    settings = read_settings({"ACCORDANT_HOST": "0.0.0.0", "ACCORDANT_CONSOLE_TOKEN": SECRET})  # noqa: S104
    assert not settings.is_loopback
    assert settings.console_token == SECRET


@pytest.mark.parametrize(
    ("store", "shown"),
    [
        (f"postgresql://hub:{SECRET}@db:5432/accordant", "postgresql://hub@db:5432/accordant"),
        (f"postgresql+psycopg://hub:{SECRET}@db/accordant", "postgresql+psycopg://hub@db/accordant"),
        (f"postgresql://hub:a@b:{SECRET}@db/accordant", "postgresql://hub@db/accordant"),
        ("postgresql://hub@db/accordant", "postgresql://hub@db/accordant"),
        ("sqlite:////srv/store.db", "sqlite:////srv/store.db"),
        (f"postgresql://db/accordant?user=hub&password={SECRET}", "postgresql://db/accordant"),
    ],
)
def test_no_secret_is_shown(store: str, shown: str) -> None:
    settings = Settings(home=Path("h"), charter=Path("c"), store=store, console_token=SECRET)
    told = settings.shown()
    assert SECRET not in repr(told)
    assert told["store"] == shown
    assert told["console"] == "token required"


def test_an_open_console_is_said() -> None:
    assert read_settings({}).shown()["console"] == "open on this machine until people have tokens"


# -- secrets of a charter ----------------------------------------------------------------------------------------------


def test_references_are_resolved_at_any_depth_and_nothing_else_changes() -> None:
    given: dict[str, Any] = {
        "key": "env:KEY",
        "list": ("env:KEY", "plain", 3),
        "deep": {"x": "env:KEY"},
        "n": 7,
        "f": True,
    }
    assert resolve_secrets(given, {"KEY": SECRET}, "systems.stripe.settings") == {
        "key": SECRET,
        "list": (SECRET, "plain", 3),
        "deep": {"x": SECRET},
        "n": 7,
        "f": True,
    }


@pytest.mark.parametrize("environment", [{}, {"KEY": ""}])
def test_a_variable_that_is_not_set_is_named_with_its_place(environment: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError) as refused:
        resolve_secrets({"api_key": "env:KEY"}, environment, "systems.stripe.settings")
    assert "systems.stripe.settings.api_key" in refused.value.message
    assert "KEY" in refused.value.message
    assert "Set KEY" in refused.value.remedy


@pytest.mark.parametrize(
    ("given", "roles"),
    [
        (None, EVERYTHING),
        ("all", EVERYTHING),
        ("worker", {Role.WORKER}),
        ("worker, courier", {Role.WORKER, Role.COURIER}),
        ("door,all", EVERYTHING),
    ],
)
def test_roles_are_names_with_commas_between(given: str | None, roles: set[Role]) -> None:
    assert read_settings({}, roles=given).roles == roles
    assert read_settings({"ACCORDANT_ROLES": given or ""}).roles == roles
