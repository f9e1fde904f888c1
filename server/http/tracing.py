"""OpenTelemetry: the protocol's SDK makes a span of every request; here they are sent on, where that is configured."""

from collections.abc import Callable

from memory.errors import Unavailable
from server import __version__


def start_tracing() -> Callable[[], None]:
    """Sends spans to the collector that the usual `OTEL_…` variables name; returns what sends the rest at the end.

    Events are left out, since an exception's text may repeat what was said. Errors: Unavailable without the extra.
    """
    try:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import SpanLimits, TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise Unavailable("BACKSTORY_TRACES needs OpenTelemetry; install 'backstory[otel]', or unset it.") from None
    us = Resource.create({"service.name": "backstory", "service.version": __version__})
    provider = TracerProvider(resource=us.merge(OTELResourceDetector().detect()), span_limits=SpanLimits(max_events=0))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    return provider.shutdown
