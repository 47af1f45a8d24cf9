"""A collector of traces that is dead costs one line a try, with its reason, and nobody's deliveries."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import pytest

from accordant.canonical.correlation import Span
from accordant.connectors.sdk.collector import SpanSender
from accordant.demo.stage import HOST, free_port
from accordant.kernel.errors import TransientError

NOW = datetime(2026, 11, 20, tzinfo=UTC)
SPAN = Span(correlation="ab" * 16, id="cd" * 8, parent=None, name="event", began_at=NOW, ended_at=NOW, attributes={})


@pytest.fixture
def sender(monkeypatch: pytest.MonkeyPatch) -> SpanSender:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://{HOST}:{free_port()}")
    # Longer than the library's longest first pause, 1.2 s: with less it may give up before it says why.
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "2")
    return SpanSender({})


def test_a_dead_collector_is_one_sentence_and_the_library_says_nothing(
    sender: SpanSender, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(TransientError, match=r"did not take the spans: .*refused") as failure:
        sender.send([SPAN])
    assert "\n" not in failure.value.message
    assert capfd.readouterr() == ("", "")


def test_a_trace_of_the_library_is_its_last_line_to_us(sender: SpanSender, capfd: pytest.CaptureFixture[str]) -> None:
    log = logging.getLogger("opentelemetry.exporter.otlp")
    try:
        raise OSError("the network is gone\nsecond line")
    except OSError:
        log.exception("Exception while exporting")
    log.error("Failed to export spans batch due to timeout, max retries or shutdown.")
    assert capfd.readouterr() == ("", "")
    assert sender._overheard.taken() == "the network is gone"
    assert sender._overheard.taken() == ""
