"""A server whose commits a power cut can take is refused before it answers anybody, and told when it becomes one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest

from accordant.bootstrap import Hub, checked_charter, system_clock
from accordant.demo.company import environment, write_charter
from accordant.demo.stage import HOST
from accordant.kernel.errors import ConfigurationError
from accordant.settings import Settings
from accordant.store.durability import forgetful, refuse_forgetful
from accordant.store.engine import Database
from accordant.web.observe import Observer
from accordant.web.server import HubServer
from tests.conftest import missing
from tests.faults.cluster import cluster, programs

pytestmark = pytest.mark.postgres
_ROLE = "accordant_forgetful"


def _order(url: str, *orders: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for order in orders:
            connection.execute(order)  # type: ignore[call-overload,unused-ignore]


@contextmanager
def _forgetful_by(level: str, url: str) -> Iterator[str]:
    """The store with commits that do not wait, set for its database, for its user, or in its address."""
    name = url.rpartition("/")[2]
    if level == "database":
        _order(url, f"ALTER DATABASE {name} SET synchronous_commit = off")
        yield url
        _order(url, f"ALTER DATABASE {name} RESET synchronous_commit")
        return
    user, place = url.partition("@")[0], url.partition("@")[2]
    _order(url, f"DROP ROLE IF EXISTS {_ROLE}", f"CREATE ROLE {_ROLE} LOGIN")
    where = f"ALTER ROLE {_ROLE} " + ("" if level == "user" else f"IN DATABASE {name} ")
    _order(url, f"{where}SET synchronous_commit = off")
    try:
        yield f"{user.partition('//')[0]}//{_ROLE}@{place}"
    finally:
        _order(url, f"{where}RESET synchronous_commit", f"DROP ROLE {_ROLE}")


@pytest.mark.parametrize(
    ("level", "remedy"),
    [
        ("database", 'ALTER DATABASE "{name}" RESET synchronous_commit'),
        ("user", f'ALTER ROLE "{_ROLE}" RESET synchronous_commit'),
        ("database user", f'ALTER ROLE "{_ROLE}" IN DATABASE "{{name}}" RESET synchronous_commit'),
    ],
)
def test_commits_that_do_not_wait_are_refused_and_the_statement_that_mends_it_is_named(
    level: str, remedy: str, postgres_url: str
) -> None:
    with _forgetful_by(level, postgres_url) as url, closing(Database(url)) as database:
        with pytest.raises(ConfigurationError, match="synchronous_commit = off") as refusal:
            refuse_forgetful(database)
        assert remedy.format(name=url.rpartition("/")[2]) in refusal.value.remedy
    with closing(Database(postgres_url)) as database:
        refuse_forgetful(database)


@pytest.mark.slow
@pytest.mark.parametrize("setting", ["fsync", "full_page_writes"])
def test_a_server_that_does_not_sync_is_refused(setting: str) -> None:
    if programs() is None:
        missing("initdb", "Install PostgreSQL's server programs: these settings are a whole server's.")
    with cluster() as server, closing(Database(server.url)) as database:
        assert forgetful(database) is None
        server.set(setting, "off")
        database.close()
        found = forgetful(database)
        assert found is not None
        assert f"{setting} = off" in str(found)
        assert f"ALTER SYSTEM SET {setting} = on" in found.remedy


@pytest.mark.slow
async def test_a_hub_does_not_open_its_door_before_such_a_store_and_is_not_ready_when_it_becomes_one(
    postgres_url: str, tmp_path: Path
) -> None:
    charter = write_charter(tmp_path / "charter", stripe_url=f"http://{HOST}:9", salesforce_url=f"http://{HOST}:9")
    settings = Settings(home=tmp_path, charter=charter, store=postgres_url)
    with _forgetful_by("database", postgres_url):
        hub = Hub(settings, checked_charter(settings), environment=environment(), clock=system_clock)
        server = HubServer(hub, host=HOST, port=0)
        with pytest.raises(ConfigurationError, match="synchronous_commit"):
            await server.start()
        ready = Observer(server, database=hub.database, token=None, is_open=True, clock=system_clock)._ready()
        assert ready.status == "failing"
        assert "ALTER DATABASE" in ready.problems[0]
        await hub.close()
