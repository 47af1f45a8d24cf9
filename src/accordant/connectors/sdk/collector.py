"""Sends spans to a collector by OTLP over HTTP. Addresses, headers, sampling: the standard ``OTEL_*`` variables.

Off, and free, while no endpoint is set. The libraries are an extra: ``pip install 'accordant[tracing]'``.
"""

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


def wants_spans(environment: Mapping[str, str]) -> bool:
    """Whether a collector is configured."""
    is_off = environment.get("OTEL_SDK_DISABLED", "").lower() == "true"
    return not is_off and any(environment.get(name) for name in _ENDPOINTS)


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
        if self._exporter.export([self._readable(span) for span in spans]) is not self._result.SUCCESS:
            raise TransientError("The collector for traces did not take the spans.", retry_after_s=5.0)

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
