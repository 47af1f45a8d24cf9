"""Fixtures every test may ask for: databases, the vendors' specifications, a browser.

What is missing on this machine skips with its reason; with CI=true it fails, so that nothing is skipped unseen there.
Next room: tests/tidy for the style, accordant.testing for the fakes.
"""

from __future__ import annotations

import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit, urlunsplit

import hypothesis
import psycopg
import pytest
from psycopg import sql

REPOSITORY = Path(__file__).resolve().parent.parent
POSTGRES_DEFAULT = "postgresql://postgres@127.0.0.1:5432/postgres"
CREATE_ATTEMPTS_MAX = 5

# No deadline: a shared machine is slow at random, and a slow example is no counterexample.
hypothesis.settings.register_profile("accordant", deadline=None, print_blob=True)
hypothesis.settings.load_profile("accordant")


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
    """A database of our own on ``server``, dropped afterwards even when somebody is still connected."""
    slug = re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_")[-20:]
    name = sql.Identifier(f"accordant_{slug}_{uuid.uuid4().hex[:12]}")
    # template0: nobody can be connected to it, so parallel workers do not wait for each other.
    _administer(server, sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(name))
    try:
        yield urlunsplit(urlsplit(server)._replace(path=f"/{name.as_string(None).strip(chr(34))}"))
    finally:
        _administer(server, sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))


def _administer(server: str, statement: sql.Composed) -> None:
    for attempt in range(1, CREATE_ATTEMPTS_MAX + 1):
        try:
            with psycopg.connect(server, autocommit=True, connect_timeout=10) as connection:
                connection.execute(statement)
        except psycopg.errors.ObjectInUse:  # another worker is copying the same template at this moment
            if attempt == CREATE_ATTEMPTS_MAX:
                raise
            time.sleep(0.1 * attempt)
        else:
            return


@pytest.fixture(scope="module")
def postgres_url(postgres_server: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """``postgresql://`` address of an empty database shared by the tests of one module. Mark them ``postgres``."""
    with fresh_database(postgres_server, request.module.__name__) as url:
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Address of an empty store, once as SQLite and once as PostgreSQL, new for every test."""
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
