"""The hub's figures in the form Prometheus reads. Labels name flows, targets, states: never a person or a record.

Next: `observe.py`, which answers for them.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from accordant.views.load import Load

#: What Prometheus wants to be told about the form.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Live(msgspec.Struct, frozen=True, kw_only=True):
    """What only the process itself knows. Counts since its start; sizes in items; times in seconds.

    ``deliveries`` by (connection, outcome), ``writes`` answered by (flow, target, outcome), ``breakers`` failures in a
    row by target, ``loops`` failures in a row by name.
    """

    deliveries: Mapping[tuple[str, str], int]
    writes: Mapping[tuple[str, str, str], int]
    commits: int
    committed: int
    breakers: Mapping[str, int]
    loops: Mapping[str, int]
    store_write_s: float


def exposition(seen: Load, live: Live) -> bytes:
    """One scrape."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Reading(seen, live))
    return generate_latest(registry)


class _Reading:
    def __init__(self, seen: Load, live: Live) -> None:
        self._seen = seen
        self._live = live

    def collect(self) -> Iterator[Metric]:
        """Every figure there is."""
        yield from _queues(self._seen)
        yield from _flows(self._seen)
        yield from _worth(self._seen)
        yield from _live(self._live)


def _queues(seen: Load) -> Iterator[Metric]:
    yield _gauge(
        "accordant_events_open",
        "Inbox events that are not processed, by state.",
        ("state",),
        (((state,), count) for state, count in seen.events.items()),
    )
    yield _gauge(
        "accordant_oldest_event_seconds",
        "Age of the oldest event that waits to be processed; 0 when none waits.",
        (),
        [((), seen.oldest_event_s or 0.0)],
    )
    yield _gauge(
        "accordant_writes_open",
        "Writes that are not settled, by target and state.",
        ("target", "state"),
        seen.writes.items(),
    )
    yield _gauge(
        "accordant_oldest_write_seconds",
        "Age of the oldest write that is not settled, by target.",
        ("target",),
        (((target,), age_s) for target, age_s in seen.oldest_write_s.items()),
    )
    yield _gauge(
        "accordant_trouble",
        "Things that wait for a person, by kind.",
        ("kind",),
        (((kind,), count) for kind, count in msgspec.structs.asdict(seen.trouble).items()),
    )
    yield _gauge("accordant_alerts_unsent", "Alerts that were not sent yet.", (), [((), seen.unsent_alerts)])


def _flows(seen: Load) -> Iterator[Metric]:
    labels = ("flow", "target")
    lags = [
        ((flow.flow, flow.target, share), lag_s)
        for flow in seen.flows
        for share, lag_s in (("0.5", flow.lag_p50_s), ("0.95", flow.lag_p95_s))
        if lag_s is not None
    ]
    yield _gauge(
        "accordant_flow_lag_seconds",
        "From the provider's event to the confirmed write: that share of the latest answers took no longer, by flow.",
        (*labels, "share"),
        lags,
    )
    for name, text, attribute in (
        ("accordant_flow_lag_expected_seconds", "The lag the charter promises.", "expected_lag_s"),
        ("accordant_flow_lag_incident_seconds", "The lag that is an incident by the charter.", "incident_lag_s"),
        ("accordant_flow_waiting", "Writes of the flow that are not settled.", "waiting"),
    ):
        values = [((flow.flow, flow.target), getattr(flow, attribute)) for flow in seen.flows]
        yield _gauge(name, text, labels, values)
    oldest = [((flow.flow, flow.target), flow.oldest_wait_s or 0.0) for flow in seen.flows]
    yield _gauge(
        "accordant_flow_oldest_wait_seconds", "Age of the flow's oldest unsettled write; 0 when none.", labels, oldest
    )


def _worth(seen: Load) -> Iterator[Metric]:
    yield _gauge(
        "accordant_customers_affected", "Customers behind what did not go through.", (), [((), seen.customers)]
    )
    yield _gauge(
        "accordant_mrr_at_risk",
        "Monthly recurring revenue of those customers, in units of the currency.",
        ("currency",),
        (((money.currency,), float(money.to_decimal())) for money in seen.worth),
    )


def _live(live: Live) -> Iterator[Metric]:
    yield _counter(
        "accordant_deliveries",
        "Deliveries answered by this process, by connection and outcome.",
        ("connection", "outcome"),
        live.deliveries.items(),
    )
    yield _counter(
        "accordant_writes_answered",
        "Answers of targets since this process started, from all processes, by flow, target and outcome.",
        ("flow", "target", "outcome"),
        live.writes.items(),
    )
    yield _counter("accordant_intake_commits", "Commits of the intake.", (), [((), live.commits)])
    yield _counter("accordant_intake_committed", "Deliveries in those commits.", (), [((), live.committed)])
    yield _gauge(
        "accordant_target_failures",
        "Failures in a row of a target as a whole; it is left alone meanwhile.",
        ("target",),
        (((target,), count) for target, count in live.breakers.items()),
    )
    yield _gauge(
        "accordant_loop_failures",
        "Failures in a row of a loop of this process.",
        ("loop",),
        (((name,), count) for name, count in live.loops.items()),
    )
    yield _gauge("accordant_store_write_seconds", "Time of one small commit.", (), [((), live.store_write_s)])


_Values = Iterable[tuple[tuple[str, ...], float]]


def _gauge(name: str, text: str, labels: tuple[str, ...], values: _Values) -> Metric:
    return _filled(GaugeMetricFamily(name, text, labels=labels), values)


def _counter(name: str, text: str, labels: tuple[str, ...], values: _Values) -> Metric:
    return _filled(CounterMetricFamily(name, text, labels=labels), values)


def _filled(family: Any, values: _Values) -> Metric:  # noqa: ANN401  gauge and counter share no type that adds
    for labels, value in values:
        family.add_metric(labels, value)
    metric: Metric = family
    return metric
