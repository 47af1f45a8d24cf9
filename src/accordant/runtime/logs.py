"""Logs go to standard error, one line an event, as text or JSON. A log that cannot be written stops nothing.

Whatever somebody wrote into a name stands in a log as text: it begins no line, moves no cursor and turns no word round.
"""

import sys
from contextlib import suppress
from io import StringIO
from typing import TextIO

import structlog

from accordant.kernel.masking import cover_text


class _Forgiving:
    """A stream whose reader may have gone away: what cannot be written is lost, and the work goes on."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError, ValueError):
            return self._stream.write(text)
        return 0

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()


def _cover(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """What is personal by its look does not stand in a log."""
    return {name: cover_text(value) if isinstance(value, str) else value for name, value in event.items()}


def _spell(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Signs that are not seen but obeyed, by a screen or a reader's eye, are spelled out; a line stays one line."""
    return {name: _visible(value) if isinstance(value, str) else value for name, value in event.items()}


def _visible(text: str, keep: str = "") -> str:
    if text.isprintable():
        return text
    signs = (one if one.isprintable() or one in keep else one.encode("unicode_escape").decode() for one in text)
    return "".join(signs)


def _covered_traceback(stream: TextIO, problem: structlog.typing.ExcInfo) -> None:
    """A trace of an error, whose message may quote what somebody sent."""
    whole = StringIO()
    structlog.dev.plain_traceback(whole, problem)
    stream.write(_visible(cover_text(whole.getvalue()), keep="\n"))


def configure_logs(log_format: str) -> None:
    """Set up logging for this process. ``log_format`` is ``text`` or ``json``."""
    processors: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if log_format == "json":
        processors += [structlog.processors.format_exc_info, _cover, structlog.processors.JSONRenderer()]
    else:
        colors = sys.stderr.isatty()
        processors += [
            _cover,
            _spell,
            structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=_covered_traceback),
        ]
    structlog.configure(
        processors=processors,
        logger_factory=structlog.PrintLoggerFactory(_Forgiving(sys.stderr)),  # type: ignore[arg-type]  # all it needs
        cache_logger_on_first_use=True,
    )
