"""Sends spans to a collector by OTLP over HTTP. Addresses, headers, sampling: the standard ``OTEL_*`` variables.

Off, and free, while no endpoint is set. The libraries are an extra: ``pip install 'accordant[tracing]'``.
"""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from accordant.canonical.correlation import Span
from accordant.kernel.clock import to_micros
from accordant.kernel.errors import ConfigurationError, TransientError

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_SCOPE = "accordant"
#: Under this name the library tells each of its tries, with a trace where it met something it did not expect.
_LIBRARY = "opentelemetry"


def wants_spans(environment: Mapping[str, str]) -> bool:
    """Whether a collector is configured."""
    is_off = environment.get("OTEL_SDK_DISABLED", "").lower() == "true"
    return not is_off and any(environment.get(name) for name in _ENDPOINTS)


class _Overheard(logging.Handler):
    """Keeps what the library last complained of: one line of ours says it, instead of several of its own."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._said = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the error that a record names, else its words; its last record only says that there were several."""
        named = record.args if isinstance(record.args, tuple) else ()
        errors = [one for one in (*named, record.exc_info and record.exc_info[1]) if isinstance(one, Exception)]
        said = str(errors[0] if errors else record.getMessage()).strip().partition("\n")[0]
        if errors or not self._said:
            self._said = said

    def taken(self) -> str:
        """The last complaint, once."""
        said, self._said = self._said, ""
        return said


class SpanSender:
    """A connection to a collector, made from the environment of the process."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Raises ConfigurationError when the extra is not installed."""
        if find_spec("opentelemetry.sdk") is None or find_spec("opentelemetry.exporter.otlp") is None:
            raise ConfigurationError(
                "A collector for traces is configured, but the libraries that speak to it are not installed.",
                remedy="Run: pip install 'accordant[tracing]', or unset OTEL_EXPORTER_OTLP_ENDPOINT.",
            )
        self._trace = import_module("opentelemetry.trace")
        self._sdk = import_module("opentelemetry.sdk.trace")
        self._result = import_module("opentelemetry.sdk.trace.export").SpanExportResult
        # Not for recording: it reads the environment as every OpenTelemetry program does.
        provider = self._sdk.TracerProvider(shutdown_on_exit=False)
        self._sampler, self._resource = provider.sampler, provider.resource
        self._scope = import_module("opentelemetry.sdk.util.instrumentation").InstrumentationScope(_SCOPE)
        if not environment.get("OTEL_SERVICE_NAME"):
            self._resource = self._resource.merge(self._sdk.Resource({"service.name": _SCOPE}))
        self._overheard = _Overheard()
        log = logging.getLogger(_LIBRARY)
        log.handlers, log.propagate = [self._overheard], False
        exporter = import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
        self._exporter = exporter.OTLPSpanExporter()

    def is_wanted(self, correlation: str) -> bool:
        """Whether the configured sampling keeps this trace: asked before it is read."""
        decision = self._sampler.should_sample(None, int(correlation, 16), "event").decision
        return bool(decision.is_sampled())

    def send(self, spans: Sequence[Span]) -> None:
        """Send them all, or raise TransientError: then they are sent again, with the same ids."""
        if not spans:
            return
        self._overheard.taken()
        if self._exporter.export([self._readable(span) for span in spans]) is not self._result.SUCCESS:
            why = self._overheard.taken() or "it gave no reason"
            raise TransientError(f"The collector for traces did not take the spans: {why}", retry_after_s=5.0)

    def close(self) -> None:
        """Close the connection."""
        self._exporter.shutdown()

    def _readable(self, span: Span) -> Any:  # noqa: ANN401  a class of an optional library
        trace = self._trace
        status = trace.Status(trace.StatusCode.ERROR, span.problem) if span.problem else trace.Status()
        return self._sdk.ReadableSpan(
            name=span.name,
            context=self._context(span.correlation, span.id),
            parent=None if span.parent is None else self._context(span.correlation, span.parent),
            resource=self._resource,
            attributes=span.attributes,
            kind=trace.SpanKind.CLIENT if span.is_call else trace.SpanKind.INTERNAL,
            status=status,
            start_time=_nanos(span.began_at),
            end_time=_nanos(span.ended_at),
            instrumentation_scope=self._scope,
        )

    def _context(self, correlation: str, span: str) -> Any:  # noqa: ANN401
        return self._trace.SpanContext(
            int(correlation, 16), int(span, 16), is_remote=False, trace_flags=self._trace.TraceFlags(1)
        )


def _nanos(moment: datetime) -> int:
    return to_micros(moment) * 1000
