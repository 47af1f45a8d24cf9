"""Set B5 through the log: one event is one line, whatever somebody wrote into a name, and nothing commands a screen."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator

import pytest
import structlog

from accordant.runtime.logs import configure_logs
from tests.text_corpus import TEXTS, UNSTORABLE


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def logged(log_format: str, monkeypatch: pytest.MonkeyPatch, text: str, *, fails: bool = False) -> str:
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    configure_logs(log_format)
    log = structlog.get_logger("test")
    if fails:
        try:
            raise ValueError(text)
        except ValueError:
            log.exception("it failed", name=text)
    else:
        log.info("a name was read", name=text)
    return written.getvalue()


@pytest.mark.parametrize("text", [*TEXTS, *UNSTORABLE])
def test_a_text_forges_no_line(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    line = logged("json", monkeypatch, text)
    assert line.endswith("\n")
    assert len(line.splitlines()) == 1
    told = json.loads(line)
    assert (told["event"], told["level"]) == ("a name was read", "info")
    plain = logged("text", monkeypatch, text)
    assert plain.count("\n") == len(plain.splitlines()) == 1
    assert all(sign.isprintable() or sign == "\n" for sign in plain), "a terminal would obey it"


@pytest.mark.parametrize("text", [*TEXTS, *UNSTORABLE])
def test_a_text_in_an_error_stops_no_log(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    told = json.loads(logged("json", monkeypatch, text, fails=True))
    assert told["event"] == "it failed"
    plain = logged("text", monkeypatch, text, fails=True)
    assert plain.splitlines()[0].count("it failed") == 1
    assert all(sign.isprintable() or sign == "\n" for sign in plain), "a terminal would obey it"
