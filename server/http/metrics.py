"""What Prometheus reads. No label carries a tenant, a user or anything that was said."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from server.calling import Call

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True, slots=True)
class Gauge:
    """A value read when Prometheus asks; `read` gives (label values, value) pairs."""

    name: str
    text: str
    labels: tuple[str, ...]
    read: Callable[[], Iterable[tuple[tuple[str, ...], float]]]


class _Gauges(Collector):
    def __init__(self, gauges: list[Gauge]) -> None:
        self._gauges = gauges

    def collect(self) -> Iterable[Metric]:
        for gauge in self._gauges:
            family = GaugeMetricFamily(gauge.name, gauge.text, labels=gauge.labels)
            for labels, value in gauge.read():
                family.add_metric(labels, value)
            yield family


@dataclass(slots=True)
class Metrics:
    """One server's metrics, in a registry of their own."""

    gauges: list[Gauge] = field(default_factory=list)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    requests: Counter = field(init=False)
    seconds: Histogram = field(init=False)
    calls: Counter = field(init=False)
    call_seconds: Histogram = field(init=False)
    saved: Counter = field(init=False)

    def __post_init__(self) -> None:
        here = self.registry
        self.requests = Counter(
            "backstory_http_requests", "HTTP requests answered.", ("route", "method", "status"), registry=here
        )
        self.seconds = Histogram(
            "backstory_http_request_seconds",
            "Time to answer, streams left out.",
            ("route",),
            buckets=BUCKETS,
            registry=here,
        )
        self.calls = Counter(
            "backstory_calls", "MCP requests by outcome.", ("method", "name", "outcome"), registry=here
        )
        self.call_seconds = Histogram(
            "backstory_call_seconds", "Time of an MCP request.", ("method", "name"), buckets=BUCKETS, registry=here
        )
        self.saved = Counter(
            "backstory_tokens_saved",
            "Tokens of the record that a strategy kept out of a context.",
            ("mode",),
            registry=here,
        )
        self.registry.register(_Gauges(self.gauges))

    def note(self, call: Call) -> None:
        """Counts what a call gave."""
        if (given := call.given) is not None and given.saved:
            self.saved.labels(given.strategy.mode).inc(given.saved)

    def text(self) -> bytes:
        """The exposition format; reads the gauges, so it may block."""
        return generate_latest(self.registry)
