"""Fixtures every test may ask for: databases, the vendors' specifications, a browser.

What is missing on this machine skips with its reason; with CI=true it fails, so that nothing is skipped unseen there.
Next room: tests/tidy for the style, accordant.testing for the fakes.
"""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import hypothesis
import psycopg
import pytest

from tests.databases import Pool, create, drop, sqlite_template

REPOSITORY = Path(__file__).resolve().parent.parent
POSTGRES_DEFAULT = "postgresql://postgres@127.0.0.1:5432/postgres"

# Test files live in memory where there is room: what a power cut would take from them is of no use to anybody, and half
# of a test's time would go into waiting for the disk.
_IN_MEMORY, _ROOM_MIN_BYTES = Path("/dev/shm"), 2 * 1024**3  # noqa: S108  pytest makes a folder of its own in it
if os.access(_IN_MEMORY, os.W_OK) and shutil.disk_usage(_IN_MEMORY).free >= _ROOM_MIN_BYTES:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_IN_MEMORY))

# No deadline: a shared machine is slow at random, and a slow example is no counterexample.
hypothesis.settings.register_profile("accordant", deadline=None, print_blob=True)
hypothesis.settings.load_profile("accordant")


# Modules and eight thousand tests are made and stay: searching them for garbage is a third of the time of collecting.
gc.disable()


def pytest_collection_finish() -> None:
    """What is there now is there to the end, and is not searched again."""
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long ones first: at the end no process waits for another's last test. The others keep their random order."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def in_ci() -> bool:
    """Whether this run is the one that must not skip anything."""
    return os.environ.get("CI", "").lower() in {"1", "true"}


def missing(what: str, hint: str) -> NoReturn:
    """Skip the test for want of ``what``; with CI=true fail it, because there the thing has to be present."""
    sentence = f"{what} is missing. {hint}"
    if in_ci():
        pytest.fail(f"{sentence} (CI=true: a missing service is a failure)", pytrace=False)
    pytest.skip(sentence)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Async tests run on asyncio, which is what aiohttp and uvicorn run on."""
    return "asyncio"


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return REPOSITORY


# -- PostgreSQL ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def postgres_server() -> str:
    """The address of a database on a server where this user may create others: ACCORDANT_TEST_POSTGRES or loopback."""
    url = os.environ.get("ACCORDANT_TEST_POSTGRES") or POSTGRES_DEFAULT
    try:
        psycopg.connect(url, connect_timeout=3).close()
    except psycopg.OperationalError as error:
        reason = str(error).strip().splitlines()[0]
        missing("PostgreSQL", f"Start one on 127.0.0.1:5432 or name it in ACCORDANT_TEST_POSTGRES. It said: {reason}")
    return url


@contextmanager
def fresh_database(server: str, label: str) -> Iterator[str]:
    """A database without tables on ``server``, dropped afterwards even when somebody is still connected."""
    url = create(server, label)
    try:
        yield url
    finally:
        drop(server, url)


@pytest.fixture(scope="module")
def postgres_url(postgres_server: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """``postgresql://`` address of an empty database shared by the tests of one module. Mark them ``postgres``."""
    with fresh_database(postgres_server, request.module.__name__) as url:
        yield url


@pytest.fixture(scope="session")
def postgres_pool(postgres_server: str) -> Iterator[Pool]:
    """The databases this test process lends to its tests."""
    pool = Pool(postgres_server)
    yield pool
    pool.close()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Address of a store with every table and no row, once as SQLite and once as PostgreSQL, a test's own."""
    if request.param == "sqlite":
        yield f"sqlite:///{shutil.copy(sqlite_template(), tmp_path / 'accordant.sqlite')}"
        return
    pool: Pool = request.getfixturevalue("postgres_pool")
    with pool.lend(request.node.name) as url:
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def bare_store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Address of a store without any table, for tests of how tables come to be: once as SQLite, once as PostgreSQL."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'accordant.sqlite'}"
        return
    server: str = request.getfixturevalue("postgres_server")
    with fresh_database(server, request.node.name) as url:
        yield url


# -- specifications and browser --------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def contracts() -> Path:
    """The folder of the vendors' own specifications. It is no part of the checkout, so its absence skips even in CI."""
    named = os.environ.get("ACCORDANT_CONTRACTS")
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "contracts"
    if not folder.is_dir():
        pytest.skip(
            "The vendors' specifications are not on this machine. Name their folder in ACCORDANT_CONTRACTS, "
            "or put it at ../shared/contracts beside the checkout."
        )
    return folder


@pytest.fixture(scope="session")
def chromium_path() -> Path:
    """The browser's program: ACCORDANT_TEST_CHROMIUM, else what PATH offers. Mark its tests ``browser``."""
    named = os.environ.get("ACCORDANT_TEST_CHROMIUM")
    found = named or next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None or not Path(found).is_file():
        missing("Chromium", "Install the package chromium, or name the program in ACCORDANT_TEST_CHROMIUM.")
    return Path(found)
