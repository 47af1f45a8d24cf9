"""The shared fixtures themselves: each promise they make to other tests is held here."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from tests import conftest


def test_a_store_url_opens_an_empty_store(store_url: str) -> None:
    if store_url.startswith("sqlite:///"):
        path = Path(store_url.removeprefix("sqlite:///"))
        assert path.parent.is_dir()
        assert not path.exists()
        return
    with psycopg.connect(store_url) as connection:
        rows = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
    assert rows == (0,)


@pytest.mark.postgres
def test_a_fresh_database_is_gone_afterwards_even_with_a_guest(postgres_server: str) -> None:
    with conftest.fresh_database(postgres_server, "Guest Left!") as url:
        guest = psycopg.connect(url)
        name = url.rsplit("/", 1)[1]
        assert name.startswith("accordant_guest_left_")
    guest.close()
    with psycopg.connect(postgres_server) as connection:
        row = connection.execute("SELECT count(*) FROM pg_database WHERE datname = %s", (name,)).fetchone()
    assert row == (0,)


def test_what_is_missing_skips_on_a_desk_and_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"A teapot is missing\. Buy one\."):
        conftest.missing("A teapot", "Buy one.")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match=r"A teapot is missing\. Buy one\. \(CI=true"):
        conftest.missing("A teapot", "Buy one.")


async def test_async_tests_run_without_a_mark(anyio_backend: str) -> None:
    assert anyio_backend == "asyncio"
